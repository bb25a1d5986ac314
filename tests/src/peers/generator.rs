//! The generators: ours, wrk, ab and h2load, each told the same load in its own words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{Program, Start, command, own};
use super::trouble::Trouble;
use super::window::{Measured, SETTLE};

/// How long a generator may take to end after its load.
const END: Duration = Duration::from_secs(8);
/// Length of our generator's ramp; below [`SETTLE`].
const RAMP_MS: u64 = 250;
/// Longer than any window: these programs are interrupted when it is over.
const LONG_S: u64 = 60;

/// One build of our own programs: an executable that becomes them by the name it is called by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Build {
    /// The executable.
    pub(crate) path: PathBuf,
    /// What tells it from another one in tables: ` (debug)`, or nothing if there is only one.
    pub(crate) label: String,
}

/// Which program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Tool {
    /// Ours, with the engine to use if it is not the default.
    Loadgen {
        /// The executable that plays it.
        build: Build,
        /// `--engine`.
        engine: Option<&'static str>,
    },
    /// <https://github.com/wg/wrk>
    Wrk,
    /// ApacheBench.
    Ab,
    /// nghttp2's, with HTTP/1.1.
    H2load,
}

/// What becomes of a connection after a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Persistence {
    /// It is kept.
    Kept,
    /// The server closes it.
    ServerFin,
    /// The client closes it.
    ClientFin,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// So many transactions at once, as fast as they go.
    Closed(u32),
    /// So many per second, evenly, on at most so many connections at once.
    Rate(f64, u32),
    /// So many connections held, each with one transaction.
    Held(u32),
}

/// A load.
#[derive(Clone, Debug)]
pub(crate) struct Load<'a> {
    /// `127.0.0.1:80`.
    pub(crate) address: String,
    /// Path and query.
    pub(crate) path: &'a str,
    /// What becomes of connections.
    pub(crate) persistence: Persistence,
    /// How much.
    pub(crate) amount: Amount,
    /// Length of the window that will be measured.
    pub(crate) window: Duration,
}

impl Tool {
    /// Name in the table and of output files.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Loadgen { .. } => "loadgen",
            Self::Wrk => "wrk",
            Self::Ab => "ab",
            Self::H2load => "h2load",
        }
    }

    /// Starts the load on a core.
    pub(crate) fn start(&self, load: &Load<'_>, core: usize, folder: &Path) -> Result<Program, Trouble> {
        let url = format!("http://{}{}", load.address, load.path);
        let (command, package) = match (self, load.amount) {
            (Self::Loadgen { build, engine }, _) => {
                (loadgen(&build.path, *engine, load, core, folder)?, "the workspace")
            }
            (Self::Wrk, Amount::Closed(count)) => (wrk(&url, count, load.persistence), "wrk"),
            (Self::Ab, Amount::Closed(count)) => (ab(&url, count, load.persistence), "apache2-utils"),
            (Self::H2load, Amount::Closed(count)) => (h2load(&url, count, load)?, "nghttp2-client"),
            _ => return Err(Trouble::NotAvailable(format!("{} has closed loops only", self.name()))),
        };
        Program::start(Start { name: self.name(), command, package, core, folder })
    }

    /// Ends the load and adds what the generator says about it.
    pub(crate) fn finish(&self, program: Program, folder: &Path, measured: &mut Measured) -> Result<(), Trouble> {
        if !matches!(self, Self::Loadgen { .. } | Self::H2load) {
            program.interrupt();
        }
        let name = program.name().to_owned();
        let text = program.finish(END)?;
        let found = match self {
            Self::Loadgen { engine, .. } => {
                let run = run_folder(&reports(folder));
                if let (Some(run), Some(engine)) = (&run, engine) {
                    check_engine(run, engine)?;
                }
                run.and_then(|run| read_trials(&fs::read_to_string(run.join("trials.csv")).ok()?, measured))
            }
            Self::Wrk => failed_of_wrk(&text).map(|failed| measured.failed = failed),
            Self::Ab => number_after(&text, "Failed requests:").map(|failed| measured.failed = failed),
            Self::H2load => failed_of_h2load(&text).map(|failed| measured.failed = failed),
        };
        let end = text.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect::<String>();
        found.ok_or(Trouble::Unclear { program: name, what: "failures", text: end })
    }
}

fn reports(folder: &Path) -> PathBuf {
    folder.join("reports")
}

fn loadgen(
    executable: &Path,
    engine: Option<&str>,
    load: &Load<'_>,
    core: usize,
    folder: &Path,
) -> Result<Command, Trouble> {
    let reports = reports(folder);
    // What an earlier round left would be read as this one's.
    let _ = fs::remove_dir_all(&reports);
    let path = folder.join("scenario.toml");
    fs::write(&path, scenario(load, core)).map_err(|source| Trouble::File { path: path.clone(), source })?;
    let mut command = own(executable, "loadgen", ["run"]);
    command.arg(path).args(["--dut", &load.address, "--quiet", "--reports"]).arg(reports);
    if let Some(engine) = engine {
        command.args(["--engine", engine]);
    }
    Ok(command)
}

