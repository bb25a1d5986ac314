//! A sizing for people and programs: `size.html`, `size.json` and the terminal.
//!
//! The page answers first, in one sentence, because a committee reads it; tables, method and limits
//! follow for whoever has to check it. Its frame is that of all pages, and it needs no JavaScript.
//! Nothing is decided here.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::ReportError;
use super::folder::make_unique;
use super::page;
use super::sheet::replace;
use super::tables::Grid;
use super::terminal::Lines;
use super::text::{NOTHING, amount};
use crate::sizing::answer::DeviceAnswer;
use crate::sizing::scaling::Scaling;
use crate::sizing::{Demand, Sizing};

mod bars;
mod grids;
#[cfg(test)]
mod tests;
mod words;

/// Version of the form of `size.json`; a change that would mislead a reader raises it.
const SCHEMA: u32 = 1;

/// A sizing and where it comes from.
pub struct SizingReport<'a> {
    /// The answer.
    pub sizing: &'a Sizing,
    /// How devices of other sizes would do, if that was asked.
    pub scaling: Option<&'a Scaling>,
    /// The demand file as written.
    pub demand_text: &'a str,
    /// The command that was given.
    pub command: &'a str,
    /// Version of this program.
    pub version: &'a str,
}

impl SizingReport<'_> {
    /// Writes the page, the numbers and the demand into a new folder under `root`, and returns it.
    ///
    /// # Errors
    /// [`ReportError`] naming the file that cannot be written.
    pub fn write(&self, root: &Path) -> Result<PathBuf, ReportError> {
        let folder = make_unique(&root.join("size"), &host::clock::folder_stamp())?;
        replace(&folder.join("demand.toml"), self.demand_text.as_bytes())?;
        let path = folder.join("size.json");
        let text = self
            .document()
            .and_then(|document| serde_json::to_string_pretty(&document))
            .map_err(|source| ReportError::format("the answer", &path, source))?;
        replace(&path, (text + "\n").as_bytes())?;
        let path = folder.join("size.html");
        let page = self.page().map_err(|source| ReportError::format("the page", &path, source))?;
        replace(&path, page.as_bytes())?;
        Ok(folder)
    }

    fn document(&self) -> Result<Value, serde_json::Error> {
        Ok(json!({
            "schema": SCHEMA,
            "version": self.version,
            "command": self.command,
            "decided": self.sizing.decided(),
            "sizing": serde_json::to_value(self.sizing)?,
            "scaling": serde_json::to_value(self.scaling)?,
        }))
    }

    /// The whole page.
    fn page(&self) -> Result<String, minijinja::Error> {
        page::render("size.html", include_str!("../../assets/size.html"), self.values(), &[])
    }

    fn values(&self) -> Value {
        let Sizing { demand, devices, .. } = self.sizing;
        let status = if self.sizing.decided() {
            json!({ "word": "answered", "colour": "good", "code": 0, "reason": "every device has a number" })
        } else {
            json!({ "word": "undecided", "colour": "open", "code": 4, "reason": "something the site needs was not measured" })
        };
        json!({
            "kind": "size",
            "site": demand.site,
            "subject": format!("capacity sizing for {}", demand.site),
            "question": format!("How many load balancers does {} have to buy?", demand.site),
            "written": host::clock::wall_clock(),
            "status": status,
            "sentences": devices.iter().map(|device| words::sentence(demand, device)).collect::<Vec<_>>(),
            "cards": devices.iter().map(|device| card(demand, device)).collect::<Vec<_>>(),
            "columns": (devices.len() > 1).then(|| grids::columns(demand, devices).value()),
            "demand": grids::demand(self.sizing).value(),
            "services": grids::services(demand).value(),
            "sheet": grids::sheet(demand).value(),
            "warnings": demand.warnings,
            "devices": devices.iter().map(|device| device_values(demand, device)).collect::<Vec<_>>(),
            "scaling": self.scaling.map(scaling_values),
            "method": grids::method(demand).value(),
            "environment": grids::facts(&self.sizing.place).value(),
            "command": self.command,
            "files": "size.json with every number, demand.toml as it was given",
        })
    }
}

/// The answer for one device in a box.
fn card(demand: &Demand, device: &DeviceAnswer) -> Value {
    let Some(nodes) = &device.nodes else {
        return json!({ "title": device.dut, "value": "?", "colour": "open", "lines": device.missing.iter().take(2).collect::<Vec<_>>() });
    };
    let mut lines = Vec::new();
    if nodes.at_most {
        lines.push("an upper bound: a capacity is known as a lower bound only".to_owned());
    }
    lines.extend(device.price.map(|price| words::price(demand, nodes, price).join(" = ")));
    lines.extend(nodes.binding().map(|binding| words::usage(nodes, binding)));
    json!({
        "title": device.dut,
        "value": format!("{}{}", if nodes.at_most { "≤ " } else { "" }, nodes.nodes),
        "unit": if nodes.nodes == 1 { "device" } else { "devices" },
        "lines": lines,
        "muted": [format!("What binds: {}", words::binding(nodes))],
    })
}

