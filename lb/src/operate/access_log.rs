//! The access log: one line per TCP connection or HTTP request, written by a thread of its own.
//!
//! A data path hands over an [`Entry`] and never waits: when the bounded queue is full the entry is
//! dropped and counted, because a slow disk must not slow down clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::config::{RealServer, VirtualService};

/// Longest request line that is kept for the log, in bytes.
#[allow(dead_code, reason = "used by the HTTP data path")]
pub(crate) const REQUEST_LINE_MAX: usize = 1024;

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
    /// Hands over an entry, or drops and counts it if the writer is behind. Never blocks.
    pub(crate) fn record(&self, entry: Entry) {
        if self.sender.try_send(Box::new(entry)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}
