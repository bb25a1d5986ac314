//! How far a plan keeps to the RFCs, computed from the plan and from nothing else.
//!
//! `unconditional` keeps every MUST and SHOULD, `conditional` every MUST, `derived` neither (the
//! words are those of RFC 2544, 5). Through kernel sockets a tester cannot choose PSH and delayed
//! ACKs, which RFC 9411 asks for with SHOULD: `conditional` is the best that can be reached.

use std::time::Duration;

use wire::units::Span;

use super::plan::{
    BodyCheck, CloseMode, Comparison, Metric, Network, Pattern, Plan, Profile, SearchPlan, Unit, WorkloadKind,
};

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
/// RFC 9411, 7.2: failed transactions below 0.001 %.
const FAILED: f64 = 0.000_01;

/// The label of a plan's results.
pub fn compliance(plan: &Plan) -> Compliance {
    let mut deviations = broken(plan);
    let label = if deviations.is_empty() { "conditional" } else { "derived" };
    if plan.testbed.network == Network::Loopback {
        deviations.push("tester, DUT and reflectors share one host (RFC 8172, 3.4 advises against it)".to_owned());
    }
    deviations.push("PSH and delayed ACKs are the kernel's choice (RFC 9411, 4.3.1.1)".to_owned());
    Compliance { label, deviations }
}

/// What breaks a MUST.
fn broken(plan: &Plan) -> Vec<String> {
    let mut broken = Vec::new();
    let sustain = final_sustain(plan);
    if plan.profile != Profile::Rfc {
        broken.push("profile is not rfc: shorter waits between trials".to_owned());
    }
    if sustain < SUSTAIN {
        broken.push(format!("sustain is {} instead of at least 300s (RFC 9411, 4.3.4)", Span(sustain)));
    }
    if plan.load.phases.init < INIT {
        broken.push(format!("init is {} instead of at least 5s (RFC 9411, 4.3.4)", Span(plan.load.phases.init)));
    }
    match plan.workload.close {
        CloseMode::ClientFin => {}
        CloseMode::ServerFin => broken.push("the server closes, not the client (RFC 9411, 7.2)".to_owned()),
        CloseMode::ClientRst => {
            broken.push("connections end with RST instead of FIN: not RFC 9411 (4.3.1.1)".to_owned());
        }
    }
    if plan.load.pattern != Pattern::Flat {
        broken.push("the load is not held throughout sustain (RFC 9411, 4.3.4)".to_owned());
    }
    if plan.load.unit == Unit::Transactions {
        broken.push("a closed loop: the load depends on the DUT's answers".to_owned());
    }
    if failed_limit_is_looser(plan) {
        broken.push("more failures are allowed than 0.001% (RFC 9411, 7.2)".to_owned());
    }
    broken.extend(workload(plan));
    broken
}

fn workload(plan: &Plan) -> Vec<String> {
    let mut broken = Vec::new();
    match &plan.workload.kind {
        WorkloadKind::Tcp => broken.push("connections carry no transaction (RFC 9411, 7.2)".to_owned()),
        WorkloadKind::Http(http) => {
            if http.body == BodyCheck::LengthOfFirst {
                broken.push(
                    "response bodies are verified by length only: no reflector of ours vouches for them".to_owned(),
                );
            }
            if http.status != 200 {
                broken.push(format!("status {} counts as success instead of 200 (RFC 9411, 7.2)", http.status));
            }
        }
    }
    let requests = plan.workload.requests_per_connection.map_or(0, std::num::NonZeroU32::get);
    if plan.load.unit == Unit::ConnectionsPerSecond && requests > 1 {
        broken.push(format!("{requests} requests per connection instead of 1 (RFC 9411, 7.2)"));
    }
    broken
}

/// Sustain of the trial whose figure is reported.
pub fn final_sustain(plan: &Plan) -> Duration {
    match &plan.search {
        SearchPlan::Climb(climb) => climb.final_sustain,
        SearchPlan::Fixed | SearchPlan::Stair { .. } => plan.load.phases.sustain,
    }
}

fn failed_limit_is_looser(plan: &Plan) -> bool {
    plan.expect.iter().filter(|expectation| expectation.metric == Metric::Failed).any(|expectation| {
        // Rounding of "0.001%" to a ratio must not count as looser.
        let looser = expectation.value > FAILED * 1.000_001;
        looser || (expectation.comparison == Comparison::LessOrEqual && expectation.value >= FAILED * 0.999_999)
    })
}
