//! The run folder of joined runs: the files of a run, and a page that says what was joined.
//!
//! What only this kind of run has stands in its `environment.json` under `merged`, so that the folder
//! is read, compared and rebuilt like every other one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ReportError;
use super::folder::{Moment, RunFolder, make_unique};
use super::pages::PLAN;
use super::tables::Grid;
use super::terminal::exit_word;
use super::text::{NOTHING, count, span};
use crate::archive::{Archive, folder_name};
use crate::measure::TrialRecord;
use crate::merge::Joined;
use crate::scenario::compliance;
use crate::verdict::Validation;
use crate::verdict::answer::{Answer, Exit};

/// Where it stands in the environment.
const MERGED: &str = "merged";

/// Writes the folder of joined runs: `out` if given, which must not exist or be empty, else a new one
/// under `reports`. Returns where it is.
///
/// # Errors
/// [`ReportError`] naming the folder or the file.
pub fn write_merged(
    runs: &[Archive],
    joined: &Joined,
    reports: &Path,
    out: Option<&Path>,
) -> Result<PathBuf, ReportError> {
    let plan = &runs[0].begun.plan;
    let path = match out {
        Some(path) => empty(path)?,
        None => {
            make_unique(&reports.join(folder_name(&plan.name)), &format!("{}-merged", host::clock::folder_stamp()))?
        }
    };
    let plan_text = fs::read_to_string(runs[0].path.join(PLAN)).unwrap_or_default();
    let began = Moment { unix_ns: joined.began_unix_ns, monotonic_ns: joined.began_monotonic_ns };
    let mut folder = RunFolder::begin(path.clone(), plan, &plan_text, &environment(runs, joined), began)?;
    for kept in &joined.trials {
        let record = &kept.record;
        for second in &record.seconds {
            let ended_ns = record.began_ns + (u64::from(second.index) + 1) * 1_000_000_000;
            let phase = record.phase_of(second.index);
            folder.second_at(ended_ns, record.number, (record.purpose, phase), second, None)?;
        }
        folder.trial(record, kept.passed, &kept.reasons)?;
    }
    let records: Vec<TrialRecord> = joined.trials.iter().map(|kept| kept.record.clone()).collect();
    folder.finish(plan, &records, &answer(runs, joined))?;
    Ok(path)
}

/// A folder that was asked for by name and holds nothing.
fn empty(path: &Path) -> Result<PathBuf, ReportError> {
    fs::create_dir_all(path).map_err(|source| ReportError::folder(path, source))?;
    let mut entries = fs::read_dir(path).map_err(|source| ReportError::folder(path, source))?;
    if entries.next().is_some() {
        return Err(ReportError::NotEmpty { path: path.to_owned() });
    }
    Ok(path.to_owned())
}

/// What all hosts have in common, and what was joined.
fn environment(runs: &[Archive], joined: &Joined) -> Value {
    let mut facts = runs[0].environment.clone();
    if let Value::Object(facts) = &mut facts {
        facts.retain(|name, fact| runs.iter().all(|run| run.environment[name.as_str()] == *fact));
        facts.remove(MERGED);
    }
    let parts = joined.parts.iter().zip(runs).map(|(part, run)| {
        json!({
            "run": part.run,
            "began": host::clock::wall_clock_at(part.began_unix_ns),
            "trials": part.trials,
            "moved_ns": part.moved_ns,
            "seed": run.begun.plan.seed.to_string(),
            "host": run.host(),
            "verdict": run.answer.as_ref().map(exit_word),
            "limited_by": run.answer.as_ref().and_then(|answer| answer.limited_by).map(|limit| limit.name()),
            "failed": run.records().map(|record| record.outcomes_all.failed()).sum::<u64>(),
        })
    });
    let merged = json!({ "runs": parts.collect::<Vec<_>>(), "shared_s": joined.shared_s });
    if let Value::Object(facts) = &mut facts {
        facts.insert(MERGED.to_owned(), merged);
    }
    facts
}

