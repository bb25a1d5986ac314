//! Responses through the core, in any pieces: what a client gets is what the strict parser finds in
//! what the server sent, and nothing after the answer that was asked for.

use super::super::defect::Defect;
use super::super::exchange::{Exchange, Step};
use super::super::head::RequestHead;
use super::super::response::ResponseHead;
use super::super::rewrite::{self, ClientConnection};
use super::super::scan::{HEAD_MAX, HeadScan, Scanned};
use super::forwarded::check_response;
use super::random::{Random, seeds};
use super::strict::{self, Framing, Message};
use super::{TRAILER_NAME_MAX, corpus};

/// The requests that are answered.
const ASKED: [&[u8]; 6] = [
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];

/// A server connection that has been given one request.
struct Core {
    exchange: Exchange,
    input: Vec<u8>,
    scan: HeadScan,
    /// What the client gets.
    out: Vec<u8>,
    switched: bool,
    defect: Option<Defect>,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    /// What the client got, unless the response is defective: how much of it got through depends on
    /// the pieces then.
    out: Vec<u8>,
    /// What followed the response.
    excess: usize,
    complete: bool,
    switched: bool,
    persists: [bool; 2],
    defect: Option<Defect>,
}

impl Core {
    fn new(asked: &[u8]) -> Self {
        Self {
            exchange: Exchange::new(asked, &RequestHead::parse(asked).unwrap()),
            input: Vec::new(),
            scan: HeadScan::response(),
            out: Vec::new(),
            switched: false,
            defect: None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if self.defect.is_none() && !self.switched {
            self.defect = self.take().err();
        }
    }

    fn take(&mut self) -> Result<(), Defect> {
        while !self.exchange.is_answered() && !self.switched {
            let Scanned::Complete { end, .. } = self.scan.advance(&self.input)? else {
                assert!(self.input.len() < HEAD_MAX, "a head without end is bounded");
                return Ok(());
            };
            let head = ResponseHead::parse(&self.input[..end], self.exchange.method())?;
            let (connection, strip) = match self.exchange.response_head(&self.input[..end], &head, true)? {
                Step::Interim { forward: false } => (None, false),
                Step::Interim { forward: true } => (Some(ClientConnection::Implied), false),
                Step::Switch => (Some(ClientConnection::Upgrade), false),
                Step::Final { connection, strip } => (Some(connection), strip),
            };
            self.switched = head.status == 101;
            if let Some(connection) = connection {
                rewrite::write_response(&self.input[..end], &head, connection, strip, &mut self.out);
            }
            self.input.drain(..end);
            self.scan = HeadScan::response();
        }
        let forward = self.exchange.response_bytes(&mut self.input)?;
        self.out.extend_from_slice(&self.input[..forward.forward]);
        self.input.drain(..forward.consumed);
        let ended = self.switched || self.exchange.response_is_complete();
        assert!(ended || self.input.len() <= TRAILER_NAME_MAX, "only the name of a trailer is held back");
        Ok(())
    }

    /// The server closes behind the bytes.
    fn close(mut self) -> Outcome {
        let ended = if self.defect.is_some() || self.switched { Ok(()) } else { self.exchange.response_ends() };
        let complete = ended.is_ok() && self.exchange.response_is_complete();
        let persists = [self.exchange.client_persists(), self.exchange.server_persists(self.input.len())];
        let defect = self.defect.or_else(|| ended.err());
        let (out, excess) = if self.defect.is_some() { (Vec::new(), 0) } else { (self.out, self.input.len()) };
        Outcome { out, excess, complete, switched: self.switched, persists, defect }
    }
}

fn in_pieces<'a>(asked: &[u8], pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut core = Core::new(asked);
    let mut fed = 0;
    for piece in pieces {
        core.feed(piece);
        fed += piece.len();
        assert!(core.out.len() <= fed + 64 * 20, "what is added is bounded");
    }
    core.close()
}

/// The response that counts, if the strict parser takes all up to it.
fn counting(mut bytes: &[u8], to_head: bool) -> Option<Message> {
    while let Ok(Some(message)) = strict::response(bytes, to_head, true) {
        if message.start[1][0] != b'1' || message.start[1] == b"101" {
            return Some(message);
        }
        bytes = &bytes[message.length..];
    }
    None
}

