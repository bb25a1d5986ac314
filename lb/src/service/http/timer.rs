//! One timer per connection for the deadlines of all its phases.
//!
//! A phase usually ends long before its deadline, so a later deadline does not touch the timer:
//! when it fires for an earlier one it is set again. Only an earlier deadline moves it at once.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// Ready once `deadline` has passed.
pub(crate) fn poll_deadline(timer: &mut Pin<&mut Sleep>, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
    if deadline < timer.deadline() {
        timer.as_mut().reset(deadline);
    }
    while timer.as_mut().poll(cx).is_ready() {
        if deadline <= Instant::now() {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
    Poll::Pending
}
