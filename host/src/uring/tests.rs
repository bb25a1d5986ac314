//! Rings on this kernel. Where it has none, the tests say so and end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::monotonic_ns;

/// What this kernel can do; `None` where io_uring is blocked, which is said.
fn support() -> Option<Support> {
    match probe() {
        Ok(support) => Some(support),
        Err(reason) => {
            assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "io_uring is required: {reason}");
            println!("SKIPPED: {reason}");
            None
        }
    }
}

fn ring(connections: u32) -> Option<Ring> {
    let mut ring = Ring::new(connections, None, &support()?).unwrap();
    ring.enable().unwrap();
    Some(ring)
}

fn kinds() -> Vec<bool> {
    match support().map(|support| support.direct) {
        None => Vec::new(),
        Some(Ok(())) => vec![false, true],
        Some(Err(reason)) => {
            println!("SKIPPED direct descriptors: {reason}");
            vec![false]
        }
    }
}

fn route(to: &TcpListener, direct: bool) -> Route {
    Route { to: to.local_addr().unwrap(), from: Some("127.0.0.5".parse().unwrap()), direct }
}

/// Waits for the next event, at most ten seconds.
fn event(ring: &mut Ring) -> Event {
    for _ in 0..1_000 {
        if let Some(event) = ring.next_event() {
            return event;
        }
        ring.wait(Duration::from_millis(10)).unwrap();
    }
    panic!("nothing happened within ten seconds");
}

/// Waits until nothing of any connection is left.
fn settle(ring: &mut Ring) {
    for _ in 0..1_000 {
        if ring.free.len() == ring.entries.len() {
            return;
        }
        ring.wait(Duration::from_millis(10)).unwrap();
        assert_eq!(ring.next_event(), None, "a closed connection has no events");
    }
    panic!("connections are still on their way out after ten seconds: {ring:?}");
}

#[test]
fn a_connection_is_made_used_and_closed() {
    for direct in kinds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ring = ring(4).unwrap();
        let handle = ring.open(3, &route(&listener, direct), b"question").unwrap();
        assert_eq!(event(&mut ring), Event::Connected(3, Ok(())));
        assert_eq!(event(&mut ring), Event::Sent(3, Ok(())));
        let (mut peer, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.5");
        let mut text = [0; 8];
        peer.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"question");
        for answer in [&b"first"[..], b"and second"] {
            peer.write_all(answer).unwrap();
            assert_eq!(event(&mut ring), Event::Received(3, Ok(answer.len())));
            assert_eq!(ring.data(), answer);
        }
        ring.send(&handle, b"again").unwrap();
        assert_eq!(event(&mut ring), Event::Sent(3, Ok(())));
        peer.read_exact(&mut text[..5]).unwrap();
        assert_eq!(&text[..5], b"again");
        drop(peer);
        assert_eq!(event(&mut ring), Event::Received(3, Ok(0)));
        ring.close(handle, false);
        settle(&mut ring);
    }
}

#[test]
fn an_ipv6_connection_is_made_from_its_address() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("SKIPPED: this host has no IPv6 loopback");
        return;
    };
    for direct in kinds() {
        let mut ring = Ring::new(1, Some((41_000, 41_999)), &support().unwrap()).unwrap();
        ring.enable().unwrap();
        let to = listener.local_addr().unwrap();
        let handle = ring.open(0, &Route { to, from: Some(to.ip()), direct }, b"six").unwrap();
        while event(&mut ring) != Event::Sent(0, Ok(())) {}
        let (mut peer, from) = listener.accept().unwrap();
        // IP_LOCAL_PORT_RANGE needs Linux 6.3; before, the range is the kernel's.
        assert!((41_000..=41_999).contains(&from.port()), "direct {direct}: {from}");
        let mut text = [0; 3];
        peer.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"six");
        ring.close(handle, false);
        settle(&mut ring);
    }
}

