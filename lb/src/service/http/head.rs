//! The head of a request: is it sound, where does its content end, what does the client want?
//!
//! Everything two recipients could read differently is refused (RFC 9112, 11.2), not repaired.
//! The bytes have passed [`super::scan`] before; nothing here reads or writes a socket.

use std::mem::MaybeUninit;

use super::defect::Defect;
use super::fields::{self, ConnectionOptions, Fields, Kind, Span};
use super::framing::Framing;
use super::grammar::{self, HOST, TARGET, TOKEN};
use super::scan::FIELDS_MAX;

/// A request method, as far as it matters to who forwards it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the variants are the names of the methods")]
pub(crate) enum Method {
    Delete,
    Get,
    Head,
    Options,
    Other,
    Post,
    Put,
    Trace,
}

impl Method {
    fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// Whether doing it twice does the same as doing it once (RFC 9110, 9.2.2).
    pub(crate) fn is_idempotent(self) -> bool {
        !matches!(self, Self::Other | Self::Post)
    }
}

/// The version of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Version {
    /// Reads `HTTP/x.y`.
    ///
    /// # Errors
    /// [`Defect::UnsupportedVersion`] if it is sound but another one, else [`Defect::BadVersion`].
    pub(crate) fn read(text: &[u8]) -> Result<Self, Defect> {
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Defect::UnsupportedVersion),
            _ => Err(Defect::BadVersion),
        }
    }
}

/// A sound request head; all spans refer to the bytes it was read from.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    /// What the method means here.
    pub(crate) method: Method,
    /// The method as written.
    pub(crate) method_text: Span,
    /// Host and port of an absolute target; empty for the usual form.
    pub(crate) authority: Span,
    /// Path and query, as they are forwarded; may lack the slash behind an authority.
    pub(crate) path: Span,
    /// The version the client speaks.
    pub(crate) version: Version,
    /// Where the content ends; never [`Framing::Close`].
    pub(crate) framing: Framing,
    /// What the client says about its connection.
    pub(crate) connection: ConnectionOptions,
    /// Whether the client offers another protocol that may be passed on.
    pub(crate) upgrade: bool,
    /// Whether the client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
    /// How many hops may still forward it, from 1; only OPTIONS and TRACE can have that.
    pub(crate) forwards_max: Option<u64>,
    /// The fields.
    pub(crate) fields: Fields,
}

impl RequestHead {
    /// Reads one complete head, from the first byte of the request line to the final empty line.
    ///
    /// # Errors
    /// The first [`Defect`]; [`Defect::status`] is what to answer.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, Defect> {
        let line = RequestLine::split(head)?;
        let version = Version::read(line.version.of(head))?;
        let method_text = line.method.of(head);
        let fields = locate_fields(head, &line)?;
        let connection = ConnectionOptions::read(head, &fields)?;
        let method = Method::of(method_text);
        let host = check_host(head, &fields, version)?;
        let (authority, path) = split_target(head, line.target, method_text)?;
        // RFC 9112, 3.2.2: they must be the same, else two recipients may choose differently.
        if authority != Span::default() && host.is_some_and(|host| !is_same_host(head, authority, host)) {
            return Err(Defect::HostMismatch);
        }
        let framing = request_framing(head, &fields, version)?;
        if method == Method::Trace && framing != Framing::None {
            return Err(Defect::TraceContent);
        }
        let forwards_max = forwards_max(head, &fields, method)?;
        let upgrade = version == Version::Http11 && connection.upgrade && offers_protocol(head, &fields);
        let expects_continue = version == Version::Http11 && expects_continue(head, &fields);
        Ok(Self {
            method,
            method_text: line.method,
            authority,
            path,
            version,
            framing,
            connection,
            upgrade,
            expects_continue,
            forwards_max,
            fields,
        })
    }

    /// Whether the request says whom it is for.
    pub(crate) fn names_host(&self) -> bool {
        self.authority != Span::default() || self.fields.iter().any(|field| field.kind == Kind::Host)
    }

    /// Whether the client wants to send another request on this connection (RFC 9112, 9.3).
    pub(crate) fn wants_persistence(&self) -> bool {
        match self.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        }
    }
}

struct RequestLine {
    method: Span,
    target: Span,
    version: Span,
}

impl RequestLine {
    fn split(head: &[u8]) -> Result<Self, Defect> {
        let end = head.iter().position(|&byte| byte == b'\r').ok_or(Defect::BadStartLine)?;
        let line = &head[..end];
        let first = line.iter().position(|&byte| byte == b' ').ok_or(Defect::BadStartLine)?;
        let last = line.iter().rposition(|&byte| byte == b' ').filter(|&last| last > first);
        let last = last.ok_or(Defect::BadStartLine)?;
        let split =
            Self { method: Span::new(0, first), target: Span::new(first + 1, last), version: Span::new(last + 1, end) };
        if !grammar::all(split.method.of(head), TOKEN) {
            return Err(Defect::BadMethod);
        }
        // A second space between the parts would end up in the target, which has none.
        if !grammar::all(split.target.of(head), TARGET) {
            return Err(Defect::BadTarget);
        }
        Ok(split)
    }
}

