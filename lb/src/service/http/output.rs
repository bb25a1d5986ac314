//! Bytes to be written to a socket: a head, and the first bytes of content behind it.
//!
//! Both go out in one write, so that a small message is one segment. The vectors come from a stock
//! like the one of the read buffers, since a rewritten head may be longer than what was read.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::service::buffers::BUFFER_SIZE;
use crate::service::socket::poll_write_first;

/// Room for a head of the largest size and what is added to it.
const CAPACITY: usize = BUFFER_SIZE + 1024;
/// Largest vector that is kept for the next taker.
const CAPACITY_KEPT_MAX: usize = 4 * CAPACITY;
/// Most vectors kept.
const KEPT_MAX: usize = 64;

/// One worker's stock of vectors, the last one returned on top.
#[derive(Debug, Default)]
pub(crate) struct OutputStock(RefCell<Vec<Vec<u8>>>);

/// Bytes on their way out; it holds no memory while there are none.
#[derive(Debug)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    written: usize,
    blocked: bool,
    stock: Rc<OutputStock>,
}

impl Output {
    /// An empty one.
    pub(crate) fn new(stock: &Rc<OutputStock>) -> Self {
        Self { bytes: Vec::new(), written: 0, blocked: false, stock: Rc::clone(stock) }
    }

    /// Where to append.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            let kept = self.stock.0.borrow_mut().pop();
            self.bytes = kept.unwrap_or_else(|| Vec::with_capacity(CAPACITY));
        }
        &mut self.bytes
    }

    /// What has not been written yet.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Whether all of it has been written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Whether nothing at all has been written.
    pub(crate) fn is_untouched(&self) -> bool {
        self.written == 0
    }

    /// The first `count` pending bytes have been written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
    }

    /// Begins again: all of it has to be written once more, to another connection.
    pub(crate) fn rewind(&mut self) {
        self.written = 0;
        self.blocked = false;
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        (self.written, self.blocked) = (0, false);
        let mut kept = self.stock.0.borrow_mut();
        if (1..=CAPACITY_KEPT_MAX).contains(&bytes.capacity()) && kept.len() < KEPT_MAX {
            bytes.clear();
            kept.push(bytes);
        }
    }

    /// Writes what is pending; ready when all of it is, with the number of bytes this call wrote.
    pub(crate) fn poll_flush(
        &mut self,
        stream: &TcpStream,
        cx: &mut Context<'_>,
        mut each: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let count = ready!(poll_write_first(stream, cx, &self.bytes[self.written..], &mut self.blocked))?;
            self.written += count;
            each(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.clear();
    }
}
