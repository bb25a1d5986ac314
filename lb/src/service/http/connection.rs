//! One client connection: a request after the other, each to a server of its own choice.
//!
//! Between requests it holds no buffer, only its socket and a timer. Whatever ends it is booked once
//! per request, in the counters and in the access log.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::defect::Defect;
use super::dial::dial;
use super::exchange::Exchange;
use super::head::{Method, RequestHead};
use super::input::Input;
use super::outcome::Served;
use super::output::Output;
use super::relay::{Down, End, Relay};
use super::reply::Reply;
use super::rewrite::{self, RequestPolicy};
use super::scan::{HeadScan, Scanned};
use super::servers::{ServerStream, is_silent};
use super::timer::poll_deadline;
use crate::config::Reuse;
use crate::group::{Lease, ServerIndex};
use crate::operate::access_log::{Entry, REQUEST_LINE_MAX};
use crate::service::ServiceContext;
use crate::service::connect::ConnectError;
use crate::service::socket::{reset_on_close, send_fin};

/// How long a client may take to read an answer that ends its connection while it still sends.
const LINGER: Duration = Duration::from_secs(2);

/// A client connection and what outlives its single requests.
pub(crate) struct Connection<'t> {
    pub(crate) client: TcpStream,
    peer: SocketAddr,
    pub(crate) context: Rc<ServiceContext>,
    timer: Pin<&'t mut Sleep>,
    input: Input,
    /// Requests begun so far.
    requests: u64,
    /// The server connection that belongs to this client alone (`reuse = "never"`).
    pub(crate) own: Option<(ServerIndex, ServerStream)>,
    pub(crate) book: Book,
}

/// What is booked about the running request.
pub(crate) struct Book {
    /// First byte of the request.
    pub(crate) started: Instant,
    line: Option<Box<[u8]>>,
    status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    lease: Option<Lease>,
}

/// What becomes of the client connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Another request may follow.
    Stay,
    /// All has been said and heard.
    Close,
    /// The client may still be sending; a close at once could destroy what it has been told.
    Linger,
    /// The client must not take what it got for the whole.
    Reset,
}

/// What a wait for a request head came to.
enum Heard {
    /// The head is so many bytes of the input.
    Head { start: usize, end: usize },
    /// The connection ended, or was idle for too long, before a byte of it.
    Nothing,
    /// It is malformed or was cut off.
    Defective(Defect),
    /// Its end did not come in time.
    TimedOut,
}

/// A request that can be sent.
struct Opened {
    exchange: Exchange,
    up: Output,
    lease: Lease,
    waits_for_continue: bool,
}

/// Why a request is answered here.
enum Refusal {
    Defective(Defect),
    NoServer { reason: String, stay: bool, head_only: bool },
}

impl<'t> Connection<'t> {
    pub(crate) fn new(
        client: TcpStream,
        peer: SocketAddr,
        context: Rc<ServiceContext>,
        timer: Pin<&'t mut Sleep>,
    ) -> Self {
        let book = Book { started: Instant::now(), line: None, status: 0, bytes_in: 0, bytes_out: 0, lease: None };
        Self { client, peer, context, timer, input: Input::default(), requests: 0, own: None, book }
    }

    /// Serves requests until the connection ends.
    pub(crate) async fn run(mut self) {
        let after = loop {
            match self.serve_request().await {
                After::Stay => {}
                after => break after,
            }
        };
        match after {
            After::Linger => self.linger().await,
            After::Reset => reset_on_close(&self.client),
            After::Stay | After::Close => {}
        }
    }

