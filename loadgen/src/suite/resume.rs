//! Going on with a run that was interrupted or killed.
//!
//! The new run has a folder of its own, into which the finished trials of the old one are written first;
//! the old folder stays as it is. It is refused where a figure would be made of two different things:
//! another version of this program, another host, a plan that has been changed.

use std::path::{Path, PathBuf};

use super::{Earlier, Finished, Options, Past, Run, RunError, run_after};
use crate::archive::{self, Archive};
use crate::interrupt::Interrupt;
use crate::scenario;
use crate::scenario::plan::DutKind;
use crate::testbed;
use crate::verdict::answer::Exit;

/// Why a run cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// There is nothing left to do.
    #[error("{} has come to its end ({reason}); nothing is left to resume: run it again instead", folder.display())]
    Ended {
        /// The run folder.
        folder: PathBuf,
        /// How it ended.
        reason: String,
    },
    /// Not one trial was finished.
    #[error("{} has no finished trial; run the scenario again instead", folder.display())]
    Empty {
        /// The run folder.
        folder: PathBuf,
    },
    /// Something that a figure depends on is another one now.
    #[error("{} cannot be resumed: its {what} is {then}, here it is {now}; {next}", folder.display())]
    Differs {
        /// The run folder.
        folder: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it was.
        then: String,
        /// What it is.
        now: String,
        /// What to do.
        next: &'static str,
    },
    /// This host cannot run it.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl ResumeError {
    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Run(error) => error.exit(),
            _ => Exit::Usage,
        }
    }
}

/// Goes on with a run: takes its finished trials, measures the rest.
///
/// # Errors
/// [`ResumeError`]: there is nothing to resume, or it would mix what does not belong together.
pub fn resume(archive: &Archive, options: &Options, interrupt: &Interrupt) -> Result<Finished, ResumeError> {
    let plan = &archive.begun.plan;
    let here = serde_json::to_value(testbed::environment()).unwrap_or_default();
    check(archive, &archive::host_fingerprint(&here))?;
    testbed::check(plan).map_err(RunError::from)?;
    let past = Past::of(archive.records().cloned());
    if past.is_empty() {
        return Err(ResumeError::Empty { folder: archive.path.clone() });
    }
    let earlier = Earlier { past, folder: Some(archive.path.clone()) };
    Ok(run_after(plan, options, interrupt, earlier)?)
}

fn check(archive: &Archive, host: &str) -> Result<(), ResumeError> {
    let folder = || archive.path.clone();
    if let Some(answer) = archive.answer.as_ref().filter(|answer| answer.exit != Exit::Interrupted) {
        return Err(ResumeError::Ended { folder: folder(), reason: answer.reason.clone() });
    }
    let begun = &archive.begun;
    let differences = [
        (
            "version",
            format!("{} {}", begun.version, begun.commit.as_deref().unwrap_or("")),
            format!("{} {}", env!("CARGO_PKG_VERSION"), option_env!("NADARE_COMMIT").unwrap_or("")),
            "resume it with the program that began it, or run it again",
        ),
        ("host", archive.host(), host.to_owned(), "resume it where it began, or run it again here"),
        (
            "plan",
            begun.scenario.clone(),
            scenario::fingerprint(&begun.plan),
            "begun.json has been changed: run the scenario again",
        ),
    ];
    for (what, then, now, next) in differences {
        if then != now {
            return Err(ResumeError::Differs { folder: folder(), what, then, now, next });
        }
    }
    match &begun.plan.testbed.dut.kind {
        DutKind::Reference { config, .. } | DutKind::Command { config: Some(config), .. } if config.text.is_empty() => {
            Err(ResumeError::Differs {
                folder: folder(),
                what: "DUT's configuration",
                then: config.path.display().to_string(),
                now: "not in its dut/ any more".to_owned(),
                next: "put it back, or run the scenario again",
            })
        }
        _ => Ok(()),
    }
}

impl Run<'_> {
    /// Says in the report which trials came from an earlier run.
    pub(super) fn note_resumed(&mut self, folder: Option<&Path>) {
        let Some(folder) = folder else { return };
        self.warnings.push(resumed(folder, &self.resumed, self.past.discarded()));
    }
}

fn resumed(folder: &Path, trials: &[u32], discarded: usize) -> String {
    let numbers: Vec<String> = trials.iter().map(u32::to_string).collect();
    let mut text = match trials {
        [] => format!("resumed from {}: none of its trials was taken", folder.display()),
        _ => format!(
            "resumed from {}: trials {} were measured there, in another start of the DUT; their seconds are in its \
             timeline.csv",
            folder.display(),
            numbers.join(", ")
        ),
    };
    if discarded > 0 {
        text.push_str(&format!("; {discarded} of its trials were left out, because the search took another way here"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Scratch};

    fn interrupted(name: &str) -> (Scratch, Archive) {
        let scratch = Scratch::new(name);
        let mut archive = Archive::read(&fixture::write(&fixture::interrupted(), scratch.path())).unwrap();
        archive.begun.version = env!("CARGO_PKG_VERSION").to_owned();
        archive.begun.commit = option_env!("NADARE_COMMIT").map(str::to_owned);
        (scratch, archive)
    }

    #[test]
    fn a_run_is_resumed_only_by_the_same_program_on_the_same_host_with_the_same_plan() {
        let (_scratch, archive) = interrupted("resume");
        let host = archive.host();
        check(&archive, &host).unwrap();
        check(&Archive { answer: None, ..archive.clone() }, &host).unwrap();
        let refused = |archive: &Archive, host: &str| check(archive, host).unwrap_err().to_string();
        let other = refused(&archive, "cpu_model=another");
        assert!(other.contains("its host is ") && other.contains("run it again here"), "{other}");
        let mut changed = archive.clone();
        changed.begun.version = "0.0.1".to_owned();
        let version = refused(&changed, &host);
        assert!(version.contains("its version is 0.0.1") && version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        let mut bare = archive.clone();
        let DutKind::Reference { config, .. } = &mut bare.begun.plan.testbed.dut.kind else { panic!("{bare:?}") };
        config.text.clear();
        let missing = refused(&bare, &host);
        assert!(missing.contains("configuration is ") && missing.contains("put it back"), "{missing}");
        let mut changed = archive;
        changed.begun.plan.seed += 1;
        let plan = refused(&changed, &host);
        assert!(plan.contains("its plan is ") && plan.contains("begun.json has been changed"), "{plan}");
    }

    #[test]
    fn what_was_taken_and_what_was_left_out_is_said() {
        let folder = Path::new("reports/a");
        assert!(resumed(folder, &[1, 2], 0).contains("trials 1, 2 were measured there"));
        let none = resumed(folder, &[], 7);
        assert!(none.contains("none of its trials was taken") && none.contains("7 of its trials"), "{none}");
    }

    #[test]
    fn a_run_that_has_ended_is_not_resumed() {
        let (_scratch, mut archive) = interrupted("ended");
        archive.answer = Some(fixture::run().answer.clone());
        let error = check(&archive, &archive.host()).unwrap_err();
        assert!(error.to_string().contains("has come to its end ("), "{error}");
        assert_eq!(error.exit(), Exit::Usage);
    }
}
