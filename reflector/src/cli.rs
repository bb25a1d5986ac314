//! The program `reflector`: options to [`File`] to [`Config`], start, wait for the end, last books.
//!
//! Prints one line per address on standard output when it serves, and its ledger as JSON when it
//! ends on SIGTERM or SIGINT. A second signal ends it at once, without a ledger. Exit codes: 0 done,
//! 2 wrong usage or configuration, 3 this host cannot run it, 130 ended by a second signal.

mod control;

use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use clap::Parser;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use wire::document::Document;
use wire::ledger::Ledger;
use wire::units::{ByteSize, Percent, Rate, Span};

use crate::config::{
    CapFile, CapUnit, Config, File, Kind, ListenerFile, OneIn, Over, SpreadFile, StallFile, Stalled, UdpFile,
};
use crate::{Reflector, start};

/// A web server that answers as it is asked to and keeps books of what it saw.
///
/// Steer one answer by its URL, as with HAProxy's haterm: /?s=20k&t=50&r=404; /? lists the
/// parameters.
#[derive(Debug, Parser)]
#[command(name = "reflector", version)]
struct Options {
    /// Configuration file (TOML); the options below override it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on: `127.0.0.1:8080`, `[::1]:8080`, `tcp://127.0.0.1:9000` for plain TCP, `udp://…` for an
    /// echo of datagrams, `udp-sink://…` to count them without an answer; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", value_parser = listener)]
    listen: Vec<ListenerFile>,
    /// Name in answers and in the ledger
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Size of a body: 1k
    #[arg(long, value_name = "SIZE")]
    size: Option<ByteSize>,
    /// Time before an answer: 10ms
    #[arg(long, value_name = "DURATION")]
    delay: Option<Span>,
    /// Status of an answer
    #[arg(long, value_name = "STATUS")]
    status: Option<u16>,
    /// Share of requests that fail: 1%
    #[arg(long, value_name = "SHARE")]
    failure_share: Option<Percent>,
    /// Status of those that fail
    #[arg(long, value_name = "STATUS", requires = "failure_share")]
    failure_status: Option<u16>,
    /// When to stop answering for a while, counted from the first request: 3s
    #[arg(long, value_name = "DURATION", requires = "stall_for")]
    stall_at: Option<Span>,
    /// For how long: 1s
    #[arg(long, value_name = "DURATION", requires = "stall_at")]
    stall_for: Option<Span>,
    /// Serve at most so many per second: 1000/s
    #[arg(long, value_name = "RATE")]
    rate_cap: Option<Rate>,
    /// What happens above the rate cap
    #[arg(long, value_name = "refuse|queue", requires = "rate_cap", value_parser = over)]
    over: Option<Over>,
    /// What the rate cap counts
    #[arg(long, value_name = "connections|requests|datagrams", requires = "rate_cap", value_parser = unit)]
    unit: Option<CapUnit>,
    /// What the rate cap grants in a row after idle time: so long at its rate [default: 20ms]
    #[arg(long, value_name = "DURATION", requires = "rate_cap")]
    burst: Option<Span>,
    #[command(flatten, next_help_heading = "Datagrams, by the sequence of each stream")]
    udp: UdpOptions,
    /// Most connections open at once; more are reset
    #[arg(long, value_name = "N")]
    connection_cap: Option<u64>,
    /// Threads
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Cores to pin the threads to: 0,1
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    cores: Vec<usize>,
    /// Seed of every random choice
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long stopping may take: 5s
    #[arg(long, value_name = "DURATION")]
    drain: Option<Span>,
    /// Address for ledger and stop commands, one JSON object per line; whoever reaches it can stop the reflector
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
}

