//! One client connection: a request after the other, each to a server of its own choice.
//!
//! Between requests it holds no buffer, only its socket and a timer. Whatever ends it is booked once
//! per request, in the counters and in the access log.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};

use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::attempt::Refusal;
use super::defect::Defect;
use super::input::Input;
use super::scan::{HeadScan, Scanned};
use super::servers::ServerStream;
use super::timer::poll_deadline;
use crate::group::{Lease, ServerIndex};
use crate::operate::access_log::Entry;
use crate::service::ServiceContext;
use crate::service::socket::{acknowledge, reset_on_close};

/// Most server connections kept for one client.
pub(crate) const OWN_MAX: usize = 16;

/// A client connection and what outlives its single requests.
pub(crate) struct Connection<'t> {
    pub(crate) client: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) context: Rc<ServiceContext>,
    pub(crate) timer: Pin<&'t mut Sleep>,
    /// What has come from the client and is not used yet.
    pub(crate) input: Input,
    /// Requests begun so far.
    pub(crate) requests: u64,
    /// The server connections that belong to this client alone (`reuse = "never"`), the one kept last
    /// at the end: at most one per server, and [`OWN_MAX`].
    pub(crate) own: Vec<(ServerIndex, ServerStream)>,
    pub(crate) book: Book,
    /// The client has a part of a response: if the connection is dropped now, by the end of the drain,
    /// it is reset, because a FIN would make a response that ends with its connection look whole.
    pub(crate) is_partial: bool,
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if self.is_partial {
            reset_on_close(&self.client);
        }
    }
}

/// What is booked about the running request.
pub(crate) struct Book {
    /// First byte of the request; while there is none, when waiting for it began.
    pub(crate) started: Instant,
    /// The request line, if there is a log.
    pub(crate) line: Option<Box<[u8]>>,
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) lease: Option<Lease>,
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
    /// It is malformed or was cut off.
    Defective(Defect),
    /// Its end did not come in time.
    TimedOut,
}

impl<'t> Connection<'t> {
    pub(crate) fn new(
        client: TcpStream,
        peer: SocketAddr,
        context: Rc<ServiceContext>,
        timer: Pin<&'t mut Sleep>,
    ) -> Self {
        let book = Book { started: Instant::now(), line: None, status: 0, bytes_in: 0, bytes_out: 0, lease: None };
        Self {
            client,
            peer,
            context,
            timer,
            input: Input::default(),
            requests: 0,
            own: Vec::new(),
            book,
            is_partial: false,
        }
    }

    /// Serves requests until the connection ends.
    pub(crate) async fn run(&mut self) {
        let after = loop {
            match self.serve_request().await {
                After::Stay => {}
                after => break after,
            }
        };
        match after {
            // Boxed, so that a connection does not pay for it before its end.
            After::Linger => Box::pin(self.linger()).await,
            After::Reset => reset_on_close(&self.client),
            After::Stay | After::Close => {}
        }
    }

    async fn serve_request(&mut self) -> After {
        let Some(heard) = self.hear().await else { return After::Close };
        // Boxed, so that an idle connection has no memory for the state of an exchange.
        let (after, end) = Box::pin(self.respond(heard)).await;
        self.record(end);
        after
    }

    async fn respond(&mut self, heard: Heard) -> (After, &'static str) {
        let refusal = match heard {
            Heard::Head { start, end } => match self.open(start, end) {
                Ok(opened) => return self.exchange(opened).await,
                Err(refusal) => refusal,
            },
            Heard::Defective(defect) => Refusal::Defective(defect),
            Heard::TimedOut => Refusal::TimedOut,
        };
        Box::pin(self.refuse(refusal)).await
    }

    /// Waits for the next request head; `None` when the connection ended, or was idle for too long,
    /// before a byte of it.
    async fn hear(&mut self) -> Option<Heard> {
        let context = Rc::clone(&self.context);
        let mut stirred = pin!(context.drain.stirred());
        self.forget_removed_servers();
        let mut scan = HeadScan::request();
        self.book.started = Instant::now();
        poll_fn(|cx| {
            let mut has_read = false;
            loop {
                let had_begun = scan.has_begun();
                let scanned = scan.advance(self.input.bytes());
                if has_read && !had_begun && (scan.has_begun() || scanned.is_err()) {
                    self.book.started = Instant::now();
                }
                match scanned {
                    Ok(Scanned::Complete { start, end }) => return Poll::Ready(Some(Heard::Head { start, end })),
                    Ok(Scanned::Partial) => self.forget_empty_line(&mut scan),
                    Err(defect) => return Poll::Ready(Some(Heard::Defective(defect))),
                }
                match self.input.poll_fill(&self.client, cx, &context.buffers) {
                    Poll::Ready(Ok(0)) if scan.has_begun() => {
                        return Poll::Ready(Some(Heard::Defective(Defect::Truncated)));
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                    Poll::Ready(Ok(count)) => {
                        context.counters().bytes_in.add(count as u64);
                        has_read = true;
                        continue;
                    }
                    Poll::Pending if has_read => acknowledge(&self.client),
                    Poll::Pending => {}
                }
                // A new connection may bring one request even now: its client could not know.
                let idle = !scan.has_begun() && self.requests > 0;
                while idle && stirred.as_mut().poll(cx).is_ready() {
                    if context.drain.is_draining() {
                        return Poll::Ready(None);
                    }
                    self.forget_removed_servers();
                    stirred.set(context.drain.stirred());
                }
                let timeouts = &context.service.timeouts;
                let patience = if scan.has_begun() { timeouts.client_head } else { timeouts.client_idle };
                ready!(poll_deadline(&mut self.timer, cx, self.book.started + patience));
                context.counters().timeouts.add(1);
                // An empty line alone is no request: a 408 could be taken for the answer to the next one.
                return Poll::Ready(scan.has_begun().then_some(Heard::TimedOut));
            }
        })
        .await
    }

    /// An empty line may precede a request (RFC 9112, 2.2). It begins none, so it is waited behind it like
    /// before it: without a buffer, and for as long.
    fn forget_empty_line(&mut self, scan: &mut HeadScan) {
        let count = scan.forget_empty_line();
        self.input.consume(count);
        self.book.bytes_in += count as u64;
    }

    fn forget_removed_servers(&mut self) {
        self.own.retain(|(server, _)| self.context.group.has(*server));
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
