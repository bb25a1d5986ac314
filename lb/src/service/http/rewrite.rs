//! Writes the heads that are forwarded.
//!
//! Fields keep their bytes and their order; runs of untouched lines are copied at once. What ends
//! at this hop is dropped (RFC 9110, 7.6.1), what frames the message is written anew in one
//! canonical spelling, so that no server can read it differently. The version is always HTTP/1.1:
//! it is ours, not the sender's (RFC 9112, 2.3).

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::fields::{self, Field, Fields, Kind};
use super::framing::Framing;
use super::head::{RequestHead, Version};
use super::response::ResponseHead;

/// What is added to or withheld from a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestPolicy {
    /// The client's address for `X-Forwarded-For`; with it `X-Forwarded-Proto` is set. `None` adds neither.
    pub(crate) forwarded: Option<IpAddr>,
    /// Tell the server to close after its response.
    pub(crate) close: bool,
    /// What `Host` becomes when an HTTP/1.0 request has none.
    pub(crate) host: SocketAddr,
}

/// What the client is told about its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClientConnection {
    /// It stays; HTTP/1.1 needs no word for that.
    Implied,
    /// It stays, and an HTTP/1.0 client has to be told.
    KeepAlive,
    /// It ends with this response.
    Close,
    /// It becomes a tunnel.
    Upgrade,
}

