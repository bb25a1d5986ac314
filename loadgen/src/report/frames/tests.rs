//! Tests of the files of frame tests over synthetic runs.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use wire::units::Percent;

use crate::report::fixture::frames as fixture;
use crate::report::fixture::{Run, Scratch, write};
use crate::scenario::Plan;
use crate::scenario::plan::{Comparison, Expectation, GoalPlan, Metric, SearchPlan};

type Rows = Vec<HashMap<String, String>>;

/// The header and the rows of a CSV file.
fn read(path: &Path) -> (String, Rows) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        header.iter().zip(row.iter()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    });
    (header.iter().collect::<Vec<_>>().join(","), rows.collect())
}

fn column<'a>(rows: &'a Rows, name: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row.get(name).unwrap_or_else(|| panic!("{name} is missing")).as_str()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn folder(run: &Run, name: &str) -> (Scratch, std::path::PathBuf) {
    let scratch = Scratch::new(name);
    let path = write(run, scratch.path());
    (scratch, path)
}

#[test]
fn throughput_has_the_promised_columns_and_a_row_for_each_size() {
    let (_scratch, path) = folder(fixture::rfc2544(), "frames-throughput");
    let (header, rows) = read(&path.join("throughput.csv"));
    assert!(
        header.starts_with(
            "frame_size,theoretical_fps,mol_fps,lower_fps,upper_fps,width,trial_s,loss_at_upper,l2_bps,l1_bps,\
             direction,protocol,seed,label,l3_bps,limited_by,verdict,"
        ),
        "{header}"
    );
    assert_eq!(column(&rows, "frame_size"), ["64", "512", "1518"]);
    // 100 Mbit/s carry 148,809.5 frames of 64 B (RFC 2544, appendix B).
    assert!((number(column(&rows, "theoretical_fps")[0]) - 148_809.523_81).abs() < 1e-3);
    assert_eq!(column(&rows, "mol_fps"), ["9000"; 3]);
    assert_eq!(column(&rows, "lower_fps"), ["3000"; 3]);
    assert_eq!(column(&rows, "upper_fps"), ["3060"; 3]);
    // 3,000 frames/s of 64 B: 84, 64 and 46 bytes of each.
    assert_eq!(["l1_bps", "l2_bps", "l3_bps"].map(|name| column(&rows, name)[0]), ["2016000", "1536000", "1104000"]);
    assert!((number(column(&rows, "loss_at_upper")[0]) - 60.0 / 3_060.0).abs() < 1e-9);
    assert_eq!(column(&rows, "protocol"), ["UDP/IPv4"; 3]);
    assert_eq!(column(&rows, "verdict"), ["pass"; 3]);
    assert!(!path.join("imix.csv").exists());
}

#[test]
fn a_throughput_that_may_lose_frames_is_not_called_free_of_loss() {
    let run = fixture::rfc2544();
    let lead = |plan: &Plan| {
        let sections = super::tables::first(plan, run.answer.frames.as_ref());
        sections[0]["lead"].as_str().unwrap().to_owned()
    };
    let strict =
        "Highest load at which every frame sent came back as it was (RFC 2544, 26.1), each size by itself. MOL";
    assert!(lead(&run.plan).starts_with(strict), "{}", lead(&run.plan));
    let goal = GoalPlan {
        loss: Some(Percent::from_ratio(0.005).unwrap()),
        exceed: Percent::from_ratio(0.5).unwrap(),
        final_sustain: Duration::from_secs(5),
        duration_sum: Duration::from_secs(5),
        width: Percent::from_ratio(0.01).unwrap(),
    };
    let mut plan = run.plan.clone();
    let mut maximum = plan.search.maximum().unwrap().clone();
    maximum.goals = vec![goal];
    plan.search = SearchPlan::Mlr(maximum);
    let tolerant =
        "at which at most 0.5 % of the frames sent were lost in all but 50 % of the time, where RFC 2544, 26.1";
    assert!(lead(&plan).contains(tolerant) && !lead(&plan).contains("every frame"), "{}", lead(&plan));
    plan.search = run.plan.search.clone();
    let limit = "failed <= 0.1%".to_owned();
    plan.expect =
        vec![Expectation { metric: Metric::Failed, comparison: Comparison::LessOrEqual, value: 0.001, text: limit }];
    assert!(lead(&plan).contains("at most 0.1 % of the frames sent were lost,"), "{}", lead(&plan));
}

#[test]
fn loss_has_the_promised_columns_and_a_row_for_each_load() {
    let run = fixture::rfc2544();
    let (_scratch, path) = folder(run, "frames-loss");
    let (header, rows) = read(&path.join("loss.csv"));
    let promised = "frame_size,load_pct,iload_fps,oload_fps,rx_fps,lost,loss_pct,reordered,duplicates,trial_s,";
    assert!(header.starts_with(promised), "{header}");
    let points: usize = run.answer.frames.as_ref().unwrap().results.iter().map(|result| result.sweep.len()).sum();
    assert_eq!(rows.len(), points);
    for row in &rows {
        let loss = 100.0 * number(&row["lost"]) / number(&row["sent"]);
        assert!((number(&row["loss_pct"]) - loss).abs() < 1e-9, "{row:?}");
        assert!((number(&row["iload_fps"]) - number(&row["oload_fps"])).abs() < 1.0, "{row:?}");
    }
    // 9,000 frames/s of 1518 B are more than 100 Mbit/s carry: the sweep begins at all of it.
    let largest = rows.iter().find(|row| row["frame_size"] == "1518").unwrap();
    assert_eq!(largest["load_pct"], "100");
}

