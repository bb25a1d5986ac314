//! The intended rate over time, as straight pieces, and the number of operations due until a moment.

use std::time::Duration;

use crate::scenario::plan::{Pattern, Phases};

/// One straight piece of a rate over time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    /// Start in seconds since the trial began.
    start: f64,
    length: f64,
    /// Operations per second at its start and at its end.
    from: f64,
    to: f64,
    /// Operations due before it starts.
    before: f64,
}

impl Piece {
    fn operations(&self) -> f64 {
        self.length * (self.from + self.to) / 2.0
    }

    /// Operations due within the first `t` seconds of the piece.
    fn until(&self, t: f64) -> f64 {
        t * (self.from + (self.to - self.from) * t / self.length / 2.0)
    }

    /// The inverse of [`Self::until`].
    fn when(&self, operations: f64) -> f64 {
        let slope = (self.to - self.from) / self.length;
        // The stable form of the quadratic formula: it has no cancellation for small slopes.
        let root = (self.from * self.from + 2.0 * slope * operations).max(0.0).sqrt();
        if self.from + root > 0.0 { (2.0 * operations / (self.from + root)).min(self.length) } else { 0.0 }
    }
}

/// The intended rate over the time of one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pieces: Vec<Piece>,
}

impl Shape {
    /// The load of a trial: up from nothing, `rate` operations per second in the given pattern over
    /// sustain, down to nothing.
    pub fn new(rate: f64, pattern: Pattern, phases: Phases) -> Self {
        let sustain = phases.sustain.as_secs_f64();
        let first = match pattern {
            Pattern::Flat => rate,
            Pattern::Ramp { from } => rate * from,
            Pattern::Stair { steps } => rate / f64::from(steps.get()),
        };
        let mut shape = Self { pieces: Vec::new() };
        shape.push(phases.ramp_up.as_secs_f64(), 0.0, first);
        match pattern {
            Pattern::Flat | Pattern::Ramp { .. } => shape.push(sustain, first, rate),
            Pattern::Stair { steps } => {
                for step in 1..=steps.get() {
                    let height = rate * f64::from(step) / f64::from(steps.get());
                    shape.push(sustain / f64::from(steps.get()), height, height);
                }
            }
        }
        shape.push(phases.ramp_down.as_secs_f64(), rate, 0.0);
        shape
    }

    fn push(&mut self, length: f64, from: f64, to: f64) {
        if length > 0.0 {
            let (start, before) = self
                .pieces
                .last()
                .map_or((0.0, 0.0), |last| (last.start + last.length, last.before + last.operations()));
            self.pieces.push(Piece { start, length, from, to, before });
        }
    }

    /// All operations of the trial.
    pub fn operations(&self) -> f64 {
        self.pieces.last().map_or(0.0, |last| last.before + last.operations())
    }

    /// Operations due until a moment after the start of the trial.
    pub fn until(&self, moment: Duration) -> f64 {
        let t = moment.as_secs_f64();
        let at = self.pieces.partition_point(|piece| piece.start + piece.length <= t);
        self.pieces
            .get(at)
            .map_or_else(|| self.operations(), |piece| piece.before + piece.until((t - piece.start).max(0.0)))
    }

    /// When so many operations are due, as nanoseconds since the start of the trial; `None` beyond the
    /// last one.
    pub fn when(&self, operations: f64) -> Option<u64> {
        let at = self.pieces.partition_point(|piece| piece.before + piece.operations() <= operations);
        let piece = self.pieces.get(at)?;
        // From the count, not by adding gaps: a rounded gap would drift with every operation.
        Some(((piece.start + piece.when(operations - piece.before)) * 1e9) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn phases(up: u64, sustain: u64, down: u64) -> Phases {
        let seconds = Duration::from_secs;
        Phases { init: seconds(0), ramp_up: seconds(up), sustain: seconds(sustain), ramp_down: seconds(down) }
    }

    #[test]
    fn a_flat_load_does_not_drift() {
        let shape = Shape::new(3.0, Pattern::Flat, phases(0, 2_000_000, 0));
        // Three million gaps of 333,333,333 ns would be 1 ms early by now.
        assert_eq!(shape.when(3_000_000.0), Some(1_000_000_000_000_000));
        assert_eq!(shape.when(6_000_000.0), None);
    }

    #[test]
    fn ramps_hold_half_of_what_sustain_holds_per_second() {
        let shape = Shape::new(100.0, Pattern::Flat, phases(2, 5, 4));
        assert_eq!(shape.operations(), 100.0 + 500.0 + 200.0);
        assert_eq!(shape.until(Duration::from_secs(2)), 100.0);
        assert_eq!(shape.until(Duration::from_secs(7)), 600.0);
        assert_eq!(shape.until(Duration::from_secs(100)), 800.0);
    }

    #[test]
    fn when_is_the_inverse_of_until() {
        let stair = Pattern::Stair { steps: NonZeroU32::new(4).unwrap() };
        for pattern in [Pattern::Flat, Pattern::Ramp { from: 0.2 }, stair] {
            let shape = Shape::new(1234.5, pattern, phases(1, 4, 1));
            let mut last = 0;
            for n in 0..shape.operations() as u64 {
                let due = shape.when(n as f64).unwrap();
                assert!(last <= due, "{pattern:?} {n}");
                assert!((shape.until(Duration::from_nanos(due)) - n as f64).abs() < 1e-4, "{pattern:?} {n}");
                last = due;
            }
        }
    }

    #[test]
    fn a_stair_rises_in_equal_steps() {
        let shape = Shape::new(400.0, Pattern::Stair { steps: NonZeroU32::new(4).unwrap() }, phases(0, 8, 0));
        let due = |t| shape.until(Duration::from_secs(t));
        assert_eq!([due(2), due(4) - due(2), due(6) - due(4), due(8) - due(6)], [200.0, 400.0, 600.0, 800.0]);
    }
}
