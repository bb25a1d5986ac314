//! From a request head to a server that has the request: opening, choosing, connecting, repeating.

use std::net::SocketAddr;

use tokio::time::Instant;

use super::connection::{After, Connection};
use super::defect::Defect;
use super::dial::dial;
use super::exchange::Exchange;
use super::head::{Method, RequestHead};
use super::outcome::Served;
use super::output::Output;
use super::relay::{Down, End, Relay, Up};
use super::rewrite::{self, RequestPolicy};
use super::servers::{ServerStream, is_silent};
use crate::config::Reuse;
use crate::group::{Lease, NoServer, ServerIndex};
use crate::operate::access_log::REQUEST_LINE_MAX;
use crate::service::connect::{ConnectError, choose};
use crate::service::socket::acknowledge;

/// A request that can be sent.
pub(crate) struct Opened {
    exchange: Exchange,
    up: Output,
    lease: Lease,
    waits_for_continue: bool,
}

/// What came of a request on one server connection.
enum Relayed {
    /// The exchange is over; the word is for the access log.
    Over(After, &'static str),
    /// The server connection was dead: the request as it has to be written once more.
    Again(Output),
}

/// Why a request is answered here.
pub(crate) enum Refusal {
    /// It is malformed.
    Defective(Defect),
    /// Its head did not come in time.
    TimedOut,
    /// Nobody could carry it out.
    NoServer { error: NoServer, stay: bool, head_only: bool },
}

impl Connection<'_> {
    /// Reads the head that is so many bytes of the input, chooses a server and writes what it gets.
    pub(crate) fn open(&mut self, start: usize, end: usize) -> Result<Opened, Refusal> {
        let context = &self.context;
        self.requests += 1;
        context.counters().requests.add(1);
        let bytes = &self.input.bytes()[start..end];
        if context.log.is_some() {
            let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
            self.book.line = Some(line[..line.len().min(REQUEST_LINE_MAX)].into());
        }
        self.book.bytes_in += end as u64;
        let head = RequestHead::parse(bytes).map_err(Refusal::Defective)?;
        let lease = context.group.choose(&[]);
        let close = match (&lease, context.service.reuse) {
            (Ok(_), Reuse::Never) => !head.wants_persistence(),
            // What would not be kept is better closed by the server: its side then waits out TIME_WAIT.
            (Ok(lease), _) => !context.group.http.has_room(lease.index()),
            (Err(_), _) => true,
        };
        let policy = RequestPolicy {
            forwarded: context.service.forwarded.then(|| self.peer.ip()),
            close,
            host: self.host_for(&head),
        };
        let mut up = Output::new(&context.group.http.outputs);
        rewrite::write_request(bytes, &head, &policy, up.tail());
        let mut exchange = Exchange::new(bytes, &head);
        self.input.consume(end);
        // The content that has come with the head leaves with it.
        let content = exchange.request_bytes(self.input.bytes_mut()).map_err(Refusal::Defective)?;
        up.tail().extend_from_slice(&self.input.bytes()[..content.forward]);
        self.input.consume(content.consumed);
        self.book.bytes_in += content.consumed as u64;
        if !exchange.request_is_complete() {
            acknowledge(&self.client);
        }
        let waits_for_continue = head.expects_continue && !exchange.request_is_complete();
        match lease {
            Ok(lease) => Ok(Opened { exchange, up, lease, waits_for_continue }),
            Err(error) => {
                context.counters().connection_errors.add(1);
                let head_only = exchange.method() == Method::Head;
                Err(Refusal::NoServer { error, stay: exchange.may_answer_and_stay(), head_only })
            }
        }
    }

    /// What an HTTP/1.0 request without `Host` was sent to; needed for no other.
    fn host_for(&self, head: &RequestHead) -> SocketAddr {
        let listening = self.context.shared.address;
        if head.names_host() || !listening.ip().is_unspecified() {
            return listening;
        }
        self.client.local_addr().unwrap_or(listening)
    }

