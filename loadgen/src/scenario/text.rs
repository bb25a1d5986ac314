//! A plan as text: `plan.toml` of a run folder, and what `loadgen check` says.
//!
//! `plan.toml` is a scenario file again, with every default written out, so that a run can be
//! repeated from its folder after the defaults of a later version have changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use wire::hash::fnv1a;
use wire::units::{Rate, Span};

use super::compliance;
use super::file::{
    ClientsFile, ExpectFile, GoalFile, HeadFile, LinksFile, LoadFile, PhasesFile, ScenarioFile, SearchFile,
    TestbedFile, WorkloadFile,
};
use super::label::final_sustain;
use super::plan::{
    Arrivals, CloseMode, Dut, DutKind, Engine, Expectation, GoalPlan, LinksPlan, LoadPlan, Network, Pattern, Plan,
    Profile, SearchPlan, StartLoad, Unit, WorkloadKind,
};
use super::words::{AmountFile, ExpectText, PatternFile, StartFile};

mod frames;

/// Says whether two plans ask the same question: equal for equal plans, whatever their DUT.
/// 64 bits of FNV-1a over the plan's JSON, as 16 hexadecimal digits; it tells apart what
/// differs by accident and is no defence against intent.
pub fn fingerprint(plan: &Plan) -> String {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    if let Some(testbed) = value.get_mut("testbed").and_then(serde_json::Value::as_object_mut) {
        testbed.remove("dut");
    }
    format!("{:016x}", fnv1a(value.to_string().bytes()))
}

/// The resolved plan as a scenario file. The DUT is named by its file, to be found beside it.
pub fn plan_text(plan: &Plan) -> String {
    let compliance = compliance(plan);
    let mut text = format!("# The resolved plan: {} with every default written out.\n", plan.name);
    let _ = writeln!(text, "# label: {}", compliance.label);
    for deviation in &compliance.deviations {
        let _ = writeln!(text, "# deviation: {deviation}");
    }
    let file = ScenarioFile {
        scenario: HeadFile {
            name: Some(plan.name.clone()),
            question: Some(plan.question.clone()),
            seed: Some(plan.seed),
            profile: Some(profile_word(plan.profile).to_owned()),
        },
        testbed: testbed(plan),
        clients: ClientsFile { source_networks: Some(plan.testbed.source_networks.clone()) },
        workload: workload(plan),
        load: load(&plan.load),
        search: search(&plan.search),
        expect: expect(&plan.expect),
        versus: None,
        suite: plan.suite.as_ref().map(frames::suite),
    };
    match toml::to_string(&file) {
        Ok(body) => text + &body,
        Err(error) => text + "# cannot be written out: " + &error.to_string() + "\n",
    }
}

/// What a run of the plan would do, for a person; a few lines.
pub fn summary(plan: &Plan) -> String {
    let compliance = compliance(plan);
    let mut text = format!("{}: {}\n", plan.name, plan.question);
    let mut line = |head: &str, words: String| {
        let _ = writeln!(text, "  {head:<11}{words}");
    };
    line("testbed", testbed_words(plan));
    line("workload", workload_words(plan));
    if let WorkloadKind::Udp(udp) = &plan.workload.kind {
        frames::frame_words(plan, udp).into_iter().for_each(|words| line("", words));
    }
    line("load", load_words(&plan.load));
    line("search", search_words(plan));
    if let Some(suite) = &plan.suite {
        line("suite", frames::suite_words(suite));
    }
    let expected: Vec<&str> = plan.expect.iter().map(|expectation| expectation.text.as_str()).collect();
    line("expect", if expected.is_empty() { "nothing stated".to_owned() } else { expected.join(", ") });
    line("label", compliance.label.to_owned());
    for deviation in compliance.deviations {
        line("", deviation);
    }
    text
}

fn testbed_words(plan: &Plan) -> String {
    let testbed = &plan.testbed;
    let dut = match &testbed.dut.kind {
        DutKind::None => "no DUT".to_owned(),
        DutKind::Reference { workers, .. } => format!("{} (reference LB, {workers} worker(s))", testbed.dut.name),
        DutKind::Command { start, workers, .. } => {
            let workers = workers.map(|workers| format!(", {workers} worker(s)")).unwrap_or_default();
            format!("{} (runs {}{workers})", testbed.dut.name, start.join(" "))
        }
        DutKind::Kernel { .. } => format!("{}: the kernel of a namespace", testbed.dut.name),
        DutKind::External { address } => format!("{address}, which is already there"),
    };
    let reflectors = match (testbed.reflectors, testbed.remote_reflectors.len()) {
        (0, 0) => "no reflectors: no ledger, no ceiling, bodies verified by length".to_owned(),
        (own, 0) => format!("{own} reflector(s)"),
        (own, remote) => format!("{own} reflector(s), {remote} remote"),
    };
    let network = testbed.network.name();
    format!("{network}; {dut}; {reflectors}")
}

