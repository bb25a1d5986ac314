//! Seeded mutations of sound messages: nothing panics, a split changes nothing, and what is
//! forwarded is read by a second parser of the same kind as the message that was meant.

use super::defect::Defect;
use super::exchange::Exchange;
use super::framing::{BodyDecoder, Framing};
use super::head::{Method, RequestHead};
use super::response::ResponseHead;
use super::rewrite::{self, ClientConnection, RequestPolicy};
use super::scan::{HEAD_MAX, HeadScan, Scanned};

/// SplitMix64: the same sequence on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// One to three bytes replaced, inserted or removed, or a piece doubled.
    fn mutate(&mut self, sample: &[u8]) -> Vec<u8> {
        const ALPHABET: &[u8] = b"\r\n\t :,/;\0\x7f\xffaA09=*#-+chunked";
        let mut bytes = sample.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let byte = ALPHABET[self.below(ALPHABET.len())];
            match self.below(7) {
                0..=2 => bytes[at] = byte,
                3 | 4 => bytes.insert(at, byte),
                5 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    }
}

/// The head a scan finds in `bytes`, fed in two pieces.
fn scanned(mut scan: HeadScan, bytes: &[u8], split: usize) -> Result<Option<&[u8]>, Defect> {
    let mut found = scan.advance(&bytes[..split])?;
    if found == Scanned::Partial {
        found = scan.advance(bytes)?;
    }
    Ok(match found {
        Scanned::Complete { start, end } => Some(&bytes[start..end]),
        Scanned::Partial => None,
    })
}

const REQUESTS: [&[u8]; 4] = [
    b"POST http://h:1/a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\nConnection: a, close\r\nA:\r\n\r\n",
    b"GET /x HTTP/1.0\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: keep-alive\r\nB: c\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nTE: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade, b\r\nB: 1\r\nKeep-Alive: 3\r\n\r\n",
];

const RESPONSES: [&[u8]; 3] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: a, keep-alive\r\nA: b\r\nKeep-Alive: 3\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.0 304 \r\nConnection: close\r\nETag: \"x\"\r\n\r\n",
];

const POLICY: RequestPolicy = RequestPolicy {
    forwarded: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
    close: false,
    host: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80),
};

#[test]
fn a_mutated_request_is_refused_or_forwarded_as_the_same_request() {
    let mut random = Random(42);
    let (mut sound, mut unsound) = (0, 0);
    for round in 0..40_000 {
        let bytes = random.mutate(REQUESTS[round % REQUESTS.len()]);
        let split = random.below(bytes.len() + 1);
        let whole = scanned(HeadScan::request(), &bytes, 0);
        assert_eq!(whole, scanned(HeadScan::request(), &bytes, split), "{}", bytes.escape_ascii());
        let Ok(Some(head)) = whole else {
            unsound += 1;
            continue;
        };
        let Ok(request) = RequestHead::parse(head) else {
            unsound += 1;
            continue;
        };
        sound += 1;
        let mut out = Vec::new();
        rewrite::write_request(head, &request, &POLICY, &mut out);
        assert!(out.len() <= HEAD_MAX + 256, "what is added is bounded");
        let again = scanned(HeadScan::request(), &out, 0).unwrap().expect("a whole head");
        assert_eq!(again.len(), out.len(), "one head and no more: {}", out.escape_ascii());
        let again = RequestHead::parse(&out).expect("what is forwarded is sound");
        assert_eq!(
            (again.method, again.framing, again.upgrade),
            (request.method, request.framing, request.upgrade),
            "{}",
            out.escape_ascii()
        );
        assert!(!again.connection.names_fields && !again.connection.close && !again.connection.keep_alive);
    }
    assert!(sound > 1_000 && unsound > 10_000, "{sound} sound, {unsound} not: the mutations test nothing");
}

#[test]
fn a_mutated_response_is_refused_or_forwarded_as_the_same_response() {
    let mut random = Random(43);
    let (mut sound, mut unsound) = (0, 0);
    for round in 0..40_000 {
        let bytes = random.mutate(RESPONSES[round % RESPONSES.len()]);
        let split = random.below(bytes.len() + 1);
        let whole = scanned(HeadScan::response(), &bytes, 0);
        assert_eq!(whole, scanned(HeadScan::response(), &bytes, split), "{}", bytes.escape_ascii());
        let parsed = whole.ok().flatten().map(|head| (head, ResponseHead::parse(head, Method::Get)));
        let Some((head, Ok(response))) = parsed else {
            unsound += 1;
            continue;
        };
        sound += 1;
        let mut out = Vec::new();
        rewrite::write_response(head, &response, ClientConnection::Implied, false, &mut out);
        let again = ResponseHead::parse(&out, Method::Get).expect("what is forwarded is sound");
        assert_eq!((again.status, again.framing), (response.status, response.framing), "{}", out.escape_ascii());
    }
    assert!(sound > 1_000 && unsound > 10_000, "{sound} sound, {unsound} not: the mutations test nothing");
}

#[test]
fn a_mutated_chunked_body_ends_in_the_same_place_however_it_is_split() {
    let sample = b"5;x=\"y z\"\r\nhello\r\nA;q\r\n0123456789\r\n0\r\nT: v\r\nHost: x\r\n\r\nGET /next";
    let mut random = Random(44);
    let (mut complete, mut defective) = (0, 0);
    for _ in 0..40_000 {
        let bytes = random.mutate(sample);
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let whole =
            decoder.feed(&mut bytes.clone()).map(|progress| (progress.consumed, progress.content, decoder.is_done()));
        let mut cuts = [random.below(bytes.len() + 1), random.below(bytes.len() + 1)];
        cuts.sort_unstable();
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let mut pieces = Ok((0, 0, false));
        for end in [cuts[0], cuts[1], bytes.len()] {
            pieces = pieces.and_then(|(consumed, content, done)| {
                // What was not consumed is fed again, unless the message is over.
                let fed = if done { consumed } else { end };
                let progress = decoder.feed(&mut bytes[consumed..fed].to_vec())?;
                Ok((consumed + progress.consumed, content + progress.content, decoder.is_done()))
            });
        }
        assert_eq!(pieces, whole, "{} cut at {cuts:?}", bytes.escape_ascii());
        match whole {
            Ok((_, _, true)) => complete += 1,
            Ok(_) => {}
            Err(_) => defective += 1,
        }
    }
    assert!(complete > 1_000 && defective > 10_000, "{complete} complete, {defective} defective");
}

#[test]
fn an_exchange_never_keeps_a_connection_before_both_messages_are_complete() {
    let mut random = Random(45);
    for _ in 0..5_000 {
        let (sent, answered) = (random.below(12), random.below(12));
        let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
        let mut exchange = Exchange::new(head, &RequestHead::parse(head).unwrap());
        let late = random.below(2) == 0;
        let before = if late { 0 } else { sent };
        exchange.request_bytes(&mut b"0123456789xy".to_vec()[..before]).unwrap();
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        let response = ResponseHead::parse(head, Method::Post).unwrap();
        exchange.response_head(head, &response, true).unwrap();
        let forward = exchange.response_bytes(&mut b"0123456789xy".to_vec()[..answered]).unwrap();
        exchange.request_bytes(&mut b"0123456789xy".to_vec()[..sent - before]).unwrap();
        let (whole_request, whole_response) = (sent >= 10, answered >= 10);
        assert_eq!(exchange.client_persists(), !late && whole_request && whole_response, "{sent} {answered} {late}");
        let clean = whole_request && whole_response && answered == 10;
        assert_eq!(exchange.server_persists(answered - forward.consumed), clean, "{sent} {answered}");
    }
}