fn locate_fields(head: &[u8], line: &RequestLine) -> Result<Fields, Defect> {
    let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(head, &mut headers);
    let agrees = parsed == Ok(httparse::Status::Complete(head.len()))
        && request.method.map(str::as_bytes) == Some(line.method.of(head))
        && request.path.map(str::as_bytes) == Some(line.target.of(head));
    // Two parsers that disagree about the same bytes are what smuggling is made of.
    if agrees { Ok(Fields::locate(head, request.headers)) } else { Err(Defect::BadStartLine) }
}

/// The value of `Host`, of which HTTP/1.1 needs one and HTTP/1.0 allows one.
fn check_host<'h>(head: &'h [u8], fields: &Fields, version: Version) -> Result<Option<&'h [u8]>, Defect> {
    let mut hosts = fields.values(head, Kind::Host);
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(Defect::DuplicateHost),
        (Some(host), None) if !is_authority(host) => Err(Defect::BadHost),
        (None, _) if version == Version::Http11 => Err(Defect::MissingHost),
        (host, _) => Ok(host),
    }
}

/// Authority and path of a target in origin, absolute or asterisk form.
fn split_target(head: &[u8], span: Span, method: &[u8]) -> Result<(Span, Span), Defect> {
    match span.of(head) {
        _ if method == b"CONNECT" => Err(Defect::Connect),
        [b'/', ..] => Ok((Span::default(), span)),
        b"*" if method == b"OPTIONS" => Ok((Span::default(), span)),
        target => {
            let start = scheme_length(target).ok_or(Defect::BadTarget)?;
            let rest = &target[start..];
            let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            if !is_authority(&rest[..length]) {
                return Err(Defect::BadTarget);
            }
            let cut = span.start() + start + length;
            Ok((Span::new(span.start() + start, cut), Span::new(cut, span.end())))
        }
    }
}

fn scheme_length(target: &[u8]) -> Option<usize> {
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let found = schemes
        .iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    found.map(|scheme| scheme.len())
}

/// Whether `host` names the authority at `span`; the port that goes without saying for its scheme may
/// stand in either.
fn is_same_host(head: &[u8], span: Span, host: &[u8]) -> bool {
    // "http" + "://": the byte four in front of the authority tells http from https.
    let tls = span.start().checked_sub(4).is_some_and(|at| head[at].eq_ignore_ascii_case(&b's'));
    let default: &[u8] = if tls { b":443" } else { b":80" };
    let plain = |text| [default, b":"].iter().find_map(|end| <[u8]>::strip_suffix(text, *end)).unwrap_or(text);
    plain(host).eq_ignore_ascii_case(plain(span.of(head)))
}

/// Whether `text` is `host[:port]` without user information (RFC 3986, 3.2).
fn is_authority(text: &[u8]) -> bool {
    let (host_is_sound, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let address = std::str::from_utf8(&rest[..end]).ok();
            (address.is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok()), &rest[end + 1..])
        }
        _ => {
            let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
            let host = &text[..end];
            (grammar::all(host, HOST) && has_sound_escapes(host), &text[end..])
        }
    };
    let port_is_sound = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => grammar::decimal(digits).is_some_and(|port| port <= u64::from(u16::MAX)),
        _ => false,
    };
    host_is_sound && port_is_sound
}

/// Whether each percent sign is followed by two hexadecimal digits (RFC 3986, 2.1).
fn has_sound_escapes(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b'%');
    parts.next();
    parts.all(|part| part.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

fn request_framing(head: &[u8], fields: &Fields, version: Version) -> Result<Framing, Defect> {
    let length = fields::content_length(head, fields)?;
    let has_coding = fields.values(head, Kind::TransferEncoding).next().is_some();
    // Before the coding is read: whatever it says, the other recipient may go by the length.
    match (has_coding, length) {
        (true, Some(_)) => Err(Defect::LengthAndCoding),
        (true, None) if version == Version::Http10 => Err(Defect::CodingInOldVersion),
        (true, None) => fields::is_chunked(head, fields).map(|_| Framing::Chunked),
        (false, None | Some(0)) => Ok(Framing::None),
        (false, Some(length)) => Ok(Framing::Length(length)),
    }
}

fn expects_continue(head: &[u8], fields: &Fields) -> bool {
    fields.values(head, Kind::Expect).flat_map(grammar::list).any(|it| it.eq_ignore_ascii_case(b"100-continue"))
}

/// The value of `Max-Forwards`, where it counts (RFC 9110, 7.6.2).
fn forwards_max(head: &[u8], fields: &Fields, method: Method) -> Result<Option<u64>, Defect> {
    if !matches!(method, Method::Options | Method::Trace) {
        return Ok(None);
    }
    let mut values = fields.values(head, Kind::MaxForwards);
    let Some(value) = values.next() else { return Ok(None) };
    match (grammar::decimal(value), values.next()) {
        (Some(0), None) => Err(Defect::LastHop),
        (Some(count), None) => Ok(Some(count)),
        _ => Err(Defect::BadMaxForwards),
    }
}

/// Whether there is an `Upgrade` worth passing on. Not h2c: its `HTTP2-Settings` ends at this hop,
/// and a tunnel to a server's HTTP/2 would carry requests nobody here has looked at.
fn offers_protocol(head: &[u8], fields: &Fields) -> bool {
    let offers = || fields.values(head, Kind::Upgrade).flat_map(grammar::list);
    offers().next().is_some() && !offers().any(|it| it.len() >= 3 && it[..3].eq_ignore_ascii_case(b"h2c"))
}

#[cfg(test)]
mod tests;