/// The runs' own verdicts stand beside it; the worst of them is how it ends.
fn answer(runs: &[Archive], joined: &Joined) -> Answer {
    let exits = runs.iter().map(|run| run.answer.as_ref().map_or(Exit::Interrupted, |answer| answer.exit));
    let exit = exits.max().unwrap_or(Exit::Met);
    let count = runs.len();
    let reason = match exit {
        Exit::Met => format!("{count} runs joined; each of them met what it expected"),
        _ => format!("{count} runs joined; at least one of them did not end well, see the joined runs"),
    };
    let compliance = compliance(&runs[0].begun.plan);
    Answer {
        figures: Vec::from_iter(joined.figure.clone()),
        limited_by: None,
        evidence: Vec::new(),
        validation: Validation::default(),
        judged: Vec::new(),
        books: Vec::new(),
        warnings: joined.warnings.clone(),
        label: compliance.label.to_owned(),
        deviations: compliance.deviations,
        frames: None,
        exit,
        reason,
    }
}

/// Whether a run folder with this environment holds joined runs.
pub(super) fn is_merged(environment: &Value) -> bool {
    environment[MERGED].is_object()
}

/// The environment without what [`values`] shows.
pub(super) fn without(environment: &Value) -> Value {
    let mut facts = environment.clone();
    if let Value::Object(facts) = &mut facts {
        facts.remove(MERGED);
    }
    facts
}

/// What the page says of the joining; `null` for a run.
pub(super) fn values(environment: &Value) -> Value {
    let merged = &environment[MERGED];
    let Some(runs) = merged["runs"].as_array() else { return Value::Null };
    let text = |value: &Value| match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), count),
        other => other.to_string(),
    };
    let head = ["run", "began (UTC)", "trials", "moved by at most", "seed", "verdict", "limited by", "failed", "host"];
    let mut grid = Grid::new(&head).text(&[0, 1, 5, 6]).words(&[8]);
    for run in runs {
        let moved = std::time::Duration::from_nanos(run["moved_ns"].as_u64().unwrap_or(0));
        let cell = |name: &str| match name {
            "moved_ns" => span(moved),
            name => text(&run[name]),
        };
        let names = ["run", "began", "trials", "moved_ns", "seed", "verdict", "limited_by", "failed", "host"];
        grid.row(names.map(cell).into());
    }
    let alignment = format!(
        "Every trial was moved to the nearest whole second of its host's wall clock, by at most half a second; what the \
         clocks of the hosts differ by comes on top and was not measured. Trials whose sustain overlaps were added second \
         by second: counts, and histograms by their counts. The answer is the mean of the {} whole seconds in which all \
         runs were in sustain; sums of a trial are those of each run's own sustain, and the one that is shaded is that of the run that began last. \
         CPU times, books and expectations are in each run's own report.",
        text(&merged["shared_s"])
    );
    json!({ "alignment": alignment, "runs": grid.value() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge;
    use crate::report::fixture::{self, Scratch};
    use crate::report::page::tests::assert_sound;
    use crate::report::pages::PAGE;

    #[test]
    fn joined_runs_are_a_run_folder_that_can_be_read_and_rebuilt() {
        let scratch = Scratch::new("merged");
        let runs = fixture::side_by_side(scratch.path(), &[0, 1_300_000_000]);
        let joined = merge::join(&runs).unwrap();
        let out = scratch.path().join("together");
        let folder = write_merged(&runs, &joined, scratch.path(), Some(&out)).unwrap();
        let page = fs::read_to_string(folder.join(PAGE)).unwrap();
        assert_sound(&page);
        for text in [
            "Nadare merge",
            "Joined runs",
            "by at most half a second",
            "1,960",
            "300 ms",
            "Not judged over joined runs",
        ] {
            assert!(page.contains(text), "{text} is missing");
        }
        assert!(!page.contains("states none") && !page.contains("Cost to the DUT"));
        let archive = Archive::read(&folder).unwrap();
        assert_eq!(archive.trials.len(), 1);
        let sum = archive.trials[0].record.due;
        assert_eq!(sum, 2 * runs[0].trials[0].record.due);
        fs::remove_file(folder.join(PAGE)).unwrap();
        super::super::rebuild(&archive, None).unwrap();
        assert!(fs::read_to_string(folder.join(PAGE)).unwrap() == page, "the rebuilt page differs");

        let error = write_merged(&runs, &joined, scratch.path(), Some(&out)).unwrap_err().to_string();
        assert!(error.contains("together is not empty"), "{error}");
    }
}
