//! Connections of every kind, booked and merged.

use super::*;

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of a second in the far future: a page's end reads the real clock, which is then
/// behind and turns nothing.
fn at(second: u64) -> u64 {
    (1_000_000_000 + second) * SECOND
}

fn library(threads: usize, cap: Option<u64>) -> Library {
    Library {
        instance: "r".into(),
        gate: Arc::new(Gate::new(cap)),
        threads: (0..threads).map(|_| Arc::default()).collect(),
        started_ns: at(10),
    }
}

#[test]
fn silent_and_check_connections_are_booked_apart() {
    let library = library(1, None);
    let enter = || library.threads[0].enter(&library.gate, at(10)).unwrap();
    enter().end(End::ClosedByPeer);
    let mut check = enter();
    check.bytes_in(10);
    check.request(true, at(10));
    check.response(200, true);
    check.end(End::ClosedByPeer);
    drop(check);
    let mut mixed = enter();
    mixed.bytes_in(20);
    mixed.request(true, at(10));
    mixed.request(false, at(10));
    mixed.response(404, false);
    mixed.end(End::ResetByPeer);
    drop(mixed);
    enter().end(End::ResetByReflector);

    let ledger = library.merge(at(12), false, false);
    assert_eq!((ledger.silent, ledger.check_connections, ledger.opened), (1, 1, 2));
    assert_eq!((ledger.reset_by_peer, ledger.reset_by_reflector), (1, 1));
    assert_eq!((ledger.requests, ledger.check_requests, ledger.responses), (1, 2, 1));
    assert_eq!(ledger.responses_by_class, [0, 0, 0, 1, 0]);
    assert_eq!((ledger.open_now, ledger.open_peak, ledger.bytes_in), (0, 1, 30));
}

#[test]
fn the_cap_and_the_peak_hold_over_all_threads() {
    let library = library(2, Some(3));
    let enter = |thread: usize| library.threads[thread].enter(&library.gate, at(10));
    let first = enter(0).unwrap();
    let others = [enter(1).unwrap(), enter(1).unwrap()];
    assert_eq!(others.each_ref().map(ConnectionBooks::number), [2, 3]);
    assert!(enter(0).is_none());
    drop(others);
    let ledger = library.merge(at(10), true, false);
    assert_eq!((ledger.open_now, ledger.open_peak, ledger.refused_by_cap), (1, 3, 1));
    assert_eq!(library.merge(at(10), false, false).open_peak, 1);
    drop(first);
}

#[test]
fn every_second_is_listed_once_over_threads_and_gaps() {
    let library = library(2, None);
    let enter = |thread: usize, second| library.threads[thread].enter(&library.gate, at(second)).unwrap();
    let _held = [enter(0, 10), enter(1, 10), enter(0, 13)];
    let mut busy = enter(1, 13);
    busy.bytes_in(1);
    busy.request(false, at(13));
    let ledger = library.merge(at(15), false, false);
    let listed: Vec<_> =
        ledger.per_second.iter().map(|s| (s.monotonic_s - 1_000_000_000, s.opened, s.requests, s.open)).collect();
    assert_eq!(listed, [(10, 2, 0, 2), (11, 0, 0, 2), (12, 0, 0, 2), (13, 2, 1, 4), (14, 0, 0, 4)]);
    assert_eq!(library.merge(at(15), false, true).per_second.len(), 6);
    busy.end(End::ClosedByPeer);
}

#[test]
fn no_more_than_an_hour_is_kept() {
    let library = library(1, None);
    for second in 10..10 + 5000 {
        drop(library.threads[0].enter(&library.gate, at(second)));
    }
    let ledger = library.merge(at(5010), false, false);
    assert_eq!(ledger.per_second.len(), 3600);
    assert_eq!(ledger.per_second[0].monotonic_s, 1_000_000_000 + 5010 - 3600);
    assert!(ledger.per_second.iter().all(|second| second.opened == 1 && second.open <= 1), "an hour of ones");
}