/// Appends the head of `request`, read from `head`, as the server gets it.
pub(crate) fn write_request(head: &[u8], request: &RequestHead, policy: &RequestPolicy, out: &mut Vec<u8>) {
    write_request_line(head, request, out);
    if request.fields.values(head, Kind::Host).next().is_none() {
        match request.authority.of(head) {
            [] => write_field(out, b"Host", format_args!("{}", policy.host)),
            authority => out.extend_from_slice(&[b"Host: ", authority, b"\r\n"].concat()),
        }
    }
    let last = request.fields.iter().rev().find(|field| field.kind == Kind::ForwardedFor);
    let chain = last.filter(|_| policy.forwarded.is_some()).map(|field| field.line);
    copy_fields(head, &request.fields, out, |field| match field.kind {
        Kind::Upgrade => request.upgrade,
        // An HTTP/1.0 client cannot wait for an interim response.
        Kind::Expect => request.version == Version::Http11,
        Kind::ForwardedFor => chain != Some(field.line),
        Kind::MaxForwards => request.forwards_max.is_none(),
        Kind::ForwardedProto => policy.forwarded.is_none(),
        Kind::Te => false,
        Kind::Other => !(request.connection.names_fields && is_named(head, &request.fields, field)),
        _ => true,
    });
    if let Some(count) = request.forwards_max {
        write_field(out, b"Max-Forwards", format_args!("{}", count - 1));
    }
    if let Some(client) = policy.forwarded {
        let before = last.map_or(b"".as_slice(), |field| field.value.of(head));
        out.extend_from_slice(b"X-Forwarded-For: ");
        out.extend_from_slice(before);
        out.extend_from_slice(if before.is_empty() { b"" } else { b", " });
        write_address(out, client);
        out.extend_from_slice(b"\r\nX-Forwarded-Proto: http\r\n");
    }
    write_framing(head, &request.fields, request.framing == Framing::Chunked, out);
    if request.upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if policy.close {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of `response`, read from `head`, as the client gets it. `strip` says that the
/// client gets the content without chunk framing.
pub(crate) fn write_response(
    head: &[u8],
    response: &ResponseHead,
    connection: ClientConnection,
    strip: bool,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status_text.of(head));
    // The space in front of the reason is not optional (RFC 9112, 4).
    out.extend_from_slice(if response.status_text.of(head).len() == 3 { b" \r\n" } else { b"\r\n" });
    copy_fields(head, &response.fields, out, |field| match field.kind {
        Kind::Upgrade => connection == ClientConnection::Upgrade,
        // None of the names that mean something in a request is safe from being named here.
        _ => !(response.connection.names_fields && is_named(head, &response.fields, field)),
    });
    if !response.forbids_framing() {
        let chunked = response.fields.values(head, Kind::TransferEncoding).next().is_some();
        write_framing(head, &response.fields, chunked && !strip, out);
    }
    out.extend_from_slice(match connection {
        ClientConnection::Implied => b"\r\n".as_slice(),
        ClientConnection::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        ClientConnection::Close => b"Connection: close\r\n\r\n",
        ClientConnection::Upgrade => b"Connection: upgrade\r\n\r\n",
    });
}

fn write_request_line(head: &[u8], request: &RequestHead, out: &mut Vec<u8>) {
    out.extend_from_slice(request.method_text.of(head));
    out.push(b' ');
    match request.path.of(head) {
        // RFC 9112, 3.2.4: an absolute target without a path is about the server as a whole.
        [] if request.method_text.of(head) == b"OPTIONS" => out.push(b'*'),
        path => {
            if path.first().is_none_or(|&byte| byte == b'?') {
                out.push(b'/');
            }
            out.extend_from_slice(path);
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Copies the lines that `keeps` lets pass, without those that always end here or are written anew.
fn copy_fields(head: &[u8], fields: &Fields, out: &mut Vec<u8>, keeps: impl Fn(&Field) -> bool) {
    let mut run = 0..0;
    for field in fields.iter() {
        let ends_here = matches!(
            field.kind,
            Kind::Connection | Kind::ContentLength | Kind::KeepAlive | Kind::ProxyConnection | Kind::TransferEncoding
        );
        if ends_here || !keeps(field) {
            continue;
        }
        if run.end == field.line.start() {
            run.end = field.line.end();
        } else {
            out.extend_from_slice(&head[run]);
            run = field.line.start()..field.line.end();
        }
    }
    out.extend_from_slice(&head[run]);
}

fn is_named(head: &[u8], fields: &Fields, field: &Field) -> bool {
    fields::is_named_by_connection(head, fields, field.name.of(head))
}

fn write_framing(head: &[u8], fields: &Fields, chunked: bool, out: &mut Vec<u8>) {
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if let Some(length) = fields.values(head, Kind::ContentLength).next() {
        let zeros = length.iter().take_while(|&&digit| digit == b'0').count();
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(&length[zeros.min(length.len() - 1)..]);
        out.extend_from_slice(b"\r\n");
    }
}

fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    // Writing into a vector cannot fail.
    let _ = match address.to_canonical() {
        IpAddr::V4(address) => write!(out, "{address}"),
        IpAddr::V6(address) => write!(out, "{address}"),
    };
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: std::fmt::Arguments<'_>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    // Writing into a vector cannot fail.
    let _ = out.write_fmt(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::head::Method;
    use super::*;

    const POLICY: RequestPolicy = RequestPolicy {
        forwarded: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7))),
        close: false,
        host: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080),
    };
    const ADDED: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n";

    fn forwarded(head: &str, policy: &RequestPolicy) -> String {
        let request = RequestHead::parse(head.as_bytes()).unwrap();
        let mut out = Vec::new();
        write_request(head.as_bytes(), &request, policy, &mut out);
        let again = RequestHead::parse(&out).expect("what is forwarded is sound");
        assert_eq!(again.framing, request.framing, "the framing survives");
        String::from_utf8(out).unwrap()
    }

    fn answered(head: &str, connection: ClientConnection, strip: bool) -> String {
        let response = ResponseHead::parse(head.as_bytes(), Method::Get).unwrap();
        let mut out = Vec::new();
        write_response(head.as_bytes(), &response, connection, strip, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fields_keep_their_bytes_and_order() {
        let head = "GET /a HTTP/1.1\r\nHost:  h\r\nX-b:c \r\nx-B: d\r\n\r\n";
        assert_eq!(forwarded(head, &POLICY), format!("GET /a HTTP/1.1\r\nHost:  h\r\nX-b:c \r\nx-B: d\r\n{ADDED}\r\n"));
    }

    #[test]
    fn what_ends_at_this_hop_is_dropped() {
        let head = "GET / HTTP/1.1\r\nConnection: X-Private, keep-alive, Host\r\nHost: h\r\nKeep-Alive: 5\r\n\
                    Proxy-Connection: close\r\nTE: trailers\r\nx-private: 1\r\nA: b\r\nUpgrade: x\r\n\r\n";
        assert_eq!(forwarded(head, &POLICY), format!("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n{ADDED}\r\n"));
    }

    #[test]
    fn framing_cannot_be_named_away_and_is_canonical() {
        let head = "PUT / HTTP/1.1\r\nHost: h\r\nConnection: content-length\r\nContent-Length: \t007\r\n\r\n";
        assert!(forwarded(head, &POLICY).ends_with("http\r\nContent-Length: 7\r\n\r\n"));
        let head = "PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\ntransfer-encoding: \tCHUNKED\r\n\r\n";
        let close = RequestPolicy { close: true, ..POLICY };
        assert!(forwarded(head, &close).ends_with("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"));
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 00\r\n\r\n";
        assert!(forwarded(head, &POLICY).ends_with("\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn the_client_is_appended_to_the_chain_and_the_scheme_is_ours() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n\
                    X-Forwarded-Proto: https\r\n\r\n";
        let out = forwarded(head, &POLICY);
        assert!(out.contains("X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 192.0.2.7\r\n"), "{out}");
        assert!(out.contains("X-Forwarded-Proto: http\r\n") && !out.contains("https"), "{out}");
        let untouched = RequestPolicy { forwarded: None, ..POLICY };
        assert_eq!(forwarded(head, &untouched), head);
    }

    #[test]
    fn an_old_or_absolute_request_becomes_an_ordinary_one() {
        let out = forwarded("GET /a HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", &POLICY);
        assert_eq!(out, format!("GET /a HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{ADDED}\r\n"));
        let out = forwarded("GET http://x:1?q HTTP/1.0\r\n\r\n", &POLICY);
        assert_eq!(out, format!("GET /?q HTTP/1.1\r\nHost: x:1\r\n{ADDED}\r\n"));
        let out = forwarded("OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n", &POLICY);
        assert_eq!(out, format!("OPTIONS * HTTP/1.1\r\nHost: x\r\n{ADDED}\r\n"));
    }

    #[test]
    fn an_upgrade_passes_with_its_connection_field() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        let out = forwarded(head, &POLICY);
        assert_eq!(
            out,
            format!("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n{ADDED}Connection: upgrade\r\n\r\n")
        );
    }

    #[test]
    fn responses_say_what_becomes_of_the_connection() {
        let head = "HTTP/1.0 200\r\nConnection: X-a\r\nKeep-Alive: 1\r\nX-A: 1\r\nB: c\r\nContent-Length: 03\r\n\r\n";
        for (connection, end) in [
            (ClientConnection::Implied, ""),
            (ClientConnection::KeepAlive, "Connection: keep-alive\r\n"),
            (ClientConnection::Close, "Connection: close\r\n"),
        ] {
            let expected = format!("HTTP/1.1 200 \r\nB: c\r\nContent-Length: 3\r\n{end}\r\n");
            assert_eq!(answered(head, connection, false), expected);
        }
        let head = "HTTP/1.1 200 OK\r\nTE: x\r\nConnection: te, expect\r\nExpect: y\r\nHost: z\r\n\r\n";
        assert_eq!(answered(head, ClientConnection::Implied, false), "HTTP/1.1 200 OK\r\nHost: z\r\n\r\n");
        let head = "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
        assert_eq!(answered(head, ClientConnection::Upgrade, false), head);
    }

    #[test]
    fn responses_keep_their_framing_unless_it_is_stripped_or_forbidden() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(answered(chunked, ClientConnection::Implied, false), chunked);
        assert_eq!(answered(chunked, ClientConnection::Close, true), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let empty = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(answered(empty, ClientConnection::Implied, false), "HTTP/1.1 204 No Content\r\n\r\n");
    }
}
