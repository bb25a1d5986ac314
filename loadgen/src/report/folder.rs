//! The folder of one run: `reports/<scenario>/<time>/`.
//!
//! What was asked and on which machine is written first, rows follow as they are measured, the
//! answer comes last; so a run that fails early, is killed or fills the disk leaves all it had.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::figures::{FigureRow, SUMMARY};
use super::frames::sheets::FrameSheets;
use super::frames::{results, udp_of};
use super::pages::{Facts, PLAN};
use super::plot::Material;
use super::rows::{self, LATENCY, OUTCOMES, SERVERS, TRIALS, TimelineRow, TrialRow};
use super::sheet::{Lines, Sheet, encode, replace};
use super::{ReportError, curve, result};
use crate::archive::{self, Begun, Kept, dut_file, folder_name};
use crate::measure::record::Purpose;
use crate::measure::{Phase, Sample, Second, TrialRecord};
use crate::scenario::plan::{DutKind, Template};
use crate::scenario::{self, Plan};
use crate::verdict::answer::Answer;

/// Run folders that may begin in the same second.
const SIBLINGS_MAX: u32 = 99;

/// The folder of one run, and the files in it that grow.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// When the run began.
    began: Moment,
    /// Columns of `timeline.csv` for cores.
    cores: usize,
    environment: Value,
    plan_text: String,
    timeline: Sheet,
    trials: Sheet,
    outcomes: Sheet,
    servers: Sheet,
    latency: Sheet,
    /// Only of a run of frames.
    frames: Option<FrameSheets>,
    records: Lines,
    notes: Vec<TrialNote>,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Nanoseconds since 1970.
    pub(super) unix_ns: u64,
    /// Nanoseconds on `CLOCK_MONOTONIC`.
    pub(super) monotonic_ns: u64,
}

impl Moment {
    fn now() -> Self {
        Self { unix_ns: host::clock::unix_ns(), monotonic_ns: host::clock::monotonic_ns() }
    }
}

/// What became of a trial.
#[derive(Clone, Debug)]
pub(super) struct TrialNote {
    /// Its number.
    pub(super) trial: u32,
    /// Whether it passed, where that was asked.
    pub(super) passed: Option<bool>,
    /// Why not, or what else there is to say.
    pub(super) reasons: Vec<String>,
}

impl TrialNote {
    /// The note of a trial that was read back.
    pub(super) fn of(kept: &Kept) -> Self {
        Self { trial: kept.record.number, passed: kept.passed, reasons: kept.reasons.clone() }
    }
}

impl RunFolder {
    /// Makes the folder under `root` and writes what was asked (`plan_text` is the resolved plan) and
    /// on which machine, and the headers of the growing files.
    ///
    /// # Errors
    /// [`ReportError`] naming the file that cannot be written.
    pub fn create(root: &Path, plan: &Plan, plan_text: &str, environment: &Value) -> Result<Self, ReportError> {
        let path = Self::make(root, &plan.name)?;
        Self::create_at(path, plan, plan_text, environment)
    }

    /// A new and empty folder for a run of this name.
    ///
    /// # Errors
    /// [`ReportError`] naming the folder.
    pub fn make(root: &Path, name: &str) -> Result<PathBuf, ReportError> {
        make_unique(&root.join(folder_name(name)), &host::clock::folder_stamp())
    }

