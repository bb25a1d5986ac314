//! The fast path: one read, one parse, one write.
//!
//! [`Connection::turn`] reads what is there and answers every plain request in it. What it cannot
//! answer at once (a body, a delay, a chunked or large response, a queue) it hands over whole,
//! before anything of it is counted. It never waits, and on its usual way it allocates nothing.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;

use wire::body;

use super::answer::{self, Framing, Label};
use super::head::{self, Head, Parsed, Refusal};
use super::{Connection, Socket};
use crate::behaviour::{Asked, ResetAt};
use crate::books::End;
use crate::cap::Admission;
use crate::config::CapUnit;
use crate::server::Worker;

/// What a connection does next.
pub(super) enum Next {
    /// Wait for bytes.
    Read,
    /// Wait until the rest of an answer can be sent.
    Write(Unsent),
    /// Go on with hyper, which gets these bytes first.
    Whole(Vec<u8>),
    /// Take what the peer still sends, then close.
    Linger,
    /// Close.
    End(End),
}

/// What could not be sent at once of an answer, and what follows it.
pub(super) struct Unsent {
    head: Vec<u8>,
    body: &'static [u8],
    after: After,
}

/// What is booked and done once an answer has been sent.
#[derive(Clone, Copy)]
struct After {
    status: u16,
    check: bool,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Keep,
    Close,
    Linger,
}

/// What a thread keeps for its connections.
#[derive(Default)]
struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
    date: String,
    date_s: u64,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// The `Date` header's value; made anew once per second.
    fn date(&mut self, now_ns: u64) {
        let second = now_ns / 1_000_000_000;
        if second != self.date_s {
            self.date_s = second;
            self.date = host::clock::http_date();
        }
    }
}

