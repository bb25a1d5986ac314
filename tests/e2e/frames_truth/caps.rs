//! A known cap on frames per second is found, and a band of loads that lose is named.
//!
//! The forwarder drops what comes above its cap but for a burst: a trial of T seconds can carry the cap and
//! burst / T at most, and the figure, being the rate that came back, is never more. The goal forgives 0.7 % of
//! loss, so that a shared machine that stops for a few milliseconds does not fail a load that the cap allows;
//! with the width of the search the figure stays within one percent. A run counts when the DUT was the
//! limit, or when all that is said against it is that other programs were busy, too: each frame was on time then.

use serde_json::Value;

use super::TRIES;
use crate::harness::{Folder, Run, exclusive};

/// Our forwarder.
pub(super) const FORWARDER: &str = env!("CARGO_BIN_EXE_forwarder");
/// Frames per second that the forwarder passes on.
const CAP: f64 = 4_000.0;
/// Frames that it may pass on at once: a third of a percent of what the cap lets through in 3 s.
const BURST: u32 = 40;
/// How far a figure may be from the truth.
const TOLERANCE: f64 = 0.01;

/// The forwarder as a DUT; `begin` is put before its command line.
pub(super) fn forwarder_as_dut(folder: &Folder, begin: &str, arguments: &str) {
    let command = format!("{begin}exec {FORWARDER} --listen {{vip}}:{{port}} --to {{reflectors}} {arguments}");
    let dut = format!(
        "kind = \"command\"\nservice = \"udp://{{vip}}:{{port}}\"\nstart = [\"sh\", \"-c\", {command:?}]\n\
         ready = {{ tcp = \"{{vip}}:{{port}}\", within = \"10s\" }}\n"
    );
    folder.write("dut.toml", &dut);
}

/// A suite through that DUT: three sizes, a fine search between `start` and `max`, no sweep.
pub(super) fn search(network: &str, [start, max]: [f64; 2], sizes: &str) -> String {
    format!(
        r#"
[scenario]
name = "cap"
profile = "ci"
seed = 3
[testbed]
network = "{network}"
dut = "dut.toml"
reflectors = 1
[workload]
kind = "udp"
streams = 4
[load]
unit = "frames/s"
phases = {{ init = "0s", ramp_up = "200ms", sustain = "1s", ramp_down = "100ms" }}
max_lag = "1s"
response_timeout = "1s"
drain = "1s"
[search]
method = "mlr"
start = {start}
max = {max}
budget = "60s"
[[search.goal]]
loss = "0.7%"
width = "0.7%"
final_sustain = "3s"
[suite]
kind = "rfc2544"
sizes = {sizes}
sweep_step = "0%"
"#
    )
}

/// The results of a suite, one for each size.
pub(super) fn results(run: &Run) -> Vec<Value> {
    run.result()["answer"]["frames"]["results"].as_array().unwrap_or_else(|| panic!("{run:?}")).clone()
}

/// Searches size by size until the DUT is found to be the limit; nothing above the truth is ever accepted.
pub(super) fn finds(folder: &Folder, network: &str, sizes: &[(u32, f64)]) {
    for &(size, cap) in sizes {
        let path = folder.write("cap.toml", &search(network, [cap * 0.9, cap * 1.25], &format!("[{size}]")));
        let is_decided = (0..TRIES).any(|_| {
            let run = Run::of(folder, &[&path]);
            let results = results(&run);
            let [result] = results.as_slice() else { panic!("{run:?}") };
            let found = result["fps"].as_f64().unwrap_or(0.0);
            assert!(found <= cap * (1.0 + TOLERANCE), "{size} B: {found} is above the cap of {cap}: {}", run.stdout);
            let is_by_dut = result["limited_by"] == "dut" && run.code == Some(0);
            if is_by_dut || was_on_time(&run, result) {
                assert!(found >= cap * (1.0 - TOLERANCE), "{size} B: {found} instead of {cap}: {}", run.stdout);
                in_the_csv(&run, size, found, if is_by_dut { "pass" } else { "undecided" });
                return true;
            }
            println!("{size} B: {} by {}, once more: {}", result["fps"], result["limited_by"], run.stdout);
            false
        });
        assert!(is_decided, "in {TRIES} runs of {size} B the DUT was never found to be the limit");
    }
}

