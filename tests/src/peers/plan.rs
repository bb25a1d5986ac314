//! The rows: what is compared with what, by which figure, and what would do. Pure.
//!
//! Rows of one family share its rounds: a round measures every contender of the family once, in random
//! order, so that the two values of a pair are seconds apart.

use super::datagrams::Sender;
use super::generator::{Build, Persistence, Tool};
use super::server::{Dut, Layer};
use super::window::Measured;

/// What is measured once a round.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Contender {
    /// A generator against nginx.
    Generator(Tool, Persistence, Pace),
    /// Memory of our generator per held connection.
    GeneratorMemory(Tool),
    /// A load balancer in front of the reflectors.
    Balancer(Dut, Mode, Pace),
    /// Memory of a load balancer per idle client connection.
    BalancerMemory(Dut),
    /// A sender of datagrams with so many bytes of payload.
    Datagrams(Sender, u16),
    /// Memory of our generator per stream of datagrams.
    StreamMemory(Build),
}

/// How fast.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// As fast as it goes, in a closed loop.
    Closed,
    /// At so many per cent of what the slowest can do, in an open loop.
    Percent(u8),
}

/// How a load balancer is used.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Mode {
    /// HTTP on kept connections.
    KeepAlive,
    /// HTTP, one request per connection, which the client closes.
    Close,
    /// TCP proxy, transactions on kept connections.
    TcpKeepAlive,
    /// TCP proxy, one transaction per connection, which the client closes.
    TcpClose,
}

impl Mode {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::KeepAlive, Self::Close, Self::TcpKeepAlive, Self::TcpClose];

    /// Word in names of rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Close => "close",
            Self::TcpKeepAlive => "tcp",
            Self::TcpClose => "tcp-close",
        }
    }

    /// What the load balancer looks at.
    pub(crate) fn layer(self) -> Layer {
        match self {
            Self::KeepAlive | Self::Close => Layer::Http,
            Self::TcpKeepAlive | Self::TcpClose => Layer::Tcp,
        }
    }

    /// What becomes of client connections.
    pub(crate) fn persistence(self) -> Persistence {
        match self {
            Self::KeepAlive | Self::TcpKeepAlive => Persistence::Kept,
            Self::Close | Self::TcpClose => Persistence::ClientFin,
        }
    }
}

impl Contender {
    /// Name in tables.
    pub(crate) fn name(&self) -> String {
        let end = |persistence: &Persistence| match persistence {
            Persistence::Kept => "kept",
            Persistence::ServerFin => "server-fin",
            Persistence::ClientFin => "client-fin",
        };
        let pace = |pace: &Pace| match pace {
            Pace::Closed => String::new(),
            Pace::Percent(percent) => format!(" at {percent} %"),
        };
        match self {
            Self::Generator(Tool::Loadgen { build, engine }, persistence, at) => {
                let engine = engine.map(|engine| format!(" {engine}")).unwrap_or_default();
                format!("loadgen{}{engine} {}{}", build.label, end(persistence), pace(at))
            }
            Self::Generator(tool, persistence, at) => format!("{} {}{}", tool.name(), end(persistence), pace(at)),
            Self::GeneratorMemory(tool) => format!("{} memory", tool.name()),
            Self::Balancer(Dut::Lb(build), mode, at) => format!("lb{} {}{}", build.label, mode.name(), pace(at)),
            Self::Balancer(dut, mode, at) => format!("{} {}{}", dut.name(), mode.name(), pace(at)),
            Self::BalancerMemory(dut) => format!("{} memory", dut.name()),
            Self::Datagrams(sender, payload) => format!("{} {payload} B", sender.name()),
            Self::StreamMemory(_) => "loadgen udp memory".to_owned(),
        }
    }
}

/// Which figure of a measurement a row shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Figure {
    /// Transactions per CPU-second of the generator.
    PerGeneratorCpu,
    /// CPU time of the generator per transaction.
    GeneratorTime,
    /// Transactions per CPU-second of the DUT.
    PerDutCpu,
    /// Transactions per second.
    Rate,
    /// Median response time.
    P50,
    /// 99th percentile of the response time.
    P99,
    /// User memory per connection.
    Memory,
    /// Datagrams per CPU-second of the sender.
    FramesPerCpu,
    /// User memory per stream of datagrams.
    StreamMemory,
}

