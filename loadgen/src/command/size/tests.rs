//! The command over run folders as a run writes them: answers, exit codes, what is refused.

use serde_json::Value;

use super::*;
use crate::archive::{BEGUN, ENVIRONMENT, RESULT, TRIALS};
use crate::report::fixture::{self, Scratch};

const DEMAND: &str = r#"
[[service]]
name = "shop"
cps = "500/s"
connection_lifetime = "2s"
check = "http"
[planning]
slo_p99 = "50ms"
differs = ["hardware"]
"#;

/// Sizes what the folders measured; the exit, and the report's numbers or the error.
fn sized(scratch: &Scratch, demand: &str, from: Vec<PathBuf>) -> Result<(Exit, Value), (Exit, String)> {
    let file = scratch.path().join("demand.toml");
    fs::write(&file, demand).unwrap();
    let reports = scratch.path().join("out");
    let _ = fs::remove_dir_all(&reports);
    let arguments =
        SizeArgs { from, demand: file, scaling: Vec::new(), trust_cpu_estimate: false, reports: reports.clone() };
    let (exit, text) = answer(&arguments).map_err(|failure| (failure.exit, format!("{:#}", failure.error)))?;
    let folder = fs::read_dir(reports.join("size")).unwrap().next().unwrap().unwrap().path();
    assert!(text.contains(&folder.join("size.html").display().to_string()), "{text}");
    let page = fs::read_to_string(folder.join("size.html")).unwrap();
    assert!(page.contains("How many load balancers"));
    Ok((exit, serde_json::from_slice(&fs::read(folder.join("size.json")).unwrap()).unwrap()))
}

/// The demand without connections at once, which the fixture's run does not measure.
fn of_connections_per_second() -> String {
    DEMAND.replace("connection_lifetime = \"2s\"\n", "")
}

fn edit(folder: &Path, name: &str, change: impl Fn(String) -> String) {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "{name} was not changed");
    fs::write(folder.join(name), changed).unwrap();
}

#[test]
fn a_run_answers_a_demand_with_the_figure_of_its_confirming_trial() {
    let scratch = Scratch::new("size-answer");
    let folder = fixture::write(fixture::run(), scratch.path());
    let (exit, report) = sized(&scratch, &of_connections_per_second(), vec![folder]).unwrap();
    assert_eq!(exit, Exit::Met);
    let device = &report["sizing"]["devices"][0];
    assert_eq!(device["dut"], "reference-http");
    let capacity = &device["capacities"][0];
    assert_eq!((&capacity["value"], &capacity["lower"]), (&980.0.into(), &false.into()));
    let flags = capacity["flags"].as_array().unwrap();
    assert!(flags.contains(&"held for 10 s; RFC 9411 asks for 300 s".into()), "{flags:?}");
    let few = "9800 operations without a failure do not show a share below 0.001 % with 95 % confidence; 299573 would";
    assert!(flags.contains(&few.into()), "{flags:?}");
    // 500 of 0.8 × 980 are 0.638: ⌈0.638/0.6⌉ = 2, ⌈0.638/0.8⌉ + 1 = 2.
    assert_eq!(device["nodes"]["nodes"], 2);
    // The estimate from CPU time stands beside it and is not planned with.
    assert!(capacity["cpu_estimate"].as_f64().unwrap() > 980.0);
}

#[test]
fn a_demand_that_no_run_measured_is_undecided() {
    let scratch = Scratch::new("size-undecided");
    let folder = fixture::write(fixture::run(), scratch.path());
    let (exit, report) = sized(&scratch, DEMAND, vec![folder]).unwrap();
    assert_eq!((exit, exit.code()), (Exit::Undecided, 4));
    assert_eq!(report["decided"], false);
    assert_eq!(
        report["sizing"]["devices"][0]["missing"][0],
        "no run of reference-http measured connections at once; run scenarios/cc.toml against it and give its folder as well"
    );
    let slow = of_connections_per_second().replace("50ms", "1us");
    let folder = fixture::write(fixture::run(), scratch.path());
    let (exit, report) = sized(&scratch, &slow, vec![folder]).unwrap();
    assert_eq!(exit, Exit::Undecided);
    let why = report["sizing"]["devices"][0]["missing"][0].as_str().unwrap();
    assert!(why.contains("trial 9: p99 of the response time is") && why.contains("asked for is 0.001 ms"), "{why}");
}

