//! Bytes read from a socket that nobody has consumed yet.
//!
//! A buffer is taken when the socket has something to read and given back when all of it is
//! consumed, so a connection that waits holds none.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use crate::service::buffers::{BUFFER_SIZE, Buffer, BufferStock};
use crate::service::socket::poll_read;

/// A window of at most [`BUFFER_SIZE`] bytes into a stream.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
}

impl Input {
    /// The bytes that are there.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[self.start..self.end])
    }

    /// The bytes that are there, to be changed in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], |buffer| &mut buffer[self.start..self.end])
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether more can be read.
    pub(crate) fn has_room(&self) -> bool {
        self.end - self.start < BUFFER_SIZE
    }

    /// Forgets the first bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Reads once what is there, behind what is already here; 0 is the end of the stream. There must
    /// be room.
    pub(crate) fn poll_fill(
        &mut self,
        stream: &TcpStream,
        cx: &mut Context<'_>,
        stock: &Rc<BufferStock>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.has_room(), "a read without room would look like the end");
        ready!(stream.poll_read_ready(cx))?;
        let buffer = self.buffer.get_or_insert_with(|| stock.take());
        if self.end == buffer.len() {
            buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let read = poll_read(stream, cx, &mut buffer[self.end..]);
        if let Poll::Ready(Ok(count)) = read {
            self.end += count;
        }
        if self.is_empty() {
            *self = Self::default();
        }
        read
    }
}
