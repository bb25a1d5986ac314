use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::measure::{Latency, Outcome};
use crate::report::fixture::{self, Scratch};

fn archive(name: &str) -> Archive {
    let scratch = Scratch::new(name);
    Archive::read(&fixture::write(fixture::run(), scratch.path())).unwrap()
}

/// One sample of a scrape: its name with its labels as written, and its value.
pub(super) type Samples = BTreeMap<String, f64>;

/// Reads exposition text as strictly as promtool does: families are described before their samples and
/// come once, names and labels are well formed, no series stands twice, histograms are cumulative.
fn scrape(text: &str) -> Samples {
    let mut samples = Samples::new();
    let (mut family, mut kind) = (String::new(), String::new());
    let mut families = Vec::new();
    let mut lines = text.lines().peekable();
    assert!(text.ends_with('\n'));
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && !families.contains(&name.to_owned()), "{line}");
            let described = lines.next().unwrap().strip_prefix("# TYPE ").unwrap().split_once(' ').unwrap();
            assert_eq!(described.0, name);
            assert!(["counter", "gauge", "histogram"].contains(&described.1), "{line}");
            (family, kind) = (name.to_owned(), described.1.to_owned());
            families.push(family.clone());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(name.chars().all(plain), "{line}");
        match kind.as_str() {
            "histogram" => assert!(["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{family}{end}"))),
            "counter" => assert!(name == family && name.ends_with("_total"), "{line}"),
            _ => assert_eq!(name, family),
        }
        let value: f64 = value.parse().unwrap();
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} stands twice");
    }
    for family in families.iter().filter(|family| family.ends_with("_seconds")) {
        let bucket = format!("{family}_bucket{{le=\"");
        let mut ends: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(series, count)| {
                Some((series.strip_prefix(&bucket)?.strip_suffix("\"}")?.parse().ok()?, *count))
            })
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(ends.len() > 10 && ends.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{family}: {ends:?}");
        assert_eq!(ends.last().unwrap(), &(f64::INFINITY, samples[&format!("{family}_count")]));
    }
    samples
}

#[test]
fn the_state_of_a_run_is_sound_exposition_text_after_every_event() {
    let archive = archive("prometheus");
    let (head, events) = story(&archive);
    let mut state = State::new(head);
    let mut operations = 0.0;
    for event in &events {
        state.note(event);
        let samples = scrape(&state.text());
        let total: f64 =
            samples.iter().filter(|(series, _)| series.starts_with("nadare_operations_total")).map(|(_, n)| n).sum();
        assert!(total >= operations, "a counter fell");
        operations = total;
    }
    let ended: u64 = archive.records().flat_map(|record| &record.seconds).map(|second| second.ended.total()).sum();
    assert_eq!(operations, ended as f64);
    let samples = scrape(&state.text());
    assert_eq!(samples["nadare_limited_by{limit=\"dut\"}"], 1.0);
    assert_eq!(samples["nadare_figure{figure=\"cps\",bound=\"exact\"}"], 980.0);
    assert_eq!(samples["nadare_trials_done_total"], archive.trials.len() as f64);
    let last = archive.records().last().unwrap();
    let responses: u64 = last.seconds.iter().map(|second| second.latencies.of(Latency::Response).len()).sum();
    assert_eq!(samples["nadare_response_time_seconds_count"], responses as f64);
}

#[test]
fn buckets_hold_what_the_histograms_hold() {
    let archive = archive("buckets");
    let (head, events) = story(&archive);
    let mut state = State::new(head);
    events.iter().take_while(|event| !matches!(event.kind, Kind::Done { .. })).for_each(|event| state.note(event));
    let samples = scrape(&state.text());
    let mut all = crate::measure::Latencies::default();
    archive.trials[0].record.seconds.iter().for_each(|second| all.merge(&second.latencies));
    let below = all.of(Latency::Response).count_between(0, 1_000_000) as f64;
    let found = samples["nadare_response_time_seconds_bucket{le=\"0.001\"}"];
    assert!(
        (found - below).abs() <= below * 0.01 + 1.0
            && found > 0.0
            && samples["nadare_schedule_lag_seconds_count"] > 0.0,
        "{found} for {below}"
    );
}

#[test]
fn texts_that_a_user_chooses_are_escaped_everywhere() {
    let name = "a \"b\"\\\n,c=d";
    let head = Head { dut: name.to_owned(), ..Head::of(&fixture::run().plan, "r") };
    let state = State::new(head.clone());
    let text = state.text();
    scrape(&text);
    assert!(text.contains("dut=\"a \\\"b\\\"\\\\\\n,c=d\""), "{text}");
    let record = &fixture::run().trials[0];
    let event = Event { unix_ns: 5, kind: Kind::Done { record, passed: Some(true), reasons: &[] } };
    let line = influx::lines(&head, &event);
    assert!(line.contains(",dut=a\\ \"b\"\\\\ \\,c\\=d,"), "{line}");
    assert_eq!(line.lines().count(), 1);
    let line = jsonl::line(&head, &Event { unix_ns: 5, kind: Kind::Begin });
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["dut"], name);
}