    /// [`RunFolder::create`] in a folder that is there: one of the contenders of a comparison.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn create_at(path: PathBuf, plan: &Plan, plan_text: &str, environment: &Value) -> Result<Self, ReportError> {
        Self::begin(path, plan, plan_text, environment, Moment::now())
    }

    /// Adds to the environment what the run has made of the network; null = nothing.
    ///
    /// # Errors
    /// [`ReportError`] naming the file that cannot be written.
    pub fn note_network(&mut self, network: Value) -> Result<(), ReportError> {
        if network.is_null() {
            return Ok(());
        }
        self.environment["network"] = network;
        let path = self.path.join(archive::ENVIRONMENT);
        replace(&path, environment_text(&path, &self.environment)?.as_bytes())
    }

    /// Writes the same into a folder that is there already, for a run that began at `began`.
    ///
    /// # Errors
    /// [`ReportError`] naming the file that cannot be written.
    pub(super) fn begin(
        path: PathBuf,
        plan: &Plan,
        plan_text: &str,
        environment: &Value,
        began: Moment,
    ) -> Result<Self, ReportError> {
        let environment_path = path.join(archive::ENVIRONMENT);
        let environment_text = environment_text(&environment_path, environment)?;
        if !plan.scenario_text.is_empty() {
            replace(&path.join("scenario.toml"), plan.scenario_text.as_bytes())?;
        }
        replace(&path.join(PLAN), plan_text.as_bytes())?;
        replace(&environment_path, environment_text.as_bytes())?;
        write_dut(&path, plan)?;
        write_begun(&path, plan, environment, began)?;

        let cores = host::kernel::core_ticks().len();
        let sheet = |name: &str, header: rows::Row| Sheet::create(path.join(name), &header);
        Ok(Self {
            began,
            cores,
            environment: environment.clone(),
            plan_text: plan_text.to_owned(),
            timeline: sheet("timeline.csv", rows::timeline_header(cores))?,
            trials: sheet("trials.csv", rows::header(TRIALS))?,
            outcomes: sheet("outcomes.csv", OUTCOMES.map(str::to_owned).into())?,
            servers: sheet("servers.csv", rows::header(SERVERS))?,
            latency: sheet("latency.csv", LATENCY.map(str::to_owned).into())?,
            frames: udp_of(plan).map(|udp| FrameSheets::create(&path, udp)).transpose()?,
            records: Lines::create(path.join(archive::TRIALS))?,
            notes: Vec::new(),
            path,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one second to `timeline.csv`; `samples` are the testbed before and after it.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn second(
        &mut self,
        trial: u32,
        purpose: Purpose,
        phase: Phase,
        second: &Second,
        samples: Option<(&Sample, &Sample)>,
    ) -> Result<(), ReportError> {
        self.second_at(host::clock::monotonic_ns(), trial, (purpose, phase), second, samples)
    }

    /// The same for a second that ended at `ended_ns` on `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub(super) fn second_at(
        &mut self,
        ended_ns: u64,
        trial: u32,
        (purpose, phase): (Purpose, Phase),
        second: &Second,
        samples: Option<(&Sample, &Sample)>,
    ) -> Result<(), ReportError> {
        let run_s = ended_ns.saturating_sub(self.began.monotonic_ns) as f64 / 1e9;
        let row = TimelineRow { run_s, trial, purpose, phase, second, samples };
        self.timeline.rows(&[row.fields(self.cores)])
    }

    /// Appends one trial to `trials.csv`, `outcomes.csv`, `servers.csv`, `latency.csv` and
    /// `trials.jsonl`; one of frames to `directions.csv` and `sizes.csv`, too.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn trial(&mut self, record: &TrialRecord, passed: Option<bool>, reasons: &[String]) -> Result<(), ReportError> {
        self.notes.push(TrialNote { trial: record.number, passed, reasons: reasons.to_vec() });
        self.trials.rows(&[rows::row(TRIALS, &TrialRow { record, passed, reasons })])?;
        self.outcomes.rows(&rows::outcome_rows(record))?;
        let servers: Vec<_> = rows::servers(record).iter().map(|server| rows::row(SERVERS, server)).collect();
        self.servers.rows(&servers)?;
        self.latency.rows(&rows::latency_rows(record))?;
        if let Some(sheets) = &mut self.frames {
            sheets.trial(record)?;
        }
        self.records.push(&Kept { passed, reasons: reasons.to_vec(), record: record.clone() })
    }

    /// Writes the answer: numbers first, then the page, the pictures and the histograms.
    ///
    /// # Errors
    /// [`ReportError`] naming the file.
    pub fn finish(&mut self, plan: &Plan, trials: &[TrialRecord], answer: &Answer) -> Result<(), ReportError> {
        let run = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.write_summary(&run, plan, trials, answer)?;
        self.write_frames(&run, plan.seed, answer)?;
        let path = self.path.join(archive::RESULT);
        let text = result::document(&run, plan, trials, &self.notes, answer)
            .and_then(|document| serde_json::to_string_pretty(&document))
            .map_err(|source| ReportError::format("the answer", &path, source))?;
        replace(&path, (text + "\n").as_bytes())?;
        // A disk that has become tight should still take the page; the histograms are larger.
        let facts = Facts {
            material: &Material { plan, trials, notes: &self.notes, answer },
            environment: &self.environment,
            plan_text: &self.plan_text,
            began_unix_ns: self.began.unix_ns,
            banner: None,
        };
        facts.write(&self.path)?;
        let path = self.path.join("latency.hlog");
        let log = curve::interval_log(trials).map_err(|source| ReportError::format("a histogram", &path, source))?;
        replace(&path, &log)
    }

    fn write_summary(
        &self,
        run: &str,
        plan: &Plan,
        trials: &[TrialRecord],
        answer: &Answer,
    ) -> Result<(), ReportError> {
        let of_figure = |figure| {
            let record = trial_of(trials, figure);
            rows::row(SUMMARY, &FigureRow { plan, figure, record, answer, run })
        };
        let rows: Vec<_> = std::iter::once(rows::header(SUMMARY)).chain(answer.figures.iter().map(of_figure)).collect();
        self.write_table("summary.csv", &rows)
    }

    /// The tables of a suite of frame tests.
    fn write_frames(&self, run: &str, seed: u64, answer: &Answer) -> Result<(), ReportError> {
        let Some(frames) = &answer.frames else { return Ok(()) };
        let (name, rows) = results::throughput(frames, seed, run);
        self.write_table(name, &rows)?;
        self.write_table("loss.csv", &results::loss(frames))
    }

    fn write_table(&self, name: &str, rows: &[rows::Row]) -> Result<(), ReportError> {
        let path = self.path.join(name);
        let bytes = encode(rows).map_err(|source| ReportError::format("a figure", &path, source))?;
        replace(&path, &bytes)
    }
}