    /// Sends the request to its server and the response to the client, a second time if that is safe.
    pub(crate) async fn exchange(&mut self, opened: Opened) -> (After, &'static str) {
        let Opened { mut exchange, mut up, mut lease, waits_for_continue } = opened;
        let mut repeated = false;
        loop {
            let (server, reused) = match self.reach(&exchange, lease, &mut up, repeated).await {
                Ok((server, leased, reused)) => {
                    lease = leased;
                    (server, reused)
                }
                Err(error) => return Box::pin(self.not_connected(&exchange, &error)).await,
            };
            let server = server.ready_for(exchange.has_content());
            lease.counters().requests.add(1);
            let up_once = Up::new(up, reused, waits_for_continue);
            match self.relay(&mut exchange, server, &lease, up_once).await {
                Relayed::Over(after, word) => {
                    self.book.lease = Some(lease);
                    return (after, word);
                }
                Relayed::Again(request) => (up, repeated) = (request, true),
            }
            // A reload may have removed it meanwhile, and perhaps that is why its connection died.
            if !self.context.group.has(lease.index()) {
                match choose(&self.context) {
                    Ok(other) => lease = other,
                    Err(error) => return Box::pin(self.not_connected(&exchange, &error)).await,
                }
            }
        }
    }

    /// Runs one exchange on the server connection it was given.
    async fn relay(&mut self, exchange: &mut Exchange, server: ServerStream, lease: &Lease, up: Up) -> Relayed {
        let reused = up.keep;
        let mut relay = Relay {
            context: &self.context,
            exchange: &mut *exchange,
            client: &self.client,
            input: &mut self.input,
            server: &server.stream,
            lease,
            is_partial: &mut self.is_partial,
            up,
            down: Down::new(Output::new(&self.context.group.http.outputs)),
            since: Instant::now(),
        };
        let end = relay.run(&mut self.timer).await;
        *relay.is_partial = false;
        if reused && end == End::ServerClosed && relay.may_repeat() {
            // The server closed it before it saw this request, or nobody can tell the difference.
            let mut request = relay.up.output;
            request.rewind();
            return Relayed::Again(request);
        }
        let delivered = relay.request_is_delivered();
        let Relay { up: Up { received, ready, .. }, down, .. } = relay;
        self.input.consume(ready);
        self.book.bytes_in += received;
        self.book.bytes_out = down.sent;
        self.book.status = down.status;
        let served = Served { server, lease, down, delivered };
        let (after, word) = match end {
            End::Done => (self.keep(exchange, served), "ok"),
            // Boxed like all that is rare, so that the others do not pay for its state.
            _ => Box::pin(self.conclude(end, exchange, served)).await,
        };
        Relayed::Over(after, word)
    }

    /// A connection to the leased server: one that was kept, or a fresh one (then perhaps to another
    /// server) that has been given what is pending in `up`. The flag says that it was kept.
    async fn reach(
        &mut self,
        exchange: &Exchange,
        lease: Lease,
        up: &mut Output,
        fresh: bool,
    ) -> Result<(ServerStream, Lease, bool), ConnectError> {
        let kept = if fresh { None } else { self.kept_connection(lease.index(), exchange) };
        if let Some(server) = kept {
            lease.counters().reuses.add(1);
            return Ok((server, lease, true));
        }
        let (server, lease) = dial(&self.context, lease, up).await?;
        Ok((server, lease, false))
    }

    /// A connection to this server that has carried a request before, if the rules allow one.
    fn kept_connection(&mut self, server: ServerIndex, exchange: &Exchange) -> Option<ServerStream> {
        match self.context.service.reuse {
            Reuse::Never => {
                let at = self.own.iter().position(|(of, _)| *of == server)?;
                let (_, own) = self.own.remove(at);
                is_silent(&own.stream).then_some(own)
            }
            // Nobody could repeat the first request of a connection for its client.
            Reuse::Safe if self.requests <= 1 => None,
            Reuse::Safe | Reuse::Always => self.context.group.http.take(server, !exchange.may_repeat()),
        }
    }

    async fn not_connected(&mut self, exchange: &Exchange, error: &ConnectError) -> (After, &'static str) {
        let (status, end) = match error {
            ConnectError::NoServer(_) => (503, "no-server"),
            ConnectError::Failed { .. } | ConnectError::Local { .. } => (503, "connect-failed"),
            ConnectError::TimedOut { .. } => (504, "connect-timeout"),
        };
        tracing::debug!(service = self.context.service.name, peer = %self.peer, "{error}");
        let reason = if status == 504 { "no server answered the connect in time" } else { "no server can be reached" };
        let head_only = exchange.method() == Method::Head;
        (self.answer(status, reason, exchange.may_answer_and_stay(), head_only).await, end)
    }
}
