//! Truth tests of frames: what is done to datagrams on purpose has to be reported exactly.
//!
//! Faults follow from the sequence of a frame in its stream, and the number of frames from the schedule, so
//! the counts that have to come out are computed here from nothing else: no count of the run enters them.
//! They are looked for in `trials.jsonl` and in the CSVs. Caps are found through [`caps`], on a network with
//! addresses and through the kernel's own shaper in [`netns`], what must be refused or undecided in [`bad`].
//! A run in which this machine kept the generator from sending on time may be repeated; a wrong figure of a
//! run that sent all frames fails at once.

use std::collections::HashMap;

use serde_json::Value;

use crate::harness::{Folder, Run, exclusive};

mod bad;
mod caps;
mod netns;

/// How often a run is made that was disturbed before.
const TRIES: u32 = 4;
/// Frames per second of the trials with faults.
const RATE: u64 = 4_000;
/// Frames due in sustain (5 s), and in both ramps together (200 ms each, at half the rate on average).
const SUSTAIN: u64 = 5 * RATE;
const RAMPS: u64 = RATE / 5;
/// Frames of the whole trial.
const ALL: u64 = SUSTAIN + RAMPS;

/// One trial at [`RATE`] straight to one reflector.
fn straight(streams: u64, arguments: &str) -> String {
    let tuples = if streams == 1 { "fixed" } else { "random" };
    let core = host::cpu::allowed_cores()[0];
    format!(
        r#"
[scenario]
name = "truth"
seed = 3
[testbed]
dut = "none"
reflectors = 1
generator_cores = [{core}]
reflector_arguments = [{arguments}]
[workload]
kind = "udp"
streams = {streams}
tuples = "{tuples}"
[workload.frames]
size = 128
[load]
unit = "frames/s"
rate = "{RATE}/s"
phases = {{ init = "100ms", ramp_up = "200ms", sustain = "5s", ramp_down = "200ms" }}
max_lag = "5s"
[search]
method = "fixed"
"#
    )
}

/// The records of all trials of a run.
fn records(run: &Run) -> Vec<Value> {
    let text = run.file("trials.jsonl");
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].clone()).collect()
}

fn number(row: &HashMap<String, String>, column: &str) -> u64 {
    let text = row.get(column).unwrap_or_else(|| panic!("no column {column}: {row:?}"));
    text.parse().unwrap_or_else(|_| panic!("{column} is {text:?}: {row:?}"))
}

/// The only trial of a run in which every frame was sent; a run in which one was not, or in which the tester's
/// own buffers were full, is made once more: that is this machine's doing.
fn undisturbed(folder: &Folder, scenario: &str) -> (Run, Value) {
    let path = folder.write("truth.toml", scenario);
    for _ in 0..TRIES {
        let run = Run::of(folder, &[&path]);
        let records = records(&run);
        let [record] = records.as_slice() else { panic!("{run:?}") };
        let (frames, reflector) = (&record["frames"], &record["ledgers"][0]["udp"]);
        let is_own = [&frames["own_drops"], &reflector["buffer_drops"]].iter().any(|drops| **drops != 0);
        if frames["all"]["sent"] == ALL && !is_own {
            return (run, record.clone());
        }
        println!("this machine was disturbed, once more: {}", run.stdout);
    }
    panic!("in {TRIES} runs this machine never sent {RATE} frames per second without a disturbance");
}

/// How many frames of a range of sequences of `streams` streams are met by one in `every`, at `place`.
fn met(sequences: std::ops::Range<u64>, every: u64, place: u64, streams: u64) -> u64 {
    sequences.filter(|sequence| sequence % every == place).count() as u64 * streams
}

/// A reflector with all faults at once: the counts of the whole trial and of its sustain are those that
/// follow from schedule and sequences.
fn reports_faults_exactly(streams: u64) {
    let _alone = exclusive();
    let folder = Folder::new();
    let faults = r#""--udp-drop", "1000", "--udp-duplicate", "500", "--udp-swap", "400", "--udp-corrupt", "800""#;
    let (run, record) = undisturbed(&folder, &straight(streams, faults));
    // What is due before and after sustain has sequences before and after, in each stream.
    let (ramp, whole) = (RAMPS / 2 / streams, 0..ALL / streams);
    let sustain = ramp..ramp + SUSTAIN / streams;
    let expect = |range: std::ops::Range<u64>| {
        let met = |every, place| met(range.clone(), every, place, streams);
        [met(1_000, 1), met(500, 5), met(400, 6), met(800, 3)]
    };
    for (part, range, sent) in [("all", whole.clone(), ALL), ("sustain", sustain.clone(), SUSTAIN)] {
        let [dropped, duplicated, swapped, corrupted] = expect(range);
        let counts = &record["frames"][part];
        let expected = serde_json::json!({
            "sent": sent, "answered": sent - dropped - corrupted, "reordered": swapped, "duplicates": duplicated,
            "late": 0, "corrupted": corrupted, "foreign": 0,
        });
        assert_eq!(*counts, expected, "{part}: {}", run.stdout);
    }
    in_the_outcomes(&run, expect(whole.clone()), expect(sustain.clone()));
    in_the_directions(&run, expect(whole));
    in_the_sizes(&run, expect(sustain));
    // What the reflector did on purpose is known to both books.
    assert!(run.result()["answer"]["books"].as_array().unwrap().is_empty(), "{}", run.file("result.json"));
}

