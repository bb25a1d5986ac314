//! Trials of datagrams against a socket in this process that answers as a test wants it to.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::num::{NonZeroU16, NonZeroU32};
use std::thread;
use std::time::Duration;

use host::namespace::Namespace;
use wire::frame::{FrameSize, IpVersion};
use wire::signature::{Near, Signature};

use super::{Quiet, of, run_trial};
use crate::engine::sources::{Sources, expand};
use crate::engine::{Carrier, Config, WorkloadConfig};
use crate::measure::record::{FrameCounts, FrameRecord, TrialLoad};
use crate::measure::{Latency, Outcome, Second, TrialRecord};
use crate::scenario::mix::Mix;
use crate::scenario::plan::{Tuples, UdpPlan};
use crate::workload::Operation;

/// What is sent back for a datagram.
type Answers = Vec<Vec<u8>>;

/// Answers each datagram from stream and number; ends with the test process.
fn echo(local: &str, mut answer: impl FnMut(Signature, &[u8]) -> Answers + Send + 'static) -> SocketAddr {
    let options = host::datagram::Options { buffer_bytes: 4 << 20, ..host::datagram::Options::default() };
    let socket = host::datagram::bind(local.parse().unwrap(), options).unwrap();
    socket.set_nonblocking(false).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let payload = &buffer[..length];
            let signature = Signature::read(payload, Near::default()).unwrap();
            for datagram in answer(signature, payload) {
                socket.send_to(&datagram, from).unwrap();
            }
        }
    });
    address
}

fn as_it_is(_: Signature, payload: &[u8]) -> Answers {
    vec![payload.to_vec()]
}

fn frame(size: u32) -> Mix {
    Mix::Fixed { size: FrameSize::of_frame(size).unwrap() }
}

fn config(service: SocketAddr, load: TrialLoad, mix: Mix, streams: u16) -> Config {
    let version = if service.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 };
    let plan = UdpPlan {
        ip_version: version,
        mix,
        streams: NonZeroU16::new(streams).unwrap(),
        tuples: Tuples::Random,
        burst: NonZeroU32::MIN,
    };
    let base = super::config(&Carrier::Epoll, service, load, Operation::Transaction);
    // Tests run beside each other: each has random ports of its own.
    let seed = host::clock::monotonic_ns();
    let sources = if service.is_ipv4() { expand("127.0.4.0/28").unwrap() } else { Vec::new() };
    Config { workload: WorkloadConfig::Udp(Box::new(plan)), sources: Sources::new(sources), seed, ..base }
}

fn plan(config: &mut Config) -> &mut UdpPlan {
    let WorkloadConfig::Udp(plan) = &mut config.workload else { panic!("these trials send datagrams") };
    plan
}

fn frames(record: &TrialRecord) -> &FrameRecord {
    let frames = record.frames.as_ref().unwrap();
    assert_eq!(frames.sizes.iter().map(|size| size.due).sum::<u64>(), record.due, "{frames:?}");
    assert_eq!(frames.sizes.iter().map(|size| size.sent).sum::<u64>(), frames.sustain.sent, "{frames:?}");
    assert_eq!(frames.sizes.iter().map(|size| size.answered).sum::<u64>(), frames.sustain.answered, "{frames:?}");
    let unsent: u64 = record.outcomes_all.iter().filter(|(o, _)| !o.was_sent()).map(|(_, n)| n).sum();
    assert_eq!(frames.all.sent + unsent, record.outcomes_all.total(), "{frames:?}");
    assert_eq!(frames.all.answered, record.outcomes_all.of(Outcome::Ok), "{frames:?}");
    assert_eq!(frames.own_drops, 0, "the machine is too busy for this test");
    frames
}

/// The sequence numbers of each of so many streams of one worker that has sent so many frames.
fn numbers(sent: u64, streams: u64) -> impl Iterator<Item = u64> {
    (0..sent).map(move |frame| frame / streams)
}

