//! Requests through the core, in any pieces: nothing panics or grows, and what a server gets is what
//! the strict parser finds in what the client sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::defect::Defect;
use super::super::exchange::Exchange;
use super::super::head::RequestHead;
use super::super::rewrite::{self, RequestPolicy};
use super::super::scan::{HEAD_MAX, HeadScan, Scanned};
use super::forwarded::{Hop, check_request};
use super::random::{Random, seeds};
use super::strict::{self, Message, Tail};
use super::{TRAILER_NAME_MAX, corpus};

const POLICY: RequestPolicy = RequestPolicy {
    forwarded: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    close: false,
    host: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80),
};
const HOP: Hop<'static> = Hop { client: "127.0.0.1", host: "127.0.0.1:80" };
/// Most bytes by which a head may grow.
const ADDED_MAX: usize = 128;

/// A client connection without sockets.
struct Core {
    input: Vec<u8>,
    scan: HeadScan,
    exchange: Option<Exchange>,
    /// What the servers get, request by request; the last one is `exchange`, if there is one.
    forwarded: Vec<Vec<u8>>,
    defect: Option<Defect>,
    added: usize,
}

/// What does not depend on the pieces in which the bytes came.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The requests that are complete.
    whole: Vec<Vec<u8>>,
    /// The head and the beginning of one that is not; if it is defective, the head only.
    partial: Option<Vec<u8>>,
    waiting: usize,
    defect: Option<Defect>,
}

impl Core {
    fn new() -> Self {
        let scan = HeadScan::request();
        Self { input: Vec::new(), scan, exchange: None, forwarded: Vec::new(), defect: None, added: 0 }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.defect.is_none() {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(defect) => self.defect = Some(defect),
            }
        }
    }

    /// One head or one piece of content; whether there may be more.
    fn step(&mut self) -> Result<bool, Defect> {
        let Some(exchange) = &mut self.exchange else {
            let Scanned::Complete { start, end } = self.scan.advance(&self.input)? else {
                assert!(self.input.len() < HEAD_MAX, "a head without end is bounded");
                return Ok(false);
            };
            let head = RequestHead::parse(&self.input[start..end])?;
            let mut out = Vec::new();
            rewrite::write_request(&self.input[start..end], &head, &POLICY, &mut out);
            self.added = self.added.max(out.len().saturating_sub(end - start));
            self.exchange = Some(Exchange::new(&self.input[start..end], &head));
            self.forwarded.push(out);
            self.input.drain(..end);
            self.scan = HeadScan::request();
            return Ok(true);
        };
        let content = exchange.request_bytes(&mut self.input)?;
        let forwarded = self.forwarded.last_mut().expect("it belongs to the exchange");
        forwarded.extend_from_slice(&self.input[..content.forward]);
        self.input.drain(..content.consumed);
        if !exchange.request_is_complete() {
            assert!(self.input.len() <= TRAILER_NAME_MAX, "only the name of a trailer is held back");
            return Ok(false);
        }
        self.exchange = None;
        Ok(true)
    }

    fn outcome(mut self) -> Outcome {
        let mut partial = self.exchange.and_then(|_| self.forwarded.pop());
        if self.defect.is_some() {
            // How much of it went out before the defect was seen depends on the pieces.
            partial = partial.map(|bytes| {
                let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("it has a head") + 4;
                assert_eq!(strict::request(&bytes), Ok(None), "a defective request is never whole");
                bytes[..end].to_vec()
            });
            self.input.clear();
        }
        Outcome { whole: self.forwarded, partial, waiting: self.input.len(), defect: self.defect }
    }
}

fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut core = Core::new();
    for piece in pieces {
        core.feed(piece);
    }
    assert!(core.added <= ADDED_MAX, "{} bytes were added to a head", core.added);
    core.outcome()
}

fn check_splits(bytes: &[u8], whole: &Outcome, seed: u64) {
    for split in 0..=bytes.len() {
        let (first, second) = bytes.split_at(split);
        assert_eq!(&in_pieces([first, second]), whole, "seed {seed}: split at {split} of {}", bytes.escape_ascii());
    }
    assert_eq!(&in_pieces(bytes.chunks(1)), whole, "seed {seed}: byte by byte {}", bytes.escape_ascii());
}