impl Connection {
    /// Reads once and answers every plain request that is then complete.
    pub(super) fn turn(&mut self, socket: &Socket) -> Next {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut input = std::mem::take(&mut scratch.input);
            // Cloned once per turn, so that the parts of the turn can borrow it beside the connection.
            let worker = Arc::clone(&self.worker);
            input.resize(worker.shared.config.limits.head_bytes, 0);
            let next = self.turn_in(&worker, socket, &mut input, scratch);
            scratch.input = input;
            next
        })
    }

    fn turn_in(&mut self, worker: &Worker, socket: &Socket, input: &mut [u8], scratch: &mut Scratch) -> Next {
        let mut filled = self.carried.len();
        input[..filled].copy_from_slice(&self.carried);
        if !std::mem::take(&mut self.backlog) {
            match socket.read(&mut input[filled..]) {
                Ok(0) => return Next::End(End::ClosedByPeer),
                Ok(read) => {
                    self.books.bytes_in(read);
                    filled += read;
                }
                Err(error) if is_retry(&error) => return Next::Read,
                Err(_) => return Next::End(End::ResetByPeer),
            }
        }
        self.active_ns = host::clock::monotonic_ns();
        let mut at = 0;
        let next = loop {
            if at == filled {
                break Next::Read;
            }
            match head::parse(&input[at..filled], &worker.shared.config.checks) {
                Parsed::Partial => break self.keep_partial(&input[at..filled], at == 0, socket),
                Parsed::Refused(refusal) => break self.refuse(socket, &refusal),
                Parsed::Complete(head) => {
                    // Here and not after the answer, which may block: the time of the next head
                    // begins with its own first byte.
                    self.head_since_ns = None;
                    let Some(step) = self.answer(worker, socket, &head, scratch) else {
                        break Next::Whole(input[at..filled].to_vec());
                    };
                    at += head.len;
                    if !matches!(step, Next::Read) {
                        break step;
                    }
                }
            }
        };
        self.carry(&input[at..filled], &next);
        next
    }

    /// Notes when an incomplete head began, and refuses one that is too large to become complete.
    fn keep_partial(&mut self, bytes: &[u8], is_first: bool, socket: &Socket) -> Next {
        let limit = self.worker.shared.config.limits.head_bytes;
        if bytes.len() >= limit {
            return self.refuse(socket, &head::too_large(bytes, limit));
        }
        if !is_first || self.head_since_ns.is_none() {
            self.head_since_ns = Some(self.active_ns);
        }
        Next::Read
    }

    fn carry(&mut self, rest: &[u8], next: &Next) {
        if rest.is_empty() {
            if !self.carried.is_empty() {
                // An idle connection holds no buffer.
                self.carried = Vec::new();
            }
        } else if matches!(next, Next::Read | Next::Write(_)) {
            self.carried.clear();
            self.carried.extend_from_slice(rest);
            self.backlog = matches!(next, Next::Write(_));
        }
    }

    /// Answers one request; `None` if it is not for the fast path.
    fn answer(&mut self, worker: &Worker, socket: &Socket, head: &Head<'_>, scratch: &mut Scratch) -> Option<Next> {
        if !head.is_plain {
            return None;
        }
        let shared = &worker.shared;
        let asked = Asked::parse_target(head.target).ok()?;
        if asked.reset == Some(ResetAt::Accept) {
            self.books.request(head.check, self.active_ns);
            return Some(Next::End(End::ResetByReflector));
        }
        let cap = shared.cap.as_ref().filter(|cap| !head.check && cap.counts(CapUnit::Requests));
        if !shared.policy.is_immediate(&asked, body::TABLE_LEN as u64)
            || cap.is_some_and(|cap| cap.queues())
            || !shared.stall_remaining(self.active_ns, !head.check).is_zero()
        {
            return None;
        }
        self.requests += 1;
        self.books.request(head.check, self.active_ns);
        if cap.is_some_and(|cap| !matches!(cap.admit(self.active_ns), Admission::Now)) {
            let refusal = Refusal::new(503, "the rate cap is reached");
            let keep = head.keep_alive && !shared.is_stopping();
            let then = if keep { Then::Keep } else { Then::Close };
            return Some(self.send_text(socket, &refusal, then, connection_option(keep, head), head.is_head));
        }
        let number = if !head.check && shared.policy.needs_number(&asked) { shared.draw_number() } else { 0 };
        let behaviour = shared.policy.decide(&asked, number, head.check);
        let keep = (head.keep_alive || behaviour.keep) && !behaviour.close && !shared.is_stopping();
        let framing = Framing {
            status: behaviour.status,
            length: behaviour.size,
            no_cache: behaviour.no_cache,
            connection: connection_option(keep, head),
        };
        let bodiless = head.is_head || answer::is_bodiless(behaviour.status);
        let length = if bodiless { 0 } else { behaviour.size as usize };
        scratch.date(self.active_ns);
        scratch.output.clear();
        answer::push_head(&mut scratch.output, framing, self.label(worker), &scratch.date);
        let then = if keep { Then::Keep } else { Then::Close };
        let after = After { status: behaviour.status, check: head.check, then };
        Some(self.send(socket, &scratch.output, body::window(head.nonce, 0, length), after))
    }

    fn label<'a>(&self, worker: &'a Worker) -> Label<'a> {
        Label {
            instance: &worker.shared.config.instance,
            peer: self.peer,
            connection: self.books.number(),
            request: self.requests,
        }
    }

    /// Sends head and body in one system call, or as much of them as the socket takes.
    fn send(&self, socket: &Socket, head: &[u8], body: &'static [u8], after: After) -> Next {
        let sent = match socket.write(&[IoSlice::new(head), IoSlice::new(body)]) {
            Ok(sent) => sent,
            Err(error) if is_retry(&error) => 0,
            Err(_) => return Next::End(End::ResetByPeer),
        };
        self.books.bytes_out(sent);
        if sent == head.len() + body.len() {
            return after.book(self);
        }
        let of_head = sent.min(head.len());
        Next::Write(Unsent { head: head[of_head..].to_vec(), body: &body[sent - of_head..], after })
    }

    /// Refuses a request with a reason in plain text, and closes.
    pub(super) fn refuse(&mut self, socket: &Socket, refusal: &Refusal) -> Next {
        self.books.bad_request();
        self.requests += 1;
        self.send_text(socket, refusal, Then::Linger, Some("close"), false)
    }

    fn send_text(
        &self,
        socket: &Socket,
        refusal: &Refusal,
        then: Then,
        connection: Option<&'static str>,
        head_only: bool,
    ) -> Next {
        let text = format!("{}\n", refusal.reason);
        let framing = Framing { status: refusal.status, length: text.len() as u64, no_cache: false, connection };
        let mut out = Vec::new();
        answer::push_head(&mut out, framing, self.label(&self.worker), &host::clock::http_date());
        if !head_only {
            out.extend_from_slice(text.as_bytes());
        }
        self.send(socket, &out, &[], After { status: refusal.status, check: false, then })
    }

    /// Sends on; `Ok(true)` when all has been sent.
    pub(super) fn push(&self, socket: &Socket, unsent: &mut Unsent) -> Result<bool, End> {
        match socket.write(&[IoSlice::new(&unsent.head), IoSlice::new(unsent.body)]) {
            Ok(sent) => {
                self.books.bytes_out(sent);
                let of_head = sent.min(unsent.head.len());
                unsent.head.drain(..of_head);
                unsent.body = &unsent.body[sent - of_head..];
                Ok(unsent.head.is_empty() && unsent.body.is_empty())
            }
            Err(error) if is_retry(&error) => Ok(false),
            Err(_) => Err(End::ResetByPeer),
        }
    }
}

