//! The body of a response that hyper sends: a window of the common table or a text, with a stall or
//! a reset in it.
//!
//! When dropped it says whether it was taken whole; the response is booked once that is written out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;
use wire::body;

use super::{Phase, Shared, lock};

/// Where the bytes come from.
pub(super) enum Source {
    Window { nonce: u32 },
    Text(Bytes),
}

/// What happens on the way.
#[derive(Clone, Copy, Default)]
pub(super) struct Course {
    /// Reset after so many bytes.
    pub(super) reset_at: Option<u64>,
    /// Wait half-way.
    pub(super) stall: Duration,
    /// Send without saying the length first.
    pub(super) chunked: bool,
    /// Send the head only: the method was HEAD, or the status has no body.
    pub(super) head_only: bool,
}

/// A response's body on its way.
pub(super) struct ReplyBody {
    source: Source,
    course: Course,
    length: u64,
    position: u64,
    stalling: Option<Pin<Box<Sleep>>>,
    state: Shared,
    status: u16,
    check: bool,
}

impl ReplyBody {
    pub(super) fn new(
        source: Source,
        length: u64,
        course: Course,
        state: Shared,
        (status, check): (u16, bool),
    ) -> Self {
        Self { source, course, length, position: 0, stalling: None, state, status, check }
    }

    fn has_ended(&self) -> bool {
        self.position == self.length && self.course.reset_at.is_none()
    }

    /// Up to which byte the next piece may go.
    fn limit(&self) -> u64 {
        let half = self.length / 2;
        let stall_at = if self.course.stall.is_zero() || self.position >= half { self.length } else { half };
        self.course.reset_at.unwrap_or(self.length).min(stall_at)
    }

    /// Waits half-way if that was asked for.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.course.stall.is_zero() || self.position != self.length / 2 {
            return Poll::Ready(());
        }
        if self.stalling.is_none() {
            lock(&self.state).enter(Phase::Working);
        }
        let stall = self.course.stall;
        ready!(self.stalling.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall))).as_mut().poll(cx));
        self.course.stall = Duration::ZERO;
        lock(&self.state).enter(Phase::Sending);
        Poll::Ready(())
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.course.reset_at == Some(self.position) {
            // Pending for ever: hyper writes out what it has, and then the tap aborts.
            lock(&self.state).reset = true;
            return Poll::Pending;
        }
        ready!(self.poll_stall(cx));
        if self.position == self.length {
            return Poll::Ready(None);
        }
        let wanted = (self.limit() - self.position).min(body::TABLE_LEN as u64) as usize;
        let piece = match &self.source {
            Source::Window { nonce } => Bytes::from_static(body::window(*nonce, self.position, wanted)),
            Source::Text(text) => {
                let from = self.position as usize;
                text.slice(from..from + wanted)
            }
        };
        self.position += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        // hyper would give an empty body a length if it knew that it is empty.
        self.has_ended() && !self.course.chunked
    }

    fn size_hint(&self) -> SizeHint {
        if self.course.chunked { SizeHint::default() } else { SizeHint::with_exact(self.length - self.position) }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        let whole = self.has_ended() || (self.course.head_only && self.course.reset_at.is_none());
        if whole {
            lock(&self.state).owed.push((self.status, self.check));
        }
    }
}
