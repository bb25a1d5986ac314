//! Rates, sizes, shares and durations, as text and as types.
//!
//! `"10k/s"`, `"1k"`, `"0.001%"`, `"500ms"`: what a person writes in a scenario, a configuration or
//! on a command line. Each type holds its range, so nothing downstream checks it again.
//! Multipliers of rates are decimal (k = 1,000); those of sizes are binary (k = 1,024), because the
//! object sizes of RFC 9411 are read as 1,024-byte kilobytes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a quantity. The message says what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {wanted}")]
pub struct UnitError {
    found: String,
    wanted: &'static str,
}

/// A rate of events per second: finite and greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    const WANTED: &'static str =
        "a rate; expected a number greater than 0 with k, M or G and \"/s\" if you like: 500, \"10k/s\", \"1.5M/s\"";

    /// # Errors
    /// [`UnitError`] unless `events` is finite and greater than zero.
    pub fn per_second(events: f64) -> Result<Self, UnitError> {
        if events.is_finite() && events > 0.0 {
            Ok(Self(events))
        } else {
            Err(UnitError { found: events.to_string(), wanted: Self::WANTED })
        }
    }

    /// Events per second.
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let body = text.trim().strip_suffix("/s").unwrap_or_else(|| text.trim());
        scaled(body, 1000.0).and_then(|value| Self::per_second(value).ok()).ok_or_else(|| refuse(text, Self::WANTED))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A rate of bits per second: whole, from 1 to 10^15.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BitRate(u64);

impl BitRate {
    const WANTED: &'static str = "a bit rate; expected at least 1 bit/s, at most 1000 Tbit/s, with k, M, G or T for \
                                  1,000 and so on, and \"/s\" if you like: \"100Mbit/s\", \"1.5Gbit/s\", \"10Mbit\"";
    const MAX: u64 = 1_000_000_000_000_000;

    /// # Errors
    /// [`UnitError`] below 1 or above 10^15.
    pub fn bits_per_second(bits: u64) -> Result<Self, UnitError> {
        if (1..=Self::MAX).contains(&bits) {
            Ok(Self(bits))
        } else {
            Err(UnitError { found: format!("{bits} bit/s"), wanted: Self::WANTED })
        }
    }

    /// Bits per second.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl FromStr for BitRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let body = text.trim();
        let body = body.strip_suffix("/s").unwrap_or(body);
        let number = body.strip_suffix("bits").or_else(|| body.strip_suffix("bit")).map(str::trim);
        // T is known to bit rates only: nobody sends so many frames.
        let tera =
            |number: &str| number.strip_suffix('T').and_then(|rest| scaled(rest, 1000.0)).map(|value| value * 1e12);
        number
            .and_then(|number| tera(number).or_else(|| scaled(number, 1000.0)))
            .map(f64::round)
            .filter(|bits| (1.0..=Self::MAX as f64).contains(bits))
            .map(|bits| Self(bits as u64))
            .ok_or_else(|| refuse(text, Self::WANTED))
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
        match steps.into_iter().find(|(step, _)| self.0.is_multiple_of(*step)) {
            Some((step, letter)) => write!(f, "{}{letter}bit/s", self.0 / step),
            None => write!(f, "{}bit/s", self.0),
        }
    }
}

/// A number of bytes from 0 to 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    const WANTED: &'static str =
        "a size; expected whole bytes up to 2^53, with k, M or G for 1,024: 0, 64, \"64B\", \"20k\", \"1M\"";

    /// A size of so many bytes.
    pub fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Bytes.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let body = text.trim();
        let body = body.strip_suffix("iB").or_else(|| body.strip_suffix('B')).unwrap_or(body);
        scaled(body, 1024.0)
            .filter(|value| (0.0..=9_007_199_254_740_992.0).contains(value) && value.fract() == 0.0)
            .map(|value| Self(value as u64))
            .ok_or_else(|| refuse(text, Self::WANTED))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A share of a whole, from 0 % to 1,000 %; written with a percent sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    const WANTED: &'static str = "a share; expected a number from 0 to 1000 with a percent sign: \"5%\", \"0.001%\"";

    /// # Errors
    /// [`UnitError`] unless `ratio` lies between 0 and 10.
    pub fn from_ratio(ratio: f64) -> Result<Self, UnitError> {
        if (0.0..=10.0).contains(&ratio) {
            Ok(Self(ratio))
        } else {
            Err(UnitError { found: format!("{}%", ratio * 100.0), wanted: Self::WANTED })
        }
    }

    /// The share as a ratio: 5 % is 0.05.
    pub fn as_ratio(self) -> f64 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.trim()
            .strip_suffix('%')
            .and_then(|body| body.trim().parse::<f64>().ok())
            .and_then(|value| Self::from_ratio(value / 100.0).ok())
            .ok_or_else(|| refuse(text, Self::WANTED))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded in the 12th digit, so that 7 % does not read 7.000000000000001 %.
        write!(f, "{}%", (self.0 * 1e14).round() / 1e12)
    }
}

