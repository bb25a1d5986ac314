//! Suites of frame tests over real sockets: several searches and sweeps in one run folder, and what is left
//! of them when they are interrupted.

use std::time::Duration;

use host::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, Run, Started, exclusive, until};

/// A suite without a DUT, so that nothing is lost: `frames` and `suite` are the parts that differ.
fn scenario(folder: &Folder, frames: &str, suite: &str) -> std::path::PathBuf {
    let text = format!(
        r#"
[scenario]
name = "suite"
profile = "ci"
seed = 3
[testbed]
dut = "none"
reflectors = 1
[workload]
kind = "udp"
streams = 4
{frames}
[load]
unit = "frames/s"
phases = {{ init = "100ms", ramp_up = "200ms", sustain = "1s", ramp_down = "100ms" }}
[search]
method = "mlr"
start = 500
max = 2000
width = "10%"
final_sustain = "1s"
budget = "30s"
[suite]
{suite}
"#
    );
    folder.write("suite.toml", &text)
}

fn results(run: &Run) -> Vec<Value> {
    run.result()["answer"]["frames"]["results"].as_array().unwrap().clone()
}

/// The loads of a sweep in the order of its trials.
fn swept(result: &Value) -> Vec<f64> {
    result["sweep"].as_array().unwrap().iter().map(|point| point["iload_fps"].as_f64().unwrap()).collect()
}

#[test]
fn every_size_is_searched_and_swept_in_one_run() {
    let _alone = exclusive();
    let folder = Folder::new();
    let suite = "kind = \"rfc2544\"\nsizes = [64, 512]\nsweep_step = \"10%\"\nsweep_sustain = \"1s\"";
    let run = Run::of(&folder, &[scenario(&folder, "", suite)]);
    // A machine that was disturbed leaves it undecided; the trials are there all the same.
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    let results = results(&run);
    assert_eq!(results.len(), 2);
    let mut numbers = Vec::new();
    for (result, ip) in results.iter().zip([46, 494]) {
        assert_eq!(result["frames"]["size"], ip);
        assert!(result["mol_fps"].as_f64().unwrap() > 0.0, "{result}");
        let loads = swept(result);
        assert_eq!(loads.len(), 10, "{result}");
        // The user wants no more than 2,000.
        assert!(loads[0] <= 2_000.0 && loads.windows(2).all(|pair| pair[0] > pair[1]), "{loads:?}");
        for point in result["sweep"].as_array().unwrap() {
            let [sent, lost] = ["sent", "lost"].map(|key| point[key].as_u64().unwrap());
            assert!(lost <= sent, "{point}");
        }
        numbers.extend(result["trials"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()));
    }
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
    assert_eq!(run.csv("trials.csv").len(), numbers.len());
}

#[test]
fn a_mix_is_measured_at_half_its_throughput_too() {
    let _alone = exclusive();
    let folder = Folder::new();
    let frames = "[workload.frames]\nlayer = \"ip\"\nsizes = [40, 576, 1500]\ngenome = \"ABAABACABAAB\"";
    let run = Run::of(&folder, &[scenario(&folder, frames, "kind = \"imix\"\nsweep_step = \"0%\"")]);
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    let results = results(&run);
    let [result] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(result["frames"]["genome"], "ABAABACABAAB");
    assert_eq!(swept(result), Vec::<f64>::new());
    if let Some(lower) = result["lower_fps"].as_f64() {
        let loads: Vec<f64> =
            result["delays"].as_array().unwrap().iter().map(|delay| delay["load_fps"].as_f64().unwrap()).collect();
        assert_eq!(loads[0], lower);
        // The second one is left out where the trial says nothing, or failed.
        assert!(loads[1..].iter().all(|load| *load == lower / 2.0), "{loads:?}");
    }
    for name in ["per_size_at_throughput", "per_size_at_upper"] {
        let Some(sizes) = result[name]["sizes"].as_array() else { continue };
        let sizes: Vec<u64> = sizes.iter().map(|size| size["size"].as_u64().unwrap()).collect();
        assert_eq!(sizes, [40, 576, 1_500]);
    }
}

#[test]
fn an_interrupted_suite_keeps_what_it_measured_and_can_be_resumed() {
    let _alone = exclusive();
    let folder = Folder::new();
    let suite = "kind = \"rfc2544\"\nsizes = [64, 512]\nsweep_step = \"10%\"\nsweep_sustain = \"1s\"";
    let path = scenario(&folder, "", suite);
    let mut started = Started::of(&folder, &[path]);
    started.wait_for_load();
    let old = started.folder().unwrap();
    let finished = || {
        let text = std::fs::read_to_string(old.join("trials.jsonl")).unwrap_or_default();
        (text.lines().count() >= 4).then_some(())
    };
    assert!(until(Duration::from_secs(60), finished).is_some(), "no four trials within a minute");
    started.signal(Signal::INT);
    let run = started.finish();
    started.assert_nothing_left("the run was interrupted");
    assert_eq!(run.code, Some(130), "{run:?}");
    let before = results(&run);
    assert_eq!(before.len(), 2, "the size that was not reached has a place, too");
    assert_eq!(before[1]["trials"].as_array().unwrap().len(), 0);
    assert_eq!(before[1]["exit"], "interrupted");

    let again = Run::of(&folder, &["resume", &old.display().to_string()]);
    assert!(matches!(again.code, Some(0 | 4)), "{again:?}");
    let warnings = again.result()["answer"]["warnings"].to_string();
    assert!(warnings.contains("were measured there"), "{warnings}");
    assert!(results(&again).iter().all(|result| !swept(result).is_empty()), "{again:?}");
}
