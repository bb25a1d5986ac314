//! Why something could not be measured.

use std::io;
use std::path::PathBuf;

/// Why a program could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It is not installed.
    #[error("{program} is not installed: apt-get install {package}")]
    Missing {
        /// Its name.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It is installed and does not start.
    #[error("{program} cannot be started")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended when it should have gone on.
    #[error("{program} ended early with {how}: {text}")]
    Ended {
        /// Its name.
        program: String,
        /// How.
        how: String,
        /// The end of what it said.
        text: String,
    },
    /// It did not become ready, busy or done in time.
    #[error("{program} {what} within {bound_s} s: {text}")]
    Late {
        /// Its name.
        program: String,
        /// What did not happen.
        what: &'static str,
        /// The bound.
        bound_s: f64,
        /// The end of what it said.
        text: String,
    },
    /// What it said has no figure in it.
    #[error("{program} said nothing about {what}: {text}")]
    Unclear {
        /// Its name.
        program: String,
        /// What is missing.
        what: &'static str,
        /// The end of what it said.
        text: String,
    },
    /// A counter of a server or of the kernel cannot be read.
    #[error("{what} cannot be read")]
    Counter {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written or read.
    #[error("{} cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that was there or should have been measured before.
    #[error("{0}")]
    Lost(String),
    /// Something that this host, these programs or these options do not have.
    #[error("not available: {0}")]
    NotAvailable(String),
}

impl Trouble {
    /// Whether trying again is of no use.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NotAvailable(_))
    }

    /// The text with its cause.
    pub(crate) fn full(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}
