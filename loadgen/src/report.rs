//! Everything that a person or a program reads of a run: the run folder, the terminal, the pictures.
//!
//! A [`RunFolder`] is written as the run goes, so that a run that is killed leaves what it measured;
//! [`Live`] is one line on the terminal while it runs; [`summary`] answers the question afterwards.
//! Nothing here decides anything: figures, limits and verdicts arrive in an
//! [`Answer`](crate::verdict::answer::Answer) and are printed as they are. Together with `main.rs` it
//! is the only code that prints.

mod compare;
mod curve;
mod error;
pub mod export;
mod figures;
mod folder;
mod frames;
pub mod gate;
mod html;
mod live;
mod merged;
mod page;
mod pages;
mod plot;
mod result;
mod rows;
mod sheet;
mod sizing;
mod tables;
mod terminal;
mod text;
mod trend;
pub mod usage;

pub use compare::{comparison_text, write_comparison};
pub use error::ReportError;
pub use folder::{RunFolder, make_folder, make_stamped, write_file};
pub use live::Live;
pub use merged::write_merged;
pub use pages::rebuild;
pub use sizing::{SizingReport, sizing_summary};
pub use terminal::{complain, say, summary, write_raw};
pub use text::table;
pub use trend::{Trend, TrendPoint, trend_json, trend_text};

#[cfg(test)]
pub(crate) mod fixture;
