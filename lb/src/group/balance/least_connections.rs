//! Least connections: the server with the least work per weight; among equals, each in turn.
//!
//! The turn matters: without it a quiet service would send everything to its first server.

#[derive(Debug)]
pub(crate) struct LeastConnections {
    weights: Vec<u32>,
    /// Where the search begins: behind the server chosen last.
    next: usize,
}

impl LeastConnections {
    pub(crate) fn new(weights: Vec<u32>, start: usize) -> Self {
        Self { weights, next: start }
    }

    pub(crate) fn uses(&self, server: usize) -> bool {
        self.weights[server] > 0
    }

    /// The server whose turn it is.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    pub(crate) fn choose(&mut self, eligible: impl Fn(usize) -> bool, load: impl Fn(usize) -> u64) -> Option<usize> {
        let servers = self.weights.len();
        let mut best: Option<(usize, u64)> = None;
        for step in 0..servers {
            let at = (self.next + step) % servers;
            if self.weights[at] == 0 || !eligible(at) {
                continue;
            }
            let busy = load(at);
            // busy / weight < best busy / best weight, without the division.
            let better = best.is_none_or(|(other, other_busy)| {
                busy * u64::from(self.weights[other]) < other_busy * u64::from(self.weights[at])
            });
            if better {
                best = Some((at, busy));
            }
        }
        let (at, _) = best?;
        self.next = (at + 1) % servers;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_busy_server_is_chosen() {
        let mut balance = LeastConnections::new(vec![1, 1, 1], 0);
        let load = [5, 2, 9];
        assert_eq!(balance.choose(|_| true, |at| load[at]), Some(1));
        assert_eq!(balance.choose(|at| at != 1, |at| load[at]), Some(0));
        assert_eq!(balance.choose(|_| false, |at| load[at]), None);
    }

    #[test]
    fn idle_servers_take_turns() {
        let mut balance = LeastConnections::new(vec![1, 1, 1], 0);
        let chosen: Vec<_> = (0..6).map(|_| balance.choose(|_| true, |_| 0).unwrap()).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn held_connections_fill_in_proportion_to_the_weights() {
        let mut balance = LeastConnections::new(vec![3, 1, 0], 0);
        let mut held = [0_u64; 3];
        for _ in 0..400 {
            let at = balance.choose(|_| true, |at| held[at]).unwrap();
            held[at] += 1;
        }
        assert_eq!(held, [300, 100, 0]);
    }
}