/// Makes a folder, which may be there already.
///
/// # Errors
/// [`ReportError`] naming it.
pub fn make_folder(path: &Path) -> Result<PathBuf, ReportError> {
    fs::create_dir_all(path).map_err(|source| ReportError::folder(path, source))?;
    Ok(path.to_owned())
}

/// Writes a text file as a whole.
///
/// # Errors
/// [`ReportError`] naming it.
pub fn write_file(path: &Path, text: &str) -> Result<(), ReportError> {
    replace(path, text.as_bytes())
}

/// Makes a new folder below another one, named by the time.
///
/// # Errors
/// [`ReportError`] naming it.
pub fn make_stamped(parent: &Path) -> Result<PathBuf, ReportError> {
    make_unique(parent, &host::clock::folder_stamp())
}

/// The trial a figure comes from.
pub(super) fn trial_of<'a>(
    trials: &'a [TrialRecord],
    figure: &crate::verdict::answer::Figure,
) -> Option<&'a TrialRecord> {
    trials.iter().find(|record| record.number == figure.trial)
}

/// A folder that did not exist before: the stamp itself, else with a number behind it.
pub(super) fn make_unique(parent: &Path, stamp: &str) -> Result<PathBuf, ReportError> {
    fs::create_dir_all(parent).map_err(|source| ReportError::folder(parent, source))?;
    for sibling in 1..=SIBLINGS_MAX {
        let path = if sibling == 1 { parent.join(stamp) } else { parent.join(format!("{stamp}-{sibling}")) };
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(ReportError::folder(&path, source)),
        }
    }
    Err(ReportError::NamesTaken { path: parent.join(stamp), attempts: SIBLINGS_MAX - 1 })
}

/// Writes what was asked, for programs that read the folder.
fn environment_text(path: &Path, environment: &Value) -> Result<String, ReportError> {
    let text = serde_json::to_string_pretty(environment);
    Ok(text.map_err(|source| ReportError::format("the environment", path, source))? + "\n")
}

fn write_begun(folder: &Path, plan: &Plan, environment: &Value, began: Moment) -> Result<(), ReportError> {
    let fact = |name: &str| environment[name].as_str().map(str::to_owned);
    let begun = Begun {
        schema: archive::SCHEMA,
        run: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        version: fact("version").unwrap_or_default(),
        commit: fact("commit"),
        began_unix_ns: began.unix_ns,
        began_monotonic_ns: began.monotonic_ns,
        scenario: scenario::fingerprint(plan),
        plan: plan.clone(),
    };
    let path = folder.join(archive::BEGUN);
    let text = serde_json::to_string_pretty(&begun).map_err(|source| ReportError::format("the plan", &path, source))?;
    replace(&path, (text + "\n").as_bytes())
}