#[test]
fn every_scheduled_frame_is_sent_and_comes_back() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let mix = Mix::Sequence {
            sizes: [84, 594, 1518].map(|size| FrameSize::of_frame(size).unwrap()).to_vec(),
            order: b"ABAABACABAAB".iter().map(|letter| letter - b'A').collect(),
        };
        let mut config = config(echo(local, as_it_is), TrialLoad::Rate(2_400.0), mix, 5);
        config.cores = vec![config.cores[0]; 2];
        let record = run_trial(config);
        assert_eq!((record.due, of(&record, Outcome::Ok)), (2_400, 2_400), "{:?}", record.first_failures);
        // 200 ms of ramp-up and 100 ms of ramp-down hold half of what sustain would.
        assert_eq!((record.outcomes_all.total(), record.transactions_all), (2_760, 2_760));
        for count in [|second: &Second| second.started, |second: &Second| second.due] {
            assert_eq!(record.seconds.iter().map(count).sum::<u64>(), 2_760);
        }
        let frames = frames(&record);
        let all = FrameCounts { sent: 2_760, answered: 2_760, ..FrameCounts::default() };
        let sustain = FrameCounts { sent: 2_400, answered: 2_400, ..FrameCounts::default() };
        assert_eq!((frames.all, frames.sustain, frames.streams), (all, sustain, 5));
        assert!(frames.send_calls > 0 && frames.send_calls <= 2_760 && frames.batch_max >= 1);
        // 7:4:1, but for the begin and end of sustain within each stream's walk.
        let due: Vec<_> = frames.sizes.iter().map(|size| size.due).collect();
        assert!(due.iter().zip([1_400_u64, 800, 200]).all(|(due, ideal)| due.abs_diff(ideal) <= 20), "{due:?}");
        let bytes: u64 = record.seconds.iter().map(|second| second.body_bytes).sum();
        assert!(bytes > 2_760 * 200, "{bytes}");
        for latency in [Latency::Response, Latency::Service, Latency::Lag] {
            assert_eq!(record.latencies.of(latency).len(), 2_400, "{latency:?}");
        }
        assert!(record.latencies.of(Latency::Departure).len() >= 2_000);
    }
}

#[test]
fn small_frames_and_random_lengths_are_signed_and_judged_alike() {
    let min = FrameSize::of_ip(40).unwrap();
    let fixed = Mix::Fixed { size: min };
    let random = Mix::Random { min, max: FrameSize::of_frame(1518).unwrap() };
    for mix in [fixed, random] {
        let record = run_trial(config(echo("127.0.0.1:0", as_it_is), TrialLoad::Rate(3_000.0), mix, 7));
        assert_eq!(of(&record, Outcome::Ok), 3_000, "{:?}", record.first_failures);
        assert_eq!(frames(&record).all.corrupted, 0);
    }
}

#[test]
fn drops_duplicates_swaps_and_wrong_bytes_are_reported_exactly() {
    let mut held: HashMap<u16, Vec<u8>> = HashMap::new();
    let service = echo("127.0.0.1:0", move |signature, payload| {
        let (n, mut bytes) = (signature.sequence, payload.to_vec());
        if n % 100 == 99 {
            return Vec::new();
        }
        if n % 60 == 31 {
            bytes[30] ^= 1;
        }
        if n % 40 == 20 {
            held.insert(signature.stream, bytes);
            return Vec::new();
        }
        let mut answers = vec![bytes.clone()];
        answers.extend(held.remove(&signature.stream));
        answers.extend((n % 50 == 10).then_some(bytes));
        answers
    });
    let record = run_trial(config(service, TrialLoad::Rate(4_000.0), frame(128), 4));
    let frames = frames(&record);
    let sent = frames.all.sent;
    let count = |is: fn(u64) -> bool| numbers(sent, 4).filter(|n| is(*n)).count() as u64;
    let dropped = count(|n| n % 100 == 99);
    let corrupted = count(|n| n % 60 == 31);
    assert_eq!(sent, 4_600);
    assert_eq!(record.outcomes_all.of(Outcome::Lost), dropped, "{:?}", record.first_failures);
    assert_eq!(record.outcomes_all.of(Outcome::BadPayload), corrupted);
    assert_eq!(frames.all.answered, sent - dropped - corrupted);
    assert_eq!(frames.all.corrupted, corrupted);
    assert_eq!(frames.all.duplicates, count(|n| n % 50 == 10 && n % 40 != 20));
    assert_eq!(frames.all.reordered, count(|n| n % 40 == 20));
    assert_eq!((frames.all.late, frames.all.foreign, frames.unreachable), (0, 0, 0));
    assert_eq!(record.outcomes.failed(), record.due - frames.sustain.answered);
    assert_eq!(record.first_failures.len(), 2);
}

