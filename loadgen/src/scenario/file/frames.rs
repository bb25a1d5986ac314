//! `[workload.frames]` and `[suite]` as written: the sizes of datagrams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::units::{Percent, Span};

use crate::scenario::words::schema;

/// `[workload.frames]`: exactly one of size, sizes and random.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct FramesFile {
    /// What the sizes count: ethernet (the frame with its FCS; if left out) or ip (the packet in it).
    #[schemars(extend("enum" = ["ethernet", "ip"]))]
    pub(in crate::scenario) layer: Option<String>,
    /// The size of every frame, in bytes.
    pub(in crate::scenario) size: Option<u32>,
    /// The different sizes of a mix, in bytes; letter A is the first.
    #[schemars(length(min = 1, max = 26))]
    pub(in crate::scenario) sizes: Option<Vec<u32>>,
    /// How many frames of each size: [7, 4, 1].
    pub(in crate::scenario) weights: Option<Vec<u32>>,
    /// The share of each size in all bytes of the layer: ["6.856%", "56.415%", "36.729%"].
    pub(in crate::scenario) bandwidth: Option<Vec<String>>,
    /// The order of the sizes, a letter for each frame, which repeats: "ABAABACABAAB".
    pub(in crate::scenario) genome: Option<String>,
    /// Every length of a range equally often, from the seed.
    pub(in crate::scenario) random: Option<RandomFile>,
}

/// `workload.frames.random`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct RandomFile {
    /// Smallest size in bytes.
    pub(in crate::scenario) min: u32,
    /// Largest size in bytes.
    pub(in crate::scenario) max: u32,
}

/// `[suite]`: several searches or sweeps over frames.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct SuiteFile {
    /// rfc2544: throughput and frame loss rate of each size; imix: of one mix.
    #[schemars(extend("enum" = ["rfc2544", "imix"]))]
    pub(in crate::scenario) kind: Option<String>,
    /// Ethernet frames with FCS in bytes, for kind rfc2544.
    #[schemars(length(min = 1, max = 26))]
    pub(in crate::scenario) sizes: Option<Vec<u32>>,
    /// Distance of two loads of the loss sweep as a share of the highest, 1% to 10%; 0% for none; 10% if left
    /// out.
    #[schemars(schema_with = "schema::percent")]
    pub(in crate::scenario) sweep_step: Option<Percent>,
    /// Sustain of each load of the sweep.
    #[schemars(schema_with = "schema::span")]
    pub(in crate::scenario) sweep_sustain: Option<Span>,
}
