//! What is done to a datagram on purpose: dropped, answered twice, changed, swapped with its neighbour.
//!
//! Everything follows from the datagram's number, for one with a signature its sequence: so it holds
//! for each stream by itself, whichever reflector, thread or run it comes to, and a client can say
//! beforehand what it will miss. The short signature carries 32 bits of the sequence; where these wrap
//! one group may be shorter. Among any `every` consecutive numbers exactly one is met.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::signature::{LONG, Near, SHORT, Signature};

/// One in so many: `1000`, or `1000+7` for the numbers that leave 7 when divided by 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneIn {
    every: NonZeroU64,
    at: Option<u64>,
}

impl OneIn {
    const WANTED: &'static str = "expected N for one in N, or N+K for those at K of N, K below N: 1000, \"1000+7\"";

    /// One in `every`; `None` for 0.
    pub fn new(every: u64) -> Option<Self> {
        NonZeroU64::new(every).map(|every| Self { every, at: None })
    }

    /// The same, met by the numbers that leave `at` when divided by `every`; `None` unless `at` is smaller.
    pub fn at(self, at: u64) -> Option<Self> {
        (at < self.every.get()).then_some(Self { at: Some(at), ..self })
    }

    /// Whether it meets this number; without a place of its own it has the default one.
    fn meets(self, number: u64, default_at: u64) -> bool {
        number % self.every == self.at.unwrap_or(default_at % self.every)
    }
}

impl FromStr for OneIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (every, at) = text.split_once('+').map_or((text, None), |(every, at)| (every, Some(at)));
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let one_in = number(every).and_then(Self::new);
        let one_in = at.map_or(one_in, |at| one_in.and_then(|one_in| one_in.at(number(at)?)));
        one_in.ok_or_else(|| format!("{text:?} is not one in so many; {}", Self::WANTED))
    }
}

impl fmt::Display for OneIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            None => write!(f, "{}", self.every),
            Some(at) => write!(f, "{}+{at}", self.every),
        }
    }
}

impl Serialize for OneIn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OneIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneInVisitor)
    }
}

/// A whole number, or a text.
struct OneInVisitor;

impl de::Visitor<'_> for OneInVisitor {
    type Value = OneIn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("1000 or \"1000+7\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneIn, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<OneIn, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<OneIn, E> {
        self.visit_str(&value.to_string())
    }
}

/// The faults of a reflector. The places that are met by default (1, 3, 5, and 6 with 7) keep the
/// faults apart from each other as far as their `every` have a divisor of at least 8 in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Not answered.
    pub drop: Option<OneIn>,
    /// Answered with one byte changed.
    pub corrupt: Option<OneIn>,
    /// Answered twice.
    pub duplicate: Option<OneIn>,
    /// Answered after the next datagram of the same stream.
    pub swap: Option<OneIn>,
}

/// What is done to one datagram. Nothing else is done to one that is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) dropped: bool,
    pub(super) corrupted: bool,
    pub(super) duplicated: bool,
    /// It waits for the next one of its stream, unless it is itself the one that another waits for.
    pub(super) swapped: bool,
}

impl Faults {
    /// Whether anything is done at all.
    pub(super) fn any(&self) -> bool {
        *self != Self::default()
    }

    /// What is done to the datagram with this number.
    pub(super) fn fate(&self, number: u64) -> Fate {
        let meets = |fault: Option<OneIn>, at| fault.is_some_and(|one_in| one_in.meets(number, at));
        if meets(self.drop, 1) {
            return Fate { dropped: true, ..Fate::default() };
        }
        Fate {
            dropped: false,
            corrupted: meets(self.corrupt, 3),
            duplicated: meets(self.duplicate, 5),
            swapped: meets(self.swap, 6),
        }
    }
}

/// The number that a datagram carries; `None` without a signature.
pub(super) fn number(payload: &[u8]) -> Option<u64> {
    Signature::read(payload, Near::default()).map(|signature| signature.sequence)
}

