//! What one thread saw second by second, bounded to the last hour.
//!
//! The counters only grow; once per second the thread writes down how far they had come. A second
//! without an event has no page: the merger fills it with zeros and carries `open` on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use wire::ledger::LedgerSecond;

use super::Books;

/// Seconds that are kept.
pub(super) const SECONDS_KEPT: usize = 3600;

/// How far the counters had come at the end of a second.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    second: u64,
    accepted: u64,
    requests: u64,
    open: u64,
}

/// The pages of one thread.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The second that the counters are in.
    current: AtomicU64,
    /// Complete pages, oldest first; locked once per second by the thread and once per merger.
    pages: Mutex<VecDeque<Page>>,
}

impl History {
    /// Turns the page if a new second has begun. Call before counting an event of `now_ns`.
    pub(super) fn turn(&self, books: &Books, now_ns: u64) {
        let second = now_ns / 1_000_000_000;
        if second != self.current.load(Relaxed) {
            self.write_page(books, second);
        }
    }

    #[cold]
    fn write_page(&self, books: &Books, second: u64) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load(Relaxed);
        // Events are stamped when they are read, so a stamp may lie a moment behind the page.
        if second < current {
            return;
        }
        if current > 0 {
            if pages.len() > SECONDS_KEPT {
                pages.pop_front();
            }
            pages.push_back(page(books, current));
        }
        self.current.store(second, Relaxed);
    }

    /// Adds this thread's part to seconds that follow each other without a gap.
    pub(super) fn add_to(&self, books: &Books, seconds: &mut [LedgerSecond]) {
        let Some(first) = seconds.first().map(|second| second.monotonic_s) else { return };
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load(Relaxed);
        let last = (current > 0).then(|| page(books, current));
        let mut before = Page::default();
        for page in pages.iter().copied().chain(last) {
            // `open` as it was until this page, for seconds in which nothing happened.
            carry(seconds, first, before.second + 1..page.second, before.open);
            if let Some(second) = page.second.checked_sub(first).and_then(|at| seconds.get_mut(at as usize)) {
                second.opened += page.accepted - before.accepted;
                second.requests += page.requests - before.requests;
                second.open += page.open;
            }
            before = page;
        }
        let end = first + seconds.len() as u64;
        carry(seconds, first, before.second + 1..end, before.open);
    }
}

fn page(books: &Books, second: u64) -> Page {
    Page { second, accepted: books.accepted.value(), requests: books.requests.value(), open: books.open() }
}

fn carry(seconds: &mut [LedgerSecond], first: u64, range: std::ops::Range<u64>, open: u64) {
    let end = first + seconds.len() as u64;
    for at in range.start.max(first)..range.end.min(end) {
        seconds[(at - first) as usize].open += open;
    }
}