/// The scenario that says the same as the others' options.
fn scenario(load: &Load<'_>, core: usize) -> String {
    let end = match load.persistence {
        Persistence::Kept => "",
        Persistence::ServerFin => "requests_per_connection = 1\nclose = \"server-fin\"\n",
        Persistence::ClientFin => "requests_per_connection = 1\nclose = \"client-fin\"\n",
    };
    let amount = match load.amount {
        Amount::Closed(count) => format!("unit = \"transactions\"\ncount = {count}"),
        Amount::Rate(rate, slots) => {
            format!("unit = \"transactions/s\"\nrate = \"{}/s\"\nslots = {slots}", rate.round())
        }
        Amount::Held(count) => format!("unit = \"connections\"\ncount = {count}\nopen_rate = \"10k/s\""),
    };
    // From the first load seen to the end of the window, and a margin for the counters to answer.
    let sustain_ms = (SETTLE + load.window).as_millis() as u64 + 400;
    format!(
        "[scenario]\nname = \"peers\"\nquestion = \"What does a transaction cost?\"\nseed = 7\n\
         [testbed]\ngenerator_cores = [{core}]\n\
         [workload]\nkind = \"http\"\nrequest = \"{}\"\n{end}\
         [load]\n{amount}\n\
         phases = {{ init = \"0s\", ramp_up = \"{RAMP_MS}ms\", sustain = \"{sustain_ms}ms\", ramp_down = \"0s\" }}\n",
        load.path
    )
}

fn wrk(url: &str, count: u32, persistence: Persistence) -> Command {
    let mut command = command("wrk", ["-t1", &format!("-c{count}"), &format!("-d{LONG_S}s"), "--timeout", "10s"]);
    if persistence != Persistence::Kept {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(url);
    command
}

fn ab(url: &str, count: u32, persistence: Persistence) -> Command {
    // -n after -t, which sets it to 50,000; it is a bound of ab's table and not reached.
    let mut command = command("ab", ["-q", "-t", &LONG_S.to_string(), "-n", "4000000", "-c", &count.to_string()]);
    if persistence == Persistence::Kept {
        command.arg("-k");
    }
    command.arg(url);
    command
}

fn h2load(url: &str, count: u32, load: &Load<'_>) -> Result<Command, Trouble> {
    if load.persistence != Persistence::Kept {
        // 1.52 asks once on each of its connections and then waits for ever.
        return Err(Trouble::NotAvailable("h2load opens no new connection after a close".to_owned()));
    }
    // It says nothing when it is interrupted, so it gets an end of its own.
    let seconds = (SETTLE + load.window).as_secs_f64().ceil() as u64 + 1;
    Ok(command("h2load", ["--h1", "-t1", "-c", &count.to_string(), "-D", &seconds.to_string(), url]))
}

/// The folder of our generator's only run.
fn run_folder(reports: &Path) -> Option<PathBuf> {
    fs::read_dir(reports.join("peers")).ok()?.flatten().map(|entry| entry.path()).max()
}

/// An engine that this kernel does not carry is replaced by the default one, and the run says so: that
/// must not be compared as if it were the other.
fn check_engine(run: &Path, engine: &str) -> Result<(), Trouble> {
    let text = fs::read_to_string(run.join("environment.json")).unwrap_or_default();
    let environment: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let used = &environment["engine"];
    if used["used"] == engine {
        return Ok(());
    }
    Err(Trouble::NotAvailable(format!("the run asked for {engine} and used {used}")))
}

/// Failures and latencies of the only trial.
fn read_trials(text: &str, measured: &mut Measured) -> Option<()> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().ok()?.clone();
    let record = reader.records().next()?.ok()?;
    let field = |name: &str| record.get(header.iter().position(|column| column == name)?);
    measured.failed = field("failed")?.parse().ok()?;
    // Empty without a single success, which the count of failures shows.
    let latency = |name: &str| field(name).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    measured.p50_us = latency("response_time_us_p50");
    measured.p99_us = latency("response_time_us_p99");
    Some(())
}

/// wrk names kinds of failure only if there are any; that it came to its end shows in the count.
fn failed_of_wrk(text: &str) -> Option<u64> {
    text.find(" requests in ")?;
    let errors = text.split("Socket errors:").nth(1).map(|rest| {
        let line = rest.lines().next().unwrap_or_default();
        line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum()
    });
    Some(errors.unwrap_or(0) + number_after(text, "Non-2xx or 3xx responses:").unwrap_or(0))
}

/// `0 failed, 0 errored, 0 timeout`, where timeouts are among the errored.
fn failed_of_h2load(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("requests:"))?;
    let count = |word: &str| {
        let part = line.split(',').find(|part| part.trim_end().ends_with(word))?;
        part.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(count("failed")? + count("errored")?)
}

fn number_after(text: &str, label: &str) -> Option<u64> {
    text.split(label).nth(1)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_from_what_each_program_prints() {
        let good = "  198368 requests in 2.11s, 28.57MB read\nRequests/sec:  94125.11\n";
        assert_eq!(failed_of_wrk(good), Some(0));
        let bad =
            format!("{good}  Socket errors: connect 1, read 20, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n");
        assert_eq!(failed_of_wrk(&bad), Some(33));
        assert_eq!(failed_of_wrk("unable to connect"), None);
        let text = "requests: 9 total, 9 started, 6 done, 6 succeeded, 2 failed, 1 errored, 1 timeout\n";
        assert_eq!(failed_of_h2load(text), Some(3));
        assert_eq!(number_after("Failed requests:        7\n", "Failed requests:"), Some(7));
    }

    #[test]
    fn a_trial_is_read_by_the_names_of_its_columns() {
        let mut measured = Measured::default();
        let text = "trial,failed,response_time_us_p99,response_time_us_p50\n1,3,20.5,10\n";
        assert_eq!(read_trials(text, &mut measured), Some(()));
        assert_eq!((measured.failed, measured.p50_us, measured.p99_us), (3, 10.0, 20.5));
        assert_eq!(read_trials("trial\n1\n", &mut measured), None);
    }
}
