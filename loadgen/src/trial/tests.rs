//! Trials over real sockets against a small server in this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::thread;

use host::uring::Support;

use super::*;
use crate::engine::sources::{Sources, expand};
use crate::engine::{Carrier, WorkloadConfig};
use crate::measure::{Latency, Outcome};
use crate::scenario::plan::{Arrivals, BodyCheck, CloseMode, HttpPlan, Pattern, Phases};
use crate::workload::Operation;
use crate::workload::http::{ExpectedBody, HttpConfig};

mod udp;

/// A server that answers every request with 100 bytes of the table; ends with the test process.
fn server(answer: impl Fn(&mut TcpStream, u32) -> bool + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || {
                let mut buffer = [0; 2048];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let nonce = request.split("x-nadare-nonce: ").nth(1).unwrap_or("00000000");
                    let nonce = wire::identity::parse_nonce(&nonce.as_bytes()[..8]).unwrap_or(0);
                    if !answer(&mut stream, nonce) || request.contains("Connection: close") {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn good(stream: &mut TcpStream, nonce: u32) -> bool {
    let mut bytes = b"HTTP/1.1 200 OK\r\nx-nadare-instance: here\r\nContent-Length: 100\r\n\r\n".to_vec();
    bytes.extend_from_slice(wire::body::window(nonce, 0, 100));
    stream.write_all(&bytes).is_ok()
}

fn config(carrier: &Carrier, service: SocketAddr, load: TrialLoad, operation: Operation) -> Config {
    let milliseconds = Duration::from_millis;
    let close = CloseMode::ClientFin;
    let http = HttpConfig {
        plan: HttpPlan {
            request: "/?s=100".to_owned(),
            host: String::new(),
            headers: Vec::new(),
            status: 200,
            body: BodyCheck::Table { length: 100 },
        },
        host: "test".to_owned(),
        body: ExpectedBody::Table(100),
        operation,
        requests_per_connection: (operation == Operation::Connection).then_some(NonZeroU32::MIN),
        close,
        seed: 1,
    };
    Config {
        carrier: carrier.clone(),
        load,
        operation,
        workload: WorkloadConfig::Http(Box::new(http)),
        services: vec![service],
        sources: Sources::new(expand("127.0.3.0/29").unwrap()),
        cores: vec![host::cpu::allowed_cores()[0]],
        slots: 64,
        phases: Phases {
            init: Duration::ZERO,
            ramp_up: milliseconds(200),
            sustain: milliseconds(1_000),
            ramp_down: milliseconds(100),
        },
        pattern: Pattern::Flat,
        arrivals: Arrivals::Even,
        seed: 1,
        max_lag: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(3),
        response_timeout: Duration::from_secs(5),
        // Ends with the last operation; the bound is for machines that are busy with other things.
        drain: milliseconds(8_000),
        open_rate: 200.0,
        hold_interval: milliseconds(500),
        namespace: None,
    }
}

/// Every way to carry connections on this kernel: each has to book the same.
fn carriers() -> Vec<Carrier> {
    let mut carriers = vec![Carrier::Epoll];
    match host::uring::probe() {
        Ok(support) => carriers.extend([Carrier::Uring(support), Carrier::Uring(Support::normal())]),
        Err(reason) => {
            assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "io_uring is required: {reason}");
            println!("SKIPPED over io_uring: {reason}");
        }
    }
    carriers
}

struct Quiet;

impl Observer for Quiet {
    fn sample(&mut self) -> Sample {
        Sample::default()
    }
    fn second(&mut self, _: Phase, _: &Second, _: u64) {}
    fn end_early(&mut self, _: u64) -> Option<EndedEarly> {
        None
    }
}

fn run_trial(config: Config) -> TrialRecord {
    println!("over {:?}", config.carrier);
    run(Trial { number: 1, purpose: Purpose::Fixed, engine: config, slots_cut: None }, &mut Quiet).unwrap()
}

/// How many operations of a trial ended this way; everything adds up in every test.
fn of(record: &TrialRecord, outcome: Outcome) -> u64 {
    assert_eq!(record.outcomes.total(), record.due, "{record:?}");
    record.outcomes.of(outcome)
}

#[test]
fn every_scheduled_connection_is_made_used_and_closed() {
    for carrier in carriers() {
        for close in [CloseMode::ClientFin, CloseMode::ServerFin, CloseMode::ClientRst] {
            let mut config = config(&carrier, server(good), TrialLoad::Rate(300.0), Operation::Connection);
            if let WorkloadConfig::Http(http) = &mut config.workload {
                http.close = close;
            }
            let record = run_trial(config);
            assert_eq!((record.due, of(&record, Outcome::Ok)), (300, 300), "{close:?} {:?}", record.first_failures);
            // 200 ms of ramp-up and 100 ms of ramp-down hold half of what sustain would: 30 and 15.
            assert_eq!(record.outcomes_all.total(), 345);
            assert_eq!((record.opened_all, record.transactions_all), (345, 345));
            assert_eq!(record.responses_by_instance, [("here".to_owned(), 345)]);
            assert_eq!(record.latencies.of(Latency::Response).len(), 300);
            for count in [|second: &Second| second.started, |second: &Second| second.due] {
                assert_eq!(record.seconds.iter().map(count).sum::<u64>(), 345);
            }
        }
    }
}

#[test]
fn connections_are_timed_from_handshake_to_end() {
    const DELAY: Duration = Duration::from_millis(20);
    let slow = |stream: &mut TcpStream, nonce: u32| {
        thread::park_timeout(DELAY);
        good(stream, nonce)
    };
    for carrier in carriers() {
        let record = run_trial(config(&carrier, server(slow), TrialLoad::Rate(100.0), Operation::Connection));
        assert_eq!(of(&record, Outcome::Ok), record.due, "{:?}", record.first_failures);
        let sum = |of: fn(&Second) -> i128| record.seconds.iter().map(of).sum::<i128>();
        let (closed, lifetimes) = (sum(|second| second.closed.into()), sum(|second| second.lifetime_ns.into()));
        assert_eq!(closed, record.opened_all.into());
        // All have ended, so both ways to count connection-time have to give the same, to the nanosecond.
        assert_eq!(sum(|second| second.open_ns.into()), lifetimes);
        assert!(lifetimes >= closed * DELAY.as_nanos() as i128, "{lifetimes} ns for {closed} connections");
        assert_eq!(record.connections_in_sustain.reset, 0);
    }
}

#[test]
fn transactions_share_connections() {
    for carrier in carriers() {
        let record = run_trial(config(&carrier, server(good), TrialLoad::Rate(500.0), Operation::Transaction));
        assert_eq!((record.due, of(&record, Outcome::Ok)), (500, 500), "{:?}", record.first_failures);
        // As many as there are slots at most; 575 if they were not shared.
        assert!(record.opened_all <= 64, "{} connections for 575 transactions", record.opened_all);
    }
}

#[test]
fn a_closed_loop_keeps_its_number_under_way() {
    for carrier in carriers() {
        let record = run_trial(config(&carrier, server(good), TrialLoad::Closed(8), Operation::Transaction));
        assert_eq!(of(&record, Outcome::Ok), record.due, "{:?}", record.first_failures);
        assert!(record.due > 100, "{}", record.due);
        assert_eq!(record.opened_all, 8);
    }
}

#[test]
fn held_connections_stay_and_answer() {
    for carrier in carriers() {
        let mut config = config(&carrier, server(good), TrialLoad::Held(40), Operation::Held);
        (config.slots, config.phases.ramp_up) = (40, Duration::from_millis(700));
        config.phases.sustain = Duration::from_millis(2_000);
        let record = run_trial(config);
        assert_eq!((record.due, of(&record, Outcome::Ok)), (40, 40), "{:?}", record.first_failures);
        assert_eq!((record.open_peak, record.open_min_in_sustain), (40, 40));
        assert!(record.transactions_in_sustain >= 80, "{}", record.transactions_in_sustain);
    }
}

#[test]
fn a_held_connection_that_does_not_answer_any_more_is_lost() {
    for carrier in carriers() {
        let once = |stream: &mut TcpStream, nonce: u32| {
            good(stream, nonce);
            // Keeps the connection open without answering until the client ends it.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.read(&mut [0; 4096]);
            false
        };
        let mut config = config(&carrier, server(once), TrialLoad::Held(10), Operation::Held);
        (config.slots, config.response_timeout) = (10, Duration::from_millis(300));
        config.phases.sustain = Duration::from_millis(2_000);
        let record = run_trial(config);
        assert_eq!(of(&record, Outcome::Ok), 0, "{:?}", record.outcomes);
        assert_eq!(of(&record, Outcome::ResponseTimeout), 10, "{:?}", record.outcomes);
    }
}

#[test]
fn failures_are_told_apart() {
    for carrier in carriers() {
        type Answer = fn(&mut TcpStream, u32) -> bool;
        let cases: [(Answer, Outcome); 4] = [
            (|stream, _| stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_ok(), Outcome::BadStatus),
            (|stream, nonce| good(stream, nonce ^ 0x5555), Outcome::BadPayload),
            (|_, _| false, Outcome::ClosedEarly),
            (|stream, _| stream.write_all(b"who are you?\r\n\r\n").is_ok(), Outcome::BadResponse),
        ];
        for (answer, outcome) in cases {
            let record = run_trial(config(&carrier, server(answer), TrialLoad::Rate(100.0), Operation::Connection));
            assert_eq!(of(&record, outcome), record.due, "{outcome:?}: {:?}", record.first_failures);
            assert_eq!(record.first_failures.len(), 1);
        }
    }
}

#[test]
fn a_refused_connection_is_told_from_a_tester_without_ports() {
    for carrier in carriers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        let record = run_trial(config(&carrier, nobody, TrialLoad::Rate(100.0), Operation::Connection));
        assert_eq!(of(&record, Outcome::ConnectRefused), record.due, "{:?}", record.first_failures);
        assert!(record.connections_in_sustain.reset >= 50, "{:?}", record.connections_in_sustain);

        let mut config = config(&carrier, server(good), TrialLoad::Rate(100.0), Operation::Connection);
        // An address that is not this host's cannot be bound: the tester's fault, never the DUT's.
        config.sources = Sources::new(expand("192.0.2.1").unwrap());
        let record = run_trial(config);
        assert_eq!(of(&record, Outcome::LocalError), record.due, "{:?}", record.first_failures);
    }
}

#[test]
fn operations_that_find_no_slot_for_long_are_the_duts_loss() {
    for carrier in carriers() {
        let silent = |stream: &mut TcpStream, _| {
            let _ = stream.read(&mut [0; 16]);
            false
        };
        let mut config = config(&carrier, server(silent), TrialLoad::Rate(100.0), Operation::Connection);
        (config.slots, config.max_lag) = (4, Duration::from_millis(300));
        config.drain = Duration::from_millis(500);
        let record = run_trial(config);
        assert_eq!(of(&record, Outcome::Ok), 0);
        assert!(of(&record, Outcome::UnsentWindow) >= 90, "{:?}", record.outcomes);
        assert_eq!(of(&record, Outcome::UnsentLate), 0, "{:?}", record.outcomes);
        // Nobody is missing from the response times, also those who were never served.
        assert_eq!(record.latencies.of(Latency::Response).len(), record.due);
    }
}

#[test]
fn a_closed_loop_may_have_more_workers_than_operations() {
    for carrier in carriers() {
        let mut config = config(&carrier, server(good), TrialLoad::Closed(1), Operation::Transaction);
        config.cores = vec![config.cores[0]; 3];
        let record = run_trial(config);
        assert_eq!((of(&record, Outcome::Ok), record.opened_all), (record.due, 1), "{:?}", record.first_failures);
    }
}

#[test]
fn a_reset_after_the_answer_is_the_duts_doing() {
    for carrier in carriers() {
        let reset = |stream: &mut TcpStream, nonce: u32| {
            good(stream, nonce);
            host::socket::reset_on_close(stream).unwrap();
            false
        };
        let record = run_trial(config(&carrier, server(reset), TrialLoad::Rate(100.0), Operation::Connection));
        assert_eq!(of(&record, Outcome::LocalError), 0, "{:?}", record.first_failures);
        let (later, unclean) = (of(&record, Outcome::ResetLater), of(&record, Outcome::UncleanClose));
        assert_eq!(later + unclean, record.due, "{:?}", record.outcomes);
        // Those of the ramps are left out; a busy machine may move some over the edges of sustain.
        let connections = record.connections_in_sustain;
        assert!((50..115).contains(&connections.reset) && (50..115).contains(&connections.begun), "{connections:?}");
        assert_eq!(record.latencies.of(Latency::Response).len(), record.due);
    }
}

#[test]
fn a_held_connection_asked_at_the_end_of_sustain_counts_when_it_answers() {
    for carrier in carriers() {
        let mut config = config(&carrier, server(good), TrialLoad::Held(40), Operation::Held);
        (config.slots, config.phases.ramp_up) = (40, Duration::from_millis(700));
        (config.phases.sustain, config.hold_interval) = (Duration::from_secs(1), Duration::from_secs(1));
        let record = run_trial(config);
        assert_eq!(of(&record, Outcome::Ok), 40, "{:?}", record.first_failures);
    }
}

#[test]
fn an_early_end_is_soon_and_named() {
    for carrier in carriers() {
        struct Impatient;
        impl Observer for Impatient {
            fn sample(&mut self) -> Sample {
                Sample::default()
            }
            fn second(&mut self, _: Phase, _: &Second, _: u64) {}
            fn end_early(&mut self, _: u64) -> Option<EndedEarly> {
                Some(EndedEarly::Interrupted)
            }
        }
        let mut config = config(&carrier, server(good), TrialLoad::Rate(100.0), Operation::Connection);
        config.phases.sustain = Duration::from_secs(600);
        let trial = Trial { number: 1, purpose: Purpose::Fixed, engine: config, slots_cut: None };
        let began = monotonic_ns();
        let record = run(trial, &mut Impatient).unwrap();
        assert_eq!(record.ended_early, Some(EndedEarly::Interrupted));
        assert!(monotonic_ns() - began < 30_000_000_000, "it waited for the end of sustain");
    }
}

#[test]
fn connections_that_carry_nothing_are_counted_too() {
    let quiet = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = quiet.local_addr().unwrap();
    thread::spawn(move || {
        for stream in quiet.incoming() {
            // Waits for the client's end and answers it with its own.
            thread::spawn(move || stream.unwrap().read(&mut [0]));
        }
    });
    for carrier in carriers() {
        for close in [CloseMode::ClientFin, CloseMode::ClientRst] {
            let mut config = config(&carrier, service, TrialLoad::Rate(100.0), Operation::Connection);
            config.workload = WorkloadConfig::Tcp(close);
            let record = run_trial(config);
            assert_eq!((record.due, of(&record, Outcome::Ok)), (100, 100), "{close:?} {:?}", record.first_failures);
            assert_eq!(record.opened_all, 115);
        }
    }
}

#[test]
fn a_connection_carries_as_many_requests_as_asked() {
    for carrier in carriers() {
        for close in [CloseMode::ClientFin, CloseMode::ServerFin, CloseMode::ClientRst] {
            let mut config = config(&carrier, server(good), TrialLoad::Rate(100.0), Operation::Connection);
            if let WorkloadConfig::Http(http) = &mut config.workload {
                (http.close, http.requests_per_connection) = (close, NonZeroU32::new(5));
            }
            let record = run_trial(config);
            assert_eq!((record.due, of(&record, Outcome::Ok)), (100, 100), "{close:?} {:?}", record.first_failures);
            assert_eq!((record.opened_all, record.transactions_all), (115, 575));
        }
    }
}

#[test]
fn a_body_that_comes_in_many_pieces_is_put_together() {
    const LENGTH: u64 = 1_000_000;
    let large = |stream: &mut TcpStream, nonce: u32| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        let mut sent = stream.write_all(head.as_bytes());
        let mut at = 0;
        while sent.is_ok() && at < LENGTH {
            let piece = wire::body::window(nonce, at, (LENGTH - at).min(10_000) as usize);
            sent = stream.write_all(piece);
            at += piece.len() as u64;
        }
        sent.is_ok()
    };
    for carrier in carriers() {
        let mut config = config(&carrier, server(large), TrialLoad::Rate(40.0), Operation::Connection);
        if let WorkloadConfig::Http(http) = &mut config.workload {
            http.body = ExpectedBody::Table(LENGTH);
        }
        let record = run_trial(config);
        assert_eq!((record.due, of(&record, Outcome::Ok)), (40, 40), "{:?}", record.first_failures);
        // Of 46 in all, those before and after sustain count as far as their bytes came in it.
        assert!(record.body_bytes_in_sustain >= 39 * LENGTH, "{}", record.body_bytes_in_sustain);
    }
}

