//! The longest burst that passes without loss (RFC 9004): doubling, then bisection in whole steps.
//!
//! It chooses burst lengths in frames and computes buffer times; who sends the bursts is not its
//! business.

/// A search for the longest burst.
#[derive(Clone, Debug)]
pub struct Burst {
    step: u64,
    cap: u64,
    longest: u64,
    lost_at: Option<u64>,
}

impl Burst {
    /// Bursts in multiples of `step` frames (at least 1), at most `cap` frames.
    pub fn new(step: u64, cap: u64) -> Self {
        Self { step: step.max(1), cap, longest: 0, lost_at: None }
    }

    /// The next burst in frames; `None` when longest and shortest lossy burst are one step apart, or the
    /// cap has passed.
    pub fn next(&self) -> Option<u64> {
        match self.lost_at {
            None if self.longest == 0 => Some(self.step.min(self.cap)).filter(|frames| *frames > 0),
            None => Some((self.longest * 2).min(self.cap)).filter(|frames| *frames > self.longest),
            Some(lost) => {
                let middle = (self.longest / self.step + lost / self.step) / 2 * self.step;
                (middle > self.longest && middle < lost).then_some(middle)
            }
        }
    }

    /// What became of a burst.
    pub fn tell(&mut self, frames: u64, lost: bool) {
        if lost {
            self.lost_at = Some(self.lost_at.map_or(frames, |known| known.min(frames)));
        } else {
            self.longest = self.longest.max(frames);
        }
    }

    /// Frames of the longest burst without loss; 0 if none was.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// Whether the longest burst that may be tried passed: the result is invalid, the cap too low.
    pub fn hit_cap(&self) -> bool {
        self.lost_at.is_none() && self.longest >= self.cap
    }
}

/// Seconds that the buffer holds at the highest frame rate, as the burst suggests (RFC 9004, 6).
pub fn implied_buffer_seconds(burst: f64, highest_rate: f64) -> f64 {
    burst / highest_rate
}

/// The same without the frames that the device forwarded meanwhile (RFC 9004, 6.4).
pub fn corrected_buffer_seconds(implied: f64, throughput: f64, highest_rate: f64) -> f64 {
    implied - implied * (throughput / highest_rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_back_to_back_frames_are_met() {
        let text = include_str!("../../tests/vectors/mlrsearch.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let cases = vectors["simple_search"]["back_to_back"].as_array().unwrap();
        assert_eq!(cases.len(), 1);
        for case in cases {
            let number = |key: &str| case[key].as_f64().unwrap();
            let (highest, throughput) = (number("max_theoretical_fps"), number("throughput_fps"));
            let mut search = Burst::new(case["step"].as_u64().unwrap(), (number("cap_s") * highest) as u64);
            let mut sequence = Vec::new();
            while let Some(frames) = search.next() {
                sequence.push(frames);
                let left = frames as f64 - frames as f64 * throughput / highest;
                search.tell(frames, left > number("buffer_frames"));
            }
            assert_eq!(serde_json::json!(sequence), case["result"]["sequence"]);
            assert_eq!(serde_json::json!(search.longest()), case["result"]["longest"]);
            assert_eq!(serde_json::json!(search.hit_cap()), case["result"]["hit_cap"]);
            let implied = implied_buffer_seconds(search.longest() as f64, highest);
            assert_eq!(implied, number("implied_buffer_s"));
            let corrected = corrected_buffer_seconds(implied, throughput, highest);
            assert!((corrected - number("corrected_buffer_s")).abs() < 1e-15, "{corrected}");
        }
    }

    #[test]
    fn a_burst_that_meets_the_cap_is_marked() {
        let mut search = Burst::new(16, 100);
        while let Some(frames) = search.next() {
            search.tell(frames, false);
        }
        assert_eq!((search.longest(), search.hit_cap()), (100, true));
    }
}
