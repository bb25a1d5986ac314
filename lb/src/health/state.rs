//! The state machine of one server: `fall` failed checks in a row take it down, `rise` good ones in a
//! row bring it up. Pure. It begins up, or unproven: down until a check was good, once.

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Up,
    Down,
}

#[derive(Debug)]
pub(super) struct HealthState {
    up: bool,
    /// Checks in a row that contradict the state.
    against: u32,
    rise: u32,
    fall: u32,
}

impl HealthState {
    pub(super) fn new(rise: u32, fall: u32) -> Self {
        Self { up: true, against: 0, rise, fall }
    }

    /// Down, but the next check that is good brings it up; after a failed one it is down like any other.
    pub(super) fn unproven(rise: u32, fall: u32) -> Self {
        Self { up: false, against: rise - 1, rise, fall }
    }

    /// Books one check; returns the new state if it changed.
    pub(super) fn observe(&mut self, good: bool) -> Option<Verdict> {
        if good == self.up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if self.up { self.fall } else { self.rise };
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.up = good;
        Some(if good { Verdict::Up } else { Verdict::Down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `+` as good and `-` as failed checks; returns the place and kind of every change.
    fn changes(rise: u32, fall: u32, checks: &str) -> Vec<(usize, Verdict)> {
        changes_from(HealthState::new(rise, fall), checks)
    }

    fn changes_from(mut state: HealthState, checks: &str) -> Vec<(usize, Verdict)> {
        checks.bytes().enumerate().filter_map(|(at, check)| Some((at, state.observe(check == b'+')?))).collect()
    }

    #[test]
    fn it_takes_exactly_fall_failures_in_a_row_to_go_down_and_rise_successes_to_come_back() {
        assert_eq!(changes(2, 3, "++---++"), [(4, Verdict::Down), (6, Verdict::Up)]);
        assert_eq!(changes(1, 1, "-+-"), [(0, Verdict::Down), (1, Verdict::Up), (2, Verdict::Down)]);
    }

    #[test]
    fn an_interrupted_row_starts_again() {
        assert_eq!(changes(2, 3, "--+--+--+"), []);
        assert_eq!(changes(2, 2, "--+-+-+-"), [(1, Verdict::Down)]);
    }

    #[test]
    fn an_unproven_server_needs_one_good_check_or_after_a_failed_one_as_many_as_any() {
        assert_eq!(changes_from(HealthState::unproven(3, 2), "+--"), [(0, Verdict::Up), (2, Verdict::Down)]);
        assert_eq!(changes_from(HealthState::unproven(3, 2), "-+++"), [(3, Verdict::Up)]);
        assert_eq!(changes_from(HealthState::unproven(1, 1), "-+-"), [(1, Verdict::Up), (2, Verdict::Down)]);
    }
}
