//! Weighted round robin, smooth: shares in proportion to the weights, spread as evenly as they allow.
//!
//! Each choice adds every eligible server's weight to its credit, takes the highest credit and
//! charges it the sum of the weights: 4:2:1 gives a b a c a b a, not a a a a b b c. Over one cycle
//! (the sum of the weights) the shares are exact.

#[derive(Debug)]
pub(crate) struct WeightedRoundRobin {
    weights: Vec<u32>,
    credit: Vec<i64>,
    /// Where the search begins, so that servers of equal credit are met in rotation by the workers.
    start: usize,
}

impl WeightedRoundRobin {
    pub(crate) fn new(weights: Vec<u32>, start: usize) -> Self {
        Self { credit: vec![0; weights.len()], weights, start }
    }

    pub(crate) fn uses(&self, server: usize) -> bool {
        self.weights[server] > 0
    }

    /// The server that comes next if all may be used.
    pub(crate) fn next(&self) -> usize {
        let servers = self.weights.len();
        let in_turn = (0..servers).map(|step| (self.start + step) % servers);
        // The first of those with the most credit, as `choose` takes it.
        let best = in_turn.rev().max_by_key(|&at| self.credit[at] + i64::from(self.weights[at]));
        best.unwrap_or(self.start)
    }

    pub(crate) fn choose(&mut self, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let servers = self.weights.len();
        let mut total = 0;
        let mut best: Option<usize> = None;
        for step in 0..servers {
            let at = (self.start + step) % servers;
            if self.weights[at] == 0 || !eligible(at) {
                continue;
            }
            total += i64::from(self.weights[at]);
            self.credit[at] += i64::from(self.weights[at]);
            if best.is_none_or(|best| self.credit[at] > self.credit[best]) {
                best = Some(at);
            }
        }
        let best = best?;
        self.credit[best] -= total;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_two_one_is_spread_evenly() {
        let mut balance = WeightedRoundRobin::new(vec![4, 2, 1], 0);
        let chosen: Vec<_> = (0..7).map(|_| balance.choose(|_| true).unwrap()).collect();
        assert_eq!(chosen, [0, 1, 0, 2, 0, 1, 0]);
    }

    #[test]
    fn whose_turn_it_is_can_be_told_before() {
        let mut balance = WeightedRoundRobin::new(vec![4, 2, 2, 1], 1);
        for _ in 0..20 {
            let told = balance.next();
            assert_eq!(balance.choose(|_| true), Some(told));
        }
    }

    #[test]
    fn shares_are_exact_over_whole_cycles_for_any_weights() {
        // A fixed multiplicative sequence: many different weights, the same ones every time.
        let mut state = 1_u64;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32 % 20
        };
        for case in 0..200 {
            let weights: Vec<u32> = (0..1 + case % 9).map(|_| draw()).collect();
            let cycle: u32 = weights.iter().sum();
            let mut balance = WeightedRoundRobin::new(weights.clone(), case % weights.len());
            let mut shares = vec![0; weights.len()];
            for _ in 0..3 * cycle {
                shares[balance.choose(|_| true).unwrap()] += 1;
            }
            let exact: Vec<u32> = weights.iter().map(|weight| 3 * weight).collect();
            assert_eq!(shares, exact);
        }
    }

    #[test]
    fn the_weight_of_a_server_that_is_down_goes_to_the_others_in_proportion() {
        let mut balance = WeightedRoundRobin::new(vec![4, 2, 1], 0);
        let mut shares = [0; 3];
        for _ in 0..300 {
            shares[balance.choose(|at| at != 0).unwrap()] += 1;
        }
        assert_eq!(shares, [0, 200, 100]);
    }

    #[test]
    fn weight_zero_takes_no_work() {
        let mut balance = WeightedRoundRobin::new(vec![0, 1], 0);
        assert!((0..10).all(|_| balance.choose(|_| true) == Some(1)));
        assert_eq!(balance.choose(|at| at == 0), None);
    }
}
