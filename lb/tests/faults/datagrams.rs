//! Flows of datagrams: out of descriptors, in a storm of random clients, and what they leave behind.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::process::{Lb, PATIENCE, until};

/// A server that answers each datagram with itself, but none that begins with `-`.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            if datagram[..length].first() != Some(&b'-') {
                let _ = socket.send_to(&datagram[..length], from);
            }
        }
    });
    address
}

fn client(lb: &Lb) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(lb.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Whether a client is answered; one that is not waits for a tenth of a second.
fn is_served(client: &UdpSocket) -> bool {
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    client.send(b"?").unwrap();
    client.recv(&mut [0; 8]).is_ok()
}

#[test]
fn flows_without_descriptors_are_dropped_and_counted_and_the_others_go_on() {
    let service = "mode = 'udp'\ntimeouts = { flow_idle = '3s' }";
    let lb = Lb::start_limited(service, &[echo()], Some(48));
    let old: Vec<_> = (0..3).map(|_| client(&lb)).collect();
    assert!(old.iter().all(is_served));
    let held: Vec<_> = (0..100).map(|_| client(&lb)).collect();
    held.iter().for_each(|client| assert_eq!(client.send(b"-").unwrap(), 1));
    until(|| "no shortage was logged".to_owned(), || lb.logged("this machine has run out of something") > 0);
    // They are served in their order, so the 100 before them have been dealt with.
    assert!(old.iter().all(is_served));
    // The admin page waits for a descriptor, too.
    let counters = lb.counters();
    assert_eq!(counters["datagrams_in"], 106);
    assert!(counters["datagrams_dropped"] > 0 && counters["datagrams_dropped"] <= 100, "{counters:?}");
    assert_eq!(counters["datagrams_dropped"], counters["shortages"], "each was one socket that could not be made");
    assert_eq!(counters["sessions"] + counters["datagrams_dropped"], 103, "{counters:?}");
    assert_eq!((counters["flows_moved"], counters["response_errors"]), (0, 0), "it is no server's fault");
    // By itself: idle flows end, and there is room again.
    let fresh = client(&lb);
    until(|| "no fresh client is served".to_owned(), || is_served(&fresh));
    lb.settles();
}

/// A small generator (xorshift64*), so that a failure is the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

/// Random clients say random things to a service of at most 20 flows; its books must add up.
fn storm(seed: u64, keys: &str) -> BTreeMap<String, u64> {
    const BOUND: u64 = 20;
    let service = format!("mode = 'udp'\nmax_connections = {BOUND}\n{keys}");
    // The second is an address on which nobody listens.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lb = Lb::start(&service, &[echo(), nobody, echo()]);
    let mut random = Random(seed);
    let mut clients: Vec<_> = (0..40).map(|_| client(&lb)).collect();
    let mut sent = 0;
    for round in 0..60 {
        for _ in 0..50 {
            let at = random.below(clients.len() as u64) as usize;
            let length = [0, 1, 18, 1472, 9000][random.below(5) as usize];
            let datagram: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            clients[at].send(&datagram).unwrap();
            sent += 1;
            if random.below(20) == 0 {
                clients[at] = client(&lb);
            }
        }
        let heard = || lb.counters();
        until(|| format!("{sent} sent, {:?}", heard()), || heard()["datagrams_in"] == sent);
        assert!(lb.counters()["open"] <= BOUND, "round {round}: {:?}", lb.counters());
    }
    lb.settles();
    let counters = lb.counters();
    assert_eq!(
        counters["datagrams_in"],
        counters["datagrams to servers"] + counters["datagrams_dropped"],
        "{counters:?}"
    );
    assert_eq!(counters["shortages"], 0);
    counters
}

#[test]
fn a_storm_of_random_clients_stays_within_the_bound_and_in_the_books() {
    let counters = storm(1, "timeouts = { flow_idle = '1s' }");
    assert!(counters["flows_moved"] > 0 && counters["flows_evicted"] > 0, "{counters:?}");
    let counters = storm(2, "responses = 1\ntimeouts = { flow_idle = '1s' }");
    assert!(counters["flows_moved"] > 0 && counters["sessions"] > 1000, "{counters:?}");
    let counters = storm(3, "requests = 3\nresponses = 2\nretries = 0\ntimeouts = { flow_idle = '50ms' }");
    assert!(counters["timeouts"] > 0 && counters["flows_moved"] == 0, "{counters:?}");
    let counters = storm(4, "responses = 0\ntimeouts = { flow_idle = '1s' }");
    assert_eq!(counters["sessions"], 3000, "{counters:?}");
}

#[test]
fn ten_thousand_flows_leave_nothing() {
    const FLOWS: usize = 10_000;
    let lb = Lb::start("mode = 'udp'\nresponses = 1", &[echo(), echo()]);
    let memory = || host::kernel::process_memory(lb.pid()).unwrap().0;
    let ask = |count: usize| {
        let clients: Vec<_> = (0..50).map(|_| client(&lb)).collect();
        for at in 0..count {
            let client = &clients[at % clients.len()];
            client.send(at.to_string().as_bytes()).unwrap();
            let mut answer = [0; 16];
            let length = client.recv(&mut answer).unwrap();
            assert_eq!(answer[..length], *at.to_string().as_bytes());
        }
    };
    ask(FLOWS);
    lb.settles();
    let warm = memory();
    ask(FLOWS);
    lb.settles();
    assert!(memory() <= warm + 512 * 1024, "{} bytes more after {FLOWS} flows", memory() - warm);
    let counters = lb.counters();
    assert_eq!((counters["sessions"], counters["datagrams_out"]), (2 * FLOWS as u64, 2 * FLOWS as u64));
    assert_eq!((counters["datagrams_dropped"], counters["flows_expired"]), (0, 0));
}