impl Figure {
    /// Its unit.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::PerGeneratorCpu => "transactions per generator CPU-s",
            Self::GeneratorTime => "generator CPU µs per transaction",
            Self::PerDutCpu => "transactions per DUT CPU-s",
            Self::Rate => "transactions/s",
            Self::P50 => "response time p50, µs",
            Self::P99 => "response time p99, µs",
            Self::Memory => "bytes per connection",
            Self::FramesPerCpu => "frames per sender CPU-s",
            Self::StreamMemory => "bytes per stream",
        }
    }

    /// Its value in a measurement.
    pub(crate) fn of(self, measured: &Measured) -> f64 {
        match self {
            Self::PerGeneratorCpu | Self::FramesPerCpu => 1e6 / measured.generator_us,
            Self::GeneratorTime => measured.generator_us,
            Self::PerDutCpu => 1e6 / measured.server_us,
            Self::Rate => measured.rate,
            Self::P50 => measured.p50_us,
            Self::P99 => measured.p99_us,
            Self::Memory | Self::StreamMemory => measured.bytes,
        }
    }
}

/// What a row has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// Nothing: it informs.
    Information,
    /// The ratio of ours to the peer's, at least.
    RatioMin(f64),
    /// The same, at most.
    RatioMax(f64),
    /// Our own value, at most.
    OursMax(f64),
}

/// What else has to hold for a row to count as met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Demand {
    /// Our rate is at most 3 % below the peer's.
    SameRate,
    /// The whole machine is busy at most 1.03 × as long per transaction.
    SameMachine,
    /// The interval of the ratio lies above 0.95.
    IntervalAbove95,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Whose rounds it shares.
    pub(crate) family: String,
    /// Its name.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) figure: Figure,
    /// Ours.
    pub(crate) ours: Contender,
    /// The other one.
    pub(crate) peer: Option<Contender>,
    /// What would do.
    pub(crate) bar: Bar,
    /// What else has to hold.
    pub(crate) demands: Vec<Demand>,
}

/// All rows, for our programs, and for another build of them if there is one.
pub(crate) fn rows(own: &Build, other: Option<&Build>) -> Vec<Spec> {
    let mut rows = generator_rows(own);
    Mode::ALL.iter().for_each(|&mode| rows.extend(balancer_rows(own, mode)));
    rows.extend(memory_rows(own));
    rows.extend(datagram_rows(own));
    rows.extend(other.map(|other| profile_rows(own, other)).unwrap_or_default());
    rows
}

/// The families of rows, each once, in the order of its first row.
pub(crate) fn families(rows: &[Spec]) -> Vec<&str> {
    let mut families: Vec<&str> = Vec::new();
    for row in rows {
        if !families.contains(&row.family.as_str()) {
            families.push(&row.family);
        }
    }
    families
}

fn loadgen(build: &Build, engine: Option<&'static str>) -> Tool {
    Tool::Loadgen { build: build.clone(), engine }
}

fn generator_rows(own: &Build) -> Vec<Spec> {
    let closed = |tool: Tool, persistence| Contender::Generator(tool, persistence, Pace::Closed);
    let ours = |persistence| closed(loadgen(own, None), persistence);
    let same = [Demand::SameRate, Demand::SameMachine];
    let row = |family: &str, name: &str, ours: Contender, peer: Contender, bar, demands: &[Demand]| Spec {
        family: family.to_owned(),
        name: name.to_owned(),
        figure: Figure::PerGeneratorCpu,
        ours,
        peer: Some(peer),
        bar,
        demands: demands.to_vec(),
    };
    let (kept, server, client) = (Persistence::Kept, Persistence::ServerFin, Persistence::ClientFin);
    let (keep, close) = ("generator-keep-alive", "generator-close");
    let half = Contender::Generator(loadgen(own, None), kept, Pace::Percent(50));
    let uring = |persistence| closed(loadgen(own, Some("uring")), persistence);
    let information = Bar::Information;
    let open = row(keep, "generator-open-loop", half, ours(kept), Bar::RatioMax(1.3), &[]);
    vec![
        row(keep, "generator-keep-alive", ours(kept), closed(Tool::Wrk, kept), Bar::RatioMin(1.1), &same),
        row(keep, "generator-keep-alive-ab", ours(kept), closed(Tool::Ab, kept), information, &[]),
        row(keep, "generator-keep-alive-h2load", ours(kept), closed(Tool::H2load, kept), information, &[]),
        Spec { figure: Figure::GeneratorTime, ..open },
        row(close, "generator-server-fin", ours(server), closed(Tool::Wrk, server), Bar::RatioMin(1.0), &same),
        row(close, "generator-client-fin", ours(client), closed(Tool::Wrk, server), Bar::RatioMin(0.85), &same),
        row(close, "generator-close-ab", ours(server), closed(Tool::Ab, server), information, &[]),
        row(close, "generator-close-h2load", ours(server), closed(Tool::H2load, server), information, &[]),
        row(close, "uring-server-fin", uring(server), ours(server), Bar::RatioMin(1.15), &[]),
        row(close, "uring-client-fin", uring(client), ours(client), Bar::RatioMin(1.15), &[]),
        row(keep, "uring-keep-alive", uring(kept), ours(kept), information, &[]),
    ]
}

