//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use wire::units::{Percent, Rate, Span};

use crate::testbed::RoleArgs;

/// Finds what a load balancer can really carry.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 met, 1 an expectation missed, 2 usage or scenario error, 3 this host cannot run it, \
                        4 undecided, 130 interrupted."
)]
pub struct Cli {
    /// What to do; `run` when only a scenario is given.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario and write its report (the default)
    Run(RunArgs),
    /// Load a URL without a scenario file, as wrk does
    Quick(QuickArgs),
    /// Go on with a run that was interrupted or killed, without repeating its finished trials
    Resume(ResumeArgs),
    /// Say whether scenario and DUT files are sound, and what they resolve to
    Check(CheckArgs),
    /// Say what this host can generate and what would have to change
    Doctor(DoctorArgs),
    /// Find where the history of a gate changed its level
    Trend(TrendArgs),
    /// Put finished runs side by side
    Compare(CompareArgs),
    /// Write what a finished run measured in the format of another tool
    Export(ExportArgs),
    /// Build the page and the pictures of a run folder again from its files
    Report(ReportArgs),
    /// Join runs of one scenario that went side by side, by absolute time
    Merge(MergeArgs),
    /// Say how many of the measured devices a site has to buy
    Size(SizeArgs),
    /// Say whether one build of a load balancer is worse than another, for CI
    Gate(Box<GateArgs>),
    /// Print the JSON schema of scenario files, for editors
    Schema {
        /// Of which files.
        #[arg(value_enum, default_value_t = Schema::Scenario)]
        of: Schema,
    },
    /// Print completions for a shell
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// A part of a testbed, started by a run for itself
    #[command(hide = true)]
    Role(RoleArgs),
}

/// Files that have a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Schema {
    /// Scenario and DUT files.
    Scenario,
    /// Demand files.
    Demand,
}

/// What changes a scenario from outside its file.
#[derive(Args, Clone, Debug, Default)]
pub struct OverrideArgs {
    /// Another DUT: a DUT file, or the address of one that is there already (10.0.0.5:80)
    #[arg(long, value_name = "FILE|ADDRESS")]
    pub dut: Option<String>,
    /// Where the testbed's addresses live: loopback, netns (namespaces of its own), external
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// A reflector that is there already; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub reflector: Vec<String>,
    /// What carries the connections: epoll (the default) or uring (experimental)
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Path and query to request instead of the scenario's
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Another value for a key of the scenario: load.rate=500; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// The scenario file
    pub scenario: Option<PathBuf>,
    /// What changes the scenario.
    #[command(flatten)]
    pub overrides: OverrideArgs,
    /// Where run folders are made
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    pub reports: PathBuf,
    /// No live line
    #[arg(long, short)]
    pub quiet: bool,
    /// Leave out DUTs whose program is missing, in a scenario that compares several
    #[arg(long)]
    pub skip_missing: bool,
    /// What else is written.
    #[command(flatten)]
    pub sinks: SinkArgs,
}

/// Arguments of `quick`.
#[derive(Args, Clone, Debug)]
pub struct QuickArgs {
    /// What to request: http://127.0.0.1:8080/index.html, or with -R where to send frames: udp://127.0.0.1:53
    pub url: String,
    /// Connections, each with one request at a time; streams of frames
    #[arg(short, long, default_value_t = 64)]
    pub connections: u32,
    /// How long to measure
    #[arg(short, long, default_value = "10s")]
    pub duration: Span,
    /// Requests per second (open loop) instead of as many as possible (closed loop)
    #[arg(short = 'R', long)]
    pub rate: Option<Rate>,
    /// One request per connection
    #[arg(long)]
    pub no_keepalive: bool,
    /// What carries the connections: epoll (the default) or uring (experimental)
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// Where run folders are made
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    pub reports: PathBuf,
    /// No live line
    #[arg(long, short)]
    pub quiet: bool,
    /// What else is written.
    #[command(flatten)]
    pub sinks: SinkArgs,
}

/// Arguments of `resume`.
#[derive(Args, Clone, Debug)]
pub struct ResumeArgs {
    /// The run folder: reports/cps/20261123-040506
    pub folder: PathBuf,
    /// Where run folders are made
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    pub reports: PathBuf,
    /// No live line
    #[arg(long, short)]
    pub quiet: bool,
    /// What else is written.
    #[command(flatten)]
    pub sinks: SinkArgs,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Scenario files, DUT files, or folders with them
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// What changes the scenarios.
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

/// Arguments of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Run folders, such as reports/cps/20261123-040506; the others are compared with the first
    #[arg(required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// Compare although this condition differs (workload.close, host.kernel); may be given several times
    #[arg(long, value_name = "KEY")]
    pub allow: Vec<String>,
    /// Where compare.html, compare.csv and compare.json go; a new folder below reports/compare if left out
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The run folder, such as reports/cps/20261123-040506
    pub run: PathBuf,
    /// The format
    #[arg(long, value_enum, default_value = "jsonl")]
    pub format: ExportFormat,
    /// Where to write it; - is stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// Formats that a run can be exported in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ExportFormat {
    /// JSON lines
    Jsonl,
    /// Influx line protocol
    Influx,
    /// Prometheus text, the state at the end of the run
    Prometheus,
}

