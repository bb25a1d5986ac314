//! The words and quantities of a demand file that no other file has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bits per second, more than 0 and at most 10^15; written `"12Gbit/s"`. Decimal multipliers.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct BitRate(f64);

/// A number of connections or users, from 1 to 10^12; written `900_000` or `"900k"`. Decimal multipliers.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Count(f64);

/// Highest bandwidth in bits per second: more than any site has, and far from what arithmetic cannot hold.
const BIT_RATE_MAX: f64 = 1e15;
/// Highest count.
const COUNT_MAX: f64 = 1e12;
const BIT_RATE: &str = "a bandwidth; expected a number greater than 0 with bit/s, kbit/s, Mbit/s, Gbit/s or Tbit/s, at most 1000Tbit/s: \"12Gbit/s\" (bits, not bytes)";
const COUNT: &str = "a count; expected a number from 1 to 1000G, with k, M or G if you like: 900000, \"900k\"";

impl BitRate {
    /// Bits per second.
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

impl Count {
    /// The number.
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

impl FromStr for BitRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("bit/s").and_then(scaled);
        number
            .filter(|bits| *bits > 0.0 && *bits <= BIT_RATE_MAX)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not {BIT_RATE}"))
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        scaled(text)
            .filter(|count| (1.0..=COUNT_MAX).contains(count))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not {COUNT}"))
    }
}

/// A plain number with an optional multiplier.
fn scaled(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, factor) = match text.chars().last()? {
        'k' => (text.strip_suffix('k')?, 1e3),
        'M' => (text.strip_suffix('M')?, 1e6),
        'G' => (text.strip_suffix('G')?, 1e9),
        'T' => (text.strip_suffix('T')?, 1e12),
        _ => (text, 1.0),
    };
    let number = number.trim().replace('_', "");
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    number.parse::<f64>().ok().map(|value| value * factor).filter(|value| value.is_finite())
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}bit/s", self.0)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

macro_rules! quantity {
    ($($name:ident $wanted:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($wanted)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<$name, E> {
                        value.to_string().parse().map_err(E::custom)
                    }
                    fn visit_f64<E: de::Error>(self, value: f64) -> Result<$name, E> {
                        value.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }
    )*};
}

quantity!(BitRate BIT_RATE, Count COUNT);

/// Words that a key may have, each with what it means to the program.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $word:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, schemars::JsonSchema, Serialize)]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $text)] $word),*
        }

        impl $name {
            /// The word in files and reports.
            pub fn name(self) -> &'static str {
                match self { $(Self::$word => $text),* }
            }
        }
    };
}

words! {
    /// What a service speaks.
    Protocol {
        /// Any TCP protocol, passed on as it is.
        Tcp = "tcp",
        /// HTTP in the clear.
        Http = "http",
        /// HTTP over TLS.
        Https = "https",
        /// Datagrams.
        Udp = "udp",
    }
}

words! {
    /// What a stated peak is: the highest second, or a mean that hides it.
    Statistic {
        /// The highest one-second rate seen.
        MaxSecond = "max-1s",
        /// The rate that 99.9 % of all seconds do not exceed.
        P999Second = "p99.9-1s",
        /// A mean over a minute.
        MeanMinute = "mean-1m",
        /// A mean over five minutes, as most monitoring keeps.
        MeanFiveMinutes = "mean-5m",
        /// A mean over an hour.
        MeanHour = "mean-1h",
    }
}

impl Statistic {
    /// Whether it is a mean, in which a peak of seconds does not show.
    pub fn is_mean(self) -> bool {
        matches!(self, Self::MeanMinute | Self::MeanFiveMinutes | Self::MeanHour)
    }
}

words! {
    /// How a client stays with its real server, or what a request carries to do so.
    Persistence {
        /// It need not.
        None = "none",
        /// By its address.
        SourceIp = "source-ip",
        /// By a cookie.
        Cookie = "cookie",
        /// By the TLS session.
        TlsSession = "tls-session",
        /// By a token in the URL.
        Url = "url",
    }
}

words! {
    /// How real servers are checked.
    Check {
        /// ICMP echo.
        Ping = "ping",
        /// A connection is accepted.
        Tcp = "tcp",
        /// A page is asked for and judged.
        Http = "http",
        /// Another application protocol.
        Application = "application",
        /// A script of the site's own.
        Script = "script",
    }
}

words! {
    /// How requests are spread over the real servers.
    Balancing {
        /// In turn.
        RoundRobin = "round-robin",
        /// To the one with the fewest connections.
        LeastConnections = "least-connections",
        /// By a hash of the client's address.
        SourceHash = "source-hash",
        /// By what a request asks for.
        Content = "content",
    }
}

words! {
    /// Who carries load while nothing is broken.
    Mode {
        /// All devices share the load.
        ActiveActive = "active-active",
        /// Stand-ins wait.
        ActiveStandby = "active-standby",
    }
}

words! {
    /// In what production differs from what was measured.
    Difference {
        /// Another machine, or a virtual one.
        Hardware = "hardware",
        /// Another version.
        Software = "software",
        /// More rules, other timeouts.
        Configuration = "configuration",
        /// TLS, or other ciphers and keys.
        Tls = "tls",
        /// Logs are written.
        Logging = "logging",
        /// Other object sizes or requests.
        Traffic = "traffic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_what_a_person_writes() {
        assert_eq!("12Gbit/s".parse::<BitRate>().unwrap().as_f64(), 12e9);
        assert_eq!("1.5 Mbit/s".parse::<BitRate>().unwrap().as_f64(), 1.5e6);
        assert_eq!("900k".parse::<Count>().unwrap().as_f64(), 900_000.0);
        for bad in
            ["12G", "0bit/s", "-1Gbit/s", "Gbit/s", "12GB/s", "inf bit/s", "1001Tbit/s", "100000000000000000000Tbit/s"]
        {
            assert!(bad.parse::<BitRate>().is_err(), "{bad:?} was accepted");
        }
        for bad in ["0", "-5", "many", "", "1e9", "1001G"] {
            assert!(bad.parse::<Count>().is_err(), "{bad:?} was accepted");
        }
    }
}
