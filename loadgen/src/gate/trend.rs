//! Where a series of nightly values changed its level: slow losses that no single gate sees.
//!
//! Change points by the energy statistic (Matteson and James, A Nonparametric Approach for Multiple
//! Change Point Analysis, JASA 2014) as it is used for performance histories (Fleming, Kołaczkowski et
//! al., Hunter, ICPE 2023; now Apache Otava): candidates are sought in overlapping windows with a weak
//! p, then the weakest are dropped until all that are left are strong over the whole series. The test
//! is Student's t instead of permutations, so that the same series gives the same answer.
//!
//! The p of a point that was chosen because it stands out is no error rate: on values without any
//! change more than p of the series show one. How many, the simulation beside the gate's says. Hence a
//! trend alerts and does not gate.

use serde::Serialize;

use crate::statistics::{mean, t_test};

/// The fewest values on either side of a change point: fewer would let an outlier pass for a level.
pub const SEGMENT_MIN: usize = 4;
/// The fewest values in which a change point can be found.
pub const POINTS_MIN: usize = 2 * SEGMENT_MIN;
/// How much larger p may be while candidates are sought: a bump hides behind its own other edge, and
/// shows only when both are there.
const WEAK: f64 = 10.0;
/// The widest window: seeking takes its square of time.
const WINDOW_MAX: usize = 1_000;

/// What counts as a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// How many values are looked at together.
    window: usize,
    /// The largest p of a change point.
    p: f64,
    /// The least relative change of the level.
    magnitude: f64,
}

impl Default for Sensitivity {
    /// 50 values, p 0.001, 2 %: a smaller change is nothing that somebody would act on.
    fn default() -> Self {
        Self { window: 50, p: 0.001, magnitude: 0.02 }
    }
}

impl Sensitivity {
    /// A sensitivity of its own.
    ///
    /// # Errors
    /// A window outside 8 to 1,000 values, a p not between 0 and 1, a magnitude below 0 or not finite.
    pub fn new(window: usize, p: f64, magnitude: f64) -> Result<Self, SensitivityError> {
        if !(POINTS_MIN..=WINDOW_MAX).contains(&window) {
            return Err(SensitivityError::Window { found: window });
        }
        if !(p > 0.0 && p < 1.0) {
            return Err(SensitivityError::P { found: p });
        }
        if !(magnitude >= 0.0 && magnitude.is_finite()) {
            return Err(SensitivityError::Magnitude { found: magnitude });
        }
        Ok(Self { window, p, magnitude })
    }
}

/// Why a sensitivity cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SensitivityError {
    /// A window out of range.
    #[error("window is {found}; expected {POINTS_MIN} to {WINDOW_MAX} values")]
    Window {
        /// What was given.
        found: usize,
    },
    /// A p out of range.
    #[error("p is {found}; expected a number between 0 and 1, such as 0.001")]
    P {
        /// What was given.
        found: f64,
    },
    /// A magnitude out of range.
    #[error("magnitude is {found}; expected a share of 0 or more")]
    Magnitude {
        /// What was given.
        found: f64,
    },
}

/// A place where the level of a series changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ChangePoint {
    /// Index of the first value of the new level, from 0.
    pub at: usize,
    /// Mean from the change point before (or the beginning) to this one.
    pub before: f64,
    /// Mean from this change point to the next one (or the end).
    pub after: f64,
    /// p of the t-test of both levels.
    pub p: f64,
}

impl ChangePoint {
    /// The relative change of the level: −0.05 for 5 % less.
    pub fn change(&self) -> f64 {
        self.after / self.before - 1.0
    }
}

/// The change points of a series of finite values, in order; none in fewer than [`POINTS_MIN`] values.
pub fn change_points(series: &[f64], sensitivity: &Sensitivity) -> Vec<ChangePoint> {
    let mut places = candidates(series, sensitivity);
    loop {
        let points = levels(series, &places);
        let weakest = points.iter().enumerate().max_by(|(_, one), (_, other)| one.p.total_cmp(&other.p));
        let smallest = points.iter().enumerate().min_by(|(_, one), (_, other)| size(one).total_cmp(&size(other)));
        let Some(((weakest, weak), (smallest, small))) = weakest.zip(smallest) else { return points };
        // One at a time: what is left has new neighbours and has to be judged anew.
        match () {
            () if weak.p > sensitivity.p => places.remove(weakest),
            () if size(small) < sensitivity.magnitude => places.remove(smallest),
            () => return points,
        };
    }
}

fn size(point: &ChangePoint) -> f64 {
    // A level of 0 has no relative change; it counts as beyond every limit.
    let change = point.change().abs();
    if change.is_nan() { f64::INFINITY } else { change }
}

/// The levels around each place.
fn levels(series: &[f64], places: &[usize]) -> Vec<ChangePoint> {
    let begin = |at: usize| if at == 0 { 0 } else { places[at - 1] };
    let end = |at: usize| places.get(at + 1).copied().unwrap_or(series.len());
    let point = |(at, &place): (usize, &usize)| {
        let (before, after) = (&series[begin(at)..place], &series[place..end(at)]);
        ChangePoint { at: place, before: mean(before), after: mean(after), p: t_test(before, after) }
    };
    places.iter().enumerate().map(point).collect()
}

