//! Files of a run folder: CSV files that grow row by row, and files that are written at once.
//!
//! A row reaches the kernel in one write, and a row that did not fit is taken back, so that a file
//! always ends with a whole row, also when the run is killed or the disk fills up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ReportError;

/// A CSV file that grows row by row.
#[derive(Debug)]
pub(super) struct Sheet {
    path: PathBuf,
    file: File,
    columns: usize,
    /// Length of the file in bytes up to its last whole row.
    length: u64,
}

impl Sheet {
    /// Begins a file with its header. An existing file is opened and cut to nothing.
    ///
    /// # Errors
    /// [`ReportError`] with the file's name.
    pub(super) fn create(path: PathBuf, header: &[String]) -> Result<Self, ReportError> {
        let mut sheet = Self::open(path, header.len())?;
        sheet.rows(&[header.to_vec()])?;
        Ok(sheet)
    }

    fn open(path: PathBuf, columns: usize) -> Result<Self, ReportError> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)
            .map_err(|source| ReportError::write(&path, source))?;
        Ok(Self { path, file, columns, length: 0 })
    }

    /// Appends rows, all or nothing.
    ///
    /// # Errors
    /// [`ReportError`] with the file's name.
    pub(super) fn rows(&mut self, rows: &[Vec<String>]) -> Result<(), ReportError> {
        debug_assert!(rows.iter().all(|row| row.len() == self.columns), "{} has other columns", self.path.display());
        let bytes = encode(rows).map_err(|source| ReportError::format("a row", &self.path, source))?;
        self.append(&bytes).map_err(|source| ReportError::write(&self.path, source))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // Half a row would be worse than none. A device that cannot be cut keeps what it has.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// A file of JSON values, one per line, that grows value by value.
#[derive(Debug)]
pub(super) struct Lines(Sheet);

impl Lines {
    /// Begins an empty file. An existing one is cut to nothing.
    ///
    /// # Errors
    /// [`ReportError`] with the file's name.
    pub(super) fn create(path: PathBuf) -> Result<Self, ReportError> {
        Sheet::open(path, 0).map(Self)
    }

    /// Appends one value, all of its line or nothing.
    ///
    /// # Errors
    /// [`ReportError`] with the file's name.
    pub(super) fn push<T: Serialize>(&mut self, value: &T) -> Result<(), ReportError> {
        let Self(sheet) = self;
        let mut line =
            serde_json::to_vec(value).map_err(|source| ReportError::format("a value", &sheet.path, source))?;
        line.push(b'\n');
        sheet.append(&line).map_err(|source| ReportError::write(&sheet.path, source))
    }
}

/// Rows as CSV text.
///
/// # Errors
/// What the encoder says about rows of different lengths.
pub(super) fn encode(rows: &[Vec<String>]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Writes a whole file: under another name first, then renamed, so that no reader sees half of it.
///
/// # Errors
/// [`ReportError`] with the file's name.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let draft = draft_of(path);
    let written = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    written.map_err(|source| {
        // The draft holds nothing that could be used.
        let _ = fs::remove_file(&draft);
        ReportError::write(path, source)
    })
}

/// The name a file has while it is written; keeps the extension, by which encoders choose a format.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".draft-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_and_names_the_file() {
        let error = Sheet::create(PathBuf::from("/dev/full"), &["t_s".to_owned()]).unwrap_err();
        assert!(error.is_disk_full(), "{error:?}");
        assert_eq!(
            error.to_string(),
            "no space left for /dev/full; what was written so far is kept: free some space there, or write the reports to another disk"
        );
        let error = Sheet::create(PathBuf::from("/nonexistent/timeline.csv"), &["t_s".to_owned()]).unwrap_err();
        assert!(!error.is_disk_full());
        assert_eq!(error.to_string(), "cannot write /nonexistent/timeline.csv");
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let path = std::env::temp_dir().join(format!("nadare-sheet-{}.csv", std::process::id()));
        let mut sheet = Sheet::create(path.clone(), &["a", "b"].map(str::to_owned)).unwrap();
        sheet.rows(&[["1,5", "says \"no\"\nand leaves"].map(str::to_owned).to_vec()]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(text, "a,b\n\"1,5\",\"says \"\"no\"\"\nand leaves\"\n");
    }
}