#[test]
fn our_fin_leaves_the_other_direction_open() {
    let Some(mut ring) = ring(1) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let handle = ring.open(0, &route(&listener, false), b"").unwrap();
    assert_eq!(event(&mut ring), Event::Connected(0, Ok(())));
    let (mut peer, _) = listener.accept().unwrap();
    ring.send_fin(&handle).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    peer.write_all(b"still here").unwrap();
    assert_eq!(event(&mut ring), Event::Received(0, Ok(10)));
    ring.close(handle, false);
    settle(&mut ring);
}

#[test]
fn a_refused_connection_says_so_once() {
    for direct in kinds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let route = route(&listener, direct);
        drop(listener);
        let mut ring = ring(1).unwrap();
        let handle = ring.open(9, &route, b"question").unwrap();
        assert_eq!(event(&mut ring), Event::Connected(9, Err(Errno::CONNREFUSED)));
        ring.close(handle, false);
        settle(&mut ring);
    }
}

#[test]
fn an_address_that_is_not_ours_cannot_be_bound() {
    for direct in kinds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let route = Route { from: Some("192.0.2.1".parse().unwrap()), ..route(&listener, direct) };
        let mut ring = ring(1).unwrap();
        match ring.open(1, &route, b"question") {
            Err(error) => assert_eq!((direct, error), (false, Errno::ADDRNOTAVAIL)),
            Ok(handle) => {
                assert_eq!(event(&mut ring), Event::Connected(1, Err(Errno::ADDRNOTAVAIL)));
                ring.close(handle, false);
            }
        }
        settle(&mut ring);
    }
}

#[test]
fn a_close_cancels_what_is_under_way_and_may_reset() {
    for (direct, reset) in kinds().into_iter().flat_map(|direct| [(direct, false), (direct, true)]) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ring = ring(1).unwrap();
        let handle = ring.open(0, &route(&listener, direct), b"question").unwrap();
        while event(&mut ring) != Event::Sent(0, Ok(())) {}
        let (mut peer, _) = listener.accept().unwrap();
        ring.close(handle, reset);
        settle(&mut ring);
        let mut bytes = Vec::new();
        let end = peer.read_to_end(&mut bytes).map_err(|error| error.kind());
        let wanted = if reset { Err(io::ErrorKind::ConnectionReset) } else { Ok(8) };
        assert_eq!(end, wanted, "direct {direct}");
    }
}

#[test]
fn a_connection_is_closed_before_it_was_submitted() {
    for direct in kinds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ring = ring(8).unwrap();
        for turn in 0..20 {
            let handle = ring.open(turn, &route(&listener, direct), b"question").unwrap();
            ring.close(handle, false);
            if turn % 5 == 4 {
                settle(&mut ring);
            }
        }
        settle(&mut ring);
        assert!(ring.entries.len() <= 16, "{} entries for 8 connections", ring.entries.len());
    }
}

#[test]
fn the_largest_ring_fits_its_descriptors_and_one_more_does_not() {
    for descriptors in [1, 2, 3, 1_000, 1_023, 1_024, 1_025, 1_048_576] {
        let most = connections_within(descriptors) as u32;
        assert!(u64::from(with_retiring(most)) <= descriptors, "{most} of {descriptors}");
        assert!(u64::from(with_retiring(most + 1)) > descriptors, "{most} of {descriptors}");
    }
}

#[test]
fn more_connections_than_planned_are_refused() {
    let Some(mut ring) = ring(2) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let route = route(&listener, false);
    let handles: Vec<_> = (0..4).map(|owner| ring.open(owner, &route, b"").unwrap()).collect();
    assert_eq!(ring.open(4, &route, b"").unwrap_err(), Errno::MFILE);
    handles.into_iter().for_each(|handle| ring.close(handle, false));
    settle(&mut ring);
    let again = ring.open(5, &route, b"").unwrap();
    ring.close(again, false);
    settle(&mut ring);
}