fn balancer_rows(own: &Build, mode: Mode) -> Vec<Spec> {
    let balancer = |dut: Dut, pace| Contender::Balancer(dut, mode, pace);
    let lb = || Dut::Lb(own.clone());
    let name = mode.name();
    let row = |family: &str, name: String, figure, pace, peer: Dut, bar| Spec {
        family: family.to_owned(),
        name,
        figure,
        ours: balancer(lb(), pace),
        peer: Some(balancer(peer, pace)),
        bar,
        demands: Vec::new(),
    };
    let bar = if mode.layer() == Layer::Tcp { 0.95 } else { 1.0 };
    let mut rows = Vec::new();
    for percent in [50, 85] {
        let (pace, family) = (Pace::Percent(percent), format!("lb-{name}-{percent}"));
        let cost =
            |peer: Dut, bar| row(&family, format!("{family}-{}", peer.name()), Figure::PerDutCpu, pace, peer, bar);
        let latency = |word: &str, figure| {
            row(&family, format!("{family}-{word}"), figure, pace, Dut::Haproxy, Bar::RatioMax(1.1))
        };
        let demands = vec![Demand::SameRate, Demand::IntervalAbove95];
        rows.push(Spec { demands, ..cost(Dut::Haproxy, Bar::RatioMin(bar)) });
        rows.push(latency("p50", Figure::P50));
        rows.push(latency("p99", Figure::P99));
        if mode != Mode::TcpClose {
            // It is beside the question there, and the table takes long enough.
            rows.push(cost(Dut::Nginx, Bar::Information));
        }
    }
    let family = format!("lb-{name}-max");
    let most = |peer: Dut, word: &str| {
        row(&family, format!("{family}-{word}"), Figure::Rate, Pace::Closed, peer, Bar::Information)
    };
    rows.extend([most(Dut::Haproxy, "haproxy"), most(Dut::Nginx, "nginx"), most(Dut::Direct, "testbed")]);
    rows
}

fn memory_rows(own: &Build) -> Vec<Spec> {
    let row = |name: &str, ours, peer, bar| Spec {
        family: name.split('/').next().unwrap_or(name).to_owned(),
        name: name.replace('/', "-"),
        figure: Figure::Memory,
        ours,
        peer,
        bar,
        demands: Vec::new(),
    };
    let lb = || Contender::BalancerMemory(Dut::Lb(own.clone()));
    let peer = |dut| Some(Contender::BalancerMemory(dut));
    vec![
        row("memory-generator", Contender::GeneratorMemory(loadgen(own, None)), None, Bar::OursMax(1024.0)),
        row("memory-lb/haproxy", lb(), peer(Dut::Haproxy), Bar::OursMax(1.5 * 1024.0)),
        row("memory-lb/nginx", lb(), peer(Dut::Nginx), Bar::Information),
    ]
}

/// Per cent of iperf3's rate that none of ours reaches: it then sends as fast as it can, as iperf3 does.
const MORE_THAN_ALL: u32 = 200;

fn datagram_rows(own: &Build) -> Vec<Spec> {
    let ours =
        |echo, percent, payload| Contender::Datagrams(Sender::Loadgen { build: own.clone(), echo, percent }, payload);
    let row = |name: &str, ours, payload, bar| Spec {
        family: format!("udp-{payload}"),
        name: name.to_owned(),
        figure: Figure::FramesPerCpu,
        ours,
        peer: Some(Contender::Datagrams(Sender::Iperf3, payload)),
        bar,
        demands: Vec::new(),
    };
    let memory = Spec {
        family: "udp-memory".to_owned(),
        name: "udp-memory".to_owned(),
        figure: Figure::StreamMemory,
        ours: Contender::StreamMemory(own.clone()),
        peer: None,
        bar: Bar::OursMax(256.0),
        demands: Vec::new(),
    };
    vec![
        row("udp-18-iperf3", ours(false, MORE_THAN_ALL, 18), 18, Bar::RatioMin(1.2)),
        row("udp-18-half-iperf3", ours(false, 50, 18), 18, Bar::Information),
        row("udp-18-with-answers-half-iperf3", ours(true, 50, 18), 18, Bar::Information),
        row("udp-1472-iperf3", ours(false, MORE_THAN_ALL, 1_472), 1_472, Bar::Information),
        memory,
    ]
}

