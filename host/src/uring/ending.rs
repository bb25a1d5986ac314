//! How a ring gives up its connections and its memory.
//!
//! Invariant: memory that a request may still use is never freed. When the kernel does not let go in
//! time, just that memory is leaked, and the descriptors that a link may still look up by their numbers.
//! The others are closed, because a request that has begun holds its file itself, and one that has not
//! been submitted never will be.

use std::time::Duration;

use rustix::net::Shutdown;

use super::entry::{Entry, Home, Kind};
use super::{Handle, Ring};
use crate::clock::monotonic_ns;

/// How long dropping a ring waits for the kernel to let go of its memory, and for each connection.
const LET_GO_NS: u64 = 1_000_000_000;
const LET_GO_EACH_NS: u64 = 50_000;
/// The longest such wait.
const LET_GO_MAX_NS: u64 = 10_000_000_000;

impl Ring {
    /// Closes everything and waits until the kernel uses none of our memory.
    fn let_go(&mut self) -> bool {
        self.give_back();
        for index in 0..self.entries.len() as u32 {
            let entry = &self.entries[index as usize];
            if !matches!(entry.home, Home::None) && !entry.closing {
                self.close(Handle(index), false);
            }
        }
        let bound = (LET_GO_NS + self.entries.len() as u64 * LET_GO_EACH_NS).min(LET_GO_MAX_NS);
        let until = monotonic_ns() + bound;
        while self.free.len() < self.entries.len() && monotonic_ns() < until {
            if self.wait(Duration::from_millis(10)).is_err() {
                return false;
            }
            while self.next_event().is_some() {}
        }
        self.free.len() == self.entries.len()
    }

    /// Closes all descriptors and leaks what requests may still read or write: memory that is lost is
    /// better than memory that changes under somebody else. Nothing may be submitted any more.
    pub(super) fn abandon(&mut self) {
        self.free.clear();
        self.late.clear();
        let busy: Vec<Entry> =
            std::mem::take(&mut self.entries).into_iter().filter(|entry| !entry.is_quiet()).collect();
        if busy.iter().any(|entry| entry.awaits(Kind::Receive)) {
            std::mem::forget(self.buffers.take());
        }
        if !busy.is_empty() {
            std::mem::forget(self.ports.take());
        }
        for entry in busy {
            let has_links = entry.has_links();
            std::mem::forget(entry.sending);
            if let (Home::Normal(socket), true) = (entry.home, has_links) {
                // Its connection ends at least.
                let _ = rustix::net::shutdown(&socket, Shutdown::Both);
                std::mem::forget(socket);
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.enabled && !self.let_go() {
            self.abandon();
        }
    }
}
