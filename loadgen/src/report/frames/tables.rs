//! The tables of frame tests in the page.

use serde_json::{Value, json};
use wire::frame::IpVersion;

use super::books::{Directions, Way};
use super::results::{is_at_throughput, verdict};
use super::words::{delay, of_maximum, sweep as sweep_text, throughput as throughput_text, tolerated};
use super::{names, udp_of};
use crate::measure::TrialRecord;
use crate::report::rows::load_text;
use crate::report::tables::Grid;
use crate::report::text::{NOTHING, amount, count, share};
use crate::scenario::Plan;
use crate::scenario::plan::{Network, SuitePlan, Tuples, UdpPlan};
use crate::verdict::answer::Exit;
use crate::verdict::frames::{FrameResult, FrameSuite, FramesAnswer};

/// Sections that stand above all others of the page: what a suite found.
pub(in crate::report) fn first(plan: &Plan, answer: Option<&FramesAnswer>) -> Vec<Value> {
    let Some(answer) = answer else { return Vec::new() };
    let mut sections = vec![with_lines(
        section("throughput", "Throughput", &lead(plan, answer.suite), throughput(answer)),
        answer.results.iter().filter_map(letters),
    )];
    sections.extend(goals(answer).map(|grid| section("goals", "Other goals", GOALS_LEAD, grid)));
    sections
}

/// Sections behind the pictures: loss, delay, sizes, directions.
pub(in crate::report) fn more(plan: &Plan, trials: &[TrialRecord], answer: Option<&FramesAnswer>) -> Vec<Value> {
    if udp_of(plan).is_none() {
        return Vec::new();
    }
    let mut sections = Vec::new();
    if let Some(answer) = answer {
        let loss = section("loss", "Loss against load", LOSS_LEAD, sweep(answer));
        sections.push(with_lines(loss, answer.results.iter().filter_map(sweep_text)));
        if answer.suite == FrameSuite::Imix {
            sections.push(section("sizes", "Loss by size", SIZES_LEAD, sizes(answer)));
        }
        sections.push(section("delays", "Delay", DELAY_LEAD, delays(answer)));
    }
    sections.push(section("directions", "Both directions", DIRECTIONS_LEAD, directions(plan, trials)));
    sections
}

/// What the throughput is, by the loss that the first goal allows.
fn lead(plan: &Plan, suite: FrameSuite) -> String {
    let carried = match tolerated(plan) {
        None => "every frame sent came back as it was".to_owned(),
        Some(loss) => format!("{loss}, where RFC 2544, 26.1 allows no loss"),
    };
    match suite {
        FrameSuite::Rfc2544 if tolerated(plan).is_none() => {
            format!("Highest load at which {carried} (RFC 2544, 26.1), each size by itself. {RFC2544_LEAD}")
        }
        FrameSuite::Rfc2544 => format!("Highest load at which {carried}; each size by itself. {RFC2544_LEAD}"),
        FrameSuite::Imix => format!("Highest load of the mix at which {carried}. {IMIX_LEAD}"),
    }
}

const RFC2544_LEAD: &str = "MOL is what tester and reflectors reached without the DUT; bits per second are computed from the frame size: L1 with preamble and gap, L2 frames with FCS, L3 IP packets.";
const IMIX_LEAD: &str = "The result holds for this sequence only (RFC 6985); MOL is what tester and reflectors reached without the DUT; bits per second: L1 with preamble and gap, L2 frames with FCS, L3 IP packets.";
const GOALS_LEAD: &str =
    "The same trials judged by other goals (RFC 9971): so much loss, exceeded in so much of the time.";
const LOSS_LEAD: &str = "From the highest load down (RFC 2544, 26.3). Loss is counted among the frames that were sent; what the tester did not send stands beside it.";
const SIZES_LEAD: &str = "Frames due in sustain.";
const DELAY_LEAD: &str = "Round trips from user space to user space, two kernels included, from sent to answer; a lost frame counts as long as it was waited for; nothing is subtracted.";
const DIRECTIONS_LEAD: &str = "Whole trials, ramps included: what the clients counted, beside the reflectors' own books. What dropped at the tester's or the reflectors' own buffers is not booked as lost on the way.";

fn section(id: &str, title: &str, lead: &str, grid: Grid) -> Value {
    json!({ "id": id, "title": title, "lead": lead, "lines": [], "grid": grid.value() })
}

/// A section with sentences between its introduction and its table.
fn with_lines(mut section: Value, lines: impl Iterator<Item = String>) -> Value {
    section["lines"] = lines.collect();
    section
}

