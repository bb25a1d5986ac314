//! The program `peers`: our generator and our load balancer beside the best of others, on this host.
//!
//! `cargo run --release -p e2e --bin peers` prints one table and writes it as CSV; `--list` says which
//! rows there are. A row that misses its bar is said to and stays. The same executable plays our own
//! programs when it is called by their names, so that nothing else has to be built.
//!
//! - [`plan`]: the rows. [`mod@bench`]: the rounds. [`mod@judge`]: what they say. [`table`]: how it looks.
//! - [`window`]: what is measured, [`memory`] for memory; [`statistics`]: medians and intervals.
//! - [`generator`], [`server`], [`process`]: the programs. [`trouble`]: what can go wrong.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own that prints a table")]

mod bench;
mod datagrams;
mod generator;
mod judge;
mod memory;
mod plan;
mod process;
mod server;
mod statistics;
mod table;
mod trouble;
mod window;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::bench::{Bench, Settings};
use self::generator::Build;
use self::judge::{Line, Verdict, judge};
use self::plan::{Contender, Spec};

/// Load average below which a machine counts as quiet.
const QUIET: f64 = 0.5;

/// Compares our generator and load balancer with wrk, ab, h2load, HAProxy and nginx.
#[derive(Debug, Parser)]
#[command(name = "peers", version)]
#[command(after_help = "Exit codes: 0 measured, 1 with --strict: a bar was missed, 2 wrong usage, \
                        3 something could not be measured.")]
struct Options {
    /// Rows whose names contain one of these; all of them if none is given
    filter: Vec<String>,
    /// Rounds of each row; 6 is the fewest with a 95 % interval
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Length of what is measured of one round, in seconds
    #[arg(long, default_value_t = 1.5)]
    round_seconds: f64,
    /// Seed of the order within rounds; from the clock if left out, and printed
    #[arg(long)]
    seed: Option<u64>,
    /// Where to write the rows; rounds go to NAME.rounds.csv beside it
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Another build of this program (target/debug/peers): adds the rows profile-…
    #[arg(long, value_name = "PEERS")]
    against: Option<PathBuf>,
    /// Exit with 1 when a bar is missed
    #[arg(long)]
    strict: bool,
    /// Say which rows there are
    #[arg(long)]
    list: bool,
    /// No line of progress
    #[arg(long, short)]
    quiet: bool,
}

fn main() -> ExitCode {
    let (name, first) = (std::env::args_os().next().unwrap_or_default(), std::env::args_os().nth(1));
    match name.to_str() {
        Some("loadgen") => loadgen::main(),
        Some("lb") => lb::main(),
        Some("reflector") => reflector::main(),
        // Our generator starts its reflectors as roles of its own executable, which is this one.
        _ if first.is_some_and(|word| word == "role") => loadgen::main(),
        _ => peers(std::env::args_os().collect()),
    }
}

fn peers(arguments: Vec<OsString>) -> ExitCode {
    let options = Options::parse_from(arguments);
    let cores = host::cpu::allowed_cores();
    let (Ok(executable), [first, .., last]) = (std::env::current_exe(), &cores[..]) else {
        eprintln!("error: a comparison needs two cores, one for the server and one for the rest");
        return ExitCode::from(3);
    };
    if !(0.5..=600.0).contains(&options.round_seconds) {
        eprintln!("error: --round-seconds is {}; expected 0.5 to 600", options.round_seconds);
        return ExitCode::from(2);
    }
    if let Some(other) = options.against.as_ref().filter(|other| !other.is_file()) {
        eprintln!("error: --against {} is no program; build it with cargo build -p e2e --bin peers", other.display());
        return ExitCode::from(2);
    }
    let build = |path| Build { path, label: String::new() };
    let rows = chosen(&options, &build(executable.clone()));
    if rows.is_empty() {
        eprintln!("error: no row has {:?} in its name; --list says which there are", options.filter);
        return ExitCode::from(2);
    }
    if options.list {
        rows.iter().for_each(|row| println!("{:<30} {}", row.name, row.figure.unit()));
        return ExitCode::SUCCESS;
    }
    let settings = Settings {
        rounds: options.rounds.into(),
        window: Duration::from_secs_f64(options.round_seconds),
        seed: options.seed.unwrap_or_else(host::clock::monotonic_ns),
        build: build(executable),
        generator_core: *first,
        server_core: *last,
    };
    run(&options, settings, &rows)
}

