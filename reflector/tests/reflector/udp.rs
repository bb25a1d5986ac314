//! Datagrams over real sockets: what comes back, and that the books say the same.

use std::net::{SocketAddr, UdpSocket};

use reflector::Reflector;
use reflector::config::{Config, Kind, Listener};
use wire::ledger::{LengthCount, UdpLedger};

use crate::support::*;

fn listener(address: &str, kind: Kind) -> Listener {
    Listener { address: address.parse().unwrap(), kind }
}

fn serve(listeners: &[(&str, Kind)], threads: usize) -> Reflector {
    let listeners = listeners.iter().map(|(address, kind)| listener(address, *kind)).collect();
    start(Config { listeners, threads: threads.try_into().unwrap(), ..config() })
}

/// A client of one address.
fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let length = client.recv(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

fn send(client: &UdpSocket, payload: &[u8]) {
    assert_eq!(client.send(payload).unwrap(), payload.len());
}

/// Sends a datagram and waits for its echo.
fn exchange(client: &UdpSocket, payload: &[u8]) -> Vec<u8> {
    send(client, payload);
    receive(client)
}

/// The books when so many datagrams have come.
fn settled(reflector: &Reflector, received: u64) -> UdpLedger {
    settle(reflector, |ledger| ledger.udp.received == received).udp
}

#[test]
fn datagrams_of_any_length_come_back_as_they_are() {
    for (address, longest) in [("127.0.0.1:0", 65_507), ("[::1]:0", 65_507)] {
        let reflector = serve(&[(address, Kind::Udp)], 1);
        let client = client(reflector.addresses()[0]);
        for length in [0_u16, 1, 11, 12, 18, 1472, 9000, longest] {
            let payload: Vec<u8> = (0..length).map(|at| (u32::from(at) * 7) as u8).collect();
            assert!(exchange(&client, &payload) == payload, "{length} bytes over {address}");
        }
        let ledger = reflector.stop();
        let udp = &ledger.udp;
        assert_eq!((udp.received, udp.sent, udp.unsigned, udp.buffer_drops), (8, 8, 3, 0));
        let bytes = 42 + 1472 + 9000 + u64::from(longest);
        assert_eq!((udp.bytes_in, udp.bytes_out), (bytes, bytes));
        assert_eq!(udp.by_length.len(), 8);
        assert!(udp.by_length.is_sorted_by_key(|count| count.payload));
        assert_eq!(udp.by_length[7], LengthCount { payload: longest, received: 1, sent: 1 });
        assert_eq!((ledger.opened, ledger.requests, ledger.open_now, ledger.bytes_in), (0, 0, 0, 0));
    }
}

#[test]
fn many_clients_get_their_own_answers_whichever_thread_they_come_to() {
    let reflector = serve(&[("127.0.0.1:0", Kind::Udp)], 3);
    let clients: Vec<UdpSocket> = (0..20).map(|_| client(reflector.addresses()[0])).collect();
    for round in 0..50_u8 {
        clients.iter().zip(0..).for_each(|(client, n)| send(client, &[n, round]));
        clients.iter().zip(0..).for_each(|(client, n): (_, u8)| assert_eq!(receive(client), [n, round]));
    }
    let udp = reflector.ledger(false).udp;
    assert_eq!((udp.received, udp.sent), (1000, 1000));
    assert_eq!(udp.by_length, [LengthCount { payload: 2, received: 1000, sent: 1000 }]);
}

#[test]
fn a_sink_counts_and_is_silent() {
    let reflector = serve(&[("127.0.0.1:0", Kind::UdpSink), ("127.0.0.1:0", Kind::Udp)], 1);
    let client = client(reflector.addresses()[0]);
    (0..100).for_each(|_| send(&client, &[0; 64]));
    let udp = settled(&reflector, 100);
    assert_eq!((udp.sent, udp.bytes_in, udp.bytes_out, udp.dropped), (0, 6400, 0, 0));
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.recv(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_wildcard_address_answers_from_the_address_that_was_asked() {
    for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.7"), ("[::]:0", "::1")] {
        let reflector = serve(&[(wildcard, Kind::Udp)], 2);
        let port = reflector.addresses()[0].port();
        // A connected client takes answers from this very address only.
        let client = client(SocketAddr::new(asked.parse().unwrap(), port));
        assert_eq!(exchange(&client, b"who is there"), b"who is there", "{asked}");
    }
}

#[test]
fn datagrams_connections_and_requests_are_served_side_by_side() {
    let kinds = [("[::1]:0", Kind::Udp), ("127.0.0.1:0", Kind::Http), ("127.0.0.1:0", Kind::Udp)];
    let reflector = serve(&kinds, 2);
    let addresses = reflector.addresses().to_vec();
    assert!(addresses[0].is_ipv6() && addresses[1].is_ipv4());
    assert_eq!(Client::connect(addresses[1]).get("/").status(), 200);
    for address in [addresses[0], addresses[2]] {
        assert_eq!(exchange(&client(address), b"here"), b"here");
    }
    let ledger = settle(&reflector, |ledger| ledger.udp.sent == 2 && ledger.open_now == 0);
    assert_eq!((ledger.udp.received, ledger.requests, ledger.opened), (2, 1, 1));
}

#[test]
fn what_has_come_before_the_stop_is_answered_and_the_port_is_free_afterwards() {
    let reflector = serve(&[("127.0.0.1:0", Kind::Udp)], 1);
    let address = reflector.addresses()[0];
    let client = client(address);
    (0..200_u8).for_each(|n| send(&client, &[n]));
    let udp = reflector.stop().udp;
    assert_eq!((udp.received, udp.sent), (200, 200));
    (0..200_u8).for_each(|n| assert_eq!(receive(&client), [n]));
    drop(UdpSocket::bind(address).unwrap());
}
