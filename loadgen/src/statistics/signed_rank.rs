//! The exact signed-rank test of paired differences, with its estimate and bounds.
//!
//! Wilcoxon (1945); the bounds are order statistics of the Walsh averages (dᵢ + dⱼ) / 2, i ≤ j, whose
//! median estimates the shift (Hodges and Lehmann 1963; Hollander, Wolfe and Chicken, Nonparametric
//! Statistical Methods, 3.1 to 3.3). The test asks that differences are symmetric around their median
//! and independent. T⁺ is the number of Walsh averages above zero, which for values without ties is
//! the sum of the ranks of the positive differences.
//!
//! Zeros and ties: a Walsh average of exactly zero counts against whichever claim is tested. That is
//! as if ties were broken by a coin that always falls the other way, so that neither p nor a bound
//! promises more than it holds; and the test rejects exactly when its bound leaves zero out.

use super::middle;

/// What the signed-rank test says about differences.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRank {
    averages: Vec<f64>,
    /// P(T⁺ ≤ t) for each t while the differences are symmetric around zero.
    below: Vec<f64>,
}

/// The signed-rank test of some differences; `None` without any, or with one that is not finite.
///
/// It takes n² / 2 numbers of memory and n³ / 4 additions: up to some hundred differences are no work.
pub fn signed_rank(differences: &[f64]) -> Option<SignedRank> {
    let sound = !differences.is_empty() && differences.iter().all(|value| value.is_finite());
    sound.then(|| SignedRank { averages: walsh_averages(differences), below: null(differences.len()) })
}

impl SignedRank {
    /// T⁺: Walsh averages above zero.
    pub fn t_plus(&self) -> usize {
        self.averages.iter().filter(|&&average| average > 0.0).count()
    }

    /// The probability of differences at least so far below zero when they are symmetric around it.
    pub fn p_less(&self) -> f64 {
        self.below[self.averages.iter().filter(|&&average| average >= 0.0).count()]
    }

    /// The probability of differences at least so far above zero when they are symmetric around it.
    pub fn p_greater(&self) -> f64 {
        self.below[self.averages.iter().filter(|&&average| average <= 0.0).count()]
    }

    /// The smaller of both one-sided probabilities, doubled.
    pub fn p_two_sided(&self) -> f64 {
        (2.0 * self.p_less().min(self.p_greater())).min(1.0)
    }

    /// The median of the Walsh averages.
    pub fn hodges_lehmann(&self) -> f64 {
        middle(&self.averages)
    }

    /// Which Walsh average from either end is the bound: the largest k with P(T⁺ ≤ k − 1) ≤ α. 0 if
    /// there are too few differences for one.
    pub fn rank(&self, alpha: f64) -> usize {
        self.below.partition_point(|&p| p <= alpha).min(self.averages.len())
    }

    /// The shift is below this with confidence 1 − α: the k-th largest Walsh average.
    pub fn upper(&self, alpha: f64) -> Option<f64> {
        let rank = self.rank(alpha);
        (rank > 0).then(|| self.averages[self.averages.len() - rank])
    }

    /// The shift is above this with confidence 1 − α: the k-th smallest Walsh average.
    pub fn lower(&self, alpha: f64) -> Option<f64> {
        let rank = self.rank(alpha);
        (rank > 0).then(|| self.averages[rank - 1])
    }
}

/// All n (n + 1) / 2 averages of two differences and of each with itself, sorted.
pub fn walsh_averages(differences: &[f64]) -> Vec<f64> {
    let pairs =
        differences.iter().enumerate().flat_map(|(at, one)| differences[at..].iter().map(move |other| (one, other)));
    // Halves first: the sum of two large numbers may overflow.
    let mut averages: Vec<f64> = pairs.map(|(one, other)| one / 2.0 + other / 2.0).collect();
    averages.sort_by(f64::total_cmp);
    averages
}

/// The shift of paired differences: the median of their Walsh averages. `None` without any.
pub fn hodges_lehmann(differences: &[f64]) -> Option<f64> {
    (!differences.is_empty()).then(|| middle(&walsh_averages(differences)))
}

/// The least number of pairs whose smallest p, 2⁻ⁿ, is at most `alpha`. 0 for an α of 1 or more.
pub fn pairs_needed(alpha: f64) -> u32 {
    (0..1_074).find(|&pairs| 0.5_f64.powi(pairs as i32) <= alpha).unwrap_or(1_074)
}