/// Whether the search came to its end, and the generator was neither late nor behind there.
fn was_on_time(run: &Run, result: &Value) -> bool {
    // A little above the width that is asked for, because loads are rounded.
    let is_narrow = result["width"].as_f64().is_some_and(|width| width <= 0.0075);
    is_narrow && ["G1:", "G2:", "G3:"].iter().all(|rule| !run.stdout.contains(rule))
}

fn in_the_csv(run: &Run, size: u32, found: f64, verdict: &str) {
    let row = &run.csv("throughput.csv")[0];
    assert_eq!((row["frame_size"].as_str(), row["verdict"].as_str()), (size.to_string().as_str(), verdict), "{row:?}");
    let figure: f64 = row["throughput_fps"].parse().unwrap();
    assert!((figure - found).abs() <= 0.001 * found, "{row:?}");
}

#[test]
fn a_cap_of_a_forwarder_is_found_within_a_percent_for_three_sizes() {
    let _alone = exclusive();
    let folder = Folder::new();
    forwarder_as_dut(&folder, "", &format!("--cap {CAP} --burst {BURST}"));
    finds(&folder, "loopback", &[(64, CAP), (512, CAP), (1_518, CAP)]);
}

/// A band between loads that are carried: searches jump over it, the sweep meets it.
#[test]
fn a_band_of_loads_that_lose_is_found_by_the_sweep_and_named() {
    let _alone = exclusive();
    let folder = Folder::new();
    // Of the loads 500, 1000 … 5000 only 2000 lies in it, far from its ends.
    forwarder_as_dut(&folder, "", "--lossy 1700-2300 --drop-one-in 50");
    let text = search("loopback", [4_000.0, 5_000.0], "[128]")
        .replace("sweep_step = \"0%\"", "sweep_step = \"10%\"\nsweep_sustain = \"2s\"")
        .replace("ramp_up = \"200ms\"", "ramp_up = \"0s\"")
        .replace("loss = \"0.7%\"", "loss = \"0%\"");
    let path = folder.write("band.toml", &text);
    let mut told = String::new();
    let is_found = (0..TRIES).any(|_| {
        let run = Run::of(&folder, &[&path]);
        let results = results(&run);
        let loss = run.csv("loss.csv");
        let point = loss.iter().find(|row| row["iload_fps"] == "2000").unwrap_or_else(|| panic!("{loss:?}"));
        // The forwarder loses one in 50 of what comes while it sees a rate in its band: not in its first window,
        // and not in one that a busy machine fills unevenly.
        let lost: f64 = point["loss_pct"].parse().unwrap();
        assert!((0.1..=2.05).contains(&lost) || point["valid"] == "false", "{point:?}");
        told = run.stdout.clone();
        let bands = results[0]["lossy_bands"].as_array().unwrap().clone();
        // A machine that stops for a while makes this DUT see a rate of its band elsewhere, too; that loses less.
        let loss_of = |band: &Value| band["loss_pct"].as_f64().unwrap();
        let worst = bands.iter().max_by(|a, b| loss_of(a).total_cmp(&loss_of(b)));
        let is_it =
            |band: &Value| [&band["low_fps"], &band["high_fps"]].iter().all(|end| end.as_f64() == Some(2_000.0));
        let named = worst.is_some_and(is_it);
        if named {
            let text = "between 2000 and 2000 frames";
            assert!([&run.stdout, &run.file("report.html")].iter().all(|told| told.contains(text)), "{}", run.stdout);
        }
        named
    });
    assert!(is_found, "in {TRIES} runs the band was never told apart: {told}");
}