/// The rows that are asked for, in their order.
fn chosen(options: &Options, own: &Build) -> Vec<Spec> {
    let other = options.against.clone().map(|path| Build { path, label: String::new() });
    let mut rows = plan::rows(own, other.as_ref());
    rows.retain(|row| options.filter.is_empty() || options.filter.iter().any(|part| row.name.contains(part.as_str())));
    rows
}

fn run(options: &Options, settings: Settings, rows: &[Spec]) -> ExitCode {
    let here = loadgen::testbed::environment();
    println!(
        "peers: {} profile, commit {}, {} on {}\n{} rounds of {:.1} s, seed {}, server on core {}, generator and \
         reflectors on core {}",
        here.build_profile,
        here.commit.unwrap_or_else(|| "unknown".to_owned()),
        here.cpu_model.unwrap_or_else(|| "an unknown processor".to_owned()),
        here.kernel,
        settings.rounds,
        settings.window.as_secs_f64(),
        settings.seed,
        settings.server_core,
        settings.generator_core,
    );
    if let Some(load) = load_average().filter(|load| *load > QUIET) {
        println!(
            "WARNING: this machine is not quiet (load average {load:.2} in the last minute): figures are disturbed"
        );
    }
    host::kernel::raise_descriptor_limit_to(1 << 20);
    let mut bench = match Bench::new(settings, if options.quiet { |_| () } else { |text| eprintln!("{text}") }) {
        Ok(bench) => bench,
        Err(trouble) => {
            eprintln!("error: {}", trouble.full());
            return ExitCode::from(3);
        }
    };
    let lines = measure(&mut bench, rows);
    println!("\n{}", table::text(&lines));
    bench.notes.iter().for_each(|note| println!("{note}"));
    let path =
        options.csv.clone().unwrap_or_else(|| format!("reports/peers/{}.csv", host::clock::folder_stamp()).into());
    match table::write(&path, &lines, &bench.raw) {
        Ok(beside) => println!("rows in {}, rounds in {}", path.display(), beside.display()),
        Err(error) => {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return ExitCode::from(3);
        }
    }
    exit(options, &lines)
}

/// Processes that ran or wanted to in the last minute, on average (`/proc/loadavg`).
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Family by family.
fn measure(bench: &mut Bench, rows: &[Spec]) -> Vec<Line> {
    let mut lines = Vec::new();
    for family in plan::families(rows) {
        let specs: Vec<&Spec> = rows.iter().filter(|row| row.family == family).collect();
        let mut contenders: Vec<Contender> = Vec::new();
        for contender in specs.iter().flat_map(|spec| [Some(&spec.ours), spec.peer.as_ref()]).flatten() {
            if !contenders.contains(contender) {
                contenders.push(contender.clone());
            }
        }
        let rounds = bench.rounds(family, &contenders);
        lines.extend(specs.into_iter().map(|spec| {
            let peer = spec.peer.as_ref();
            let trouble = rounds.trouble(&spec.ours).or_else(|| rounds.trouble(peer?));
            judge(spec, rounds.of(&spec.ours), peer.map(|peer| rounds.of(peer)).unwrap_or_default(), trouble)
        }));
    }
    lines
}

fn exit(options: &Options, lines: &[Line]) -> ExitCode {
    let has = |wanted: fn(&Verdict) -> bool| lines.iter().any(|line| wanted(&line.verdict));
    if has(|verdict| matches!(verdict, Verdict::Absent(why) if !why.starts_with("not available"))) {
        return ExitCode::from(3);
    }
    ExitCode::from(u8::from(options.strict && has(|verdict| matches!(verdict, Verdict::Missed(_)))))
}
