//! Single due times, even or Poisson, from the seed.
//!
//! Arrivals come in blocks of expected count: block k covers the operations k·B to (k+1)·B of the
//! shape and holds its due times sorted, computed from (seed, k) alone. A worker, or a shard of a
//! fleet, takes every N-th of them, so any shard can be computed alone and N workers together see
//! the arrivals of one. Poisson arrivals are those of a unit-rate process, stretched by the shape:
//! the time-change theorem makes them Poisson with the shape's rate.

use std::num::NonZeroU32;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Poisson};

use super::Shape;
use crate::scenario::plan::Arrivals;

/// Expected operations per block.
const BLOCK: u64 = 1024;

/// The due times of one worker, in order.
#[derive(Clone, Debug)]
pub struct Schedule {
    shape: Shape,
    arrivals: Arrivals,
    seed: u64,
    worker: u64,
    workers: u64,
    /// Operations that fall due at the same moment.
    burst: u64,
    /// The block whose due times these are, in nanoseconds, and where in it we are.
    block: u64,
    due: Vec<u64>,
    at: usize,
}

impl Schedule {
    /// The due times of worker `worker` of `workers`.
    ///
    /// # Panics
    /// If `worker` is not below `workers`: a bug in the caller.
    pub fn new(shape: Shape, arrivals: Arrivals, seed: u64, worker: u32, workers: u32) -> Self {
        assert!(worker < workers, "worker {worker} of {workers}");
        let mut schedule = Self {
            shape,
            arrivals,
            seed,
            worker: u64::from(worker),
            workers: u64::from(workers),
            burst: 1,
            block: 0,
            due: Vec::with_capacity(2 * BLOCK as usize),
            at: 0,
        };
        schedule.fill();
        schedule
    }

    /// The same number of operations, so many of which fall due at the same moment each. Workers share a burst;
    /// of Poisson arrivals it is the bursts that come independently.
    #[must_use]
    pub fn in_bursts(mut self, burst: NonZeroU32) -> Self {
        (self.burst, self.block) = (u64::from(burst.get()), 0);
        self.fill();
        self
    }

    /// When the next operation is due, in nanoseconds since the start of the trial; it stays the
    /// next one until [`Self::pop`]. `None` when there is none left.
    pub fn peek(&self) -> Option<u64> {
        self.due.get(self.at).copied()
    }

    /// Goes on to the next operation.
    pub fn pop(&mut self) {
        self.at += 1;
        if self.at >= self.due.len() {
            self.block += 1;
            self.fill();
        }
    }

    /// Fills `due` with this worker's part of the block, or of the first later one that has any.
    fn fill(&mut self) {
        self.due.clear();
        self.at = 0;
        while self.due.is_empty() && ((self.block * BLOCK) as f64) < self.shape.operations() {
            let first = self.block * BLOCK;
            match self.arrivals {
                Arrivals::Even => {
                    let own = (first..first + BLOCK).filter(|n| n % self.workers == self.worker);
                    let positions = own.take_while(|n| (*n as f64) < self.shape.operations());
                    self.due.extend(positions.filter_map(|n| self.shape.when((n - n % self.burst) as f64)));
                }
                Arrivals::Poisson => self.fill_poisson(first),
            }
            if self.due.is_empty() {
                self.block += 1;
            }
        }
    }

