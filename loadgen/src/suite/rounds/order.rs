//! In which order the contenders of a round run. Pure.

/// A random order of `count` contenders, the same for the same seed and round on every machine. Each
/// round is shuffled on its own (Fisher and Yates), so that a machine that gets slower or faster on the
/// way favours nobody.
pub fn order(seed: u64, round: u32, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = seed ^ (u64::from(round) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for at in (1..count).rev() {
        // splitmix64 (Steele et al. 2014). The bias of the remainder is below 2^-50 for a few contenders.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        order.swap(at, (mixed % (at as u64 + 1)) as usize);
    }
    order
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
