//! `[suite]`: several searches and sweeps over frame sizes (RFC 2544, 26; RFC 6985).

use std::time::Duration;

use wire::frame::{FrameSize, IpVersion};
use wire::units::{Percent, Span};

use super::error::{Origin, ScenarioError};
use super::file::SuiteFile;
use super::frames::Sizes;
use super::method::Method;
use super::mix::SIZES_MAX;
use super::plan::{Profile, SuitePlan, SweepPlan, Unit};

/// The sizes of RFC 2544, 9.1.
pub(super) const ALL_SIZES: [u32; 7] = [64, 128, 256, 512, 1_024, 1_280, 1_518];
/// Those of the shorter profiles.
const FEW_SIZES: [u32; 3] = [64, 512, 1_518];
/// What takes the place of 64 bytes over IPv6 (RFC 8219, 5.1.1).
const SMALLEST_V6: u32 = 84;
/// RFC 2544, 26.3: steps of at most 10 % of the highest rate.
const STEP_MAX: f64 = 0.10;
/// Finer steps would take hours.
const STEP_MIN: f64 = 0.01;
const SUSTAIN_MIN: Duration = Duration::from_secs(1);

/// What a suite is resolved from.
pub(super) struct SuiteInput<'a> {
    pub(super) file: Option<&'a SuiteFile>,
    pub(super) unit: Unit,
    pub(super) is_bandwidth: bool,
    pub(super) method: Method,
    pub(super) profile: Profile,
    pub(super) sizes: Sizes,
    pub(super) origin: &'a Origin,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum KindWord {
    Rfc2544,
    Imix,
}

impl SuiteInput<'_> {
    pub(super) fn plan(&self) -> Result<Option<SuitePlan>, ScenarioError> {
        let Some(file) = self.file else { return Ok(None) };
        let Some(word) = file.kind.as_deref() else {
            return self.refuse("kind", "missing; expected \"rfc2544\" or \"imix\"");
        };
        let built = [("rfc2544", KindWord::Rfc2544), ("imix", KindWord::Imix)];
        let kind = self.origin.choose("suite.kind", word, &built, &["latency", "back-to-back", "recovery"])?;
        if self.unit != Unit::FramesPerSecond {
            let message =
                format!("counts frames, not {}; expected unit = \"frames/s\" with kind = \"udp\"", self.unit.name());
            return self.refuse("kind", message);
        }
        if !matches!(self.method, Method::Mlr | Method::Bisect | Method::Climb) {
            let message = format!(
                "searches the highest load; expected search.method \"mlr\", \"bisect\" or \"climb\", not {:?}",
                self.method.name()
            );
            return self.refuse("kind", message);
        }
        let sweep = self.sweep(file)?;
        match kind {
            KindWord::Imix if file.sizes.is_some() => {
                self.refuse("sizes", "belongs to kind = \"rfc2544\"; the sizes of a mix stand in workload.frames")
            }
            KindWord::Imix => Ok(Some(SuitePlan::Imix(sweep))),
            KindWord::Rfc2544 if self.is_bandwidth => {
                self.refuse("kind", "\"rfc2544\" goes through several sizes, so that a bandwidth is no one load; expected load.unit = \"frames/s\"")
            }
            KindWord::Rfc2544 => Ok(Some(SuitePlan::Rfc2544 { sizes: self.sizes(file)?, sweep })),
        }
    }

    fn refuse<T>(&self, key: &str, message: impl Into<String>) -> Result<T, ScenarioError> {
        Err(self.origin.error(&format!("suite.{key}"), message))
    }

    fn sizes(&self, file: &SuiteFile) -> Result<Vec<FrameSize>, ScenarioError> {
        let written = file.sizes.clone().unwrap_or_else(|| default_sizes(self.profile, self.sizes.version));
        if written.is_empty() || written.len() > SIZES_MAX {
            return self.refuse("sizes", format!("{} sizes; expected 1 to {SIZES_MAX}", written.len()));
        }
        if let Some((_, twice)) = written.iter().enumerate().find(|(at, size)| written[..*at].contains(size)) {
            return self.refuse("sizes", format!("{twice} stands there twice; expected each size once"));
        }
        let size = |bytes: &u32| self.sizes.frame(*bytes).or_else(|message| self.refuse("sizes", message));
        written.iter().map(size).collect()
    }

    fn sweep(&self, file: &SuiteFile) -> Result<SweepPlan, ScenarioError> {
        let step = file.sweep_step.map_or(STEP_MAX, Percent::as_ratio);
        // Rounding of "10%" to a ratio must not count as more.
        if step != 0.0 && !(STEP_MIN * 0.999_999..=STEP_MAX * 1.000_001).contains(&step) {
            let message = format!(
                "{}% is out of range; expected 1% to 10% (RFC 2544, 26.3: at most a tenth of the highest rate), or 0% for \
                 no sweep",
                step * 100.0
            );
            return self.refuse("sweep_step", message);
        }
        let sustain = file.sweep_sustain.map_or_else(|| self.profile.frame_defaults().sweep_sustain, |span| span.0);
        if sustain < SUSTAIN_MIN {
            let message = format!("{} is too short to measure anything; expected at least 1s", Span(sustain));
            return self.refuse("sweep_sustain", message);
        }
        Ok(SweepPlan { step: Percent::from_ratio(step).unwrap_or_default(), sustain })
    }
}

fn default_sizes(profile: Profile, version: IpVersion) -> Vec<u32> {
    let mut sizes = if profile == Profile::Rfc { ALL_SIZES.to_vec() } else { FEW_SIZES.to_vec() };
    if version == IpVersion::V6 {
        sizes[0] = SMALLEST_V6;
    }
    sizes
}
