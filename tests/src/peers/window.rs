//! What happens between two moments while a generator loads a server.
//!
//! Every generator is read in the same way: transactions by the count of the server that answers
//! them, CPU time by the kernel's clock of the process, both at the same two moments inside its steady
//! load. So neither its start nor its report is counted, nor what it says about itself.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use wire::control::{Command, Event};

use super::process::{Program, pass};
use super::trouble::Trouble;

/// CPU time that a server has used when it is clearly under load.
const BUSY: Duration = Duration::from_millis(10);
/// How long that may take.
const BUSY_WITHIN: Duration = Duration::from_secs(4);
/// From then until the window begins: longer than our generator's ramp.
pub(crate) const SETTLE: Duration = Duration::from_millis(400);
/// How long a counter may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Ticks of `/proc/stat` per second (`USER_HZ`, which is 100 wherever Linux shows it to programs).
const TICKS_PER_S: f64 = 100.0;

/// Who counts the transactions.
#[derive(Clone, Debug)]
pub(crate) enum Referee {
    /// nginx, on its status page.
    Nginx(SocketAddr),
    /// The ledgers of reflectors, on their control addresses.
    Reflectors(Vec<SocketAddr>),
}

impl Referee {
    /// Transactions since the servers started, and the connections open now.
    pub(crate) fn count(&self) -> Result<(u64, u64), Trouble> {
        let counted = match self {
            Self::Nginx(address) => nginx_count(*address),
            Self::Reflectors(addresses) => {
                let sum = |sum: (u64, u64), found: (u64, u64)| (sum.0 + found.0, sum.1 + found.1);
                addresses.iter().try_fold((0, 0), |total, address| Ok(sum(total, reflector_count(*address)?)))
            }
        };
        counted.map_err(|source| Trouble::Counter { what: "the count of the server", source })
    }
}

/// Requests and connections of nginx, without this one.
fn nginx_count(address: SocketAddr) -> io::Result<(u64, u64)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    parse_status(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))
}

/// What `stub_status` says: requests, and connections without the one that asks.
fn parse_status(text: &str) -> Option<(u64, u64)> {
    let active = text.split("Active connections: ").nth(1)?.split_whitespace().next()?.parse::<u64>().ok()?;
    let counts = text.split("server accepts handled requests").nth(1)?;
    Some((counts.split_whitespace().nth(2)?.parse().ok()?, active.saturating_sub(1)))
}

