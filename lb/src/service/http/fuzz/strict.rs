//! The smallest strict HTTP/1 parser: a second opinion about what the load balancer lets pass.
//!
//! Written from the ABNF of RFC 9112 (and of RFC 9110, 5.5 and 5.6; RFC 3986, 3.2) over a whole
//! buffer, without a thought about speed, and it shares nothing with the parser it judges. None of
//! the repairs that the RFC allows is made, but for three that hurt nobody and that clients and
//! servers rely on: one empty line before a request (RFC 9112, 2.2), any visible ASCII but `#` in a
//! path or query, and a status line that ends behind its code.

/// Why bytes are no message.
pub(crate) type Why = &'static str;

/// A name in lower case and its value without the whitespace around it.
pub(crate) type Field = (String, Vec<u8>);

/// How the end of a message was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

/// One whole message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Message {
    /// Method, target and version, or version, status code and reason.
    pub(crate) start: [Vec<u8>; 3],
    pub(crate) fields: Vec<Field>,
    pub(crate) framing: Framing,
    /// The content without chunk framing.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<Field>,
    /// Bytes in all, those of an empty line before it included.
    pub(crate) length: usize,
}

impl Message {
    /// The values of the fields with this name, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        values(&self.fields, name)
    }

    /// The members of the lists in the fields with this name, in lower case.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        list(&self.fields, name)
    }
}

/// Where in the bytes of a connection the requests ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tail {
    /// Nothing is left.
    Empty,
    /// The beginning of another message.
    Partial,
    /// No message.
    Bad(Why),
}

/// All requests on a connection that carried `bytes`.
pub(crate) fn requests(bytes: &[u8]) -> (Vec<Message>, Tail) {
    let (mut found, mut rest) = (Vec::new(), bytes);
    loop {
        match request(rest) {
            _ if rest.is_empty() => return (found, Tail::Empty),
            Ok(None) => return (found, Tail::Partial),
            Err(why) => return (found, Tail::Bad(why)),
            Ok(Some(message)) => {
                rest = &rest[message.length..];
                found.push(message);
            }
        }
    }
}

/// The request at the start of `bytes`; `None` if its end has not come.
pub(crate) fn request(bytes: &[u8]) -> Result<Option<Message>, Why> {
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let Some((line, fields, head)) = split_head(&bytes[skipped..])? else { return Ok(None) };
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err("a request line has three parts") };
    let old = is_old(version)?;
    if !is_token(method) {
        return Err("the method is no token");
    }
    let hosts = values(&fields, "host");
    match hosts[..] {
        [] if old => {}
        [host] if is_authority(host) => {}
        _ => return Err("Host is missing, doubled or malformed"),
    }
    check_target(method, target, hosts.first().copied())?;
    let framing = match framing(&fields, old)? {
        Framing::Close => Framing::None,
        framing => framing,
    };
    let Some((body, trailers, length)) = content(&bytes[skipped + head..], framing, &fields)? else { return Ok(None) };
    let start = [method.to_vec(), target.to_vec(), version.to_vec()];
    Ok(Some(Message { start, fields, framing, body, trailers, length: skipped + head + length }))
}

/// The response at the start of `bytes` to a request that was (or was not) HEAD; `closed` says that no
/// more bytes come.
pub(crate) fn response(bytes: &[u8], to_head: bool, closed: bool) -> Result<Option<Message>, Why> {
    let Some((line, fields, head)) = split_head(bytes)? else { return Ok(None) };
    let (version, rest) = line.split_at_checked(8).ok_or("the status line is too short")?;
    let old = is_old(version)?;
    let (code, reason) = match rest {
        [b' ', a, b, c] => ([*a, *b, *c], &[][..]),
        [b' ', a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err("the status line is malformed"),
    };
    if !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' || !is_text(reason) {
        return Err("the status code is malformed");
    }
    let framing = framing(&fields, old)?;
    let none = to_head || code[0] == b'1' || code == *b"204" || code == *b"304";
    let framing = if none { Framing::None } else { framing };
    if framing == Framing::Close && !closed {
        return Ok(None);
    }
    let Some((body, trailers, length)) = content(&bytes[head..], framing, &fields)? else { return Ok(None) };
    let start = [version.to_vec(), code.to_vec(), reason.to_vec()];
    Ok(Some(Message { start, fields, framing, body, trailers, length: head + length }))
}

