//! What a reader sees of frame tests: names of sizes and mixes, both directions, tables, files.
//!
//! A frame is a UDP datagram between kernel sockets, named by the Ethernet frame that would carry it; it
//! has neither preamble nor gap nor FCS on the way, so bits per second are computed, and always named with
//! their layer. Nothing is judged here: throughput, loss and limits arrive in a
//! [`FramesAnswer`](crate::verdict::frames::FramesAnswer) or in a trial's
//! [`FrameRecord`](crate::measure::record::FrameRecord).

pub(super) mod books;
pub(super) mod names;
pub(super) mod results;
pub(super) mod sheets;
pub(super) mod tables;
pub(super) mod words;

use crate::scenario::Plan;
use crate::scenario::plan::{UdpPlan, WorkloadKind};

/// The datagrams of a plan; `None` for any other workload.
pub(super) fn udp_of(plan: &Plan) -> Option<&UdpPlan> {
    match &plan.workload.kind {
        WorkloadKind::Udp(udp) => Some(udp),
        WorkloadKind::Tcp | WorkloadKind::Http(_) => None,
    }
}

#[cfg(test)]
mod tests;