/// Changes one byte: the last, or without a byte behind the signature the highest of the moment it was
/// sent, so that stream and number can still be read and nobody takes the moment for a true one.
pub(super) fn corrupt(payload: &mut [u8]) {
    let at = match payload.len() {
        0 => return,
        LONG => 10,
        SHORT => 6,
        length => length - 1,
    };
    payload[at] ^= 0xFF;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_in(text: &str) -> Option<OneIn> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn any_n_consecutive_numbers_meet_each_fault_once() {
        for every in [1, 2, 3, 7, 10, 400, 1000] {
            for text in [every.to_string(), format!("{every}+{}", every - 1)] {
                let all = one_in(&text);
                let faults = [
                    Faults { drop: all, ..Faults::default() },
                    Faults { corrupt: all, ..Faults::default() },
                    Faults { duplicate: all, ..Faults::default() },
                    Faults { swap: all, ..Faults::default() },
                ];
                for from in [0, 1, 77, 999, u64::from(u32::MAX), u64::MAX - 2 * every] {
                    let met = faults
                        .map(|faults| (from..from + every).filter(|n| faults.fate(*n) != Fate::default()).count());
                    assert_eq!(met, [1; 4], "{text} from {from}");
                }
            }
        }
    }

    #[test]
    fn the_default_places_keep_faults_apart() {
        for [drop, corrupt, duplicate, swap] in [["1000", "800", "500", "400"], ["8", "16", "8", "24"]] {
            let faults = Faults {
                drop: one_in(drop),
                corrupt: one_in(corrupt),
                duplicate: one_in(duplicate),
                swap: one_in(swap),
            };
            for number in 0..100_000 {
                let Fate { dropped, corrupted, duplicated, swapped } = faults.fate(number);
                // The partner of a swap is the number after it.
                let partner = number > 0 && faults.fate(number - 1).swapped;
                let met = [dropped, corrupted, duplicated, swapped, partner].iter().filter(|met| **met).count();
                assert!(met <= 1, "{number}: {:?}", faults.fate(number));
            }
        }
    }

    #[test]
    fn a_dropped_one_has_no_other_fault() {
        let faults = Faults { drop: one_in("10+0"), duplicate: one_in("5+0"), ..Faults::default() };
        assert_eq!(faults.fate(10), Fate { dropped: true, ..Fate::default() });
        assert_eq!(faults.fate(15), Fate { duplicated: true, ..Fate::default() });
    }

    #[test]
    fn a_changed_byte_leaves_stream_and_number_readable() {
        for length in [1, 11, 12, 13, 17, 18, 19, 1472] {
            let mut payload = vec![0; length];
            let written = Signature { stream: 9, sequence: 4711, sent_ns: 1 << 40 };
            let is_signed = written.write(&mut payload) > 0;
            let before = payload.clone();
            corrupt(&mut payload);
            assert_eq!(payload.iter().zip(&before).filter(|(now, then)| now != then).count(), 1, "{length}");
            let Some(read) = Signature::read(&payload, Near { sequence: 4711, now_ns: 1 << 40 }) else {
                assert!(!is_signed);
                continue;
            };
            assert_eq!((read.stream, number(&payload)), (9, Some(4711)), "{length}");
            if length == LONG || length == SHORT {
                assert!(read.sent_ns.abs_diff(written.sent_ns) > 1 << 46, "{length}: {read:?}");
            }
        }
        corrupt(&mut []);
    }

    #[test]
    fn what_is_not_one_in_so_many_is_refused() {
        for text in ["1000", "1000+7", "1"] {
            assert_eq!(text.parse::<OneIn>().unwrap().to_string(), text);
        }
        for text in ["0", "", "-1", "1/1000", "7+7", "7+", "+1", "1%"] {
            let error = text.parse::<OneIn>().unwrap_err();
            assert!(error.starts_with(&format!("{text:?} is not one in so many; expected N")), "{error}");
        }
    }
}