/// Compares with the strict parser; whether the core let all pass.
fn check_meaning(bytes: &[u8], found: &Outcome, seed: u64) {
    let told = |what: &str| format!("seed {seed}: {what}: {} became {found:?}", bytes.escape_ascii());
    let (meant, tail) = strict::requests(bytes);
    assert!(found.whole.len() <= meant.len(), "{}", told("a request that nobody sent"));
    for (client, server) in meant.iter().zip(&found.whole) {
        check_forwarded(client, server).unwrap_or_else(|why| panic!("{}", told(&why)));
    }
    if let Some(defect) = found.defect.filter(|_| meant.len() > found.whole.len()) {
        // A comma in a host, whitespace around a chunk extension, and sizes: nothing else that is sound.
        let by_choice = [Defect::BadHost, Defect::BadChunkSize, Defect::BadChunkExtension, Defect::TraceContent];
        let by_size = [Defect::HeadTooLarge, Defect::TargetTooLong, Defect::TooManyFields, Defect::TrailerTooLarge];
        assert!(by_choice.contains(&defect) || by_size.contains(&defect), "{}", told("a sound request was refused"));
    }
    if found.defect.is_none() {
        assert_eq!(found.whole.len(), meant.len(), "{}", told("a request was held back"));
        let waits = found.partial.is_some() || found.waiting > 0;
        assert_eq!(tail, if waits { Tail::Partial } else { Tail::Empty }, "{}", told("laxer than the grammar"));
    }
}

fn check_forwarded(client: &Message, server: &[u8]) -> Result<(), String> {
    let again = strict::request(server)?.ok_or("what is forwarded is not whole")?;
    if again.length != server.len() {
        return Err("more than one request was forwarded as one".to_owned());
    }
    check_request(client, &again, &HOP)
}

#[test]
fn what_a_server_gets_is_what_the_client_sent() {
    let (mut whole, mut refused, mut waiting) = (0, 0, 0);
    for seed in seeds("requests", 40_000) {
        let bytes = corpus::request_stream(&mut Random::new(seed));
        let found = in_pieces([&bytes[..]]);
        check_meaning(&bytes, &found, seed);
        whole += found.whole.len();
        refused += usize::from(found.defect.is_some());
        waiting += usize::from(found.defect.is_none() && (found.partial.is_some() || found.waiting > 0));
    }
    println!("{whole} requests whole, {refused} streams refused, {waiting} unfinished");
    assert!(whole > refused && refused > 100 && waiting > 10, "{whole}, {refused}, {waiting}: this tests nothing");
}

#[test]
fn a_request_is_the_same_wherever_its_bytes_are_split() {
    for seed in seeds("request splits", 1_500) {
        let bytes = corpus::request_stream(&mut Random::new(seed));
        check_splits(&bytes, &in_pieces([&bytes[..]]), seed);
    }
}

#[test]
fn heads_at_the_edge_of_what_fits_are_the_same_in_any_pieces() {
    for seed in seeds("long heads", 60) {
        let mut random = Random::new(seed);
        let room = HEAD_MAX - 40 + random.below(40);
        let line = format!("GET /{} HTTP/1.1\r\n", "p".repeat(if random.once_in(3) { room - 60 } else { 5 }));
        let fields = match random.below(2) {
            0 => "N: v\r\n".repeat(95 + random.below(8)),
            _ => format!("A: {}\r\n", "a".repeat(room.saturating_sub(line.len() + 20))),
        };
        let bytes = format!("{line}Host: h\r\n{fields}\r\n").into_bytes();
        let whole = in_pieces([&bytes[..]]);
        check_meaning(&bytes, &whole, seed);
        let near = [1, 17, HEAD_MAX - 1, HEAD_MAX, HEAD_MAX + 1].map(|at| at.min(bytes.len()));
        for split in near {
            assert_eq!(in_pieces([&bytes[..split], &bytes[split..]]), whole, "seed {seed}: split at {split}");
        }
    }
}
