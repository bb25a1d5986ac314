//! Where messages end, in both directions.

use std::time::Duration;

use crate::testbed::{Client, Server, lb};

#[test]
fn responses_keep_their_framing() {
    let rows: [(&str, &str, &str); 7] = [
        ("GET", "200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 OK\r\nContent-Length: 3\r\n\r\nabc"),
        (
            "GET",
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
            "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
        ),
        ("HEAD", "200 OK\r\nContent-Length: 3\r\n\r\n", "200 OK\r\nContent-Length: 3\r\n\r\n"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "204 No Content\r\nContent-Length: 0\r\n\r\n", "204 No Content\r\n\r\n"),
        ("GET", "304 Not Modified\r\nContent-Length: 3\r\n\r\n", "304 Not Modified\r\nContent-Length: 3\r\n\r\n"),
        ("GET", "200 \r\nContent-Length: 0\r\n\r\n", "200 \r\nContent-Length: 0\r\n\r\n"),
    ];
    for (method, answer, expected) in rows {
        let server = Server::answering(format!("HTTP/1.1 {answer}"));
        let lb = lb("", &[&server]);
        let mut client = Client::to(&lb);
        // Twice on one connection: the second shows that the first ended in the right place.
        for _ in 0..2 {
            client.say(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
            let got = client.exactly(9 + expected.len());
            assert_eq!(String::from_utf8(got).unwrap(), format!("HTTP/1.1 {expected}"), "{method}");
        }
        client.say(format!("{method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        assert!(client.rest().contains("\r\nConnection: close\r\n"));
        assert_eq!(server.connections(), 1, "{answer}: the server connection was reused");
    }
}

#[test]
fn a_response_that_ends_with_its_connection_ends_the_client_connection_too() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let server = Server::answering_once(format!("{version} 200 OK\r\nA: b\r\n\r\nto the end"));
        let lb = lb("", &[&server]);
        let mut client = Client::to(&lb);
        client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.rest(), "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nto the end");
    }
}

#[test]
fn an_old_client_is_not_told_of_chunks_that_it_does_not_get() {
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified")] {
        let server = Server::answering(format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n"));
        let lb = lb("", &[&server]);
        let answer = Client::to(&lb).say(format!("{method} / HTTP/1.0\r\n\r\n")).rest();
        assert_eq!(answer, format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n"));
    }
}

#[test]
fn an_old_client_gets_chunks_as_plain_content() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n8;e\r\n and def\r\n0\r\nT: v\r\n\r\n",
    );
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.rest(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc and def");
}

#[test]
fn large_content_arrives_whole_in_both_directions() {
    const SIZE: usize = 3_000_000;
    let content: Vec<u8> = (0..SIZE).map(|n| (n / 7) as u8).collect();
    let server = Server::start(|mut peer| {
        while let Some(head) = peer.head() {
            let body = if head.contains("chunked") {
                let mut body = Vec::new();
                while let Some(size) = peer.line().filter(|size| size != "0") {
                    let size = usize::from_str_radix(&size, 16).unwrap();
                    body.extend(peer.read(size + 2).unwrap().into_iter().take(size));
                }
                peer.line();
                body
            } else {
                peer.read(SIZE).unwrap()
            };
            peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
            peer.say(body);
        }
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    for chunked in [false, true] {
        let mut sender = Client(client.0.try_clone().unwrap());
        let content_sent = content.clone();
        let sending = std::thread::spawn(move || {
            if chunked {
                sender.say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
                for chunk in content_sent.chunks(70_001) {
                    sender.say(format!("{:x}\r\n", chunk.len())).say(chunk).say("\r\n");
                }
                sender.say("0\r\n\r\n");
            } else {
                sender.say(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n"));
                sender.say(content_sent);
            }
        });
        let response = client.response();
        sending.join().unwrap();
        assert!(response.body == content, "chunked: {chunked}");
    }
}

#[test]
fn a_client_that_does_not_read_stops_the_server() {
    let (written, progress) = std::sync::mpsc::channel();
    let server = Server::start(move |mut peer| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        for _ in 0..1000 {
            if !peer.say(vec![b'x'; 100_000]) {
                return;
            }
            let _ = written.send(100_000_u64);
        }
    });
    let lb = lb("", &[&server]);
    let mut client = Client::to(&lb);
    client.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n").head();
    let mut sent: u64 = 0;
    while let Ok(more) = progress.recv_timeout(Duration::from_millis(300)) {
        sent += more;
    }
    // Socket buffers hold some megabytes; without backpressure all 100 MB would have gone.
    assert!((100_000..50_000_000).contains(&sent), "{sent} bytes were taken from the server");
    let mut rest: u64 = 100_000_000;
    while rest > 0 {
        let count = client.exactly(rest.min(1_000_000) as usize).len() as u64;
        rest -= count;
    }
}

#[test]
fn requests_in_any_pieces_reach_the_servers_as_sent_and_nothing_else_does() {
    let echo = || {
        Server::start(|mut peer| {
            while let Some(head) = peer.head() {
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                let body = peer.read(length.map_or(0, |length| length.parse().unwrap())).unwrap();
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let answer = format!("{path} {}", String::from_utf8(body).unwrap());
                peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()));
            }
        })
    };
    let (one, two) = (echo(), echo());
    let lb = lb("", &[&one, &two]);
    let mut random: u64 = 7;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..20 {
        let mut stream = String::new();
        let mut expected = Vec::new();
        for number in 0..20 {
            // Content that looks like a request must stay content.
            let body = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n".repeat(next(3) as usize);
            stream += &format!("PUT /{number} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            expected.push(format!("/{number} {body}"));
        }
        let mut client = Client::to(&lb);
        let mut bytes = stream.as_bytes();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at((1 + next(200) as usize).min(bytes.len()));
            client.say(piece);
            bytes = rest;
        }
        for expected in &expected {
            assert_eq!(client.response().text(), expected);
        }
    }
}
