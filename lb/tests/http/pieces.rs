//! Requests that come in several small writes, from clients that leave them to be joined (Nagle): the
//! next piece is sent only when the one before has been acknowledged.

use std::time::{Duration, Instant};

use crate::testbed::{Client, Server, lb};

/// A delayed acknowledgement comes after 40 ms or more; all else here takes far less.
const UNDELAYED: Duration = Duration::from_millis(30);
/// Enough that a pause of the machine does not become the median.
const ROUNDS: usize = 15;

/// The median time from the first piece to the whole response, each round on a connection of its own,
/// or all on one.
fn median(pieces: &[&str], fresh: bool) -> Duration {
    let server = Server::start(|mut peer| {
        while let Some(head) = peer.head() {
            if head.contains("Content-Length: 4") && peer.read(4).is_none() {
                return;
            }
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let lb = lb("", &[&server]);
    let connect = || {
        let client = Client::to(&lb);
        client.0.set_nodelay(false).unwrap();
        client
    };
    let mut client = connect();
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            if fresh {
                client = connect();
            }
            let start = Instant::now();
            for piece in pieces {
                client.say(piece);
            }
            assert_eq!(client.response().text(), "ok");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

#[test]
fn a_client_that_joins_small_writes_does_not_wait_for_an_acknowledgement() {
    let rows: [&[&str]; 4] = [
        &["POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n", "abcd"],
        &["POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n", "ab", "cd"],
        &["GET / HTTP/1.1\r\n", "Host: h\r\n\r\n"],
        &["\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"],
    ];
    for pieces in rows {
        for fresh in [true, false] {
            let median = median(pieces, fresh);
            assert!(median < UNDELAYED, "{median:?} for {pieces:?}, on fresh connections: {fresh}");
        }
    }
}