/// The results of a suite (RFC 2544, 26.1).
fn throughput(answer: &FramesAnswer) -> Grid {
    let head = [
        "frames",
        "frames/s",
        "verdict",
        "limited by",
        "failed at",
        "loss there",
        "width",
        "of declared",
        "of MOL",
        "L1",
        "L2",
        "L3",
        "sustain",
    ];
    let mut grid = Grid::new(&head).text(&[0, 2, 3]);
    for result in &answer.results {
        let bits = |of: fn(&crate::verdict::frames::LayerRates) -> f64| {
            result.bits_per_s.as_ref().map_or_else(|| NOTHING.to_owned(), |bits| names::bit_rate(of(bits)))
        };
        let cells = vec![
            names::sent(&result.frames),
            throughput_text(result),
            verdict(result.exit).name().to_owned(),
            result.limited_by.map_or(NOTHING, |limit| limit.name()).to_owned(),
            or_nothing(result.upper_fps, amount),
            or_nothing(result.loss_at_upper, share),
            or_nothing(result.width, share),
            of_maximum(result.fps, result.theoretical_fps),
            of_maximum(result.fps, result.mol_fps),
            bits(|bits| bits.l1),
            bits(|bits| bits.l2),
            bits(|bits| bits.l3),
            or_nothing(result.trial_s, |seconds| format!("{} s", amount(seconds))),
        ];
        grid.marked(cells, mark(result.exit));
        grid.note(remarks(result));
    }
    grid
}

fn mark(exit: Exit) -> &'static str {
    match exit {
        Exit::Met => "good",
        Exit::Missed => "bad",
        Exit::Usage | Exit::Host | Exit::Undecided | Exit::Interrupted => "open",
    }
}

/// What the letters of a mix stand for, and its mean sizes; `None` for anything else.
fn letters(result: &FrameResult) -> Option<String> {
    let frames = &result.frames;
    let (frame, ip) = (amount(frames.mean_frame), amount(frames.mean_ip));
    let letters = frames.letters_text.as_ref().map(|text| format!("{text}; ")).unwrap_or_default();
    frames.size.is_none().then(|| format!("{letters}mean {frame} B of frame, {ip} B of IP"))
}

/// What a reader of a result must know: why it is not decided, warnings.
fn remarks(result: &FrameResult) -> String {
    let why = (result.exit != Exit::Met).then(|| result.reason.clone());
    why.into_iter().chain(result.warnings.iter().cloned()).chain(no_loss(result)).collect::<Vec<_>>().join("; ")
}

/// Why the loss at the lowest load that failed is not stated.
fn no_loss(result: &FrameResult) -> Option<String> {
    let upper = result.upper_fps.filter(|_| result.loss_at_upper.is_none())?;
    Some(format!(
        "the loss at {} frames/s is not stated: no trial there counted all of its losses to the end, and the DUT's alone \
         (one that cannot pass any more ends early)",
        amount(upper)
    ))
}

fn or_nothing(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), text)
}

/// What the goals beside the first found.
fn goals(answer: &FramesAnswer) -> Option<Grid> {
    let head = ["frames", "loss up to", "exceeded", "lower", "upper", "conditional throughput", ""];
    let mut grid = Grid::new(&head).text(&[0, 6]);
    let others = |result: &FrameResult| result.goals.len() > 1;
    if !answer.results.iter().any(others) {
        return None;
    }
    for result in &answer.results {
        for goal in &result.goals {
            grid.row(vec![
                names::sent(&result.frames),
                share(goal.loss),
                share(goal.exceed),
                or_nothing(goal.lower, amount),
                or_nothing(goal.upper, amount),
                or_nothing(goal.conditional_throughput, amount),
                if goal.regular { "" } else { "irregular" }.to_owned(),
            ]);
        }
    }
    Some(grid)
}

/// The loss sweep of each result.
fn sweep(answer: &FramesAnswer) -> Grid {
    let mut grid = Grid::new(&[
        "frames",
        "load",
        "intended/s",
        "offered/s",
        "forwarded/s",
        "lost",
        "loss",
        "not sent",
        "reordered",
        "duplicates",
        "trial",
    ]);
    for result in &answer.results {
        for point in &result.sweep {
            let cells = vec![
                names::sent(&result.frames),
                format!("{} %", amount(point.load_pct)),
                amount(point.iload_fps),
                amount(point.oload_fps),
                amount(point.rx_fps),
                count(point.lost),
                share(point.loss_pct / 100.0),
                count(point.unsent),
                count(point.reordered),
                count(point.duplicates),
                point.trial.to_string(),
            ];
            grid.marked(cells, if point.valid && point.lost > 0 { "bad" } else { "" });
            if !point.valid {
                grid.note("not valid: the tester itself failed here, so this says nothing about the DUT".to_owned());
            }
        }
    }
    grid
}

/// The sizes of a mix.
fn sizes(answer: &FramesAnswer) -> Grid {
    let head = ["at", "trial", "load", "frame", "IP packet", "due", "sent", "lost", "loss"];
    let mut grid = Grid::new(&head).text(&[0]);
    let both = answer.results.iter().flat_map(|result| {
        let at_throughput = result.per_size_at_throughput.iter().map(|of| ("the throughput", of));
        at_throughput.chain(result.per_size_at_upper.iter().map(|of| ("the lowest that failed", of)))
    });
    for (at, of) in both {
        for size in &of.sizes {
            let cells = vec![
                at.to_owned(),
                of.trial.to_string(),
                format!("{}/s", amount(of.load_fps)),
                format!("{} B", size.size),
                format!("{} B", count(size.size.ip().into())),
                count(size.due),
                count(size.sent),
                count(size.lost),
                share(size.loss_pct / 100.0),
            ];
            grid.marked(cells, if size.lost > 0 { "bad" } else { "" });
        }
    }
    grid
}

