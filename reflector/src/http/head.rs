//! The head of one request: complete, not yet, or refused with a reason.
//!
//! Says also whether the request is *plain*: a GET or HEAD without a body, an expectation or an
//! upgrade, which needs no hyper. Pure; allocates only for a refusal. httparse takes a bare LF as a
//! line end, which a real server may (RFC 9112, 2.2).

use std::mem::MaybeUninit;

use wire::identity;

use crate::config::Checks;

/// Most header lines of one request.
pub(crate) const HEADERS_MAX: usize = 100;

/// A request that is not served: the status and the reason, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// What the reflector needs to know of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// Length in bytes, the empty line included.
    pub(crate) len: usize,
    pub(crate) target: &'a str,
    /// Whether the answer has no body, because the method is HEAD.
    pub(crate) is_head: bool,
    pub(crate) is_plain: bool,
    pub(crate) is_http_11: bool,
    /// Whether the client lets the connection be kept.
    pub(crate) keep_alive: bool,
    pub(crate) nonce: u32,
    pub(crate) check: bool,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    Partial,
    Complete(Head<'a>),
    Refused(Refusal),
}

/// Reads the head at the front of `bytes`.
pub(crate) fn parse<'a>(bytes: &'a [u8], checks: &Checks) -> Parsed<'a> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(httparse::Status::Partial) => Parsed::Partial,
        Ok(httparse::Status::Complete(len)) => match read(&request, len, checks) {
            Ok(head) => Parsed::Complete(head),
            Err(refusal) => Parsed::Refused(refusal),
        },
        Err(error) => Parsed::Refused(malformed(error)),
    }
}

/// The refusal of a head that is still incomplete after `limit` bytes.
pub(crate) fn too_large(bytes: &[u8], limit: usize) -> Refusal {
    if bytes.contains(&b'\n') {
        Refusal::new(431, format!("the request's head has more than {limit} bytes"))
    } else {
        Refusal::new(414, format!("the request line has more than {limit} bytes"))
    }
}

/// Whether a request is a health check.
pub(crate) fn is_check(checks: &Checks, target: &str, user_agent: &[u8]) -> bool {
    checks.user_agents.iter().any(|prefix| user_agent.starts_with(prefix.as_bytes()))
        || (!checks.paths.is_empty() && checks.paths.iter().any(|path| path == path_of(target)))
}

/// The path without the query; RFC 9112, 3.2.2: a server accepts the absolute form too.
fn path_of(target: &str) -> &str {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => path,
    }
}

fn malformed(error: httparse::Error) -> Refusal {
    let reason = match error {
        httparse::Error::TooManyHeaders => {
            return Refusal::new(431, format!("the request has more than {HEADERS_MAX} header lines"));
        }
        httparse::Error::HeaderName => "a header's name has a character that is not allowed there",
        httparse::Error::HeaderValue => "a header's value has a control character",
        httparse::Error::NewLine => "a line does not end in CR LF",
        httparse::Error::Token => "the request line is not METHOD TARGET VERSION",
        httparse::Error::Version => "the version is neither HTTP/1.0 nor HTTP/1.1",
        httparse::Error::Status => "the bytes are not a request",
    };
    Refusal::new(400, reason)
}

/// The headers that matter, as they came.
#[derive(Default)]
struct Seen<'a> {
    hosts: u32,
    lengths: u32,
    length: u64,
    transfer_encoding: Option<&'a [u8]>,
    expects_or_upgrades: bool,
    close: bool,
    keep_alive: bool,
    user_agent: &'a [u8],
    nonce: u32,
}

fn read<'a>(request: &httparse::Request<'_, 'a>, len: usize, checks: &Checks) -> Result<Head<'a>, Refusal> {
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default();
    let is_http_11 = request.version == Some(1);
    let mut seen = Seen::default();
    for header in request.headers.iter() {
        seen.take(header)?;
    }
    if method == "CONNECT" {
        return Err(Refusal::new(400, "CONNECT is not served: this is no proxy"));
    }
    // RFC 9112, 3.2: a server MUST refuse both.
    if is_http_11 && seen.hosts == 0 {
        return Err(Refusal::new(400, "the request has no Host header, which HTTP/1.1 demands"));
    }
    if seen.hosts > 1 {
        return Err(Refusal::new(400, "the request has more than one Host header"));
    }
    check_framing(&seen, is_http_11)?;
    let has_body = seen.length > 0 || seen.transfer_encoding.is_some();
    let is_head = method == "HEAD";
    Ok(Head {
        len,
        target,
        is_head,
        is_plain: (is_head || method == "GET") && !has_body && !seen.expects_or_upgrades,
        is_http_11,
        keep_alive: if is_http_11 { !seen.close } else { seen.keep_alive && !seen.close },
        nonce: seen.nonce,
        check: is_check(checks, target, seen.user_agent),
    })
}

/// Refuses every framing that two servers could read differently (RFC 9112, 6.3).
fn check_framing(seen: &Seen<'_>, is_http_11: bool) -> Result<(), Refusal> {
    let Some(encoding) = seen.transfer_encoding else { return Ok(()) };
    if seen.lengths > 0 {
        Err(Refusal::new(400, "the request has both Content-Length and Transfer-Encoding"))
    } else if !is_http_11 {
        Err(Refusal::new(400, "the request has Transfer-Encoding, which HTTP/1.0 does not know"))
    } else if !encoding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
        let found = String::from_utf8_lossy(encoding);
        Err(Refusal::new(501, format!("Transfer-Encoding is {found:?}; expected chunked")))
    } else {
        Ok(())
    }
}

