//! `[load]`: how much, when, and how long somebody waits.

use std::num::NonZeroU32;
use std::time::Duration;

use wire::units::{Rate, Span};

use super::error::{Origin, ScenarioError};
use super::file::LoadFile;
use super::plan::{Arrivals, Engine, LoadPlan, Pattern, Phases, Profile, Unit};
use super::profile::{
    CONNECT_TIMEOUT, DRAIN, Defaults, FRAME_MAX_LAG, FRAME_SLOTS, MAX_LAG, OPEN_RATE, RESPONSE_TIMEOUT, SLOTS,
    SLOTS_HELD,
};

mod amounts;

pub(super) use amounts::Amounts;

/// The word for frames that are counted by their bits.
const BANDWIDTH: &str = "bandwidth";

/// The unit comes first: what other sections may say depends on it.
pub(super) fn unit(file: &LoadFile, origin: &Origin) -> Result<Unit, ScenarioError> {
    let units = [
        Unit::ConnectionsPerSecond,
        Unit::Connections,
        Unit::TransactionsPerSecond,
        Unit::Transactions,
        Unit::FramesPerSecond,
    ];
    let built: Vec<_> =
        units.into_iter().map(|unit| (unit.name(), unit)).chain([(BANDWIDTH, Unit::FramesPerSecond)]).collect();
    match file.unit.as_deref() {
        Some(word) => origin.choose("load.unit", word, &built, &["users", "users/s"]),
        None => Err(origin.error("load.unit", "missing; expected such as \"connections/s\"")),
    }
}

/// Whether the loads of a file are bits per second.
pub(super) fn is_bandwidth(file: &LoadFile) -> bool {
    file.unit.as_deref() == Some(BANDWIDTH)
}

/// Whether a unit counts per second: an open loop.
pub(super) fn is_rate(unit: Unit) -> bool {
    matches!(unit, Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond | Unit::FramesPerSecond)
}

/// What `[load]` is resolved with.
pub(super) struct LoadInput<'a> {
    pub(super) file: &'a LoadFile,
    pub(super) unit: Unit,
    /// The profile's for this search method.
    pub(super) sustain: Duration,
    pub(super) profile: Profile,
    pub(super) defaults: &'a Defaults,
    pub(super) amounts: &'a Amounts<'a>,
    pub(super) origin: &'a Origin,
}

pub(super) fn resolve(input: &LoadInput<'_>) -> Result<LoadPlan, ScenarioError> {
    let LoadInput { file, unit, origin, .. } = *input;
    let reader = Reader { file, unit, origin };
    reader.check_unit()?;
    let phases = reader.phases(input.sustain, input.defaults)?;
    let hold_interval = reader.hold_interval(phases.sustain)?;
    let waits = Waits::of(unit, input.profile);
    let rate = file.rate.map(|amount| input.amounts.rate("load.rate", amount)).transpose()?;
    let open_rate = file.open_rate.or_else(|| Rate::per_second(OPEN_RATE).ok());
    Ok(LoadPlan {
        engine: reader.engine()?,
        unit,
        rate,
        count: reader.positive("count", file.count)?,
        arrivals: reader.arrivals()?,
        pattern: reader.pattern()?,
        phases,
        slots: reader.positive("slots", Some(file.slots.unwrap_or(waits.slots)))?.unwrap_or(NonZeroU32::MIN),
        max_lag: reader.wait("max_lag", file.max_lag, waits.max_lag)?,
        connect_timeout: reader.wait("connect_timeout", file.connect_timeout, CONNECT_TIMEOUT)?,
        response_timeout: reader.wait("response_timeout", file.response_timeout, waits.response)?,
        drain: file.drain.map_or(waits.drain, |drain| drain.0),
        open_rate: open_rate.ok_or_else(|| origin.error("load.open_rate", "expected a rate such as \"2k/s\""))?,
        hold_interval,
    })
}

/// How long somebody waits, and how much may be under way, by default.
struct Waits {
    slots: u32,
    max_lag: Duration,
    response: Duration,
    drain: Duration,
}

impl Waits {
    fn of(unit: Unit, profile: Profile) -> Self {
        let operations = Self { slots: SLOTS, max_lag: MAX_LAG, response: RESPONSE_TIMEOUT, drain: DRAIN };
        match unit {
            Unit::FramesPerSecond => {
                let wait = profile.frame_defaults().wait;
                Self { slots: FRAME_SLOTS, max_lag: FRAME_MAX_LAG, response: wait, drain: wait }
            }
            Unit::Connections => Self { slots: SLOTS_HELD, ..operations },
            _ => operations,
        }
    }
}

struct Reader<'a> {
    file: &'a LoadFile,
    unit: Unit,
    origin: &'a Origin,
}

