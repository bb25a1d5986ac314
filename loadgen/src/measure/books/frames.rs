//! The books of datagrams: what got lost on the way to the reflectors, and on the way back.
//!
//! Loss is a finding and no mismatch: a device may lose frames, and which way they were lost follows from
//! the reflectors' counters. What cannot be is more than was sent, or lengths that nobody sent. Faults that
//! the reflectors were told to make are named and taken off. Differences are never below 0.

use super::Books;
use crate::measure::TrialRecord;
use crate::scenario::Plan;
use crate::scenario::mix::Mix;
use crate::scenario::plan::{DutKind, UdpPlan};

/// Where the frames of one trial stayed, ramps included.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ways {
    /// Frames that the clients' kernel took.
    pub sent: u64,
    /// Of these, frames that the reflectors received.
    pub received: u64,
    /// Sent, but not received: lost on the way to the reflectors. Their full buffers included.
    pub lost_forward: u64,
    /// Answers that the reflectors sent, those sent twice on purpose included.
    pub answered: u64,
    /// Answers that the clients received: in time, late, twice or corrupted.
    pub returned: u64,
    /// Answered, but not returned: lost on the way back. The clients' full buffers included.
    pub lost_return: u64,
    /// Faults that the reflectors made on purpose: not answered, or answered with a changed byte.
    pub on_purpose: u64,
    /// Lost by the reflectors against their will: buffers full, held back too many, refused by the kernel.
    pub lost_by_reflectors: u64,
    /// Answers that the kernel dropped because the clients' buffers were full.
    pub lost_by_generator: u64,
    /// Frames that the DUT lost at least: what is missing on either way, or what no first answer came for
    /// beyond what others dropped. Duplicates that it made hide losses in the sums of a way, not in these.
    pub lost_by_dut: u64,
}

impl Ways {
    /// `None` for a trial without datagrams. Without ledgers only the clients' numbers are known, and
    /// nothing says on which way a frame got lost.
    pub fn of(trial: &TrialRecord) -> Option<Self> {
        let frames = trial.frames.as_ref()?;
        let counts = &frames.all;
        let sum =
            |count: fn(&wire::ledger::UdpLedger) -> u64| trial.ledgers.iter().map(|ledger| count(&ledger.udp)).sum();
        // Where a changed byte hits the signature, the answer is one of no stream.
        let unknown = counts.foreign.min(sum(|udp| udp.corrupted));
        let returned = counts.answered + counts.late + counts.duplicates + counts.corrupted + unknown;
        let ways = Self { sent: counts.sent, returned, lost_by_generator: frames.own_drops, ..Self::default() };
        if trial.ledgers.is_empty() {
            return Some(ways);
        }
        let (received, answered): (u64, u64) = (sum(|udp| udp.received), sum(|udp| udp.sent));
        let mut ways = Self {
            received,
            lost_forward: counts.sent.saturating_sub(received),
            answered,
            lost_return: answered.saturating_sub(returned),
            on_purpose: sum(|udp| udp.dropped + udp.corrupted),
            lost_by_reflectors: sum(|udp| udp.buffer_drops + udp.overflowed + udp.send_errors),
            ..ways
        };
        ways.lost_by_dut = ways.lost_forward + ways.lost_return;
        // After an early end what was under way then has no answer either.
        if trial.ended_early.is_none() {
            let unanswered = counts.sent.saturating_sub(counts.answered + counts.late + counts.corrupted);
            let others = ways.on_purpose + ways.lost_by_testers();
            ways.lost_by_dut = ways.lost_by_dut.max(unanswered.saturating_sub(others));
        }
        Some(ways)
    }

    /// Lost by tester and reflectors themselves, against their will.
    pub fn lost_by_testers(&self) -> u64 {
        self.lost_by_generator + self.lost_by_reflectors
    }
}

impl Books<'_> {
    pub(super) fn frames(&mut self, plan: &Plan, udp: &UdpPlan, is_direct: bool) {
        let Some(ways) = Ways::of(self.trial) else { return };
        self.own_frames();
        if self.trial.ledgers.is_empty() {
            return;
        }
        if ways.received > ways.sent {
            let text = format!(
                "the reflectors received {} datagrams, the client sent {}: {} were repeated by the DUT or are not of this run",
                ways.received,
                ways.sent,
                ways.received - ways.sent
            );
            // A device may repeat or check; between client and reflector there is nobody to do so.
            self.differ(is_direct && matches!(plan.testbed.dut.kind, DutKind::None), text);
        }
        if ways.returned > ways.answered && self.all_ledgers_are_here(plan) {
            let text = format!(
                "the client received {} answers, the reflectors sent {}: {} were repeated on the way or came from somebody else",
                ways.returned,
                ways.answered,
                ways.returned - ways.answered
            );
            self.differ(is_direct, text);
        }
        self.lengths(plan, udp);
    }

    /// The client's own numbers.
    fn own_frames(&mut self) {
        let Some(frames) = &self.trial.frames else { return };
        let (sent, answered) = (frames.all.sent, frames.all.answered);
        let sizes: Vec<_> = frames.sizes.iter().filter(|count| count.answered > count.sent).collect();
        if answered > sent {
            self.differ(true, format!("{answered} frames were answered, but only {sent} sent"));
        }
        for count in sizes {
            let text = format!(
                "{} frames of {} bytes were answered, but only {} sent",
                count.answered, count.size, count.sent
            );
            self.differ(true, text);
        }
    }

    /// Lengths that the reflectors saw and nobody sent, or that came back oftener than they arrived.
    fn lengths(&mut self, plan: &Plan, udp: &UdpPlan) {
        let payload = |size: wire::frame::FrameSize| size.payload(udp.ip_version).unwrap_or(0);
        let (low, high) = udp.mix.range();
        let is_sent = |bytes: usize| match &udp.mix {
            Mix::Random { .. } => (payload(low)..=payload(high)).contains(&bytes),
            Mix::Fixed { size } => payload(*size) == bytes,
            Mix::Sequence { sizes, .. } => sizes.iter().any(|size| payload(*size) == bytes),
        };
        let trial = self.trial;
        let counts = || trial.ledgers.iter().flat_map(|ledger| &ledger.udp.by_length);
        let foreign: u64 = counts().filter(|count| !is_sent(count.payload.into())).map(|count| count.received).sum();
        if foreign > 0 {
            let text = format!(
                "the reflectors received {foreign} datagrams of lengths that no frame of this run has: they were cut, put \
                 together, or are not of this run"
            );
            self.differ(false, text);
        }
        if !self.all_ledgers_are_here(plan) {
            return;
        }
        let sizes =
            trial.frames.iter().filter(|_| !matches!(udp.mix, Mix::Random { .. })).flat_map(|frames| &frames.sizes);
        for size in sizes {
            let of_size = counts().filter(|count| usize::from(count.payload) == payload(size.size));
            let received: u64 = of_size.map(|count| count.received).sum();
            if size.answered > received {
                let text = format!(
                    "{} frames of {} bytes were answered in sustain, but the reflectors received {received} of that length",
                    size.answered, size.size
                );
                self.differ(true, text);
            }
        }
    }
}
