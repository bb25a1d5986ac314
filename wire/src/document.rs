//! TOML files to types, with errors that point at file, line and key.
//!
//! [`Document::parse`] reads a text into a type whose serde attributes say what is allowed; unknown
//! keys are refused with the nearest known one. [`Document::error_at`] lets a later check, which
//! knows only the key, point at the same place. It reads no files: the caller has the text.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// A TOML text and its name, kept so that an error can point into it.
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    text: String,
}

/// What is wrong with a document, and where: `scenarios/x.toml:12: load.rate: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// File name as the user gave it.
    pub name: String,
    /// Line from 1, if the place is known.
    pub line: Option<usize>,
    /// Dotted key, or empty if the text is not TOML at all.
    pub key: String,
    /// What was found, what is allowed and, if there is one, the nearest known key.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for DocumentError {}

impl Document {
    /// A document with the name that errors show.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The name that errors show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the document into a type.
    ///
    /// # Errors
    /// [`DocumentError`] if the text is not TOML, or has a key or value that the type refuses.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        toml::from_str(&self.text).map_err(|error| {
            let start = error.span().map(|span| span.start);
            DocumentError {
                name: self.name.clone(),
                line: start.map(|at| self.line(at)),
                key: start.map(|at| self.key_at(at)).unwrap_or_default(),
                message: with_nearest(error.message()),
            }
        })
    }

    /// An error at a dotted key such as `load.rate` or `group.0.server.1.address`; a key the
    /// document does not have points at its nearest written parent.
    pub fn error_at(&self, key: &str, message: impl Into<String>) -> DocumentError {
        DocumentError {
            name: self.name.clone(),
            line: self.find(key).map(|at| self.line(at)),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }

    /// Where the longest written prefix of a dotted key stands.
    fn find(&self, key: &str) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let mut parts = key.split('.');
        let first = parts.next()?;
        let (written, mut value) = table.get_ref().get_key_value(first)?;
        let mut found = written.span().start;
        for part in parts {
            let next = match value.get_ref() {
                DeValue::Table(table) => table.get_key_value(part).map(|(key, value)| (key.span().start, value)),
                DeValue::Array(items) => {
                    part.parse::<usize>().ok().and_then(|at| items.get(at)).map(|item| (item.span().start, item))
                }
                _ => None,
            };
            let Some((start, inner)) = next else { break };
            found = start;
            value = inner;
        }
        Some(found)
    }

    /// The dotted key of the innermost key or value that covers an offset; empty if none does.
    fn key_at(&self, offset: usize) -> String {
        let Ok(table) = DeTable::parse(&self.text) else { return String::new() };
        let mut path = Vec::new();
        descend(table.get_ref(), offset, &mut path);
        path.join(".")
    }
}

fn descend(table: &DeTable<'_>, offset: usize, path: &mut Vec<String>) -> bool {
    table.iter().any(|(key, value)| {
        path.push(key.get_ref().to_string());
        let inside = key.span().contains(&offset) || descend_value(value, offset, path);
        if !inside {
            path.pop();
        }
        inside
    })
}

fn descend_value(value: &toml::Spanned<DeValue<'_>>, offset: usize, path: &mut Vec<String>) -> bool {
    let inner = match value.get_ref() {
        DeValue::Table(table) => descend(table, offset, path),
        DeValue::Array(items) => items.iter().enumerate().any(|(at, item)| {
            path.push(at.to_string());
            let inside = descend_value(item, offset, path);
            if !inside {
                path.pop();
            }
            inside
        }),
        _ => false,
    };
    inner || value.span().contains(&offset)
}

/// Adds "did you mean" to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_nearest(message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    match names.split_first() {
        Some((found, known)) if unknown => match nearest(found, known.iter().copied()) {
            Some(near) => format!("{message}; did you mean `{near}`?"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}

/// The known name nearest to what was found, if it is near enough to be a slip of the keyboard.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (edit_distance(found, name), name))
        .min()
        .filter(|&(distance, name)| distance <= 1 + name.len() / 3)
        .map(|(_, name)| name)
}

/// Levenshtein distance over characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct File {
        load: Load,
        #[serde(default)]
        server: Vec<Server>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Load {
        rate: crate::units::Rate,
        slots: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Server {
        weight: u8,
    }

    fn error(text: &str) -> String {
        Document::new("x.toml", text).parse::<File>().unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        assert_eq!(
            error("[load]\nrate = 5\nslotz = 3\n"),
            "x.toml:3: load.slotz: unknown field `slotz`, expected `rate` or `slots`; did you mean `slots`?"
        );
    }

    #[test]
    fn a_bad_value_shows_line_key_value_and_what_is_allowed() {
        let message = error("[load]\nrate = \"fast\"\n");
        assert!(message.starts_with("x.toml:2: load.rate: \"fast\" is not a rate; expected"), "{message}");
        let message = error("[load]\nrate = 1\n[[server]]\nweight = 1\n[[server]]\nweight = 300\n");
        assert!(message.starts_with("x.toml:6: server.1.weight: invalid value"), "{message}");
    }

    #[test]
    fn a_missing_key_and_broken_toml_point_at_a_line() {
        let message = error("\n[load]\n");
        assert!(message.starts_with("x.toml:2: load: missing field `rate`"), "{message}");
        assert!(error("[load\n").starts_with("x.toml:1: "), "{}", error("[load\n"));
    }

    #[test]
    fn a_later_check_points_at_the_key_or_its_parent() {
        let document = Document::new("x.toml", "[load]\nrate = 5\n");
        assert_eq!(document.error_at("load.rate", "too much").to_string(), "x.toml:2: load.rate: too much");
        assert_eq!(document.error_at("load.slots", "too many").to_string(), "x.toml:1: load.slots: too many");
    }
}
