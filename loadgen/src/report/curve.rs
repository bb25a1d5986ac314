//! `latency.hlog`: the histograms of every second, in the interval-log format of HdrHistogram.
//!
//! Values are nanoseconds, the tag is the latency, timestamps count from the first trial. Intervals
//! can be added up by any HdrHistogram tool, which is the only right way to join percentiles.

use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::measure::{Latency, TrialRecord};

/// The whole file.
///
/// # Errors
/// What the serialiser says, as text.
pub(super) fn interval_log(trials: &[TrialRecord]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let began_ns = trials.first().map_or(0, |record| record.began_ns);
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("latencies in nanoseconds, one interval per second and kind; seconds since the first trial")
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| error.to_string())?;
    for record in trials {
        log.write_comment(&format!("trial {} {}", record.number, record.purpose.name()))
            .map_err(|error| error.to_string())?;
        let offset = Duration::from_nanos(record.began_ns.saturating_sub(began_ns));
        for second in &record.seconds {
            let start = offset + Duration::from_secs(second.index.into());
            for latency in Latency::ALL.into_iter().filter(|&latency| !second.latencies.of(latency).is_empty()) {
                log.write_histogram(
                    second.latencies.of(latency),
                    start,
                    Duration::from_secs(1),
                    Tag::new(latency.name()),
                )
                .map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_intervals_add_up_to_what_was_measured() {
        let trials = &fixture::run().trials[..2];
        let log = interval_log(trials).unwrap();
        let mut whole = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        for entry in IntervalLogIterator::new(&log) {
            let LogEntry::Interval(interval) = entry.unwrap() else { continue };
            if interval.tag().map(|tag| tag.as_str()) == Some("response_time") {
                // The log's base64 is the standard one; the crate leaves decoding to the caller.
                let bytes = fixture::base64(interval.encoded_histogram());
                let part: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                whole.add(&part).unwrap();
            }
        }
        let expected: u64 = trials
            .iter()
            .flat_map(|record| &record.seconds)
            .map(|second| second.latencies.of(Latency::Response).len())
            .sum();
        assert!(expected > 0);
        assert_eq!(whole.len(), expected);
    }
}
