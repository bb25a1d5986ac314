//! Lines as text for a person and as CSV: one file of rows, one of rounds.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::bench::Raw;
use super::judge::{Line, RATE_TOLERANCE, Side, Verdict};
use super::plan::{Bar, Contender, Demand};

/// The table, each row with a line of side conditions.
pub(crate) fn text(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<30} {:>10} {:>10} {:>7}  {:<16} {:>6}  {:>6}  result\n",
        "row", "ours", "peer", "ratio", "interval", "bar", "rounds"
    );
    // Rows of the same pair share their side conditions, which are said once.
    let mut said = None;
    for line in lines {
        let ratio = line.ratio.filter(|_| line.spec.peer.is_some());
        let interval = match line.ratio {
            Some(found) if line.spec.peer.is_some() => format!("{:.3} … {:.3}", found.low, found.high),
            Some(found) => format!("{} … {}", number(found.low), number(found.high)),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "{:<30} {:>10} {:>10} {:>7}  {:<16} {:>6}  {:>6}  {}",
            line.spec.name,
            maybe(line.ours),
            maybe(line.peer),
            ratio.map_or_else(|| "-".to_owned(), |found| format!("{:.3}", found.median)),
            interval,
            bar(line.spec.bar),
            line.rounds,
            result(line),
        );
        let pair = (&line.spec.ours, &line.spec.peer);
        let _ = writeln!(text, "{}", heading(line));
        if said != Some(pair) && !is_memory(line) {
            text.push_str(&aside(line));
        }
        said = Some(pair);
    }
    text
}

fn is_memory(line: &Line) -> bool {
    use Contender::{BalancerMemory, GeneratorMemory, StreamMemory};
    matches!(line.spec.ours, GeneratorMemory(_) | BalancerMemory(_) | StreamMemory(_))
}

/// The unit, and who is compared.
fn heading(line: &Line) -> String {
    let peer = line.spec.peer.as_ref().map_or_else(String::new, |peer| format!(" against {}", peer.name()));
    format!("  {}: {}{peer}", line.spec.figure.unit(), line.spec.ours.name())
}

/// Side conditions, of ours / of the peer.
fn aside(line: &Line) -> String {
    let pair =
        |figure: &dyn Fn(&Side) -> String| line.sides.iter().flatten().map(figure).collect::<Vec<_>>().join(" / ");
    if line.sides[0].is_none() {
        return String::new();
    }
    let mut text = format!("  rate {}/s", pair(&|side| number(side.rate)));
    if let Some(ratio) = line.rate_ratio {
        let _ = write!(text, " ({ratio:.3} ×)");
    }
    let busy = |share: f64| format!("{:.0}", share * 100.0);
    if line.sides.iter().flatten().all(|side| side.machine_us == 0.0) {
        // Of datagrams only the sender is measured: whoever receives them is another program for each.
        let _ = writeln!(text, ", sender {} % of a core", pair(&|side| busy(side.generator_busy)));
        return text;
    }
    let _ = write!(text, ", machine {} µs", pair(&|side| format!("{:.1}", side.machine_us)));
    if let Some(ratio) = line.machine_ratio {
        let _ = write!(text, " ({ratio:.3} ×)");
    }
    let _ = write!(text, ", server {} % of a core", pair(&|side| busy(side.server_busy)));
    let _ = write!(text, ", generator {} %", pair(&|side| busy(side.generator_busy)));
    let _ = write!(text, ", segments {}", pair(&|side| format!("{:.2}", side.segments)));
    let _ = write!(text, ", failed {}", pair(&|side| side.failed.to_string()));
    let steal = line.sides.iter().flatten().map(|side| side.steal_max).fold(0.0, f64::max);
    if steal >= 0.01 {
        let _ = write!(text, ", stolen by the host up to {:.0} %", steal * 100.0);
    }
    text + "\n"
}

fn bar(bar: Bar) -> String {
    match bar {
        Bar::Information => "-".to_owned(),
        Bar::RatioMin(least) => format!("≥ {least}"),
        Bar::RatioMax(most) => format!("≤ {most}"),
        Bar::OursMax(most) => format!("≤ {most:.0}"),
    }
}

/// What has to be said of a row that has reached its bar.
fn remark(line: &Line) -> Option<String> {
    let asked = line.spec.demands.contains(&Demand::SameRate);
    let ratio = line.rate_ratio.filter(|&ratio| asked && ratio > 1.0 + RATE_TOLERANCE)?;
    Some(format!("at a higher rate than the peer ({ratio:.3} ×)"))
}

fn result(line: &Line) -> String {
    match &line.verdict {
        Verdict::Met => remark(line).map_or_else(|| "met".to_owned(), |remark| format!("met, {remark}")),
        Verdict::Missed(reasons) => format!("MISSED: {}", reasons.join("; ")),
        Verdict::Information => "information".to_owned(),
        Verdict::Absent(why) => format!("NOT MEASURED: {why}"),
    }
}

fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