#[test]
fn a_silent_server_times_out_and_an_endless_wait_is_cut_off() {
    let silent = |stream: &mut TcpStream, _| {
        let _ = stream.read(&mut [0; 16]);
        false
    };
    for carrier in carriers() {
        let mut config = config(&carrier, server(silent), TrialLoad::Rate(50.0), Operation::Connection);
        config.response_timeout = Duration::from_millis(200);
        let record = run_trial(config.clone());
        assert_eq!(of(&record, Outcome::ResponseTimeout), 50, "{:?}", record.outcomes);
        let shortest = record.latencies.of(Latency::Service).min();
        assert!(shortest >= 199_000_000, "{shortest} ns with a limit of 200 ms");

        (config.response_timeout, config.drain) = (Duration::from_secs(60), Duration::from_millis(100));
        let record = run_trial(config);
        assert_eq!(of(&record, Outcome::Unfinished), 50, "{:?}", record.outcomes);
    }
}

#[test]
fn a_handshake_that_nobody_answers_times_out() {
    // A listener whose queue is full drops the SYNs of others.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let service = listener.local_addr().unwrap().as_socket().unwrap();
    let patience = Duration::from_millis(300);
    let waiting: Vec<_> = (0..8).map_while(|_| TcpStream::connect_timeout(&service, patience).ok()).collect();
    assert!(waiting.len() < 8, "the queue is never full");
    for carrier in carriers() {
        let mut config = config(&carrier, service, TrialLoad::Rate(50.0), Operation::Connection);
        config.connect_timeout = Duration::from_millis(200);
        let record = run_trial(config);
        assert_eq!(of(&record, Outcome::ConnectTimeout), 50, "{:?}", record.outcomes);
        assert_eq!(record.opened_all, 0);
    }
}

#[test]
fn several_workers_share_addresses_but_no_ports() {
    for carrier in carriers() {
        for close in [CloseMode::ClientFin, CloseMode::ServerFin] {
            let mut config = config(&carrier, server(good), TrialLoad::Rate(200.0), Operation::Connection);
            config.cores = vec![config.cores[0]; 2];
            if let WorkloadConfig::Http(http) = &mut config.workload {
                http.close = close;
            }
            let record = run_trial(config);
            assert_eq!((record.due, of(&record, Outcome::Ok)), (200, 200), "{close:?} {:?}", record.first_failures);
        }
    }
}
