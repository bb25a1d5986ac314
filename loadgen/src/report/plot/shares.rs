//! How the work was shared out over the real servers.

use super::axis::{Axis, Scale};
use super::canvas::{BLUE, Chart, Form, ORANGE, Series};
use super::{Material, Omitted};
use crate::report::rows::{ServerRow, servers as server_rows};
use crate::report::terminal::shown_trial;
use crate::report::text::share;

/// Real servers in the picture; all are in `servers.csv`.
const SERVERS_MAX: usize = 24;

/// The share of every real server in the figure's trial, as the client and as the reflectors saw it.
pub(super) fn servers(material: &Material<'_>) -> Result<Chart, Omitted> {
    let caption = "share of every real server in the trial behind the figure: responses as the client read them, requests as the reflectors booked them";
    let record = shown_trial(material.trials, material.answer)
        .ok_or_else(|| Omitted::new(caption, "no trial went through the DUT"))?;
    let all = server_rows(record);
    if all.is_empty() {
        let why = "no reflector of this program took part: the servers neither name themselves nor keep books";
        return Err(Omitted::new(caption, why));
    }
    let shown = &all[..all.len().min(SERVERS_MAX)];
    let client = bars(shown, 0.19, |server| server.client_share);
    let reflector = bars(shown, -0.19, |server| server.reflector_share);
    let highest = client.iter().chain(&reflector).map(|bar| bar.0).fold(0.0, f64::max);
    let mut x = Axis::from_zero("share in percent", highest, 8);
    // Room for the number at the end of the longest bar.
    x.to = highest.max(1.0) * 1.12;
    let title = match all.len() - shown.len() {
        0 => format!("share per real server in trial {}", record.number),
        more => format!("share per real server in trial {} ({more} more in servers.csv)", record.number),
    };
    let row = |at: usize| (shown.len() - at) as f64;
    let y = Axis {
        label: "real server".to_owned(),
        scale: Scale::Names,
        from: 0.4,
        to: shown.len() as f64 + 0.6,
        ticks: shown.iter().enumerate().map(|(at, server)| (row(at), short(server.name))).collect(),
    };
    let series =
        |name: &str, colour, ends| Series { name: name.to_owned(), colour, form: Form::Bars { ends, thickness: 0.34 } };
    let series = vec![series("client side", BLUE, client), series("reflector side", ORANGE, reflector)];
    Ok(Chart { height: 140 + 44 * shown.len() as i32, ..Chart::new(title, caption, x, y, series) })
}

fn bars(servers: &[ServerRow<'_>], shift: f64, of: impl Fn(&ServerRow<'_>) -> Option<f64>) -> Vec<(f64, f64, String)> {
    let bar = |(at, server): (usize, &ServerRow<'_>)| {
        let ratio = of(server)?;
        Some((ratio * 100.0, (servers.len() - at) as f64 + shift, share(ratio)))
    };
    servers.iter().enumerate().filter_map(bar).collect()
}

/// A name that fits left of the axis.
fn short(name: &str) -> String {
    if name.chars().count() <= 11 { name.to_owned() } else { name.chars().take(10).chain(['…']).collect() }
}
