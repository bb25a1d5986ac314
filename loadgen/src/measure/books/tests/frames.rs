//! The books of datagrams.

use wire::frame::FrameSize;
use wire::ledger::{LengthCount, UdpLedger};

use super::*;
use crate::measure::record::{FrameCounts, FrameRecord, SizeCount};

fn udp_plan() -> Plan {
    let text = "[testbed]\ndut = \"none\"\n[workload]\nkind = \"udp\"\nframes = { sizes = [64, 1518] }\n\
                [load]\nunit = \"frames/s\"\nrate = 10\n";
    let nothing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let mut plan = parse("x.toml", text, &nothing, &Overrides::default()).unwrap();
    plan.testbed.reflectors = 1;
    plan
}

/// 100 frames, half of each size; 10 lost on the way there, 5 on the way back.
fn frames() -> TrialRecord {
    let mut trial = trial();
    let mut outcomes = Outcomes::default();
    outcomes.add(Outcome::Ok, 85);
    outcomes.add(Outcome::Lost, 15);
    (trial.due, trial.outcomes, trial.outcomes_all, trial.completed_in_sustain) = (100, outcomes, outcomes, 85);
    (trial.transactions_in_sustain, trial.transactions_all) = (0, 0);
    let size = |bytes, answered| SizeCount { size: FrameSize::of_frame(bytes).unwrap(), due: 50, sent: 50, answered };
    let counts = FrameCounts { sent: 100, answered: 85, ..FrameCounts::default() };
    let sizes = vec![size(64, 45), size(1518, 40)];
    trial.frames = Some(FrameRecord { sizes, sustain: counts, all: counts, ..FrameRecord::default() });
    let by_length = [(18, 45), (1472, 45)].map(|(payload, n)| LengthCount { payload, received: n, sent: n }).to_vec();
    let udp = UdpLedger { received: 90, sent: 90, by_length, ..UdpLedger::default() };
    trial.ledgers = vec![Ledger { instance: "a".to_owned(), udp, ..Ledger::default() }];
    trial.responses_by_instance.clear();
    trial
}

fn found_in(change: impl FnOnce(&mut TrialRecord)) -> Vec<(bool, String)> {
    let mut trial = frames();
    change(&mut trial);
    reconcile(&udp_plan(), &trial).into_iter().map(|mismatch| (mismatch.serious, mismatch.text)).collect()
}

#[test]
fn loss_is_told_by_its_way_and_is_no_mismatch() {
    assert_eq!(found_in(|_| ()), []);
    let ways = Ways::of(&frames()).unwrap();
    let expected = Ways {
        sent: 100,
        received: 90,
        lost_forward: 10,
        answered: 90,
        returned: 85,
        lost_return: 5,
        lost_by_dut: 15,
        ..Ways::default()
    };
    assert_eq!(ways, expected);
    let mut faulty = frames();
    let udp = &mut faulty.ledgers[0].udp;
    (udp.sent, udp.dropped, udp.duplicated, udp.buffer_drops) = (92, 3, 5, 7);
    faulty.frames.as_mut().unwrap().all.duplicates = 5;
    faulty.frames.as_mut().unwrap().own_drops = 2;
    let ways = Ways::of(&faulty).unwrap();
    assert_eq!((ways.on_purpose, ways.lost_return, ways.returned), (3, 2, 90));
    assert_eq!((ways.lost_by_reflectors, ways.lost_by_generator, ways.lost_by_testers()), (7, 2, 9));
    assert_eq!(Ways::of(&trial()), None, "connections have no ways");
}

#[test]
fn without_ledgers_no_way_is_known() {
    let mut alone = frames();
    alone.ledgers.clear();
    let ways = Ways::of(&alone).unwrap();
    assert_eq!(ways, Ways { sent: 100, returned: 85, ..Ways::default() });
    assert_eq!(reconcile(&udp_plan(), &alone), []);
}

#[test]
fn more_received_than_sent_is_a_mismatch_and_never_a_negative_loss() {
    let more = found_in(|trial| trial.ledgers[0].udp.received = 104);
    assert_eq!(
        more,
        [(
            true,
            "the reflectors received 104 datagrams, the client sent 100: 4 were repeated by the DUT or are not of this run"
                .to_owned()
        )]
    );
    let back = found_in(|trial| trial.frames.as_mut().unwrap().all.duplicates = 6);
    assert_eq!(
        back,
        [(
            true,
            "the client received 91 answers, the reflectors sent 90: 1 were repeated on the way or came from somebody else"
                .to_owned()
        )]
    );
    let mut trial = frames();
    trial.ledgers[0].udp.received = 104;
    assert_eq!(Ways::of(&trial).unwrap().lost_forward, 0);
}

#[test]
fn duplicates_on_the_way_out_do_not_hide_the_loss_of_others() {
    let mut trial = frames();
    assert_eq!(Ways::of(&trial).unwrap().lost_by_dut, 15);
    // As many repeated as lost: the sums of the way agree.
    let counts = &mut trial.frames.as_mut().unwrap().all;
    (counts.answered, counts.duplicates) = (90, 10);
    let sent = counts.sent;
    (trial.ledgers[0].udp.received, trial.ledgers[0].udp.sent) = (sent, sent);
    let ways = Ways::of(&trial).unwrap();
    assert_eq!((ways.lost_forward, ways.lost_return), (0, 0));
    assert_eq!(ways.lost_by_dut, 10);
}

#[test]
fn lengths_that_nobody_sent_are_named() {
    let cut = found_in(|trial| {
        trial.ledgers[0].udp.by_length[1] = LengthCount { payload: 1_000, received: 45, sent: 45 };
    });
    assert_eq!(cut.len(), 2, "{cut:?}");
    assert!(cut[0].1.starts_with("the reflectors received 45 datagrams of lengths that no frame of this run has"));
    assert_eq!(
        cut[1].1,
        "40 frames of 1518 bytes were answered in sustain, but the reflectors received 0 of that length"
    );
    let own = found_in(|trial| trial.frames.as_mut().unwrap().sizes[0].answered = 51);
    assert_eq!(own[0], (true, "51 frames of 64 bytes were answered, but only 50 sent".to_owned()));
}