impl<'a> Seen<'a> {
    fn take(&mut self, header: &httparse::Header<'a>) -> Result<(), Refusal> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // By length first: most headers are none of these.
        match header.name.len() {
            4 if is("host") => self.hosts += 1,
            6 if is("expect") => self.expects_or_upgrades = true,
            7 if is("upgrade") => self.expects_or_upgrades = true,
            10 if is("connection") => self.connection(header.value),
            10 if is("user-agent") => self.user_agent = header.value,
            14 if is("content-length") => self.content_length(header.value)?,
            14 if is(identity::NONCE) => self.nonce = nonce(header.value)?,
            17 if is("transfer-encoding") => self.transfer_encoding(header.value)?,
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn transfer_encoding(&mut self, value: &'a [u8]) -> Result<(), Refusal> {
        match self.transfer_encoding.replace(value) {
            None => Ok(()),
            Some(_) => Err(Refusal::new(400, "the request has more than one Transfer-Encoding header")),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digits = value.trim_ascii();
        // Rust's parser takes a leading plus, which RFC 9110, 8.6 does not.
        let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(digits).ok().filter(|_| all_digits).and_then(|text| text.parse().ok());
        let Some(length) = length else {
            let found = String::from_utf8_lossy(value);
            return Err(Refusal::new(400, format!("Content-Length is {found:?}; expected digits")));
        };
        if self.lengths > 0 && self.length != length {
            return Err(Refusal::new(400, "the request has Content-Length headers that differ"));
        }
        self.lengths += 1;
        self.length = length;
        Ok(())
    }
}

/// Reads a nonce header's value.
pub(crate) fn nonce(value: &[u8]) -> Result<u32, Refusal> {
    identity::parse_nonce(value).ok_or_else(|| {
        let found = String::from_utf8_lossy(value);
        Refusal::new(400, format!("{} is {found:?}; expected one to eight hexadecimal digits", identity::NONCE))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Parsed<'_> {
        parse(text.as_bytes(), &Checks { paths: vec!["/health".into()], ..Checks::default() })
    }

    fn complete(text: &str) -> Head<'_> {
        match head(text) {
            Parsed::Complete(head) => head,
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_plain_get_is_plain() {
        let text = "GET /?s=1k HTTP/1.1\r\nHost: a\r\nX-Nadare-Nonce: 0000002a\r\nUser-Agent: nadare\r\n\r\nrest";
        let head = complete(text);
        assert_eq!(&text[head.len..], "rest");
        assert!(head.is_plain && head.is_http_11 && head.keep_alive && !head.is_head && !head.check);
        assert_eq!((head.nonce, head.target), (42, "/?s=1k"));
    }

    #[test]
    fn what_needs_more_than_one_write_is_not_plain() {
        for text in [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
        ] {
            assert!(!complete(text).is_plain, "{text:?}");
        }
        assert!(complete("HEAD / HTTP/1.0\r\nContent-Length: 0\r\n\r\n").is_plain);
    }

    #[test]
    fn keep_alive_follows_version_and_connection_header() {
        let kept =
            |version: &str, line: &str| complete(&format!("GET / HTTP/{version}\r\nHost: a\r\n{line}\r\n")).keep_alive;
        assert!(kept("1.1", "") && !kept("1.1", "Connection: foo, Close\r\n"));
        assert!(!kept("1.0", "") && kept("1.0", "Connection: Keep-Alive\r\n"));
    }

    #[test]
    fn checks_are_known_by_agent_or_path() {
        let check = |target: &str, agent: &str| {
            complete(&format!("GET {target} HTTP/1.0\r\nUser-Agent: {agent}\r\n\r\n")).check
        };
        assert!(check("/", "nadare-check/1"));
        assert!(check("/health?x", "curl") && check("http://a/health", "curl"));
        assert!(!check("/", "nadare") && !check("/healthy", "curl"));
    }

    #[test]
    fn bad_heads_are_refused_with_a_reason() {
        let host = "Host: a\r\n";
        for (text, status, reason) in [
            ("GARBAGE\r\n\r\n".to_owned(), 400, "METHOD TARGET VERSION"),
            ("GET / HTTP/2.0\r\n\r\n".to_owned(), 400, "version"),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "no Host"),
            (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400, "more than one Host"),
            (format!("GET / HTTP/1.1\r\n{host}a b: c\r\n\r\n"), 400, "name"),
            (format!("GET / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\n"), 400, "\"+3\""),
            (format!("GET / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\n"), 400, "differ"),
            (format!("GET / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), 400, "both"),
            (format!("GET / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"), 501, "\"gzip\""),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400, "HTTP/1.0"),
            (format!("GET / HTTP/1.1\r\n{host}x-nadare-nonce: xyz\r\n\r\n"), 400, "hexadecimal"),
            (format!("CONNECT a:1 HTTP/1.1\r\n{host}\r\n"), 400, "no proxy"),
            (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101)), 431, "100 header lines"),
        ] {
            let Parsed::Refused(refusal) = head(&text) else { panic!("{text:?} was taken") };
            assert_eq!(refusal.status, status, "{text:?}");
            assert!(refusal.reason.contains(reason), "{text:?}: {}", refusal.reason);
        }
    }

    #[test]
    fn a_head_in_pieces_is_partial_until_its_last_byte() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(head(&text[..end]), Parsed::Partial, "{end}");
        }
        assert_eq!(complete(text).len, text.len());
    }
}
