//! Tests of the pictures over synthetic runs.

use super::*;
use crate::report::fixture::{self, Run};
use crate::verdict::answer::Bound;

fn pictures_of(run: &Run) -> Vec<Picture> {
    let notes = fixture::notes(run);
    pictures(&Material { plan: &run.plan, trials: &run.trials, notes: &notes, answer: &run.answer })
}

/// Every tag is closed in order and every `&` begins an entity.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        for entity in text.split('&').skip(1) {
            assert!(["lt;", "gt;", "amp;", "quot;", "apos;"].iter().any(|known| entity.starts_with(known)), "{text}");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn every_picture_of_a_search_is_drawn_and_well_formed() {
    let pictures = pictures_of(fixture::run());
    let stems: Vec<_> = pictures.iter().map(|picture| picture.stem).collect();
    assert_eq!(stems, ["rate", "latency", "cpu", "connections", "latency_load", "latency_curve", "servers"]);
    for picture in &pictures {
        let drawn = picture.drawn.as_ref().unwrap();
        assert!(drawn.svg.starts_with("<svg "), "{}", picture.stem);
        assert_well_formed(&drawn.svg);
    }
    let svg = |at: usize| &pictures[at].drawn.as_ref().unwrap().svg;
    for text in ["4 climb ✗", "9 confirm ✓", "connections/s", "seconds since the first trial began", "due", "completed"]
    {
        assert!(svg(0).contains(text), "{text} is missing");
    }
    assert!(svg(4).contains("limited by dut: 980") && svg(4).contains("without the DUT: 4,300"));
    assert!(svg(5).contains("99.9 %"));
    assert!(svg(6).contains("reflector-1") && svg(6).contains("50 %"));
    assert!(svg(2).contains("generator") && svg(2).contains("busiest core"));
}

#[test]
fn a_chart_carries_the_numbers_of_its_drawing() {
    let run = fixture::run();
    let pictures = pictures_of(run);
    let data = |stem: &str| {
        let picture = pictures.iter().find(|picture| picture.stem == stem).unwrap();
        picture.drawn.as_ref().unwrap().live.clone()
    };
    assert!(data("servers").is_none());
    let rate = data("rate").unwrap();
    let xs: Vec<f64> = serde_json::from_value(rate["xs"].clone()).unwrap();
    assert!(xs.windows(2).all(|pair| pair[0] < pair[1]));
    let ys: Vec<Option<f64>> = serde_json::from_value(rate["series"][0]["ys"].clone()).unwrap();
    assert_eq!(ys.len(), xs.len());
    // One row per second, the end of each trial, and a gap between two of them.
    let seconds: usize = run.trials.iter().map(|record| record.seconds.len()).sum();
    assert_eq!(xs.len(), seconds + run.trials.len() + run.trials.len() - 1);
    assert_eq!(ys.iter().filter(|y| y.is_none()).count(), run.trials.len() - 1);
    let due: Vec<u64> = run.trials[0].seconds.iter().map(|second| second.due).collect();
    assert_eq!(ys[..due.len()].iter().map(|y| y.unwrap() as u64).collect::<Vec<_>>(), due);
    assert_eq!(rate["regions"][8][2], "trial 9, confirm at 980/s, passed");
    assert_eq!(rate["regions"][8][1].as_array().unwrap().len(), 4);

    let load = data("latency_load").unwrap();
    let crosses: Vec<bool> = serde_json::from_value(load["crosses"].clone()).unwrap();
    // 980/s was tried twice: one row for each trial.
    assert_eq!((crosses.len(), crosses.iter().filter(|cross| **cross).count()), (8, 3));
    let p50 = run.trials[8].latencies.percentile(crate::measure::Latency::Response, 50.0).unwrap();
    let at = load["notes"].as_array().unwrap().iter().position(|note| note == "trial 9").unwrap();
    let shown = load["series"][1]["ys"][at].as_f64().unwrap();
    assert!((shown - (p50.as_nanos() as f64).log10()).abs() < 1e-5, "{shown}");
}

