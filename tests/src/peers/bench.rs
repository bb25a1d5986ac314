//! The rounds: every contender of a family once per round, in an order fixed by the seed.
//!
//! Servers start when the first contender needs them and stay. One core has what is loaded (nginx or
//! the load balancer), another one everything else.

use std::path::Path;
use std::time::Duration;

use wire::hash::SplitMix64;

use super::datagrams::{self, Place, Sender};
use super::generator::{Amount, Build, Load, Persistence, Tool};
use super::memory;
use super::plan::{Contender, Mode, Pace};
use super::process::{Folder, Program};
use super::server::{Balancer, Dut, Layer, Reflectors, WebServer};
use super::statistics::median;
use super::trouble::Trouble;
use super::window::{Measured, Referee, measure};

/// Connections of a closed loop, and of an open one that keeps them.
const CONNECTIONS: u32 = 64;
/// Most connections of an open loop with one request per connection.
const SLOTS: u32 = 256;
/// Rounds that find out what is most.
const MAXIMUM_ROUNDS: usize = 3;
/// What the reflectors are asked for.
const OBJECT: &str = "/?s=1k";
/// Failures in a row after which a contender is not tried again.
const PATIENCE: u32 = 2;

/// How to measure.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Rounds, at least 1.
    pub(crate) rounds: usize,
    /// Length of the window that is measured.
    pub(crate) window: Duration,
    /// Fixes the order.
    pub(crate) seed: u64,
    /// What plays our programs.
    pub(crate) build: Build,
    /// Where generators and reflectors run.
    pub(crate) generator_core: usize,
    /// Where nginx or the load balancer runs.
    pub(crate) server_core: usize,
}

/// One measurement as it goes to the file of rounds.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    /// Whose rounds.
    pub(crate) family: String,
    /// Which, from 1.
    pub(crate) round: usize,
    /// Place in the round, from 1.
    pub(crate) place: usize,
    /// Who.
    pub(crate) contender: String,
    /// What.
    pub(crate) measured: Measured,
}

/// What the rounds of some contenders gave.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    contenders: Vec<Contender>,
    measured: Vec<Vec<Option<Measured>>>,
    troubles: Vec<Option<String>>,
}

impl Rounds {
    /// The rounds of one contender; empty if it took no part.
    pub(crate) fn of(&self, contender: &Contender) -> &[Option<Measured>] {
        self.at(contender).map_or(&[], |at| self.measured[at].as_slice())
    }

    /// The last thing that went wrong with one.
    pub(crate) fn trouble(&self, contender: &Contender) -> Option<&str> {
        self.troubles[self.at(contender)?].as_deref()
    }

    fn at(&self, contender: &Contender) -> Option<usize> {
        self.contenders.iter().position(|known| known == contender)
    }

    /// Median rate of one.
    fn rate(&self, contender: &Contender) -> Option<f64> {
        median(&self.of(contender).iter().flatten().map(|measured| measured.rate).collect::<Vec<_>>())
    }
}

/// Servers that run, and what has been found out.
#[derive(Debug)]
pub(crate) struct Bench {
    settings: Settings,
    // Programs before the folder, which goes last.
    web: Option<WebServer>,
    balancers: Vec<(Dut, Layer, Balancer)>,
    reflectors: Option<Reflectors>,
    maxima: Vec<(Mode, Rounds)>,
    web_maximum: Option<f64>,
    /// Datagrams per second that iperf3 sends at most, by their payload.
    iperf3_maxima: Vec<(u16, f64)>,
    shuffler: SplitMix64,
    /// Every measurement so far.
    pub(crate) raw: Vec<Raw>,
    /// What a reader of the table has to know.
    pub(crate) notes: Vec<String>,
    /// Told about progress.
    say: fn(&str),
    folder: Folder,
}

