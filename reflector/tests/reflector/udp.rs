//! Datagrams over real sockets: what comes back, and that the books say the same.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use reflector::Reflector;
use reflector::config::{CapUnit, Config, Datagrams, Faults, Kind, Listener, OneIn, Over, RateCap, Stall, Stalled};
use socket2::{Domain, Protocol, Socket, Type};
use wire::ledger::{LengthCount, UdpLedger};
use wire::signature::{Near, Signature, fill, is_filled};
use wire::units::Rate;

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

/// A datagram of a stream, long enough for bytes behind its signature.
fn signed(stream: u16, sequence: u64) -> Vec<u8> {
    let mut payload = vec![0; 64];
    let length = Signature { stream, sequence, sent_ns: 1 }.write(&mut payload);
    fill(&mut payload[length..]);
    payload
}

fn sequence(payload: &[u8]) -> u64 {
    Signature::read(payload, Near::default()).unwrap().sequence
}

fn faulty(datagrams: Datagrams) -> Reflector {
    start(Config { listeners: vec![listener("127.0.0.1:0", Kind::Udp)], datagrams, ..config() })
}

/// Sends so many datagrams of a stream, never more than a few under way; returns what came back, in its order.
fn converse(client: &UdpSocket, stream: u16, count: u64) -> Vec<Vec<u8>> {
    const UNDER_WAY: u64 = 100;
    // No default place of a fault is 0, and the stream is another one.
    let mark = signed(stream + 100, 0);
    let mut got = Vec::new();
    for first in (0..count).step_by(UNDER_WAY as usize) {
        (first..count.min(first + UNDER_WAY)).for_each(|n| send(client, &signed(stream, n)));
        send(client, &mark);
        let answers = std::iter::repeat_with(|| receive(client));
        got.extend(answers.take_while(|answer| *answer != mark));
    }
    got
}

fn sequences(answers: &[Vec<u8>]) -> Vec<u64> {
    answers.iter().map(|answer| sequence(answer)).collect()
}

/// Whether the books add up when nothing is held.
fn add_up(udp: &UdpLedger) {
    assert_eq!(udp.received + udp.duplicated, udp.sent + udp.dropped + udp.overflowed + udp.send_errors, "{udp:?}");
}

#[test]
fn one_in_so_many_is_dropped_by_its_sequence_in_each_stream() {
    let drop = OneIn::new(10).unwrap().at(3);
    let reflector = faulty(Datagrams { faults: Faults { drop, ..Faults::default() }, ..Datagrams::default() });
    let clients = [1, 2].map(|stream| (stream, client(reflector.addresses()[0])));
    for (stream, client) in &clients {
        let expected: Vec<u64> = (0..100).filter(|n| n % 10 != 3).collect();
        assert_eq!(sequences(&converse(client, *stream, 100)), expected);
    }
    let udp = reflector.stop().udp;
    assert_eq!((udp.received, udp.dropped, udp.sent, udp.unsigned), (202, 20, 182, 0));
    add_up(&udp);
}

#[test]
fn faults_of_every_kind_happen_exactly_as_often_as_asked_for() {
    let [drop, corrupt, duplicate, swap] = [1000, 800, 500, 400].map(OneIn::new);
    let faults = Faults { drop, corrupt, duplicate, swap };
    let reflector = faulty(Datagrams { faults, ..Datagrams::default() });
    let client = client(reflector.addresses()[0]);
    const COUNT: u64 = 20_000;
    let answers = converse(&client, 7, COUNT);
    let changed: Vec<u64> =
        answers.iter().filter(|answer| !is_filled(&answer[18..])).map(|answer| sequence(answer)).collect();
    assert_eq!(changed, (0..COUNT).filter(|n| n % 800 == 3).collect::<Vec<_>>());
    let mut expected: Vec<u64> = Vec::new();
    for n in 0..COUNT {
        match n {
            _ if n % 1000 == 1 => {}
            _ if n % 500 == 5 => expected.extend([n, n]),
            _ if n % 400 == 6 => expected.push(n + 1),
            _ if n % 400 == 7 => expected.push(n - 1),
            _ => expected.push(n),
        }
    }
    assert!(sequences(&answers) == expected);
    let udp = reflector.stop().udp;
    assert_eq!((udp.dropped, udp.corrupted, udp.duplicated, udp.swapped), (20, 25, 40, 50));
    assert_eq!((udp.send_errors, udp.overflowed, udp.buffer_drops), (0, 0, 0));
    add_up(&udp);
}

