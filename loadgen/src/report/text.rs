//! Numbers as a person reads them, numbers as a program reads them, and small tables.

use std::fmt::Write as _;
use std::time::Duration;

/// What stands where there is no number.
pub(super) const NOTHING: &str = "–";

/// A whole number in groups of three digits: `10,234`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with about three significant digits below a hundred and none behind the point above.
pub(super) fn amount(number: f64) -> String {
    match number.abs() {
        _ if !number.is_finite() => NOTHING.to_owned(),
        size if size >= 99.95 => format!("{}{}", if number < 0.0 { "-" } else { "" }, count(size.round() as u64)),
        size if size >= 9.995 || size == size.trunc() => trimmed(format!("{number:.1}")),
        _ => trimmed(format!("{number:.2}")),
    }
}

/// A share (1 = all of it) in percent: `97 %`, `0.012 %`.
pub(super) fn share(ratio: f64) -> String {
    let percent = ratio * 100.0;
    match percent.abs() {
        _ if !ratio.is_finite() => NOTHING.to_owned(),
        0.0 => "0 %".to_owned(),
        size if size >= 9.95 => format!("{percent:.0} %"),
        size if size >= 0.095 => format!("{} %", trimmed(format!("{percent:.1}"))),
        size if size >= 0.000_95 => format!("{} %", trimmed(format!("{percent:.4}"))),
        _ => format!("{percent:.0e} %"),
    }
}

/// A duration in the unit that fits: `412 µs`, `1.25 ms`, `2.1 s`.
pub(super) fn span(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos() as f64;
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => return format!("{n} ns"),
        n if n < 999_500.0 => (n / 1e3, "µs"),
        n if n < 999_500_000.0 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let digits = if value >= 99.95 { 0 } else { 1 + usize::from(value < 9.995) };
    format!("{} {unit}", trimmed(format!("{value:.digits$}")))
}

/// A duration that may be missing.
pub(super) fn maybe_span(duration: Option<Duration>) -> String {
    duration.map_or_else(|| NOTHING.to_owned(), span)
}

/// A bare number for a CSV field: at most six digits behind the point, nothing for what is not finite.
pub(super) fn bare(number: f64) -> String {
    if number.is_finite() { trimmed(format!("{number:.6}")) } else { String::new() }
}

/// A bare number that may be missing.
pub(super) fn maybe_bare(number: Option<f64>) -> String {
    number.map(bare).unwrap_or_default()
}

/// A duration as bare microseconds, to the nanosecond; nothing where it is missing.
pub(super) fn bare_us(duration: Option<Duration>) -> String {
    duration.map(|duration| trimmed(format!("{:.3}", duration.as_nanos() as f64 / 1e3))).unwrap_or_default()
}

/// A small table: the first column to the left, the others to the right, two blanks between them.
/// The first row is the header. Rows may have fewer cells than the header.
pub fn table<R: AsRef<[String]>>(rows: &[R]) -> String {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, &width)) in row.as_ref().iter().zip(&widths).enumerate() {
            if at == 0 {
                let _ = write!(line, "{cell:<width$}");
            } else {
                let _ = write!(line, "  {cell:>width$}");
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The number without zeros that say nothing behind its point.
fn trimmed(number: String) -> String {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.').to_owned() } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.128, 9.5, 94.06, 99.96, 10_234.4].map(amount),
            ["0", "0.13", "9.5", "94.1", "100", "10,234"]
        );
        assert_eq!([0.0, 0.97, 0.0123, 0.000_01, 1e-7].map(share), ["0 %", "97 %", "1.2 %", "0.001 %", "1e-5 %"]);
        let spans = [0, 640, 1_000, 412_400, 999_600, 1_254_000, 999_600_000, 2_100_000_000, 120_000_000_000];
        let texts = ["0 ns", "640 ns", "1 µs", "412 µs", "1 ms", "1.25 ms", "1 s", "2.1 s", "120 s"];
        assert_eq!(spans.map(|n| span(Duration::from_nanos(n))), texts);
    }

    #[test]
    fn numbers_for_programs_are_bare() {
        assert_eq!([10_234.5, 0.1 + 0.2, 0.0, f64::NAN].map(bare), ["10234.5", "0.3", "0", ""]);
        assert_eq!(bare_us(Some(Duration::from_nanos(1_234_567))), "1234.567");
        assert_eq!(bare_us(None), "");
    }

    #[test]
    fn a_table_lines_up_by_characters() {
        let rows = [["kind", "number"], ["ok", "1,000"], ["größer", "1"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "kind    number\nok       1,000\ngrößer       1\n");
    }
}
