//! Latency histograms of one trial.
//!
//! HDR histograms with three significant digits, in nanoseconds from 1 ns to 1 h; percentiles come
//! from merged histograms and are never averaged. A percentile is printed only when enough samples
//! stand behind it (95 % upper rank of the order statistic exists).

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::statistics::samples_for_upper_rank;

mod stored;

/// Largest value a histogram tells apart: one hour.
const HIGHEST_NS: u64 = 3_600_000_000_000;

/// The latencies that are told apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Latency {
    /// SYN sent to handshake complete, as the client sees it.
    Connect,
    /// SYN sent (first request of a connection) or request sent (later ones) to first body byte.
    Ttfb,
    /// The same start to the last body byte.
    Ttlb,
    /// Due to last body byte: free of coordinated omission.
    Response,
    /// Started to last body byte.
    Service,
    /// Due to started, of operations that found a free slot: the generator's own lateness.
    Lag,
    /// Between two departures of datagrams of one worker.
    Departure,
}

impl Latency {
    /// All latencies, in the order of the columns of a report.
    pub const ALL: [Self; 7] =
        [Self::Connect, Self::Ttfb, Self::Ttlb, Self::Response, Self::Service, Self::Lag, Self::Departure];

    /// The name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Ttfb => "ttfb",
            Self::Ttlb => "ttlb",
            Self::Response => "response_time",
            Self::Service => "service_time",
            Self::Lag => "schedule_lag",
            Self::Departure => "inter_departure",
        }
    }
}

/// One histogram per [`Latency`].
#[derive(Clone, Debug)]
pub struct Latencies([Histogram<u64>; Latency::ALL.len()]);

impl Default for Latencies {
    /// Three significant digits: for totals.
    fn default() -> Self {
        Self::with_digits(3)
    }
}

impl Latencies {
    /// Two significant digits: for the seconds of a timeline, of which there are many.
    pub fn coarse() -> Self {
        Self::with_digits(2)
    }

    fn with_digits(digits: u8) -> Self {
        // They grow to the largest value seen: some 100 KiB each instead of 260 for the whole range.
        Self(std::array::from_fn(|_| Histogram::new(digits).expect("2 and 3 digits are allowed")))
    }

    /// Books one value; beyond one hour it counts as one hour.
    pub fn record(&mut self, latency: Latency, nanoseconds: u64) {
        self.0[latency as usize]
            .record(nanoseconds.clamp(1, HIGHEST_NS))
            .expect("a histogram that may grow takes every value");
    }

    /// Books the same value several times.
    pub fn record_many(&mut self, latency: Latency, nanoseconds: u64, times: u64) {
        self.0[latency as usize]
            .record_n(nanoseconds.clamp(1, HIGHEST_NS), times)
            .expect("a histogram that may grow takes every value");
    }

    /// The histogram of one latency, in nanoseconds.
    pub fn of(&self, latency: Latency) -> &Histogram<u64> {
        &self.0[latency as usize]
    }

    /// Adds the values of another worker of the same trial.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.add(theirs).expect("a histogram that may grow takes every value");
        }
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(Histogram::reset);
    }

    /// A percentile (0 to 100), or `None` if too few samples stand behind it.
    pub fn percentile(&self, latency: Latency, percentile: f64) -> Option<Duration> {
        let histogram = self.of(latency);
        let enough = histogram.len() >= samples_needed(percentile / 100.0);
        enough.then(|| Duration::from_nanos(histogram.value_at_percentile(percentile)))
    }
}

/// How many samples a quantile (0 to 1) needs: the least n for which the 95 % upper confidence rank
/// of the order statistic still exists. 36 for p90, 368 for p99, 3,688 for p99.9; 1 up to the median,
/// and for the maximum, which is what it is.
pub fn samples_needed(quantile: f64) -> u64 {
    let beyond_the_median = quantile > 0.5;
    beyond_the_median.then(|| samples_for_upper_rank(quantile, 0.95)).flatten().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_enough_samples() {
        assert_eq!([0.9, 0.95, 0.99, 0.999, 0.9999].map(samples_needed), [36, 72, 368, 3_688, 36_887]);
        let mut latencies = Latencies::default();
        for value in 1..=367 {
            latencies.record(Latency::Service, value * 1000);
        }
        assert_eq!(latencies.percentile(Latency::Service, 99.0), None);
        latencies.record(Latency::Service, 368_000);
        let p99 = latencies.percentile(Latency::Service, 99.0).unwrap();
        assert!((p99.as_nanos() as f64 / 365_000.0 - 1.0).abs() < 0.001, "{p99:?}");
    }

    #[test]
    fn merging_gives_the_histogram_of_the_whole() {
        let (mut left, mut right, mut whole) = (Latencies::default(), Latencies::default(), Latencies::default());
        for value in 1..10_000_u64 {
            let part = if value % 3 == 0 { &mut left } else { &mut right };
            part.record(Latency::Response, value * value);
            whole.record(Latency::Response, value * value);
        }
        left.merge(&right);
        assert_eq!(left.of(Latency::Response), whole.of(Latency::Response));
    }
}