impl Reader<'_> {
    fn refuse<T>(&self, key: &str, message: impl Into<String>) -> Result<T, ScenarioError> {
        Err(self.origin.error(&format!("load.{key}"), message))
    }

    /// Keys that contradict the unit.
    fn check_unit(&self) -> Result<(), ScenarioError> {
        let (file, name) = (self.file, self.unit.name());
        if file.rate.is_some() && !is_rate(self.unit) {
            let message = format!("contradicts unit = \"{name}\", which is a number at once; expected load.count");
            return self.refuse("rate", message);
        }
        if file.count.is_some() && is_rate(self.unit) {
            let message = format!("contradicts unit = \"{name}\", which is a rate; expected load.rate");
            return self.refuse("count", message);
        }
        let held_only = [("open_rate", file.open_rate.is_some()), ("hold_interval", file.hold_interval.is_some())];
        if let Some((key, _)) = held_only.iter().find(|(_, written)| *written && self.unit != Unit::Connections) {
            return self.refuse(key, format!("has no meaning for unit = \"{name}\"; it belongs to \"connections\""));
        }
        if self.unit == Unit::FramesPerSecond && file.connect_timeout.is_some() {
            return self
                .refuse("connect_timeout", "has no meaning for datagrams, which connect to nobody; leave it out");
        }
        Ok(())
    }

    fn phases(&self, sustain: Duration, defaults: &Defaults) -> Result<Phases, ScenarioError> {
        let file = self.file.phases.clone().unwrap_or_default();
        let or = |written: Option<Span>, default: Duration| written.map_or(default, |span| span.0);
        let phases = Phases {
            init: or(file.init, defaults.init),
            ramp_up: or(file.ramp_up, defaults.ramp),
            sustain: or(file.sustain, sustain),
            ramp_down: or(file.ramp_down, defaults.ramp),
        };
        if phases.sustain < SUSTAIN_MIN {
            let message = format!("{} is too short to measure anything; expected at least 1s", Span(phases.sustain));
            return self.refuse("phases.sustain", message);
        }
        Ok(phases)
    }

    fn engine(&self) -> Result<Engine, ScenarioError> {
        let built = [Engine::Epoll, Engine::Uring].map(|engine| (engine.name(), engine));
        let Some(word) = self.file.engine.as_deref() else { return Ok(Engine::default()) };
        let engine = self.origin.choose("load.engine", word, &built, &["packet"])?;
        if engine == Engine::Uring && self.unit == Unit::FramesPerSecond {
            return self
                .refuse("engine", "\"uring\" carries connections only; datagrams leave by sendmmsg: leave it out");
        }
        Ok(engine)
    }

    fn arrivals(&self) -> Result<Arrivals, ScenarioError> {
        let built = [("even", Arrivals::Even), ("poisson", Arrivals::Poisson)];
        let word = self.file.arrivals.as_deref().unwrap_or("even");
        let arrivals = self.origin.choose("load.arrivals", word, &built, &[])?;
        if arrivals == Arrivals::Poisson && !is_rate(self.unit) {
            let message = format!("\"poisson\" contradicts unit = \"{}\", which has no arrivals", self.unit.name());
            return self.refuse("arrivals", message);
        }
        Ok(arrivals)
    }

    fn pattern(&self) -> Result<Pattern, ScenarioError> {
        let Some(file) = &self.file.pattern else { return Ok(Pattern::Flat) };
        #[derive(Clone, Copy)]
        enum Shape {
            Flat,
            Ramp,
            Stair,
        }
        let built = [("flat", Shape::Flat), ("ramp", Shape::Ramp), ("stair", Shape::Stair)];
        let later = ["burst", "sinusoid", "sawtooth", "random"];
        let shape = self.origin.choose("load.pattern", &file.shape, &built, &later)?;
        if file.from.is_some() && !matches!(shape, Shape::Ramp) {
            return self.refuse("pattern.from", "belongs to shape = \"ramp\"");
        }
        if file.steps.is_some() && !matches!(shape, Shape::Stair) {
            return self.refuse("pattern.steps", "belongs to shape = \"stair\"");
        }
        if !matches!(shape, Shape::Flat) && !is_rate(self.unit) {
            let message =
                format!("\"{}\" needs a unit with /s; unit = \"{}\" is always flat", file.shape, self.unit.name());
            return self.refuse("pattern", message);
        }
        match shape {
            Shape::Flat => Ok(Pattern::Flat),
            Shape::Ramp => {
                let from = file.from.unwrap_or_default().as_ratio();
                if from > 1.0 {
                    return self.refuse("pattern.from", "a ramp rises to the load; expected 0% to 100%");
                }
                Ok(Pattern::Ramp { from })
            }
            Shape::Stair => match file.steps.filter(|steps| (2..=100).contains(steps)).and_then(NonZeroU32::new) {
                Some(steps) => Ok(Pattern::Stair { steps }),
                None => self.refuse("pattern.steps", "expected a number of steps from 2 to 100"),
            },
        }
    }

    /// Every held connection has to prove itself inside sustain, so the pause may not be longer.
    fn hold_interval(&self, sustain: Duration) -> Result<Duration, ScenarioError> {
        let interval = self.wait("hold_interval", self.file.hold_interval, sustain)?;
        if interval > sustain {
            let message = format!(
                "{} is longer than sustain ({}): connections would not be proven alive in it",
                Span(interval),
                Span(sustain)
            );
            return self.refuse("hold_interval", message);
        }
        Ok(interval)
    }

    fn wait(&self, key: &str, written: Option<Span>, default: Duration) -> Result<Duration, ScenarioError> {
        match written {
            Some(span) if span.0.is_zero() => self.refuse(key, "0s leaves no time; expected more, such as \"1s\""),
            Some(span) => Ok(span.0),
            None => Ok(default),
        }
    }

    fn positive(&self, key: &str, written: Option<u32>) -> Result<Option<NonZeroU32>, ScenarioError> {
        match written {
            Some(0) => self.refuse(key, "0 is no load at all; expected a whole number from 1"),
            written => Ok(written.and_then(NonZeroU32::new)),
        }
    }
}

/// Shorter trials measure start-up, not steady state, and samples come once per second.
const SUSTAIN_MIN: Duration = Duration::from_secs(1);
