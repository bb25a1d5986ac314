//! The conformance table: what becomes of each malformed, ambiguous or unusual message.
//!
//! The rows are data, `lb/tests/conformance/*.toml`; how to read and extend them stands in
//! `lb/README.md`. Here they run: every row has a virtual service of its own in one load balancer, a
//! listener that knows nothing of HTTP, and clients that write what the row says. Both sides are
//! compared byte by byte. Left out: what needs more than a handful of connections or real load.

mod row;
mod stage;
mod step;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::testbed::Server;
use row::Row;
use stage::{Pieces, Stage};

/// How many rows run at a time.
const RUNNERS: usize = 4;

#[test]
fn the_table_is_large_and_each_row_has_a_name_and_a_rule() {
    let rows = rows();
    let mut names = HashSet::new();
    for row in &rows {
        assert!(names.insert(&row.name), "two rows are called {:?}", row.name);
        let cited = row.rule.split_once(": ").is_some_and(|(source, phrase)| cites(source) && phrase.len() > 10);
        assert!(cited, "{}: {:?} is not \"<RFC number section>: <what it says>\"", row.name, row.rule);
    }
    assert!(rows.len() >= 150, "only {} rows", rows.len());
}

#[test]
fn the_readme_names_every_file_of_the_table() {
    let readme = include_str!("../../README.md");
    for file in files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}

fn cites(source: &str) -> bool {
    let mut words = source.split(' ');
    let number = words.next() == Some("RFC") && words.next().is_some_and(|it| it.parse::<u16>().is_ok());
    number && words.next().is_some_and(|it| it.starts_with(|first: char| first.is_ascii_alphanumeric()))
}

#[test]
fn every_row_holds_when_messages_come_at_once() {
    hold(&rows(), Pieces::Whole);
}

#[test]
fn every_row_holds_when_messages_come_byte_by_byte() {
    let rows: Vec<_> = rows().into_iter().filter(|row| row.split).collect();
    assert!(rows.len() >= 150, "only {} rows", rows.len());
    hold(&rows, Pieces::Bytes);
}

#[test]
fn a_row_that_is_not_true_fails() {
    let rows = row::read(include_str!("conformance/untrue.toml")).unwrap();
    let failures = play(&rows, Pieces::Whole);
    for (at, row) in rows.iter().enumerate() {
        let failure = failures.iter().find(|(of, _)| *of == at).map(|(_, failure)| failure);
        let failure = failure.unwrap_or_else(|| panic!("{:?} holds", row.name));
        assert!(failure.contains(&row.rule), "{}: {failure}", row.name);
    }
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    let request = |keys: &str| format!("[[request]]\nname = 'n'\nrule = 'r'\n{keys}");
    let exchange = |step: &str| format!("[[exchange]]\nname = 'n'\nrule = 'r'\nsteps = ['{step}']");
    let rows = [
        (request("sends = 'a'"), "n: a request is either refused or seen by the server"),
        (request("sends = 'a'\nserver = 'b'"), "n: then is missing"),
        (request("sends = '\\q'\nrefused = '400 x'"), "n: an escape is one of"),
        (request("sends = '{x'\nrefused = '400 x'"), "n: a { without }"),
        (request("sends = 'a'\nrefused = '299 x'"), "n: 299 is not answered here"),
        (exchange("client dances"), "n: nobody can do \"dances\""),
        (exchange("judge sends x"), "n: who is \"judge\""),
        (exchange("client stays"), "n: one stays over a server"),
    ];
    for (text, expected) in rows {
        let error = row::read(&text).err().unwrap_or_else(|| panic!("{text} can be read"));
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

/// The files of the table, in alphabetical order.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// All rows of all files.
fn rows() -> Vec<Row> {
    let files = files();
    let rows = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        row::read(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    });
    rows.collect()
}

/// Plays the rows and reports all that fail.
fn hold(rows: &[Row], pieces: Pieces) {
    let failures = play(rows, pieces);
    let report = failures.iter().fold(String::new(), |mut report, (at, failure)| {
        let _ = writeln!(report, "\n{}\n  {}\n{failure}", rows[*at].name, rows[*at].rule);
        report
    });
    assert!(failures.is_empty(), "{} of {} rows fail ({pieces:?})\n{report}", failures.len(), rows.len());
}

/// Plays the rows against one load balancer; number and failure of those that fail.
fn play(rows: &[Row], pieces: Pieces) -> Vec<(usize, String)> {
    let bell = Server::answering_once("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let listeners: Vec<_> = rows.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut config = "workers = 1\ndrain = '1s'\n".to_owned();
    service(&mut config, "bell", "", &bell.address.to_string());
    for (at, (row, listener)) in rows.iter().zip(&listeners).enumerate() {
        service(&mut config, &format!("row{at}"), &row.service, &listener.local_addr().unwrap().to_string());
    }
    let lb = lb::start(lb::config::Config::parse("conformance.toml", &config).unwrap()).unwrap();
    let vips = lb.addresses();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..RUNNERS {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(at) else { return };
                    if let Err(failure) = Stage::new(&listeners[at], vips[at + 1], vips[0], pieces).play(row) {
                        failures.lock().unwrap().push((at, failure));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    failures
}

fn service(config: &mut String, name: &str, keys: &str, server: &str) {
    let _ = writeln!(
        config,
        "[[virtual_service]]\nname = '{name}'\nlisten = '127.0.0.1:0'\nmode = 'http'\ngroup = '{name}'\n{keys}\n\
         [[group]]\nname = '{name}'\nreal_servers = [{{ name = 'r', address = '{server}' }}]"
    );
}
