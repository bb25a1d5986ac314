//! One HTTP/1 response as it arrives in pieces (RFC 9112, 6 and 7).
//!
//! The generator's own framing, on purpose apart from the LB's and the reflector's: a shared one
//! would hide its own bugs. It keeps nothing but a partial head (at most 16 KiB) and a few numbers.

use super::chunked::{Chunked, Piece};

/// Longest response head in bytes.
pub(super) const HEAD_MAX: usize = 16 * 1024;
/// Most header fields of a response.
const FIELDS_MAX: usize = 64;

/// What can be told from a response head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// Whether the server closes after this response.
    pub(super) closes: bool,
}

/// How the end of a body is found (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// Where in a response we are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum State {
    /// The head is not complete.
    #[default]
    Head,
    /// So many bytes of the body are missing.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// Complete.
    Complete,
}

/// Why bytes are not a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Malformed {
    Head,
    HeadTooLong,
    Length,
    Chunk,
    BytesAfterEnd,
}

impl Malformed {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Head => "the response head is not HTTP/1",
            Self::HeadTooLong => "the response head is longer than 16 KiB or has more than 64 fields",
            Self::Length => "Content-Length or Transfer-Encoding is malformed or ambiguous",
            Self::Chunk => "the chunked body is malformed",
            Self::BytesAfterEnd => "bytes follow the complete response",
        }
    }
}

/// Reads a head from the front of `bytes`: the head and its length, or `None` if it is not complete.
///
/// `instance` is shown the value of the reflector's name, if there is one.
pub(super) fn parse_head(bytes: &[u8], mut instance: impl FnMut(&[u8])) -> Result<Option<(Head, usize)>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Malformed::HeadTooLong),
        Err(_) => return Err(Malformed::Head),
    };
    let status = response.code.ok_or(Malformed::Head)?;
    let mut body_length = None;
    let mut chunked = false;
    // HTTP/1.1 keeps the connection unless told otherwise, HTTP/1.0 closes it (RFC 9112, 9.3).
    let mut closes = response.version == Some(0);
    for field in response.headers.iter() {
        match field.name.len() {
            10 if field.name.eq_ignore_ascii_case("connection") => {
                if has_token(field.value, b"close") {
                    closes = true;
                } else if has_token(field.value, b"keep-alive") {
                    closes = false;
                }
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                let length = parse_length(field.value).ok_or(Malformed::Length)?;
                if body_length.is_some_and(|earlier| earlier != length) {
                    return Err(Malformed::Length);
                }
                body_length = Some(length);
            }
            17 if field.name.eq_ignore_ascii_case(wire::identity::INSTANCE) => instance(field.value),
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                if !field.value.eq_ignore_ascii_case(b"chunked") || chunked {
                    return Err(Malformed::Length);
                }
                chunked = true;
            }
            _ => {}
        }
    }
    let framing = match (status, chunked, body_length) {
        (100..=199 | 204 | 304, _, _) => Framing::Length(0),
        (_, true, Some(_)) => return Err(Malformed::Length),
        (_, true, None) => Framing::Chunked,
        (_, false, Some(length)) => Framing::Length(length),
        (_, false, None) => Framing::UntilClose,
    };
    let closes = closes || framing == Framing::UntilClose;
    Ok(Some((Head { status, framing, closes }, length)))
}

impl State {
    /// The state after a head with this framing.
    pub(super) fn after(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Complete,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes what belongs to the body from the front of `bytes` and shows its data to `data`;
    /// returns how many bytes it took.
    pub(super) fn body(&mut self, bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        match self {
            Self::Head | Self::Complete => Ok(0),
            Self::Length(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                data(&bytes[..taken]);
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Complete;
                }
                Ok(taken)
            }
            Self::UntilClose => {
                data(bytes);
                Ok(bytes.len())
            }
            Self::Chunked(chunked) => {
                let mut taken = 0;
                while taken < bytes.len() {
                    match chunked.next(&bytes[taken..]) {
                        Piece::Data(length) => {
                            data(&bytes[taken..taken + length]);
                            taken += length;
                        }
                        Piece::Framing(length) => taken += length,
                        Piece::End(length) => {
                            *self = Self::Complete;
                            return Ok(taken + length);
                        }
                        Piece::Malformed => return Err(Malformed::Chunk),
                    }
                }
                Ok(taken)
            }
        }
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    // RFC 9110, 8.6: digits only; `str::parse` would take a sign.
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(Head, usize)>, Malformed> {
        parse_head(text.as_bytes(), |_| {})
    }

    #[test]
    fn framing_follows_the_rules_of_rfc_9112() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, Framing::Chunked, false),
            ("HTTP/1.1 200 OK\r\n\r\n", 200, Framing::UntilClose, true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Framing::Length(5), true),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", 200, Framing::Length(0), false),
            ("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", 204, Framing::Length(0), false),
            ("HTTP/1.1 100 Continue\r\n\r\n", 100, Framing::Length(0), false),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n", 200, Framing::Length(1), true),
        ];
        for (text, status, framing, closes) in cases {
            assert_eq!(head(text), Ok(Some((Head { status, framing, closes }, text.len()))), "{text}");
        }
    }

    #[test]
    fn ambiguous_or_broken_heads_are_refused() {
        for fields in [
            "Content-Length: +5",
            "Content-Length: ",
            "Content-Length: 5, 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Content-Length: 99999999999999999999",
        ] {
            assert_eq!(head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")), Err(Malformed::Length), "{fields}");
        }
        assert_eq!(head("SSH-2.0-x\r\n"), Err(Malformed::Head));
        assert_eq!(head("HTTP/1.1 200 OK\r\nX: "), Ok(None));
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_MAX));
        assert_eq!(head(&endless), Err(Malformed::HeadTooLong));
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let wire = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
        for cut in 0..wire.len() {
            let mut state = State::after(Framing::Chunked);
            let mut body = Vec::new();
            let taken = state.body(&wire[..cut], |data| body.extend_from_slice(data)).unwrap();
            assert_eq!(taken, cut);
            assert_ne!(state, State::Complete);
            state.body(&wire[cut..], |data| body.extend_from_slice(data)).unwrap();
            assert_eq!((state, body.as_slice()), (State::Complete, b"hello world".as_slice()), "cut at {cut}");
        }
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let mut state = State::after(Framing::Length(3));
        assert_eq!(state.body(b"abcdef", |_| {}), Ok(3));
        assert_eq!(state, State::Complete);
        let mut state = State::after(Framing::UntilClose);
        assert_eq!(state.body(b"abcdef", |_| {}), Ok(6));
        assert_eq!(state, State::UntilClose);
    }
}