#[test]
fn a_picture_without_data_says_why() {
    let pictures = pictures_of(&fixture::external());
    let why = |stem: &str| pictures.iter().find(|picture| picture.stem == stem).unwrap().drawn.as_ref().err();
    assert_eq!(
        why("servers").unwrap(),
        "no reflector of this program took part: the servers neither name themselves nor keep books"
    );
    assert_eq!(why("cpu"), None);
    let nothing = Run { trials: Vec::new(), ..fixture::interrupted() };
    assert!(pictures_of(&nothing).iter().all(|picture| picture.drawn.is_err()));
}

#[test]
fn a_png_is_written_whole_or_the_reason_named() {
    let pictures = pictures_of(&fixture::external());
    let drawn = pictures[0].drawn.as_ref().unwrap();
    let path = std::env::temp_dir().join(format!("nadare-plot-{}.png", std::process::id()));
    write_png(drawn, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xaeB`\x82"));
    let error = write_png(drawn, Path::new("/nonexistent/rate.png")).unwrap_err();
    assert_eq!(error.to_string(), "cannot write /nonexistent/rate.png");
}

#[test]
fn a_suite_has_its_graphs_first_and_the_axes_of_loss_are_fixed() {
    let pictures = pictures_of(fixture::frames::rfc2544());
    let stems: Vec<_> = pictures.iter().map(|picture| picture.stem).collect();
    assert_eq!(stems, ["throughput", "loss", "rate", "latency", "cpu", "latency_curve", "servers"]);
    for picture in &pictures {
        assert_well_formed(&picture.drawn.as_ref().unwrap().svg);
    }
    let live = |at: usize| pictures[at].drawn.as_ref().unwrap().live.clone().unwrap();
    let throughput = live(0);
    let name = |at: usize| throughput["series"][at]["name"].clone();
    assert_eq!([name(0), name(1), name(2)], ["throughput", "without the DUT (MOL)", "declared 100 Mbit/s"]);
    let loss = live(1);
    for axis in ["x", "y"] {
        assert_eq!((&loss[axis]["from"], &loss[axis]["to"]), (&0.0.into(), &100.0.into()));
    }
    assert_eq!(loss["series"].as_array().unwrap().len(), 3);
    assert_eq!(loss["x"]["label"], "intended load in % of the declared 100 Mbit/s");

    let pictures = pictures_of(fixture::frames::imix());
    let stems: Vec<_> = pictures.iter().map(|picture| picture.stem).collect();
    assert_eq!(stems, ["loss", "sizes", "rate", "latency", "cpu", "latency_load", "latency_curve", "servers"]);
    let sizes = &pictures[1].drawn.as_ref().unwrap().svg;
    assert!(sizes.contains("1518 B") && sizes.contains("24 %"), "{sizes}");
    let single = pictures_of(&fixture::frames::faulty_frames());
    assert!(single.iter().all(|picture| picture.stem != "loss" && picture.stem != "connections"));
}

#[test]
fn a_lower_bound_is_no_throughput_in_the_graph() {
    let run = fixture::frames::rfc2544();
    let mut answer = run.answer.clone();
    answer.frames.as_mut().unwrap().results[1].bound = Bound::Lower;
    let notes = fixture::notes(run);
    let pictures = pictures(&Material { plan: &run.plan, trials: &run.trials, notes: &notes, answer: &answer });
    let throughput = &pictures[0];
    assert!(throughput.caption.contains("the points named ≥ are lower bounds"), "{}", throughput.caption);
    let live = throughput.drawn.as_ref().unwrap().live.clone().unwrap();
    assert_eq!([&live["series"][0]["name"], &live["series"][1]["name"]], ["throughput", "≥ (at least)"]);
    let dots = |at: usize| live["series"][at]["ys"].as_array().unwrap().iter().filter(|y| !y.is_null()).count();
    assert_eq!([0, 1].map(dots), [2, 1]);
    assert!(!pictures_of(run)[0].caption.contains("lower bound"));
}
