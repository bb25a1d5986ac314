//! The simulated devices of the vectors, and the vectors themselves.

use serde::Deserialize;
use wire::hash::{SplitMix64, share};

/// `tests/vectors/mlrsearch.json`.
#[derive(Deserialize)]
pub(super) struct Vectors {
    pub(super) classification: Vec<Classified>,
    pub(super) search: Vec<Searched>,
    pub(super) splitmix64: SplitMixCheck,
}

#[derive(Deserialize)]
pub(super) struct SplitMixCheck {
    pub(super) seed: u64,
    pub(super) first_u64: Vec<String>,
    pub(super) first_unit: Vec<f64>,
}

#[derive(Deserialize)]
pub(super) struct Classified {
    pub(super) name: String,
    pub(super) goal: GoalVector,
    pub(super) load: f64,
    pub(super) trials_rle: Vec<(u32, f64, f64)>,
    pub(super) expected: Expected,
}

#[derive(Deserialize)]
pub(super) struct Expected {
    pub(super) full_length_low_loss_s: f64,
    pub(super) full_length_high_loss_s: f64,
    pub(super) short_low_loss_s: f64,
    pub(super) short_high_loss_s: f64,
    pub(super) optimistic_is_lower: bool,
    pub(super) pessimistic_is_lower: bool,
    pub(super) classification: String,
    pub(super) quantile_loss_ratio: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct GoalVector {
    pub(super) final_trial_duration: f64,
    pub(super) duration_sum: f64,
    pub(super) loss_ratio: f64,
    pub(super) exceed_ratio: f64,
    #[serde(default)]
    pub(super) relative_width: f64,
    #[serde(default)]
    pub(super) initial_trial_duration: f64,
}

#[derive(Deserialize)]
pub(super) struct Searched {
    pub(super) name: String,
    pub(super) model: String,
    pub(super) params: std::collections::BTreeMap<String, f64>,
    pub(super) seed: u64,
    pub(super) min_load: f64,
    pub(super) max_load: f64,
    pub(super) warmup_duration: Option<f64>,
    pub(super) goals: Vec<GoalExpected>,
    pub(super) trials: usize,
    pub(super) traffic_seconds: f64,
    pub(super) trace: Vec<(f64, f64, u64, u64)>,
}

#[derive(Deserialize)]
pub(super) struct GoalExpected {
    pub(super) goal: GoalVector,
    pub(super) relevant_lower_bound: Option<f64>,
    pub(super) relevant_upper_bound: Option<f64>,
    pub(super) regular: bool,
    pub(super) conditional_throughput: Option<f64>,
}

pub(super) fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/mlrsearch.json")).unwrap()
}

/// A device that is computed.
pub(super) struct Device<'a> {
    vector: &'a Searched,
    /// The random numbers of the noisy devices.
    random: SplitMix64,
}

impl<'a> Device<'a> {
    pub(super) fn new(vector: &'a Searched) -> Self {
        Self { vector, random: SplitMix64::new(vector.seed) }
    }

    fn of(&self, key: &str) -> f64 {
        self.vector.params[key]
    }

    /// Whether more than a rate makes the device lose, so that it can be compared with a bound.
    pub(super) fn is_deterministic(&self) -> bool {
        self.vector.model != "noisy"
    }

    /// Frames offered and forwarded by one trial.
    pub(super) fn measure(&mut self, seconds: f64, load: f64) -> (u64, u64) {
        let offered = (load * seconds).floor();
        let capacity = self.of("C");
        let carried = match self.vector.model.as_str() {
            "hard_limit" => capacity * seconds,
            "buffered" => capacity * seconds + self.of("B"),
            "collapse" if load > capacity => {
                (capacity - self.of("slope") * (load - capacity)).max(self.of("floor")) * seconds
            }
            "collapse" => capacity * seconds,
            "inversion" if self.of("lo") <= load && load <= self.of("hi") => offered * (1.0 - self.of("band_loss")),
            "inversion" => capacity * seconds,
            "noisy" => {
                let unit = share(self.random.number());
                let stalls = load > self.of("from") && unit < 1.0 - (1.0 - self.of("a")).powf(seconds);
                let lost = if stalls { (load * self.of("stall")).floor() } else { 0.0 };
                (offered - lost).min(capacity * seconds)
            }
            model => panic!("unknown model {model}"),
        };
        (offered as u64, offered.min(carried.floor()) as u64)
    }
}

/// The loss ratio of a trial.
pub(super) fn loss(offered: u64, forwarded: u64) -> f64 {
    if offered == 0 { 0.0 } else { (offered - forwarded) as f64 / offered as f64 }
}
