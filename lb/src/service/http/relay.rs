//! Moves the bytes of one exchange between a client and the server chosen for it.
//!
//! Both directions are watched all the time: a server may answer before it has the whole request, a
//! client may go away while it waits. Each direction holds at most one buffer and reads again only
//! when that is written. Decisions are made in [`super::exchange`]; here are sockets and time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::defect::Defect;
use super::exchange::{Exchange, Forward, Step};
use super::input::Input;
use super::output::Output;
use super::response::ResponseHead;
use super::rewrite::{self, ClientConnection};
use super::scan::{HeadScan, Scanned};
use super::timer::poll_deadline;
use crate::group::Lease;
use crate::service::ServiceContext;
use crate::service::socket::poll_write_first;

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has the whole response.
    Done,
    /// The client has a 101; what follows is another protocol.
    Switched,
    /// The client's connection is broken.
    ClientReset,
    /// The client closed in the middle of its request.
    ClientClosed,
    /// The client does not take the response, or does not send the rest of its request.
    ClientTimeout,
    /// The request content is malformed.
    BadRequest(Defect),
    /// The server closed or reset the connection before the response was complete.
    ServerClosed,
    /// The server does not answer, or not go on.
    ServerTimeout,
    /// The response is malformed.
    BadResponse(Defect),
}

/// One exchange on its two connections.
pub(crate) struct Relay<'a> {
    pub(crate) context: &'a ServiceContext,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) client: &'a TcpStream,
    /// What has come from the client: request content, then the next request.
    pub(crate) input: &'a mut Input,
    pub(crate) server: &'a TcpStream,
    pub(crate) lease: &'a Lease,
    /// Set when the client has been sent a byte.
    pub(crate) is_partial: &'a mut bool,
    pub(crate) up: Up,
    pub(crate) down: Down,
    /// When bytes last moved.
    pub(crate) since: Instant,
}

/// The direction from the client to the server.
pub(crate) struct Up {
    /// The request head and the content that came with it.
    pub(crate) output: Output,
    /// Whether `output` is needed again if the server connection, which has been used before, turns out
    /// to be dead.
    pub(crate) keep: bool,
    /// Whether the client waits for `100 Continue` before it sends its content.
    waits_for_continue: bool,
    /// Bytes of request content read so far.
    pub(crate) received: u64,
    /// Bytes at the start of the client's input that are for the server.
    pub(crate) ready: usize,
    blocked: bool,
    /// The server takes no more of the request.
    dead: bool,
    /// The client has sent its FIN.
    client_ended: bool,
}

impl Up {
    pub(crate) fn new(output: Output, keep: bool, waits_for_continue: bool) -> Self {
        Self {
            output,
            keep,
            waits_for_continue,
            received: 0,
            ready: 0,
            blocked: false,
            dead: false,
            client_ended: false,
        }
    }
}

/// The direction from the server to the client.
pub(crate) struct Down {
    pub(crate) input: Input,
    /// Heads, and the content that goes out with them.
    pub(crate) output: Output,
    scan: HeadScan,
    /// Bytes at the start of `input` that are for the client.
    ready: usize,
    blocked: bool,
    switched: bool,
    /// Status of the response that counts, 0 before it.
    pub(crate) status: u16,
    /// Bytes the client has been sent.
    pub(crate) sent: u64,
}

impl Down {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            input: Input::default(),
            output,
            scan: HeadScan::response(),
            ready: 0,
            blocked: false,
            switched: false,
            status: 0,
            sent: 0,
        }
    }

    /// How many bytes came behind the response.
    pub(crate) fn excess(&self) -> usize {
        self.input.bytes().len()
    }

    /// Makes the bytes behind a 101 ready to be written: they are the other protocol's.
    pub(crate) fn take_excess(&mut self) {
        if !self.input.is_empty() {
            self.output.tail().extend_from_slice(self.input.bytes());
            self.input = Input::default();
        }
    }
}

/// What the exchange waits for, which says who is to blame when it waits too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    ClientTakes,
    ClientSends,
    ServerTakes,
    ServerAnswers,
    ServerSends,
}