/// What else a run writes while it goes.
#[derive(Args, Clone, Debug, Default)]
pub struct SinkArgs {
    /// Serve Prometheus metrics while the run goes; port 0 is any, the address is printed
    #[arg(long, value_name = "ADDRESS")]
    pub prometheus: Option<SocketAddr>,
    /// Write a JSON object per second, trial and answer; - is stdout (the summary then goes to stderr)
    #[arg(long, value_name = "FILE")]
    pub json_lines: Option<PathBuf>,
    /// Write Influx line protocol
    #[arg(long, value_name = "FILE")]
    pub influx: Option<PathBuf>,
}

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// The run folder
    pub run: PathBuf,
    /// Write only the page, to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `merge`.
#[derive(Args, Clone, Debug)]
pub struct MergeArgs {
    /// The run folders, two or more
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The folder to make, instead of a new one under --reports
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Where run folders are made
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    pub reports: PathBuf,
}

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// A scenario to judge this host for, and to predict its ceiling of
    pub scenario: Option<PathBuf>,
    /// No short closed loop to reflectors of our own: nothing is said of CPU then
    #[arg(long)]
    pub no_probe: bool,
}

/// Arguments of `trend`.
#[derive(Args, Clone, Debug)]
pub struct TrendArgs {
    /// The history: JSON lines as `gate` writes them
    pub history: PathBuf,
    /// Which metric: transactions-per-cpu-second, cps, tps, response-time-p99 or memory-per-connection
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Only gates of this scenario: its name, or how its hash begins
    #[arg(long, value_name = "NAME|HASH")]
    pub scenario: Option<String>,
    /// Only gates on this host: how its id begins
    #[arg(long, value_name = "ID")]
    pub host: Option<String>,
    /// Only gates of this DUT
    #[arg(long, value_name = "NAME")]
    pub dut: Option<String>,
    /// Only gates with this label, such as those of every night and not those of proposed changes
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// How many gates are looked at together
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub window: usize,
    /// The largest p of a change point
    #[arg(long, default_value_t = 0.001)]
    pub p: f64,
    /// The least change of the level that is of interest
    #[arg(long, value_name = "SHARE", default_value = "2%")]
    pub magnitude: Percent,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 if the last change is one for the worse, and with 4 if there are too few gates
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `size`.
#[derive(Args, Clone, Debug)]
pub struct SizeArgs {
    /// Run folders of the devices to choose from, repeats included
    #[arg(long, value_name = "RUN", num_args = 1.., required = true)]
    pub from: Vec<PathBuf>,
    /// What the site needs; scenarios/demand.example.toml explains every key
    #[arg(long, value_name = "FILE")]
    pub demand: PathBuf,
    /// Run folders of one device with different numbers of workers, for what another size would carry
    #[arg(long, value_name = "RUN", num_args = 1..)]
    pub scaling: Vec<PathBuf>,
    /// Take the estimate from the device's CPU time where only a lower bound was measured
    #[arg(long)]
    pub trust_cpu_estimate: bool,
    /// Where the report's folder is made
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    pub reports: PathBuf,
}

/// Arguments of `gate`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Exit codes: 0 no regression, or not enough evidence; 1 a regression; 2 usage; 3 this host cannot run \
                        it; 4 not enough evidence with --strict, or unfinished; 130 interrupted."
)]
pub struct GateArgs {
    /// A scenario with a fixed load, such as scenarios/ci/cps.toml
    #[arg(required_unless_present = "rejudge", conflicts_with = "rejudge")]
    pub scenario: Option<PathBuf>,
    /// What was there before: a DUT file, or reference:PROGRAM for another build of the reference LB
    #[arg(long, value_name = "SPEC", required_unless_present = "rejudge", conflicts_with = "rejudge")]
    pub baseline_dut: Option<String>,
    /// What is judged
    #[arg(long, value_name = "SPEC", required_unless_present_any = ["rejudge", "aa"], conflicts_with_all = ["rejudge", "aa"])]
    pub candidate_dut: Option<String>,
    /// The baseline against itself: what this machine can tell apart
    #[arg(long, conflicts_with = "rejudge")]
    pub aa: bool,
    /// A metric to gate, and how much worse it may become: cps, tps=10%; may be given several times
    #[arg(long, value_name = "NAME[=DELTA]", conflicts_with = "rejudge")]
    pub metric: Vec<String>,
    /// Only transactions per DUT CPU-second, without guards: fewer and shorter pairs
    #[arg(long, conflicts_with_all = ["metric", "rejudge"])]
    pub primary_only: bool,
    /// How much worse every metric may become that has no DELTA of its own
    #[arg(long, conflicts_with = "rejudge")]
    pub delta: Option<Percent>,
    /// Most valid pairs before it gives up; with --aa how many are measured
    #[arg(long, value_name = "PAIRS", conflicts_with = "rejudge")]
    pub rounds_max: Option<u32>,
    /// Numbers of valid pairs at which it looks, instead of the usual ones; needs --alpha
    #[arg(long, value_delimiter = ',', requires = "alpha", conflicts_with = "rejudge")]
    pub looks: Vec<u32>,
    /// Share of wrong failures that each look may add
    #[arg(long, value_delimiter = ',', requires = "looks", conflicts_with = "rejudge")]
    pub alpha: Vec<Percent>,
    /// How long each run is measured, instead of the scenario's sustain
    #[arg(long, value_name = "DURATION", conflicts_with = "rejudge")]
    pub run: Option<Span>,
    /// Fixes which side of each pair runs first; from the clock if left out
    #[arg(long, conflicts_with = "rejudge")]
    pub seed: Option<u64>,
    /// Not enough evidence is exit code 4
    #[arg(long)]
    pub strict: bool,
    /// Say how it came to its answer
    #[arg(long)]
    pub explain: bool,
    /// Judge a finished gate again from its folder, by the rule it was begun with
    #[arg(long, value_name = "FOLDER")]
    pub rejudge: Option<PathBuf>,
    /// Where its report goes beside its folder.
    #[command(flatten)]
    pub outlets: GateOutlets,
    /// Another value for a key of the scenario: load.rate=500; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "rejudge")]
    pub set: Vec<String>,
    /// Where the testbed's addresses live: loopback, netns (namespaces of its own)
    #[arg(long, value_name = "NETWORK", conflicts_with = "rejudge")]
    pub network: Option<String>,
    /// Where run folders are made
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    pub reports: PathBuf,
    /// No live line
    #[arg(long, short)]
    pub quiet: bool,
}

