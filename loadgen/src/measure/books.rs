//! Do the books of client and reflectors agree?
//!
//! A client that counts more right answers than the reflectors sent was answered by somebody else (a
//! cache, a wrong server) or miscounts; reflectors that saw more requests than the client can
//! explain got them twice. A transaction under way when an operation failed may be on either side,
//! so the books agree within the failed operations, never beyond. Health checks are booked apart by
//! the reflectors and do not disturb this. Without ledgers nothing can be said, and nothing is.

mod frames;

pub use frames::Ways;

use super::{Outcome, TrialRecord};
use crate::measure::record::{Purpose, TrialLoad};
use crate::scenario::Plan;
use crate::scenario::plan::{DutKind, WorkloadKind};
use crate::verdict::answer::Mismatch;

/// One real server's part of a trial, from both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Name of the reflector instance.
    pub instance: String,
    /// Responses that the client read from it.
    pub client_responses: u64,
    /// Responses that it sent, by its ledger; `None` without one.
    pub ledger_responses: Option<u64>,
    /// Requests that it read, by its ledger.
    pub ledger_requests: Option<u64>,
    /// Connections that it accepted, by its ledger, silent ones included.
    pub ledger_connections: Option<u64>,
    /// Its part of all responses that the client read, 0 to 1; by the ledgers where the answers do
    /// not say who sent them.
    pub share: f64,
}

/// What each real server carried, sorted by name.
pub fn shares(trial: &TrialRecord) -> Vec<Share> {
    let mut names: Vec<&str> = trial.responses_by_instance.iter().map(|(name, _)| name.as_str()).collect();
    names.extend(trial.ledgers.iter().map(|ledger| ledger.instance.as_str()));
    names.sort_unstable();
    names.dedup();
    let by_client: u64 = trial.responses_by_instance.iter().map(|(_, responses)| responses).sum();
    let by_ledger: u64 = trial.ledgers.iter().map(|ledger| ledger.responses.max(ledger.opened + ledger.silent)).sum();
    names
        .into_iter()
        .map(|name| {
            let client_responses = client_responses(trial, name);
            let ledger = trial.ledgers.iter().find(|ledger| ledger.instance == name);
            let carried = ledger.map_or(0, |ledger| ledger.responses.max(ledger.opened + ledger.silent));
            let (part, whole) = if by_client > 0 { (client_responses, by_client) } else { (carried, by_ledger) };
            Share {
                instance: name.to_owned(),
                client_responses,
                ledger_responses: ledger.map(|ledger| ledger.responses),
                ledger_requests: ledger.map(|ledger| ledger.requests),
                ledger_connections: ledger.map(|ledger| ledger.opened + ledger.silent),
                share: part as f64 / whole.max(1) as f64,
            }
        })
        .collect()
}

/// Everything about a trial that does not add up; empty if the books agree.
pub fn reconcile(plan: &Plan, trial: &TrialRecord) -> Vec<Mismatch> {
    let mut books = Books { trial, found: Vec::new() };
    books.own_sums();
    let is_direct = trial.purpose == Purpose::Ceiling || matches!(plan.testbed.dut.kind, DutKind::None);
    if let WorkloadKind::Udp(udp) = &plan.workload.kind {
        books.frames(plan, udp, is_direct);
    } else if !trial.ledgers.is_empty() {
        if matches!(plan.workload.kind, WorkloadKind::Http(_)) {
            books.transactions(plan);
            books.instances(plan);
        }
        if is_direct && books.all_ledgers_are_here(plan) {
            books.direct_connections();
        }
    }
    books.found
}

struct Books<'a> {
    trial: &'a TrialRecord,
    found: Vec<Mismatch>,
}