fn reflector_count(address: SocketAddr) -> io::Result<(u64, u64)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let order = serde_json::to_string(&Command::Ledger { reset_peak: false })?;
    writeln!(stream, "{order}")?;
    let mut lines = BufReader::new(stream.take(2 * wire::control::LINE_MAX as u64)).lines();
    // The first line says that it is ready.
    while let Some(line) = lines.next().transpose()? {
        if let Event::Ledger { ledger } = serde_json::from_str(&line)? {
            return Ok((ledger.responses, ledger.open_now));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// All counters at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    transactions: u64,
    generator_ns: u64,
    server_ns: u64,
    busy_ticks: u64,
    steal_ticks: u64,
    segments: u64,
}

impl Moment {
    fn now(generator: &Program, server: &Program, referee: &Referee) -> Result<Self, Trouble> {
        let (transactions, _) = referee.count()?;
        let cores = host::kernel::core_ticks();
        Ok(Self {
            at: Instant::now(),
            transactions,
            generator_ns: generator.cpu_ns()?,
            server_ns: server.cpu_ns()?,
            busy_ticks: cores.iter().map(|core| core.total - core.idle - core.steal).sum(),
            steal_ticks: cores.iter().map(|core| core.steal).sum(),
            segments: segments_sent()?,
        })
    }
}

/// TCP segments that this network namespace has sent. On loopback each is received once.
fn segments_sent() -> Result<u64, Trouble> {
    snmp("Tcp:", "OutSegs")
}

/// A counter of this network namespace, by its protocol (`Tcp:`) and its name.
pub(crate) fn snmp(protocol: &str, counter: &str) -> Result<u64, Trouble> {
    let what = "/proc/net/snmp";
    let text = fs::read_to_string(what).map_err(|source| Trouble::Counter { what, source })?;
    parse_snmp(&text, protocol, counter)
        .ok_or_else(|| Trouble::Counter { what, source: io::ErrorKind::InvalidData.into() })
}

/// A counter of the two lines of its protocol, the first of which has the names.
fn parse_snmp(text: &str, protocol: &str, counter: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let at = lines.next()?.split_whitespace().position(|name| name == counter)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// What was measured of one program in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Transactions per second.
    pub(crate) rate: f64,
    /// Transactions per second that were asked for; 0 in a closed loop.
    pub(crate) offered: f64,
    /// CPU time of the generator per transaction, in µs.
    pub(crate) generator_us: f64,
    /// CPU time of the server (or of the DUT) per transaction, in µs.
    pub(crate) server_us: f64,
    /// Busy time of all cores per transaction, in µs.
    pub(crate) machine_us: f64,
    /// Time that the hypervisor took, as a share of all cores' time.
    pub(crate) steal: f64,
    /// TCP segments per transaction, both directions, all connections.
    pub(crate) segments: f64,
    /// Transactions that failed, by what the generator says of its whole run.
    pub(crate) failed: u64,
    /// Median response time in µs, where the generator measures it.
    pub(crate) p50_us: f64,
    /// The same, 99th percentile.
    pub(crate) p99_us: f64,
    /// User memory per connection, in bytes.
    pub(crate) bytes: f64,
}

/// Waits until the generator's load is steady, and measures so long.
pub(crate) fn measure(
    generator: &mut Program,
    server: &Program,
    referee: &Referee,
    length: Duration,
) -> Result<Measured, Trouble> {
    let idle_ns = server.cpu_ns()?;
    generator.until(BUSY_WITHIN, "did not load the server", |_| {
        let used = server.cpu_ns().ok()?.saturating_sub(idle_ns);
        (u128::from(used) >= BUSY.as_nanos()).then_some(())
    })?;
    pass(SETTLE);
    let before = Moment::now(generator, server, referee)?;
    pass(length);
    let after = Moment::now(generator, server, referee)?;
    generator.check()?;
    between(&before, &after).ok_or_else(|| Trouble::Unclear {
        program: generator.name().to_owned(),
        what: "transactions: the server counted none in the window",
        text: generator.quote(),
    })
}

fn between(before: &Moment, after: &Moment) -> Option<Measured> {
    let transactions = after.transactions.checked_sub(before.transactions).filter(|&count| count > 0)? as f64;
    let seconds = (after.at - before.at).as_secs_f64();
    let per_transaction_us = |ns: u64| ns as f64 / 1e3 / transactions;
    let ticks_us = |ticks: u64| ticks as f64 / TICKS_PER_S * 1e6;
    Some(Measured {
        rate: transactions / seconds,
        generator_us: per_transaction_us(after.generator_ns - before.generator_ns),
        server_us: per_transaction_us(after.server_ns - before.server_ns),
        machine_us: ticks_us(after.busy_ticks - before.busy_ticks) / transactions,
        steal: ticks_us(after.steal_ticks - before.steal_ticks)
            / (seconds * 1e6 * host::kernel::core_ticks().len() as f64),
        segments: (after.segments - before.segments) as f64 / transactions,
        ..Measured::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_page_of_nginx_is_read_without_the_reader() {
        let text = "HTTP/1.1 200 OK\r\n\r\nActive connections: 65 \nserver accepts handled requests\n \
                    101 101 4711 \nReading: 0 Writing: 2 Waiting: 63 \n";
        assert_eq!(parse_status(text), Some((4_711, 64)));
        assert_eq!(parse_status("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }

    #[test]
    fn segments_are_found_by_name() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm InSegs OutSegs RetransSegs\nTcp: 1 20 30 4\n";
        assert_eq!(parse_snmp(text, "Tcp:", "OutSegs"), Some(30));
        assert_eq!(parse_snmp(text, "Udp:", "OutDatagrams"), None);
        assert!(segments_sent().is_ok() && snmp("Udp:", "OutDatagrams").is_ok());
    }

    #[test]
    fn a_window_is_the_difference_per_transaction() {
        let at = Instant::now();
        let before = Moment {
            at,
            transactions: 100,
            generator_ns: 1_000,
            server_ns: 2_000,
            busy_ticks: 10,
            steal_ticks: 0,
            segments: 5,
        };
        let after = Moment {
            at: at + Duration::from_secs(2),
            transactions: 1_100,
            generator_ns: 5_001_000,
            server_ns: 8_002_000,
            busy_ticks: 30,
            steal_ticks: 2,
            segments: 2_005,
        };
        let found = between(&before, &after).unwrap();
        assert_eq!((found.rate, found.generator_us, found.server_us), (500.0, 5.0, 8.0));
        assert_eq!((found.machine_us, found.segments), (200.0, 2.0));
        assert!(between(&before, &Moment { transactions: 100, ..after }).is_none());
    }
}