#[test]
fn json_lines_tell_every_second_every_trial_and_the_answer() {
    let archive = archive("jsonl");
    let text = json_lines(&archive);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| lines.iter().filter(|line| line["event"] == name).collect::<Vec<_>>();
    let seconds: usize = archive.records().map(|record| record.seconds.len()).sum();
    assert_eq!((of("run").len(), of("second").len()), (1, seconds));
    assert_eq!((of("trial_begins").len(), of("trial").len()), (archive.trials.len(), archive.trials.len()));
    assert_eq!(lines[0]["schema"], 1);
    let answer = lines.last().unwrap();
    assert_eq!((&answer["event"], &answer["exit_code"]), (&"answer".into(), &4.into()));
    assert_eq!(answer["answer"]["figures"][0]["value"], 980.0);
    let ok: u64 = of("second").iter().map(|line| line["ended"]["ok"].as_u64().unwrap()).sum();
    let expected: u64 = archive.records().flat_map(|r| &r.seconds).map(|second| second.ended.of(Outcome::Ok)).sum();
    assert_eq!(ok, expected);
    let times: Vec<f64> = lines.iter().map(|line| line["t_unix_s"].as_f64().unwrap()).collect();
    // The trials of the fixture have a clock of their own.
    assert!(times[1..].windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
    let first = of("second")[1];
    assert!(first["response_time_us"]["p50"].as_f64().unwrap() > 0.0 && first["busy_ratio"]["dut"].is_number());
}

#[test]
fn influx_lines_are_well_formed_and_as_many() {
    let archive = archive("influx");
    let text = influx_lines(&archive);
    let seconds: usize = archive.records().map(|record| record.seconds.len()).sum();
    assert_eq!(text.lines().count(), seconds + archive.trials.len() + 1);
    for line in text.lines() {
        // No tag of the fixture has a blank: three parts.
        let parts: Vec<_> = line.split(' ').collect();
        assert_eq!(parts.len(), 3, "{line}");
        assert!(parts[0].starts_with("nadare_") && parts[0].contains(",scenario=cps,dut=reference-http,"), "{line}");
        assert!(parts[2].parse::<u64>().unwrap() > 0);
        for field in parts[1].split(',') {
            let (name, value) = field.split_once('=').unwrap();
            let typed =
                value.strip_suffix('i').map_or_else(|| value.parse::<f64>().is_ok(), |n| n.parse::<u64>().is_ok());
            let other = matches!(value, "true" | "false" | "\"dut\"");
            assert!(!name.is_empty() && (typed || other), "{field}");
        }
    }
    assert!(text.contains(",trial=4,purpose=climb,phase=sustain "));
    assert!(text.lines().last().unwrap().contains("limited_by=\"dut\""));
}

#[test]
fn a_suite_of_frames_is_exported_with_a_figure_for_each_size() {
    let scratch = Scratch::new("export-frames");
    let archive = Archive::read(&fixture::write(fixture::frames::rfc2544(), scratch.path())).unwrap();
    let samples = scrape(&prometheus_text(&archive));
    for (frames, fps) in [("64 B", 3_000.0), ("512 B", 3_000.0), ("1518 B", 3_000.0)] {
        let series = format!("nadare_figure{{figure=\"fps\",bound=\"exact\",frames=\"{frames}\"}}");
        assert_eq!(samples.get(&series), Some(&fps), "{series}");
    }
    assert!(samples["nadare_operations_total{outcome=\"lost\"}"] > 0.0);
    let influx = influx_lines(&archive);
    assert!(influx.contains(",figure=fps,trial=5,frames=64\\ B value=3000,"), "{influx}");
    assert!(
        influx.contains(",frames_sent=15000i,frames_answered=15000i,") && influx.contains("inter_departure_us_p50=")
    );
    let json = json_lines(&archive);
    let trials = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let confirm = trials.into_iter().find(|line| line["event"] == "trial" && line["trial"] == 5).unwrap();
    assert_eq!(confirm["frames"]["sustain"]["sent"], 15_000);
    assert_eq!(confirm["frames"]["sizes"][0]["size"], 46);
}

fn get(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_endpoint_is_scraped_while_events_come_and_ends_with_the_run() {
    let archive = archive("endpoint");
    let (head, events) = story(&archive);
    let options = ExportOptions { prometheus: Some("127.0.0.1:0".parse().unwrap()), ..ExportOptions::default() };
    let mut exports = Exports::open(&options, head, &[]).unwrap();
    let address = exports.address().unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    for event in &events {
        exports.tell(event.kind);
    }
    let answer = get(address, request);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert_eq!(scrape(body), scrape(&prometheus_text(&archive)));
    assert!(get(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(get(address, "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 405 "));

    let error = Exports::open(
        &ExportOptions { prometheus: Some(address), ..ExportOptions::default() },
        Head::of(&archive.begun.plan, "r"),
        &[],
    );
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot serve metrics at {address}; choose")), "{error}");

    assert_eq!(exports.close(), Vec::<String>::new());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_is_exported_live_is_what_is_exported_afterwards() {
    let archive = archive("live");
    let scratch = Scratch::new("live-files");
    let paths = ["a.jsonl", "a.influx"].map(|name| scratch.path().join(name));
    let options =
        ExportOptions { prometheus: None, json_lines: Some(paths[0].clone()), influx: Some(paths[1].clone()) };
    let (head, events) = story(&archive);
    let mut exports = Exports::open(&options, head, &[]).unwrap();
    events.iter().for_each(|event| exports.tell(event.kind));
    assert_eq!(exports.close(), Vec::<String>::new());
    // All but the times, which are those of the telling.
    let read = |at: usize| std::fs::read_to_string(&paths[at]).unwrap();
    let timeless = |text: &str| -> Vec<Value> {
        let value = |line| -> Value { serde_json::from_str(line).unwrap() };
        text.lines()
            .map(value)
            .map(|mut value| {
                value["t_unix_s"] = Value::Null;
                value
            })
            .collect()
    };
    assert_eq!(timeless(&read(0)), timeless(&json_lines(&archive)));
    let timeless =
        |text: &str| -> Vec<String> { text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect() };
    assert_eq!(timeless(&read(1)), timeless(&influx_lines(&archive)));
}
