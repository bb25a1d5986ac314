//! G8: positive evidence that the DUT is at its limit.
//!
//! Any one will do: it uses up its CPU, it turns operations away, it keeps every slot waiting, or
//! its answers take more than three times as long as under the qualifying load, or frames got lost that no
//! socket of the tester dropped.

use super::{Check, Facts, Inquiry, Latency, LimitedBy, Outcome, Role, Usage, tester};
use crate::measure::books::Ways;
use crate::scenario::plan::DutKind;

pub(super) const BUSY_MIN: f64 = 0.90;
const SLOWER: f64 = 3.0;
/// How a device turns operations away or breaks them.
const TURNED_AWAY: [Outcome; 7] = [
    Outcome::ConnectRefused,
    Outcome::ResetLater,
    Outcome::ClosedEarly,
    Outcome::BadStatus,
    Outcome::BadResponse,
    Outcome::BadPayload,
    Outcome::HoldLost,
];

pub(super) fn at_its_limit(inquiry: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    if matches!(inquiry.plan.testbed.dut.kind, DutKind::None) {
        return Check::holds("not applied: there is no DUT");
    }
    let (mut seen, mut positive) = (Vec::new(), false);
    let mut add = |points: bool, text: String| {
        positive |= points;
        seen.push(text);
    };
    match &facts.usage {
        Some(usage) if usage.role(Role::Dut).is_some() => {
            let (busy, text) = processor(inquiry, usage);
            add(busy >= BUSY_MIN, text);
        }
        _ => add(false, "its CPU cannot be seen".to_owned()),
    }
    let turned_away = turned_away(inquiry, facts);
    add(turned_away > 0, format!("it turned {turned_away} operations away"));
    let waiting = facts.trial.outcomes_all.of(Outcome::UnsentWindow);
    add(waiting > 0, format!("{waiting} operations found every slot waiting for it"));
    if let Some((lost, text)) = lost_frames(facts) {
        add(lost, text);
    }
    if let Some((slower, text)) = service_time(inquiry, facts) {
        add(slower, text);
    }
    let text = seen.join(", ");
    if positive { Check::blames(LimitedBy::Dut, text) } else { Check::holds(text) }
}

/// The DUT's CPU against its quota or cores, and the busiest core that it has to itself.
pub(super) fn processor(inquiry: &Inquiry<'_>, usage: &Usage) -> (f64, String) {
    let Some(dut) = usage.role(Role::Dut) else { return (0.0, String::new()) };
    let threads = match &inquiry.plan.testbed.dut.kind {
        DutKind::Reference { workers, .. } | DutKind::Command { workers: Some(workers), .. } => {
            Some(workers.get() as usize)
        }
        _ => None,
    };
    let own = dut.busy(usage.host_cores(), threads);
    let shared = |core: &usize| usage.testers().any(|role| role.cores.contains(core));
    let alone = usage.busiest(dut.cores.iter().copied().filter(|core| !shared(core)));
    let of = if dut.quota_cores.is_some() { "quota" } else { "cores" };
    let core = alone.map(|(core, busy)| format!(", core {core} {:.0}% busy", busy * 100.0)).unwrap_or_default();
    let busy = own.max(alone.map_or(0.0, |(_, busy)| busy));
    (busy, format!("DUT uses {:.0}% of its {of}{core} (limit 90%)", own * 100.0))
}

/// What the reflectors did themselves is not the DUT's.
fn turned_away(inquiry: &Inquiry<'_>, facts: &Facts<'_>) -> u64 {
    let seen: u64 = TURNED_AWAY.iter().map(|outcome| facts.trial.outcomes_all.of(*outcome)).sum();
    seen.saturating_sub(tester::made_by_reflectors(inquiry, facts.trial))
}

/// Frames that were sent and did not arrive, while nobody else's sockets dropped any.
fn lost_frames(facts: &Facts<'_>) -> Option<(bool, String)> {
    let ways = Ways::of(facts.trial).filter(|_| !facts.trial.ledgers.is_empty())?;
    let lost = ways.lost_by_dut;
    let text = format!(
        "at least {lost} frames were lost: {} of {} towards the reflectors, {} of {} answers on the way back",
        ways.lost_forward, ways.sent, ways.lost_return, ways.answered
    );
    let seen: u64 = facts.usage.iter().flat_map(|usage| usage.testers()).map(|role| role.drops).sum();
    let own = ways.lost_by_testers().max(seen);
    let text = if own > 0 { format!("{text}, but tester and reflectors dropped {own} themselves") } else { text };
    Some((lost > 0 && own == 0, text))
}

fn service_time(inquiry: &Inquiry<'_>, facts: &Facts<'_>) -> Option<(bool, String)> {
    let before = inquiry.qualify_service_p99? as f64;
    let now = facts.trial.latencies.percentile(Latency::Service, 99.0)?.as_nanos() as f64;
    let times = now / before.max(1.0);
    let text =
        format!("service time p99 {:.2} ms is {times:.1} times that of the qualifying trial (limit 3)", now / 1e6);
    Some((times > SLOWER, text))
}