impl Relay<'_> {
    /// Runs until the response is delivered or cannot be.
    pub(crate) async fn run(&mut self, timer: &mut Pin<&mut Sleep>) -> End {
        poll_fn(|cx| self.poll(cx, timer)).await
    }

    /// Whether the whole request has been given to the server.
    pub(crate) fn request_is_delivered(&self) -> bool {
        self.exchange.request_is_complete() && self.up.output.is_flushed() && self.up.ready == 0 && !self.up.dead
    }

    /// Whether the request may be sent once more, because the server cannot have begun to carry it out
    /// or would do the same again. Not once it has answered: the second answer would follow the first.
    pub(crate) fn may_repeat(&self) -> bool {
        !self.exchange.response_has_begun() && (self.exchange.may_repeat() || self.up.output.is_untouched())
    }

    /// Whether this connection has been used before and has not been given a byte of this request.
    fn is_unasked(&self) -> bool {
        self.up.keep && self.up.output.is_untouched()
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Pin<&mut Sleep>) -> Poll<End> {
        // The server first: an answer that is there already counts, whatever became of the request.
        if let Poll::Ready(end) = self.poll_down(cx) {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = self.poll_up(cx) {
            return Poll::Ready(end);
        }
        let wait = self.wait();
        ready!(poll_deadline(timer, cx, self.since + self.patience(wait)));
        self.context.counters().timeouts.add(1);
        let client_fails = matches!(wait, Wait::ClientTakes | Wait::ClientSends);
        Poll::Ready(if client_fails { End::ClientTimeout } else { End::ServerTimeout })
    }

    fn wait(&self) -> Wait {
        if self.down.ready > 0 || !self.down.output.is_flushed() {
            Wait::ClientTakes
        } else if self.exchange.is_answered() {
            Wait::ServerSends
        } else if self.up.dead {
            Wait::ServerAnswers
        } else if self.up.ready > 0 || !self.up.output.is_flushed() {
            Wait::ServerTakes
        } else if self.exchange.request_is_complete() || self.up.waits_for_continue {
            Wait::ServerAnswers
        } else {
            Wait::ClientSends
        }
    }

    fn patience(&self, wait: Wait) -> Duration {
        let timeouts = &self.context.service.timeouts;
        match wait {
            Wait::ClientTakes | Wait::ServerSends => timeouts.response_body,
            Wait::ClientSends => timeouts.client_body,
            Wait::ServerTakes | Wait::ServerAnswers => timeouts.response_head,
        }
    }

    /// Server to client, until a socket would block; ready when that is over.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if ready!(self.poll_deliver(cx)).is_err() {
                return Poll::Ready(End::ClientReset);
            }
            if self.down.switched {
                return Poll::Ready(End::Switched);
            }
            if self.exchange.response_is_complete() {
                return Poll::Ready(End::Done);
            }
            match ready!(self.down.input.poll_fill(self.server, cx, &self.context.buffers)) {
                Ok(0) => match self.exchange.response_ends() {
                    Ok(()) => return Poll::Ready(End::Done),
                    Err(_) => return Poll::Ready(End::ServerClosed),
                },
                // It cannot be an answer to what has not been asked; the connection is as good as closed.
                Ok(_) if self.is_unasked() => return Poll::Ready(End::ServerClosed),
                Ok(count) => self.lease.counters().bytes_out.add(count as u64),
                Err(_) => return Poll::Ready(End::ServerClosed),
            }
            self.exchange.response_begins();
            if let Err(defect) = self.take_response() {
                return Poll::Ready(End::BadResponse(defect));
            }
        }
    }

    /// Writes to the client what is ready for it.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let down = &mut self.down;
        let counters = self.context.counters();
        let before = down.sent;
        let (sent, since) = (&mut down.sent, &mut self.since);
        let flushed = down.output.poll_flush(self.client, cx, |count| *sent += count as u64);
        if *sent > before {
            *self.is_partial = true;
            *since = Instant::now();
            counters.bytes_out.add(*sent - before);
        }
        ready!(flushed)?;
        down.output.clear();
        while down.ready > 0 {
            let bytes = &down.input.bytes()[..down.ready];
            let count = ready!(poll_write_first(self.client, cx, bytes, &mut down.blocked))?;
            down.input.consume(count);
            down.ready -= count;
            down.sent += count as u64;
            self.since = Instant::now();
            counters.bytes_out.add(count as u64);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what has come from the server as heads and content, and prepares it for the client.
    fn take_response(&mut self) -> Result<(), Defect> {
        let begins = !self.exchange.is_answered();
        while !self.exchange.is_answered() && !self.down.switched {
            match self.down.scan.advance(self.down.input.bytes())? {
                Scanned::Partial => return Ok(()),
                Scanned::Complete { end, .. } => self.take_head(end)?,
            }
        }
        if self.down.switched {
            return Ok(());
        }
        let down = &mut self.down;
        let forward = self.exchange.response_bytes(down.input.bytes_mut())?;
        if begins {
            // Only now: content that is malformed from the start makes it another response, ours.
            self.context.counters().response(down.status);
        }
        if down.output.is_flushed() && forward.consumed == forward.forward {
            down.ready = forward.consumed;
        } else {
            // Behind its head, so that both go out in one write.
            let content = &down.input.bytes()[..forward.forward];
            down.output.tail().extend_from_slice(content);
            down.input.consume(forward.consumed);
        }
        // Between two pieces of a response the server has its time again.
        self.since = Instant::now();
        Ok(())
    }

    fn take_head(&mut self, end: usize) -> Result<(), Defect> {
        let down = &mut self.down;
        let bytes = &down.input.bytes()[..end];
        let head = ResponseHead::parse(bytes, self.exchange.method())?;
        let keep = !self.context.drain.is_draining();
        let (connection, strip) = match self.exchange.response_head(bytes, &head, keep)? {
            Step::Interim { forward: true } => (Some(ClientConnection::Implied), false),
            Step::Interim { forward: false } => (None, false),
            Step::Switch => (Some(ClientConnection::Upgrade), false),
            Step::Final { connection, strip } => (Some(connection), strip),
        };
        if let Some(connection) = connection {
            if !self.exchange.is_answered() {
                self.context.counters().response(head.status);
            }
            rewrite::write_response(bytes, &head, connection, strip, down.output.tail());
        }
        if !head.is_interim() {
            down.status = head.status;
            down.switched = head.status == 101;
        }
        down.input.consume(end);
        down.scan = HeadScan::response();
        self.up.waits_for_continue = false;
        self.since = Instant::now();
        Ok(())
    }

    /// Client to server, until a socket would block; ready only when the exchange has failed.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.up.dead {
                // Nobody takes the rest of the request; the server may still have said why.
                return Poll::Pending;
            }
            if ready!(self.poll_submit(cx)).is_err() {
                self.up.dead = true;
                return self.poll_down(cx);
            }
            if self.up.client_ended || !self.input.has_room() {
                return Poll::Pending;
            }
            // With the request complete this only watches: for an abort, and for the next request.
            let Ok(count) = ready!(self.input.poll_fill(self.client, cx, &self.context.buffers)) else {
                return Poll::Ready(End::ClientReset);
            };
            self.context.counters().bytes_in.add(count as u64);
            match (count, self.exchange.request_is_complete()) {
                (0, true) => self.up.client_ended = true,
                (0, false) => return Poll::Ready(End::ClientClosed),
                (_, true) => {}
                (_, false) => {
                    match self.exchange.request_bytes(self.input.bytes_mut()) {
                        Ok(content) => {
                            self.up.received += content.consumed as u64;
                            self.take_content(content);
                        }
                        Err(defect) => return Poll::Ready(End::BadRequest(defect)),
                    }
                    self.up.waits_for_continue = false;
                    self.since = Instant::now();
                }
            }
        }
    }

    /// Prepares request content for the server.
    fn take_content(&mut self, content: Forward) {
        if content.forward == content.consumed {
            self.up.ready = content.consumed;
        } else {
            self.up.output.tail().extend_from_slice(&self.input.bytes()[..content.forward]);
            self.input.consume(content.consumed);
        }
    }

    /// Writes to the server what is ready for it.
    fn poll_submit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let counters = self.lease.counters();
        let since = &mut self.since;
        let flushed = self.up.output.poll_flush(self.server, cx, |count| {
            counters.bytes_in.add(count as u64);
            *since = Instant::now();
        });
        ready!(flushed)?;
        if !self.up.keep {
            self.up.output.clear();
        }
        while self.up.ready > 0 {
            let bytes = &self.input.bytes()[..self.up.ready];
            let count = ready!(poll_write_first(self.server, cx, bytes, &mut self.up.blocked))?;
            self.input.consume(count);
            self.up.ready -= count;
            counters.bytes_in.add(count as u64);
            self.since = Instant::now();
        }
        Poll::Ready(Ok(()))
    }
}
