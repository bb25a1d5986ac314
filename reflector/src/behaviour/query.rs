//! The URL query that steers one answer, in the manner of HAProxy's `haterm` and its `httpterm`.
//!
//! Parameters are separated by any of `& ? , ; /`; unknown ones are ignored, so that testers can add
//! cache busters. A known one with a bad value is refused with a reason. Allocates only for a reason.
//! Left out of haterm's list: `A` (bodies are always read before the answer) and `R` (bodies are
//! always verifiable, never random).

use super::{DELAY_MAX, ResetAt, SIZE_MAX};

/// What an empty query (`/?`) answers.
pub(crate) const HELP: &str = "\
Nadare reflector. Parameters, separated by any of & ? , ; /
  s=<size>     body of <size> bytes; k, m, g for 1,024; e.g. /?s=20k
  r=<status>   status 200 to 599; e.g. /?r=404
  t=<ms>       wait so many milliseconds before answering; e.g. /?t=500
  stall=<ms>   stop half-way through the body for so many milliseconds
  k=<0|1>      1: chunked, 0: with its length
  c=<0|1>      0: mark the answer as not cacheable
  C=<0|1>      1: close the connection after the answer
  K=<0|1>      1: keep the connection, also where the default is to close it
  x=<point>    reset the connection: accept (nothing answered), head (after it), body (half-way)
An r after a number multiplies it by a random number from 0 to 1: /?t=30r
";

/// A whole number, perhaps to be multiplied by a random one from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) value: u64,
    pub(crate) random: bool,
}

impl Amount {
    pub(crate) fn resolve(self, variate: f64) -> u64 {
        if self.random { (self.value as f64 * variate) as u64 } else { self.value }
    }
}

/// What one query asks for; what it leaves open comes from the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) size: Option<Amount>,
    pub(crate) delay: Option<Amount>,
    pub(crate) stall: Option<Amount>,
    pub(crate) status: Option<u16>,
    pub(crate) chunked: Option<bool>,
    pub(crate) close: bool,
    pub(crate) keep: bool,
    pub(crate) no_cache: bool,
    pub(crate) reset: Option<ResetAt>,
    pub(crate) help: bool,
}

impl Asked {
    /// Reads the part of the target after the first `?`.
    ///
    /// # Errors
    /// The reason, naming the parameter, the value and what is allowed.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut asked = Self { help: query.is_empty(), ..Self::default() };
        for part in query.split(['&', '?', ',', ';', '/']) {
            let Some((name, value)) = part.split_once('=') else { continue };
            asked.take(name, value)?;
        }
        Ok(asked)
    }

    /// Reads the query of a whole target; without a `?` nothing is asked.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_target(target: &str) -> Result<Self, String> {
        target.split_once('?').map_or_else(|| Ok(Self::default()), |(_, query)| Self::parse(query))
    }

    pub(crate) fn is_random(&self) -> bool {
        [self.size, self.delay, self.stall].into_iter().flatten().any(|amount| amount.random)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        const SIZE: &str = "a whole number of bytes up to 1 TiB, with k, m or g for 1,024 if you like";
        const MILLISECONDS: &str = "a whole number of milliseconds up to 3600000";
        let delay_max = DELAY_MAX.as_millis() as u64;
        match name {
            "s" => self.size = Some(amount(value, SIZE_MAX).ok_or_else(|| refuse(name, value, SIZE))?),
            "t" => self.delay = Some(amount(value, delay_max).ok_or_else(|| refuse(name, value, MILLISECONDS))?),
            "stall" => self.stall = Some(amount(value, delay_max).ok_or_else(|| refuse(name, value, MILLISECONDS))?),
            "r" => {
                let status = value.parse().ok().filter(|status| (200..=599).contains(status));
                self.status = Some(status.ok_or_else(|| refuse(name, value, "a status from 200 to 599"))?);
            }
            "k" => self.chunked = Some(switch(name, value)?),
            "c" => self.no_cache = !switch(name, value)?,
            "C" => self.close = switch(name, value)?,
            "K" => self.keep = switch(name, value)?,
            "x" => {
                let point = ResetAt::from_name(value);
                self.reset = Some(point.ok_or_else(|| refuse(name, value, "one of accept, head, body"))?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// haterm takes any number and asks whether it is greater than 0; so do we.
fn switch(name: &str, value: &str) -> Result<bool, String> {
    amount(value, u64::MAX).map(|amount| amount.value > 0).ok_or_else(|| refuse(name, value, "0 or 1"))
}

/// Digits, then `k`, `m`, `g` (times 1,024) and `r` (random) in any number, as haterm reads them.
fn amount(text: &str, max: u64) -> Option<Amount> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut value: u64 = text[..digits].parse().ok()?;
    let mut random = false;
    for suffix in text[digits..].bytes() {
        let shift = match suffix {
            b'k' | b'K' => 10,
            b'm' | b'M' => 20,
            b'g' | b'G' => 30,
            b'r' => {
                random = true;
                0
            }
            _ => return None,
        };
        value = value.checked_mul(1 << shift)?;
    }
    (value <= max).then_some(Amount { value, random })
}

fn refuse(name: &str, value: &str, wanted: &str) -> String {
    format!("parameter {name} is {value:?}; expected {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(value: u64) -> Option<Amount> {
        Some(Amount { value, random: false })
    }

    #[test]
    fn reads_what_haterm_reads() {
        let asked = Asked::parse("s=20k&c=1&t=700&K=30r").unwrap();
        assert_eq!((asked.size, asked.delay, asked.keep, asked.no_cache), (fixed(20_480), fixed(700), true, false));
        let asked = Asked::parse("r=500?s=0?c=0?t=1000").unwrap();
        assert_eq!((asked.status, asked.size, asked.no_cache, asked.delay), (Some(500), fixed(0), true, fixed(1000)));
        assert_eq!(Asked::parse("t=30r").unwrap().delay, Some(Amount { value: 30, random: true }));
        assert!(Asked::parse("").unwrap().help);
    }

    #[test]
    fn ignores_what_it_does_not_know() {
        assert_eq!(Asked::parse("_=1699&cachebuster=x&s").unwrap(), Asked::default());
    }

    #[test]
    fn a_bad_value_is_refused_with_parameter_value_and_what_is_allowed() {
        assert_eq!(Asked::parse("r=99").unwrap_err(), "parameter r is \"99\"; expected a status from 200 to 599");
        for bad in [
            "s=",
            "s=-1",
            "s=1x",
            "s=2000g",
            "s=99999999999999999999",
            "t=1.5",
            "t=3600001",
            "t=k",
            "stall=x",
            "r=600",
            "r=abc",
            "k=yes",
            "c=",
            "C=-1",
            "K=true",
            "x=middle",
            "x=",
        ] {
            let reason = Asked::parse(bad).unwrap_err();
            let (name, value) = bad.split_once('=').unwrap();
            assert!(reason.starts_with(&format!("parameter {name} is {value:?}; expected ")), "{reason}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in ["s=k", "s=é", "=", "==", "s==1", "?", "s=1ké", "\u{0}=\u{0}"] {
            let _ = Asked::parse(text);
        }
    }
}
