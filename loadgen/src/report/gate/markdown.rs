//! The answer of a gate in Markdown, for the summary of a CI job or a comment.

use super::GateReport;
use super::table::{self, FINDINGS, NOISE};
use crate::verdict::answer::Exit;

pub(super) fn document(report: &GateReport<'_>) -> String {
    let answer = report.answer;
    let mark = match answer.exit {
        Exit::Met if matches!(answer.word.as_str(), "pass" | "quiet") => "✅",
        Exit::Met | Exit::Undecided | Exit::Interrupted => "⚠️",
        Exit::Missed | Exit::Usage | Exit::Host => "❌",
    };
    let mut text = format!("## {mark} {}\n\n", cell(&answer.reason));
    text.push_str(&format!("{}: {}\n\n", cell(&report.begun.name), cell(&table::sides(report))));
    match &answer.noise {
        Some(noise) => grid(&mut text, &NOISE, table::noise(&noise.metrics)),
        None => grid(&mut text, &FINDINGS, table::findings(report)),
    }
    text.push_str(&format!("\n{}\n", cell(&table::facts(report))));
    for warning in &answer.warnings {
        text.push_str(&format!("\n> {}\n", cell(warning)));
    }
    text.push_str("\n<details><summary>How it came to its answer</summary>\n\n");
    answer.judgement.explanation.iter().for_each(|line| text.push_str(&format!("- {}\n", cell(line.trim()))));
    text.push_str("\n</details>\n");
    text
}

fn grid<const N: usize>(text: &mut String, header: &[&str; N], rows: Vec<[String; N]>) {
    text.push_str(&format!("| {} |\n|---|{}\n", header.join(" | "), "---:|".repeat(N - 1)));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.map(|text| cell(&text)).join(" | ")));
    }
}

/// Text that stays text inside a table: no line break, no bar, no markup of somebody's file names.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '[' | ']' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_break_its_table() {
        assert_eq!(cell("a|b\nc <b> `x` & *y*"), "a\\|b c &lt;b> \\`x\\` &amp; \\*y\\*");
    }
}
