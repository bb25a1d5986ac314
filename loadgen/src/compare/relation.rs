//! What follows from two values: their ratio, how sure it is, and which one is larger.
//!
//! Values of the same rounds are compared round by round: the estimate is the Hodges–Lehmann one of the
//! logarithms of the ratios, its interval that of the exact signed-rank test at 95 %; shares, which may be
//! nothing, are compared by their differences. Repetitions within
//! two runs belong to no pairs: the interval is from the smallest of one over the largest of the other to
//! the opposite, and the exact Mann–Whitney test at 5 % decides. A single value has no interval; two
//! figures are then brackets, as in [`super`]. Nothing is decided where a bound leaves it open.

use serde::Serialize;

use super::Pairing;
use super::measured::{Better, Counts, Measured, Quantity};
use crate::statistics::{mann_whitney, signed_rank};
use crate::verdict::answer::Bound;

/// Probability of an interval that misses, both sides together.
const ALPHA: f64 = 0.05;

/// Which of two values is larger.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The value is larger than the first contender's.
    Larger,
    /// It is smaller.
    Smaller,
    /// The measurements do not decide it.
    NotDecided,
}

impl Relation {
    /// The words in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Larger => "larger",
            Self::Smaller => "smaller",
            Self::NotDecided => "not decided",
        }
    }
}

/// Whether a ratio is the value itself or a bound of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RatioBound {
    /// The value.
    Exact,
    /// At least this.
    AtLeast,
    /// At most this.
    AtMost,
}

/// A value divided by the first contender's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The ratio; `None` between two bounds, or over nothing.
    pub value: Option<f64>,
    /// What the value is.
    pub bound: RatioBound,
    /// From where to where it may lie.
    pub interval: Option<(f64, f64)>,
    /// Which one is larger.
    pub relation: Relation,
    /// Whether the larger one is better, as the quantity says.
    pub better: Option<bool>,
    /// What interval and relation stand on, or why there are none.
    pub basis: String,
}

impl Ratio {
    fn new(value: Option<f64>, basis: impl Into<String>) -> Self {
        let value = value.filter(|value| value.is_finite());
        let (bound, relation) = (RatioBound::Exact, Relation::NotDecided);
        Self { value, bound, interval: None, relation, better: None, basis: basis.into() }
    }

    fn related(mut self, relation: Relation, quantity: &Quantity) -> Self {
        self.relation = relation;
        self.better = match (quantity.better, relation) {
            (Better::Neither, _) | (_, Relation::NotDecided) => None,
            (Better::Larger, relation) => Some(relation == Relation::Larger),
            (Better::Smaller, relation) => Some(relation == Relation::Smaller),
        };
        self
    }

    /// Takes back what was decided, because one of both may not be ranked.
    pub(super) fn unrank(&mut self, why: String) {
        (self.relation, self.better) = (Relation::NotDecided, None);
        self.basis = why;
    }
}

/// The ratio of `other` to `first`; `None` where the values may not be divided.
pub(super) fn ratio(quantity: &Quantity, first: &Measured, other: &Measured, pairing: Pairing) -> Option<Ratio> {
    if !quantity.comparable {
        return None;
    }
    if first.bound == Bound::Lower || other.bound == Bound::Lower {
        return Some(bounded(quantity, first, other));
    }
    let value = (first.value > 0.0).then(|| other.value / first.value);
    if quantity.better == Better::Neither {
        return Some(Ratio::new(value, "not ranked: it is what was asked for, or describes only"));
    }
    let several = |measured: &Measured| measured.samples.iter().flatten().count() > 1;
    Some(match pairing {
        Pairing::Rounds => paired(quantity, first, other, value),
        Pairing::Runs if several(first) && several(other) => repeated(quantity, first, other, value),
        Pairing::Runs => once(quantity, first, other, value),
    })
}

