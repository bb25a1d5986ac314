//! Seeded fuzzing of the core, in both directions.
//!
//! - [`corpus`], [`random`]: messages by grammar, good and evil, and mutations of them.
//! - [`strict`]: a second parser; [`forwarded`]: what has to become of a message.
//! - [`requests`], [`responses`]: streams through the core, whole and split at every byte.
//!
//! `cargo test` takes seconds and always the same seeds. `NADARE_FUZZ_SECONDS` makes each test go on for
//! so long, from a seed that it prints; `NADARE_FUZZ_SEED` chooses the first one, to repeat a failure.

mod corpus;
mod forwarded;
mod random;
mod requests;
mod responses;
mod strict;

use random::{Random, seeds};

use super::exchange::Exchange;
use super::framing::{BodyDecoder, Framing};
use super::head::{Method, RequestHead};
use super::response::ResponseHead;

/// Longest name of a trailer; longer ones are a defect.
const TRAILER_NAME_MAX: usize = 4096;

#[test]
fn a_mutated_chunked_body_ends_in_the_same_place_however_it_is_split() {
    let sample = b"5;x=\"y z\"\r\nhello\r\nA;q\r\n0123456789\r\n0\r\nT: v\r\nHost: x\r\n\r\nGET /next";

    let (mut complete, mut defective) = (0, 0);
    for seed in seeds("chunked bodies", 40_000) {
        let mut random = Random::new(seed);
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
    for seed in seeds("exchanges", 5_000) {
        let mut random = Random::new(seed);
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