#[test]
fn large_pieces_go_both_ways_and_buffers_are_used_again() {
    for direct in kinds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let size = 24 << 20;
        let mut ring = ring(2).unwrap();
        let large: Vec<u8> = (0..size).map(|at: usize| (at % 251) as u8).collect();
        let wanted = large.clone();
        let echo = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut bytes = vec![0; size];
            peer.read_exact(&mut bytes).unwrap();
            assert!(bytes == wanted, "other bytes than were sent");
            peer.write_all(&bytes).unwrap();
        });
        let handle = ring.open(0, &Route { to, from: None, direct }, &large).unwrap();
        let mut received = Vec::new();
        let mut sent = 0;
        loop {
            match event(&mut ring) {
                Event::Connected(0, Ok(())) => {}
                Event::Sent(0, Ok(())) => sent += 1,
                Event::Received(0, Ok(0)) => break,
                Event::Received(0, Ok(length)) => {
                    assert_eq!(ring.data().len(), length);
                    received.extend_from_slice(ring.data());
                }
                other => panic!("{other:?}"),
            }
        }
        echo.join().unwrap();
        assert_eq!(sent, 1);
        assert!(received == large, "other bytes came back than were sent");
        ring.close(handle, false);
        settle(&mut ring);
    }
}

#[test]
fn a_ring_that_is_dropped_closes_its_connections() {
    for direct in kinds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ring = ring(1).unwrap();
        let _handle = ring.open(0, &route(&listener, direct), b"question").unwrap();
        while event(&mut ring) != Event::Sent(0, Ok(())) {}
        let (mut peer, _): (TcpStream, _) = listener.accept().unwrap();
        drop(ring);
        let mut bytes = Vec::new();
        assert_eq!(peer.read_to_end(&mut bytes).unwrap(), 8);
    }
}

#[test]
fn a_ring_that_the_kernel_does_not_let_go_of_closes_its_descriptors_all_the_same() {
    let Some(mut ring) = ring(1) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _handle = ring.open(0, &route(&listener, false), b"question").unwrap();
    while event(&mut ring) != Event::Sent(0, Ok(())) {}
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    ring.abandon();
    assert!(ring.buffers.is_none(), "the kernel may still receive into them");
    drop(ring);
    let mut bytes = Vec::new();
    assert_eq!(peer.read_to_end(&mut bytes).unwrap(), 8);
}

#[test]
fn a_receive_that_cannot_be_asked_for_again_is_told() {
    let Some(support) = support() else { return };
    // Nothing is submitted before a ring is enabled, so that its queue gets full.
    let mut ring = Ring::new(setup::SUBMISSIONS, None, &support).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let route = route(&listener, false);
    let _first = ring.open(0, &route, b"").unwrap();
    ring.entries[0].connected = true;
    assert!(ring.receive_again(0, 1), "there is room");
    assert!(ring.receive_again(0, 0), "the peer has ended");
    while ring.reserve(1).is_ok() {
        ring.queue_cancel(0);
    }
    assert!(!ring.receive_again(0, 1) && !ring.receive_again(0, -libc::ENOBUFS));
    assert!(ring.receive_again(0, -libc::ECONNRESET), "its reason is told anyway");
}

#[test]
fn a_ring_whose_chains_may_be_split_is_broken() {
    let Some(mut ring) = ring(1) else { return };
    ring.wait(Duration::ZERO).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _handle = ring.open(0, &route(&listener, false), b"question").unwrap();
    // As if the kernel had taken only a part of them.
    ring.note_split(true);
    assert_eq!(ring.wait(Duration::ZERO).unwrap_err().raw_os_error(), Some(libc::EAGAIN));
}

#[test]
fn a_wait_ends_with_its_timeout() {
    let Some(mut ring) = ring(1) else { return };
    let began = monotonic_ns();
    ring.wait(Duration::from_micros(2_500)).unwrap();
    let waited = monotonic_ns() - began;
    assert!((2_500_000..1_000_000_000).contains(&waited), "{waited} ns");
}