    fn fill_poisson(&mut self, first: u64) {
        // Golden-ratio steps keep the streams of neighbouring blocks apart even for small seeds.
        let stream = self.seed ^ (self.block + 1).wrapping_mul(wire::hash::GOLDEN);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(stream);
        let poisson = Poisson::new(BLOCK as f64 / self.burst as f64).expect("the mean is positive and finite");
        let bursts = poisson.sample(&mut random) as usize;
        let burst = self.burst as usize;
        let moments = (0..bursts).map(|_| first as f64 + random.random::<f64>() * BLOCK as f64);
        let mut positions: Vec<f64> = moments.flat_map(|moment| std::iter::repeat_n(moment, burst)).collect();
        positions.sort_unstable_by(f64::total_cmp);
        let own = positions.into_iter().skip(self.worker as usize).step_by(self.workers as usize);
        self.due.extend(own.filter_map(|position| self.shape.when(position)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::{Pattern, Phases};
    use std::time::Duration;

    fn shape(rate: f64, seconds: u64) -> Shape {
        let none = Duration::ZERO;
        let phases = Phases { init: none, ramp_up: none, sustain: Duration::from_secs(seconds), ramp_down: none };
        Shape::new(rate, Pattern::Flat, phases)
    }

    fn all(arrivals: Arrivals, seed: u64, worker: u32, workers: u32, rate: f64) -> Vec<u64> {
        due_times(Schedule::new(shape(rate, 10), arrivals, seed, worker, workers))
    }

    fn due_times(mut schedule: Schedule) -> Vec<u64> {
        std::iter::from_fn(|| {
            let due = schedule.peek();
            schedule.pop();
            due
        })
        .collect()
    }

    #[test]
    fn even_arrivals_are_equally_spaced_and_all_there() {
        let due = all(Arrivals::Even, 7, 0, 1, 500.0);
        assert_eq!(due.len(), 5_000);
        assert!(due.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(2_000_000) <= 1));
    }

    #[test]
    fn workers_together_see_the_arrivals_of_one() {
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            let whole = all(arrivals, 7, 0, 1, 777.0);
            for workers in [2, 3, 7] {
                let mut parts: Vec<u64> = (0..workers).flat_map(|w| all(arrivals, 7, w, workers, 777.0)).collect();
                parts.sort_unstable();
                assert_eq!(parts, whole, "{arrivals:?} over {workers}");
            }
        }
    }

    #[test]
    fn poisson_arrivals_are_unbiased_and_irregular() {
        let due = all(Arrivals::Poisson, 7, 0, 1, 10_000.0);
        // 100,000 expected with a standard deviation of 316; the last block is cut by the end.
        assert!((due.len() as f64 - 100_000.0).abs() < 5.0 * 316.0, "{}", due.len());
        assert!(due.windows(2).all(|pair| pair[0] <= pair[1]));
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // The coefficient of variation of exponential gaps is 1.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{}", variance.sqrt() / mean);
    }

    fn bursts(arrivals: Arrivals, worker: u32, workers: u32, burst: u32) -> Vec<u64> {
        let schedule = Schedule::new(shape(1_000.0, 10), arrivals, 7, worker, workers);
        due_times(schedule.in_bursts(NonZeroU32::new(burst).unwrap()))
    }

    #[test]
    fn bursts_keep_the_number_of_operations_and_are_shared_by_workers() {
        for burst in [1, 16, 48, 3_000] {
            let even = bursts(Arrivals::Even, 0, 1, burst);
            assert_eq!(even.len(), 10_000, "bursts of {burst}");
            let together = even.chunk_by(|a, b| a == b).map(<[u64]>::len).collect::<Vec<_>>();
            let (last, others) = together.split_last().unwrap();
            assert!(others.iter().all(|length| *length == burst as usize) && *last <= burst as usize, "{together:?}");
            for arrivals in [Arrivals::Even, Arrivals::Poisson] {
                let mut parts: Vec<u64> = (0..3).flat_map(|w| bursts(arrivals, w, 3, burst)).collect();
                parts.sort_unstable();
                assert_eq!(parts, bursts(arrivals, 0, 1, burst), "{arrivals:?} bursts of {burst}");
            }
        }
        let poisson = bursts(Arrivals::Poisson, 0, 1, 16);
        // 625 bursts with a standard deviation of 25.
        assert!(poisson.len().is_multiple_of(16) && (8_000..12_000).contains(&poisson.len()), "{}", poisson.len());
        assert_eq!(bursts(Arrivals::Poisson, 0, 1, 1), all(Arrivals::Poisson, 7, 0, 1, 1_000.0));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(all(Arrivals::Poisson, 7, 0, 1, 100.0), all(Arrivals::Poisson, 7, 0, 1, 100.0));
        assert_ne!(all(Arrivals::Poisson, 7, 0, 1, 100.0), all(Arrivals::Poisson, 8, 0, 1, 100.0));
    }
}
