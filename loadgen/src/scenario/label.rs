//! How far a plan keeps to the RFCs, computed from the plan and from nothing else.
//!
//! `unconditional` keeps every MUST and SHOULD, `conditional` every MUST, `derived` neither (the
//! words are those of RFC 2544, 5). Through kernel sockets a tester cannot choose PSH and delayed
//! ACKs, which RFC 9411 asks for with SHOULD: `conditional` is the best that can be reached. Each
//! deviation names its section. What only a run can show is in [`crate::verdict::Validation`].

use std::time::Duration;

use wire::units::Span;

use super::plan::{
    BodyCheck, CloseMode, Comparison, DutKind, Metric, Network, Pattern, Plan, Profile, SearchPlan, Unit, WorkloadKind,
};
use crate::testbed::ports::address_count;

mod frames;

/// The label of a result and why it is not a better one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Compliance {
    /// `unconditional`, `conditional` or `derived`.
    pub label: &'static str,
    /// What the plan does otherwise than the RFCs, one sentence each.
    pub deviations: Vec<String>,
}

/// RFC 9411, 4.3.4: sustain of at least 300 s.
const SUSTAIN: Duration = Duration::from_secs(300);
/// RFC 9411, 4.3.4: initialisation of at least 5 s.
const INIT: Duration = Duration::from_secs(5);
/// RFC 9411, 7.2.3.3: failed transactions below 0.001 %.
const FAILED: f64 = 0.000_01;
/// RFC 9411, 7.3.3.2 and 7.5.3.2: requests on one connection.
const REQUESTS: u32 = 10;
/// RFC 9411, 7.2.3.2: objects of connection rate tests, in bytes ("KB" read as 1,024 bytes).
const OBJECTS_CPS: [u64; 5] = [1 << 10, 2 << 10, 4 << 10, 16 << 10, 64 << 10];
/// RFC 9411, 7.3.3.2: objects of throughput tests.
const OBJECTS_TPS: [u64; 4] = [1 << 10, 16 << 10, 64 << 10, 256 << 10];
/// RFC 9411, 7.5.3.2: the object of tests of held connections.
const OBJECTS_CC: [u64; 1] = [1 << 10];
/// RFC 9411, 4.3.1.2: fewest client addresses of its example, for 10 Gbit/s.
const CLIENT_ADDRESSES: u64 = 1_400;
/// Linux doubles the wait between two SYNs from 1 s: the fourth repetition leaves after 15 s.
const THREE_RETRIES: Duration = Duration::from_secs(15);
/// How far the pause on a held connection may be from a tenth of ramp-up and sustain.
const PAUSE_TOLERANCE: f64 = 0.1;

/// The label of a plan's results.
pub fn compliance(plan: &Plan) -> Compliance {
    if let WorkloadKind::Udp(udp) = &plan.workload.kind {
        return frames::compliance(plan, udp);
    }
    let mut deviations = musts(plan);
    let label = if deviations.is_empty() { "conditional" } else { "derived" };
    deviations.extend(shoulds(plan));
    Compliance { label, deviations }
}

/// What breaks a MUST.
fn musts(plan: &Plan) -> Vec<String> {
    let mut broken = phases(plan);
    let section = section(plan);
    match plan.workload.close {
        CloseMode::ClientFin => {}
        CloseMode::ServerFin => broken.push(format!("the server closes, not the client (RFC 9411, {section}.3.2)")),
        CloseMode::ClientRst => {
            broken.push("connections end with RST instead of FIN: not RFC 9411 (4.3.1.1)".to_owned());
        }
    }
    if plan.load.unit == Unit::Transactions {
        broken.push("a closed loop: the load depends on the DUT's answers (RFC 9411, 4.3.4)".to_owned());
    }
    if failed_limit_is_looser(plan) {
        broken.push(format!("more failures are allowed than 0.001% (RFC 9411, {section}.3.3)"));
    }
    broken.extend(workload(plan, section));
    broken.extend(requests(plan, section));
    broken.extend(steps(plan, section));
    broken.extend(search(plan));
    broken
}

/// The test of RFC 9411 that a unit belongs to.
fn section(plan: &Plan) -> &'static str {
    match plan.load.unit {
        Unit::ConnectionsPerSecond => "7.2",
        Unit::TransactionsPerSecond | Unit::Transactions => "7.3",
        Unit::Connections => "7.5",
        Unit::FramesPerSecond => "7.1",
    }
}

fn phases(plan: &Plan) -> Vec<String> {
    let mut broken = Vec::new();
    let sustain = final_sustain(plan);
    if plan.profile != Profile::Rfc {
        broken.push("profile is not rfc: shorter waits between trials (RFC 2544, 23)".to_owned());
    }
    if sustain < SUSTAIN {
        broken.push(format!("sustain is {} instead of at least 300s (RFC 9411, 4.3.4)", Span(sustain)));
    }
    if plan.load.phases.init < INIT {
        broken.push(format!("init is {} instead of at least 5s (RFC 9411, 4.3.4)", Span(plan.load.phases.init)));
    }
    if plan.load.pattern != Pattern::Flat {
        broken.push("the load is not held throughout sustain (RFC 9411, 4.3.4)".to_owned());
    }
    broken
}

fn search(plan: &Plan) -> Vec<String> {
    let mut broken = Vec::new();
    if let SearchPlan::GoalSeek(_) = plan.search {
        broken.push("the search brackets no upper bound: the figure is \"at least\"".to_owned());
    }
    if let Some(goal) = plan.search.maximum().and_then(|maximum| maximum.goals.first())
        && goal.exceed.as_ratio() > 0.0
    {
        let exceed = goal.exceed;
        broken.push(format!("{exceed} of the time may lose more than the goal (RFC 9971; not in RFC 9411)"));
    }
    broken
}

