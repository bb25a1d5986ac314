//! In which order the contenders of a round run. Pure.

use wire::hash::{GOLDEN, SplitMix64};

/// A random order of `count` contenders, the same for the same seed and round on every machine. Each
/// round is shuffled on its own, so that a machine that gets slower or faster on the
/// way favours nobody.
pub fn order(seed: u64, round: u32, count: usize) -> Vec<usize> {
    SplitMix64::new(seed ^ (u64::from(round) + 1).wrapping_mul(GOLDEN)).order(count)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_order_comes_equally_often_and_the_seed_fixes_it() {
        let mut seen: HashMap<Vec<usize>, u32> = HashMap::new();
        for round in 0..24_000 {
            let order = order(3, round, 4);
            assert_eq!(order, super::order(3, round, 4));
            *seen.entry(order).or_default() += 1;
        }
        assert_eq!(seen.len(), 24);
        // 1,000 each; five standard deviations are 155.
        assert!(seen.values().all(|&times| (845..=1_155).contains(&times)), "{seen:?}");
        assert_ne!(
            (0..32).map(|round| order(1, round, 3)).collect::<Vec<_>>(),
            (0..32).map(|r| order(2, r, 3)).collect::<Vec<_>>()
        );
    }
}