#[test]
fn killed_and_interrupted_runs_give_no_figure_and_say_so() {
    let scratch = Scratch::new("size-killed");
    let killed = fixture::write(fixture::run(), scratch.path());
    fs::remove_file(killed.join(RESULT)).unwrap();
    edit(&killed, TRIALS, |text| text[..text.len() - 100].to_owned());
    let (exit, report) = sized(&scratch, &of_connections_per_second(), vec![killed.clone()]).unwrap();
    assert_eq!(exit, Exit::Undecided);
    let why = report["sizing"]["devices"][0]["missing"][0].as_str().unwrap();
    let no_figure = format!("{} has no figure: it was not finished", killed.display());
    assert!(why.contains(&no_figure) && why.contains("line 9 of trials.jsonl was cut off"), "{why}");
}

#[test]
fn folders_and_files_that_are_no_runs_are_refused_with_their_names() {
    let scratch = Scratch::new("size-refused");
    let missing = scratch.path().join("no-run");
    let (exit, why) = sized(&scratch, DEMAND, vec![missing]).unwrap_err();
    assert_eq!((exit, exit.code()), (Exit::Usage, 2));
    assert!(why.contains("no-run/begun.json; expected a run folder such as reports/cps/"), "{why}");

    let folder = fixture::write(fixture::run(), scratch.path());
    edit(&folder, RESULT, |text| text[..text.len() / 2].to_owned());
    let (exit, why) = sized(&scratch, DEMAND, vec![folder]).unwrap_err();
    assert_eq!(exit, Exit::Usage);
    assert!(why.contains("result.json, line ") && why.contains("damaged"), "{why}");

    let folder = fixture::write(fixture::run(), scratch.path());
    let (exit, why) = sized(&scratch, DEMAND, vec![folder.clone(), folder]).unwrap_err();
    assert_eq!(exit, Exit::Usage);
    assert!(why.ends_with("is given twice; a run is no repeat of itself"), "{why}");

    let arguments = SizeArgs {
        from: Vec::new(),
        demand: scratch.path().join("no-demand.toml"),
        scaling: Vec::new(),
        trust_cpu_estimate: false,
        reports: scratch.path().to_owned(),
    };
    let failure = answer(&arguments).unwrap_err();
    let why = format!("{:#}", failure.error);
    assert_eq!(failure.exit, Exit::Usage);
    assert!(
        why.contains("no-demand.toml; expected a demand file, see scenarios/demand.example.toml: No such file"),
        "{why}"
    );
}

#[test]
fn runs_of_another_host_version_or_configuration_are_refused() {
    let scratch = Scratch::new("size-unlike");
    let pair = || [fixture::write(fixture::run(), scratch.path()), fixture::write(fixture::run(), scratch.path())];
    let refusal = |[first, second]: [PathBuf; 2]| {
        let (exit, why) = sized(&scratch, &of_connections_per_second(), vec![first, second]).unwrap_err();
        assert_eq!(exit, Exit::Usage);
        why
    };
    let [first, second] = pair();
    let (exit, report) = sized(&scratch, &of_connections_per_second(), vec![first, second]).unwrap();
    assert_eq!(
        (exit, &report["sizing"]["devices"][0]["capacities"][0]["repeats"]),
        (Exit::Met, &serde_json::json!({ "searches": 2, "lowest": 980.0, "highest": 980.0 }))
    );

    let [first, second] = pair();
    edit(&second, ENVIRONMENT, |text| text.replacen('{', "{\"cpu_model\": \"another\", ", 1));
    assert!(refusal([first, second]).contains("cannot be put together: the host differs (cpu_model=unknown"));

    let [first, second] = pair();
    edit(&second, BEGUN, |text| text.replace("\"version\": \"0.1.0\"", "\"version\": \"0.0.9\""));
    assert!(refusal([first, second]).contains("the version of this program differs (0.1.0 without a commit and 0.0.9"));

    let [first, second] = pair();
    edit(&second, "dut/reference-http.lb.toml", |text| format!("{text}# another rule\n"));
    assert!(refusal([first, second]).contains("its configuration differs (text "));
}
