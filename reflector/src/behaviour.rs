//! What is answered to a request: size, delay, status, framing, stall and reset.
//!
//! [`Policy`] holds the configured defaults; [`Asked`] is what one URL query asks for; together with
//! the request's number they give one [`Behaviour`]. Nothing here waits, sends or reads a clock.
//! Invariants: the same seed and request number give the same behaviour on every machine; among
//! any `n` consecutive request numbers the failures are `n × share`, rounded up or down.

mod query;

use std::fmt;
use std::time::Duration;

use wire::hash;

pub(crate) use query::{Asked, HELP};

/// Most bytes one response may have: 1 TiB.
pub(crate) const SIZE_MAX: u64 = 1 << 40;
/// Longest delay or stall of one response: one hour.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(3600);

/// How a quantity varies from request to request; `f64` is bytes or seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Always the same.
    Fixed(f64),
    /// Evenly between a lowest and a highest value.
    Uniform(f64, f64),
    /// Exponential with this mean: many small values, a long tail, cut at the largest value allowed.
    Exponential(f64),
}

impl Spread {
    /// The value for a uniform variate from 0 (included) to 1 (excluded).
    fn at(self, variate: f64) -> f64 {
        match self {
            Self::Fixed(value) => value,
            Self::Uniform(low, high) => low + (high - low) * variate,
            Self::Exponential(mean) => -mean * (1.0 - variate).ln(),
        }
    }
}

/// Where a connection is reset on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetAt {
    /// Before anything is answered: as a default right after accept, as a query when the head is read.
    Accept,
    /// After the response's head.
    Head,
    /// Half-way through the response's body.
    Body,
}

impl ResetAt {
    /// The point by its name in a query or a configuration.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "accept" => Some(Self::Accept),
            "head" => Some(Self::Head),
            "body" => Some(Self::Body),
            _ => None,
        }
    }
}

impl fmt::Display for ResetAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Head => "head",
            Self::Body => "body",
        })
    }
}

/// A known share of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// Failures per 10^9 requests, from 0 to 10^9.
    pub per_billion: u64,
    /// Status of a failed request, 200 to 599.
    pub status: u16,
}

/// What requests get that ask for nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Length of the body in bytes.
    pub size: Spread,
    /// Time between the request and the first byte of its answer, in seconds.
    pub delay: Spread,
    /// Status of the answer, 200 to 599.
    pub status: u16,
    /// Whether bodies are sent chunked instead of with their length.
    pub chunked: bool,
    /// Whether the reflector closes the connection after each answer.
    pub close: bool,
    /// Where every connection is reset, if at all.
    pub reset: Option<ResetAt>,
    /// The known share of failures, if any.
    pub failures: Option<Failures>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            size: Spread::Fixed(1024.0),
            delay: Spread::Fixed(0.0),
            status: 200,
            chunked: false,
            close: false,
            reset: None,
            failures: None,
        }
    }
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Behaviour {
    pub(crate) size: u64,
    pub(crate) delay: Duration,
    pub(crate) status: u16,
    pub(crate) chunked: bool,
    /// Whether the reflector closes after the answer, whatever the client prefers.
    pub(crate) close: bool,
    /// Whether a client that would not keep the connection is asked to (HTTP/1.0).
    pub(crate) keep: bool,
    pub(crate) no_cache: bool,
    pub(crate) stall: Duration,
    pub(crate) reset: Option<ResetAt>,
    pub(crate) help: bool,
}

/// The defaults and the seed, ready to decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    defaults: Defaults,
    seed: u64,
}

impl Policy {
    pub(crate) fn new(defaults: Defaults, seed: u64) -> Self {
        Self { defaults, seed }
    }

    /// Whether every connection is reset as soon as it is accepted.
    pub(crate) fn resets_at_accept(&self) -> bool {
        self.defaults.reset == Some(ResetAt::Accept)
    }

    /// Whether the answer depends on the request's number, so that one has to be drawn.
    pub(crate) fn needs_number(&self, asked: &Asked) -> bool {
        let fixed = |spread| matches!(spread, Spread::Fixed(_));
        self.defaults.failures.is_some()
            || !(asked.size.is_some() || fixed(self.defaults.size))
            || !(asked.delay.is_some() || fixed(self.defaults.delay))
            || asked.is_random()
    }

    /// Whether the answer can be given at once, in one piece of at most `size_max` bytes.
    pub(crate) fn is_immediate(&self, asked: &Asked, size_max: u64) -> bool {
        let size = asked.size.map_or(self.defaults.size, |amount| Spread::Fixed(amount.value as f64));
        let delay = asked.delay.map_or(self.defaults.delay, |amount| Spread::Fixed(amount.value as f64));
        matches!(size, Spread::Fixed(bytes) if bytes <= size_max as f64)
            && delay == Spread::Fixed(0.0)
            && !asked.is_random()
            && !asked.help
            && asked.stall.is_none()
            && !asked.chunked.unwrap_or(self.defaults.chunked)
            && asked.reset.or(self.defaults.reset).is_none()
    }