/// P(T⁺ ≤ t) for t from 0 to n (n + 1) / 2: each rank is in the sum or not, with equal chances.
fn null(count: usize) -> Vec<f64> {
    let most = count * (count + 1) / 2;
    let mut chances = vec![0.0; most + 1];
    chances[0] = 1.0;
    for rank in 1..=count {
        let reached = rank * (rank + 1) / 2;
        for sum in (0..=reached).rev() {
            let with = if sum >= rank { chances[sum - rank] } else { 0.0 };
            chances[sum] = (chances[sum] + with) / 2.0;
        }
    }
    let mut sum = 0.0_f64;
    for chance in &mut chances {
        sum += *chance;
        *chance = sum.min(1.0);
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_is_that_of_all_signs_written_out() {
        // Without ties and zeros: every assignment of signs is equally likely.
        let sizes = [0.4, 1.1, 2.7, 3.2, 5.9, 6.1, 8.8];
        let rank_sum =
            |signs: usize| (0..sizes.len()).filter(|at| signs >> at & 1 == 1).map(|at| at + 1).sum::<usize>();
        for signs in 0..1 << sizes.len() {
            let differences: Vec<f64> =
                (0..sizes.len()).map(|at| if signs >> at & 1 == 1 { sizes[at] } else { -sizes[at] }).collect();
            let found = signed_rank(&differences).unwrap();
            assert_eq!(found.t_plus(), rank_sum(signs));
            let extreme = (0..1 << sizes.len()).filter(|&other| rank_sum(other) <= rank_sum(signs)).count();
            assert!((found.p_less() - extreme as f64 / 128.0).abs() < 1e-12, "{differences:?}");
        }
    }

    #[test]
    fn the_test_rejects_exactly_when_its_bound_leaves_zero_out() {
        let mut random = 7_u64;
        let mut rejected = 0;
        for case in 0..2_000 {
            // Multiples of 0.25 below 2: full of ties and zeros.
            let count = 5 + case % 12;
            let mut next = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((random >> 33) % 15) as f64 / 4.0 - 2.2 + 0.2
            };
            let differences: Vec<f64> = (0..count).map(|_| next()).collect();
            let found = signed_rank(&differences).unwrap();
            for alpha in [0.001, 0.01, 0.05, 0.2] {
                assert_eq!(found.p_less() <= alpha, found.upper(alpha).is_some_and(|upper| upper < 0.0));
                assert_eq!(found.p_greater() <= alpha, found.lower(alpha).is_some_and(|lower| lower > 0.0));
            }
            rejected += usize::from(found.p_less() <= 0.2);
        }
        assert!((200..1_800).contains(&rejected), "{rejected}");
    }

    #[test]
    fn equal_sides_are_no_evidence_of_anything() {
        let found = signed_rank(&[0.0; 8]).unwrap();
        assert_eq!((found.t_plus(), found.p_less(), found.p_greater(), found.p_two_sided()), (0, 1.0, 1.0, 1.0));
        assert_eq!((found.hodges_lehmann(), found.lower(0.05), found.upper(0.05)), (0.0, Some(0.0), Some(0.0)));
    }

    #[test]
    fn what_is_no_sample_has_no_answer() {
        assert_eq!(signed_rank(&[]), None);
        assert_eq!(signed_rank(&[0.1, f64::NAN]), None);
        assert_eq!(hodges_lehmann(&[]), None);
        assert_eq!(hodges_lehmann(&[3.0]), Some(3.0));
        assert_eq!(signed_rank(&[-1.0]).unwrap().upper(0.05), None);
        assert_eq!(signed_rank(&[-1.0]).unwrap().upper(1.0), Some(-1.0));
    }

    #[test]
    fn large_samples_agree_with_the_normal_law() {
        // mean n(n+1)/4, variance n(n+1)(2n+1)/24; 5 % of it is left of the mean less 1.645 sd.
        let below = null(200);
        let (mean, sd) = (200.0 * 201.0 / 4.0, f64::sqrt(200.0 * 201.0 * 401.0 / 24.0));
        let at = (mean - 1.644_854 * sd).round() as usize;
        assert!((below[at] - 0.05).abs() < 1e-3, "{}", below[at]);
        assert!((below[200 * 201 / 2] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_least_number_of_pairs_follows_from_two_to_the_minus_n() {
        assert_eq!([0.05, 0.01, 0.004, 0.003, 0.0008, 1.0].map(pairs_needed), [5, 7, 8, 9, 11, 0]);
        assert_eq!(pairs_needed(0.0), 1_074);
    }
}
