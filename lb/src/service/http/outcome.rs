//! How an exchange that reached a server ends for the client, the server connection and the books.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

use super::connection::{After, Connection, OWN_MAX};
use super::exchange::Exchange;
use super::head::Method;
use super::input::Input;
use super::output::Output;
use super::relay::{Down, End};
use super::servers::{ServerConnections, ServerStream};
use super::timer::poll_deadline;
use crate::config::Reuse;
use crate::group::{Lease, ServerIndex};
use crate::service::socket::acknowledge;
use crate::service::tcp;

/// What is left of an exchange.
pub(crate) struct Served<'a> {
    pub(crate) server: ServerStream,
    pub(crate) lease: &'a Lease,
    pub(crate) down: Down,
    /// Whether the server got the whole request.
    pub(crate) delivered: bool,
}

impl Connection<'_> {
    /// Books the end, keeps or closes the server connection, answers if nobody has; the word is for
    /// the access log.
    pub(crate) async fn conclude(
        &mut self,
        end: End,
        exchange: &Exchange,
        served: Served<'_>,
    ) -> (After, &'static str) {
        if matches!(end, End::ServerClosed | End::ServerTimeout | End::BadResponse(_)) {
            self.context.counters().response_errors.add(1);
            served.lease.counters().response_errors.add(1);
        }
        match end {
            End::Done => return (self.keep(exchange, served), "ok"),
            End::Switched => return self.tunnel(served).await,
            End::ClientReset => return (After::Close, "client-reset"),
            _ => {}
        }
        let (status, reason, word) = match end {
            End::ClientClosed => (400, "the request ended early".to_owned(), "client-closed"),
            End::ClientTimeout => (408, "the request content did not come in time".to_owned(), "client-timeout"),
            End::BadRequest(defect) => (defect.status(), defect.to_string(), "bad-request"),
            End::BadResponse(defect) => (502, format!("bad response from the server: {defect}"), "bad-response"),
            End::ServerTimeout => (504, "the server did not answer in time".to_owned(), "server-timeout"),
            _ => (502, "the server closed its connection without a complete response".to_owned(), "server-closed"),
        };
        // A message that has begun cannot be replaced; the client has to see that it is cut.
        let has_begun = exchange.is_answered() || !served.down.output.is_flushed();
        let is_unsent = served.down.sent == 0 && matches!(end, End::BadResponse(_));
        if has_begun && !is_unsent {
            return (After::Reset, word);
        }
        // The server must not go on with a request that has been answered.
        drop(served);
        let head_only = exchange.method() == Method::Head;
        let stay = exchange.may_answer_and_stay();
        (self.answer(status, &reason, stay, head_only).await, word)
    }

    /// What becomes of both connections after a response that was delivered whole.
    pub(crate) fn keep(&mut self, exchange: &Exchange, served: Served<'_>) -> After {
        let after = if exchange.client_persists() {
            After::Stay
        } else if exchange.request_is_complete() && self.input.is_empty() {
            After::Close
        } else {
            After::Linger
        };
        if served.delivered && exchange.server_persists(served.down.excess()) {
            let server = served.lease.index();
            match self.context.service.reuse {
                Reuse::Never if after == After::Stay => self.keep_own(server, served.server),
                Reuse::Never => {}
                Reuse::Safe | Reuse::Always => ServerConnections::park(&self.context.group, server, served.server),
            }
        }
        after
    }

    /// Keeps a connection for the next request of this client to that server.
    fn keep_own(&mut self, server: ServerIndex, stream: ServerStream) {
        self.own.retain(|(of, _)| *of != server);
        if self.own.len() == OWN_MAX {
            self.own.remove(0);
        }
        self.own.push((server, stream));
    }

    /// Another protocol follows on both connections, with what has already come of it.
    async fn tunnel(&mut self, mut served: Served<'_>) -> (After, &'static str) {
        // No request follows, so nobody will need them.
        self.own.clear();
        served.down.take_excess();
        // What the client says now may have no answer to be acknowledged by.
        acknowledge(&self.client);
        // Like a client's, it carries small messages that must not wait for an acknowledgement.
        served.server = served.server.ready_for(true);
        // What is here already is lost if the drain ends now.
        self.is_partial = true;
        if !self.send(&mut served.down.output).await || !self.send_input_to(&served.server).await {
            return (After::Reset, "tunnel-failed");
        }
        self.is_partial = false;
        let (end, (up, down)) =
            tcp::relay(&self.client, &served.server.stream, served.lease, &self.context, self.book.started).await;
        self.book.bytes_in += up;
        self.book.bytes_out += down;
        if end.passes_on_a_reset() {
            crate::service::socket::reset_on_close(&served.server.stream);
            return (After::Reset, end.word());
        }
        (After::Close, end.word())
    }

    /// Sends what the client sent ahead to a server that has switched protocols; whether it was taken.
    async fn send_input_to(&mut self, server: &ServerStream) -> bool {
        let deadline = Instant::now() + self.context.service.timeouts.response_body;
        let mut out = Output::new(&self.context.group.http.outputs);
        if !self.input.is_empty() {
            out.tail().extend_from_slice(self.input.bytes());
            self.book.bytes_in += self.input.bytes().len() as u64;
            self.input = Input::default();
        }
        poll_fn(|cx| match out.poll_flush(&server.stream, cx, |_| ()) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => poll_deadline(&mut self.timer, cx, deadline).map(|()| false),
        })
        .await
    }
}