/// Copies the DUT's file and the template it names, so that the run folder is enough to run again.
fn write_dut(folder: &Path, plan: &Plan) -> Result<(), ReportError> {
    let dut = &plan.testbed.dut;
    if dut.file_text.is_empty() {
        return Ok(());
    }
    let path = dut_file(folder, plan);
    let beside = folder.join(archive::DUT);
    fs::create_dir_all(&beside).map_err(|source| ReportError::write(&beside, source))?;
    replace(&path, dut.file_text.as_bytes())?;
    let template: Option<&Template> = match &dut.kind {
        DutKind::Reference { config, .. } => Some(config),
        DutKind::Command { config, .. } => config.as_ref(),
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => None,
    };
    match template.and_then(|template| Some((template, template.path.file_name()?))) {
        Some((template, name)) => replace(&beside.join(name), template.text.as_bytes()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Scratch};

    fn read(path: &Path) -> Vec<csv::StringRecord> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
        reader.records().map(Result::unwrap).collect()
    }

    #[test]
    fn a_run_leaves_every_file_with_every_row() {
        let scratch = Scratch::new("rows");
        let run = fixture::run();
        let path = fixture::write(run, scratch.path());
        let rows = |name: &str| read(&path.join(name)).len() - 1;
        let seconds: usize = run.trials.iter().map(|record| record.seconds.len()).sum();
        assert_eq!(rows("timeline.csv"), seconds);
        assert_eq!(rows("trials.csv"), run.trials.len());
        assert_eq!(rows("outcomes.csv"), run.trials.len() * crate::measure::Outcome::ALL.len());
        assert_eq!(rows("servers.csv"), run.trials.len() * 2);
        assert_eq!(rows("summary.csv"), 1);
        assert!(rows("latency.csv") > run.trials.len() * 6 * 20);
        for name in [
            "scenario.toml",
            "plan.toml",
            "environment.json",
            "dut/reference-http.toml",
            "dut/reference-http.lb.toml",
            "latency.hlog",
        ] {
            assert!(fs::metadata(path.join(name)).unwrap().len() > 0, "{name}");
        }
        let result: Value = serde_json::from_slice(&fs::read(path.join("result.json")).unwrap()).unwrap();
        assert_eq!(result["answer"]["figures"][0]["value"], 980.0);
        assert_eq!(result["trials"].as_array().unwrap().len(), run.trials.len());
        let drafts =
            fs::read_dir(&path).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(drafts.count(), 0);
    }

    #[test]
    fn the_summary_begins_with_the_promised_columns() {
        let scratch = Scratch::new("summary");
        let path = fixture::write(fixture::run(), scratch.path());
        let summary = read(&path.join("summary.csv"));
        let golden = include_str!("../../tests/golden/summary-header.csv");
        assert_eq!(summary[0].iter().collect::<Vec<_>>().join(","), golden.trim_end());
        let field = |name: &str| summary[1].get(summary[0].iter().position(|column| column == name).unwrap()).unwrap();
        let names = ["cps_mean", "failed", "attempted", "goodput_bps_mean", "bound", "limited_by", "verdict"];
        let values = ["980", "0", "9800", "8028160", "exact", "dut", "undecided"];
        assert_eq!(names.map(field), values);
    }

    #[test]
    #[ignore = "writes the synthetic runs to the folder in NADARE_RENDER, for looking at them"]
    fn the_synthetic_runs_can_be_looked_at() {
        let root = PathBuf::from(std::env::var_os("NADARE_RENDER").expect("NADARE_RENDER names a folder"));
        for (name, run) in [
            ("found", fixture::run()),
            ("interrupted", &fixture::interrupted()),
            ("external", &fixture::external()),
            ("rfc2544", fixture::frames::rfc2544()),
            ("imix", fixture::frames::imix()),
            ("udp", &fixture::frames::faulty_frames()),
        ] {
            let path = fixture::write(run, &root.join("draft"));
            let _ = fs::remove_dir_all(root.join(name));
            fs::rename(path, root.join(name)).unwrap();
        }
        let parts = root.join("parts");
        let _ = fs::remove_dir_all(&parts);
        let _ = fs::remove_dir_all(root.join("merged"));
        let runs = fixture::side_by_side(&parts, &[0, 1_300_000_000]);
        let joined = crate::merge::join(&runs).unwrap();
        crate::report::write_merged(&runs, &joined, &root, Some(&root.join("merged"))).unwrap();
    }

    #[test]
    fn a_disk_that_fills_up_keeps_what_was_written_before() {
        let scratch = Scratch::new("full");
        let run = fixture::external();
        for full in ["report.html", "rate.png"] {
            let mut folder = RunFolder::create(scratch.path(), &run.plan, "", &run.environment).unwrap();
            std::os::unix::fs::symlink("/dev/full", folder.path().join(format!(".draft-{full}"))).unwrap();
            let error = folder.finish(&run.plan, &run.trials, &run.answer).unwrap_err();
            assert!(error.is_disk_full(), "{error:?}");
            assert!(error.to_string().contains(full), "{error}");
            assert_eq!(read(&folder.path().join("summary.csv")).len(), 2);
            assert!(!folder.path().join(full).exists());
        }
    }

    #[test]
    fn two_runs_in_one_second_get_two_folders() {
        let scratch = Scratch::new("siblings");
        let names: Vec<_> = (0..3)
            .map(|_| make_unique(scratch.path(), "20261123-040506").unwrap().file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["20261123-040506", "20261123-040506-2", "20261123-040506-3"]);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_reports() {
        assert_eq!(
            ["cps", "../../etc", "a/b c", "..", ""].map(folder_name),
            ["cps", "-..-etc", "a-b-c", "unnamed", "unnamed"]
        );
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let run = fixture::run();
        let error = RunFolder::create(Path::new("/proc/nowhere"), &run.plan, "", &run.environment).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot make /proc/nowhere/cps; choose a folder that can be written with --reports"
        );
        assert!(!error.is_disk_full());
    }
}