#[test]
fn answers_that_come_too_late_are_losses_and_are_counted() {
    const LATE: Duration = Duration::from_millis(700);
    // A thread for the late ones, so that they do not hold up the others.
    let socket = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let service = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let bytes = buffer[..length].to_vec();
            let signature = Signature::read(&bytes, Near::default()).unwrap();
            if signature.sequence % 100 == 5 {
                let socket = std::sync::Arc::clone(&socket);
                thread::spawn(move || {
                    thread::park_timeout(LATE);
                    socket.send_to(&bytes, from).unwrap();
                });
            } else {
                socket.send_to(&bytes, from).unwrap();
            }
        }
    });
    let mut config = config(service, TrialLoad::Rate(1_000.0), frame(64), 2);
    (config.response_timeout, config.phases.ramp_down) = (Duration::from_millis(250), Duration::from_secs(1));
    let record = run_trial(config);
    let frames = frames(&record);
    // Those of the last half second may come after the trial's end.
    let late = numbers(frames.all.sent, 2).filter(|n| n % 100 == 5).count() as u64;
    assert_eq!(record.outcomes_all.of(Outcome::Lost), late);
    let in_sustain = of(&record, Outcome::Lost);
    assert!((8..=12).contains(&in_sustain), "{in_sustain}");
    assert_eq!((frames.sustain.late, frames.all.duplicates, frames.all.reordered), (in_sustain, 0, 0));
    assert_eq!(frames.all.answered, frames.all.sent - late);
}

#[test]
fn strange_datagrams_are_no_answers() {
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let service = socket.local_addr().unwrap();
    thread::spawn(move || {
        let (mut buffer, mut count) = ([0; 2_048], 0_u64);
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            count += 1;
            let mut bytes = buffer[..length].to_vec();
            match count % 10 {
                // From a wrong port; with a wrong stream; cut; with a wrong time; and none at all.
                0 => assert!(other.send_to(&bytes, from).is_ok()),
                1 => bytes[1] ^= 1,
                2 => bytes.truncate(11),
                3 => bytes[17] ^= 1,
                4 => bytes.push(0),
                _ => {}
            }
            if count % 10 != 0 {
                socket.send_to(&bytes, from).unwrap();
            }
        }
    });
    let record = run_trial(config(service, TrialLoad::Rate(1_000.0), frame(64), 1));
    let frames = frames(&record);
    assert_eq!(frames.all.sent, 1_150);
    assert_eq!((frames.all.foreign, frames.all.corrupted), (230, 345));
    // Wrong bytes behind a signature are known to belong to a frame, a wrong signature to none.
    assert_eq!(record.outcomes_all.of(Outcome::BadPayload), 115);
    assert_eq!(record.outcomes_all.of(Outcome::Lost), 460);
    assert_eq!(frames.all.answered, 575);
}

#[test]
fn nobody_there_is_a_loss_that_icmp_explains() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = config(nobody, TrialLoad::Rate(500.0), frame(64), 2);
    config.response_timeout = Duration::from_millis(200);
    let record = run_trial(config);
    assert_eq!(of(&record, Outcome::Lost), 500, "{:?}", record.first_failures);
    let frames = frames(&record);
    assert_eq!(frames.all.sent, 575);
    // The kernel limits how many ICMP messages it sends.
    assert!((1..=575).contains(&frames.unreachable), "{}", frames.unreachable);
}