/// Places that stand out within overlapping windows, in order.
fn candidates(series: &[f64], sensitivity: &Sensitivity) -> Vec<usize> {
    let weak = (sensitivity.p * WEAK).min(0.5).max(sensitivity.p);
    let mut places: Vec<usize> = Vec::new();
    let mut start = 0;
    loop {
        let end = (start + sensitivity.window).min(series.len());
        let mut own = Vec::new();
        divide(&series[start..end], start, weak, &mut own);
        own.retain(|place| !places.contains(place));
        let last = own.iter().copied().max().unwrap_or(0);
        places.extend(own);
        if end == series.len() {
            break;
        }
        // The next window begins at the last change, so that it holds one level at its beginning.
        start = last.max(start + sensitivity.window / 2);
    }
    places.sort_unstable();
    // Two windows may place one change a value apart; the later one would be a level of one value.
    places.dedup_by(|later, earlier| *later - *earlier < SEGMENT_MIN);
    places
}

/// Divides a segment where its halves differ most, and both halves again, while the t-test is weakly
/// for it. Places are counted from the beginning of the series, `offset` before that of the segment.
fn divide(segment: &[f64], offset: usize, weak: f64, places: &mut Vec<usize>) {
    let Some(split) = best_split(segment) else { return };
    let (before, after) = segment.split_at(split);
    if t_test(before, after) > weak {
        return;
    }
    divide(before, offset, weak, places);
    places.push(offset + split);
    divide(after, offset + split, weak, places);
}

/// The split with the largest energy statistic: how much further apart the halves are than the values
/// within each. `None` if the segment is too short to be split.
fn best_split(segment: &[f64]) -> Option<usize> {
    let count = segment.len();
    if count < POINTS_MIN {
        return None;
    }
    let distances = |value: f64, others: &[f64]| others.iter().map(|other| (value - other).abs()).sum::<f64>();
    // Sums of distances within the left half, within the right half and between them, kept up to date
    // as one value after the other moves to the left.
    let (mut left, mut between) = (0.0, 0.0);
    let mut right: f64 = (0..count).map(|at| distances(segment[at], &segment[at + 1..])).sum();
    let mut best: Option<(usize, f64)> = None;
    for at in 0..count - SEGMENT_MIN {
        let (to_left, to_right) = (distances(segment[at], &segment[..at]), distances(segment[at], &segment[at + 1..]));
        left += to_left;
        right -= to_right;
        between += to_right - to_left;
        let split = at + 1;
        if split < SEGMENT_MIN {
            continue;
        }
        let (m, n) = (split as f64, (count - split) as f64);
        let within = 2.0 * left / (m * (m - 1.0)) + 2.0 * right / (n * (n - 1.0));
        let energy = m * n / (m + n) * (2.0 * between / (m * n) - within);
        if best.is_none_or(|(_, most)| energy > most) {
            best = Some((split, energy));
        }
    }
    best.map(|(split, _)| split)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(series: &[f64]) -> Vec<usize> {
        change_points(series, &Sensitivity::default()).iter().map(|point| point.at).collect()
    }

    /// Values around a level, a little apart.
    fn level(value: f64, count: usize) -> Vec<f64> {
        (0..count).map(|at| value * (1.0 + [0.0, 0.01, -0.01, 0.005, -0.005][at * 3 % 5])).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        for at in [4, 10, 25, 60, 96] {
            let series = [level(1_000.0, at), level(930.0, 100 - at)].concat();
            let points = change_points(&series, &Sensitivity::default());
            assert_eq!(points.len(), 1, "{at}: {points:?}");
            assert_eq!(points[0].at, at);
            assert!((points[0].change() + 0.07).abs() < 0.01 && points[0].p < 1e-3, "{points:?}");
        }
    }

    #[test]
    fn a_bump_has_two_edges_and_stairs_have_every_step() {
        let bump = [level(1_000.0, 30), level(900.0, 12), level(1_000.0, 30)].concat();
        assert_eq!(found(&bump), [30, 42]);
        let stairs: Vec<f64> = (0..5).flat_map(|step| level(1_000.0 - 60.0 * f64::from(step), 40)).collect();
        assert_eq!(found(&stairs), [40, 80, 120, 160]);
    }

    #[test]
    fn what_does_not_change_has_no_change_points() {
        assert!(found(&[]).is_empty());
        assert!(found(&[5.0; 200]).is_empty());
        assert!(found(&[0.0; 20]).is_empty());
        assert!(found(&level(1_000.0, 200)).is_empty());
        // A single outlier is no level.
        let mut outlier = level(1_000.0, 60);
        outlier[30] = 500.0;
        assert!(found(&outlier).is_empty());
    }

    #[test]
    fn too_few_values_show_nothing() {
        let series = [level(1_000.0, 3), level(500.0, 4)].concat();
        assert!(series.len() < POINTS_MIN && found(&series).is_empty());
        assert_eq!(found(&[level(1_000.0, 4), level(500.0, 4)].concat()), [4]);
    }

    #[test]
    fn a_change_below_the_magnitude_is_dropped() {
        let series = [level(1_000.0, 50), level(985.0, 50)].concat();
        assert!(found(&series).is_empty());
        let fine = Sensitivity::new(50, 0.001, 0.01).unwrap();
        assert_eq!(change_points(&series, &fine).len(), 1);
    }

    #[test]
    fn a_sensitivity_out_of_range_is_refused() {
        assert_eq!(Sensitivity::new(7, 0.001, 0.0), Err(SensitivityError::Window { found: 7 }));
        for p in [0.0, 1.0, f64::NAN] {
            assert!(matches!(Sensitivity::new(50, p, 0.0), Err(SensitivityError::P { .. })), "{p}");
        }
        for magnitude in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(Sensitivity::new(50, 0.1, magnitude), Err(SensitivityError::Magnitude { .. })));
        }
    }
}
