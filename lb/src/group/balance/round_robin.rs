//! Round robin: each eligible server in turn, in the order of the configuration.

#[derive(Debug)]
pub(crate) struct RoundRobin {
    servers: usize,
    /// The server whose turn it is.
    next: usize,
}

impl RoundRobin {
    pub(crate) fn new(servers: usize, start: usize) -> Self {
        Self { servers, next: start }
    }

    /// The server whose turn it is.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    pub(crate) fn choose(&mut self, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let mut at = self.next;
        for _ in 0..self.servers {
            let following = if at + 1 == self.servers { 0 } else { at + 1 };
            if eligible(at) {
                self.next = following;
                return Some(at);
            }
            at = following;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_gets_the_same_share_in_turn() {
        let mut balance = RoundRobin::new(3, 0);
        let chosen: Vec<_> = (0..7).map(|_| balance.choose(|_| true).unwrap()).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_server_that_is_not_eligible_is_passed_over_and_none_is_found_when_all_are() {
        let mut balance = RoundRobin::new(3, 1);
        let chosen: Vec<_> = (0..4).map(|_| balance.choose(|at| at != 1).unwrap()).collect();
        assert_eq!(chosen, [2, 0, 2, 0]);
        assert_eq!(balance.choose(|_| false), None);
        assert_eq!(balance.choose(|_| true), Some(1), "an empty look does not lose the place");
    }
}
