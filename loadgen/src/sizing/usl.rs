//! How throughput grows with workers: the Universal Scalability Law, fitted to measured points.
//!
//! X(N) = λN / (1 + α(N−1) + βN(N−1)): λ is the throughput of one worker, α the share of work that
//! waits in line (Amdahl), β the cost of keeping workers in agreement. Source: N. J. Gunther,
//! *Guerrilla Capacity Planning*, 2007, chapter 5. The fit starts from linear least squares of N/X on
//! 1, N−1 and N(N−1), and goes on with Levenberg's and Marquardt's method within α ∈ [0, 1], β ≥ 0.
//!
//! A fit describes what was measured. [`Fit::predict`] refuses to go beyond twice the largest measured
//! N, and a fit of too few points is refused: a law with three unknowns fits five points whatever they
//! are. Invariant: the same points and seed give the same fit and band.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// Fewest points of a fit.
pub const POINTS_MIN: usize = 6;
/// Fewest points whose throughput exceeds [`NEAR_PEAK`] of the highest.
pub const NEAR_PEAK_MIN: usize = 2;
/// Share of the highest throughput beyond which a point shows where the curve bends.
pub const NEAR_PEAK: f64 = 0.6;
/// How far beyond the largest measured N a prediction may go.
pub const REACH: f64 = 2.0;
/// Fits to resampled residuals behind a band.
const RESAMPLES: usize = 300;
/// Steps of the search for the best fit.
const STEPS_MAX: usize = 300;
/// Most points that are looked at.
const POINTS_MAX: usize = 10_000;

/// One measured point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Workers, cores, or operations at once; at least 1.
    pub n: f64,
    /// Throughput per second; more than 0.
    pub x: f64,
}

/// The three numbers of the law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Law {
    /// Throughput of one worker per second.
    pub lambda: f64,
    /// Share of work that waits in line, 0 to 1.
    pub alpha: f64,
    /// Cost of agreement between two workers, 0 or more.
    pub beta: f64,
}

/// A law, and how well it describes the points.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    /// The law.
    pub law: Law,
    /// Share of the points' variance that the law explains.
    pub r_squared: f64,
    /// Largest measured N.
    pub largest_n: f64,
    /// N with the highest throughput, and that throughput; `None` when the law has no peak within
    /// [`REACH`] × the largest measured N: beyond that nothing is said.
    pub peak: Option<Point>,
    /// What N workers cannot exceed however many there are (Amdahl); `None` without waiting in line.
    pub asymptote: Option<f64>,
    /// Laws fitted to resampled residuals.
    #[serde(skip)]
    resampled: Vec<Law>,
}

/// What a law says about a number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Workers.
    pub n: f64,
    /// Throughput per second.
    pub x: f64,
    /// 2.5 % of the resampled laws say less.
    pub low: f64,
    /// 2.5 % of them say more.
    pub high: f64,
    /// Whether it lies beyond the largest measured N.
    pub extrapolated: bool,
}

/// Why points give no law, or a law no prediction.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UslError {
    /// Three unknowns need more points.
    #[error(
        "too few points for a fit: {found}, at least {POINTS_MIN} with different N are needed; measure at more numbers of workers"
    )]
    TooFew {
        /// Points with different N.
        found: usize,
    },
    /// The throughput of one worker is one of the unknowns.
    #[error("no point at N = 1: the smallest is {smallest}; measure with one worker")]
    NoSingle {
        /// Smallest N.
        smallest: f64,
    },
    /// The points do not reach the bend.
    #[error(
        "too few points near the peak: {found} with more than 60 % of the highest throughput, at least {NEAR_PEAK_MIN} are needed; measure at larger N"
    )]
    TooFewNearPeak {
        /// How many there are.
        found: usize,
    },
    /// A number that cannot be a measurement.
    #[error("point N = {n}, X = {x} is no measurement: N has to be at least 1 and X more than 0")]
    BadPoint {
        /// N.
        n: f64,
        /// X.
        x: f64,
    },
    /// More points than are looked at.
    #[error("{found} points are more than {POINTS_MAX}; give the means of repeats")]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// No law with these bounds comes near the points.
    #[error("no law of this form fits the points; look at them for a mistake")]
    NoFit,
    /// A prediction beyond what the points can bear.
    #[error(
        "N = {asked} lies beyond {REACH} × the largest measured N ({largest}): no prediction; measure at {needed} workers or more"
    )]
    TooFar {
        /// The N that was asked for.
        asked: f64,
        /// The largest measured N.
        largest: f64,
        /// The N to measure for it.
        needed: f64,
    },
}

impl Law {
    /// Throughput of `n` workers per second.
    pub fn throughput(self, n: f64) -> f64 {
        self.lambda * n / self.slowdown(n)
    }