/// A duration as text: `"250us"`, `"500ms"`, `"1s"`, `"1.5s"`, `"2m"`, `"1h"`; at most 30 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    const WANTED: &'static str =
        "a duration; expected a number with us, ms, s, m or h, at most 30 days: \"500ms\", \"1s\", \"2m\"";
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let body = text.trim();
        let digits = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
        let (number, unit) = body.split_at(digits);
        let seconds = match unit.trim() {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(refuse(text, Self::WANTED)),
        };
        number
            .parse::<f64>()
            .ok()
            .map(|value| value * seconds)
            .filter(|seconds| (0.0..=30.0 * 86_400.0).contains(seconds))
            // In whole nanoseconds, so that "0.1s" is 100 ms to the nanosecond.
            .map(|seconds| Self(Duration::from_nanos((seconds * 1e9).round() as u64)))
            .ok_or_else(|| refuse(text, Self::WANTED))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos.is_multiple_of(1_000_000_000) {
            write!(f, "{}s", nanos / 1_000_000_000)
        } else if nanos.is_multiple_of(1_000_000) {
            write!(f, "{}ms", nanos / 1_000_000)
        } else {
            write!(f, "{}us", nanos as f64 / 1000.0)
        }
    }
}

/// A number with an optional k, M or G; `None` if it is not one.
fn scaled(text: &str, kilo: f64) -> Option<f64> {
    let text = text.trim();
    let (number, factor) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], kilo),
        (at, 'M') => (&text[..at], kilo * kilo),
        (at, 'G') => (&text[..at], kilo * kilo * kilo),
        _ => (text, 1.0),
    };
    let number = number.trim_end();
    // Rust's float parser also takes "inf", "nan" and "1e9"; a quantity here is plain digits.
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    number.parse::<f64>().ok().map(|value| value * factor)
}

fn refuse(found: &str, wanted: &'static str) -> UnitError {
    UnitError { found: found.to_owned(), wanted }
}

/// Reads a quantity from text, or from a bare number where the type has a natural unit.
struct QuantityVisitor<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = UnitError>> de::Visitor<'_> for QuantityVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }
}

macro_rules! text_quantity {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(QuantityVisitor(std::marker::PhantomData, Self::WANTED))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

text_quantity!(Rate, BitRate, ByteSize, Percent, Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_person_writes() {
        assert_eq!("10k/s".parse::<Rate>().unwrap().as_f64(), 10_000.0);
        assert_eq!("1.5M".parse::<Rate>().unwrap().as_f64(), 1_500_000.0);
        assert_eq!("1k".parse::<ByteSize>().unwrap().as_u64(), 1024);
        assert_eq!("64B".parse::<ByteSize>().unwrap().as_u64(), 64);
        assert_eq!("0.001%".parse::<Percent>().unwrap().as_ratio(), 0.00001);
        assert_eq!("500ms".parse::<Span>().unwrap().0, Duration::from_millis(500));
        assert_eq!("0.1s".parse::<Span>().unwrap().0, Duration::from_millis(100));
        assert_eq!("2m".parse::<Span>().unwrap().0, Duration::from_secs(120));
    }

    #[test]
    fn a_bit_rate_has_decimal_multipliers_and_reads_itself_again() {
        for (text, bits, again) in [
            ("100Mbit/s", 100_000_000, "100Mbit/s"),
            ("1.5Gbit/s", 1_500_000_000, "1500Mbit/s"),
            ("10Mbit", 10_000_000, "10Mbit/s"),
            ("64 kbit/s", 64_000, "64kbit/s"),
            ("1Tbit/s", 1_000_000_000_000, "1000Gbit/s"),
            ("1234bit", 1_234, "1234bit/s"),
        ] {
            let rate: BitRate = text.parse().unwrap();
            assert_eq!((rate.as_u64(), rate.to_string().as_str()), (bits, again), "{text}");
            assert_eq!(again.parse::<BitRate>().unwrap(), rate);
        }
        for bad in ["", "100", "100M", "100MB/s", "0bit/s", "-1bit", "1001Tbit/s", "Mbit/s", "inf bit", "1e9bit/s"] {
            assert!(bad.parse::<BitRate>().is_err(), "{bad:?} was accepted as a bit rate");
        }
        assert!(BitRate::bits_per_second(0).is_err());
    }

    #[test]
    fn refuses_what_is_not_a_quantity() {
        for bad in ["", "0", "-1", "inf", "nan", "1e9", "k", "10 apples", "10k/m"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?} was accepted as a rate");
        }
        for bad in ["", "-1", "1.5", "99999999G", "1x"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?} was accepted as a size");
        }
        for bad in ["", "5", "-1%", "1001%", "%", "nan%"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad:?} was accepted as a share");
        }
        for bad in ["", "5", "-1s", "1d", "s", "1000h", "1.2.3s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad:?} was accepted as a duration");
        }
    }

    #[test]
    fn prints_what_it_can_read_back() {
        for text in ["1s", "500ms", "250us", "120s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["5%", "0.001%", "7%", "33.3%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_error_says_what_was_found_and_what_is_allowed() {
        let error = "fast".parse::<Rate>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"fast\" is not a rate; expected a number greater than 0 with k, M or G and \"/s\" if you like: 500, \"10k/s\", \"1.5M/s\""
        );
    }
}