#[test]
fn a_mix_has_its_genome_its_layer_and_the_loss_of_each_size() {
    let (_scratch, path) = folder(fixture::imix(), "frames-imix");
    let (header, rows) = read(&path.join("imix.csv"));
    assert!(
        header.starts_with("frame_size,theoretical_fps,mol_fps,")
            && header.contains(",seed,label,genome,layer,mean_ip_b,mean_frame_b,scope,per_size_loss,"),
        "{header}"
    );
    let row = &rows[0];
    assert_eq!(row["frame_size"], "CUSTOM IMIX - ABAABACABAAB");
    assert_eq!((row["genome"].as_str(), row["layer"].as_str()), ("ABAABACABAAB", "l3"));
    // 7 × 40, 4 × 576 and 1 × 1500 bytes; 40 are padded to a frame of 64.
    assert!((number(&row["mean_ip_b"]) - 4_084.0 / 12.0).abs() < 1e-4);
    assert!((number(&row["mean_frame_b"]) - 4_342.0 / 12.0).abs() < 1e-4);
    assert_eq!(row["per_size_loss_at_throughput"], "64:0 594:0 1518:0");
    // 40 frames/s above the limit, all of them long.
    assert_eq!(row["per_size_loss"], "64:0 594:0 1518:23.5294");
    assert_eq!(row["theoretical_fps"], "");
    assert!(!path.join("throughput.csv").exists());
    let (_, sizes) = read(&path.join("sizes.csv"));
    assert_eq!(column(&sizes, "ip_b")[..3], ["40", "576", "1500"]);
    assert_eq!(column(&sizes, "payload_b")[..3], ["12", "548", "1472"]);
    assert_eq!(sizes.len(), fixture::imix().trials.len() * 3);
}

#[test]
fn directions_tell_apart_what_went_wrong_and_where() {
    let run = fixture::faulty_frames();
    let (_scratch, path) = folder(&run, "frames-directions");
    let (_, rows) = read(&path.join("directions.csv"));
    let row = &rows[0];
    let value = |name: &str| number(&row[name]) as u64;
    let names = ["reordered", "duplicates", "late", "corrupted", "foreign", "own_drops", "reflector_drops"];
    assert_eq!(names.map(value), [24, 20, 3, 2, 1, 5, 7]);
    assert_eq!(value("client_received"), value("answered") + 20 + 3 + 2);
    // Of 30 that the reflectors did not get, their own buffers dropped 7.
    assert_eq!((value("client_sent"), value("reflectors_received")), (11_000, 10_970));
    assert_eq!((value("forward_lost"), value("forward_extra")), (23, 0));
    // The 20 duplicates do not make up for what was lost.
    assert_eq!((value("reflectors_sent"), value("client_received")), (10_959, 10_945));
    assert_eq!((value("return_lost"), value("return_extra")), (29, 0));
    assert_eq!(row["forward_loss_pct"], "0.2091");
    assert_eq!(value("reflector_dropped_on_purpose"), 11);
}

#[test]
fn the_common_files_know_frames() {
    let (_scratch, path) = folder(fixture::rfc2544(), "frames-common");
    let (_, trials) = read(&path.join("trials.csv"));
    let (_, timeline) = read(&path.join("timeline.csv"));
    let (_, summary) = read(&path.join("summary.csv"));
    let (_, outcomes) = read(&path.join("outcomes.csv"));
    assert_eq!(column(&summary, "figure"), ["fps"; 3]);
    assert_eq!(column(&summary, "fps_mean"), ["3000"; 3]);
    assert_eq!(column(&summary, "frames"), ["64 B", "512 B", "1518 B"]);
    assert_eq!(column(&summary, "l2_bps"), ["1536000", "12288000", "36432000"]);
    assert_eq!(["cps_mean", "tps_mean", "cc_mean"].map(|name| column(&summary, name)[0]), ["", "", ""]);
    assert_eq!(column(&trials, "fps_mean")[1], "2700");
    assert_eq!(column(&trials, "frame_b")[0], "64");
    for rows in [&trials, &timeline] {
        let gap = number(column(rows, "inter_departure_us_p50")[1]);
        assert!((100.0..1_000.0).contains(&gap), "{gap}");
    }
    let lost: u64 = outcomes
        .iter()
        .filter(|row| row["outcome"] == "lost")
        .map(|row| number(&row["operations_in_sustain"]) as u64)
        .sum();
    let expected: u64 = fixture::rfc2544().trials.iter().map(|record| record.outcomes.failed()).sum();
    assert!(lost > 0 && lost == expected);
}

#[test]
fn a_run_of_connections_has_no_files_of_frames() {
    let (_scratch, path) = folder(crate::report::fixture::run(), "frames-none");
    for name in ["directions.csv", "sizes.csv", "throughput.csv", "imix.csv", "loss.csv"] {
        assert!(!path.join(name).exists(), "{name}");
    }
}