    fn slowdown(self, n: f64) -> f64 {
        1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0)
    }

    fn squared_error(self, points: &[Point]) -> f64 {
        points.iter().map(|point| (point.x - self.throughput(point.n)).powi(2)).sum()
    }
}

impl Fit {
    /// Fits a law to points, which are measured at six or more different N with N = 1 among them.
    ///
    /// # Errors
    /// [`UslError`] when the points are too few, too far from the peak, or no measurements.
    pub fn of(points: &[Point], seed: u64) -> Result<Self, UslError> {
        require_enough(points)?;
        let law = best_law(points).ok_or(UslError::NoFit)?;
        let mean = points.iter().map(|point| point.x).sum::<f64>() / points.len() as f64;
        let total: f64 = points.iter().map(|point| (point.x - mean).powi(2)).sum();
        let largest_n = points.iter().map(|point| point.n).fold(1.0, f64::max);
        let peak = (law.beta > 0.0 && law.alpha < 1.0).then(|| {
            let n = ((1.0 - law.alpha) / law.beta).sqrt().max(1.0);
            Point { n, x: law.throughput(n) }
        });
        Ok(Self {
            law,
            r_squared: if total > 0.0 { 1.0 - law.squared_error(points) / total } else { 0.0 },
            largest_n,
            peak: peak.filter(|peak| peak.n <= REACH * largest_n),
            asymptote: (law.alpha > 0.0).then(|| law.lambda / law.alpha),
            resampled: resampled(points, law, seed),
        })
    }

    /// What the law says about `n` workers, with its band.
    ///
    /// # Errors
    /// [`UslError::TooFar`] beyond twice the largest measured N.
    pub fn predict(&self, n: f64) -> Result<Prediction, UslError> {
        if n > REACH * self.largest_n {
            return Err(UslError::TooFar { asked: n, largest: self.largest_n, needed: (n / REACH).ceil() });
        }
        let x = self.law.throughput(n);
        let mut said: Vec<f64> = self.resampled.iter().map(|law| law.throughput(n)).collect();
        said.sort_by(f64::total_cmp);
        // Nearest rank: the smallest value that at least this share of all values does not exceed.
        let rank = |share: f64| said.get(((share * said.len() as f64).ceil() as usize).max(1) - 1).copied();
        Ok(Prediction {
            n,
            x,
            low: rank(0.025).unwrap_or(x).min(x),
            high: rank(0.975).unwrap_or(x).max(x),
            extrapolated: n > self.largest_n,
        })
    }
}

fn require_enough(points: &[Point]) -> Result<(), UslError> {
    let sound = |point: &&Point| point.n.is_finite() && point.n >= 1.0 && point.x.is_finite() && point.x > 0.0;
    if let Some(bad) = points.iter().find(|point| !sound(point)) {
        return Err(UslError::BadPoint { n: bad.n, x: bad.x });
    }
    if points.len() > POINTS_MAX {
        return Err(UslError::TooMany { found: points.len() });
    }
    let mut numbers: Vec<f64> = points.iter().map(|point| point.n).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    if numbers.len() < POINTS_MIN {
        return Err(UslError::TooFew { found: numbers.len() });
    }
    if numbers[0] > 1.0 {
        return Err(UslError::NoSingle { smallest: numbers[0] });
    }
    let highest = points.iter().map(|point| point.x).fold(0.0, f64::max);
    let found = points.iter().filter(|point| point.x > NEAR_PEAK * highest).count();
    if found < NEAR_PEAK_MIN {
        return Err(UslError::TooFewNearPeak { found });
    }
    Ok(())
}

/// Laws of points whose distances from the fitted curve were dealt out anew, in relative terms: a
/// measurement at high throughput strays further.
fn resampled(points: &[Point], law: Law, seed: u64) -> Vec<Law> {
    let curve: Vec<f64> = points.iter().map(|point| law.throughput(point.n)).collect();
    let ratios: Vec<f64> = points.iter().zip(&curve).map(|(point, fitted)| point.x / fitted).collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut laws = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let drawn = points.iter().zip(&curve).map(|(point, fitted)| {
            let at = (random.random::<f64>() * ratios.len() as f64) as usize;
            Point { n: point.n, x: fitted * ratios[at.min(ratios.len() - 1)] }
        });
        laws.extend(best_law(&drawn.collect::<Vec<_>>()));
    }
    laws
}

fn best_law(points: &[Point]) -> Option<Law> {
    let start = linear_law(points)?;
    Some(refined(points, Law { alpha: start.alpha.clamp(0.0, 1.0), beta: start.beta.max(0.0), ..start }))
}