fn bounded(quantity: &Quantity, first: &Measured, other: &Measured) -> Ratio {
    let quotient = (first.value > 0.0).then(|| other.value / first.value);
    let relation = by_brackets(first, other);
    match (first.bound, other.bound) {
        (Bound::Exact, _) => {
            let why = "the other one is \"at least\": the tester or the host set its limit";
            let ratio = Ratio { bound: RatioBound::AtLeast, ..Ratio::new(quotient, why) };
            ratio.related(relation, quantity)
        }
        (Bound::Lower, Bound::Exact) => {
            let why = "the first one is \"at least\": the tester or the host set its limit";
            let ratio = Ratio { bound: RatioBound::AtMost, ..Ratio::new(quotient, why) };
            ratio.related(relation, quantity)
        }
        (Bound::Lower, Bound::Lower) => Ratio::new(None, "both are \"at least\": no ratio follows"),
    }
}

/// The end of what a figure may be: the lowest load that failed, nothing for "at least".
fn end(measured: &Measured) -> f64 {
    match measured.bound {
        Bound::Lower => f64::INFINITY,
        Bound::Exact => measured.failed_at.unwrap_or(measured.value).max(measured.value),
    }
}

fn by_brackets(first: &Measured, other: &Measured) -> Relation {
    if other.value > first.value && other.value >= end(first) {
        Relation::Larger
    } else if first.value > other.value && first.value >= end(other) {
        Relation::Smaller
    } else {
        Relation::NotDecided
    }
}

fn once(quantity: &Quantity, first: &Measured, other: &Measured, value: Option<f64>) -> Ratio {
    let searched = first.failed_at.is_some() && other.failed_at.is_some();
    if !searched {
        return Ratio::new(value, "one run: no interval");
    }
    match by_brackets(first, other) {
        Relation::NotDecided => Ratio::new(value, "one run: no interval; the widths of both searches overlap"),
        relation => {
            let why = "one run: no interval; the widths of both searches lie apart, how far repeats would is not known";
            Ratio::new(value, why).related(relation, quantity)
        }
    }
}

fn repeated(quantity: &Quantity, first: &Measured, other: &Measured, value: Option<f64>) -> Ratio {
    let values = |measured: &Measured| measured.samples.iter().flatten().copied().collect::<Vec<f64>>();
    let (ours, theirs) = (values(first), values(other));
    let (Some(mine), Some(its)) = (first.spread(), other.spread()) else { return Ratio::new(value, "too few repeats") };
    let interval = (mine.min > 0.0).then(|| (its.min / mine.max, its.max / mine.min));
    let test = mann_whitney(&theirs, &ours);
    let counts = format!("{} and {} repeats: from extreme to extreme", mine.count, its.count);
    let (relation, basis) = match test {
        Some(test) if test.p_two_sided() <= ALPHA => {
            let relation = if test.p_greater < test.p_less { Relation::Larger } else { Relation::Smaller };
            (relation, format!("{counts}; Mann–Whitney p = {:.3}", test.p_two_sided()))
        }
        Some(test) => {
            (Relation::NotDecided, format!("{counts}; Mann–Whitney p = {:.2}, above {ALPHA}", test.p_two_sided()))
        }
        None => (Relation::NotDecided, counts),
    };
    Ratio { interval, ..Ratio::new(value, basis) }.related(relation, quantity)
}

fn paired(quantity: &Quantity, first: &Measured, other: &Measured, value: Option<f64>) -> Ratio {
    let pairs: Vec<(f64, f64)> =
        first.samples.iter().zip(&other.samples).filter_map(|(first, other)| Some(((*first)?, (*other)?))).collect();
    if quantity.counts == Counts::Share {
        return differing(quantity, &pairs, value);
    }
    if pairs.iter().any(|&(first, other)| first <= 0.0 || other <= 0.0) {
        return Ratio::new(value, format!("{} rounds, but a ratio with nothing in it says nothing", pairs.len()));
    }
    let logs: Vec<f64> = pairs.iter().map(|(first, other)| (other / first).ln()).collect();
    let Some(test) = signed_rank(&logs) else { return Ratio::new(value, "no round has both values") };
    let estimate = Some(test.hodges_lehmann().exp());
    let rounds = logs.len();
    let Some((low, high)) = test.lower(ALPHA / 2.0).zip(test.upper(ALPHA / 2.0)) else {
        return Ratio::new(estimate, format!("{rounds} rounds: too few for a 95 % interval, which takes 6"));
    };
    let relation = match (low, high) {
        (low, _) if low > 0.0 => Relation::Larger,
        (_, high) if high < 0.0 => Relation::Smaller,
        _ => Relation::NotDecided,
    };
    let basis = format!("{rounds} rounds: Hodges–Lehmann, 95 % by signed ranks, p = {:.3}", test.p_two_sided());
    Ratio { interval: Some((low.exp(), high.exp())), ..Ratio::new(estimate, basis) }.related(relation, quantity)
}

