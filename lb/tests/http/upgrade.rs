//! Protocol switches: a tunnel only behind 101.

use std::sync::mpsc::channel;

use crate::testbed::{Client, PATIENCE, Server, lb};

const OFFER: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn behind_101_bytes_pass_both_ways_as_they_are() {
    let server = Server::start(|mut peer| {
        let head = peer.head().unwrap();
        assert!(head.contains("\r\nUpgrade: websocket\r\n") && head.contains("\r\nConnection: upgrade\r\n"), "{head}");
        peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
        // Sent by the client before it had the 101, held back until then.
        assert_eq!(peer.read(5).unwrap(), b"early");
        while let Some(byte) = peer.read(1) {
            peer.say(byte.to_ascii_uppercase());
        }
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say(format!("{OFFER}early"));
    assert_eq!(client.head(), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    assert_eq!(client.exactly(5), b"first");
    assert_eq!(client.say("\0get / http/9.9\n").exactly(15), b"\0GET / HTTP/9.9");
    assert_eq!(client.exactly(1), b"\n");
    assert_eq!(client.half_close().rest(), "");
}

#[test]
fn a_tunnel_keeps_no_other_server_connection_open() {
    let (ended, ends) = channel();
    let first = Server::start(move |mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.drain();
        let _ = ended.send(());
    });
    let second = Server::start(|mut peer| {
        peer.head();
        peer.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while let Some(byte) = peer.read(1) {
            peer.say(byte.to_ascii_uppercase());
        }
    });
    let lb = lb("reuse = 'never'", &[&first, &second]);
    let mut client = Client::to(&lb);
    assert_eq!(client.get("/").text(), "ok");
    assert!(ends.try_recv().is_err(), "it is kept for this client's next request");
    client.say(OFFER).head();
    assert_eq!(client.say("a").exactly(1), b"A");
    ends.recv_timeout(PATIENCE).unwrap();
    assert_eq!(client.say("b").exactly(1), b"B");
}

#[test]
fn without_101_an_offer_is_an_ordinary_request() {
    let server = Server::named("no");
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say(format!("{OFFER}GET /next HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(client.response().text(), "no");
    assert_eq!(client.response().text(), "no");
    let seen = server.seen().concat();
    assert!(seen.contains("GET /next HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
}

#[test]
fn a_switch_that_was_not_offered_is_refused() {
    let server = Server::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    let lb = lb("", &[&server]);
    assert_eq!(Client::to(&lb).get("/").status, 502);
    // h2c is not passed on, so nobody has offered anything.
    let mut client = Client::to(&lb);
    client.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n");
    assert_eq!(client.response().status, 502);
    assert!(!server.seen().concat().contains("pgrade"));
}
