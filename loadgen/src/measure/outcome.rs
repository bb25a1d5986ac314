//! How one operation ended, and whose doing that was.

use serde::{Deserialize, Serialize};

/// How one operation ended. Counted and reported, never returned as an error.
///
/// The kinds are those of a connection-rate test after RFC 9411; only [`Outcome::Ok`] is a success:
/// right status, verified body and clean close.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// Right status, verified body, clean close.
    Ok,
    /// The handshake was answered with a RST.
    ConnectRefused,
    /// No handshake within `connect_timeout`.
    ConnectTimeout,
    /// The network said the address cannot be reached.
    ConnectUnreachable,
    /// A RST after the handshake and before the operation was complete.
    ResetLater,
    /// A FIN before the response was complete.
    ClosedEarly,
    /// A complete response with another status than the expected one.
    BadStatus,
    /// A response that breaks HTTP/1 framing, or whose head is larger than 16 KiB.
    BadResponse,
    /// The right status with another body than the expected one.
    BadPayload,
    /// No complete response within `response_timeout`.
    ResponseTimeout,
    /// Everything arrived, but the connection did not end cleanly within the drain.
    UncleanClose,
    /// The connection of a held operation was lost while it should have been kept.
    HoldLost,
    /// Still under way when the drain ended.
    Unfinished,
    /// Never started: every slot was waiting for the DUT for longer than `max_lag`.
    UnsentWindow,
    /// Never started although a slot was free: the generator was late beyond `max_lag`.
    UnsentLate,
    /// The tester's own system call failed: no descriptor, no port, no buffer.
    LocalError,
    /// A datagram was sent and no right answer came within `response_timeout`.
    Lost,
}

impl Outcome {
    /// All outcomes, in the order of the columns of a report.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectUnreachable,
        Self::ResetLater,
        Self::ClosedEarly,
        Self::BadStatus,
        Self::BadResponse,
        Self::BadPayload,
        Self::ResponseTimeout,
        Self::UncleanClose,
        Self::HoldLost,
        Self::Unfinished,
        Self::UnsentWindow,
        Self::UnsentLate,
        Self::LocalError,
        Self::Lost,
    ];

    /// The name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectUnreachable => "connect_unreachable",
            Self::ResetLater => "reset_later",
            Self::ClosedEarly => "closed_early",
            Self::BadStatus => "bad_status",
            Self::BadResponse => "bad_response",
            Self::BadPayload => "bad_payload",
            Self::ResponseTimeout => "response_timeout",
            Self::UncleanClose => "unclean_close",
            Self::HoldLost => "hold_lost",
            Self::Unfinished => "unfinished",
            Self::UnsentWindow => "unsent_window",
            Self::UnsentLate => "unsent_late",
            Self::LocalError => "local_error",
            Self::Lost => "lost",
        }
    }

    /// Whether the tester itself is to blame; such a failure never counts against the DUT.
    pub fn is_testers_fault(self) -> bool {
        matches!(self, Self::UnsentLate | Self::LocalError)
    }

    /// Whether anything of the operation reached the wire.
    pub fn was_sent(self) -> bool {
        !matches!(self, Self::UnsentWindow | Self::UnsentLate | Self::LocalError)
    }
}

/// One counter per [`Outcome`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outcomes([u64; Outcome::ALL.len()]);

impl Outcomes {
    /// Counts one operation.
    pub fn count(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }

    /// Counts several operations that ended the same way.
    pub fn add(&mut self, outcome: Outcome, operations: u64) {
        self.0[outcome as usize] += operations;
    }

    /// How many operations ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// All operations.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// All operations but the successful ones.
    pub fn failed(&self) -> u64 {
        self.total() - self.of(Outcome::Ok)
    }

    /// Failures the tester itself is not to blame for.
    pub fn failed_by_testbed(&self) -> u64 {
        Outcome::ALL.into_iter().filter(|o| *o != Outcome::Ok && !o.is_testers_fault()).map(|o| self.of(o)).sum()
    }

    /// Adds the counters of another part of the same trial.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// The outcomes with their counts, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.of(outcome)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_counter_and_name() {
        let mut counts = Outcomes::default();
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
            counts.add(outcome, at as u64 + 1);
        }
        assert!(counts.iter().enumerate().all(|(at, (_, n))| n == at as u64 + 1));
        assert_eq!(counts.total(), (1..=17).sum::<u64>());
        let names: std::collections::HashSet<_> = Outcome::ALL.map(Outcome::name).into();
        assert_eq!(names.len(), Outcome::ALL.len());
    }

    #[test]
    fn the_testers_own_failures_are_not_the_duts() {
        let mut counts = Outcomes::default();
        counts.add(Outcome::Ok, 10);
        counts.add(Outcome::UnsentLate, 3);
        counts.add(Outcome::LocalError, 2);
        counts.add(Outcome::ResetLater, 1);
        assert_eq!((counts.failed(), counts.failed_by_testbed()), (6, 1));
    }
}
