//! Why a scenario cannot be run, and how a check that knows only a key points at its place.
//!
//! A value may come from the file or from an option; an [`Origin`] knows which, so that the user
//! looks for a mistake where it was made.

use std::path::PathBuf;

use wire::document::{Document, DocumentError, nearest};

/// Why a scenario or DUT file cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file cannot be read.
    #[error("cannot read {path}{hint}")]
    Unreadable {
        /// The file, as it was looked for.
        path: PathBuf,
        /// Who asked for it, with a space in front, or nothing.
        hint: String,
        /// The reason of the operating system.
        source: std::io::Error,
    },
    /// A key or value is wrong; file, line, key, what was found and what is allowed.
    #[error(transparent)]
    Wrong(#[from] DocumentError),
    /// A command-line option is wrong.
    #[error("{option} {found:?}: {message}")]
    Option {
        /// The option, with its dashes.
        option: &'static str,
        /// What was given.
        found: String,
        /// What is wrong with it and what is allowed.
        message: String,
    },
}

/// Where the values of a scenario come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    document: Document,
    /// Dotted keys that an option gave, each with the option; the last one wins.
    given: Vec<(String, &'static str)>,
}

impl Origin {
    pub(super) fn new(document: Document) -> Self {
        Self { document, given: Vec::new() }
    }

    /// Notes that an option gave the value of a key.
    pub(super) fn give(&mut self, key: impl Into<String>, option: &'static str) {
        self.given.push((key.into(), option));
    }

    pub(super) fn document(&self) -> &Document {
        &self.document
    }

    /// An error at a dotted key, or at the option that gave it.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> ScenarioError {
        let option = self.given.iter().rev().find(|(given, _)| covers(given, key) || covers(key, given));
        let error = match option {
            Some((_, option)) => {
                DocumentError { name: (*option).to_owned(), line: None, key: key.to_owned(), message: message.into() }
            }
            None => self.document.error_at(key, message),
        };
        error.into()
    }

    /// One of the words a key may have. A word of a later version is refused as such.
    pub(super) fn choose<T: Copy>(
        &self,
        key: &str,
        found: &str,
        built: &[(&str, T)],
        later: &[&str],
    ) -> Result<T, ScenarioError> {
        if let Some((_, value)) = built.iter().find(|(word, _)| *word == found) {
            return Ok(*value);
        }
        let words: Vec<String> = built.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let words = words.join(", ");
        if later.contains(&found) {
            return Err(self.error(key, format!("\"{found}\" is not built yet; what works now: {words}")));
        }
        let hint = nearest(found, built.iter().map(|(word, _)| *word))
            .map(|near| format!("; did you mean \"{near}\"?"))
            .unwrap_or_default();
        Err(self.error(key, format!("\"{found}\" is not known; expected one of {words}{hint}")))
    }
}

/// Whether a dotted key is `inner` itself or a table around it.
fn covers(outer: &str, inner: &str) -> bool {
    inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}
