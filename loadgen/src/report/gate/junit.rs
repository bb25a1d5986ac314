//! The answer of a gate as JUnit XML: one test case for each gated metric.
//!
//! What is not decided is skipped, not passed; with the exit code of an undecided run it is an error.

use super::GateReport;
use super::table;
use crate::gate::Decision;
use crate::verdict::answer::Exit;

pub(super) fn document(report: &GateReport<'_>) -> String {
    let cases: Vec<(String, Mark)> =
        report.begun.settings.limits.iter().map(|limit| case(report, limit.metric)).collect();
    let count = |wanted: fn(&Mark) -> bool| cases.iter().filter(|(_, mark)| wanted(mark)).count();
    let suite = escape(&format!("gate {}", report.begun.name));
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    text.push_str(&format!(
        "<testsuite name=\"{suite}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
        cases.len(),
        count(|mark| matches!(mark, Mark::Failed(_))),
        count(|mark| matches!(mark, Mark::Error(_))),
        count(|mark| matches!(mark, Mark::Skipped(_))),
    ));
    for (name, mark) in &cases {
        text.push_str(&format!("<testcase classname=\"{suite}\" name=\"{}\"", escape(name)));
        text.push_str(&match mark {
            Mark::Passed => "/>\n".to_owned(),
            Mark::Failed(why) => format!(">\n<failure message=\"{}\"/>\n</testcase>\n", escape(why)),
            Mark::Error(why) => format!(">\n<error message=\"{}\"/>\n</testcase>\n", escape(why)),
            Mark::Skipped(why) => format!(">\n<skipped message=\"{}\"/>\n</testcase>\n", escape(why)),
        });
    }
    let output: Vec<String> = report.answer.judgement.explanation.iter().map(|line| escape(line)).collect();
    text.push_str(&format!("<system-out>{}\n{}</system-out>\n", escape(&report.answer.reason), output.join("\n")));
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

enum Mark {
    Passed,
    Failed(String),
    Error(String),
    Skipped(String),
}

fn case(report: &GateReport<'_>, metric: crate::gate::Metric) -> (String, Mark) {
    let answer = report.answer;
    let finding = table::finding_of(report, metric);
    let why = finding.map_or_else(|| answer.reason.clone(), |finding| finding.text.clone());
    let mark = match finding.map(|finding| finding.decision) {
        // Nothing could be found: the candidate died, or both sides are one build that failed.
        _ if answer.exit == Exit::Missed && answer.judgement.decision != Decision::Fail => {
            Mark::Failed(answer.reason.clone())
        }
        Some(Decision::Pass) => Mark::Passed,
        Some(Decision::Fail) => Mark::Failed(why),
        _ if answer.exit == Exit::Undecided => Mark::Error(why),
        _ => Mark::Skipped(why),
    };
    (metric.title().to_owned(), mark)
}

/// Text for an attribute or an element. What XML 1.0 has no form for becomes a replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_program_said_is_text() {
        assert_eq!(escape("<a b=\"c\">&\u{1b}[0m\n"), "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}[0m&#10;");
    }
}
