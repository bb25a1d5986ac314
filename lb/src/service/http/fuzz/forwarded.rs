//! What has to become of a message on its way through the load balancer.
//!
//! Both sides are read by the strict parser; the rules are those of RFC 9110, 7.6, written down once
//! more and from the outside: the same message without what ends at this hop, with what is added.

use super::strict::{Field, Message, split_absolute};

/// What the load balancer adds to a request.
pub(crate) struct Hop<'a> {
    /// Address of the client, for `X-Forwarded-For`.
    pub(crate) client: &'a str,
    /// What `Host` becomes when nobody names one.
    pub(crate) host: &'a str,
}

/// Fields that end at a hop, or that the load balancer writes anew.
const OWN: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// What RFC 9110, 6.5.1 keeps out of trailers, and what proxies say about a client.
const NOT_AS_TRAILER: [&str; 7] = [
    "connection content-length host keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings",
    "cache-control expect max-forwards pragma range if-match if-none-match if-modified-since if-unmodified-since if-range",
    "authorization cookie proxy-authenticate proxy-authorization set-cookie www-authenticate",
    "age date expires location retry-after vary warning",
    "content-encoding content-range content-type",
    "forwarded via x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-server",
    "x-real-ip",
];

/// Whether a server got, as `server`, what the client sent as `client`.
pub(crate) fn check_request(client: &Message, server: &Message, hop: &Hop<'_>) -> Result<(), String> {
    let old = client.start[2] == b"HTTP/1.0";
    same("method", &client.start[0], &server.start[0])?;
    same("target", &origin_form(client), &server.start[1])?;
    same("version", &b"HTTP/1.1".to_vec(), &server.start[2])?;
    same("fields", &passing(client, &OWN), &passing(server, &OWN))?;
    same("framing", &client.framing, &server.framing)?;
    same("length", &lengths(client), &lengths(server))?;
    same("body", &client.body, &server.body)?;
    same("trailers", &trailers(client), &server.trailers)?;
    let host = client.values("host").first().map(|host| host.to_vec());
    let named = || split_absolute(&client.start[1]).map(|(authority, _, _)| authority.to_vec());
    let host = host.or_else(named).unwrap_or_else(|| hop.host.as_bytes().to_vec());
    same("host", &vec![host.as_slice()], &server.values("host"))?;
    let mut chain = client.list("x-forwarded-for");
    chain.push(hop.client.to_owned());
    same("x-forwarded-for", &chain, &server.list("x-forwarded-for"))?;
    same("x-forwarded-proto", &vec!["http".to_owned()], &server.list("x-forwarded-proto"))?;
    let expect = if old { Vec::new() } else { client.values("expect") };
    same("expect", &expect, &server.values("expect"))?;
    let offers = client.list("upgrade");
    let asked = client.list("connection").contains(&"upgrade".to_owned()) && !offers.is_empty();
    let upgrades = !old && asked && !offers.iter().any(|offer| offer.starts_with("h2c"));
    same("upgrade", &if upgrades { offers } else { Vec::new() }, &server.list("upgrade"))?;
    let connection = server.list("connection");
    let known = if upgrades { connection == ["upgrade"] } else { connection.is_empty() || connection == ["close"] };
    same("soundness of connection", &true, &known)?;
    ends_here(server, &["keep-alive", "proxy-connection", "te"])
}

/// Whether a client got, as `client`, what the server sent as `server`; `old` is an HTTP/1.0 client.
pub(crate) fn check_response(server: &Message, client: &Message, old: bool) -> Result<(), String> {
    const OWN: [&str; 6] =
        ["connection", "content-length", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    same("version", &b"HTTP/1.1".to_vec(), &client.start[0])?;
    same("status", &server.start[1..], &client.start[1..])?;
    same("fields", &passing(server, &OWN), &passing(client, &OWN))?;
    same("body", &server.body, &client.body)?;
    let code = server.start[1].as_slice();
    let bare = code[0] == b'1' || code == b"204";
    if bare {
        ends_here(client, &["content-length", "transfer-encoding"])?;
    } else {
        same("length", &lengths(server), &lengths(client))?;
    }
    if old {
        ends_here(client, &["transfer-encoding"])?;
        same("trailers", &Vec::new(), &client.trailers)?;
    } else {
        same("framing", &server.framing, &client.framing)?;
        same("trailers", &trailers(server), &client.trailers)?;
    }
    let connection = client.list("connection");
    match code {
        b"101" => same("upgrade", &server.list("upgrade"), &client.list("upgrade"))?,
        _ => ends_here(client, &["upgrade"])?,
    }
    let known = match code {
        b"101" => connection == ["upgrade"],
        _ => connection.is_empty() || connection == ["close"] || (old && connection == ["keep-alive"]),
    };
    same("soundness of connection", &true, &known)?;
    ends_here(client, &["keep-alive", "proxy-connection"])
}

fn same<T: std::fmt::Debug + PartialEq + ?Sized>(what: &str, meant: &T, got: &T) -> Result<(), String> {
    if meant == got { Ok(()) } else { Err(format!("{what}: meant {meant:?}, got {got:?}")) }
}

fn ends_here(message: &Message, names: &[&str]) -> Result<(), String> {
    let found = names.iter().find(|name| !message.values(name).is_empty());
    found.map_or(Ok(()), |name| Err(format!("{name} ends at this hop")))
}

/// The fields that a recipient must get as they are.
fn passing(message: &Message, own: &[&str]) -> Vec<Field> {
    let named = message.list("connection");
    let passes = |name: &String| !own.contains(&name.as_str()) && !named.contains(name);
    message.fields.iter().filter(|(name, _)| passes(name)).cloned().collect()
}

/// The trailers that may be sent on.
fn trailers(message: &Message) -> Vec<Field> {
    let passes = |name: &String| NOT_AS_TRAILER.iter().all(|group| !group.split(' ').any(|it| it == name));
    message.trailers.iter().filter(|(name, _)| passes(name)).cloned().collect()
}

/// The length in canonical spelling.
fn lengths(message: &Message) -> Vec<Vec<u8>> {
    let plain = |value: &[u8]| {
        let zeros = value.iter().take_while(|&&digit| digit == b'0').count();
        value[zeros.min(value.len() - 1)..].to_vec()
    };
    message.values("content-length").into_iter().map(plain).collect()
}

fn origin_form(request: &Message) -> Vec<u8> {
    let Some((_, _, rest)) = split_absolute(&request.start[1]).filter(|_| !request.start[1].starts_with(b"/")) else {
        return request.start[1].clone();
    };
    match rest {
        [] if request.start[0] == b"OPTIONS" => b"*".to_vec(),
        [b'/', ..] => rest.to_vec(),
        _ => [b"/", rest].concat(),
    }
}