fn workload_words(plan: &Plan) -> String {
    let workload = &plan.workload;
    let protocol = match &workload.kind {
        WorkloadKind::Tcp => "tcp, no bytes".to_owned(),
        WorkloadKind::Udp(udp) => return frames::workload_words(plan, udp),
        WorkloadKind::Http(http) => format!("http GET {}, expects {}", http.request, http.status),
    };
    let requests = match (&workload.kind, workload.requests_per_connection) {
        (WorkloadKind::Tcp, _) => String::new(),
        (_, Some(requests)) => format!(", {requests} request(s) per connection"),
        (_, None) => ", connections kept".to_owned(),
    };
    format!("{protocol}{requests}, {}", close_word(workload.close))
}

fn load_words(load: &LoadPlan) -> String {
    let amount = match (load.rate, load.count) {
        (Some(rate), _) => format!("{} ", rate.as_f64()),
        (_, Some(count)) => format!("{count} "),
        _ => String::new(),
    };
    let phases = &load.phases;
    let engine = if load.engine == Engine::Epoll { "" } else { "; engine uring (experimental)" };
    format!(
        "{amount}{}; init {}, ramp-up {}, sustain {}, ramp-down {}, drain {}{engine}",
        load.unit.name(),
        Span(phases.init),
        Span(phases.ramp_up),
        Span(phases.sustain),
        Span(phases.ramp_down),
        Span(load.drain)
    )
}

fn search_words(plan: &Plan) -> String {
    let Some(maximum) = plan.search.maximum() else {
        return match &plan.search {
            SearchPlan::Stair { steps } => format!("{steps} trials in equal steps up to this load"),
            _ => "one trial at this load".to_owned(),
        };
    };
    let start = match maximum.start {
        StartLoad::OfCeiling(share) => format!("{share} of the ceiling found without the DUT"),
        StartLoad::Absolute(load) => load.to_string(),
    };
    let steps = match &plan.search {
        SearchPlan::Bisect(_) => format!("bisect from {start} to a width of {}", maximum.width),
        SearchPlan::GoalSeek(_) => format!("goal-seek from {start} by {} while the rate gains", maximum.factor),
        search => {
            format!("{} from {start} by {} to a width of {}", search.method(), maximum.factor, maximum.width)
        }
    };
    let max = maximum.max.map(|max| format!(", at most {max}")).unwrap_or_default();
    let curve = maximum.curve.map(|curve| format!("; then a curve, {} each step", Span(curve))).unwrap_or_default();
    let plain = |goal: &GoalPlan| goal.loss.is_none() && goal.duration_sum == goal.final_sustain;
    let goals: String = match maximum.goals.as_slice() {
        [one] if plain(one) => String::new(),
        goals => goals.iter().map(goal_words).collect(),
    };
    format!(
        "{steps}{max}; confirmed over {}{goals}; budget {}; {} time(s){curve}",
        Span(final_sustain(plan)),
        Span(maximum.budget),
        maximum.repeats
    )
}

fn goal_words(goal: &GoalPlan) -> String {
    let loss = goal.loss.map_or_else(|| "[expect] failed".to_owned(), |loss| format!("{loss}"));
    let (full, sum) = (Span(goal.final_sustain), Span(goal.duration_sum));
    format!("; goal: loss {loss}, exceed {}, {full} trials, {sum} in all, width {}", goal.exceed, goal.width)
}

fn testbed(plan: &Plan) -> TestbedFile {
    let testbed = &plan.testbed;
    TestbedFile {
        network: Some(testbed.network.name().to_owned()),
        dut: Some(dut_name(&testbed.dut)),
        reflectors: Some(testbed.reflectors),
        reflector_arguments: Some(testbed.reflector_arguments.clone()),
        generator_cores: Some(testbed.generator_cores.clone()),
        allow_targets: Some(testbed.allow_targets.clone()),
        links: (testbed.network == Network::Netns).then(|| links(&testbed.links)),
    }
}

fn links(links: &LinksPlan) -> LinksFile {
    LinksFile {
        ip: Some(links.ip_version.name().to_owned()),
        mtu: Some(links.mtu),
        offloads: Some(links.offloads),
        receive_steering: Some(links.receive_steering),
        speed: links.speed_bps.and_then(|bits| format!("{bits}bit/s").parse().ok()),
    }
}

/// How a scenario names this DUT: by address, or by the file that stands beside it in a run folder.
fn dut_name(dut: &Dut) -> String {
    match &dut.kind {
        DutKind::None => "none".to_owned(),
        DutKind::External { .. } => dut.service.clone(),
        DutKind::Reference { .. } | DutKind::Command { .. } | DutKind::Kernel { .. } => format!("{}.toml", dut.name),
    }
}

