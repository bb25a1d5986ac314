//! Requests that are accepted and, as a table, those that are not.

use super::*;

fn parse(head: &str) -> Result<RequestHead, Defect> {
    RequestHead::parse(head.as_bytes())
}

fn request(line: &str, fields: &str) -> String {
    format!("{line}\r\n{fields}\r\n\r\n")
}

#[test]
fn a_sound_request_is_read() {
    let text = request("POST /a?b=c HTTP/1.1", "Host: h.example:80\r\nContent-Length: 7\r\nExpect: 100-Continue");
    let head = parse(&text).unwrap();
    assert_eq!(head.method, Method::Post);
    assert_eq!(head.path.of(text.as_bytes()), b"/a?b=c");
    assert_eq!(head.framing, Framing::Length(7));
    assert!(head.expects_continue && head.wants_persistence() && !head.upgrade);
    let values: Vec<&[u8]> = head.fields.iter().map(|field| field.value.of(text.as_bytes())).collect();
    assert_eq!(values, [b"h.example:80".as_slice(), b"7", b"100-Continue"]);
    let lines: Vec<u8> = head.fields.iter().flat_map(|field| field.line.of(text.as_bytes()).to_vec()).collect();
    assert_eq!(lines, text.as_bytes()[22..text.len() - 2]);
}

#[test]
fn empty_and_padded_values_are_placed() {
    let text = request("GET / HTTP/1.1", "Host: \t h \t\r\nA:\r\nB: \t ");
    let head = parse(&text).unwrap();
    let values: Vec<&[u8]> = head.fields.iter().map(|field| field.value.of(text.as_bytes())).collect();
    assert_eq!(values, [b"h".as_slice(), b"", b""]);
}

#[test]
fn persistence_follows_version_and_options() {
    let rows = [
        ("HTTP/1.1", "Host: h", true),
        ("HTTP/1.1", "Host: h\r\nConnection: x , CLOSE", false),
        ("HTTP/1.0", "Host: h", false),
        ("HTTP/1.0", "Connection: Keep-Alive", true),
        ("HTTP/1.0", "Connection: keep-alive\r\nConnection: close", false),
    ];
    for (version, fields, persistent) in rows {
        let head = parse(&request(&format!("GET / {version}"), fields)).unwrap();
        assert_eq!(head.wants_persistence(), persistent, "{version} {fields}");
    }
}

#[test]
fn an_absolute_target_is_cut_to_its_path() {
    for (target, path) in
        [("http://h/a?b", "/a?b"), ("HTTP://H/", "/"), ("https://h?q", "?q"), ("http://h", ""), ("/plain", "/plain")]
    {
        let text = request(&format!("GET {target} HTTP/1.1"), "Host: h");
        let head = parse(&text).unwrap();
        assert_eq!(head.path.of(text.as_bytes()), path.as_bytes(), "{target}");
    }
}

#[test]
fn an_upgrade_is_offered_by_both_fields_and_never_to_h2c() {
    for (fields, upgrade) in [
        ("Connection: Upgrade\r\nUpgrade: websocket", true),
        ("Connection: Upgrade", false),
        ("Upgrade: websocket", false),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c", false),
        ("Connection: Upgrade\r\nUpgrade: websocket, H2C", false),
    ] {
        let head = parse(&request("GET / HTTP/1.1", &format!("Host: h\r\n{fields}"))).unwrap();
        assert_eq!(head.upgrade, upgrade, "{fields}");
    }
}