impl Unsent {
    /// What follows once all has been sent.
    pub(super) fn sent(self, connection: &Connection) -> Next {
        self.after.book(connection)
    }
}

impl After {
    fn book(self, connection: &Connection) -> Next {
        connection.books.response(self.status, self.check);
        match self.then {
            Then::Keep => Next::Read,
            Then::Close => Next::End(End::ClosedByReflector),
            Then::Linger => Next::Linger,
        }
    }
}

/// What `Connection` has to say, by the rule of the request's version.
fn connection_option(keep: bool, head: &Head<'_>) -> Option<&'static str> {
    match (keep, head.is_http_11) {
        (true, true) => None,
        (true, false) => Some("keep-alive"),
        (false, _) => Some("close"),
    }
}

fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;
    use crate::config::Config;
    use crate::server::{EarlyReads, Shared};

    /// A connection and both ends of its stream; the sending buffer holds less than one large answer.
    fn connection() -> (Connection, Socket, TcpStream) {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&client).set_recv_buffer_size(1).unwrap();
        socket2::SockRef::from(&stream).set_send_buffer_size(1).unwrap();
        let shared = Arc::new(Shared::new(Config::new("r1", address)));
        let books = Arc::clone(&shared.library.threads[0]);
        let page = books.enter(&shared.library.gate, 1).unwrap();
        let worker = Arc::new(Worker { shared, books, early: EarlyReads::default() });
        (Connection::again(worker, page, peer, 0), Socket::Fresh(stream), client)
    }

    #[test]
    fn the_time_of_a_head_is_over_when_it_is_complete_even_if_its_answer_blocks() {
        let (mut connection, socket, mut client) = connection();
        client.write_all(b"GET /?s=64k HTTP/1.1\r\nHo").unwrap();
        assert!(matches!(connection.turn(&socket), Next::Read));
        assert!(connection.head_since_ns.is_some());
        client.write_all(b"st: a\r\n\r\n").unwrap();
        let Next::Write(mut unsent) = connection.turn(&socket) else { panic!("64 KiB went into a tiny buffer") };
        assert_eq!(connection.head_since_ns, None);
        client.set_nonblocking(true).unwrap();
        let mut bytes = vec![0; 4096];
        while !connection.push(&socket, &mut unsent).unwrap() {
            let _ = client.read(&mut bytes);
        }
        assert!(matches!(unsent.sent(&connection), Next::Read));
        assert_eq!(connection.head_since_ns, None, "an idle connection would be refused as too slow a head");
    }
}
