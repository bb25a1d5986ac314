//! Messages by grammar, good and evil, and the pieces they are made of.

use super::random::Random;

const METHODS: [&str; 8] = ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE"];
const TARGETS: [&str; 8] = ["/", "/a?b=c", "/a/../b", "//h//", "/%00%zz", "/{x|y}", "*", "/GET"];
const ABSOLUTE: [&str; 6] = ["http://h", "http://h/", "HTTP://h:80/x", "https://h:443?q", "http://h?/x", "http://H:/"];
const PLAIN: [&str; 12] = [
    "A: b",
    "a:",
    "X-Long:  spaced \t out \t",
    "Cookie: a=b; c=\"d\"",
    "X-Bytes: \u{e4}\u{20ac}",
    "Accept: */*, text/html;q=0.1",
    "X-A: 1",
    "X-B: 2",
    "Keep-Alive: timeout=5",
    "Via: 1.1 x",
    "Set-Cookie: x=GET / HTTP/1.1",
    "Date: Mon, 01 Jan 2024 00:00:00 GMT",
];
const ASKING: [&str; 14] = [
    "Connection: close",
    "Connection: keep-alive",
    "Connection: x-a, X-B",
    "Connection: host, content-length, ,",
    "Connection: Upgrade, x-b",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "TE: trailers",
    "Proxy-Connection: close",
    "X-Forwarded-For: 1.2.3.4",
    "X-Forwarded-For:",
    "X-Forwarded-Proto: https",
    "Connection: x-forwarded-for, te, expect, upgrade",
];
/// Fields that two recipients could understand differently, and what merely looks so.
const EVIL: [&str; 44] = [
    "Content-Length: 5",
    "Content-Length: +5",
    "Content-Length: 5, 5",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length: 05",
    "Content-Length: \u{b}5",
    "Content-Length:",
    "Content-Length : 5",
    "Content-Length\t: 5",
    "Content_Length: 5",
    "Content-Length: 18446744073709551621",
    "Content-Length: -0",
    "Content-Length: 5\r\n ",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer_Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\r\n\tTransfer-Encoding: chunked",
    "X: y\0z",
    "Host: other",
    "Host: h",
    "Host : h",
    "Host: h@x",
    "Host: h%zz",
    "Host: [::1]:80",
    ": empty",
    "no colon",
    "A\u{e4}: b",
];
const LINE_ENDS: [&str; 5] = ["\n", "\r", "\r\r\n", "\n\r\n", " \r\n"];
const SIZES: [&str; 14] = [
    "0x5",
    "+5",
    " 5",
    "5 ",
    "005",
    "5;",
    "5;a",
    "5; a",
    "5 ;a=b",
    "5;a=\"\n\"",
    "5;a=\"b;c\\\"\"",
    "5\t",
    "1_0",
    "fffffffffffffffb",
];
const STATUS_LINES: [&str; 20] = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200 ",
    "HTTP/1.1 200",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 205 Reset",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 404 \u{e4}",
    "HTTP/1.1 503 a  b",
    "HTTP/1.1 999 x",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 103 Hints",
    "HTTP/1.1 101 Switching",
    "HTTP/1.1  200 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 OK",
    "HTTP/2 200 OK",
    "http/1.1 200 OK",
    "HTTP/1.1 200\tOK",
];

/// A stream of one to four requests, some cut off and some mutated.
pub(crate) fn request_stream(random: &mut Random) -> Vec<u8> {
    let evil = random.once_in(2);
    let mut bytes = Vec::new();
    for number in 0..=random.below(4) {
        let evil = evil && random.once_in(2);
        bytes.extend(request(random, number, evil));
    }
    finish(random, bytes)
}

/// A stream of one to three responses, some cut off and some mutated.
pub(crate) fn response_stream(random: &mut Random) -> Vec<u8> {
    let evil = random.once_in(2);
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        let evil = evil && random.once_in(2);
        bytes.extend(response(random, evil));
    }
    finish(random, bytes)
}

