//! Values of a scenario file that can be written in more than one way.
//!
//! A start is a share or a load, a pattern a word or a table, cores a word or a list. Each reads
//! itself from TOML with an error that says what is allowed, and describes itself to the schema.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::units::{BitRate, Percent, Rate};

/// A load: operations per second or at once, or bits per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AmountFile {
    Rate(Rate),
    Bits(BitRate),
}

impl AmountFile {
    /// A text with the word for bits is a bandwidth, any other a rate.
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        if text.contains("bit") {
            return text.parse().map(Self::Bits).map_err(E::custom);
        }
        text.parse().map(Self::Rate).map_err(E::custom)
    }
}

struct AmountVisitor;

impl de::Visitor<'_> for AmountVisitor {
    type Value = AmountFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate (500, \"10k/s\") or a bandwidth (\"100Mbit/s\")")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AmountFile, E> {
        AmountFile::parse(text)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<AmountFile, E> {
        AmountFile::parse(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<AmountFile, E> {
        AmountFile::parse(&value.to_string())
    }
}

impl<'de> Deserialize<'de> for AmountFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

impl Serialize for AmountFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rate(rate) => rate.serialize(serializer),
            Self::Bits(bits) => bits.serialize(serializer),
        }
    }
}

/// `search.start`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StartFile {
    Share(Percent),
    Load(AmountFile),
}

const START_WANTED: &str = "a share of the ceiling (\"10%\") or a load greater than 0 (500, \"2k/s\")";

struct StartVisitor;

impl de::Visitor<'_> for StartVisitor {
    type Value = StartFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(START_WANTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StartFile, E> {
        let start = if text.trim().ends_with('%') {
            text.parse().ok().map(StartFile::Share)
        } else {
            AmountFile::parse::<E>(text).ok().map(StartFile::Load)
        };
        start.ok_or_else(|| E::custom(format!("{text:?} is not a start; expected {START_WANTED}")))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<StartFile, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<StartFile, E> {
        self.visit_str(&value.to_string())
    }
}

impl<'de> Deserialize<'de> for StartFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StartVisitor)
    }
}

impl Serialize for StartFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Share(share) => share.serialize(serializer),
            Self::Load(AmountFile::Rate(load)) => serializer.serialize_f64(load.as_f64()),
            Self::Load(bits) => bits.serialize(serializer),
        }
    }
}

/// `load.pattern`: a word, or a table with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct PatternFile {
    pub(super) shape: String,
    pub(super) from: Option<Percent>,
    pub(super) steps: Option<u32>,
}

/// The table form of a pattern.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PatternTable {
    /// The shape of the load over sustain.
    #[schemars(extend("enum" = ["flat", "ramp", "stair"]))]
    shape: String,
    /// Share of the load at which a ramp begins; 0% if left out.
    #[schemars(schema_with = "schema::percent")]
    #[serde(default)]
    from: Option<Percent>,
    /// Steps of a stair.
    steps: Option<u32>,
}

struct PatternVisitor;

impl<'de> de::Visitor<'de> for PatternVisitor {
    type Value = PatternFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"flat\" or a table such as { shape = \"ramp\", from = \"10%\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PatternFile, E> {
        Ok(PatternFile { shape: text.to_owned(), ..PatternFile::default() })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PatternFile, A::Error> {
        let table = PatternTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(PatternFile { shape: table.shape, from: table.from, steps: table.steps })
    }
}

impl<'de> Deserialize<'de> for PatternFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternVisitor)
    }
}

/// `cores` of a DUT file; empty = automatic placement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CoresFile(pub(super) Vec<usize>);

struct CoresVisitor;

impl<'de> de::Visitor<'de> for CoresVisitor {
    type Value = CoresFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"dut\" or a list of core numbers such as [1]")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CoresFile, E> {
        match text {
            "dut" => Ok(CoresFile::default()),
            _ => {
                Err(E::custom(format!("{text:?} is not a placement; expected \"dut\" or a list of cores such as [1]")))
            }
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<CoresFile, A::Error> {
        let mut cores = Vec::new();
        while let Some(core) = seq.next_element()? {
            cores.push(core);
        }
        Ok(CoresFile(cores))
    }
}

impl<'de> Deserialize<'de> for CoresFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CoresVisitor)
    }
}

impl Serialize for CoresFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() { serializer.serialize_str("dut") } else { self.0.serialize(serializer) }
    }
}

/// A value of `[expect]`, not yet read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct ExpectText(pub(super) String);

struct ExpectVisitor;

impl de::Visitor<'_> for ExpectVisitor {
    type Value = ExpectText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a comparison in quotes such as \">= 1000\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ExpectText, E> {
        Ok(ExpectText(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ExpectText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpectVisitor)
    }
}

impl JsonSchema for AmountFile {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "exclusiveMinimum": 0,
            "pattern": "^[0-9.]+\\s*([kKMG]?(/s)?|[kKMGT]?bits?(/s)?)$",
            "description": "a rate: 500, \"10k/s\", \"1.5M/s\"; with unit = \"bandwidth\" bits: \"100Mbit/s\""
        })
    }
}

impl JsonSchema for StartFile {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "description": START_WANTED })
    }
}

impl JsonSchema for PatternFile {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<PatternTable>();
        json_schema!({ "anyOf": [{ "type": "string", "enum": ["flat"] }, table] })
    }
}

impl JsonSchema for CoresFile {
    fn schema_name() -> Cow<'static, str> {
        "Cores".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "enum": ["dut"] },
            { "type": "array", "items": { "type": "integer", "minimum": 0 } }
        ] })
    }
}

impl JsonSchema for ExpectText {
    fn schema_name() -> Cow<'static, str> {
        "Comparison".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^\\s*(<|<=|>|>=)\\s*[0-9.]+\\s*([a-zA-Zµ%]+(/s)?)?\\s*$" })
    }
}

/// Quantities of `wire::units` in the words of JSON schema.
pub(super) mod schema {
    use schemars::{Schema, SchemaGenerator, json_schema};

    pub(in crate::scenario) fn rate(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "null"],
            "exclusiveMinimum": 0,
            "pattern": "^[0-9.]+[kKMG]?(/s)?$",
            "description": "a rate: 500, \"10k/s\", \"1.5M/s\""
        })
    }

    pub(in crate::scenario) fn percent(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "pattern": "^[0-9.]+\\s*%$",
            "description": "a share with a percent sign: \"5%\""
        })
    }

    pub(in crate::scenario) fn bit_rate(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "pattern": "^[0-9.]+\\s*[kMGT]?bit/s$",
            "description": "bits per second: \"100Mbit/s\", \"1Gbit/s\""
        })
    }

    pub(in crate::scenario) fn span(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "null"],
            "pattern": "^[0-9.]+\\s*(us|µs|ms|s|m|min|h)$",
            "description": "a duration: \"500ms\", \"1s\", \"2m\""
        })
    }
}