impl Bench {
    /// Nothing runs yet.
    pub(crate) fn new(settings: Settings, say: fn(&str)) -> Result<Self, Trouble> {
        Ok(Self {
            shuffler: SplitMix64::new(settings.seed),
            settings,
            web: None,
            balancers: Vec::new(),
            reflectors: None,
            maxima: Vec::new(),
            web_maximum: None,
            iperf3_maxima: Vec::new(),
            raw: Vec::new(),
            notes: Vec::new(),
            say,
            folder: Folder::create()?,
        })
    }

    /// Measures all contenders of a family in each round.
    pub(crate) fn rounds(&mut self, family: &str, contenders: &[Contender]) -> Rounds {
        if let Some(Contender::Balancer(_, mode, Pace::Closed)) = contenders.first() {
            return self.maximum(*mode);
        }
        self.interleave(family, contenders, self.settings.rounds)
    }

    fn interleave(&mut self, family: &str, contenders: &[Contender], rounds: usize) -> Rounds {
        let count = contenders.len();
        let mut found =
            Rounds { contenders: contenders.to_vec(), measured: vec![Vec::new(); count], troubles: vec![None; count] };
        let mut failures = vec![0; count];
        for round in 1..=rounds {
            let order = self.shuffler.order(count);
            for (place, at) in order.into_iter().enumerate() {
                let name = contenders[at].name();
                if failures[at] >= PATIENCE {
                    found.measured[at].push(None);
                    continue;
                }
                (self.say)(&format!("{family}: round {round} of {rounds}: {name}"));
                match self.measure(&contenders[at]) {
                    Ok(measured) => {
                        failures[at] = 0;
                        let (family, contender) = (family.to_owned(), name);
                        self.raw.push(Raw { family, round, place: place + 1, contender, measured });
                        found.measured[at].push(Some(measured));
                    }
                    Err(trouble) => {
                        failures[at] = if trouble.is_lasting() { PATIENCE } else { failures[at] + 1 };
                        (self.say)(&format!("{family}: {name}: {}", trouble.full()));
                        found.troubles[at] = Some(trouble.full());
                        found.measured[at].push(None);
                    }
                }
            }
        }
        found
    }

    fn measure(&mut self, contender: &Contender) -> Result<Measured, Trouble> {
        match contender {
            Contender::Generator(tool, persistence, pace) => self.generator(tool, *persistence, *pace),
            Contender::Balancer(dut, mode, pace) => self.balancer(dut, *mode, *pace),
            Contender::Datagrams(Sender::Iperf3, payload) => datagrams::measure_iperf3(*payload, self.place()),
            Contender::Datagrams(Sender::Loadgen { build, echo, percent }, payload) => {
                let fps = self.iperf3_maximum(*payload)? * f64::from(*percent) / 100.0;
                let measured = datagrams::measure_ours(build, *echo, *payload, fps, self.place())?;
                // Nobody expects more than all to be carried.
                Ok(Measured { offered: if *percent > 100 { 0.0 } else { fps }, ..measured })
            }
            Contender::StreamMemory(build) => datagrams::memory(build, self.place()),
            Contender::GeneratorMemory(tool) => {
                let core = self.settings.generator_core;
                self.web()?;
                let Some(web) = &mut self.web else { return Err(absent()) };
                memory::of_generator(tool, web, core, self.folder.path())
            }
            Contender::BalancerMemory(dut) => {
                let core = self.settings.server_core;
                self.reflectors()?;
                let Some(reflectors) = &self.reflectors else { return Err(absent()) };
                // A new one each time: memory that was given back would hide what a connection costs.
                memory::of_balancer(Balancer::start(dut, Layer::Http, reflectors, core, &self.folder)?)
            }
        }
    }

    fn generator(&mut self, tool: &Tool, persistence: Persistence, pace: Pace) -> Result<Measured, Trouble> {
        check_engine(tool)?;
        let amount = match pace {
            Pace::Closed => Amount::Closed(CONNECTIONS),
            Pace::Percent(percent) => Amount::Rate(self.web_maximum()? * f64::from(percent) / 100.0, CONNECTIONS),
        };
        self.web()?;
        let Some(web) = &self.web else { return Err(absent()) };
        let address = if persistence == Persistence::ServerFin { web.close } else { web.keep };
        let load = self.load(address.to_string(), "/", persistence, amount);
        self.one_round(tool, &load, &web.program, &web.referee)
    }