/// Shares by their differences: that of nothing has no ratio.
fn differing(quantity: &Quantity, pairs: &[(f64, f64)], value: Option<f64>) -> Ratio {
    let differences: Vec<f64> = pairs.iter().map(|(first, other)| other - first).collect();
    let Some(test) = signed_rank(&differences) else { return Ratio::new(value, "no round has both values") };
    let p = test.p_two_sided();
    let relation = match () {
        () if p > ALPHA => Relation::NotDecided,
        () if test.p_greater() < test.p_less() => Relation::Larger,
        () => Relation::Smaller,
    };
    let basis = format!("{} rounds: differences by signed ranks, p = {p:.3}", pairs.len());
    Ratio::new(value, basis).related(relation, quantity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(better: Better) -> Quantity {
        Quantity { key: "cps".to_owned(), label: String::new(), counts: Counts::PerSecond, better, comparable: true }
    }

    fn figure(value: f64, bound: Bound, failed_at: Option<f64>) -> Measured {
        Measured { value, bound, failed_at, samples: vec![Some(value)], note: String::new() }
    }

    fn several(values: &[f64]) -> Measured {
        let samples = values.iter().copied().map(Some).collect();
        Measured { samples, ..figure(crate::statistics::median(values).unwrap(), Bound::Exact, None) }
    }

    #[test]
    fn of_two_figures_one_is_larger_only_if_that_follows() {
        use Bound::{Exact, Lower};
        use RatioBound::{AtLeast, AtMost};
        use Relation::{Larger, NotDecided, Smaller};
        let cases = [
            // first, other, what follows, the ratio
            ((100.0, Exact, Some(105.0)), (120.0, Exact, Some(126.0)), Larger, RatioBound::Exact, Some(1.2)),
            ((120.0, Exact, Some(126.0)), (100.0, Exact, Some(105.0)), Smaller, RatioBound::Exact, Some(100.0 / 120.0)),
            ((100.0, Exact, Some(105.0)), (103.0, Exact, Some(108.0)), NotDecided, RatioBound::Exact, Some(1.03)),
            ((100.0, Exact, Some(105.0)), (120.0, Lower, None), Larger, AtLeast, Some(1.2)),
            ((100.0, Exact, Some(105.0)), (102.0, Lower, None), NotDecided, AtLeast, Some(1.02)),
            ((100.0, Exact, Some(105.0)), (80.0, Lower, Some(90.0)), NotDecided, AtLeast, Some(0.8)),
            ((120.0, Lower, None), (100.0, Exact, Some(105.0)), Smaller, AtMost, Some(100.0 / 120.0)),
            ((80.0, Lower, None), (100.0, Exact, Some(105.0)), NotDecided, AtMost, Some(1.25)),
            ((80.0, Lower, None), (1_000.0, Lower, None), NotDecided, RatioBound::Exact, None),
        ];
        for (first, other, relation, bound, value) in cases {
            let of = |(value, bound, failed_at)| figure(value, bound, failed_at);
            let found = ratio(&quantity(Better::Larger), &of(first), &of(other), Pairing::Runs).unwrap();
            assert_eq!((found.relation, found.bound, found.value), (relation, bound, value), "{first:?} {other:?}");
            let better = match relation {
                Larger => Some(true),
                Smaller => Some(false),
                NotDecided => None,
            };
            assert_eq!((found.better, found.interval), (better, None), "{first:?} {other:?}");
        }
    }

    #[test]
    fn single_values_without_a_search_have_a_ratio_and_nothing_more() {
        let one = |value| figure(value, Bound::Exact, None);
        let found = ratio(&quantity(Better::Smaller), &one(50.0), &one(100.0), Pairing::Runs).unwrap();
        assert_eq!((found.value, found.relation, found.interval), (Some(2.0), Relation::NotDecided, None));
        assert_eq!(found.basis, "one run: no interval");
        assert_eq!(ratio(&quantity(Better::Smaller), &one(0.0), &one(1.0), Pairing::Runs).unwrap().value, None);
        let own = Quantity { comparable: false, ..quantity(Better::Smaller) };
        assert_eq!(ratio(&own, &one(50.0), &one(100.0), Pairing::Runs), None);
        let described = ratio(&quantity(Better::Neither), &several(&[1.0; 9]), &several(&[2.0; 9]), Pairing::Rounds);
        assert_eq!(described.unwrap().relation, Relation::NotDecided);
    }

    #[test]
    fn repeats_decide_when_enough_of_them_lie_apart() {
        let first = several(&[100.0, 101.0, 102.0, 103.0]);
        let apart = ratio(&quantity(Better::Larger), &first, &several(&[110.0, 111.0, 112.0, 113.0]), Pairing::Runs);
        let apart = apart.unwrap();
        assert_eq!((apart.relation, apart.interval), (Relation::Larger, Some((110.0 / 103.0, 113.0 / 100.0))));
        // 3 and 3 that lie apart have p = 0.1.
        let few = ratio(
            &quantity(Better::Larger),
            &several(&[100.0, 101.0, 102.0]),
            &several(&[110.0, 111.0, 112.0]),
            Pairing::Runs,
        );
        assert_eq!(few.unwrap().relation, Relation::NotDecided);
        let mixed = ratio(&quantity(Better::Larger), &first, &several(&[99.0, 101.5, 102.5, 104.0]), Pairing::Runs);
        assert_eq!(mixed.unwrap().relation, Relation::NotDecided);
    }

    #[test]
    fn failures_are_compared_where_one_side_has_none() {
        let share = Quantity { counts: Counts::Share, ..quantity(Better::Smaller) };
        let (none, some) = (several(&[0.0; 6]), several(&[0.04, 0.03, 0.05, 0.04, 0.06, 0.02]));
        let found = ratio(&share, &none, &some, Pairing::Rounds).unwrap();
        assert_eq!((found.relation, found.better, found.value), (Relation::Larger, Some(false), None));
        let equal = ratio(&share, &none, &none, Pairing::Rounds).unwrap();
        assert_eq!(equal.relation, Relation::NotDecided);
    }

    #[test]
    fn rounds_are_compared_round_by_round() {
        // The machine drifts by half, the ratio of a round is always 1.1 to 1.15.
        let first = [100.0, 150.0, 110.0, 140.0, 120.0, 130.0];
        let factors = [1.10, 1.12, 1.13, 1.15, 1.11, 1.14];
        let other: Vec<f64> = first.iter().zip(factors).map(|(value, factor)| value * factor).collect();
        let found = ratio(&quantity(Better::Smaller), &several(&first), &several(&other), Pairing::Rounds).unwrap();
        assert_eq!((found.relation, found.better), (Relation::Larger, Some(false)));
        let (low, high) = found.interval.unwrap();
        assert!((low - 1.10).abs() < 1e-9 && (high - 1.15).abs() < 1e-9, "{found:?}");
        assert!((found.value.unwrap() - 1.125).abs() < 0.001, "{found:?}");

        let five = ratio(&quantity(Better::Smaller), &several(&first[..5]), &several(&other[..5]), Pairing::Rounds);
        let five = five.unwrap();
        assert_eq!((five.relation, five.interval), (Relation::NotDecided, None));
        assert!(five.basis.contains("too few"), "{}", five.basis);

        // A round without a value is left out with its partner.
        let mut holed = several(&other);
        holed.samples[2] = None;
        let found = ratio(&quantity(Better::Smaller), &several(&first), &holed, Pairing::Rounds).unwrap();
        assert!(found.basis.starts_with("5 rounds"), "{}", found.basis);
    }
}
