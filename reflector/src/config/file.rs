//! The configuration as written: serde types that refuse unknown keys, and their way to [`Config`].
//!
//! Every field is optional, so that the command line can start from an empty file; quantities are
//! read by `wire::units`. The ranges are checked here and nowhere else.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::units::{ByteSize, Percent, Rate, Span};

use super::datagrams::{self, UdpFile};
use super::{CapUnit, Checks, Config, ConfigError, Kind, Limits, Listener, Over, ResetAt, Stall};
use crate::behaviour::{DELAY_MAX, Defaults, Failures, SIZE_MAX, Spread};

/// A reflector's TOML file as written.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Name in answers and in the ledger.
    pub instance: Option<String>,
    /// `[[listen]]`: where connections are accepted.
    pub listen: Vec<ListenerFile>,
    /// Threads; without it as many as `cores`, or one.
    pub threads: Option<NonZeroUsize>,
    /// Cores to pin the threads to.
    pub cores: Vec<usize>,
    /// Seed of every random choice.
    pub seed: Option<u64>,
    /// Length of a body.
    pub size: Option<SpreadFile<ByteSize>>,
    /// Time before an answer.
    pub delay: Option<SpreadFile<Span>>,
    /// Status of an answer.
    pub status: Option<u16>,
    /// Whether bodies are chunked.
    pub chunked: bool,
    /// Whether the reflector closes after each answer.
    pub close: bool,
    /// Where connections are reset: `accept`, `head` or `body`.
    pub reset: Option<String>,
    /// Share of requests that fail.
    pub failure_share: Option<Percent>,
    /// Status of those that fail.
    pub failure_status: Option<u16>,
    /// What is done to datagrams.
    pub udp: UdpFile,
    /// Windows in which nothing is answered.
    pub stall: Option<StallFile>,
    /// Rate cap.
    pub rate_cap: Option<CapFile>,
    /// Most connections open at once.
    pub connection_cap: Option<u64>,
    /// Bounds on what a peer may do.
    pub limits: LimitsFile,
    /// How long stopping may take.
    pub drain: Option<Span>,
    /// What counts as a health check.
    pub checks: ChecksFile,
}

/// `[[listen]]` as written.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerFile {
    /// Address and port.
    pub address: SocketAddr,
    /// `http`, `tcp`, `udp` or `udp-sink`.
    #[serde(default)]
    pub kind: Kind,
}

/// A quantity as written: `"10ms"`, `{ uniform = ["5ms", "15ms"] }` or `{ exponential = "5ms" }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SpreadFile<T> {
    /// Always the same; a bare value means this too.
    Fixed(T),
    /// Evenly between two values.
    Uniform([T; 2]),
    /// Exponential with this mean.
    Exponential(T),
}

/// `stall` as written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StallFile {
    /// Start, counted from the first measured request or connection.
    pub at: Span,
    /// How long nothing is answered.
    pub length: Span,
    /// Distance between the starts of two windows.
    #[serde(default)]
    pub every: Option<Span>,
}

/// `rate_cap` as written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CapFile {
    /// Events per second.
    pub rate: Rate,
    /// `refuse` or `queue`.
    #[serde(default)]
    pub over: Over,
    /// `connections`, `requests` or `datagrams`.
    #[serde(default)]
    pub unit: Option<CapUnit>,
    /// What is granted in a row after idle time.
    #[serde(default)]
    pub burst: Option<Span>,
}

/// `[limits]` as written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsFile {
    /// Largest request head.
    pub head: Option<ByteSize>,
    /// Largest request body.
    pub body: Option<ByteSize>,
    /// First to last byte of a head.
    pub head_timeout: Option<Span>,
    /// End of head to last byte of the body.
    pub body_timeout: Option<Span>,
    /// Without a byte in either direction.
    pub idle_timeout: Option<Span>,
}

/// `[checks]` as written.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChecksFile {
    /// Prefixes of `User-Agent`.
    pub user_agents: Option<Vec<String>>,
    /// Paths.
    pub paths: Vec<String>,
}

impl TryFrom<File> for Config {
    type Error = ConfigError;

    fn try_from(file: File) -> Result<Self, ConfigError> {
        let instance = instance(file.instance.clone())?;
        if file.listen.is_empty() {
            return refuse("listen", "no address to listen on; expected at least one [[listen]] or --listen".into());
        }
        let threads = file.threads.or_else(|| NonZeroUsize::new(file.cores.len())).unwrap_or(NonZeroUsize::MIN);
        if threads.get() > THREADS_MAX {
            return refuse("threads", format!("{threads} threads; expected 1 to {THREADS_MAX}"));
        }
        let defaults = defaults(&file)?;
        Ok(Self {
            instance,
            listeners: file.listen.iter().map(|l| Listener { address: l.address, kind: l.kind }).collect(),
            threads,
            cores: file.cores.clone(),
            seed: file.seed.unwrap_or(1),
            defaults,
            datagrams: datagrams::datagrams(&file, defaults.delay)?,
            stall: file.stall.map(stall).transpose()?,
            rate_cap: file.rate_cap.map(|cap| datagrams::rate_cap(&file, cap)).transpose()?,
            connection_cap: file.connection_cap,
            limits: limits(&file.limits)?,
            drain: file.drain.map_or(Duration::from_secs(5), |span| span.0),
            checks: checks(file.checks),
        })
    }
}

const THREADS_MAX: usize = 1024;

fn instance(written: Option<String>) -> Result<String, ConfigError> {
    let name = written.unwrap_or_else(|| "reflector".to_owned());
    let visible = name.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=64).contains(&name.len()) {
        Ok(name)
    } else {
        // It stands in a response header, where anything else could be read as another header.
        refuse("instance", format!("{name:?} cannot be a name; expected 1 to 64 visible ASCII characters"))
    }
}

