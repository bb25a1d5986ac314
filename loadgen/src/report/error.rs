//! Why a report cannot be written.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a report cannot be written. What was written before stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file system of the run folder is full, or its quota is used up.
    #[error(
        "no space left for {}; what was written so far is kept: free some space there, or write the reports to another disk",
        path.display()
    )]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A file or folder cannot be written for another reason.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The run folder cannot be made.
    #[error("cannot make {}; choose a folder that can be written with --reports", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// Every name for a run folder of this second is taken.
    #[error("{} and its {attempts} numbered siblings exist already; remove old run folders", path.display())]
    NamesTaken {
        /// The first name tried.
        path: PathBuf,
        /// How many further names were tried.
        attempts: u32,
    },
    /// Metrics cannot be served there.
    #[error("cannot serve metrics at {address}; choose an address of this host and a free port, such as 127.0.0.1:0")]
    Endpoint {
        /// The address.
        address: SocketAddr,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A folder that was asked for by name holds something already.
    #[error("{} is not empty; name a folder that does not exist yet", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A value has no form in the file's format.
    #[error("cannot put {what} into {}", path.display())]
    Format {
        /// What was to be written.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ReportError {
    /// The error of a failed write.
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            _ => Self::Write { path, source },
        }
    }

    /// The error of a run folder that cannot be made.
    pub(super) fn folder(path: &Path, source: io::Error) -> Self {
        match Self::write(path, source) {
            Self::Write { path, source } => Self::Folder { path, source },
            full => full,
        }
    }

    /// The error of a value that a format cannot hold.
    pub(super) fn format(
        what: &'static str,
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Format { what, path: path.to_owned(), source: source.into() }
    }

    /// Whether the disk is full: this host cannot keep the report, and the run should end.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }
}
