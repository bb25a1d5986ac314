//! A command that is run once in a namespace, with an end to its patience and its words in a log.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use host::namespace::Namespace;
use host::process::ExitKind;

use crate::testbed::error::{LogTail, TestbedError};

/// How long one command may take.
const BOUND: Duration = Duration::from_secs(10);

/// One command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Once<'a> {
    /// Where it runs.
    pub(super) namespace: &'a Namespace,
    /// Program and arguments.
    pub(super) words: &'a [String],
    /// What it reads.
    pub(super) input: &'a str,
    /// Where its output goes, after the command line itself.
    pub(super) log: &'a Path,
}

impl Once<'_> {
    /// Runs it to its end.
    pub(super) fn run(&self) -> Result<(), TestbedError> {
        let line = self.words.join(" ");
        let failed = |how: String| TestbedError::Command { line: line.clone(), how, log: LogTail::read(self.log) };
        match self.namespace.run(|| self.ended()).and_then(|ended| ended) {
            Ok(ExitKind::Code(0)) => Ok(()),
            Ok(end) => Err(failed(end.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn ended(&self) -> io::Result<ExitKind> {
        let mut log = OpenOptions::new().create(true).append(true).open(self.log)?;
        writeln!(log, "# {}", self.words.join(" "))?;
        log.write_all(self.input.as_bytes())?;
        let (program, arguments) = self.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        host::process::dies_with_parent(&mut command);
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // One that has ended says by its status why it did not read.
            let _ = input.write_all(self.input.as_bytes());
        }
        if !host::process::ended_within(child.id(), BOUND) {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("it did not end within {BOUND:?}")));
        }
        Ok(child.wait()?.into())
    }
}