#[test]
fn streams_are_swapped_apart_and_one_without_a_neighbour_is_sent_alone() {
    let swap = OneIn::new(2).unwrap().at(0);
    let datagrams = Datagrams { faults: Faults { swap, ..Faults::default() }, ..Datagrams::default() };
    let reflector = faulty(Datagrams { swap_wait: Duration::from_millis(30), ..datagrams });
    let client = client(reflector.addresses()[0]);
    for (stream, sequence) in [(1, 0), (2, 0), (3, 0), (2, 1), (1, 1)] {
        send(&client, &signed(stream, sequence));
    }
    let got: Vec<_> = (0..5).map(|_| receive(&client)).map(|answer| (answer[1], sequence(&answer))).collect();
    assert_eq!(got, [(2, 1), (2, 0), (1, 1), (1, 0), (3, 0)]);
    // Its neighbour comes too late and is the first of nothing.
    assert_eq!(sequence(&exchange(&client, &signed(3, 1))), 1);
    let udp = reflector.stop().udp;
    assert_eq!((udp.swapped, udp.sent), (2, 6));
    add_up(&udp);
}

#[test]
fn every_answer_is_late_by_the_delay_and_those_under_way_are_sent_at_the_stop() {
    const DELAY: Duration = Duration::from_millis(50);
    let reflector = faulty(Datagrams { delay: DELAY, ..Datagrams::default() });
    let client = client(reflector.addresses()[0]);
    let begun = Instant::now();
    (0..100).for_each(|n| send(&client, &signed(1, n)));
    let first = receive(&client);
    let late = begun.elapsed();
    assert!((DELAY..DELAY + PATIENCE / 2).contains(&late), "{late:?}");
    let rest: Vec<u64> = (1..100).map(|_| sequence(&receive(&client))).collect();
    assert_eq!((sequence(&first), rest), (0, (1..100).collect()));
    send(&client, b"last");
    let udp = reflector.stop().udp;
    assert_eq!((udp.received, udp.sent), (101, 101));
    assert_eq!(receive(&client), b"last");
}

#[test]
fn what_is_held_is_bounded_and_what_is_too_much_is_counted() {
    // The bound in bytes is met by 1,024 large ones.
    let reflector = faulty(Datagrams { delay: Duration::from_secs(3600), ..Datagrams::default() });
    let client = client(reflector.addresses()[0]);
    let held = (64 << 20) / 60_000;
    for n in 0..held + 10 {
        send(&client, &[0; 60_000]);
        settled(&reflector, n + 1);
    }
    let udp = settle(&reflector, |ledger| ledger.udp.overflowed == 10).udp;
    assert_eq!((udp.received, udp.sent, udp.buffer_drops), (held + 10, 0, 0));
}

