//! What a profile fills in where the file says nothing.
//!
//! `rfc` takes the durations of RFC 9411 (init 5 s, sustain 300 s); `standard` answers in about a
//! minute and is labelled `derived`; `ci` is shorter still, for comparing builds.

use std::time::Duration;

use super::plan::Profile;

/// Defaults of one profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) init: Duration,
    pub(super) ramp: Duration,
    /// Sustain of a trial whose figure is reported as it is.
    pub(super) sustain: Duration,
    /// Sustain of a trial that only steers a search.
    pub(super) search_sustain: Duration,
    /// Sustain of the confirming trial.
    pub(super) final_sustain: Duration,
    pub(super) factor: f64,
    pub(super) width: f64,
    pub(super) budget: Duration,
    /// How often a search is done.
    pub(super) repeats: u32,
}

/// What datagrams need otherwise: the durations and waits of RFC 2544, 23 and 24.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameDefaults {
    /// How long an answer may take, and how long stragglers are waited for.
    pub(super) wait: Duration,
    /// Sustain of each load of a loss sweep.
    pub(super) sweep_sustain: Duration,
}

/// How late a due frame may leave: those that were held up leave together, which no device deserves.
pub(super) const FRAME_MAX_LAG: Duration = Duration::from_millis(100);
/// Frames under way at once per worker where frames answer each other.
pub(super) const FRAME_SLOTS: u32 = 256;

/// First load of a climb, as a share of the ceiling (RFC 9411, 7.2.4.1: 10 %).
pub(super) const START_SHARE: f64 = 0.10;
/// First load of a climb when neither a ceiling nor an expectation is there to take a share of.
pub(super) const START_WITHOUT_CEILING: f64 = 100.0;
pub(super) const MAX_LAG: Duration = Duration::from_secs(5);
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const DRAIN: Duration = Duration::from_secs(1);
pub(super) const OPEN_RATE: f64 = 2_000.0;
/// Slots per worker where a slot is an operation.
pub(super) const SLOTS: u32 = 1_024;
/// Slots per worker where a slot is a held connection: what descriptors and ports allow.
pub(super) const SLOTS_HELD: u32 = 1_000_000;
pub(super) const REFLECTORS: u32 = 2;

impl Profile {
    pub(super) fn defaults(self) -> Defaults {
        let seconds = Duration::from_secs;
        match self {
            Self::Rfc => Defaults {
                init: seconds(5),
                ramp: seconds(10),
                sustain: seconds(300),
                search_sustain: seconds(10),
                final_sustain: seconds(300),
                factor: 1.5,
                width: 0.02,
                budget: seconds(4 * 3600),
                repeats: 5,
            },
            Self::Standard => Defaults {
                init: seconds(1),
                ramp: Duration::from_millis(500),
                sustain: seconds(10),
                search_sustain: seconds(3),
                final_sustain: seconds(10),
                factor: 2.0,
                width: 0.05,
                // With the ceiling before and a confirming trial after it: about a minute.
                budget: seconds(50),
                repeats: 1,
            },
            Self::Ci => Defaults {
                init: Duration::from_millis(500),
                ramp: Duration::from_millis(250),
                sustain: seconds(5),
                search_sustain: seconds(2),
                final_sustain: seconds(5),
                factor: 2.0,
                width: 0.10,
                budget: seconds(60),
                repeats: 1,
            },
        }
    }

    /// Defaults of a workload of datagrams: RFC 2544 asks for 60 s and one search, and its width is finer.
    pub(super) fn defaults_of_frames(self) -> Defaults {
        let defaults = self.defaults();
        let seconds = Duration::from_secs;
        match self {
            Self::Rfc => Defaults {
                ramp: seconds(2),
                sustain: seconds(60),
                final_sustain: seconds(60),
                width: 0.005,
                repeats: 1,
                ..defaults
            },
            Self::Standard => Defaults { width: 0.02, ..defaults },
            Self::Ci => Defaults { width: 0.05, ..defaults },
        }
    }

    pub(super) fn frame_defaults(self) -> FrameDefaults {
        let millis = Duration::from_millis;
        match self {
            Self::Rfc => FrameDefaults { wait: millis(2_000), sweep_sustain: millis(60_000) },
            Self::Standard => FrameDefaults { wait: millis(1_000), sweep_sustain: millis(10_000) },
            Self::Ci => FrameDefaults { wait: millis(500), sweep_sustain: millis(2_000) },
        }
    }
}
