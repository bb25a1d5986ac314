//! What a client is told by the load balancer itself, and how its connection ends without losing that.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Refusal;
use super::connection::{After, Connection};
use super::input::Input;
use super::output::Output;
use super::reply::Reply;
use super::timer::poll_deadline;
use crate::service::socket::hear_out;

/// How long a client may take to read an answer that ends its connection while it still sends.
const LINGER: Duration = Duration::from_secs(2);

impl Connection<'_> {
    /// Answers a request that goes to no server; the word is for the access log.
    pub(crate) async fn refuse(&mut self, refusal: Refusal) -> (After, &'static str) {
        match refusal {
            Refusal::Defective(defect) => {
                (self.answer(defect.status(), &defect.to_string(), false, false).await, "bad-request")
            }
            Refusal::TimedOut => {
                (self.answer(408, "the request head did not come in time", false, false).await, "client-timeout")
            }
            Refusal::NoServer { error, stay, head_only } => {
                (self.answer(503, &error.to_string(), stay, head_only).await, "no-server")
            }
        }
    }

    /// Answers instead of a server.
    pub(crate) async fn answer(&mut self, status: u16, reason: &str, stay: bool, head_only: bool) -> After {
        let stay = stay && !self.context.drain.is_draining();
        let mut out = Output::new(&self.context.group.http.outputs);
        Reply { status, reason, close: !stay, head_only }.write(out.tail());
        self.context.counters().response(status);
        self.context.counters().request_errors.add(u64::from((400..500).contains(&status)));
        self.book.status = status;
        match self.send(&mut out).await {
            true if stay => After::Stay,
            true => After::Linger,
            false => After::Close,
        }
    }

    /// Sends to the client within the time for one piece of a response; whether it was taken.
    pub(crate) async fn send(&mut self, out: &mut Output) -> bool {
        let deadline = Instant::now() + self.context.service.timeouts.response_body;
        let (counters, sent) = (self.context.counters(), &mut self.book.bytes_out);
        poll_fn(|cx| {
            let each = |count: usize| {
                counters.bytes_out.add(count as u64);
                *sent += count as u64;
            };
            match out.poll_flush(&self.client, cx, each) {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => poll_deadline(&mut self.timer, cx, deadline).map(|()| false),
            }
        })
        .await
    }

    /// Tells the client that no more follows, and reads on for a while.
    pub(crate) async fn linger(&mut self) {
        self.input = Input::default();
        hear_out(&self.client, &self.context.buffers, LINGER, |_| ()).await;
    }
}