#[test]
fn a_stall_holds_datagrams_back_or_drops_them() {
    let stalls = |stall, at: u64, length: u64| {
        let window = Stall { at: Duration::from_millis(at), length: Duration::from_millis(length), every: None };
        let datagrams = Datagrams { stall, ..Datagrams::default() };
        let listeners = vec![listener("127.0.0.1:0", Kind::Udp)];
        start(Config { listeners, stall: Some(window), datagrams, ..config() })
    };
    let holding = stalls(Stalled::Hold, 0, 200);
    let to_holding = client(holding.addresses()[0]);
    let begun = Instant::now();
    send(&to_holding, b"one");
    send(&to_holding, b"two");
    assert_eq!((receive(&to_holding), receive(&to_holding)), (b"one".to_vec(), b"two".to_vec()));
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(exchange(&to_holding, b"three"), b"three");

    let dropping = stalls(Stalled::Drop, 0, 100);
    let to_dropping = client(dropping.addresses()[0]);
    to_dropping.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let begun = Instant::now();
    let mut asked = 0;
    loop {
        send(&to_dropping, b"anybody?");
        asked += 1;
        if to_dropping.recv(&mut [0; 8]).is_ok() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    let udp = settled(&dropping, asked);
    assert!(udp.dropped > 0 && udp.sent > 0, "{udp:?}");
    add_up(&udp);
}

fn capped(over: Over) -> Reflector {
    let rate = Rate::per_second(1000.0).unwrap();
    let cap = RateCap { rate, over, unit: CapUnit::Datagrams, burst: Duration::from_millis(1) };
    let listeners = vec![listener("127.0.0.1:0", Kind::Udp)];
    start(Config { listeners, rate_cap: Some(cap), threads: 2.try_into().unwrap(), ..config() })
}

#[test]
fn a_refusing_cap_answers_no_more_than_its_rate() {
    let reflector = capped(Over::Refuse);
    let client = client(reflector.addresses()[0]);
    let begun = Instant::now();
    let mut sent = 0;
    while begun.elapsed() < Duration::from_millis(500) {
        send(&client, &signed(1, sent));
        sent += 1;
        settled(&reflector, sent);
    }
    let allowed = begun.elapsed().as_secs_f64() * 1000.0;
    let udp = reflector.stop().udp;
    // One more in a row than comes evenly, and one at the very begin.
    assert!(udp.sent as f64 <= allowed + 2.0, "{allowed}: {udp:?}");
    assert!(udp.dropped > 0 && udp.sent > 1, "{udp:?}");
    add_up(&udp);
}

#[test]
fn a_queueing_cap_answers_all_at_its_rate() {
    let reflector = capped(Over::Queue);
    let client = client(reflector.addresses()[0]);
    let begun = Instant::now();
    (0..300).for_each(|n| send(&client, &signed(1, n)));
    (0..300).for_each(|n| assert_eq!(sequence(&receive(&client)), n));
    let took = begun.elapsed();
    assert!((Duration::from_millis(297)..PATIENCE).contains(&took), "{took:?}");
    let udp = reflector.stop().udp;
    assert_eq!((udp.received, udp.sent, udp.dropped), (300, 300, 0));
}

#[test]
fn garbage_comes_back_too() {
    let [drop, corrupt, duplicate, swap] = [1000, 800, 500, 400].map(OneIn::new);
    let faults = Faults { drop, corrupt, duplicate, swap };
    let reflector = faulty(Datagrams { faults, swap_wait: Duration::from_millis(1), ..Datagrams::default() });
    let client = client(reflector.addresses()[0]);
    let mut state = 1_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    let (mut taken, mut bytes) = (0, 0);
    for length in 0..500 {
        send(&client, &(0..length).map(|_| byte()).collect::<Vec<u8>>());
        // The client's own buffer holds less than all.
        if length % 50 == 49 {
            let udp = settle(&reflector, |ledger| {
                let udp = &ledger.udp;
                udp.received == length + 1 && udp.received + udp.duplicated == udp.sent + udp.dropped
            });
            bytes += (taken..udp.udp.sent).map(|_| receive(&client).len() as u64).sum::<u64>();
            taken = udp.udp.sent;
        }
    }
    let udp = reflector.stop().udp;
    assert_eq!((udp.received, udp.bytes_in, udp.bytes_out, udp.sent), (500, 499 * 250, bytes, taken));
    add_up(&udp);
}

#[test]
fn what_the_kernel_does_not_send_is_counted_and_the_next_is_answered() {
    let reflector = serve(&[("127.0.0.1:0", Kind::Udp)], 1);
    let to = reflector.addresses()[0];
    let client = client(to);
    // Nobody can be answered at port 0, and a raw socket can ask from there.
    let Ok(raw) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) else {
        assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "raw sockets need privileges, which are required");
        eprintln!("SKIPPED: raw sockets need privileges");
        return;
    };
    let mut packet = vec![0, 0];
    packet.extend(to.port().to_be_bytes());
    packet.extend([0, 12, 0, 0]);
    packet.extend(b"zero");
    for _ in 0..3 {
        raw.send_to(&packet, &to.into()).unwrap();
    }
    assert_eq!(exchange(&client, b"good"), b"good");
    let udp = settled(&reflector, 4);
    assert_eq!((udp.sent, udp.send_errors), (1, 3));
    add_up(&udp);
}