/// First line, fields, and the length of all with the final empty line.
type Head<'b> = (&'b [u8], Vec<Field>, usize);

fn split_head(bytes: &[u8]) -> Result<Option<Head<'_>>, Why> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let mut rest = &bytes[..end + 2];
    let mut lines = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    let (first, others) = lines.split_first().ok_or("there is no first line")?;
    if !is_text(first) {
        return Err("the first line holds a control character");
    }
    let fields: Result<Vec<Field>, Why> = others.iter().map(|line| field(line)).collect();
    Ok(Some((first, fields?, end + 4)))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn is_old(version: &[u8]) -> Result<bool, Why> {
    match version {
        b"HTTP/1.0" => Ok(true),
        b"HTTP/1.1" => Ok(false),
        _ => Err("the version is unknown"),
    }
}

/// `field-name ":" OWS field-value OWS`
fn field(line: &[u8]) -> Result<Field, Why> {
    let colon = find(line, b":").ok_or("a field line has no colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) || !is_text(value) {
        return Err("a field line is malformed");
    }
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), trim(value).to_vec()))
}

fn values<'f>(fields: &'f [Field], name: &str) -> Vec<&'f [u8]> {
    fields.iter().filter(|(is, _)| is == name).map(|(_, value)| value.as_slice()).collect()
}

fn list(fields: &[Field], name: &str) -> Vec<String> {
    let values = values(fields, name).join(&b',');
    let members = values.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty());
    members.map(|member| String::from_utf8_lossy(member).to_ascii_lowercase()).collect()
}

/// RFC 9112, 6.3, as if the message were a response.
fn framing(fields: &[Field], old: bool) -> Result<Framing, Why> {
    if !list(fields, "connection").iter().all(|option| is_token(option.as_bytes())) {
        return Err("a connection option is no token");
    }
    let (lengths, codings) = (values(fields, "content-length"), values(fields, "transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::Close),
        ([length], []) => match number(length, 10) {
            Some(_) => Ok(Framing::Length),
            None => Err("Content-Length is malformed"),
        },
        ([], [coding]) if !old && coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([], _) => Err("Transfer-Encoding is not just chunked"),
        _ => Err("the length is given more than once"),
    }
}

/// Digits, and nothing else, as a number below 2^63.
fn number(text: &[u8], radix: u32) -> Option<usize> {
    let mut number: u64 = 0;
    for &digit in text {
        let digit = char::from(digit).to_digit(radix)?;
        number = number.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))?;
    }
    if text.is_empty() || number >> 63 != 0 { None } else { usize::try_from(number).ok() }
}

type Content = (Vec<u8>, Vec<Field>, usize);

fn content(bytes: &[u8], framing: Framing, fields: &[Field]) -> Result<Option<Content>, Why> {
    match framing {
        Framing::None => Ok(Some((Vec::new(), Vec::new(), 0))),
        Framing::Close => Ok(Some((bytes.to_vec(), Vec::new(), bytes.len()))),
        Framing::Length => {
            let length = values(fields, "content-length").first().and_then(|length| number(length, 10));
            let length = length.ok_or("Content-Length is malformed")?;
            Ok(bytes.get(..length).map(|body| (body.to_vec(), Vec::new(), length)))
        }
        Framing::Chunked => chunks(bytes),
    }
}

