//! The exact Mann–Whitney test: does one of two independent samples tend to larger values?
//!
//! Mann and Whitney 1947. Equal values share their mean rank, and p counts all ways to deal these very
//! ranks to both samples, so that it is exact with ties, too. Two-sided p is the smaller tail doubled.
//! It asks for independent values: runs that drift with the hour are not, see [`crate::gate`] for
//! those.

/// What the test says of two samples `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannWhitney {
    /// U of `a`: pairs of which a's value is the larger one, equal ones counting a half.
    pub u: f64,
    /// The probability of `a` so low or lower when both come from one distribution.
    pub p_less: f64,
    /// The probability of `a` so high or higher when both come from one distribution.
    pub p_greater: f64,
}

impl MannWhitney {
    /// The smaller tail doubled.
    pub fn p_two_sided(&self) -> f64 {
        (2.0 * self.p_less.min(self.p_greater)).min(1.0)
    }
}

/// Compares two samples; `None` if one is empty or has a value that is not finite.
///
/// It takes about |a| · n³ / 2 additions with n = |a| + |b|: samples of some ten values are no work.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<MannWhitney> {
    let sound = |values: &[f64]| !values.is_empty() && values.iter().all(|value| value.is_finite());
    if !sound(a) || !sound(b) {
        return None;
    }
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    all.sort_by(f64::total_cmp);
    let ranks: Vec<usize> = all.iter().map(|&value| doubled_rank(&all, value)).collect();
    let found: usize = a.iter().map(|&value| doubled_rank(&all, value)).sum();
    let chances = sums(&ranks, a.len());
    let smallest = a.len() * (a.len() + 1);
    Some(MannWhitney {
        u: (found - smallest) as f64 / 2.0,
        p_less: chances[..=found].iter().sum::<f64>().min(1.0),
        p_greater: chances[found..].iter().sum::<f64>().min(1.0),
    })
}

/// Twice the mean rank of a value among all, a whole number.
fn doubled_rank(sorted: &[f64], value: f64) -> usize {
    // By comparison and not by total order: 0 and -0 are one value.
    sorted.partition_point(|&other| other < value) + sorted.partition_point(|&other| other <= value) + 1
}

/// The chance of each sum when `count` of the ranks are dealt to one sample.
fn sums(ranks: &[usize], count: usize) -> Vec<f64> {
    let most = ranks.iter().sum::<usize>();
    // chances[k][s]: k ranks dealt so far with the sum s. Each rank is dealt with the chance that keeps
    // every hand equally likely, (left to deal) / (ranks left).
    let mut chances = vec![vec![0.0; most + 1]; count + 1];
    chances[0][0] = 1.0;
    for (at, &rank) in ranks.iter().enumerate() {
        let left = (ranks.len() - at) as f64;
        for dealt in (0..=count.min(at)).rev() {
            let share = (count - dealt) as f64 / left;
            for sum in (0..=most - rank).rev() {
                let chance = chances[dealt][sum];
                if chance == 0.0 {
                    continue;
                }
                if dealt < count {
                    chances[dealt + 1][sum + rank] += chance * share;
                }
                chances[dealt][sum] = chance * (1.0 - share);
            }
        }
    }
    chances.swap_remove(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_rank() {
        // Six values, two of them equal: of the 20 ways to deal three, count those as low as {1, 2, 2}.
        let found = mann_whitney(&[1.0, 2.0, 2.0], &[3.0, 4.0, 5.0]).unwrap();
        assert_eq!((found.u, found.p_greater), (0.0, 1.0));
        assert!((found.p_less - 1.0 / 20.0).abs() < 1e-12, "{found:?}");
        // {1, 3} against {2, 2}: ranks 1 and 4 against 2.5 and 2.5, sums 5 and 5: nothing is unusual.
        let found = mann_whitney(&[1.0, 3.0], &[2.0, 2.0]).unwrap();
        assert_eq!((found.u, found.p_two_sided()), (2.0, 1.0));
        let found = mann_whitney(&[1.0; 5], &[1.0; 5]).unwrap();
        assert!((found.u, found.p_two_sided()) == (12.5, 1.0), "{found:?}");
        assert_eq!(mann_whitney(&[0.0], &[-0.0]).unwrap().u, 0.5);
    }

    #[test]
    fn what_is_no_sample_has_no_answer() {
        assert_eq!(mann_whitney(&[], &[1.0]), None);
        assert_eq!(mann_whitney(&[1.0], &[f64::INFINITY]), None);
    }

    #[test]
    fn both_sides_see_the_same_from_opposite_ends() {
        let (a, b) = ([1.0, 4.0, 4.0, 9.0], [2.0, 3.0, 4.0, 8.0, 10.0]);
        let (one, other) = (mann_whitney(&a, &b).unwrap(), mann_whitney(&b, &a).unwrap());
        assert_eq!(one.u + other.u, 20.0);
        assert!((one.p_less - other.p_greater).abs() < 1e-12, "{one:?} {other:?}");
    }
}
