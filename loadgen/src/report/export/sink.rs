//! A file that lines are written to by a thread of its own.
//!
//! Handing over a line never waits: at most [`QUEUE`] lines wait to be written, and one more ends the
//! export. A line that does not fit on the disk is taken back as a whole and ends it, too. Either way the
//! run goes on, and says at its end what is missing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::report::ReportError;

/// Most lines that wait: a quarter of an hour of seconds.
const QUEUE: usize = 1_024;
/// How long the end of a run waits for what is still to be written.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The file.
#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    /// `None` after the export has ended.
    lines: Option<SyncSender<String>>,
    outcome: Receiver<Result<(), ReportError>>,
    /// Lines that nobody took.
    dropped: u64,
}

impl FileSink {
    /// Opens a file (`-` is stdout) and cuts it to nothing; its thread keeps to `cores`.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub(super) fn open(path: &Path, cores: &[usize]) -> Result<Self, ReportError> {
        let target = Target::open(path)?;
        Self::start(path, target, cores)
    }

    fn start(path: &Path, mut target: Target, cores: &[usize]) -> Result<Self, ReportError> {
        let (sender, receiver) = sync_channel::<String>(QUEUE);
        let (done, outcome) = sync_channel(1);
        let (cores, name) = (cores.to_vec(), path.to_owned());
        let work = move || {
            pin(&cores);
            let written = receiver.iter().try_for_each(|line| target.append(&line));
            // The run may have stopped to listen.
            let _ = done.send(written.map_err(|source| ReportError::write(&name, source)));
        };
        let thread = thread::Builder::new().name("export".to_owned()).spawn(work);
        thread.map_err(|source| ReportError::write(path, source))?;
        Ok(Self { path: path.to_owned(), lines: Some(sender), outcome, dropped: 0 })
    }

    /// Hands over a text of whole lines; never waits.
    pub(super) fn push(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        let Some(lines) = &self.lines else {
            self.dropped += 1;
            return;
        };
        match lines.try_send(text) {
            Ok(()) => {}
            // A gap in the middle would not be seen by a reader; an end is.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lines = None;
                self.dropped += 1;
            }
        }
    }

    /// Waits for what is still to be written, with a bound; says what is missing, if anything is.
    pub(super) fn close(mut self) -> Option<String> {
        self.lines = None;
        let path = self.path.display();
        match self.outcome.recv_timeout(CLOSE_WAIT) {
            Ok(Ok(())) if self.dropped == 0 => None,
            Ok(Ok(())) => Some(format!(
                "the export to {path} is not whole: its reader was too slow, more than {QUEUE} lines waited and the last {} are missing; `loadgen export` writes it from the run folder",
                self.dropped
            )),
            Ok(Err(error)) => {
                let reason = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                Some(format!("the export to {path} is not whole: {error}{reason}; the run itself is not touched by it"))
            }
            Err(_) => Some(format!(
                "the export to {path} is not whole: its reader did not take the last lines within {} s",
                CLOSE_WAIT.as_secs()
            )),
        }
    }
}

/// Keeps the calling thread off the cores that are measured. A host that does not allow it loses nothing
/// but that: the thread has next to nothing to do.
pub(super) fn pin(cores: &[usize]) {
    if !cores.is_empty() {
        let _ = host::cpu::pin_current_thread(cores);
    }
}

/// Where lines go.
enum Target {
    Stdout,
    File {
        file: File,
        /// Length up to the last whole line in bytes.
        length: u64,
    },
}

impl Target {
    fn open(path: &Path) -> Result<Self, ReportError> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path);
        Ok(Self::File { file: file.map_err(|source| ReportError::write(path, source))?, length: 0 })
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Self::File { file, length } => {
                if let Err(error) = file.write_all(text.as_bytes()) {
                    // Half a line would be worse than none. A device that cannot be cut keeps what it has.
                    let _ = file.set_len(*length);
                    return Err(error);
                }
                *length += text.len() as u64;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::Scratch;

    #[test]
    fn what_was_handed_over_is_there_after_the_close() {
        let scratch = Scratch::new("sink");
        let path = scratch.path().join("lines");
        let mut sink = FileSink::open(&path, &[]).unwrap();
        (0..100).for_each(|number| sink.push(format!("{number}\n")));
        sink.push(String::new());
        assert_eq!(sink.close(), None);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 100);
    }

    #[test]
    fn a_full_disk_ends_the_export_and_is_named() {
        let mut sink = FileSink::open(Path::new("/dev/full"), &[]).unwrap();
        sink.push("line\n".to_owned());
        let problem = sink.close().unwrap();
        assert!(problem.contains("/dev/full is not whole: no space left for /dev/full"), "{problem}");
    }

    #[test]
    fn a_reader_that_is_too_slow_ends_the_export_and_never_waits() {
        let scratch = Scratch::new("slow");
        let path = scratch.path().join("pipe");
        // Both ends are ours, and nobody reads: the pipe takes 64 KiB and no more.
        let (reader, writer) = io::pipe().unwrap();
        let target = Target::File { file: File::from(std::os::fd::OwnedFd::from(writer)), length: 0 };
        let mut sink = FileSink::start(&path, target, &[]).unwrap();
        let line = "x".repeat(4_096) + "\n";
        (0..QUEUE + 100).for_each(|_| sink.push(line.clone()));
        assert!(sink.dropped > 0 && sink.lines.is_none());
        drop(reader);
        let problem = sink.close().unwrap();
        assert!(problem.contains("is not whole"), "{problem}");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_refused_by_name() {
        let error = FileSink::open(Path::new("/nonexistent/x.jsonl"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "cannot write /nonexistent/x.jsonl");
    }
}
