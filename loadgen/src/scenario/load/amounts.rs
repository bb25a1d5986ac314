//! A load as written, in operations per second or at once or as a bandwidth, to the load of a plan.
//!
//! A bandwidth is bits of a layer: the same frames are 38 % more bits on the wire than in IP packets of 46
//! bytes, so the layer has to be said. It becomes frames per second by the mean size of the mix.

use wire::frame::Layer;
use wire::units::Rate;

use super::is_bandwidth;
use crate::scenario::error::{Origin, ScenarioError};
use crate::scenario::file::LoadFile;
use crate::scenario::plan::{Workload, WorkloadKind};
use crate::scenario::words::AmountFile;

/// How the loads of one scenario are read.
pub(in crate::scenario) struct Amounts<'a> {
    /// Mean bits of a frame, where loads are bandwidths.
    bits_per_frame: Option<f64>,
    origin: &'a Origin,
}

impl<'a> Amounts<'a> {
    /// Of a scenario whose workload is known.
    pub(in crate::scenario) fn of(
        file: &LoadFile,
        workload: &Workload,
        origin: &'a Origin,
    ) -> Result<Self, ScenarioError> {
        let key = "load.layer";
        let mix = match &workload.kind {
            WorkloadKind::Udp(udp) if is_bandwidth(file) => &udp.mix,
            _ if file.layer.is_some() => {
                return Err(origin.error(key, "has no meaning but for unit = \"bandwidth\"; leave it out"));
            }
            _ => return Ok(Self { bits_per_frame: None, origin }),
        };
        let built = [Layer::L1, Layer::L2, Layer::L3].map(|layer| (layer.name(), layer));
        let Some(word) = file.layer.as_deref() else {
            let message = "missing; unit = \"bandwidth\" needs it: \"l1\" counts frames with preamble and gap, \"l2\" frames \
                           with FCS, \"l3\" IP packets";
            return Err(origin.error(key, message));
        };
        let layer = origin.choose(key, word, &built, &[])?;
        Ok(Self { bits_per_frame: Some(mix.mean_bits(layer)), origin })
    }

    /// The rate that is meant by the value of a key.
    pub(in crate::scenario) fn rate(&self, key: &str, amount: AmountFile) -> Result<Rate, ScenarioError> {
        let refuse = |message: String| Err(self.origin.error(key, message));
        match (amount, self.bits_per_frame) {
            (AmountFile::Rate(rate), None) => Ok(rate),
            (AmountFile::Bits(bits), Some(per_frame)) => {
                Rate::per_second(bits.as_u64() as f64 / per_frame).or_else(|error| refuse(error.to_string()))
            }
            (AmountFile::Rate(rate), Some(_)) => {
                refuse(format!("{rate} is no bandwidth; expected such as \"100Mbit/s\", or unit = \"frames/s\""))
            }
            (AmountFile::Bits(bits), None) => {
                refuse(format!("{bits} is a bandwidth; expected a rate such as \"10k/s\", or unit = \"bandwidth\""))
            }
        }
    }
}