/// Faults of datagrams. N means one in N; N+K those whose sequence leaves K when divided by N.
#[derive(Debug, clap::Args)]
struct UdpOptions {
    /// Answer no datagram at all: every `udp://` address becomes a `udp-sink://` one
    #[arg(long)]
    udp_sink: bool,
    /// Do not answer one in N, or in N those at K: 1000, 1000+7
    #[arg(long, value_name = "N[+K]")]
    udp_drop: Option<OneIn>,
    /// Answer one in N with one byte changed
    #[arg(long, value_name = "N[+K]")]
    udp_corrupt: Option<OneIn>,
    /// Answer one in N twice
    #[arg(long, value_name = "N[+K]")]
    udp_duplicate: Option<OneIn>,
    /// Answer one in N after the next one of its stream
    #[arg(long, value_name = "N[+K]")]
    udp_swap: Option<OneIn>,
    /// Send it alone if that has not come by then [default: 100ms]
    #[arg(long, value_name = "DURATION", requires = "udp_swap")]
    udp_swap_wait: Option<Span>,
    /// What a stall does to datagrams: answer them at its end, or never
    #[arg(long, value_name = "hold|drop", requires = "stall_at", value_parser = stalled)]
    udp_stall: Option<Stalled>,
}

impl UdpOptions {
    fn override_in(&self, file: &mut UdpFile) {
        file.drop = self.udp_drop.or(file.drop);
        file.corrupt = self.udp_corrupt.or(file.corrupt);
        file.duplicate = self.udp_duplicate.or(file.duplicate);
        file.swap = self.udp_swap.or(file.swap);
        file.swap_wait = self.udp_swap_wait.or(file.swap_wait);
        file.stall = self.udp_stall.or(file.stall);
    }
}

fn stalled(text: &str) -> Result<Stalled, &'static str> {
    match text {
        "hold" => Ok(Stalled::Hold),
        "drop" => Ok(Stalled::Drop),
        _ => Err("expected hold or drop"),
    }
}

fn listener(text: &str) -> Result<ListenerFile, String> {
    let (scheme, address) = text.split_once("://").unwrap_or_else(|| (Kind::Http.name(), text));
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == scheme);
    let kind = kind.ok_or_else(|| {
        let allowed = Kind::ALL.map(|kind| format!("{}://", kind.name())).join(", ");
        format!("{scheme}:// is not served; expected one of {allowed}")
    })?;
    let address = SocketAddr::from_str(address.trim_end_matches('/')).map_err(|_| {
        "expected an IP address and a port: 127.0.0.1:8080, [::1]:8080, tcp://127.0.0.1:9000, udp://127.0.0.1:9000"
            .to_owned()
    })?;
    Ok(ListenerFile { address, kind })
}

fn over(text: &str) -> Result<Over, &'static str> {
    match text {
        "refuse" => Ok(Over::Refuse),
        "queue" => Ok(Over::Queue),
        _ => Err("expected refuse or queue"),
    }
}

fn unit(text: &str) -> Result<CapUnit, &'static str> {
    match text {
        "connections" => Ok(CapUnit::Connections),
        "requests" => Ok(CapUnit::Requests),
        "datagrams" => Ok(CapUnit::Datagrams),
        _ => Err("expected connections, requests or datagrams"),
    }
}

/// The program: reads options, serves until it is told to stop.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Nowhere to say it if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .init();
    let control = options.control;
    match configure(options) {
        Ok(config) => serve(config, control).unwrap_or_else(|error| fail(3, &error)),
        Err(error) => fail(2, &error),
    }
}

/// The configuration that arguments ask for, read as [`main`] reads those of the process; the
/// program's name is not among them. A control address in them is of no effect.
///
/// # Errors
/// What is wrong with the arguments, or with the file they name, as text for a person.
pub fn config_of(arguments: &[std::ffi::OsString]) -> Result<Config, String> {
    let program = std::iter::once(std::ffi::OsString::from("reflector"));
    let options =
        Options::try_parse_from(program.chain(arguments.iter().cloned())).map_err(|error| error.to_string())?;
    configure(options).map_err(|error| format!("{error:#}"))
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    // If standard error is gone, the exit code still says it.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::from(code)
}

fn configure(options: Options) -> anyhow::Result<Config> {
    let document = match &options.config {
        None => Document::new("command line", ""),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?;
            Document::new(path.display().to_string(), text)
        }
    };
    let file = override_with(document.parse()?, options);
    Config::try_from(file).map_err(|error| document.error_at(error.key(), error.message()).into())
}