impl Books<'_> {
    fn differ(&mut self, serious: bool, text: String) {
        self.found.push(Mismatch { trial: self.trial.number, text, serious });
    }

    /// Operations that reached the wire and did not end well: their last request may be in the
    /// reflectors' books or not.
    fn uncertain(&self) -> u64 {
        let sent = self.trial.outcomes_all.iter().filter(|(outcome, _)| *outcome != Outcome::Ok && outcome.was_sent());
        sent.map(|(_, operations)| operations).sum()
    }

    /// The client's own numbers.
    fn own_sums(&mut self) {
        let trial = self.trial;
        let (ended, due) = (trial.outcomes.total(), trial.due);
        // A trial that was cut short leaves operations that were never due.
        if trial.ended_early.is_none() && ended != due {
            self.differ(true, format!("{due} operations were due in sustain, but {ended} have an outcome"));
        }
        if trial.transactions_in_sustain > trial.transactions_all {
            let text = format!(
                "{} transactions completed in sustain, but only {} in the whole trial",
                trial.transactions_in_sustain, trial.transactions_all
            );
            self.differ(true, text);
        }
        let (completed, ok) = (trial.completed_in_sustain, trial.outcomes_all.of(Outcome::Ok));
        if !matches!(trial.load, TrialLoad::Held(_)) && completed > ok {
            self.differ(true, format!("{completed} operations completed in sustain, but only {ok} in the whole trial"));
        }
    }

    fn transactions(&mut self, plan: &Plan) {
        let trial = self.trial;
        let client = trial.transactions_all;
        let responses: u64 = trial.ledgers.iter().map(|ledger| ledger.responses).sum();
        let requests: u64 = trial.ledgers.iter().map(|ledger| ledger.requests).sum();
        if client > responses && self.all_ledgers_are_here(plan) {
            let text = format!(
                "the client counts {client} right answers, the reflectors sent {responses}: {} came from somewhere else \
                 (a cache, another server) or were counted twice",
                client - responses
            );
            self.differ(true, text);
        }
        let explained = client + self.uncertain();
        if requests > explained {
            let text = format!(
                "the reflectors read {requests} requests, the client explains {explained} ({client} answered, {} failed): \
                 {} were repeated by the DUT, or are checks that do not name themselves {}",
                self.uncertain(),
                requests - explained,
                wire::identity::CHECK_USER_AGENT
            );
            self.differ(false, text);
        }
    }

    /// A reflector that died took its ledger with it.
    fn all_ledgers_are_here(&self, plan: &Plan) -> bool {
        let expected = plan.testbed.reflectors as usize + plan.testbed.remote_reflectors.len();
        self.trial.ledgers.len() >= expected
    }

    fn instances(&mut self, plan: &Plan) {
        let trial = self.trial;
        for (name, client) in &trial.responses_by_instance {
            let Some(ledger) = trial.ledgers.iter().find(|ledger| ledger.instance == *name) else {
                let missing = !self.all_ledgers_are_here(plan);
                let why = if missing { "which left no ledger" } else { "which is no reflector of this run" };
                self.differ(!missing, format!("{client} answers came from {name}, {why}"));
                continue;
            };
            // The client knows an answer's sender by its head; the ledger counts whole answers only.
            if *client > ledger.responses + self.uncertain() {
                let text = format!("{client} answers say they are from {name}, but {name} sent {}", ledger.responses);
                self.differ(true, text);
            }
        }
        self.unread_answers();
    }

    /// Answers that a reflector sent whole and no client read.
    fn unread_answers(&mut self) {
        let named: u64 = self.trial.responses_by_instance.iter().map(|(_, responses)| responses).sum();
        if named < self.trial.transactions_all {
            let unnamed = self.trial.transactions_all - named;
            let text = format!("{unnamed} of {} answers do not say who sent them", self.trial.transactions_all);
            return self.differ(false, text);
        }
        let uncertain = self.uncertain();
        for ledger in &self.trial.ledgers {
            let client = client_responses(self.trial, &ledger.instance);
            if ledger.responses > client + uncertain {
                let text = format!(
                    "{} sent {} answers, the client read {client} from it and {uncertain} operations failed",
                    ledger.instance, ledger.responses
                );
                self.differ(false, text);
            }
        }
    }

    /// Without a DUT every connection has two ends and nobody in between.
    fn direct_connections(&mut self) {
        let trial = self.trial;
        let sum = |count: fn(&wire::ledger::Ledger) -> u64| trial.ledgers.iter().map(count).sum::<u64>();
        let accepted = sum(|ledger| ledger.opened + ledger.silent);
        let refused = sum(|ledger| ledger.refused_by_cap + ledger.accept_queue_drops);
        let (opened, begun, uncertain) = (trial.opened_all, trial.attempted_connections_all, self.uncertain());
        if opened > accepted + refused + uncertain {
            let text = format!(
                "the client opened {opened} connections, the reflectors accepted {accepted} \
                 ({refused} refused or dropped, {uncertain} operations failed)"
            );
            self.differ(true, text);
        }
        // During the ceiling trial a DUT stands beside and may check the reflectors.
        if accepted > begun && trial.purpose != Purpose::Ceiling {
            self.differ(true, format!("the reflectors accepted {accepted} connections, the client began {begun}"));
        }
    }
}

fn client_responses(trial: &TrialRecord, instance: &str) -> u64 {
    trial.responses_by_instance.iter().find(|(name, _)| name == instance).map_or(0, |(_, responses)| *responses)
}

#[cfg(test)]
mod tests;
