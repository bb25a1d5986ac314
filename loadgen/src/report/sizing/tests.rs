//! The page and the terminal of a sizing.

use super::*;
use crate::report::fixture::Scratch;
use crate::report::page::tests::assert_sound;
use crate::sizing::tests::{example, example_runs, searched};
use crate::sizing::{Resource, Run, size};

fn sizing(change: impl Fn(&mut Demand, &mut Vec<Run>)) -> Sizing {
    let (mut demand, mut runs) = (example(), example_runs());
    change(&mut demand, &mut runs);
    size(demand, &runs, false).unwrap()
}

fn report(sizing: &Sizing) -> SizingReport<'_> {
    SizingReport {
        sizing,
        scaling: None,
        demand_text: "[[service]]\n",
        command: "loadgen size --from x",
        version: "0.1.0",
    }
}

#[test]
fn the_page_answers_first_and_holds_everything() {
    let sizing = sizing(|demand, _| {
        demand.currency = "EUR".to_owned();
        demand.prices.insert("lb-a".to_owned(), 12_000.0);
    });
    let page = report(&sizing).page().unwrap();
    assert_sound(&page);
    let order = [
        "answered",
        "How many load balancers does shop.example have to buy?",
        "Buy 3 × lb-a: they carry the peak expected in 2 years with 50 % of the CPU in use, and at 75 % while 1 of them is down.",
        "36,000 EUR = 3 × 12,000 EUR",
        "CPU 50 % in use with all up, 75 % after 1 failure",
        "What the site needs",
        "28,800",
        "17.3 Gbit/s",
        "<svg ",
        "What one device carries",
        "210,000",
        "How the number comes about",
        "max(⌈1.491 / 0.6⌉ = 3, ⌈1.491 / 0.8⌉ + 1 = 3)",
        "What would change the answer",
        "By year",
        "What goes beyond the measurement",
        "Method and deviations",
        "Environment",
        "Run it again",
    ];
    let page = page.replace("&#x2f;", "/");
    let mut rest = page.as_str();
    for text in order {
        rest = rest.split_once(text).unwrap_or_else(|| panic!("{text:?} is missing or out of order")).1;
    }
}

#[test]
fn texts_of_the_user_are_shown_as_text() {
    let sizing = sizing(|demand, _| demand.site = "<script>alert('1')</script>".to_owned());
    let page = report(&sizing).page().unwrap();
    assert_sound(&page);
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert"));
}

#[test]
fn an_upper_bound_and_a_missing_answer_are_called_so() {
    let bound = sizing(|demand, runs| {
        runs.iter_mut().for_each(|run| run.figures[0].lower = true);
        demand.prices.insert("lb-a".to_owned(), 12_000.0);
        demand.currency = "EUR".to_owned();
    });
    let (nodes, price) = (bound.devices[0].nodes.as_ref().unwrap(), bound.devices[0].price.unwrap());
    assert_eq!(words::price(&bound.demand, nodes, price)[0], "at most 36,000 EUR");
    let sentence = words::sentence(&bound.demand, &bound.devices[0]);
    assert!(sentence.starts_with("Buy at most 3 × lb-a: "), "{sentence}");
    assert!(sentence.contains(" A capacity is known as a lower bound only, so fewer may do."), "{sentence}");
    assert!(
        sentence
            .ends_with(" Provisional: it rests on short trials or on fewer searches than show how far results stray."),
        "{sentence}"
    );
    let missing = sizing(|_, runs| runs.truncate(3));
    let page = report(&missing).page().unwrap();
    assert_sound(&page);
    assert!(page.contains("undecided") && page.contains("No number of devices can be stated yet."));
    assert_eq!(
        words::sentence(&missing.demand, &missing.devices[0]),
        "No number can be stated for lb-a: no run of lb-a measured connections at once."
    );
}

#[test]
fn several_devices_stand_in_columns() {
    let both = sizing(|_, runs| {
        let mut other = example_runs();
        for run in &mut other {
            run.dut = "lb-b".to_owned();
            run.folder.push_str("-b");
        }
        other[3] = Run { dut: "lb-b".to_owned(), ..searched("reports/cc/b", Resource::Cc, 1e6) };
        runs.extend(other);
    });
    let page = report(&both).page().unwrap();
    assert_sound(&page);
    assert!(page.contains("The devices beside each other"));
    assert!(page.contains("<th scope=\"col\">lb-a</th><th scope=\"col\">lb-b</th>"), "{page}");
}

#[test]
fn the_terminal_and_the_numbers_say_the_same() {
    let scratch = Scratch::new("sizing");
    let sizing = sizing(|_, _| {});
    let report = report(&sizing);
    let folder = report.write(scratch.path()).unwrap();
    let text = sizing_summary(&report, Path::new("reports/size/x"));
    let golden = include_str!("../../../tests/golden/size-example.txt");
    assert_eq!(text, golden);
    let numbers: Value = serde_json::from_slice(&std::fs::read(folder.join("size.json")).unwrap()).unwrap();
    assert_eq!(numbers["sizing"]["devices"][0]["nodes"]["nodes"], 3);
    assert_eq!((&numbers["decided"], &numbers["schema"]), (&Value::Bool(true), &1.into()));
    assert_eq!(std::fs::read_to_string(folder.join("demand.toml")).unwrap(), "[[service]]\n");
}

#[test]
#[ignore = "writes sizings to the folder in NADARE_RENDER, for looking at them"]
fn sizings_can_be_looked_at() {
    let root = PathBuf::from(std::env::var_os("NADARE_RENDER").expect("NADARE_RENDER names a folder"));
    let found = sizing(|demand, runs| {
        demand.currency = "EUR".to_owned();
        demand.prices = [("lb-a".to_owned(), 12_000.0), ("lb-b".to_owned(), 25_000.0)].into();
        let mut other = example_runs();
        for run in &mut other {
            run.dut = "lb-b".to_owned();
            run.folder.push_str("-b");
            run.figures[0].value *= 1.7;
        }
        other[0].figures[0].lower = true;
        other[0].limited_by = Some("generator".to_owned());
        runs.extend(other);
    });
    report(&found).write(&root).unwrap();
    let missing = sizing(|_, runs| runs.truncate(3));
    report(&missing).write(&root).unwrap();
}
