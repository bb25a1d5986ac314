//! The files of a run of frames that grow trial by trial: `directions.csv` and `sizes.csv`.

use std::path::Path;

use wire::frame::IpVersion;

use super::books::{DIRECTIONS, Directions, SIZES, size_rows};
use crate::measure::TrialRecord;
use crate::report::ReportError;
use crate::report::rows;
use crate::report::sheet::Sheet;
use crate::scenario::mix::Mix;
use crate::scenario::plan::UdpPlan;

/// The growing files of a run of frames.
#[derive(Debug)]
pub(in crate::report) struct FrameSheets {
    version: IpVersion,
    /// Sizes are counted in ranges of lengths.
    ranges: bool,
    directions: Sheet,
    sizes: Sheet,
}

impl FrameSheets {
    /// Begins both files in a run folder.
    ///
    /// # Errors
    /// [`ReportError`] with the file's name.
    pub(in crate::report) fn create(path: &Path, udp: &UdpPlan) -> Result<Self, ReportError> {
        Ok(Self {
            version: udp.ip_version,
            ranges: matches!(udp.mix, Mix::Random { .. }),
            directions: Sheet::create(path.join("directions.csv"), &rows::header(DIRECTIONS))?,
            sizes: Sheet::create(path.join("sizes.csv"), &rows::header(SIZES))?,
        })
    }

    /// Appends one trial.
    ///
    /// # Errors
    /// [`ReportError`] with the file's name.
    pub(in crate::report) fn trial(&mut self, record: &TrialRecord) -> Result<(), ReportError> {
        let directions: Vec<_> = Directions::of(record).iter().map(|of| rows::row(DIRECTIONS, of)).collect();
        self.directions.rows(&directions)?;
        self.sizes.rows(&size_rows(record, self.version, self.ranges))
    }
}
