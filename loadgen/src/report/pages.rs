//! The page and the pictures of a run folder, from what its files hold and from nothing else.
//!
//! A run writes them with its answer; [`rebuild`] writes them again later, byte by byte the same. A
//! run that was ended before it had an answer gets a page that says so and holds its finished trials.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder::TrialNote;
use super::html::Page;
use super::plot::{self, Material, Picture};
use super::sheet::replace;
use super::{ReportError, merged};
use crate::archive::{Archive, dut_file};
use crate::measure::TrialRecord;
use crate::scenario::Plan;
use crate::verdict::answer::{Answer, Exit};
use crate::verdict::{self, Context};

/// Name of the page.
pub(super) const PAGE: &str = "report.html";
/// Name of the file with the resolved plan.
pub(super) const PLAN: &str = "plan.toml";
/// What a page says of a run that was killed.
const KILLED: &str = "ENDED BEFORE IT HAD AN ANSWER: this report holds the trials that were finished until then.";

/// What pages are made of, beside the run itself.
pub(super) struct Facts<'a> {
    /// The run.
    pub(super) material: &'a Material<'a>,
    /// Host and build.
    pub(super) environment: &'a Value,
    /// The resolved plan.
    pub(super) plan_text: &'a str,
    /// When the run began, in nanoseconds since 1970.
    pub(super) began_unix_ns: u64,
    /// What stands above everything else.
    pub(super) banner: Option<&'a str>,
}

impl Facts<'_> {
    /// Writes page and pictures into a folder; the page first, because it holds the pictures, too.
    pub(super) fn write(&self, folder: &Path) -> Result<(), ReportError> {
        let pictures = plot::pictures(self.material);
        self.write_page(&folder.join(PAGE), &pictures)?;
        for picture in &pictures {
            let Ok(drawn) = &picture.drawn else { continue };
            replace(&folder.join(format!("{}.svg", picture.stem)), drawn.svg.as_bytes())?;
            plot::write_png(drawn, &folder.join(format!("{}.png", picture.stem)))?;
        }
        Ok(())
    }

    fn write_page(&self, path: &Path, pictures: &[Picture]) -> Result<(), ReportError> {
        let page = Page {
            material: self.material,
            pictures,
            environment: self.environment,
            plan_text: self.plan_text,
            again: again(self.material.plan).filter(|_| !merged::is_merged(self.environment)),
            began: &host::clock::wall_clock_at(self.began_unix_ns),
            banner: self.banner,
        };
        let text = page.render().map_err(|source| ReportError::format("the page", path, source))?;
        replace(path, text.as_bytes())
    }
}

/// Writes the page and the pictures of a run folder again, or only the page to another place.
/// Returns where the page is.
///
/// # Errors
/// [`ReportError`] naming the file that cannot be written.
pub fn rebuild(archive: &Archive, out: Option<&Path>) -> Result<PathBuf, ReportError> {
    let plan = &archive.begun.plan;
    let records: Vec<TrialRecord> = archive.records().cloned().collect();
    let notes: Vec<TrialNote> = archive.trials.iter().map(TrialNote::of).collect();
    let answer = archive.answer.clone().unwrap_or_else(|| unfinished(archive, &records));
    let facts = Facts {
        material: &Material { plan, trials: &records, notes: &notes, answer: &answer },
        environment: &archive.environment,
        // It explains the plan and decides nothing, so a page can do without it.
        plan_text: &fs::read_to_string(archive.path.join(PLAN)).unwrap_or_default(),
        began_unix_ns: archive.begun.began_unix_ns,
        banner: archive.answer.is_none().then_some(KILLED),
    };
    match out {
        Some(path) => {
            facts.write_page(path, &plot::pictures(facts.material))?;
            Ok(path.to_owned())
        }
        None => {
            facts.write(&archive.path)?;
            Ok(archive.path.join(PAGE))
        }
    }
}

/// What the finished trials of a killed run say: as much as those of an interrupted one.
fn unfinished(archive: &Archive, records: &[TrialRecord]) -> Answer {
    let context = Context { interrupted: true, warnings: archive.warnings.clone(), ..Context::default() };
    let mut answer = verdict::answer(&archive.begun.plan, records, None, None, &context);
    answer.exit = Exit::Interrupted;
    answer.reason = "the run was ended before it had an answer".to_owned();
    answer
}

/// The command that runs it again within its folder; `None` for a run without a scenario file. It is
/// the same wherever the folder lies, and the new run folder lies beside the old one.
fn again(plan: &Plan) -> Option<String> {
    if plan.scenario_text.is_empty() {
        return None;
    }
    let mut command = "loadgen scenario.toml --reports ../..".to_owned();
    if !plan.testbed.dut.file_text.is_empty() {
        command.push_str(&format!(" --dut {}", dut_file(Path::new(""), plan).display()));
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::RESULT;
    use crate::report::fixture::{self, Scratch};
    use crate::report::page::tests::assert_sound;

    /// The files of a folder that a page needs to be made of, with their bytes.
    fn drawn(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let is_drawn = |path: &PathBuf| path.extension().is_some_and(|e| e == "html" || e == "svg" || e == "png");
        let mut files: Vec<_> = entries
            .filter(is_drawn)
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn page_and_pictures_come_again_byte_by_byte() {
        let scratch = Scratch::new("rebuild");
        let frames = [fixture::frames::rfc2544(), fixture::frames::imix(), &fixture::frames::faulty_frames()];
        for run in [fixture::run(), &fixture::interrupted(), &fixture::external()].into_iter().chain(frames) {
            let written = fixture::write(run, scratch.path());
            let before = drawn(&written);
            assert!(before.len() > 8 && before.iter().any(|(name, _)| name == PAGE));
            before.iter().for_each(|(name, _)| fs::remove_file(written.join(name)).unwrap());
            // Neither does it matter where the folder lies.
            let moved = scratch.path().join("elsewhere");
            fs::rename(&written, &moved).unwrap();
            assert_eq!(rebuild(&Archive::read(&moved).unwrap(), None).unwrap(), moved.join(PAGE));
            let after = drawn(&moved);
            assert_eq!(before.len(), after.len());
            for ((name, one), (_, other)) in before.iter().zip(&after) {
                assert!(one == other, "{name} differs");
            }
            fs::remove_dir_all(moved).unwrap();
        }
    }

    #[test]
    fn a_killed_run_has_a_page_that_says_so() {
        let scratch = Scratch::new("rebuild-killed");
        let folder = fixture::write(fixture::run(), scratch.path());
        fs::remove_file(folder.join(RESULT)).unwrap();
        let text = fs::read_to_string(folder.join("trials.jsonl")).unwrap();
        fs::write(folder.join("trials.jsonl"), &text[..text.len() - 100]).unwrap();
        let out = scratch.path().join("killed.html");
        rebuild(&Archive::read(&folder).unwrap(), Some(&out)).unwrap();
        let page = fs::read_to_string(&out).unwrap();
        assert_sound(&page);
        for text in [
            "ENDED BEFORE IT HAD AN ANSWER",
            "the run was ended before it had an answer",
            "line 9 of trials.jsonl was cut off: that trial is left out",
            "8 bisect",
        ] {
            assert!(page.contains(text), "{text} is missing");
        }
        assert!(!page.contains("9 confirm"));
    }
}
