//! `loadgen export RUN`: what a finished run measured, in the format of another tool.

use std::path::Path;

use super::Failure;
use crate::archive::Archive;
use crate::cli::{ExportArgs, ExportFormat};
use crate::report::{self, export};
use crate::verdict::answer::Exit;

pub(super) fn export(arguments: &ExportArgs) -> Result<Exit, Failure> {
    let archive = Archive::read(&arguments.run).map_err(Failure::usage)?;
    for warning in &archive.warnings {
        report::complain(&format!("warning: {warning}"));
    }
    let text = match arguments.format {
        ExportFormat::Jsonl => export::json_lines(&archive),
        ExportFormat::Influx => export::influx_lines(&archive),
        ExportFormat::Prometheus => export::prometheus_text(&archive),
    };
    if arguments.out == Path::new("-") {
        report::write_raw(&text);
    } else {
        report::write_file(&arguments.out, &text).map_err(Failure::host)?;
    }
    Ok(Exit::Met)
}
