//! Whom do operations wait for, the DUT or the reflectors behind it?
//!
//! Through a DUT the two look alike: slots fill up and answers come late. The trial without the DUT tells
//! them apart. It is a closed loop, so a generator or reflector short of CPU shows as a busy core there;
//! where no core was busy, the loop waited for the reflectors' answers, and what it waited is their own
//! time. A ceiling like that is the reflectors', and operations that wait hardly longer through the DUT
//! wait for the reflectors.

use super::{Check, Facts, Inquiry, Latency, LimitedBy, Outcome, Role, dut, tester};

/// A core below this share is not what a closed loop waits for.
const IDLE_BELOW: f64 = 0.75;
/// Slots count as full when one operation of so many waits for one.
const WAITING_ONE_IN: u64 = 10;
/// Through the DUT operations take at most so many times the reflectors' own time, if it is that which
/// they wait for.
const SLOWER_MAX: f64 = 1.5;

/// Who sets the ceiling of the testbed without the DUT, and how that was seen.
pub(super) fn sets_ceiling(ceiling: &Facts<'_>) -> Option<(LimitedBy, String)> {
    let usage = ceiling.usage.as_ref()?;
    let cores = usage.testers().flat_map(|role| role.cores.iter().copied());
    let (core, busy) = usage.busiest(cores)?;
    if busy < IDLE_BELOW {
        let text = format!(
            "without the DUT core {core} was only {:.0}% busy, so the closed loop waited for the reflectors' answers",
            busy * 100.0
        );
        return Some((LimitedBy::Reflector, text));
    }
    let who = tester::owner(usage, core).unwrap_or_else(|| tester::busier(usage));
    let text = format!(
        "without the DUT core {core} was {:.0}% busy: generator {:.0}%, reflectors {:.0}% of a core",
        busy * 100.0,
        usage.generator_used() * 100.0,
        // An empty sum is -0.
        usage.reflectors_used().abs() * 100.0
    );
    Some((who, text))
}

/// Whether operations that found no slot waited for the reflectors.
pub(super) fn for_reflectors(inquiry: &Inquiry<'_>, facts: &Facts<'_>) -> Check {
    let given_up = facts.trial.outcomes_all.of(Outcome::UnsentWindow);
    // Those given up never began, so they are not among those that waited and then did.
    let waiting = given_up + facts.trial.waited_for_slot;
    if given_up == 0 && waiting < facts.trial.due / WAITING_ONE_IN {
        return Check::holds(format!("{waiting} of {} operations found every slot waiting", facts.trial.due));
    }
    let Some(ceiling) = &inquiry.ceiling_facts else {
        return Check::holds("not applied: no trial without the DUT shows the reflectors' own time");
    };
    if !matches!(sets_ceiling(ceiling), Some((LimitedBy::Reflector, _))) {
        return Check::holds("not applied: without the DUT the tester's CPU was the limit, not the reflectors' time");
    }
    let median = |facts: &Facts<'_>| Some(facts.trial.latencies.percentile(Latency::Service, 50.0)?.as_secs_f64());
    let Some((own, through)) = median(ceiling).zip(median(facts)) else {
        return Check::holds("not applied: too few operations");
    };
    let text = format!(
        "{waiting} operations found every slot waiting; answers took {:.1} ms through the DUT, {:.1} ms without it \
         (limit {SLOWER_MAX} times)",
        through * 1e3,
        own * 1e3
    );
    let dut_busy = facts.usage.as_ref().filter(|usage| usage.role(Role::Dut).is_some());
    let dut_busy = dut_busy.is_some_and(|usage| dut::processor(inquiry, usage).0 >= dut::BUSY_MIN);
    if dut_busy || through > SLOWER_MAX * own {
        return Check::holds(text);
    }
    Check::blames(LimitedBy::Reflector, format!("{text}: lower their delay, or raise load.slots"))
}
