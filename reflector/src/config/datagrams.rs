//! What is done to datagrams: the `[udp]` table as written, and its way to [`Datagrams`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::units::Span;

use super::file::{CapFile, File};
use super::{CapUnit, ConfigError, RateCap};
use crate::behaviour::Spread;
use crate::pace;
use crate::udp::{Faults, OneIn};

/// How long the first of a swap waits for its neighbour, unless something else is asked for.
const SWAP_WAIT: Duration = Duration::from_millis(100);
/// Longest time that something may be asked to wait for a neighbour.
const SWAP_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest burst of a rate cap.
const BURST_MAX: Duration = Duration::from_secs(10);
/// Slowest rate cap, per second: whoever waits for less has mistaken the unit.
const RATE_MIN: f64 = 0.001;

/// What a stall does to datagrams.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stalled {
    /// They are answered at its end.
    #[default]
    Hold,
    /// They are not answered.
    Drop,
}

/// What is done to datagrams.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagrams {
    /// Which are dropped, changed, sent twice or swapped.
    pub faults: Faults,
    /// How long the first of a swap waits for its neighbour before it is sent alone, up to a minute.
    pub swap_wait: Duration,
    /// Time between a datagram and its answer.
    pub delay: Duration,
    /// What a stall does to them.
    pub stall: Stalled,
}

impl Default for Datagrams {
    fn default() -> Self {
        Self { faults: Faults::default(), swap_wait: SWAP_WAIT, delay: Duration::ZERO, stall: Stalled::Hold }
    }
}

/// `[udp]` as written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct UdpFile {
    /// One in so many is not answered.
    pub drop: Option<OneIn>,
    /// One in so many is answered with one byte changed.
    pub corrupt: Option<OneIn>,
    /// One in so many is answered twice.
    pub duplicate: Option<OneIn>,
    /// One in so many is answered after the next one of its stream.
    pub swap: Option<OneIn>,
    /// How long it waits for that.
    pub swap_wait: Option<Span>,
    /// `hold` or `drop`.
    pub stall: Option<Stalled>,
}

/// What is to be done to datagrams; `delay` is the reflector's.
pub(super) fn datagrams(file: &File, delay: Spread) -> Result<Datagrams, ConfigError> {
    let UdpFile { drop, corrupt, duplicate, swap, swap_wait, stall } = file.udp;
    if !file.listen.iter().any(|listener| listener.kind.is_udp()) {
        return if file.udp == UdpFile::default() {
            Ok(Datagrams::default())
        } else {
            refuse("udp", "has no effect without a listener of kind udp".to_owned())
        };
    }
    let Spread::Fixed(seconds) = delay else {
        return refuse("delay", "datagrams are all delayed by the same time; expected one such as \"10ms\"".to_owned());
    };
    if stall.is_some() && file.stall.is_none() {
        return refuse("udp.stall", "has no effect without stall".to_owned());
    }
    if swap_wait.is_some() && swap.is_none() {
        return refuse("udp.swap_wait", "has no effect without udp.swap".to_owned());
    }
    let swap_wait = swap_wait.map_or(SWAP_WAIT, |span| span.0);
    if swap_wait.is_zero() || swap_wait > SWAP_WAIT_MAX {
        let message = format!("{}; expected more than 0s and at most {}", Span(swap_wait), Span(SWAP_WAIT_MAX));
        return refuse("udp.swap_wait", message);
    }
    Ok(Datagrams {
        faults: Faults { drop, corrupt, duplicate, swap },
        swap_wait,
        delay: Duration::from_secs_f64(seconds),
        stall: stall.unwrap_or_default(),
    })
}

/// The rate cap. It counts connections, or datagrams where nothing else is served.
pub(super) fn rate_cap(file: &File, written: CapFile) -> Result<RateCap, ConfigError> {
    let CapFile { rate, over, unit, burst } = written;
    if rate.as_f64() < RATE_MIN {
        let seconds = 1.0 / RATE_MIN;
        let message = format!("{rate} is too slow; expected at least {RATE_MIN}/s, which is one in {seconds} s");
        return refuse("rate_cap.rate", message);
    }
    let udp = file.listen.iter().filter(|listener| listener.kind.is_udp()).count();
    let only = if udp == file.listen.len() { CapUnit::Datagrams } else { CapUnit::Connections };
    let unit = unit.unwrap_or(only);
    if unit == CapUnit::Datagrams && udp == 0 {
        return refuse("rate_cap.unit", "no listener has datagrams; expected connections or requests".to_owned());
    }
    if unit != CapUnit::Datagrams && only == CapUnit::Datagrams {
        return refuse("rate_cap.unit", "all listeners have datagrams only; expected datagrams".to_owned());
    }
    let burst = burst.map_or(pace::BURST, |span| span.0);
    if burst > BURST_MAX {
        return refuse("rate_cap.burst", format!("{}; expected at most {}", Span(burst), Span(BURST_MAX)));
    }
    Ok(RateCap { rate, over, unit, burst })
}

fn refuse<T>(key: &'static str, message: String) -> Result<T, ConfigError> {
    Err(ConfigError { key, message })
}