fn defaults(file: &File) -> Result<Defaults, ConfigError> {
    let builtin = Defaults::default();
    let size = |size: ByteSize| size.as_u64() as f64;
    let seconds = |span: Span| span.0.as_secs_f64();
    let failures = match (file.failure_share, file.failure_status) {
        (None, None) => None,
        (None, Some(_)) => return refuse("failure_status", "has no effect without failure_share".into()),
        (Some(share), status) => Some(failures(share, status)?),
    };
    Ok(Defaults {
        size: file.size.map_or(Ok(builtin.size), |written| spread("size", written, size, SIZE_MAX as f64, "1 TiB"))?,
        delay: file
            .delay
            .map_or(Ok(builtin.delay), |written| spread("delay", written, seconds, DELAY_MAX.as_secs_f64(), "1h"))?,
        status: status("status", file.status.unwrap_or(builtin.status))?,
        chunked: file.chunked,
        close: file.close,
        reset: file.reset.as_deref().map(reset).transpose()?,
        failures,
    })
}

fn failures(share: Percent, written: Option<u16>) -> Result<Failures, ConfigError> {
    if share.as_ratio() > 1.0 {
        return refuse("failure_share", format!("{share} is more than all; expected 0% to 100%"));
    }
    let per_billion = (share.as_ratio() * 1e9).round() as u64;
    Ok(Failures { per_billion, status: status("failure_status", written.unwrap_or(503))? })
}

fn status(key: &'static str, status: u16) -> Result<u16, ConfigError> {
    if (200..=599).contains(&status) {
        Ok(status)
    } else {
        refuse(key, format!("{status} is not a final status; expected 200 to 599"))
    }
}

fn reset(name: &str) -> Result<ResetAt, ConfigError> {
    ResetAt::from_name(name).ok_or_else(|| ConfigError {
        key: "reset",
        message: format!("{name:?} is no point of a connection; expected accept, head or body"),
    })
}

fn spread<T: Copy>(
    key: &'static str,
    written: SpreadFile<T>,
    number: impl Fn(T) -> f64,
    max: f64,
    max_text: &str,
) -> Result<Spread, ConfigError> {
    let (spread, largest) = match written {
        SpreadFile::Fixed(value) => (Spread::Fixed(number(value)), number(value)),
        SpreadFile::Exponential(mean) => (Spread::Exponential(number(mean)), number(mean)),
        SpreadFile::Uniform([low, high]) => {
            if number(low) > number(high) {
                return refuse(
                    key,
                    "the first value of uniform is above the second; expected [lowest, highest]".into(),
                );
            }
            (Spread::Uniform(number(low), number(high)), number(high))
        }
    };
    if largest > max { refuse(key, format!("too large; expected at most {max_text}")) } else { Ok(spread) }
}

fn stall(written: StallFile) -> Result<Stall, ConfigError> {
    let stall = Stall { at: written.at.0, length: written.length.0, every: written.every.map(|every| every.0) };
    match stall.every {
        Some(every) if every <= stall.length => refuse(
            "stall.every",
            format!("{} leaves no time between stalls of {}; expected more", Span(every), Span(stall.length)),
        ),
        _ => Ok(stall),
    }
}

fn limits(file: &LimitsFile) -> Result<Limits, ConfigError> {
    let builtin = Limits::default();
    let head = file.head.map_or(builtin.head_bytes as u64, ByteSize::as_u64);
    // The lower bound is hyper's, which serves what is not a plain GET.
    if !(8 * 1024..=1024 * 1024).contains(&head) {
        return refuse("limits.head", format!("{head} bytes; expected 8k to 1M"));
    }
    let timeout = |key, written: Option<Span>, builtin: Duration| match written {
        Some(Span(Duration::ZERO)) => refuse(key, "0s; expected more than that".into()),
        Some(span) => Ok(span.0),
        None => Ok(builtin),
    };
    Ok(Limits {
        head_bytes: head as usize,
        body_bytes: file.body.map_or(builtin.body_bytes, ByteSize::as_u64),
        head_timeout: timeout("limits.head_timeout", file.head_timeout, builtin.head_timeout)?,
        body_timeout: timeout("limits.body_timeout", file.body_timeout, builtin.body_timeout)?,
        idle_timeout: timeout("limits.idle_timeout", file.idle_timeout, builtin.idle_timeout)?,
    })
}

fn checks(file: ChecksFile) -> Checks {
    Checks { user_agents: file.user_agents.unwrap_or_else(|| Checks::default().user_agents), paths: file.paths }
}

fn refuse<T>(key: &'static str, message: String) -> Result<T, ConfigError> {
    Err(ConfigError { key, message })
}

/// Reads a bare value or a table with one of three keys. By hand, because serde's untagged enums
/// answer every slip with "did not match any variant".
struct SpreadVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for SpreadVisitor<T> {
    type Value = SpreadFile<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value such as \"10ms\" or \"1k\", or a table with fixed, uniform or exponential")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::StrDeserializer::new(text)).map(SpreadFile::Fixed)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::I64Deserializer::new(value)).map(SpreadFile::Fixed)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::U64Deserializer::new(value)).map(SpreadFile::Fixed)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Table<T> {
            Fixed(T),
            Uniform([T; 2]),
            Exponential(T),
        }
        Ok(match Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))? {
            Table::Fixed(value) => SpreadFile::Fixed(value),
            Table::Uniform(range) => SpreadFile::Uniform(range),
            Table::Exponential(mean) => SpreadFile::Exponential(mean),
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for SpreadFile<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpreadVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests;