fn workload(plan: &Plan) -> WorkloadFile {
    let workload = &plan.workload;
    let file = WorkloadFile {
        requests_per_connection: workload.requests_per_connection.map(std::num::NonZeroU32::get),
        close: Some(close_word(workload.close).to_owned()),
        ..WorkloadFile::default()
    };
    match &workload.kind {
        WorkloadKind::Tcp => WorkloadFile { kind: Some("tcp".to_owned()), ..file },
        WorkloadKind::Udp(udp) => frames::workload(udp, plan.suite.as_ref()),
        WorkloadKind::Http(http) => WorkloadFile {
            kind: Some("http".to_owned()),
            request: Some(http.request.clone()),
            host: Some(http.host.clone()),
            headers: Some(http.headers.iter().cloned().collect::<BTreeMap<_, _>>()),
            status: Some(http.status),
            ..file
        },
    }
}

fn load(load: &LoadPlan) -> LoadFile {
    let span = |duration: Duration| Some(Span(duration));
    let (held, frames) = (load.unit == Unit::Connections, load.unit == Unit::FramesPerSecond);
    let arrivals = if load.arrivals == Arrivals::Even { "even" } else { "poisson" };
    LoadFile {
        unit: Some(load.unit.name().to_owned()),
        rate: load.rate.map(AmountFile::Rate),
        layer: None,
        count: load.count.map(std::num::NonZeroU32::get),
        arrivals: Some(arrivals.to_owned()),
        engine: Some(load.engine.name().to_owned()),
        pattern: Some(pattern(load.pattern)),
        phases: Some(PhasesFile {
            init: span(load.phases.init),
            ramp_up: span(load.phases.ramp_up),
            sustain: span(load.phases.sustain),
            ramp_down: span(load.phases.ramp_down),
        }),
        slots: Some(load.slots.get()),
        max_lag: span(load.max_lag),
        connect_timeout: span(load.connect_timeout).filter(|_| !frames),
        response_timeout: span(load.response_timeout),
        drain: span(load.drain),
        open_rate: Some(load.open_rate).filter(|_| held),
        hold_interval: span(load.hold_interval).filter(|_| held),
    }
}

fn pattern(pattern: Pattern) -> PatternFile {
    let (shape, from, steps) = match pattern {
        Pattern::Flat => ("flat", None, None),
        Pattern::Ramp { from } => ("ramp", wire::units::Percent::from_ratio(from).ok(), None),
        Pattern::Stair { steps } => ("stair", None, Some(steps.get())),
    };
    PatternFile { shape: shape.to_owned(), from, steps }
}

fn search(search: &SearchPlan) -> SearchFile {
    let file = SearchFile { method: Some(search.method().to_owned()), ..SearchFile::default() };
    let Some(maximum) = search.maximum() else {
        let SearchPlan::Stair { steps } = search else { return file };
        return SearchFile { steps: Some(steps.get()), ..file };
    };
    let has_factor = !matches!(search, SearchPlan::Bisect(_));
    let has_width = !matches!(search, SearchPlan::GoalSeek(_));
    SearchFile {
        start: match maximum.start {
            StartLoad::OfCeiling(share) => Some(StartFile::Share(share)),
            StartLoad::Absolute(load) => rate(load).map(StartFile::Load),
        },
        factor: Some(maximum.factor).filter(|_| has_factor),
        width: Some(maximum.width).filter(|_| has_width),
        final_sustain: Some(Span(maximum.final_sustain)),
        max: maximum.max.and_then(rate),
        budget: Some(Span(maximum.budget)),
        repeats: Some(maximum.repeats.get()),
        curve: maximum.curve.map(Span),
        goal: Some(maximum.goals.iter().map(goal).collect()).filter(|goals: &Vec<GoalFile>| !goals.is_empty()),
        ..file
    }
}

fn rate(load: f64) -> Option<AmountFile> {
    Rate::per_second(load).ok().map(AmountFile::Rate)
}

fn goal(goal: &GoalPlan) -> GoalFile {
    GoalFile {
        loss: goal.loss,
        exceed: Some(goal.exceed),
        final_sustain: Some(Span(goal.final_sustain)),
        duration_sum: Some(Span(goal.duration_sum)),
        width: Some(goal.width),
    }
}

fn expect(expectations: &[Expectation]) -> ExpectFile {
    let mut file = ExpectFile::default();
    for expectation in expectations {
        // The text is "key comparison", as it was written.
        let Some((key, comparison)) = expectation.text.split_once(' ') else { continue };
        if let Some(place) = file.place(key) {
            *place = Some(ExpectText(comparison.to_owned()));
        }
    }
    file
}

fn profile_word(profile: Profile) -> &'static str {
    match profile {
        Profile::Rfc => "rfc",
        Profile::Standard => "standard",
        Profile::Ci => "ci",
    }
}

fn close_word(close: CloseMode) -> &'static str {
    match close {
        CloseMode::ClientFin => "client-fin",
        CloseMode::ServerFin => "server-fin",
        CloseMode::ClientRst => "client-rst",
    }
}