/// Whether a 101 names protocols, and only such as the client has offered (RFC 9110, 7.8).
fn is_offered(asked: &[u8], switch: &Message) -> bool {
    let offers = strict::request(asked).unwrap().unwrap().list("upgrade");
    let chosen = switch.list("upgrade");
    !chosen.is_empty() && chosen.iter().all(|it| offers.contains(it))
}

/// Compares with the strict parser.
fn check_meaning(asked: &[u8], bytes: &[u8], found: &Outcome) -> Result<(), String> {
    let (to_head, old) = (asked.starts_with(b"HEAD"), asked.windows(8).any(|it| it == b"HTTP/1.0"));
    if let Some(defect) = found.defect {
        let by_choice = [Defect::BadChunkSize, Defect::BadChunkExtension, Defect::UnaskedSwitch];
        let refusable = by_choice.contains(&defect)
            || counting(bytes, to_head).is_none_or(|it| {
                defect == Defect::UnofferedProtocol && it.start[1] == b"101" && !is_offered(asked, &it)
            });
        return if refusable { Ok(()) } else { Err("a sound response was refused".to_owned()) };
    }
    let (mut sent, mut got) = (bytes, &found.out[..]);
    loop {
        let server = strict::response(sent, to_head, true)?.ok_or("half a response passed for a whole one")?;
        sent = &sent[server.length..];
        let code = server.start[1].as_slice();
        let interim = code[0] == b'1' && code != b"101";
        if interim && old {
            continue;
        }
        let client = strict::response(got, to_head, true)?.ok_or("what the client got is not whole")?;
        got = &got[client.length..];
        check_response(&server, &client, old)?;
        if interim {
            continue;
        }
        let close_delimited = server.framing == Framing::Close || (old && server.framing == Framing::Chunked);
        let closes = client.list("connection") == ["close"];
        return match () {
            () if !got.is_empty() => Err("the client got more than its answer".to_owned()),
            () if found.switched != (code == b"101") => Err("the switch is not the answer's".to_owned()),
            () if found.switched && !is_offered(asked, &server) => Err("a switch to what nobody offered".to_owned()),
            () if sent.len() != found.excess => Err(format!("{} bytes follow, not {}", sent.len(), found.excess)),
            () if found.switched => Ok(()),
            () if !found.complete => Err("a whole response is not complete".to_owned()),
            () if found.persists[0] == closes => {
                Err("the client is not told what becomes of its connection".to_owned())
            }
            () if close_delimited && found.persists[0] => Err("the client cannot see the end".to_owned()),
            () if found.persists[1] && (!sent.is_empty() || server.framing == Framing::Close) => {
                Err("a connection with rests is kept".to_owned())
            }
            () => Ok(()),
        };
    }
}

#[test]
fn what_a_client_gets_is_what_the_server_answered() {
    let (mut passed, mut refused) = (0, 0);
    for seed in seeds("responses", 40_000) {
        let mut random = Random::new(seed);
        let asked = random.pick(&ASKED);
        let bytes = corpus::response_stream(&mut random);
        let found = in_pieces(asked, [&bytes[..]]);
        if let Err(why) = check_meaning(asked, &bytes, &found) {
            panic!("seed {seed}: {why}: {} asked {} became {found:?}", bytes.escape_ascii(), asked.escape_ascii());
        }
        if found.defect.is_some() { refused += 1 } else { passed += 1 }
    }
    println!("{passed} responses passed, {refused} refused");
    assert!(passed > 100 && refused > 100, "{passed} passed, {refused} refused: this tests nothing");
}

#[test]
fn a_response_is_the_same_wherever_its_bytes_are_split() {
    for seed in seeds("response splits", 1_500) {
        let mut random = Random::new(seed);
        let asked = random.pick(&ASKED);
        let bytes = corpus::response_stream(&mut random);
        let whole = in_pieces(asked, [&bytes[..]]);
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            let found = in_pieces(asked, [first, second]);
            assert_eq!(found, whole, "seed {seed}: split at {split} of {}", bytes.escape_ascii());
        }
        assert_eq!(in_pieces(asked, bytes.chunks(1)), whole, "seed {seed}: byte by byte {}", bytes.escape_ascii());
    }
}