/// Four digits or more.
fn number(value: f64) -> String {
    let digits = if value.abs() >= 1000.0 { 0 } else { usize::from(value.abs() < 100.0) + 1 };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or_else(|| format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

/// Columns of the file of rows.
const COLUMNS: [&str; 27] = [
    "row",
    "unit",
    "ours",
    "peer",
    "ours_median",
    "peer_median",
    "ratio_median",
    "interval_low",
    "interval_high",
    "interval_coverage",
    "bar",
    "result",
    "reasons",
    "rounds",
    "ours_rate_per_s",
    "peer_rate_per_s",
    "rate_ratio",
    "machine_ratio",
    "ours_server_busy",
    "peer_server_busy",
    "ours_generator_busy",
    "peer_generator_busy",
    "ours_segments",
    "peer_segments",
    "ours_failed",
    "peer_failed",
    "steal_max",
];

/// Writes the rows, and beside them every single measurement (`NAME.rounds.csv`), of which the path is
/// returned.
pub(crate) fn write(path: &Path, lines: &[Line], raw: &[Raw]) -> Result<PathBuf, csv::Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut rows = csv::Writer::from_path(path)?;
    rows.write_record(COLUMNS)?;
    for line in lines {
        rows.write_record(fields(line))?;
    }
    rows.flush()?;
    let beside = path.with_extension("rounds.csv");
    let mut rounds = csv::Writer::from_path(&beside)?;
    rounds.write_record(RAW_COLUMNS)?;
    for one in raw {
        rounds.write_record(raw_fields(one))?;
    }
    rounds.flush()?;
    Ok(beside)
}

fn fields(line: &Line) -> [String; 27] {
    let bare = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
    let ratio = line.ratio.filter(|_| line.spec.peer.is_some());
    let [ours, peer] = line.sides;
    let (result, reasons) = match &line.verdict {
        Verdict::Met => ("met", remark(line).unwrap_or_default()),
        Verdict::Missed(reasons) => ("missed", reasons.join("; ")),
        Verdict::Information => ("information", String::new()),
        Verdict::Absent(why) => ("not measured", why.clone()),
    };
    [
        line.spec.name.clone(),
        line.spec.figure.unit().to_owned(),
        line.spec.ours.name(),
        line.spec.peer.as_ref().map(Contender::name).unwrap_or_default(),
        bare(line.ours),
        bare(line.peer),
        bare(ratio.map(|found| found.median)),
        bare(line.ratio.map(|found| found.low)),
        bare(line.ratio.map(|found| found.high)),
        bare(line.ratio.map(|found| found.coverage)),
        bar(line.spec.bar),
        result.to_owned(),
        reasons,
        line.rounds.to_string(),
        bare(ours.map(|side| side.rate)),
        bare(peer.map(|side| side.rate)),
        bare(line.rate_ratio),
        bare(line.machine_ratio),
        bare(ours.map(|side| side.server_busy)),
        bare(peer.map(|side| side.server_busy)),
        bare(ours.map(|side| side.generator_busy)),
        bare(peer.map(|side| side.generator_busy)),
        bare(ours.map(|side| side.segments)),
        bare(peer.map(|side| side.segments)),
        ours.map(|side| side.failed.to_string()).unwrap_or_default(),
        peer.map(|side| side.failed.to_string()).unwrap_or_default(),
        bare(ours.into_iter().chain(peer).map(|side| side.steal_max).reduce(f64::max)),
    ]
}

/// Columns of the file of rounds.
const RAW_COLUMNS: [&str; 14] = [
    "family",
    "round",
    "place",
    "contender",
    "rate_per_s",
    "generator_cpu_us",
    "server_cpu_us",
    "machine_us",
    "steal",
    "segments",
    "failed",
    "response_time_us_p50",
    "response_time_us_p99",
    "bytes_per_connection",
];

fn raw_fields(raw: &Raw) -> [String; 14] {
    let bare = |value: f64| format!("{value:.4}");
    let measured = &raw.measured;
    [
        raw.family.clone(),
        raw.round.to_string(),
        raw.place.to_string(),
        raw.contender.clone(),
        bare(measured.rate),
        bare(measured.generator_us),
        bare(measured.server_us),
        bare(measured.machine_us),
        bare(measured.steal),
        bare(measured.segments),
        measured.failed.to_string(),
        bare(measured.p50_us),
        bare(measured.p99_us),
        bare(measured.bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::generator::Build;
    use super::super::judge::judge;
    use super::super::plan::rows;
    use super::super::window::Measured;
    use super::*;

    #[test]
    fn numbers_are_grouped_and_short() {
        assert_eq!(
            [0.5, 12.345, 123.456, 1_234.5, 1_234_567.0, -2_048.0].map(number),
            ["0.50", "12.35", "123.5", "1,234", "1,234,567", "-2,048"]
        );
    }

    #[test]
    fn a_row_shows_both_medians_the_ratio_and_what_else_counts() {
        let spec = rows(&Build { path: "a".into(), label: String::new() }, None).remove(0);
        let measured = |generator_us, segments| {
            Some(Measured { generator_us, segments, rate: 5_000.0, machine_us: 20.0, ..Measured::default() })
        };
        let line = judge(&spec, &[measured(10.0, 2.0); 12], &[measured(12.5, 2.5); 12], None);
        let text = text(std::slice::from_ref(&line));
        for part in
            ["generator-keep-alive", "100,000", "80,000", "1.250", "1.250 … 1.250", "≥ 1.1", "met", "2.00 / 2.50"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(fields(&line)[6], "1.2500");
    }
}