    async fn serve_request(&mut self) -> After {
        let (after, end) = match self.hear().await {
            Heard::Nothing => return After::Close,
            Heard::Defective(defect) => (self.refuse(defect).await, "bad-request"),
            Heard::TimedOut => {
                (self.answer(408, "the request head did not come in time", false, false).await, "client-timeout")
            }
            Heard::Head { start, end } => match self.open(start, end) {
                Ok(opened) => self.exchange(opened).await,
                Err(Refusal::Defective(defect)) => (self.refuse(defect).await, "bad-request"),
                Err(Refusal::NoServer { reason, stay, head_only }) => {
                    (self.answer(503, &reason, stay, head_only).await, "no-server")
                }
            },
        };
        self.record(end);
        after
    }

    /// Waits for the next request head.
    async fn hear(&mut self) -> Heard {
        let context = Rc::clone(&self.context);
        let mut drained = pin!(context.drain.begun());
        let mut scan = HeadScan::request();
        self.book.started = Instant::now();
        poll_fn(|cx| {
            loop {
                match scan.advance(self.input.bytes()) {
                    Ok(Scanned::Complete { start, end }) => return Poll::Ready(Heard::Head { start, end }),
                    Ok(Scanned::Partial) => {}
                    Err(defect) => return Poll::Ready(Heard::Defective(defect)),
                }
                let begun = !self.input.is_empty();
                match self.input.poll_fill(&self.client, cx, &context.buffers) {
                    Poll::Ready(Ok(0)) if scan.has_begun() => return Poll::Ready(Heard::Defective(Defect::Truncated)),
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Heard::Nothing),
                    Poll::Ready(Ok(count)) => {
                        context.counters().bytes_in.add(count as u64);
                        if !begun {
                            self.book.started = Instant::now();
                        }
                        continue;
                    }
                    Poll::Pending => {}
                }
                // A new connection may bring one request even now: its client could not know.
                let idle = !begun && self.requests > 0;
                if idle && (context.drain.is_draining() || drained.as_mut().poll(cx).is_ready()) {
                    return Poll::Ready(Heard::Nothing);
                }
                let timeouts = &context.service.timeouts;
                let patience = if begun { timeouts.client_head } else { timeouts.client_idle };
                ready!(poll_deadline(&mut self.timer, cx, self.book.started + patience));
                context.counters().timeouts.add(1);
                return Poll::Ready(if begun { Heard::TimedOut } else { Heard::Nothing });
            }
        })
        .await
    }

    /// Reads the head, chooses a server and writes what it gets.
    fn open(&mut self, start: usize, end: usize) -> Result<Opened, Refusal> {
        let context = &self.context;
        self.requests += 1;
        context.counters().requests.add(1);
        let bytes = &self.input.bytes()[start..end];
        if context.log.is_some() {
            let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
            self.book.line = Some(line[..line.len().min(REQUEST_LINE_MAX)].into());
        }
        self.book.bytes_in = end as u64;
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
        let mut exchange = Exchange::new(&head);
        self.input.consume(end);
        // The content that has come with the head leaves with it.
        let content = exchange.request_bytes(self.input.bytes()).map_err(Refusal::Defective)?;
        up.tail().extend_from_slice(&self.input.bytes()[..content]);
        self.input.consume(content);
        self.book.bytes_in += content as u64;
        let waits_for_continue = head.expects_continue && !exchange.request_is_complete();
        match lease {
            Ok(lease) => Ok(Opened { exchange, up, lease, waits_for_continue }),
            Err(error) => {
                context.counters().connection_errors.add(1);
                let head_only = exchange.method() == Method::Head;
                Err(Refusal::NoServer { reason: error.to_string(), stay: exchange.may_answer_and_stay(), head_only })
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

    async fn exchange(&mut self, opened: Opened) -> (After, &'static str) {
        let Opened { mut exchange, mut up, mut lease, waits_for_continue } = opened;
        let mut repeated = false;
        loop {
            let kept = if repeated { None } else { self.kept_connection(lease.index()) };
            let reused = kept.is_some();
            let mut server = match kept {
                Some(server) => server,
                None => match dial(&self.context, lease, &mut up).await {
                    Ok((server, leased)) => {
                        lease = leased;
                        server
                    }
                    Err(error) => return self.not_connected(&exchange, &error).await,
                },
            };
            if !server.nodelay && exchange.has_content() {
                // Fails only on a connection that is already gone, which the next read or write will show.
                let _ = server.stream.set_nodelay(true);
                server.nodelay = true;
            }
            lease.counters().requests.add(1);
            lease.counters().reuses.add(u64::from(reused));
            let mut relay = Relay {
                context: &self.context,
                exchange: &mut exchange,
                client: &self.client,
                input: &mut self.input,
                server: &server.stream,
                lease: &lease,
                up: &mut up,
                keep_up: reused && !repeated,
                down: Down::new(Output::new(&self.context.group.http.outputs)),
                waits_for_continue,
                since: Instant::now(),
                received: 0,
                up_ready: 0,
                up_blocked: false,
                up_dead: false,
                client_ended: false,
            };
            let end = relay.run(&mut self.timer).await;
            let unsent = relay.up.is_untouched();
            if end == End::ServerClosed && reused && !repeated && (relay.exchange.may_repeat() || unsent) {
                // The server closed it before it saw this request, or nobody can tell the difference.
                repeated = true;
                up.rewind();
                continue;
            }
            let delivered = relay.request_is_delivered();
            let leftover = relay.up_ready;
            self.book.bytes_in += relay.received;
            let down = relay.down;
            self.input.consume(leftover);
            self.book.bytes_out = down.sent;
            self.book.status = down.status;
            let result = self.conclude(end, &exchange, Served { server, lease: &lease, down, delivered }).await;
            self.book.lease = Some(lease);
            return result;
        }
    }

    /// A connection to this server that has carried a request before, if the rules allow one.
    fn kept_connection(&mut self, server: ServerIndex) -> Option<ServerStream> {
        match self.context.service.reuse {
            Reuse::Never => {
                let (of, own) = self.own.take()?;
                (of == server && is_silent(&own.stream)).then_some(own)
            }
            // Nobody could repeat the first request of a connection for its client.
            Reuse::Safe if self.requests <= 1 => None,
            Reuse::Safe | Reuse::Always => self.context.group.http.take(server),
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

    async fn refuse(&mut self, defect: Defect) -> After {
        self.answer(defect.status(), &defect.to_string(), false, false).await
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

    /// Sends what the client sent ahead to a server that has switched protocols; whether it was taken.
    pub(crate) async fn send_input_to(&mut self, server: &ServerStream) -> bool {
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

    /// Whether nothing of what the client has sent is left unread here.
    pub(crate) fn has_read_all(&self) -> bool {
        self.input.is_empty()
    }

    /// Tells the client that no more follows, and reads on for a while: a close with bytes unread
    /// makes the kernel send a reset, which can overtake the answer (RFC 9112, 9.6).
    async fn linger(&mut self) {
        send_fin(&self.client);
        let deadline = Instant::now() + LINGER;
        poll_fn(|cx| {
            loop {
                self.input = Input::default();
                match self.input.poll_fill(&self.client, cx, &self.context.buffers) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    // Time is looked at here too: a client that never stops must not keep us.
                    Poll::Ready(Ok(_)) if deadline <= Instant::now() => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => return poll_deadline(&mut self.timer, cx, deadline),
                }
            }
        })
        .await;
    }

    fn record(&mut self, end: &'static str) {
        let lease = self.book.lease.take();
        let line = self.book.line.take();
        if let Some(log) = &self.context.log {
            log.record(Entry {
                service: self.context.service.clone(),
                peer: self.peer,
                server: lease.as_ref().map(|lease| lease.server().clone()),
                request: line,
                status: self.book.status,
                bytes_in: self.book.bytes_in,
                bytes_out: self.book.bytes_out,
                duration: self.book.started.elapsed(),
                end,
            });
        }
        (self.book.status, self.book.bytes_in, self.book.bytes_out) = (0, 0, 0);
    }
}
