//! Made-up books that agree, and each way in which they may not.

use std::io;
use std::path::Path;
use std::time::Duration;

use wire::ledger::Ledger;

use super::*;
use crate::measure::record::ConnectionsInSustain;
use crate::measure::{Latencies, Outcomes};
use crate::scenario::{Overrides, parse};

mod frames;

fn plan(dut: &str, kind: &str) -> Plan {
    let text = format!("[testbed]\ndut = \"{dut}\"\n[workload]\n{kind}\n[load]\nunit = \"connections/s\"\nrate = 10\n");
    let files = |path: &Path| match path.to_str() {
        Some("dut.toml") => Ok("kind = \"reference\"\nconfig = \"lb.toml\"\n".to_owned()),
        Some("lb.toml") => Ok("{port} {address}".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    parse("x.toml", &text, &files, &Overrides::default()).unwrap()
}

fn http() -> Plan {
    plan("dut.toml", "kind = \"http\"")
}

fn ledger(instance: &str, requests: u64) -> Ledger {
    Ledger { instance: instance.to_owned(), opened: requests, requests, responses: requests, ..Ledger::default() }
}

/// 100 transactions, 60 by one reflector and 40 by the other; the client saw 3 resets besides.
fn trial() -> TrialRecord {
    let mut outcomes = Outcomes::default();
    outcomes.add(Outcome::Ok, 100);
    outcomes.add(Outcome::ResetLater, 3);
    TrialRecord {
        frames: None,
        number: 7,
        purpose: Purpose::Fixed,
        load: TrialLoad::Rate(10.0),
        began_ns: 0,
        ramp_up: Duration::ZERO,
        sustain: Duration::from_secs(10),
        ramp_down: Duration::ZERO,
        due: 103,
        outcomes,
        outcomes_all: outcomes,
        completed_in_sustain: 100,
        transactions_in_sustain: 100,
        transactions_all: 100,
        opened_all: 103,
        attempted_connections_all: 103,
        connections_in_sustain: ConnectionsInSustain::default(),
        body_bytes_in_sustain: 0,
        open_peak: 0,
        open_min_in_sustain: 0,
        open_mean_in_sustain: 0.0,
        waited_for_slot: 0,
        latencies: Latencies::default(),
        seconds: Vec::new(),
        samples: Vec::new(),
        ledgers: vec![ledger("a", 61), ledger("b", 41)],
        responses_by_instance: vec![("a".to_owned(), 60), ("b".to_owned(), 40)],
        slots: 1024,
        slots_cut: None,
        ended_early: None,
        reflector_deaths: Vec::new(),
        first_failures: Vec::new(),
        warnings: Vec::new(),
    }
}

fn found(plan: &Plan, change: impl FnOnce(&mut TrialRecord)) -> Vec<(bool, String)> {
    let mut trial = trial();
    change(&mut trial);
    reconcile(plan, &trial).into_iter().map(|mismatch| (mismatch.serious, mismatch.text)).collect()
}

#[test]
fn failed_operations_may_stand_in_the_reflectors_books_or_not() {
    assert!(found(&http(), |_| ()).is_empty());
    assert!(found(&http(), |trial| trial.ledgers = vec![ledger("a", 60), ledger("b", 40)]).is_empty());
    assert!(found(&http(), |trial| trial.ledgers = vec![ledger("a", 63), ledger("b", 40)]).is_empty());
}

#[test]
fn answers_that_no_reflector_sent_are_serious() {
    let mismatches = found(&http(), |trial| trial.ledgers = vec![ledger("a", 55), ledger("b", 40)]);
    assert_eq!(
        mismatches,
        [
            (
                true,
                "the client counts 100 right answers, the reflectors sent 95: 5 came from somewhere else \
                 (a cache, another server) or were counted twice"
                    .to_owned()
            ),
            (true, "60 answers say they are from a, but a sent 55".to_owned()),
        ]
    );
    let mismatches = found(&http(), |trial| trial.responses_by_instance.push(("stranger".to_owned(), 2)));
    assert_eq!(mismatches, [(true, "2 answers came from stranger, which is no reflector of this run".to_owned())]);
}

#[test]
fn requests_that_the_client_cannot_explain_are_named() {
    let mismatches = found(&http(), |trial| trial.ledgers = vec![ledger("a", 62), ledger("b", 45)]);
    assert_eq!(
        mismatches,
        [
            (
                false,
                "the reflectors read 107 requests, the client explains 103 (100 answered, 3 failed): 4 were repeated by \
                 the DUT, or are checks that do not name themselves nadare-check"
                    .to_owned()
            ),
            (false, "b sent 45 answers, the client read 40 from it and 3 operations failed".to_owned()),
        ]
    );
}

#[test]
fn operations_that_were_never_sent_explain_nothing() {
    let mismatches = found(&http(), |trial| {
        let mut outcomes = Outcomes::default();
        outcomes.add(Outcome::Ok, 100);
        outcomes.add(Outcome::UnsentWindow, 3);
        (trial.outcomes, trial.outcomes_all) = (outcomes, outcomes);
    });
    assert!(mismatches[0].1.contains("the client explains 100 (100 answered, 0 failed)"), "{mismatches:?}");
}

#[test]
fn a_reflector_that_died_took_its_ledger_along() {
    let mismatches = found(&http(), |trial| trial.ledgers.truncate(1));
    assert_eq!(mismatches, [(false, "40 answers came from b, which left no ledger".to_owned())]);
    assert!(found(&http(), |trial| trial.ledgers.clear()).is_empty(), "nothing to compare with");
    let two = plan("none", "kind = \"tcp\"");
    let mut one = two.clone();
    one.testbed.reflectors = 1;
    let one_left = |trial: &mut TrialRecord| {
        trial.ledgers = vec![Ledger { instance: "a".to_owned(), silent: 50, ..Ledger::default() }];
    };
    assert!(!found(&one, one_left).is_empty() && found(&two, one_left).is_empty());
}

#[test]
fn answers_without_a_name_are_said_and_not_guessed() {
    let mismatches = found(&http(), |trial| trial.responses_by_instance.clear());
    assert_eq!(mismatches, [(false, "100 of 100 answers do not say who sent them".to_owned())]);
}

#[test]
fn without_a_dut_every_connection_has_two_ends() {
    let mut direct = plan("none", "kind = \"tcp\"");
    direct.testbed.reflectors = 1;
    let silent = |silent: u64| {
        move |trial: &mut TrialRecord| {
            trial.ledgers = vec![Ledger { instance: "a".to_owned(), silent, ..Ledger::default() }];
        }
    };
    for accepted in [100, 103] {
        assert!(found(&direct, silent(accepted)).is_empty(), "{accepted}");
    }
    assert_eq!(
        found(&direct, silent(99)),
        [(
            true,
            "the client opened 103 connections, the reflectors accepted 99 (0 refused or dropped, 3 operations failed)"
                .to_owned()
        )]
    );
    assert_eq!(
        found(&direct, silent(104)),
        [(true, "the reflectors accepted 104 connections, the client began 103".to_owned())]
    );
}

#[test]
fn the_clients_own_sums_are_checked() {
    let mismatches = found(&http(), |trial| trial.due = 104);
    assert_eq!(mismatches, [(true, "104 operations were due in sustain, but 103 have an outcome".to_owned())]);
    assert!(
        found(&http(), |trial| {
            trial.due = 104;
            trial.ended_early = Some(crate::measure::record::EndedEarly::CannotPass);
        })
        .is_empty()
    );
    assert_eq!(found(&http(), |trial| trial.completed_in_sustain = 101).len(), 1);
}

#[test]
fn shares_come_from_both_sides() {
    let shares = shares(&trial());
    let seen: Vec<_> =
        shares.iter().map(|s| (s.instance.as_str(), s.client_responses, s.ledger_responses, s.share)).collect();
    assert_eq!(seen, [("a", 60, Some(61), 0.6), ("b", 40, Some(41), 0.4)]);
    let mut unnamed = trial();
    unnamed.responses_by_instance.clear();
    unnamed.ledgers = vec![ledger("a", 75), ledger("b", 25)];
    assert_eq!(super::shares(&unnamed).iter().map(|s| s.share).collect::<Vec<_>>(), [0.75, 0.25]);
}
