//! The parts of a suite as plans of their own, and what they will take. Pure.

use wire::frame::FrameSize;

use crate::scenario::Plan;
use crate::scenario::mix::Mix;
use crate::scenario::plan::{SuitePlan, WorkloadKind};

/// One plan for each part, in the order of the trials; empty if the plan has no suite of frame tests.
pub(crate) fn of(plan: &Plan) -> Vec<Plan> {
    if !matches!(plan.workload.kind, WorkloadKind::Udp(_)) {
        return Vec::new();
    }
    match &plan.suite {
        None => Vec::new(),
        Some(SuitePlan::Imix(_)) => vec![plan.clone()],
        Some(SuitePlan::Rfc2544 { sizes, .. }) => sizes.iter().map(|&size| with(plan, Mix::Fixed { size })).collect(),
    }
}

fn with(plan: &Plan, mix: Mix) -> Plan {
    let mut part = plan.clone();
    if let WorkloadKind::Udp(udp) = &mut part.workload.kind {
        udp.mix = mix;
    }
    part
}

/// The size of the frames of a plan, where all are the same.
pub(crate) fn size(part: &Plan) -> Option<FrameSize> {
    let WorkloadKind::Udp(udp) = &part.workload.kind else { return None };
    if let Mix::Fixed { size } = udp.mix { Some(size) } else { None }
}

/// What a part is called on the terminal: `64 B`, or `mix`.
pub(crate) fn name(part: &Plan) -> String {
    size(part).map_or_else(|| "mix".to_owned(), |size| format!("{size} B"))
}
