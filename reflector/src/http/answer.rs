//! The bytes of a response's head, as the fast path and refusals send them.
//!
//! Written into a buffer that the thread keeps; no formatting machinery, no allocation.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::StatusCode;
use wire::identity;

/// Who answers whom: what every response says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) instance: &'a str,
    pub(crate) peer: SocketAddr,
    pub(crate) connection: u64,
    pub(crate) request: u64,
}

/// How the response is framed and what becomes of the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    pub(crate) status: u16,
    pub(crate) length: u64,
    pub(crate) no_cache: bool,
    /// What `Connection` says; `None` where the version's own rule already does.
    pub(crate) connection: Option<&'static str>,
}

/// Whether responses of this status have neither body nor length (RFC 9110, 6.4.1).
pub(crate) fn is_bodiless(status: u16) -> bool {
    status == 204 || status == 304
}

/// Appends a response's head.
pub(crate) fn push_head(out: &mut Vec<u8>, framing: Framing, label: Label<'_>, date: &str) {
    match framing.status {
        200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        status => push_status_line(out, status),
    }
    out.extend_from_slice(b"content-type: text/plain\r\ndate: ");
    out.extend_from_slice(date.as_bytes());
    if !is_bodiless(framing.status) {
        push_name(out, "content-length");
        push_number(out, framing.length);
    }
    push_name(out, identity::INSTANCE);
    out.extend_from_slice(label.instance.as_bytes());
    push_name(out, identity::CLIENT);
    push_address(out, label.peer);
    push_name(out, identity::CONNECTION);
    push_number(out, label.connection);
    push_name(out, identity::REQUEST);
    push_number(out, label.request);
    if framing.no_cache {
        out.extend_from_slice(b"\r\ncache-control: no-cache");
    }
    if let Some(option) = framing.connection {
        push_name(out, "connection");
        out.extend_from_slice(option.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

fn push_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, u64::from(status));
    out.push(b' ');
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    out.extend_from_slice(reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
}

fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_number(out, u64::from(octet));
            }
            out.push(b':');
            push_number(out, u64::from(address.port()));
        }
        // Writing to a vector cannot fail.
        IpAddr::V6(_) => drop(write!(out, "{address}")),
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(framing: Framing, peer: &str) -> String {
        let mut out = Vec::new();
        let label = Label { instance: "r1", peer: peer.parse().unwrap(), connection: 1234567890, request: 0 };
        push_head(&mut out, framing, label, "Mon, 23 Nov 2026 04:05:06 GMT");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_head_says_who_answered_and_what_was_seen() {
        let framing = Framing { status: 200, length: u64::MAX, no_cache: true, connection: Some("close") };
        assert_eq!(
            text(framing, "127.0.0.1:65535"),
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: Mon, 23 Nov 2026 04:05:06 GMT\r\n\
             content-length: 18446744073709551615\r\nx-nadare-instance: r1\r\nx-nadare-client: 127.0.0.1:65535\r\n\
             x-nadare-connection: 1234567890\r\nx-nadare-request: 0\r\ncache-control: no-cache\r\n\
             connection: close\r\n\r\n"
        );
    }

    #[test]
    fn other_statuses_and_ipv6_are_written_out() {
        let framing = Framing { status: 404, length: 0, no_cache: false, connection: None };
        let text_404 = text(framing, "[::1]:80");
        assert!(text_404.starts_with("HTTP/1.1 404 Not Found\r\n"), "{text_404}");
        assert!(text_404.contains("\r\nx-nadare-client: [::1]:80\r\n"), "{text_404}");
        assert!(text(Framing { status: 599, ..framing }, "[::1]:80").starts_with("HTTP/1.1 599 \r\n"));
        assert!(!text(Framing { status: 204, ..framing }, "[::1]:80").contains("content-length"));
    }
}
