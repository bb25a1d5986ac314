//! Latency histograms in JSON: one base64 text per latency, in the V2 deflate format of HdrHistogram.
//!
//! Every count survives; a latency without values is left out. Any HdrHistogram library reads the texts.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HistogramReader, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{Latencies, Latency};

/// Most bytes of one histogram as text: three digits over an hour take far less.
const TEXT_MAX: usize = 4 * 1024 * 1024;

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut texts = BTreeMap::new();
        let mut encoder = V2DeflateSerializer::new();
        for latency in Latency::ALL.into_iter().filter(|&latency| !self.of(latency).is_empty()) {
            let mut bytes = Vec::new();
            encoder.serialize(self.of(latency), &mut bytes).map_err(ser::Error::custom)?;
            texts.insert(latency.name(), STANDARD.encode(bytes));
        }
        texts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut latencies = Self::default();
        let mut reader = HistogramReader::new();
        for (name, text) in texts {
            let Some(latency) = Latency::ALL.into_iter().find(|latency| latency.name() == name) else {
                return Err(de::Error::custom(format!("{name:?} is no latency that this version knows")));
            };
            let histogram = decode(&mut reader, &text).map_err(|why| de::Error::custom(format!("{name}: {why}")))?;
            latencies.0[latency as usize] = histogram;
        }
        Ok(latencies)
    }
}

fn decode(reader: &mut HistogramReader, text: &str) -> Result<Histogram<u64>, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("{} bytes are no histogram of ours; at most {TEXT_MAX}", text.len()));
    }
    let bytes = STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))?;
    let mut histogram: Histogram<u64> =
        reader.deserialize(&mut bytes.as_slice()).map_err(|error| format!("not a histogram: {error}"))?;
    histogram.auto(true);
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_survives_the_way_through_json() {
        for mut latencies in [Latencies::default(), Latencies::coarse()] {
            for value in 1..2_000_u64 {
                latencies.record(Latency::Response, value * value * value);
                latencies.record(Latency::Lag, value);
            }
            let text = serde_json::to_string(&latencies).unwrap();
            let mut back: Latencies = serde_json::from_str(&text).unwrap();
            let counts = |of: &Histogram<u64>| -> Vec<_> {
                of.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
            };
            for latency in Latency::ALL {
                assert!(counts(back.of(latency)) == counts(latencies.of(latency)), "{latency:?}");
            }
            // What was read can still take a larger value.
            back.record(Latency::Response, u64::MAX);
            assert_eq!(back.of(Latency::Response).len(), 2_000);
        }
    }

    #[test]
    fn texts_that_are_no_histograms_are_refused_by_name() {
        for (text, why) in [
            (r#"{"responce_time":""}"#, "no latency"),
            (r#"{"response_time":"%"}"#, "not base64"),
            (r#"{"response_time":"AAAA"}"#, "not a histogram"),
        ] {
            let error = serde_json::from_str::<Latencies>(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("respon"), "{error}");
        }
    }
}
