//! Windows over the seconds of sustain, and how far they deviate from their mean.
//!
//! A window is long enough for 5,000 events on average: of so many independent ones 5 % are 3.5 standard
//! deviations, so that chance alone does not break a limit of 5 %. The average decides, not the emptiest
//! window: a device that stalls must not lengthen the windows until its stall is averaged away.

/// Events that a window has on average.
const EVENTS: f64 = 5_000.0;

/// How the seconds of sustain are put together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Windows {
    /// Length of one in seconds.
    pub(super) width_s: u32,
    /// How many there are, at least 2.
    pub(super) count: usize,
}

impl Windows {
    /// Windows for so many events in each second.
    ///
    /// # Errors
    /// Why there are no two, for a person.
    pub(super) fn of(events: &[u64]) -> Result<Self, String> {
        let (seconds, all) = (events.len(), events.iter().sum::<u64>());
        if seconds < 2 || all == 0 {
            return Err(format!("{seconds} whole seconds of sustain hold {all} completions"));
        }
        let per_second = all as f64 / seconds as f64;
        let width = (EVENTS / per_second).ceil().max(1.0) as usize;
        let windows = Self { width_s: u32::try_from(width).unwrap_or(u32::MAX), count: seconds / width };
        if windows.count < 2 {
            return Err(format!(
                "{seconds} whole seconds of sustain hold {all} completions, two windows of 5000 need at least {} s",
                2 * width
            ));
        }
        Ok(windows)
    }

    /// Windows of one second.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn of_seconds(seconds: usize) -> Result<Self, String> {
        if seconds < 2 {
            return Err(format!("sustain has {seconds} whole seconds, two are needed"));
        }
        Ok(Self { width_s: 1, count: seconds })
    }

    /// The mean of each window; seconds that fill no window are left out at the end.
    pub(super) fn means(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let values: Vec<f64> = values.collect();
        let width = self.width_s as usize;
        values.chunks_exact(width).take(self.count).map(|window| window.iter().sum::<f64>() / width as f64).collect()
    }

    /// max |x − mean| / mean over the windows; 0 when all are empty.
    pub(super) fn deviation(&self, values: impl Iterator<Item = f64>) -> f64 {
        let means = self.means(values);
        let mean = means.iter().sum::<f64>() / means.len().max(1) as f64;
        if mean <= 0.0 {
            return 0.0;
        }
        means.iter().map(|window| (window - mean).abs() / mean).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_until_they_hold_enough_events() {
        let width = |per_second: u64, seconds: usize| Windows::of(&vec![per_second; seconds]);
        assert_eq!(width(5_000, 10), Ok(Windows { width_s: 1, count: 10 }));
        assert_eq!(width(4_999, 10), Ok(Windows { width_s: 2, count: 5 }));
        assert_eq!(width(1_000, 10), Ok(Windows { width_s: 5, count: 2 }));
        let expected = "9 whole seconds of sustain hold 9000 completions, two windows of 5000 need at least 10 s";
        assert_eq!(width(1_000, 9).unwrap_err(), expected);
        assert!(width(0, 9).is_err() && width(9_000, 1).is_err());
    }

    #[test]
    fn a_stall_does_not_lengthen_the_windows_beyond_the_mean() {
        let mut events = vec![6_000; 10];
        events[4] = 0;
        let windows = Windows::of(&events).unwrap();
        assert_eq!(windows, Windows { width_s: 1, count: 10 });
        let deviation = windows.deviation(events.iter().map(|count| *count as f64));
        assert!((deviation - 1.0).abs() < 1e-12, "the empty window lacks all of the mean: {deviation}");
    }

    #[test]
    fn the_deviation_is_the_largest_distance_from_the_mean() {
        let windows = Windows { width_s: 2, count: 2 };
        // Means 100 and 110; the fifth value fills no window.
        let deviation = windows.deviation([90.0, 110.0, 105.0, 115.0, 1e9].into_iter());
        assert!((deviation - 5.0 / 105.0).abs() < 1e-12, "{deviation}");
        assert_eq!(windows.deviation([0.0; 4].into_iter()), 0.0);
    }
}