/// The answer on the terminal; `folder` is where the report was written.
pub fn sizing_summary(report: &SizingReport<'_>, folder: &Path) -> String {
    let Sizing { demand, planned, devices, .. } = report.sizing;
    let mut lines = Lines(format!("{}: how many load balancers?\n\n", demand.site));
    for (at, (resource, peak)) in planned.iter().enumerate() {
        let today = demand.today(*resource).unwrap_or(*peak);
        let later = if demand.years > 0 {
            format!(", {} in {}", words::quantity(*resource, *peak), words::plural(demand.years.into(), "year"))
        } else {
            String::new()
        };
        lines.line(if at == 0 { "demand" } else { "" }, &format!("{} today{later}", words::quantity(*resource, today)));
    }
    for device in devices {
        device_lines(&mut lines, demand, device);
    }
    if let Some(scaling) = report.scaling {
        lines.line("scaling", &scaling_text(scaling));
    }
    for warning in &demand.warnings {
        lines.line("warning", warning);
    }
    lines.line("report", &folder.join("size.html").display().to_string());
    lines.0
}

fn device_lines(lines: &mut Lines, demand: &Demand, device: &DeviceAnswer) {
    lines.line("", "");
    lines.line("answer", &words::sentence(demand, device));
    for why in &device.missing {
        lines.line("missing", why);
    }
    for capacity in &device.capacities {
        lines.line(
            "capacity",
            &format!("{} per device, {}, {}", words::capacity(capacity), words::spread(capacity), capacity.from),
        );
        for flag in &capacity.flags {
            lines.line("", flag);
        }
    }
    if let Some(nodes) = &device.nodes {
        lines.line("binding", &words::binding(nodes));
        for constraint in &nodes.constraints {
            let rule = words::rule(nodes, constraint, demand.redundancy.mode);
            lines.line("", &format!("{}: {rule}", constraint.limit.name()));
        }
        if let Some(price) = device.price {
            lines.line("price", &words::price(demand, nodes, price).join(" = "));
        }
        if let Some(sensitivity) = &device.sensitivity {
            for (at, [what, becomes]) in words::changes(nodes, sensitivity).iter().enumerate() {
                lines.line(if at == 0 { "what if" } else { "" }, &format!("{what}: {becomes}"));
            }
        }
    }
    if let Some(wait) = &device.wait {
        lines.line("waits", &words::wait(wait));
    }
    for text in &device.extrapolated {
        lines.line("beyond", text);
    }
    for warning in &device.warnings {
        lines.line("warning", warning);
    }
}

fn device_values(demand: &Demand, device: &DeviceAnswer) -> Value {
    let nodes = device.nodes.as_ref();
    json!({
        "name": device.dut,
        "missing": device.missing,
        "bars": nodes.map(bars::picture),
        "caption": nodes.map(bars::caption),
        "capacities": grids::capacity(demand, device).value(),
        "rules": grids::rules(demand, device).value(),
        "changes": grids::changes(device).value(),
        "years": grids::years(device).value(),
        "wait": device.wait.as_ref().map(words::wait),
        "warnings": device.warnings,
        "extrapolated": device.extrapolated,
        "runs": grids::runs(device).value(),
        "configuration": grids::facts(&device.configuration).value(),
    })
}

fn scaling_text(scaling: &Scaling) -> String {
    let law = scaling.fit.law;
    let asked = match &scaling.asked {
        None => String::new(),
        Some(Ok(said)) => format!(
            "; {} workers: {} ({} to {}){}",
            said.n,
            amount(said.x),
            amount(said.low),
            amount(said.high),
            if said.extrapolated { ", beyond what was measured" } else { "" }
        ),
        Some(Err(why)) => format!("; {why}"),
    };
    let peak = scaling.fit.peak.map_or_else(
        || "no peak within twice the largest size measured".to_owned(),
        |peak| format!("peak of {} at {:.1} workers", amount(peak.x), peak.n),
    );
    format!(
        "{} of {} over workers: λ {:.1}, α {:.4}, β {:.2e}, R² {:.4}, {peak}{asked}",
        scaling.resource.words(),
        scaling.duts.join(", "),
        law.lambda,
        law.alpha,
        law.beta,
        scaling.fit.r_squared
    )
}

fn scaling_values(scaling: &Scaling) -> Value {
    let mut grid = Grid::new(&["workers", "measured", "by the law", "95 % band", ""]).text(&[4]);
    for said in &scaling.predictions {
        let measured = scaling.points.iter().find(|point| (point.n - said.n).abs() < 1e-9);
        grid.row(vec![
            said.n.to_string(),
            measured.map_or_else(|| NOTHING.to_owned(), |point| amount(point.x)),
            amount(said.x),
            format!("{} to {}", amount(said.low), amount(said.high)),
            if said.extrapolated { "extrapolated".to_owned() } else { String::new() },
        ]);
    }
    json!({ "text": scaling_text(scaling), "points": grid.value() })
}