#[test]
fn unsound_requests_are_refused() {
    let line = "GET / HTTP/1.1";
    let rows = [
        ("GET /", "Host: h", Defect::BadStartLine),
        ("GET", "Host: h", Defect::BadStartLine),
        ("GET  / HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET /  HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET / x HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET /\t HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET /#a HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET /\u{e9} HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET a HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET * HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET ftp://h/ HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET http:// HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET http://u@h/ HTTP/1.1", "Host: h", Defect::BadTarget),
        ("GET http://g/ HTTP/1.1", "Host: h", Defect::HostMismatch),
        ("GET http://h:443/ HTTP/1.1", "Host: h", Defect::HostMismatch),
        ("GET https://h:80/ HTTP/1.1", "Host: h", Defect::HostMismatch),
        ("G(T / HTTP/1.1", "Host: h", Defect::BadMethod),
        ("CONNECT h:443 HTTP/1.1", "Host: h:443", Defect::Connect),
        ("GET / HTTP/1.1 ", "Host: h", Defect::BadTarget),
        ("GET / http/1.1", "Host: h", Defect::BadVersion),
        ("GET / HTTP/1.10", "Host: h", Defect::BadVersion),
        ("GET / HTTP/11", "Host: h", Defect::BadVersion),
        ("GET / HTTP/2.0", "Host: h", Defect::UnsupportedVersion),
        ("GET / HTTP/1.2", "Host: h", Defect::UnsupportedVersion),
        (line, "A: b", Defect::MissingHost),
        (line, "Host: h\r\nHost: h", Defect::DuplicateHost),
        ("GET / HTTP/1.0", "Host: h\r\nhost: g", Defect::DuplicateHost),
        (line, "Host:", Defect::BadHost),
        (line, "Host: a,b", Defect::BadHost),
        (line, "Host: a b", Defect::BadHost),
        (line, "Host: u@h", Defect::BadHost),
        (line, "Host: h/x", Defect::BadHost),
        (line, "Host: h:80:80", Defect::BadHost),
        (line, "Host: h:65536", Defect::BadHost),
        (line, "Host: h:x", Defect::BadHost),
        (line, "Host: [::1", Defect::BadHost),
        (line, "Host: [::1]x", Defect::BadHost),
        (line, "Host: [g::1]", Defect::BadHost),
        (line, "Host: h\r\nContent-Length: 1\r\nContent-Length: 1", Defect::DuplicateLength),
        (line, "Host: h\r\nContent-Length: 1\r\nContent-Length: 2", Defect::DuplicateLength),
        (line, "Host: h\r\nContent-Length: 1, 1", Defect::DuplicateLength),
        (line, "Host: h\r\nContent-Length:", Defect::BadLength),
        (line, "Host: h\r\nContent-Length: +1", Defect::BadLength),
        (line, "Host: h\r\nContent-Length: -1", Defect::BadLength),
        (line, "Host: h\r\nContent-Length: 1 1", Defect::BadLength),
        (line, "Host: h\r\nContent-Length: 0x1", Defect::BadLength),
        (line, "Host: h\r\nContent-Length: 9223372036854775808", Defect::BadLength),
        (line, "Host: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", Defect::LengthAndCoding),
        (line, "Host: h\r\nTransfer-Encoding: x\r\nContent-Length: 1", Defect::LengthAndCoding),
        ("GET / HTTP/1.0", "Transfer-Encoding: chunked", Defect::CodingInOldVersion),
        (line, "Host: h\r\nTransfer-Encoding: gzip", Defect::BadCoding),
        (line, "Host: h\r\nTransfer-Encoding: xchunked", Defect::BadCoding),
        (line, "Host: h\r\nTransfer-Encoding: gzip, chunked", Defect::UnknownCoding),
        (line, "Host: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked", Defect::UnknownCoding),
        (line, "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Defect::BadCoding),
        (line, "Host: h\r\nTransfer-Encoding: chunked, gzip", Defect::BadCoding),
        (line, "Host: h\r\nTransfer-Encoding: chunked,", Defect::BadCoding),
        (line, "Host: h\r\nTransfer-Encoding: \"chunked\"", Defect::BadCoding),
        (line, "Host: h\r\nTransfer-Encoding: chunked;q=1", Defect::BadCoding),
        (line, "Host: h\r\nTransfer-Encoding:", Defect::BadCoding),
        ("TRACE / HTTP/1.1", "Host: h\r\nContent-Length: 1", Defect::TraceContent),
        (line, "Host: h\r\nConnection: a b", Defect::BadConnection),
    ];
    for (line, fields, defect) in rows {
        assert_eq!(parse(&request(line, fields)).unwrap_err(), defect, "{line} | {fields}");
        assert!((400..=505).contains(&defect.status()));
    }
}