/// `*chunk last-chunk trailer-section CRLF`
fn chunks(bytes: &[u8]) -> Result<Option<Content>, Why> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let line = &bytes[at..at + end];
        at += end + 2;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = number(&line[..digits], 16).ok_or("a chunk size is malformed")?;
        check_extensions(&line[digits..])?;
        if size == 0 {
            break;
        }
        let Some(rest) = bytes[at..].get(size..).filter(|rest| rest.len() >= 2) else { return Ok(None) };
        if !rest.starts_with(b"\r\n") {
            return Err("chunk data is not followed by CR LF");
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
    }
    let mut trailers = Vec::new();
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let line = &bytes[at..at + end];
        at += end + 2;
        if line.is_empty() {
            return Ok(Some((body, trailers, at)));
        }
        trailers.push(field(line)?);
    }
}

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`
fn check_extensions(text: &[u8]) -> Result<(), Why> {
    const BAD: Why = "a chunk extension is malformed";
    if text.ends_with(b" ") || text.ends_with(b"\t") {
        return Err(BAD);
    }
    let mut rest = trim(text);
    while !rest.is_empty() {
        rest = trim(rest.strip_prefix(b";").ok_or(BAD)?);
        let name = rest.iter().take_while(|&&byte| is_token(&[byte])).count();
        if name == 0 {
            return Err(BAD);
        }
        rest = trim(&rest[name..]);
        if let Some(value) = rest.strip_prefix(b"=") {
            let value = trim(value);
            let length = match value.strip_prefix(b"\"") {
                Some(quoted) => 1 + quoted_length(quoted).ok_or(BAD)?,
                None => value.iter().take_while(|&&byte| is_token(&[byte])).count(),
            };
            if length == 0 {
                return Err(BAD);
            }
            rest = trim(&value[length..]);
        }
    }
    Ok(())
}

/// Bytes up to and with the closing quote.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if is_text(&[*text.get(at + 1)?]) => at += 2,
            byte if byte != b'\\' && is_text(&[byte]) => at += 1,
            _ => return None,
        }
    }
}

/// Origin form, absolute form of http and https, or the asterisk of OPTIONS.
fn check_target(method: &[u8], target: &[u8], host: Option<&[u8]>) -> Result<(), Why> {
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') || method == b"CONNECT" {
        return Err("the target is malformed");
    }
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Ok(());
    }
    let (authority, port, _) = split_absolute(target).ok_or("the target has no known form")?;
    let same =
        |text: &[u8]| text.strip_suffix(port).or_else(|| text.strip_suffix(b":")).unwrap_or(text).to_ascii_lowercase();
    match host {
        _ if !is_authority(authority) => Err("the authority of the target is malformed"),
        Some(host) if same(host) != same(authority) => Err("target and Host disagree"),
        _ => Ok(()),
    }
}

/// Authority, default port and the rest of a target in absolute form.
pub(crate) fn split_absolute(target: &[u8]) -> Option<(&[u8], &'static [u8], &[u8])> {
    let scheme = find(target, b"://")?;
    let port: &[u8] = match target[..scheme].to_ascii_lowercase().as_slice() {
        b"http" => b":80",
        b"https" => b":443",
        _ => return None,
    };
    let rest = &target[scheme + 3..];
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    Some((&rest[..end], port, &rest[end..]))
}

/// `( "[" IPv6 "]" / 1*( unreserved / pct-encoded / sub-delims ) ) [ ":" *DIGIT ]`
fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match find(text, b"]") {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(find(text, b":").unwrap_or(text.len())),
    };
    let literal = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    let sound = match literal {
        Some(address) => std::str::from_utf8(address).is_ok_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok()),
        None => is_registered_name(host),
    };
    let port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    sound && port
}

fn is_registered_name(host: &[u8]) -> bool {
    let mut pieces = host.split(|&byte| byte == b'%');
    let plain =
        |piece: &[u8]| piece.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte));
    let first = pieces.next().unwrap_or_default();
    let encoded =
        |piece: &[u8]| piece.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) && plain(&piece[2..]);
    !host.is_empty() && plain(first) && pieces.all(encoded)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// HTAB, SP, VCHAR, obs-text
fn is_text(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = text.iter().take_while(|byte| blank(byte)).count();
    let text = &text[start..];
    let end = text.iter().rev().take_while(|byte| blank(byte)).count();
    &text[..text.len() - end]
}
