//! Bodies that end where they should, and bodies that are refused.

use super::*;

fn whole(framing: Framing, bytes: &[u8]) -> Result<(Progress, bool), Defect> {
    let mut decoder = BodyDecoder::new(framing);
    let progress = decoder.feed(&mut bytes.to_vec())?;
    Ok((progress, decoder.is_done()))
}

fn progress(consumed: usize, content: usize) -> Progress {
    Progress { consumed, content, forward: consumed }
}

#[test]
fn a_message_ends_where_its_framing_says() {
    assert_eq!(whole(Framing::None, b"next"), Ok((progress(0, 0), true)));
    assert_eq!(whole(Framing::Length(3), b"abcnext"), Ok((progress(3, 3), true)));
    assert_eq!(whole(Framing::Length(9), b"abc"), Ok((progress(3, 3), false)));
    assert_eq!(whole(Framing::Close, b"abc"), Ok((progress(3, 3), false)));
    assert_eq!(whole(Framing::Chunked, b"3\r\nabc\r\n0\r\n\r\nnext"), Ok((progress(13, 3), true)));
    assert_eq!(whole(Framing::Chunked, b"00\r\nA: b\r\nC:\r\n\r\n"), Ok((progress(16, 0), true)));
    assert_eq!(whole(Framing::Chunked, b"1;a;b=c;d=\"e\\\"\"\r\nx\r\n0;z\r\n\r\n"), Ok((progress(27, 1), true)));
}

#[test]
fn bad_chunk_framing_is_refused() {
    let rows: [(&str, Defect); 24] = [
        ("\r\n", Defect::BadChunkSize),
        ("g\r\n", Defect::BadChunkSize),
        ("-1\r\n", Defect::BadChunkSize),
        ("+1\r\n", Defect::BadChunkSize),
        (" 1\r\n", Defect::BadChunkSize),
        ("1 \r\n", Defect::BadChunkSize),
        ("0x1\r\n", Defect::BadChunkSize),
        ("1_0\r\n", Defect::BadChunkSize),
        ("1\n", Defect::BadChunkSize),
        ("1000000000000000\r\n", Defect::BadChunkSize),
        ("ffffffffffffffffffff\r\n", Defect::BadChunkSize),
        ("1\rx", Defect::BareCr),
        ("1\r\nab\r\n", Defect::BadChunkEnd),
        ("1\r\na\n", Defect::BadChunkEnd),
        ("1\r\na\rb", Defect::BadChunkEnd),
        ("1;\r\na\r\n", Defect::BadChunkExtension),
        ("1;a=\r\n", Defect::BadChunkExtension),
        ("1;a\n", Defect::BadChunkExtension),
        ("1; a\r\n", Defect::BadChunkExtension),
        ("1;a=\"b\r\n", Defect::BadChunkExtension),
        ("0\r\n\n", Defect::BadTrailer),
        ("0\r\nA\r\n", Defect::BadTrailer),
        ("0\r\n a: b\r\n", Defect::BadTrailer),
        ("0\r\na: b\n", Defect::BadTrailer),
    ];
    for (bytes, defect) in rows {
        assert_eq!(whole(Framing::Chunked, bytes.as_bytes()), Err(defect), "{bytes:?}");
    }
}

#[test]
fn extensions_and_trailers_are_bounded() {
    let extension = |length: usize| format!("0;{}\r\n\r\n", "a".repeat(length));
    assert!(whole(Framing::Chunked, extension(254).as_bytes()).unwrap().1);
    assert_eq!(whole(Framing::Chunked, extension(300).as_bytes()), Err(Defect::BadChunkExtension));
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(700));
    assert_eq!(whole(Framing::Chunked, trailers.as_bytes()), Err(Defect::TrailerTooLarge));
}

#[test]
fn a_split_anywhere_changes_nothing() {
    let bodies: [(Framing, &[u8]); 4] = [
        (Framing::Chunked, b"5;x=\"y z\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET /next"),
        (Framing::Chunked, b"5\r\nhello\r\n5\r\nwor\r\nld"),
        (Framing::Length(7), b"sevenxxGET /next"),
        (Framing::Close, b"whatever there is"),
    ];
    for (framing, body) in bodies {
        let expected = whole(framing, body);
        for split in 0..=body.len() {
            let mut decoder = BodyDecoder::new(framing);
            let found = decoder.feed(&mut body[..split].to_vec()).and_then(|first| {
                let rest = decoder.feed(&mut body[first.consumed..].to_vec())?;
                let sum = progress(first.consumed + rest.consumed, first.content + rest.content);
                Ok((sum, decoder.is_done()))
            });
            assert_eq!(found, expected, "split at {split} of {}", body.escape_ascii());
        }
    }
}

/// What is forwarded of a chunked body that comes in two pieces.
fn forwarded(body: &[u8], split: usize, strip: bool) -> Vec<u8> {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut out, mut from) = (Vec::new(), 0);
    for end in [split, body.len()] {
        // What was not consumed is fed again with what follows.
        let mut bytes = body[from..end.max(from)].to_vec();
        let progress = if strip { decoder.strip(&mut bytes) } else { decoder.feed(&mut bytes) }.unwrap();
        out.extend_from_slice(&bytes[..progress.forward]);
        from += progress.consumed;
    }
    assert!(decoder.is_done() && &body[from..] == b"next", "{split}");
    out
}

#[test]
fn stripping_leaves_the_content() {
    let body = b"5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nT: v\r\n\r\nnext";
    for split in 0..body.len() - 4 {
        assert_eq!(forwarded(body, split, true), b"hello, world", "{split}");
    }
}

#[test]
fn trailers_that_must_not_be_sent_are_dropped() {
    let body = b"2\r\nab\r\n0\r\nA: 1\r\nhOSt: x\r\nHosts: y\r\nX-Forwarded-For:\r\nZ:\r\n\r\nnext";
    for split in 0..body.len() - 4 {
        assert_eq!(forwarded(body, split, false), b"2\r\nab\r\n0\r\nA: 1\r\nHosts: y\r\nZ:\r\n\r\n", "{split}");
    }
}

#[test]
fn a_close_ends_only_what_may_end_so() {
    for (framing, result) in [
        (Framing::Close, Ok(())),
        (Framing::None, Ok(())),
        (Framing::Length(1), Err(Defect::Truncated)),
        (Framing::Chunked, Err(Defect::Truncated)),
    ] {
        assert_eq!(BodyDecoder::new(framing).end(), result, "{framing:?}");
    }
}
