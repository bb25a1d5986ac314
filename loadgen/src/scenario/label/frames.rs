//! How far a plan of datagrams keeps to RFC 2544, and to what later texts add to it.
//!
//! On loopback and veth nothing keeps a line rate, a preamble, a gap or an FCS: such results are `derived`,
//! whatever else the plan does.

use wire::frame::{FrameSize, IpVersion};
use wire::units::Span;

use super::{Compliance, final_sustain};
use crate::scenario::mix::Mix;
use crate::scenario::plan::{
    Arrivals, Comparison, DutKind, Metric, Network, Pattern, Plan, Profile, SuitePlan, Tuples, UdpPlan,
};
use crate::scenario::suite::ALL_SIZES;

/// RFC 2544, 24: trials of at least 60 s.
const SUSTAIN: std::time::Duration = std::time::Duration::from_secs(60);
/// RFC 2544, 23: two seconds for frames that are still under way.
const WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// The label of a plan of datagrams.
pub(super) fn compliance(plan: &Plan, udp: &UdpPlan) -> Compliance {
    let mut deviations = musts(plan, udp);
    let label = if deviations.is_empty() { "conditional" } else { "derived" };
    deviations.extend(shoulds(plan, udp));
    Compliance { label, deviations }
}

fn musts(plan: &Plan, udp: &UdpPlan) -> Vec<String> {
    let mut broken: Vec<String> = medium(plan).into_iter().collect();
    if plan.profile != Profile::Rfc {
        broken.push("profile is not rfc: shorter waits between trials (RFC 2544, 23)".to_owned());
    }
    let (sustain, drain) = (final_sustain(plan), plan.load.drain);
    if sustain < SUSTAIN {
        broken.push(format!("trials last {} instead of at least 60s (RFC 2544, 24)", Span(sustain)));
    }
    if drain < WAIT {
        broken.push(format!("late frames are waited for {} instead of 2s (RFC 2544, 23)", Span(drain)));
    }
    if plan.search.maximum().is_none() {
        broken.push("the highest load without loss is not searched (RFC 2544, 26.1)".to_owned());
    }
    broken.extend(loss(plan));
    if plan.load.pattern != Pattern::Flat {
        broken.push("the load is not held throughout a trial (RFC 2544, 21)".to_owned());
    }
    if plan.load.arrivals == Arrivals::Poisson {
        broken.push("frames leave at random instead of at equal distances (RFC 2544, 21)".to_owned());
    }
    if udp.burst.get() > 1 {
        broken.push(format!("frames leave in bursts of {} (RFC 2544, 21)", udp.burst));
    }
    broken
}

/// What carries the frames.
fn medium(plan: &Plan) -> Option<String> {
    let links = match plan.testbed.network {
        Network::Loopback => "loopback",
        Network::Netns => "veth",
        Network::External => return None,
    };
    Some(format!(
        "frames are emulated: {links} has no line rate, preamble, gap, padding or FCS; a frame is its IP packet plus 18 \
         bytes (RFC 2544, 9 and 20)"
    ))
}

fn loss(plan: &Plan) -> Vec<String> {
    let goal = plan.search.maximum().and_then(|maximum| maximum.goals.first());
    let stated = plan.expect.iter().find(|expectation| expectation.metric == Metric::Failed);
    let of_expectation = stated.map_or(0.0, |stated| match stated.comparison {
        Comparison::LessOrEqual | Comparison::Less => stated.value,
        Comparison::Greater | Comparison::GreaterOrEqual => 0.0,
    });
    let loss = goal.and_then(|goal| goal.loss).map_or(of_expectation, |loss| loss.as_ratio());
    let mut broken = Vec::new();
    if loss > 0.0 {
        let percent = (loss * 1e8).round() / 1e6;
        broken
            .push(format!("up to {percent}% of the frames may be lost, where throughput means none (RFC 2544, 26.1)"));
    }
    if let Some(goal) = goal.filter(|goal| goal.exceed.as_ratio() > 0.0) {
        let exceed = goal.exceed;
        broken.push(format!("{exceed} of the time may lose more than the goal (RFC 9971; not in RFC 2544)"));
    }
    broken
}

fn shoulds(plan: &Plan, udp: &UdpPlan) -> Vec<String> {
    let mut others: Vec<String> = sizes(plan, udp).into_iter().collect();
    others.push("kernel sockets keep no gap between frames and reach no line rate (RFC 2544, 20 and 21)".to_owned());
    if plan.testbed.network != Network::External {
        others.push("tester, DUT and reflectors share one host (RFC 8172, 3.4 advises against it)".to_owned());
    }
    if plan.testbed.network == Network::Loopback {
        others
            .push("addresses are those of loopback, not of 198.18.0.0/15 or 2001:2::/48 (RFC 2544, C.2.2)".to_owned());
    }
    if plan.external_address().is_none_or(|address| address.port() != 7) {
        others.push("the destination port is not 7 (RFC 2544, C.2.6.4)".to_owned());
    }
    others.push("one service address, not also 256 destination networks (RFC 2544, 12)".to_owned());
    match udp.tuples {
        Tuples::Random => {}
        Tuples::Fixed => {
            others.push("one 5-tuple: a device that spreads by it uses one queue (RFC 4814, 4)".to_owned())
        }
        Tuples::Sequential => others.push("5-tuples count up instead of being random (RFC 4814, 4)".to_owned()),
    }
    if plan.load.phases.ramp_up.is_zero() {
        others.push("nothing is sent before a trial for devices to learn from (RFC 2544, 23)".to_owned());
    } else {
        others
            .push("no pause of 2s between the frames that devices learn from and the trial (RFC 2544, 23)".to_owned());
    }
    let has_ceiling = plan.testbed.reflectors > 0 || !plan.testbed.remote_reflectors.is_empty();
    if !has_ceiling && !matches!(plan.testbed.dut.kind, DutKind::None) {
        others.push("the maximum offered load is not measured without the DUT (RFC 2285, 3.5.3)".to_owned());
    }
    others
}

/// RFC 2544, 9.1: seven sizes; over IPv6, where 64 bytes have no room, RFC 8219, 5.1.1 begins with 84.
fn sizes(plan: &Plan, udp: &UdpPlan) -> Option<String> {
    let all: Vec<FrameSize> = ALL_SIZES.iter().filter_map(|bytes| FrameSize::of_frame(*bytes)).collect();
    let stands_for = |size: &FrameSize| *size == all[0] && udp.ip_version == IpVersion::V6;
    let (found, named): (&[FrameSize], String) = match (&plan.suite, &udp.mix) {
        (Some(SuitePlan::Rfc2544 { sizes, .. }), _) => {
            (sizes, sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        (_, Mix::Fixed { size }) => (std::slice::from_ref(size), size.to_string()),
        // A mix is another test (RFC 6985), and its name says so.
        _ => return None,
    };
    let missing = all.iter().any(|size| !found.contains(size) && !stands_for(size));
    if missing {
        return Some(format!("sizes {named} instead of 64, 128, 256, 512, 1024, 1280 and 1518 (RFC 2544, 9.1)"));
    }
    (udp.ip_version == IpVersion::V6)
        .then(|| "84 bytes stand for 64, which IPv6 has no room for (RFC 8219, 5.1.1)".to_owned())
}
