//! Numbers from numbers and from texts: the same on every machine and in every version.
//!
//! For seeds, orders and fingerprints. Nothing here is a defence against intent.

/// 2^64 divided by the golden ratio, odd: its multiples lie far apart in the 64-bit numbers.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014), one step on: neighbours in, unrelated numbers out.
pub fn mixed(number: u64) -> u64 {
    let a = number.wrapping_add(GOLDEN);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

/// The sequence of SplitMix64 from a seed.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// The sequence of this seed, from its start.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        let number = mixed(self.0);
        self.0 = self.0.wrapping_add(GOLDEN);
        number
    }

    /// A number from 0 to below `bound`, which is at least 1; the bias of the remainder is below `bound` / 2^64.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// The numbers below `count` in random order (Fisher and Yates).
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

/// A share from 0 (included) to 1 (excluded) from the upper 53 bits of a random number.
pub fn share(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo): tells apart what differs by accident.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_come_out() {
        // The first numbers of the reference code of SplitMix64 for the seed 1234567.
        let mut sequence = SplitMix64::new(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([(); 3].map(|()| sequence.number()), first);
        // Test vectors of the authors of FNV.
        assert_eq!(fnv1a(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn an_order_has_every_number_once_and_is_fixed_by_the_seed() {
        let mut order = SplitMix64::new(7).order(20);
        assert_eq!(order, SplitMix64::new(7).order(20));
        assert_ne!(order, SplitMix64::new(8).order(20));
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn every_order_of_three_comes_up_about_as_often() {
        let mut numbers = SplitMix64::new(1);
        let mut counts = std::collections::BTreeMap::new();
        (0..6_000).for_each(|_| *counts.entry(numbers.order(3)).or_insert(0) += 1);
        assert_eq!(counts.len(), 6);
        // Five standard deviations of a binomial with n = 6000, p = 1/6 are 144.
        assert!(counts.values().all(|count| (856..=1_144).contains(count)), "{counts:?}");
    }

    #[test]
    fn shares_reach_from_0_to_below_1() {
        assert_eq!((share(0), share(1 << 63)), (0.0, 0.5));
        assert!(share(u64::MAX) < 1.0);
    }
}