/// The delays of each result.
fn delays(answer: &FramesAnswer) -> Grid {
    let head = ["of", "at", "load", "frames", "loss", "p50", "p99", "p99.9", "maximum", "trial"];
    let mut grid = Grid::new(&head).text(&[0, 1]);
    for result in &answer.results {
        for of in &result.delays {
            let at = match is_at_throughput(of) {
                true => "the throughput".to_owned(),
                false => format!("{} of it", share(of.of_throughput)),
            };
            grid.row(vec![
                names::sent(&result.frames),
                at,
                format!("{}/s", amount(of.load_fps)),
                count(of.n),
                share(of.loss_pct / 100.0),
                delay(of.p50_us),
                delay(of.p99_us),
                delay(of.p999_us),
                delay(of.max_us),
                of.trial.to_string(),
            ]);
        }
    }
    grid
}

/// Both directions of every trial.
fn directions(plan: &Plan, trials: &[TrialRecord]) -> Grid {
    let mut grid = Grid::new(&[
        "trial",
        "frames",
        "load",
        "sent",
        "forward lost",
        "loss",
        "return lost",
        "loss",
        "reordered",
        "duplicates",
        "late",
        "corrupted",
        "foreign",
        "own drops",
        "reflector drops",
    ])
    .text(&[1]);
    for record in trials {
        let Some(both) = Directions::of(record) else { continue };
        let lost = |way: Option<Way>| way.map_or_else(|| NOTHING.to_owned(), |way| count(way.lost()));
        let loss = |way: Option<Way>| or_nothing(way.and_then(Way::loss), share);
        let all = &both.frames.all;
        grid.row(vec![
            record.number.to_string(),
            names::trial(plan, record).unwrap_or_default(),
            load_text(record.load),
            count(all.sent),
            lost(both.forward()),
            loss(both.forward()),
            lost(both.back()),
            loss(both.back()),
            count(all.reordered),
            count(all.duplicates),
            count(all.late),
            count(all.corrupted),
            count(all.foreign),
            count(both.frames.own_drops),
            both.reflectors.as_ref().map_or_else(|| NOTHING.to_owned(), |books| count(books.buffer_drops)),
        ]);
    }
    grid
}

/// What a plan sends: a mix, or size after size.
fn planned(plan: &Plan, udp: &UdpPlan) -> String {
    match &plan.suite {
        Some(SuitePlan::Rfc2544 { sizes, .. }) => {
            format!(
                "{} B, one size after another",
                sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )
        }
        _ => names::mix(&udp.mix, plan.testbed.links.mtu),
    }
}

/// What a frame of a plan is, for the table of the method.
pub(in crate::report) fn method(plan: &Plan, udp: &UdpPlan) -> Vec<(&'static str, String)> {
    let tuples = match udp.tuples {
        Tuples::Fixed => "one fixed 5-tuple",
        Tuples::Sequential => "5-tuples that count up",
        Tuples::Random => "random 5-tuples from the seed (RFC 4814)",
    };
    let links = &plan.testbed.links;
    let line = match (plan.testbed.network, links.speed_bps) {
        (_, Some(bits)) => format!("{} declared; nothing enforces it", names::bit_rate(bits as f64)),
        (Network::External, None) => "not declared".to_owned(),
        (Network::Loopback | Network::Netns, None) => {
            "none: loopback and veth have no line rate, so nothing is given in percent of one".to_owned()
        }
    };
    let mut lines = vec![
        ("frames", format!("{} over {}", planned(plan, udp), names::protocol(udp.ip_version))),
        ("streams", format!("{}, {tuples}; {} due at once", udp.streams, udp.burst)),
        (
            "what a frame is",
            "a UDP datagram between kernel sockets and its echo, user space to user space; its size is that of \
             the Ethernet frame that would carry it (IP packet and 18 B), without preamble, gap, padding or FCS on \
             the way; bits per second are computed from it"
                .to_owned(),
        ),
        (
            "loss",
            "a frame that was sent and has no right answer in time; duplicates never make up for it; each \
             direction by the reflectors' own counters"
                .to_owned(),
        ),
        ("line speed", line),
    ];
    if plan.testbed.network == Network::Netns {
        let offloads = if links.offloads { "on: segments may cross as one packet" } else { "off" };
        lines.push(("links", format!("veth, MTU {} B, offloads {offloads}", count(links.mtu.into()))));
    }
    if udp.ip_version == IpVersion::V6 {
        lines
            .push(("smallest frame", "84 B over IPv6 (RFC 8219, 5.1.1): 64 B have no room for its headers".to_owned()));
    }
    lines
}