/// The other build of our programs beside this one: "ours" is the other.
fn profile_rows(own: &Build, other: &Build) -> Vec<Spec> {
    let [own, other] = &[own, other].map(labelled);
    let generator = |build, persistence| Contender::Generator(loadgen(build, None), persistence, Pace::Closed);
    let balancer = |build: &Build, mode| Contender::Balancer(Dut::Lb(build.clone()), mode, Pace::Percent(50));
    let row = |name: &str, figure, pair: [Contender; 2]| {
        let [ours, peer] = pair;
        let (family, name) = (name.to_owned(), name.to_owned());
        Spec { family, name, figure, ours, peer: Some(peer), bar: Bar::RatioMin(0.95), demands: Vec::new() }
    };
    let generators = |persistence| [other, own].map(|build| generator(build, persistence));
    let balancers = |mode| [other, own].map(|build| balancer(build, mode));
    vec![
        row("profile-generator-keep-alive", Figure::PerGeneratorCpu, generators(Persistence::Kept)),
        row("profile-generator-close", Figure::PerGeneratorCpu, generators(Persistence::ClientFin)),
        row("profile-lb-keep-alive", Figure::PerDutCpu, balancers(Mode::KeepAlive)),
        row("profile-lb-close", Figure::PerDutCpu, balancers(Mode::Close)),
    ]
}

/// With the name of its folder: cargo puts each profile into one of its own.
fn labelled(build: &Build) -> Build {
    let folder = build.path.parent().and_then(|folder| folder.file_name()).unwrap_or_default();
    Build { path: build.path.clone(), label: format!(" ({})", folder.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(path: &str) -> Build {
        Build { path: path.into(), label: String::new() }
    }

    #[test]
    fn names_are_unique_and_a_row_compares_two_different_things() {
        let rows = rows(&build("target/release/peers"), Some(&build("target/debug/peers")));
        let mut names: Vec<_> = rows.iter().map(|row| row.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), rows.len());
        let same = |row: &Spec| row.peer.as_ref().is_some_and(|peer| peer.name() == row.ours.name());
        assert!(!rows.iter().any(same), "{rows:?}");
    }

    #[test]
    fn a_family_is_measured_once() {
        let rows = rows(&build("a"), None);
        let mut families = families(&rows);
        let count = families.len();
        assert_eq!(families[..2], ["generator-keep-alive", "generator-close"]);
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count);
    }

    #[test]
    fn every_bar_has_its_row() {
        let rows = rows(&build("a"), None);
        let bar = |name: &str| rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}")).bar;
        assert_eq!(bar("generator-keep-alive"), Bar::RatioMin(1.1));
        assert_eq!(bar("generator-server-fin"), Bar::RatioMin(1.0));
        assert_eq!(bar("generator-client-fin"), Bar::RatioMin(0.85));
        assert_eq!(bar("generator-open-loop"), Bar::RatioMax(1.3));
        assert_eq!(bar("memory-generator"), Bar::OursMax(1024.0));
        assert_eq!(bar("memory-lb-haproxy"), Bar::OursMax(1536.0));
        assert_eq!(bar("udp-18-iperf3"), Bar::RatioMin(1.2));
        assert_eq!(bar("udp-memory"), Bar::OursMax(256.0));
        for (mode, least) in [("keep-alive", 1.0), ("close", 1.0), ("tcp", 0.95), ("tcp-close", 0.95)] {
            for percent in [50, 85] {
                assert_eq!(bar(&format!("lb-{mode}-{percent}-haproxy")), Bar::RatioMin(least));
                assert_eq!(bar(&format!("lb-{mode}-{percent}-p50")), Bar::RatioMax(1.1));
                assert_eq!(bar(&format!("lb-{mode}-{percent}-p99")), Bar::RatioMax(1.1));
            }
        }
    }
}