    fn balancer(&mut self, dut: &Dut, mode: Mode, pace: Pace) -> Result<Measured, Trouble> {
        let amount = match pace {
            Pace::Closed => Amount::Closed(CONNECTIONS),
            Pace::Percent(percent) => {
                let slots = if mode.persistence() == Persistence::Kept { CONNECTIONS } else { SLOTS };
                Amount::Rate(self.slowest(mode)? * f64::from(percent) / 100.0, slots)
            }
        };
        self.reflectors()?;
        self.start_balancer(dut, mode.layer())?;
        let Some(reflectors) = &self.reflectors else { return Err(absent()) };
        let started = self.balancers.iter().find(|(known, layer, _)| known == dut && *layer == mode.layer());
        let (address, server) = match started {
            Some((_, _, balancer)) => (balancer.address, &balancer.program),
            None => (reflectors.addresses[0], &reflectors.programs[0]),
        };
        let tool = Tool::Loadgen { build: self.settings.build.clone(), engine: None };
        let load = self.load(address.to_string(), OBJECT, mode.persistence(), amount);
        self.one_round(&tool, &load, server, &reflectors.referee)
    }

    fn load<'a>(&self, address: String, path: &'a str, persistence: Persistence, amount: Amount) -> Load<'a> {
        Load { address, path, persistence, amount, window: self.settings.window }
    }

    fn one_round(
        &self,
        tool: &Tool,
        load: &Load<'_>,
        server: &Program,
        referee: &Referee,
    ) -> Result<Measured, Trouble> {
        let folder = self.folder.path();
        let mut program = tool.start(load, self.settings.generator_core, folder)?;
        let mut measured = measure(&mut program, server, referee, load.window)?;
        if let Amount::Rate(offered, _) = load.amount {
            measured.offered = offered;
        }
        tool.finish(program, folder, &mut measured)?;
        Ok(measured)
    }

    fn place(&self) -> Place<'_> {
        let Settings { generator_core, server_core, window, .. } = self.settings;
        Place { sender_core: generator_core, receiver_core: server_core, folder: self.folder.path(), window }
    }

    /// What iperf3 sends at most, measured once.
    fn iperf3_maximum(&mut self, payload: u16) -> Result<f64, Trouble> {
        if let Some((_, rate)) = self.iperf3_maxima.iter().find(|(known, _)| *known == payload) {
            return Ok(*rate);
        }
        let rate = datagrams::measure_iperf3(payload, self.place())?.rate;
        self.notes.push(format!(
            "udp-{payload}: iperf3 sends {rate:.0} frames/s; what loadgen is asked for follows from that"
        ));
        self.iperf3_maxima.push((payload, rate));
        Ok(rate)
    }

    fn web(&mut self) -> Result<(), Trouble> {
        if self.web.as_mut().is_none_or(|web| web.program.check().is_err()) {
            self.web = Some(WebServer::start(self.settings.server_core, &self.folder)?);
        }
        Ok(())
    }

    fn reflectors(&mut self) -> Result<(), Trouble> {
        let is_dead = |programs: &mut Vec<Program>| programs.iter_mut().any(|program| program.check().is_err());
        if self.reflectors.as_mut().is_none_or(|reflectors| is_dead(&mut reflectors.programs)) {
            // Load balancers know only the addresses of the old ones.
            self.balancers.clear();
            let (executable, core) = (&self.settings.build.path, self.settings.generator_core);
            self.reflectors = Some(Reflectors::start(executable, core, &self.folder)?);
        }
        Ok(())
    }

    fn start_balancer(&mut self, dut: &Dut, layer: Layer) -> Result<(), Trouble> {
        self.balancers.retain_mut(|(_, _, balancer)| balancer.program.check().is_ok());
        let is_there = self.balancers.iter().any(|(known, at, _)| known == dut && *at == layer);
        if let (Some(reflectors), false, false) = (&self.reflectors, is_there, *dut == Dut::Direct) {
            let balancer = Balancer::start(dut, layer, reflectors, self.settings.server_core, &self.folder)?;
            self.balancers.push((dut.clone(), layer, balancer));
        }
        Ok(())
    }

    /// What everybody can do at most in a mode, measured once.
    fn maximum(&mut self, mode: Mode) -> Rounds {
        if let Some((_, rounds)) = self.maxima.iter().find(|(known, _)| *known == mode) {
            return rounds.clone();
        }
        let contenders: Vec<_> = self.duts().map(|dut| Contender::Balancer(dut, mode, Pace::Closed)).into();
        let family = format!("lb-{}-max", mode.name());
        let rounds = self.interleave(&family, &contenders, MAXIMUM_ROUNDS.min(self.settings.rounds));
        let rates: Vec<String> = contenders
            .iter()
            .filter_map(|contender| Some(format!("{} {:.0}/s", contender.name(), rounds.rate(contender)?)))
            .collect();
        let slowest = contenders.iter().filter_map(|contender| rounds.rate(contender)).fold(f64::INFINITY, f64::min);
        self.notes.push(format!(
            "{family}: closed loop, {CONNECTIONS} connections: {}; 50 % and 85 % of the slowest: {:.0}/s and {:.0}/s",
            rates.join(", "),
            slowest * 0.5,
            slowest * 0.85,
        ));
        self.maxima.push((mode, rounds.clone()));
        rounds
    }

    fn duts(&self) -> [Dut; 4] {
        [Dut::Lb(self.settings.build.clone()), Dut::Haproxy, Dut::Nginx, Dut::Direct]
    }

    /// The rate of the slowest of all load balancers and the testbed alone.
    fn slowest(&mut self, mode: Mode) -> Result<f64, Trouble> {
        let rounds = self.maximum(mode);
        let rates = rounds.contenders.iter().filter_map(|contender| rounds.rate(contender));
        let slowest = rates.fold(f64::INFINITY, f64::min);
        let unknown = || Trouble::Lost(format!("no maximum of {} was measured", mode.name()));
        Some(slowest).filter(|rate| rate.is_finite()).ok_or_else(unknown)
    }

    /// The most that nginx answered on kept connections, whoever asked.
    fn web_maximum(&mut self) -> Result<f64, Trouble> {
        if let Some(rate) = self.web_maximum {
            return Ok(rate);
        }
        let ours = Tool::Loadgen { build: self.settings.build.clone(), engine: None };
        let contenders = [ours, Tool::Wrk].map(|tool| Contender::Generator(tool, Persistence::Kept, Pace::Closed));
        let rounds = self.interleave("nginx-max", &contenders, MAXIMUM_ROUNDS.min(self.settings.rounds));
        let rate = contenders.iter().filter_map(|contender| rounds.rate(contender)).fold(0.0, f64::max);
        if rate == 0.0 {
            return Err(Trouble::Lost("no maximum of nginx was measured".to_owned()));
        }
        self.notes.push(format!("nginx-max: {rate:.0}/s on kept connections"));
        self.web_maximum = Some(rate);
        Ok(rate)
    }
}

fn absent() -> Trouble {
    Trouble::Lost("a server that was started is gone".to_owned())
}

/// That our generator knows the engine.
fn check_engine(tool: &Tool) -> Result<(), Trouble> {
    let Tool::Loadgen { build, engine: Some(engine) } = tool else { return Ok(()) };
    if help_of(&build.path).contains("--engine") {
        return Ok(());
    }
    Err(Trouble::NotAvailable(format!("loadgen has no --engine {engine}")))
}

fn help_of(executable: &Path) -> String {
    let output = super::process::own(executable, "loadgen", ["run", "--help"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
