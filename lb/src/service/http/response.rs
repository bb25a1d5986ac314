//! The head of a response: is it sound, and where does its content end?
//!
//! As strict as [`super::head`]: a server that frames its messages ambiguously gets 502, because
//! what it sends next could be taken for the answer to another client's request.

use std::mem::MaybeUninit;

use super::defect::Defect;
use super::fields::{self, ConnectionOptions, Fields, Kind, Span};
use super::framing::Framing;
use super::grammar;
use super::head::{Method, Version};
use super::scan::FIELDS_MAX;

/// A sound response head; all spans refer to the bytes it was read from.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    /// 100 to 999; the server is free to use codes nobody has defined.
    pub(crate) status: u16,
    /// Status code and reason as written: what stands behind the version.
    pub(crate) status_text: Span,
    /// The version the server speaks.
    pub(crate) version: Version,
    /// Where the content ends.
    pub(crate) framing: Framing,
    /// What the server says about its connection.
    pub(crate) connection: ConnectionOptions,
    /// The fields.
    pub(crate) fields: Fields,
}

impl ResponseHead {
    /// Reads one complete head that answers a request with `method`.
    ///
    /// # Errors
    /// The first [`Defect`].
    pub(crate) fn parse(head: &[u8], method: Method) -> Result<Self, Defect> {
        let (version, status_text) = split_status_line(head)?;
        let status = read_status(status_text.of(head))?;
        let fields = locate_fields(head)?;
        let connection = ConnectionOptions::read(head, &fields)?;
        let framing = response_framing(head, &fields, version, Meaning { method, status })?;
        Ok(Self { status, status_text, version, framing, connection, fields })
    }

    /// Whether another response precedes the one that counts; 101 ends HTTP and is not interim.
    pub(crate) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Whether the status forbids content together with the fields that would frame it.
    pub(crate) fn forbids_framing(&self) -> bool {
        self.status < 200 || self.status == 204
    }

    /// Whether the server keeps its connection (RFC 9112, 9.3).
    pub(crate) fn is_persistent(&self) -> bool {
        let says_so = match self.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        };
        says_so && self.framing != Framing::Close
    }
}

fn split_status_line(head: &[u8]) -> Result<(Version, Span), Defect> {
    let end = head.iter().position(|&byte| byte == b'\r').ok_or(Defect::BadStartLine)?;
    let line = &head[..end];
    let space = line.iter().position(|&byte| byte == b' ').ok_or(Defect::BadStartLine)?;
    Ok((Version::read(&line[..space])?, Span::new(space + 1, end)))
}

/// Three digits, then the end or a space and any reason.
fn read_status(text: &[u8]) -> Result<u16, Defect> {
    let (digits, reason) = text.split_at_checked(3).ok_or(Defect::BadStatus)?;
    let status = grammar::decimal(digits).filter(|&status| status >= 100).ok_or(Defect::BadStatus)?;
    match reason {
        [] | [b' ', ..] => Ok(status as u16),
        _ => Err(Defect::BadStatus),
    }
}

fn locate_fields(head: &[u8]) -> Result<Fields, Defect> {
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, &mut headers);
    let agrees = parsed == Ok(httparse::Status::Complete(head.len()));
    if agrees { Ok(Fields::locate(head, response.headers)) } else { Err(Defect::BadStartLine) }
}

struct Meaning {
    method: Method,
    status: u16,
}

/// RFC 9112, 6.3, without its repairs.
fn response_framing(head: &[u8], fields: &Fields, version: Version, of: Meaning) -> Result<Framing, Defect> {
    let length = fields::content_length(head, fields)?;
    let has_coding = fields.values(head, Kind::TransferEncoding).next().is_some();
    match (has_coding, length) {
        (true, Some(_)) => return Err(Defect::LengthAndCoding),
        (true, None) if version == Version::Http10 => return Err(Defect::CodingInOldVersion),
        _ => {}
    }
    let is_chunked = fields::is_chunked(head, fields)?;
    if of.method == Method::Head || of.status < 200 || matches!(of.status, 204 | 304) {
        return Ok(Framing::None);
    }
    Ok(match length {
        _ if is_chunked => Framing::Chunked,
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str, method: Method) -> Result<ResponseHead, Defect> {
        ResponseHead::parse(head.as_bytes(), method)
    }

    #[test]
    fn framing_follows_status_and_method() {
        let rows = [
            ("200 OK\r\nContent-Length: 5", Method::Get, Framing::Length(5)),
            ("200 OK\r\nContent-Length: 0", Method::Get, Framing::None),
            ("200 OK\r\nTransfer-Encoding: Chunked", Method::Get, Framing::Chunked),
            ("200 OK\r\nA: b", Method::Get, Framing::Close),
            ("200 OK\r\nContent-Length: 5", Method::Head, Framing::None),
            ("200 OK\r\nTransfer-Encoding: chunked", Method::Head, Framing::None),
            ("204 No Content\r\nA: b", Method::Get, Framing::None),
            ("304 Not Modified\r\nContent-Length: 5", Method::Get, Framing::None),
            ("100 Continue\r\nA: b", Method::Post, Framing::None),
            ("101 Switching Protocols\r\nUpgrade: x", Method::Get, Framing::None),
        ];
        for (head, method, framing) in rows {
            let head = parse(&format!("HTTP/1.1 {head}\r\n\r\n"), method);
            assert_eq!(head.unwrap().framing, framing);
        }
    }

    #[test]
    fn persistence_needs_an_end_and_consent() {
        let rows = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 1", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, Close", false),
            ("HTTP/1.1 200 OK", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive", true),
            ("HTTP/1.1 200\r\nContent-Length: 1", true),
        ];
        for (head, persistent) in rows {
            let parsed = parse(&format!("{head}\r\n\r\n"), Method::Get).unwrap();
            assert_eq!(parsed.is_persistent(), persistent, "{head}");
        }
    }

    #[test]
    fn ambiguous_responses_are_refused() {
        let rows = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1", Defect::DuplicateLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1", Defect::DuplicateLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1", Defect::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length:", Defect::BadLength),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", Defect::LengthAndCoding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", Defect::CodingInOldVersion),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", Defect::UnknownCoding),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked", Defect::BadCoding),
            ("HTTP/1.1 99 OK", Defect::BadStatus),
            ("HTTP/1.1 099 OK", Defect::BadStatus),
            ("HTTP/1.1 2000 OK", Defect::BadStatus),
            ("HTTP/1.1  200 OK", Defect::BadStatus),
            ("HTTP/1.1 abc OK", Defect::BadStatus),
            ("HTTP/2.0 200 OK", Defect::UnsupportedVersion),
            ("HTTP/1.10 200 OK", Defect::BadVersion),
            ("ICY 200 OK", Defect::BadVersion),
        ];
        for (head, defect) in rows {
            assert_eq!(parse(&format!("{head}\r\n\r\n"), Method::Get).unwrap_err(), defect, "{head}");
        }
    }
}
