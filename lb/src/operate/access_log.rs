//! The access log: one line per TCP connection or HTTP request, written by a thread of its own.
//!
//! A data path hands over an [`Entry`] and never waits: when the bounded queue is full the entry is
//! dropped and counted, because a slow disk must not slow down clients. The time of a line is that
//! of its writing, a moment after the end it describes.

mod line;

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::config::{Log, LogFormat, RealServer, VirtualService};

/// Longest request line that is kept for the log, in bytes.
pub(crate) const REQUEST_LINE_MAX: usize = 1024;
/// Most entries that wait for the writer.
const QUEUE_MAX: usize = 8192;

/// What is logged of one TCP connection or one HTTP request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) service: Arc<VirtualService>,
    /// The client.
    pub(crate) peer: SocketAddr,
    /// The server that was chosen last, if one was.
    pub(crate) server: Option<Arc<RealServer>>,
    /// The request line as received, cut to [`REQUEST_LINE_MAX`] bytes (HTTP).
    pub(crate) request: Option<Box<[u8]>>,
    /// Status sent to the client (HTTP), 0 if none was.
    pub(crate) status: u16,
    /// Bytes received from the client.
    pub(crate) bytes_in: u64,
    /// Bytes sent to the client.
    pub(crate) bytes_out: u64,
    /// From the accept (TCP) or the first byte of the request (HTTP) to the end.
    pub(crate) duration: Duration,
    /// How it ended, one word in lower case: `ok`, `client-reset`, `server-reset`, `connect-failed`, `idle`, ...
    pub(crate) end: &'static str,
}

/// The handle of a data path; clones write to the same log.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    sender: SyncSender<Box<Entry>>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Opens the log; the second value writes it and has to run on a thread of its own.
    ///
    /// # Errors
    /// The kernel's reason when the file cannot be opened for appending.
    pub(crate) fn open(log: &Log) -> io::Result<(Self, LogWriter)> {
        let out: Box<dyn Write + Send> = match &log.path {
            Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
            None => Box::new(io::stderr()),
        };
        Ok(Self::with_queue(out, log.format, QUEUE_MAX))
    }

    fn with_queue(out: Box<dyn Write + Send>, format: LogFormat, queue: usize) -> (Self, LogWriter) {
        let (sender, receiver) = sync_channel(queue);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer =
            LogWriter { out: BufWriter::new(out), format, receiver, dropped: Arc::clone(&dropped), reported: 0 };
        (Self { sender, dropped }, writer)
    }

    /// Hands over an entry, or drops and counts it if the writer is behind. Never blocks.
    pub(crate) fn record(&self, entry: Entry) {
        if self.sender.try_send(Box::new(entry)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Entries that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// The writing side of an access log.
pub(crate) struct LogWriter {
    out: BufWriter<Box<dyn Write + Send>>,
    format: LogFormat,
    receiver: Receiver<Box<Entry>>,
    dropped: Arc<AtomicU64>,
    /// Drops and write errors that have been reported.
    reported: u64,
}

impl LogWriter {
    /// Writes until the last handle is gone.
    pub(crate) fn run(mut self) {
        let mut broken = false;
        while let Ok(entry) = self.receiver.recv() {
            let result = self.write_waiting(&entry);
            // A full disk is reported when it begins, not once per line.
            match &result {
                Err(error) if !broken => tracing::error!(%error, "the access log cannot be written"),
                _ => {}
            }
            broken = result.is_err();
            let dropped = self.dropped.load(Relaxed);
            if dropped > self.reported {
                tracing::warn!(
                    entries = dropped - self.reported,
                    "access log entries were dropped: the log is too slow"
                );
                self.reported = dropped;
            }
        }
    }

    /// Writes one entry and all that wait behind it, then flushes.
    fn write_waiting(&mut self, first: &Entry) -> io::Result<()> {
        let now = host::clock::wall_clock();
        line::write(&mut self.out, self.format, &now, first)?;
        // At most one queue's length per flush and clock reading.
        for entry in self.receiver.try_iter().take(QUEUE_MAX) {
            line::write(&mut self.out, self.format, &now, &entry)?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts_instead_of_waiting() {
        let (log, writer) = AccessLog::with_queue(Box::new(io::sink()), LogFormat::Text, 2);
        for _ in 0..5 {
            log.record(line::tests::entry());
        }
        assert_eq!(log.dropped(), 3);
        drop(log);
        writer.run();
    }
}
