//! Histories that are whole, cut off or damaged.

use super::*;
use crate::gate::{Limit, Order};

fn record(value: f64) -> Record {
    let pair = |number: u32, value: f64| Pair {
        number,
        order: Order::CandidateFirst,
        baseline: vec![(Metric::Cps, 1_000.0)],
        candidate: vec![(Metric::Cps, value)],
        discarded: (number == 3).then(|| "steal 7 %".to_owned()),
    };
    let build = |name: &str| Build { name: name.to_owned(), version: Some("2.6".to_owned()), commit: None };
    Record {
        schema: SCHEMA,
        time: "2026-03-01T02:00:00Z".to_owned(),
        tool: build("loadgen"),
        baseline: build("haproxy"),
        candidate: build("haproxy"),
        scenario: "cps".to_owned(),
        scenario_hash: "abc".to_owned(),
        seed: 7,
        host: BTreeMap::from([("kernel".to_owned(), "Linux 6.18".to_owned())]),
        settings: Settings::new(vec![Limit::of(Metric::Cps)]).unwrap(),
        pairs: vec![pair(1, value), pair(2, value + 2.0), pair(3, 1.0)],
        decision: Decision::More { until: 8 },
        label: Some("nightly".to_owned()),
    }
}

fn text(values: &[f64]) -> String {
    values.iter().map(|&value| line(&record(value)).unwrap()).collect()
}

#[test]
fn what_was_written_is_read_again() {
    let history = parse(&text(&[1.0, 2.0])).unwrap();
    assert_eq!(history.records, [record(1.0), record(2.0)]);
    assert_eq!((history.warning, history.whole_bytes), (None, text(&[1.0, 2.0]).len()));
    assert_eq!(parse("").unwrap(), History::default());
    assert_eq!(parse(&format!("\n{}\n\n", text(&[1.0]))).unwrap().records.len(), 1);
}

#[test]
fn a_last_line_that_is_cut_off_is_named_and_left_out() {
    let whole = text(&[1.0]);
    for cut in [1, 20, whole.len() - 2] {
        let history = parse(&format!("{whole}{}", &whole[..cut])).unwrap();
        assert_eq!(history.records, [record(1.0)]);
        let warning = format!("line 2, the last one, is cut off after {cut} bytes and is left out");
        assert_eq!((history.warning, history.whole_bytes), (Some(warning), whole.len()));
    }
    // Only its line end is missing: nothing is lost.
    let history = parse(whole.trim_end()).unwrap();
    assert_eq!((history.records.len(), history.warning), (1, None));
}

#[test]
fn any_other_bad_line_is_an_error_with_its_number() {
    let whole = text(&[1.0]);
    let error = parse(&format!("{whole}{}\n{whole}", &whole[..40])).unwrap_err();
    assert!(error.to_string().starts_with("line 2 is not a gate"), "{error}");
    let error = parse("[1, 2]\n").unwrap_err();
    assert!(error.to_string().starts_with("line 1 "), "{error}");
    let error = parse(&whole.replace("\"schema\":1", "\"schema\":9")).unwrap_err();
    assert!(error.to_string().starts_with("line 1 has schema 9, but this program reads 1"), "{error}");
}

#[test]
fn appending_drops_what_is_cut_off_and_nothing_else() {
    let (whole, next) = (text(&[1.0]), text(&[2.0]));
    for before in [whole.clone(), whole.trim_end().to_owned(), format!("{whole}{}", &whole[..30])] {
        let (keep, write) = append(&before, &next).unwrap();
        let history = parse(&format!("{}{write}", &before[..keep])).unwrap();
        assert_eq!((history.records, history.warning), (vec![record(1.0), record(2.0)], None));
    }
    assert_eq!(append("", &next).unwrap(), (0, next.clone()));
    assert!(append("nonsense\n", &next).is_err());
}

#[test]
fn a_value_is_the_median_of_the_runs_that_count() {
    assert_eq!(record(10.0).value(Metric::Cps), Some(11.0));
    assert_eq!(record(10.0).value(Metric::Tps), None);
}

#[test]
fn hosts_are_told_apart_by_every_fact() {
    let facts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let id = host_id(&facts(&[("kernel", "6.18"), ("cores", "2")]));
    assert_eq!(id, host_id(&facts(&[("cores", "2"), ("kernel", "6.18")])));
    assert_ne!(id, host_id(&facts(&[("cores", "4"), ("kernel", "6.18")])));
    assert_ne!(host_id(&facts(&[("a", "bc")])), host_id(&facts(&[("ab", "c")])));
    assert_eq!(id.len(), 16);
}