fn finish(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    if random.once_in(3) {
        bytes = random.mutate(&bytes);
    }
    if random.once_in(6) {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    bytes
}

/// One request; its number is in its target or in a field, so that requests can be told apart.
pub(crate) fn request(random: &mut Random, number: usize, evil: bool) -> Vec<u8> {
    let method = random.pick(&METHODS);
    let absolute = random.once_in(8);
    let target = match random.below(4) {
        _ if absolute => random.pick(&ABSOLUTE).to_owned(),
        0 => random.pick(&TARGETS).to_owned(),
        _ => format!("/{number}"),
    };
    let version = if random.once_in(6) { "HTTP/1.0" } else { "HTTP/1.1" };
    let first = match random.below(12) {
        0 if evil => format!("{method}  {target} {version}"),
        1 if evil => format!("{method} {target} {version} "),
        2 if evil => format!("{method}\t{target}\t{version}"),
        3 if evil => format!("\r\n{method} {target} HTTP/1.{}", random.below(20)),
        4 if evil => format!("{method} {target}"),
        5 => format!("\r\n{method} {target} {version}"),
        _ => format!("{method} {target} {version}"),
    };
    let mut lines = vec!["Host: h".to_owned(), format!("N: {number}")];
    if evil && random.once_in(6) {
        lines.remove(0);
    }
    let body = frame(random, method == "POST" || method == "PUT", evil, &mut lines);
    message(random, &first, lines, &ASKING, evil, body)
}

fn response(random: &mut Random, evil: bool) -> Vec<u8> {
    let first = random.pick(if evil { &STATUS_LINES } else { &STATUS_LINES[..14] });
    let mut lines = Vec::new();
    let framed = !random.once_in(5);
    let body = frame(random, framed, evil, &mut lines);
    const ASKING: [&str; 10] = [
        "Connection: te, host",
        "TE: x",
        "Connection: close",
        "Connection: keep-alive",
        "Connection: x-a, x-b",
        "Connection: upgrade",
        "Upgrade: websocket",
        "Trailer: t",
        "Proxy-Connection: x",
        "Connection: content-length, transfer-encoding, date",
    ];
    message(random, first, lines, &ASKING, evil, body)
}

/// The body, with the fields that say where it ends.
fn frame(random: &mut Random, wanted: bool, evil: bool, lines: &mut Vec<String>) -> Vec<u8> {
    const INNER: [&[u8]; 5] = [
        b"",
        b"hello",
        b"GET /inner HTTP/1.1\r\nHost: h\r\n\r\n",
        b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    let content = random.pick(&INNER);
    match random.below(2) {
        _ if !wanted => Vec::new(),
        0 => {
            lines.push(format!("Content-Length: {}", content.len()));
            content.to_vec()
        }
        _ => {
            lines.push("Transfer-Encoding: chunked".to_owned());
            chunked(random, content, evil)
        }
    }
}

fn chunked(random: &mut Random, content: &[u8], evil: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let piece = 1 + random.below(20);
    for chunk in content.chunks(piece) {
        let size = match random.below(6) {
            0 if evil => random.pick(&SIZES).to_owned(),
            1 => format!("{:X};a=\"b c\";d", chunk.len()),
            2 => format!("0{:x}", chunk.len()),
            _ => format!("{:x}", chunk.len()),
        };
        let end = if evil && random.once_in(8) { random.pick(&LINE_ENDS) } else { "\r\n" };
        body.extend([size.as_bytes(), b"\r\n", chunk, end.as_bytes()].concat());
    }
    let last: &[&str] = &["0\r\n\r\n", "00\r\n\r\n", "0\r\nT: v\r\nU:\r\n\r\n", "0;x\r\n\r\n"];
    let bad: &[&str] =
        &["0\r\n", "0\r\nT\r\n\r\n", "0\n\n", "0\r\nContent-Length: 5\r\n\r\n", "0\r\n\n", "\r\n0\r\n\r\n"];
    let ends = if evil && random.once_in(4) { bad } else { last };
    body.extend_from_slice(random.pick(ends).as_bytes());
    body
}

fn message(
    random: &mut Random,
    first: &str,
    mut lines: Vec<String>,
    asking: &[&str],
    evil: bool,
    body: Vec<u8>,
) -> Vec<u8> {
    for _ in 0..random.below(4) {
        let line = if random.once_in(2) { random.pick(asking) } else { random.pick(&PLAIN) };
        lines.insert(random.below(lines.len() + 1), line.to_owned());
    }
    if evil {
        for _ in 0..random.below(3) {
            lines.insert(random.below(lines.len() + 1), random.pick(&EVIL).to_owned());
        }
    }
    let mut text = format!("{first}\r\n");
    for line in lines {
        let end = if evil && random.once_in(30) { random.pick(&LINE_ENDS) } else { "\r\n" };
        text += &line;
        text += end;
    }
    text += "\r\n";
    [text.into_bytes(), body].concat()
}
