//! What a gate compares, and how much worse it may become.

use serde::{Deserialize, Serialize};

/// A gated metric.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Transactions per CPU-second of the DUT at a fixed offered load.
    TransactionsPerCpuSecond,
    /// Connections per second set up, used and closed cleanly.
    Cps,
    /// Transactions per second.
    Tps,
    /// 99th percentile of the response time, in any unit that both sides share.
    #[serde(rename = "response-time-p99")]
    ResponseTimeP99,
    /// Memory of the DUT per connection, in any unit that both sides share.
    MemoryPerConnection,
}

impl Metric {
    /// All metrics, in the order of a report.
    pub const ALL: [Self; 5] =
        [Self::TransactionsPerCpuSecond, Self::Cps, Self::Tps, Self::ResponseTimeP99, Self::MemoryPerConnection];

    /// The metric to gate when nothing else is asked for: at a fixed load the CPU time that a DUT needs
    /// is quieter on shared cores than the highest rate it reaches.
    pub const PRIMARY: Self = Self::TransactionsPerCpuSecond;

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::TransactionsPerCpuSecond => "transactions-per-cpu-second",
            Self::Cps => "cps",
            Self::Tps => "tps",
            Self::ResponseTimeP99 => "response-time-p99",
            Self::MemoryPerConnection => "memory-per-connection",
        }
    }

    /// The metric of a name in a file, `None` for an unknown one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::TransactionsPerCpuSecond => "transactions per DUT CPU-second",
            Self::Cps => "connections per second",
            Self::Tps => "transactions per second",
            Self::ResponseTimeP99 => "response time p99",
            Self::MemoryPerConnection => "memory per connection",
        }
    }

    /// Whether a larger value is the better one.
    pub fn higher_is_better(self) -> bool {
        match self {
            Self::TransactionsPerCpuSecond | Self::Cps | Self::Tps => true,
            Self::ResponseTimeP99 | Self::MemoryPerConnection => false,
        }
    }

    /// The relative loss that is tolerated when nothing else is asked for, 0 to 1.
    ///
    /// 5 % where pairs are quiet enough to tell it: CPU time at a fixed load, and memory, which hardly
    /// varies. A highest rate is known only to the width of the search that found it (some percent on
    /// either side) and feels every neighbour of a shared machine: 10 %. A tail percentile of a short
    /// run rests on few of its samples: 25 %. Same-build pairs tell what a machine really allows, see
    /// [`noise`](super::noise()).
    pub fn default_delta(self) -> f64 {
        match self {
            Self::TransactionsPerCpuSecond | Self::MemoryPerConnection => 0.05,
            Self::Cps | Self::Tps => 0.10,
            Self::ResponseTimeP99 => 0.25,
        }
    }
}

/// How much worse one metric may become.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The metric.
    pub metric: Metric,
    /// The tolerated relative loss, above 0 and below 1: with 0.05 a rate may fall to 95 %, and a time
    /// or a size may grow to 1 / 95 %.
    pub delta: f64,
}

impl Limit {
    /// A metric with its default δ.
    pub fn of(metric: Metric) -> Self {
        Self { metric, delta: metric.default_delta() }
    }

    /// ln(1 − δ): the effect at which the tolerance ends.
    pub fn tolerated(&self) -> f64 {
        (-self.delta).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_a_file_is_the_name_on_the_command_line() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
            assert_eq!(Metric::named(metric.name()), Some(metric));
        }
        assert_eq!(Metric::named("rps"), None);
    }
}