#[test]
fn a_host_that_cannot_send_blames_itself() {
    let service = echo("127.0.0.1:0", as_it_is);
    let mut config = config(service, TrialLoad::Rate(500.0), frame(64), 2);
    // An address that is not this host's cannot be bound.
    config.sources = Sources::new(expand("192.0.2.1").unwrap());
    let record = run_trial(config.clone());
    assert_eq!(of(&record, Outcome::LocalError), 500, "{:?}", record.first_failures);
    assert_eq!((frames(&record).all.sent, frames(&record).streams), (0, 0));
    assert!(record.first_failures[0].1.contains("bind 192.0.2.1:"), "{:?}", record.first_failures);
    // In a closed loop it neither hangs nor spins.
    config.load = TrialLoad::Closed(16);
    let record = run_trial(config);
    assert_eq!(of(&record, Outcome::LocalError), record.due);
    assert!((1..200_000).contains(&record.due), "{}", record.due);
}

#[test]
fn a_closed_loop_keeps_its_number_under_way_and_gives_losses_up() {
    let service = echo(
        "127.0.0.1:0",
        |signature, payload| {
            if signature.sequence % 50 == 7 { Vec::new() } else { vec![payload.to_vec()] }
        },
    );
    let mut config = config(service, TrialLoad::Closed(20), frame(64), 4);
    config.cores = vec![config.cores[0]; 2];
    let record = run_trial(config);
    let lost = record.outcomes_all.of(Outcome::Lost);
    // Two workers with two streams each.
    let frames = frames(&record);
    assert!(frames.all.sent > 300, "{}", frames.all.sent);
    assert!(lost.abs_diff(frames.all.sent / 50) <= 4, "{lost} of {}", frames.all.sent);
    // A frame that is lost holds its place for 100 ms: 20 of them at least 20 times.
    assert!(lost >= 20, "{lost}");
    assert_eq!(of(&record, Outcome::Ok) + of(&record, Outcome::Lost), record.due);
}

#[test]
fn a_fixed_tuple_that_is_taken_is_replaced_and_told() {
    let service = echo("127.0.0.1:0", as_it_is);
    let taken = UdpSocket::bind("127.0.5.1:49184");
    let mut config = config(service, TrialLoad::Rate(200.0), frame(64), 1);
    plan(&mut config).tuples = Tuples::Fixed;
    config.sources = Sources::new(expand("127.0.5.1").unwrap());
    // More workers than streams: those without one have nothing to do.
    config.cores = vec![config.cores[0]; 3];
    let record = run_trial(config);
    assert_eq!((of(&record, Outcome::Ok), frames(&record).streams), (200, 1), "{:?}", record.first_failures);
    assert!(
        taken.is_ok() && record.warnings.iter().any(|text| text.contains("1 source ports")),
        "{:?}",
        record.warnings
    );
}

#[test]
fn bursts_leave_together() {
    let mut config = config(echo("127.0.0.1:0", as_it_is), TrialLoad::Rate(1_600.0), frame(64), 1);
    plan(&mut config).burst = NonZeroU32::new(32).unwrap();
    let record = run_trial(config);
    assert_eq!(record.outcomes_all.of(Outcome::Ok), 1_840, "{:?}", record.first_failures);
    let frames = frames(&record);
    // Four full calls for each burst, or some more where it was cut by a turn; alone each frame would have its own.
    assert!(frames.batch_max == 8 && frames.send_calls <= 2 * 1_840 / 8, "{frames:?}");
}

#[test]
fn services_take_turns_by_stream() {
    let counted = || {
        let (sender, receiver) = std::sync::mpsc::channel();
        let service = echo("127.0.0.1:0", move |signature, payload| {
            let _ = sender.send(signature.stream);
            vec![payload.to_vec()]
        });
        (service, receiver)
    };
    let ((first, at_first), (second, at_second)) = (counted(), counted());
    let mut config = config(first, TrialLoad::Rate(400.0), frame(64), 4);
    config.services = vec![first, second];
    let record = run_trial(config);
    assert_eq!(of(&record, Outcome::Ok), 400, "{:?}", record.first_failures);
    assert!(at_first.try_iter().all(|stream| stream % 2 == 0));
    assert!(at_second.try_iter().all(|stream| stream % 2 == 1));
}