/// N/X = a0 + a1(N−1) + a2·N(N−1) by least squares; λ = 1/a0, α = a1/a0, β = a2/a0.
fn linear_law(points: &[Point]) -> Option<Law> {
    let mut normal = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for point in points {
        let row = [1.0, point.n - 1.0, point.n * (point.n - 1.0)];
        add_row(&mut normal, &mut right, row, point.n / point.x);
    }
    let [a0, a1, a2] = solve(normal, right)?;
    let fallback = points.iter().map(|point| point.x / point.n).fold(0.0, f64::max);
    // A negative a0 means nothing; the steepest point is a start that always exists.
    let law = if a0 > 0.0 {
        Law { lambda: 1.0 / a0, alpha: a1 / a0, beta: a2 / a0 }
    } else {
        Law { lambda: fallback, alpha: 0.0, beta: 0.0 }
    };
    Some(law)
}

/// Levenberg's and Marquardt's steps; a number at its bound stays there while the slope points outwards.
fn refined(points: &[Point], start: Law) -> Law {
    let mut law = start;
    let mut error = law.squared_error(points);
    let mut damping = 1e-3;
    for _ in 0..STEPS_MAX {
        let Some(next) = step(points, law, damping) else { break };
        let next_error = next.squared_error(points);
        if next_error < error {
            let gain = (error - next_error) / error;
            (law, error) = (next, next_error);
            damping = (damping / 10.0).max(1e-15);
            if gain < 1e-15 {
                break;
            }
        } else {
            damping *= 10.0;
            if damping > 1e15 {
                break;
            }
        }
    }
    law
}

fn step(points: &[Point], law: Law, damping: f64) -> Option<Law> {
    let mut normal = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for &Point { n, x } in points {
        let slowdown = law.slowdown(n);
        let bend = -law.lambda * n / (slowdown * slowdown);
        let row = [n / slowdown, bend * (n - 1.0), bend * n * (n - 1.0)];
        add_row(&mut normal, &mut right, row, x - law.throughput(n));
    }
    let at = [law.lambda, law.alpha, law.beta];
    let bounds = [(f64::MIN_POSITIVE, f64::INFINITY), (0.0, 1.0), (0.0, f64::INFINITY)];
    for i in 0..3 {
        let (low, high) = bounds[i];
        let leaves = at[i] <= low && right[i] < 0.0 || at[i] >= high && right[i] > 0.0;
        if leaves {
            // Held: its row says "no change", its column says nothing to the others.
            normal[i] = [0.0; 3];
            normal.iter_mut().for_each(|row| row[i] = 0.0);
            (normal[i][i], right[i]) = (1.0, 0.0);
        } else {
            normal[i][i] *= 1.0 + damping;
        }
    }
    let change = solve(normal, right)?;
    let moved = |i: usize| (at[i] + change[i]).clamp(bounds[i].0, bounds[i].1);
    Some(Law { lambda: moved(0), alpha: moved(1), beta: moved(2) })
}

fn add_row(normal: &mut [[f64; 3]; 3], right: &mut [f64; 3], row: [f64; 3], value: f64) {
    for i in 0..3 {
        for j in 0..3 {
            normal[i][j] += row[i] * row[j];
        }
        right[i] += row[i] * value;
    }
}

/// Three linear equations by elimination; the unknowns are scaled first, because a_ii spans many
/// orders of magnitude. `None` when they do not decide the unknowns.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> Option<[f64; 3]> {
    let scale = [0, 1, 2].map(|i| if a[i][i] > 0.0 { 1.0 / a[i][i].sqrt() } else { 1.0 });
    for i in 0..3 {
        for j in 0..3 {
            a[i][j] *= scale[i] * scale[j];
        }
        b[i] *= scale[i];
    }
    for pivot in 0..3 {
        let best = (pivot..3).max_by(|&i, &j| a[i][pivot].abs().total_cmp(&a[j][pivot].abs()))?;
        a.swap(pivot, best);
        b.swap(pivot, best);
        if a[pivot][pivot].abs() <= 1e-14 || a[pivot][pivot].is_nan() {
            return None;
        }
        for row in pivot + 1..3 {
            let factor = a[row][pivot] / a[pivot][pivot];
            let above = a[pivot];
            a[row].iter_mut().zip(above).skip(pivot).for_each(|(cell, above)| *cell -= factor * above);
            b[row] -= factor * b[pivot];
        }
    }
    let mut x = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| a[row][column] * x[column]).sum();
        x[row] = (b[row] - known) / a[row][row];
    }
    Some([0, 1, 2].map(|i| x[i] * scale[i]))
}

#[cfg(test)]
mod tests;
