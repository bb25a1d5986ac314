//! One plan that keeps every MUST for each kind of test, and every way to leave it.

use std::io;
use std::path::Path;

use super::*;
use crate::scenario::{Overrides, parse};

mod frames;

/// A scenario of profile rfc that keeps every MUST.
const CPS: &str = r#"
[scenario]
profile = "rfc"
[testbed]
dut = "dut.toml"
reflectors = 2
[workload]
kind = "http"
request = "/?s=1k"
requests_per_connection = 1
close = "client-fin"
[load]
unit = "connections/s"
[search]
method = "climb"
"#;

fn plan(text: &str) -> Plan {
    let files = |path: &Path| match path.to_str() {
        Some("dut.toml") => Ok("kind = \"reference\"\nconfig = \"lb.toml\"\n".to_owned()),
        Some("lb.toml") => Ok("listen = \"127.0.0.1:{port}\" # {address}".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    parse("x.toml", text, &files, &Overrides::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn tps() -> String {
    let text = CPS.replace("requests_per_connection = 1", "requests_per_connection = 10");
    text.replace("connections/s", "transactions/s")
}

fn cc() -> String {
    // A tenth of 10 s of ramp-up and 300 s of sustain.
    let text = CPS.replace("requests_per_connection = 1\n", "");
    text.replace(
        "unit = \"connections/s\"",
        "unit = \"connections\"\nhold_interval = \"31s\"\nphases = { sustain = \"60s\" }",
    )
    .replace("method = \"climb\"", "method = \"climb\"\nstart = 100")
}

#[test]
fn plans_that_keep_every_must_are_conditional() {
    for text in [CPS.to_owned(), tps()] {
        let found = compliance(&plan(&text));
        assert_eq!(found.label, "conditional", "{:?}", found.deviations);
        let expected = [
            "14 client address(es), where at least 1400 are usual for each 10 Gbit/s (RFC 9411, 4.3.1.2)",
            "tester, DUT and reflectors share one host (RFC 8172, 3.4 advises against it)",
            "MSS, windows, PSH and delayed ACKs are the kernel's choice (RFC 9411, 4.3.1.1)",
        ];
        assert_eq!(found.deviations, expected);
    }
    // Held connections have no reference test: what they would meet is the host, not the reflectors.
    let found = compliance(&plan(&cc()));
    assert_eq!(
        (found.label, found.deviations[0].as_str()),
        ("derived", "no reference test without the DUT is run first (RFC 9411, 5)")
    );
    assert_eq!(found.deviations.len(), 4, "{:?}", found.deviations);
}

#[test]
fn every_must_that_is_left_is_named_with_its_section_and_costs_the_label() {
    let (tps, cc) = (tps(), cc());
    let cases: [(&str, &str, &str, &str); 17] = [
        (CPS, "\"rfc\"", "\"standard\"", "profile is not rfc: shorter waits between trials (RFC 2544, 23)"),
        (
            CPS,
            "\"climb\"",
            "\"climb\"\nfinal_sustain = \"299s\"",
            "sustain is 299s instead of at least 300s (RFC 9411, 4.3.4)",
        ),
        (
            CPS,
            "[search]",
            "phases = { init = \"4s\" }\n[search]",
            "init is 4s instead of at least 5s (RFC 9411, 4.3.4)",
        ),
        (CPS, "client-fin", "server-fin", "the server closes, not the client (RFC 9411, 7.2.3.2)"),
        (&tps, "client-fin", "server-fin", "the server closes, not the client (RFC 9411, 7.3.3.2)"),
        (CPS, "client-fin", "client-rst", "connections end with RST instead of FIN: not RFC 9411 (4.3.1.1)"),
        (
            CPS,
            "\"climb\"",
            "\"climb\"\n[expect]\nfailed = \"< 0.01%\"",
            "more failures are allowed than 0.001% (RFC 9411, 7.2.3.3)",
        ),
        (
            CPS,
            "\"climb\"",
            "\"climb\"\n[expect]\nfailed = \"<= 0.001%\"",
            "more failures are allowed than 0.001% (RFC 9411, 7.2.3.3)",
        ),
        (
            CPS,
            "kind = \"http\"\nrequest = \"/?s=1k\"\nrequests_per_connection = 1",
            "kind = \"tcp\"",
            "connections carry no transaction (RFC 9411, 7.2.3.2)",
        ),
        (
            CPS,
            "/?s=1k\"",
            "/?s=1k&r=404\"\nstatus = 404",
            "status 404 counts as success instead of 200 (RFC 9411, 7.2.3.3)",
        ),
        (CPS, "connection = 1", "connection = 2", "2 requests per connection instead of 1 (RFC 9411, 7.2.3.2)"),
        (
            &tps,
            "requests_per_connection = 10\n",
            "",
            "as many as a connection carries requests per connection instead of 10 (RFC 9411, 7.3.3.2)",
        ),
        (&tps, "connection = 10", "connection = 100", "100 requests per connection instead of 10 (RFC 9411, 7.3.3.2)"),
        (
            &cc,
            "\"31s\"",
            "\"5s\"",
            "5 s between two requests of a held connection instead of 31.0 s (RFC 9411, 7.5.3.2)",
        ),
        (
            CPS,
            "method = \"climb\"",
            "method = \"fixed\"",
            "no reference test without the DUT is run first (RFC 9411, 5)",
        ),
        (
            &tps,
            "method = \"climb\"",
            "method = \"fixed\"",
            "no initial test at a tenth of the load is run first (RFC 9411, 7.3.4.1)",
        ),
        (
            &tps,
            "transactions/s\"\n[search]\nmethod = \"climb\"",
            "transactions\"\ncount = 8\n[search]\nmethod = \"fixed\"",
            "a closed loop: the load depends on the DUT's answers (RFC 9411, 4.3.4)",
        ),
    ];
    for (text, from, to, expected) in cases {
        let mut text = text.replace(from, to);
        assert!(text.contains(to), "{from:?} is not in the scenario");
        if text.contains("\"fixed\"") {
            text = text.replace("/s\"\n[search]", "/s\"\nrate = 100\n[search]");
        }
        let found = compliance(&plan(&text));
        assert_eq!(found.label, "derived", "{expected}");
        assert!(found.deviations.iter().any(|text| text == expected), "{expected}: {:#?}", found.deviations);
    }
}

#[test]
fn a_should_that_is_left_is_named_and_keeps_the_label() {
    let cases = [
        ("/?s=1k", "/?s=3k", "objects of 3072 B instead of 1, 2, 4, 16, 64 KiB (RFC 9411, 7.2.3.2)"),
        (
            "[search]",
            "connect_timeout = \"20s\"\n[search]",
            "a handshake may be tried more than 3 times again within 20s (RFC 9411, 4.3.1.1)",
        ),
    ];
    for (from, to, expected) in cases {
        let found = compliance(&plan(&CPS.replace(from, to)));
        assert_eq!(found.label, "conditional", "{:?}", found.deviations);
        assert!(found.deviations.iter().any(|text| text == expected), "{expected}: {:#?}", found.deviations);
    }
    let many = format!("{CPS}[clients]\nsource_networks = [\"127.1.0.0/16\"]\n");
    let found = compliance(&plan(&many));
    assert!(found.deviations.iter().all(|text| !text.contains("4.3.1.2")), "{:?}", found.deviations);
}