#[test]
fn frames_without_room_for_their_headers_are_refused_before_anything_is_sent() {
    let service = echo("[::1]:0", as_it_is);
    let config = config(service, TrialLoad::Rate(100.0), frame(64), 1);
    let trial = super::Trial { number: 1, purpose: super::Purpose::Fixed, engine: config, slots_cut: None };
    let error = super::run(trial, &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("64 B") && error.contains("IPv6"), "{error}");
}

/// Does something in a namespace with a loopback interface of so many bytes; `None` without privileges.
fn in_namespace<T: Send>(mtu: &str, work: impl FnOnce() -> T + Send) -> Option<T> {
    let done = Namespace::create().and_then(|namespace| {
        namespace.run(|| {
            ip(&["link", "set", "lo", "mtu", mtu, "up"])?;
            Ok(work())
        })?
    });
    if let Err(error) = &done {
        assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "namespaces and ip are required: {error}");
        println!("SKIPPED: no namespace with a link: {error}");
    }
    done.ok()
}

fn ip(arguments: &[&str]) -> std::io::Result<()> {
    let status = std::process::Command::new("ip").args(arguments).status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other(format!("ip {arguments:?}: {status}"))) }
}

#[test]
fn a_frame_longer_than_the_mtu_is_never_cut() {
    let Some(record) = in_namespace("1280", || {
        let mix = Mix::Sequence {
            sizes: [64, 1518].map(|size| FrameSize::of_frame(size).unwrap()).to_vec(),
            order: vec![0, 0, 0, 1],
        };
        run_trial(config(echo("127.0.0.1:0", as_it_is), TrialLoad::Rate(400.0), mix, 2))
    }) else {
        return;
    };
    assert!(of(&record, Outcome::LocalError).abs_diff(100) <= 2, "{:?}", record.first_failures);
    assert_eq!(of(&record, Outcome::LocalError) + of(&record, Outcome::Ok), 400);
    assert!(record.first_failures[0].1.contains("MTU"), "{:?}", record.first_failures);
    assert_eq!(frames(&record).sizes[1].sent, 0);
}

#[test]
fn an_interface_that_goes_down_during_a_trial_is_the_testers_loss_and_no_hang() {
    let Some(record) = in_namespace("65536", || {
        let (here, there) = (Namespace::of_this_thread().unwrap(), Namespace::create().unwrap());
        ip(&["link", "add", "c0", "type", "veth", "peer", "name", "d0", "netns", &there.path()]).unwrap();
        ip(&["address", "add", "198.18.1.2/24", "dev", "c0"]).unwrap();
        ip(&["link", "set", "c0", "up"]).unwrap();
        let service = there.run(|| {
            ip(&["address", "add", "198.18.1.1/24", "dev", "d0"]).unwrap();
            ip(&["link", "set", "d0", "up"]).unwrap();
            echo("198.18.1.1:0", as_it_is)
        });
        let mut config = config(service.unwrap(), TrialLoad::Rate(1_000.0), frame(64), 4);
        config.sources = Sources::new(expand("198.18.1.2").unwrap());
        config.response_timeout = Duration::from_millis(200);
        let breaker = thread::spawn(move || {
            thread::park_timeout(Duration::from_millis(700));
            here.run(|| ip(&["link", "set", "c0", "down"])).unwrap().unwrap();
        });
        let record = run_trial(config);
        breaker.join().unwrap();
        record
    }) else {
        return;
    };
    let (ok, local, lost) = (of(&record, Outcome::Ok), of(&record, Outcome::LocalError), of(&record, Outcome::Lost));
    assert_eq!(ok + local + lost, 1_000, "{:?}", record.outcomes);
    assert!(ok > 100 && local > 100, "{:?} {:?}", record.outcomes, record.first_failures);
    let text = record.first_failures.iter().find(|(outcome, _)| *outcome == Outcome::LocalError).unwrap();
    assert!(text.1.contains("the interface is down or gone"), "{}", text.1);
    frames(&record);
}