fn workload(plan: &Plan, section: &str) -> Vec<String> {
    let WorkloadKind::Http(http) = &plan.workload.kind else {
        return vec![format!("connections carry no transaction (RFC 9411, {section}.3.2)")];
    };
    let mut broken = Vec::new();
    if http.body == BodyCheck::LengthOfFirst {
        let text =
            "response bodies are verified by length only: no reflector of ours vouches for them (RFC 9411, 4.3.2)";
        broken.push(text.to_owned());
    }
    if http.status != 200 {
        broken.push(format!("status {} counts as success instead of 200 (RFC 9411, {section}.3.3)", http.status));
    }
    broken
}

/// How many requests a connection carries, and when.
fn requests(plan: &Plan, section: &str) -> Vec<String> {
    if matches!(plan.workload.kind, WorkloadKind::Tcp | WorkloadKind::Udp(_)) {
        return Vec::new();
    }
    let requests = plan.workload.requests_per_connection.map(std::num::NonZeroU32::get);
    let said = requests.map_or_else(|| "as many as a connection carries".to_owned(), |count| count.to_string());
    let wanted = match plan.load.unit {
        Unit::ConnectionsPerSecond => 1,
        Unit::TransactionsPerSecond | Unit::Transactions | Unit::FramesPerSecond => REQUESTS,
        Unit::Connections => return pause(plan).into_iter().collect(),
    };
    let differs = requests != Some(wanted);
    differs
        .then(|| format!("{said} requests per connection instead of {wanted} (RFC 9411, {section}.3.2)"))
        .into_iter()
        .collect()
}

/// RFC 9411, 7.5.3.2: ten requests on each held connection, so a tenth of ramp-up and sustain apart.
fn pause(plan: &Plan) -> Option<String> {
    let wanted = (plan.load.phases.ramp_up + final_sustain(plan)).as_secs_f64() / f64::from(REQUESTS);
    let found = plan.load.hold_interval.as_secs_f64();
    ((found / wanted - 1.0).abs() > PAUSE_TOLERANCE).then(|| {
        format!("{found} s between two requests of a held connection instead of {wanted:.1} s (RFC 9411, 7.5.3.2)")
    })
}

/// The trials that RFC 9411 wants to be first.
fn steps(plan: &Plan, section: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let is_reference = matches!(plan.testbed.dut.kind, DutKind::None);
    let searched = plan.search.maximum().is_some();
    let reflectors = plan.testbed.reflectors > 0 || !plan.testbed.remote_reflectors.is_empty();
    if !is_reference && (!searched || !reflectors || plan.load.unit == Unit::Connections) {
        broken.push("no reference test without the DUT is run first (RFC 9411, 5)".to_owned());
    }
    if !searched {
        broken.push(format!("no initial test at a tenth of the load is run first (RFC 9411, {section}.4.1)"));
    }
    broken
}

/// What breaks a SHOULD.
fn shoulds(plan: &Plan) -> Vec<String> {
    let mut others: Vec<String> = object(plan).into_iter().collect();
    let addresses = &plan.testbed.source_networks;
    let addresses = addresses.iter().map(|network| address_count(network)).fold(0, u64::saturating_add);
    if addresses < CLIENT_ADDRESSES {
        let text = "client address(es), where at least 1400 are usual for each 10 Gbit/s (RFC 9411, 4.3.1.2)";
        others.push(format!("{} {text}", addresses.max(1)));
    }
    if plan.load.connect_timeout >= THREE_RETRIES {
        let limit = Span(plan.load.connect_timeout);
        others.push(format!("a handshake may be tried more than 3 times again within {limit} (RFC 9411, 4.3.1.1)"));
    }
    if plan.testbed.network == Network::Loopback {
        others.push("tester, DUT and reflectors share one host (RFC 8172, 3.4 advises against it)".to_owned());
    }
    others.push("MSS, windows, PSH and delayed ACKs are the kernel's choice (RFC 9411, 4.3.1.1)".to_owned());
    others
}

fn object(plan: &Plan) -> Option<String> {
    let WorkloadKind::Http(http) = &plan.workload.kind else { return None };
    let BodyCheck::Table { length } = http.body else { return None };
    let wanted: &[u64] = match plan.load.unit {
        Unit::ConnectionsPerSecond => &OBJECTS_CPS,
        Unit::TransactionsPerSecond | Unit::Transactions | Unit::FramesPerSecond => &OBJECTS_TPS,
        Unit::Connections => &OBJECTS_CC,
    };
    let names: Vec<String> = wanted.iter().map(|bytes| (bytes >> 10).to_string()).collect();
    let section = section(plan);
    (!wanted.contains(&length))
        .then(|| format!("objects of {length} B instead of {} KiB (RFC 9411, {section}.3.2)", names.join(", ")))
}

/// Sustain of the trial whose figure is reported.
pub fn final_sustain(plan: &Plan) -> Duration {
    plan.search.maximum().map_or(plan.load.phases.sustain, |maximum| maximum.final_sustain)
}

fn failed_limit_is_looser(plan: &Plan) -> bool {
    if let Some(loss) = plan.search.maximum().and_then(|maximum| maximum.goals.first()?.loss) {
        return loss.as_ratio() >= FAILED * 0.999_999;
    }
    plan.expect.iter().filter(|expectation| expectation.metric == Metric::Failed).any(|expectation| {
        // Rounding of "0.001%" to a ratio must not count as looser.
        let looser = expectation.value > FAILED * 1.000_001;
        looser || (expectation.comparison == Comparison::LessOrEqual && expectation.value >= FAILED * 0.999_999)
    })
}

#[cfg(test)]
mod tests;
