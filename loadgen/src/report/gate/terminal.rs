//! The answer of a gate on the terminal: one line, one table, why.

use super::GateReport;
use super::table::{self, FINDINGS, NOISE};
use crate::report::text::table as text_table;

pub(super) fn text(report: &GateReport<'_>, explain: bool) -> String {
    let answer = report.answer;
    let mut text = format!("{}\n{}\n\n", answer.reason, table::sides(report));
    match &answer.noise {
        Some(noise) => text.push_str(&text_table(&rows(&NOISE, table::noise(&noise.metrics)))),
        None => text.push_str(&text_table(&rows(&FINDINGS, table::findings(report)))),
    }
    text.push_str(&format!("\n{}\n", table::facts(report)));
    for warning in &answer.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    if explain {
        text.push_str("\nHow it came to its answer\n");
        answer.judgement.explanation.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text.push_str(&format!("files: {}", report.folder.display()));
    text
}

fn rows<const N: usize>(header: &[&str; N], rows: Vec<[String; N]>) -> Vec<[String; N]> {
    std::iter::once(header.map(str::to_owned)).chain(rows).collect()
}