/// Where the report of a gate goes beside its folder.
#[derive(Args, Clone, Debug, Default)]
pub struct GateOutlets {
    /// JUnit XML as well
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Markdown as well; without it appended to $GITHUB_STEP_SUMMARY where that is set
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// The answer as JSON as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Append this gate to a history for `trend`; one of another scenario or host is refused
    #[arg(long, value_name = "FILE", conflicts_with = "rejudge")]
    pub history: Option<PathBuf>,
    /// What the history calls this gate
    #[arg(long, requires = "history")]
    pub label: Option<String>,
    /// Commit of the baseline, for the history
    #[arg(long, value_name = "COMMIT", requires = "history")]
    pub baseline_commit: Option<String>,
    /// Commit of the candidate, for the history
    #[arg(long, value_name = "COMMIT", requires = "history")]
    pub candidate_commit: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_scenario_alone_is_a_run() {
        let cli = Cli::parse_from(["loadgen", "scenarios/cps.toml", "--dut", "10.0.0.5:80", "--set", "load.rate=5"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.run.scenario.as_deref(), Some(std::path::Path::new("scenarios/cps.toml")));
        assert_eq!(cli.run.overrides.dut.as_deref(), Some("10.0.0.5:80"));
    }

    #[test]
    fn a_subcommand_is_not_a_scenario() {
        let cli = Cli::parse_from(["loadgen", "quick", "http://127.0.0.1/", "-c", "8", "-d", "2s", "-R", "5k"]);
        assert!(matches!(cli.command, Some(Command::Quick(QuickArgs { connections: 8, .. }))));
    }

    const COMING_FROM: &str = include_str!("../../docs/coming-from.md");

    /// The fenced blocks of a page in one language.
    fn blocks(language: &str) -> Vec<&'static str> {
        let fence = format!("```{language}\n");
        COMING_FROM.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
    }

    #[test]
    fn every_command_of_the_page_for_newcomers_is_one() {
        let mut commands = 0;
        for line in blocks("sh").iter().flat_map(|block| block.lines()) {
            assert!(line.starts_with("loadgen "), "{line}");
            let parsed = Cli::try_parse_from(line.split_whitespace());
            let cli = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(cli.command.is_some() || cli.run.scenario.is_some(), "{line}");
            let scenario = cli.run.scenario.filter(|path| path.starts_with("scenarios"));
            if let Some(path) = scenario {
                let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
                let mut overrides = crate::scenario::Overrides { set: cli.run.overrides.set, ..Default::default() };
                overrides.dut = cli
                    .run
                    .overrides
                    .dut
                    .map(|dut| if dut.ends_with(".toml") { root.join(dut).display().to_string() } else { dut });
                overrides.path = cli.run.overrides.path;
                overrides.network = cli.run.overrides.network;
                if let Err(error) = crate::scenario::load(&root.join(path), &overrides) {
                    panic!("{line}: {error}");
                }
            }
            commands += 1;
        }
        assert!(commands >= 12, "{commands} commands");
    }

    #[test]
    fn every_scenario_of_the_page_for_newcomers_is_sound() {
        let scenarios = blocks("toml");
        assert_eq!(scenarios.len(), 2);
        for text in scenarios {
            let none = |_: &std::path::Path| Err(std::io::Error::other("names no file"));
            let plan = crate::scenario::parse("page.toml", text, &none, &Default::default());
            let plan = plan.unwrap_or_else(|error| panic!("{error}"));
            assert!(!plan.expect.is_empty());
        }
    }
}