    /// The answer to request `number`, from 1; `spared` requests (health checks) never fail on purpose.
    pub(crate) fn decide(&self, asked: &Asked, number: u64, spared: bool) -> Behaviour {
        let defaults = &self.defaults;
        let size = match asked.size {
            Some(amount) => amount.resolve(self.variate(number, 1)),
            None => defaults.size.at(self.variate(number, 1)) as u64,
        };
        let delay = match asked.delay {
            Some(amount) => Duration::from_millis(amount.resolve(self.variate(number, 2))),
            None => Duration::from_secs_f64(defaults.delay.at(self.variate(number, 2)).min(DELAY_MAX.as_secs_f64())),
        };
        let stall = asked.stall.map_or(0, |amount| amount.resolve(self.variate(number, 3)));
        let failed = defaults.failures.filter(|failures| !spared && self.fails(failures.per_billion, number));
        Behaviour {
            size: size.min(SIZE_MAX),
            delay: delay.min(DELAY_MAX),
            status: failed.map_or_else(|| asked.status.unwrap_or(defaults.status), |failures| failures.status),
            chunked: asked.chunked.unwrap_or(defaults.chunked),
            close: asked.close || (defaults.close && !asked.keep),
            keep: asked.keep && !asked.close,
            no_cache: asked.no_cache,
            stall: Duration::from_millis(stall),
            reset: asked.reset.or(defaults.reset),
            help: asked.help,
        }
    }

    /// Whether request `number` is one of the failures: a Bresenham line through the requests, in
    /// whole numbers, so that the share is exact and not only expected.
    fn fails(&self, per_billion: u64, number: u64) -> bool {
        const BILLION: u128 = 1_000_000_000;
        let phase = u128::from(hash::mixed(self.seed)) % BILLION;
        let failures_until = |n: u64| (u128::from(n) * u128::from(per_billion) + phase) / BILLION;
        number > 0 && failures_until(number) > failures_until(number - 1)
    }

    /// A uniform variate from 0 (included) to 1 (excluded) for this request and purpose.
    fn variate(&self, number: u64, purpose: u64) -> f64 {
        hash::share(hash::mixed(self.seed ^ hash::mixed(number.wrapping_mul(4).wrapping_add(purpose))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(per_billion: u64, seed: u64) -> Policy {
        let failures = Some(Failures { per_billion, status: 503 });
        Policy::new(Defaults { failures, ..Defaults::default() }, seed)
    }

    #[test]
    fn any_thousand_requests_have_exactly_the_share_of_failures() {
        for seed in 0..50 {
            let policy = failing(10_000_000, seed);
            for from in [1, 2, 77, 1_000_000_007] {
                let failed =
                    (from..from + 1000).filter(|&n| policy.decide(&Asked::default(), n, false).status == 503).count();
                assert_eq!(failed, 10, "seed {seed}, from {from}");
            }
        }
    }

    #[test]
    fn health_checks_never_fail_on_purpose() {
        let policy = failing(1_000_000_000, 1);
        assert_eq!(policy.decide(&Asked::default(), 1, false).status, 503);
        assert_eq!(policy.decide(&Asked::default(), 1, true).status, 200);
    }

    #[test]
    fn distributions_have_their_mean_and_their_range() {
        let mean = |spread: Spread| {
            let policy = Policy::new(Defaults { delay: spread, ..Defaults::default() }, 7);
            let delays: Vec<f64> =
                (1..=20_000).map(|n| policy.decide(&Asked::default(), n, false).delay.as_secs_f64()).collect();
            if let Spread::Uniform(low, high) = spread {
                assert!(delays.iter().all(|delay| (low..=high).contains(delay)));
            }
            delays.iter().sum::<f64>() / delays.len() as f64
        };
        assert!((mean(Spread::Uniform(0.010, 0.030)) - 0.020).abs() < 0.0002);
        assert!((mean(Spread::Exponential(0.005)) - 0.005).abs() < 0.0002);
        assert_eq!(mean(Spread::Fixed(0.5)), 0.5);
    }

    #[test]
    fn the_same_seed_gives_the_same_answers_and_another_one_others() {
        let sizes = |seed| {
            let policy = Policy::new(Defaults { size: Spread::Uniform(0.0, 1e6), ..Defaults::default() }, seed);
            (1..50).map(|n| policy.decide(&Asked::default(), n, false).size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(1), sizes(1));
        assert_ne!(sizes(1), sizes(2));
    }

    #[test]
    fn what_takes_time_or_pieces_is_not_immediate() {
        let policy = Policy::new(Defaults::default(), 1);
        let immediate = |query: &str| policy.is_immediate(&Asked::parse(query).unwrap(), 65_536);
        assert!(immediate("s=64k&r=404&C=1&c=0"));
        for slow in ["s=65537", "t=1", "k=1", "stall=1", "x=head", "s=10r", ""] {
            assert!(!immediate(slow), "{slow:?}");
        }
    }
}