fn override_with(mut file: File, options: Options) -> File {
    if !options.listen.is_empty() {
        file.listen = options.listen;
    }
    if !options.cores.is_empty() {
        file.cores = options.cores;
    }
    if let Some(rate) = options.rate_cap {
        let over = options.over.unwrap_or_default();
        file.rate_cap = Some(CapFile { rate, over, unit: options.unit, burst: options.burst });
    }
    if let (Some(at), Some(length)) = (options.stall_at, options.stall_for) {
        file.stall = Some(StallFile { at, length, every: None });
    }
    options.udp.override_in(&mut file.udp);
    if options.udp.udp_sink {
        for listener in file.listen.iter_mut().filter(|listener| listener.kind == Kind::Udp) {
            listener.kind = Kind::UdpSink;
        }
    }
    file.instance = options.instance.or(file.instance);
    file.size = options.size.map(SpreadFile::Fixed).or(file.size);
    file.delay = options.delay.map(SpreadFile::Fixed).or(file.delay);
    file.status = options.status.or(file.status);
    file.failure_share = options.failure_share.or(file.failure_share);
    file.failure_status = options.failure_status.or(file.failure_status);
    file.connection_cap = options.connection_cap.or(file.connection_cap);
    file.threads = options.threads.or(file.threads);
    file.seed = options.seed.or(file.seed);
    file.drain = options.drain.or(file.drain);
    file
}

fn serve(config: Config, control: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    host::kernel::raise_descriptor_limit();
    let kinds: Vec<Kind> = config.listeners.iter().map(|listener| listener.kind).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let control = control.map(|address| control::Control::bind(address, &runtime)).transpose()?;
    // Before the first line that says that it serves, so that a signal that follows it is not lost.
    let mut signals = Signals::heed(&runtime)?;
    let reflector = Arc::new(start(config)?);
    announce(&reflector, &kinds, control.as_ref().map(control::Control::address));
    runtime.block_on(async {
        tokio::select! {
            () = signals.next() => {}
            () = control::run(control, &reflector) => {}
        }
    });
    // Heeded again before the first runtime ends, which takes the control connections with it.
    let last = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = Signals::heed(&last)?;
    drop(runtime);
    let Some(reflector) = Arc::into_inner(reflector) else {
        anyhow::bail!("a control connection outlived its runtime");
    };
    match stop(reflector, &last, signals)? {
        Some(ledger) => print_ledger(&ledger).map(|()| ExitCode::SUCCESS),
        None => Ok(ExitCode::from(130)),
    }
}

/// Stops within the drain time; `None` if a signal came meanwhile, after which nothing is waited for.
fn stop(reflector: Reflector, runtime: &Runtime, mut signals: Signals) -> anyhow::Result<Option<Ledger>> {
    let (done, ledger) = oneshot::channel();
    // Nobody takes the ledger if a second signal has come.
    std::thread::Builder::new().name("reflector-stop".into()).spawn(move || drop(done.send(reflector.stop())))?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            ledger = ledger => Ok(Some(ledger?)),
            () = signals.next() => Ok(None),
        }
    })
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn heed(runtime: &Runtime) -> std::io::Result<Self> {
        let _context = runtime.enter();
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn announce(reflector: &Reflector, kinds: &[Kind], control: Option<SocketAddr>) {
    for warning in reflector.warnings() {
        tracing::warn!("{warning}");
    }
    let mut out = std::io::stdout().lock();
    for (address, kind) in reflector.addresses().iter().zip(kinds) {
        // Whoever started us may not care to read.
        let _ = writeln!(out, "ready {}://{address}", kind.name());
    }
    if let Some(address) = control {
        let _ = writeln!(out, "control {address}");
    }
    let _ = out.flush();
}

fn print_ledger(ledger: &Ledger) -> anyhow::Result<()> {
    let text = serde_json::to_string(ledger)?;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_made_of_the_addresses_of_datagrams_alone() {
        let words = ["--listen", "udp://127.0.0.1:0", "--listen", "127.0.0.1:0", "--udp-sink"].map(Into::into);
        let kinds = |words| config_of(words).unwrap().listeners.iter().map(|of| of.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&words), [Kind::UdpSink, Kind::Http]);
        assert_eq!(kinds(&words[..4]), [Kind::Udp, Kind::Http]);
    }
}