fn in_the_outcomes(run: &Run, all: [u64; 4], sustain: [u64; 4]) {
    let rows = run.csv("outcomes.csv");
    let row = |outcome: &str| rows.iter().find(|row| row["outcome"] == outcome).unwrap_or_else(|| panic!("{rows:?}"));
    for (column, [dropped, _, _, corrupted]) in [("operations_all", all), ("operations_in_sustain", sustain)] {
        assert_eq!(number(row("lost"), column), dropped, "{rows:?}");
        assert_eq!(number(row("bad_payload"), column), corrupted, "{rows:?}");
    }
    let [dropped, duplicated, swapped, corrupted] = sustain;
    let trial = &run.csv("trials.csv")[0];
    for (column, expected) in [
        ("due", SUSTAIN),
        ("failed", dropped + corrupted),
        ("frames_sent", SUSTAIN),
        ("frames_answered", SUSTAIN - dropped - corrupted),
        ("duplicates", duplicated),
        ("reordered", swapped),
        ("corrupted", corrupted),
        ("late", 0),
        ("foreign", 0),
    ] {
        assert_eq!(number(trial, column), expected, "{column}: {trial:?}");
    }
}

fn in_the_directions(run: &Run, [dropped, duplicated, swapped, corrupted]: [u64; 4]) {
    let row = &run.csv("directions.csv")[0];
    for (column, expected) in [
        ("client_sent", ALL),
        ("reflectors_received", ALL),
        ("forward_lost", 0),
        ("forward_extra", 0),
        ("reflectors_sent", ALL - dropped + duplicated),
        ("client_received", ALL - dropped + duplicated),
        ("return_lost", 0),
        ("return_extra", 0),
        ("reordered", swapped),
        ("duplicates", duplicated),
        ("corrupted", corrupted),
        ("reflector_dropped_on_purpose", dropped),
        ("reflector_duplicated_on_purpose", duplicated),
        ("reflector_swapped_on_purpose", swapped),
        ("reflector_corrupted_on_purpose", corrupted),
    ] {
        assert_eq!(number(row, column), expected, "{column}: {row:?}");
    }
}

fn in_the_sizes(run: &Run, [dropped, _, _, corrupted]: [u64; 4]) {
    let rows = run.csv("sizes.csv");
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let expected =
        [("frame_b", 128), ("due", SUSTAIN), ("sent", SUSTAIN), ("lost", dropped + corrupted), ("unsent", 0)];
    for (column, expected) in expected {
        assert_eq!(number(row, column), expected, "{column}: {row:?}");
    }
}

#[test]
fn faults_of_one_stream_are_reported_exactly() {
    reports_faults_exactly(1);
}

#[test]
fn faults_of_several_streams_are_reported_exactly() {
    reports_faults_exactly(4);
}

#[test]
fn one_in_a_thousand_is_a_tenth_of_a_percent() {
    let _alone = exclusive();
    let folder = Folder::new();
    let (run, _) = undisturbed(&folder, &straight(1, r#""--udp-drop", "1000""#));
    // 20,000 frames in a row: exactly 20 of them.
    assert_eq!(run.number("failed"), 20.0, "{run:?}");
    assert!((run.number("failed_ratio") - 0.001).abs() < 1e-12, "{run:?}");
    assert_eq!(run.csv("directions.csv")[0]["return_loss_pct"], "0", "the reflector's doing, and not the way's");
}

#[test]
fn a_known_delay_of_datagrams_is_reported() {
    let _alone = exclusive();
    let folder = Folder::new();
    let (run, record) = undisturbed(&folder, &straight(4, r#""--delay", "5ms""#));
    assert_eq!((run.code, run.number("failed")), (Some(0), 0.0), "{run:?}");
    for latency in ["service_time", "response_time"] {
        let p50 = run.number(&format!("{latency}_us_p50"));
        assert!((5_000.0..=13_000.0).contains(&p50), "{latency} p50 is {p50} us with a delay of 5 ms");
    }
    // Nobody is faster than the truth; the histogram rounds by less than one percent.
    let rows = run.csv("latency.csv");
    let fastest = rows.iter().find(|row| row["latency"] == "service_time" && row["percentile"] == "0");
    let fastest: f64 = fastest.unwrap_or_else(|| panic!("{rows:?}"))["value_us"].parse().unwrap();
    assert!(fastest >= 4_950.0, "the fastest answer took {fastest} us");
    let answered = &record["frames"]["all"];
    assert_eq!((&answered["answered"], &answered["late"]), (&ALL.into(), &0.into()), "{answered}");
}
