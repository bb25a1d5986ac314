//! The rows of the CSV files that grow while a run goes: header and values side by side.
//!
//! Column names are `<what>_<unit>_<statistic>`; `_bps` is bits per second. An empty field means
//! that there is no such number: too few samples for a percentile, a role that cannot be seen.

use wire::ledger::Ledger;

use super::frames::books::departure;
use super::frames::names::only_size;
use super::text::{amount, bare, bare_us, maybe_bare};
use super::usage;
use crate::measure::record::{EndedEarly, FrameRecord, Purpose, TrialLoad};
use crate::measure::{Latencies, Latency, Outcome, Phase, Role, Sample, Second, TrialRecord};

/// A row of text fields.
pub(super) type Row = Vec<String>;

/// The header of a file that is a list of columns, each with its name and its field.
pub(super) fn header<F>(columns: &[(&'static str, F)]) -> Row {
    columns.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// One row of such a file.
pub(super) fn row<T, F: Fn(&T) -> String>(columns: &[(&'static str, F)], value: &T) -> Row {
    columns.iter().map(|(_, field)| field(value)).collect()
}

/// Header of `timeline.csv` on a host with so many cores.
pub(super) fn timeline_header(cores: usize) -> Row {
    let mut names: Row = ["t_s", "run_s", "trial", "purpose", "phase", "due", "started"].map(str::to_owned).into();
    names.extend(Outcome::ALL.iter().map(|outcome| outcome.name().to_owned()));
    names.extend(
        [
            "cc",
            "opened",
            "transactions",
            "body_bps",
            "response_time_us_p50",
            "response_time_us_p99",
            "schedule_lag_us_p99",
            "inter_departure_us_p50",
            "inter_departure_us_p99",
            "inter_departure_us_max",
            "generator_busy_pct",
            "dut_busy_pct",
            "reflector_busy_pct",
            "dut_rss_bytes",
        ]
        .map(str::to_owned),
    );
    names.extend((0..cores).map(|core| format!("core{core}_busy_pct")));
    names
}

/// One row of `timeline.csv`.
pub(super) struct TimelineRow<'a> {
    /// Seconds since the run folder was made, at the end of this second.
    pub(super) run_s: f64,
    /// Number of the trial.
    pub(super) trial: u32,
    /// What the trial is for.
    pub(super) purpose: Purpose,
    /// Which part of the trial this is.
    pub(super) phase: Phase,
    /// What was measured.
    pub(super) second: &'a Second,
    /// The testbed before and after.
    pub(super) samples: Option<(&'a Sample, &'a Sample)>,
}

impl TimelineRow<'_> {
    /// The fields, for a file with so many columns for cores.
    pub(super) fn fields(&self, cores: usize) -> Row {
        let second = self.second;
        let mut fields = vec![
            second.index.to_string(),
            format!("{:.3}", self.run_s),
            self.trial.to_string(),
            self.purpose.name().to_owned(),
            self.phase.name().to_owned(),
            second.due.to_string(),
            second.started.to_string(),
        ];
        fields.extend(second.ended.iter().map(|(_, operations)| operations.to_string()));
        fields.extend([second.open, second.opened, second.transactions, second.body_bytes * 8].map(|n| n.to_string()));
        fields.extend([
            bare_us(second.latencies.percentile(Latency::Response, 50.0)),
            bare_us(second.latencies.percentile(Latency::Response, 99.0)),
            bare_us(second.latencies.percentile(Latency::Lag, 99.0)),
        ]);
        let departures = !second.latencies.of(Latency::Departure).is_empty();
        fields.extend([50.0, 99.0, 100.0].map(|percentile| {
            bare_us(second.latencies.percentile(Latency::Departure, percentile).filter(|_| departures))
        }));
        fields.extend(self.busy_fields(cores));
        fields
    }

    fn busy_fields(&self, cores: usize) -> Row {
        let Some((before, after)) = self.samples else { return vec![String::new(); 4 + cores] };
        let mut fields = vec![
            percent(usage::role(before, after, Role::Generator).map(|usage| usage.busy)),
            percent(usage::role(before, after, Role::Dut).map(|usage| usage.busy)),
            percent(usage::reflectors(before, after).map(|usage| usage.busy)),
            after.role(Role::Dut).map(|dut| dut.rss_anon_bytes.to_string()).unwrap_or_default(),
        ];
        let busy = usage::cores(before, after);
        fields.extend((0..cores).map(|core| percent(busy.get(core).copied().flatten())));
        fields
    }
}

/// One trial with what became of it.
pub(super) struct TrialRow<'a> {
    /// What was measured.
    pub(super) record: &'a TrialRecord,
    /// Whether it passed, where that was asked.
    pub(super) passed: Option<bool>,
    /// Why not, or what else there is to say.
    pub(super) reasons: &'a [String],
}

/// A field of such a row.
pub(super) type TrialRowField = fn(&TrialRow<'_>) -> String;

impl TrialRow<'_> {
    fn busy(&self, of: impl Fn(&Sample, &Sample) -> Option<f64>) -> String {
        percent(usage::sustain(self.record).and_then(|(before, after)| of(before, after)))
    }

    fn latency(&self, latency: Latency, percentile: f64) -> String {
        bare_us(self.record.latencies.percentile(latency, percentile))
    }

    /// What a trial of frames counted; empty for any other.
    fn frames(&self, of: impl Fn(&FrameRecord) -> String) -> String {
        self.record.frames.as_ref().map(of).unwrap_or_default()
    }
}

/// Columns of `trials.csv`: the path of the search.
pub(super) const TRIALS: &[(&str, TrialRowField)] = &[
    ("trial", |t| t.record.number.to_string()),
    ("purpose", |t| t.record.purpose.name().to_owned()),
    ("load_kind", |t| load_kind(t.record.load).to_owned()),
    ("load", |t| bare(t.record.load.amount())),
    ("began_monotonic_s", |t| bare(t.record.began_ns as f64 / 1e9)),
    ("ramp_up_s", |t| bare(t.record.ramp_up.as_secs_f64())),
    ("sustain_s", |t| bare(t.record.sustain.as_secs_f64())),
    ("ramp_down_s", |t| bare(t.record.ramp_down.as_secs_f64())),
    ("passed", |t| t.passed.map(|passed| passed.to_string()).unwrap_or_default()),
    ("ended_early", |t| t.record.ended_early.as_ref().map(ended_early).unwrap_or_default()),
    ("reasons", |t| t.reasons.join("; ")),
    ("due", |t| t.record.due.to_string()),
    ("ok", |t| t.record.outcomes.of(Outcome::Ok).to_string()),
    ("failed", |t| t.record.outcomes.failed().to_string()),
    ("failed_ratio", |t| t.record.failed_ratio().to_string()),
    ("achieved_per_s_mean", |t| bare(t.record.achieved_rate())),
    ("tps_mean", |t| bare(t.record.transaction_rate())),
    ("cc_mean", |t| bare(t.record.open_mean_in_sustain)),
    ("cc_min", |t| t.record.open_min_in_sustain.to_string()),
    ("cc_peak", |t| t.record.open_peak.to_string()),
    ("goodput_bps_mean", |t| bare(goodput_bps(t.record))),
    ("response_time_us_p50", |t| t.latency(Latency::Response, 50.0)),
    ("response_time_us_p90", |t| t.latency(Latency::Response, 90.0)),
    ("response_time_us_p99", |t| t.latency(Latency::Response, 99.0)),
    ("service_time_us_p50", |t| t.latency(Latency::Service, 50.0)),
    ("service_time_us_p99", |t| t.latency(Latency::Service, 99.0)),
    ("schedule_lag_us_p99", |t| t.latency(Latency::Lag, 99.0)),
    ("dut_busy_pct_mean", |t| t.busy(|a, b| usage::role(a, b, Role::Dut).map(|usage| usage.busy))),
    ("generator_busy_pct_mean", |t| t.busy(|a, b| usage::role(a, b, Role::Generator).map(|usage| usage.busy))),
    ("reflector_busy_pct_mean", |t| t.busy(|a, b| usage::reflectors(a, b).map(|usage| usage.busy))),
    ("busiest_core_pct_mean", |t| t.busy(|a, b| usage::cores(a, b).into_iter().flatten().reduce(f64::max))),
    ("steal_pct_mean", |t| t.busy(usage::steal)),
    ("slots", |t| t.record.slots.to_string()),
    ("slots_cut", |t| t.record.slots_cut.clone().unwrap_or_default()),
    ("waited_for_slot", |t| t.record.waited_for_slot.to_string()),
    ("attempted_connections_all", |t| t.record.attempted_connections_all.to_string()),
    ("opened_all", |t| t.record.opened_all.to_string()),
    ("transactions_all", |t| t.record.transactions_all.to_string()),
    ("fps_mean", |t| t.frames(|_| bare(t.record.achieved_rate()))),
    ("frame_b", |t| t.frames(|f| only_size(f).map(|size| size.frame().to_string()).unwrap_or_default())),
    ("streams", |t| t.frames(|f| f.streams.to_string())),
    ("frames_sent", |t| t.frames(|f| f.sustain.sent.to_string())),
    ("frames_answered", |t| t.frames(|f| f.sustain.answered.to_string())),
    ("reordered", |t| t.frames(|f| f.sustain.reordered.to_string())),
    ("duplicates", |t| t.frames(|f| f.sustain.duplicates.to_string())),
    ("late", |t| t.frames(|f| f.sustain.late.to_string())),
    ("corrupted", |t| t.frames(|f| f.sustain.corrupted.to_string())),
    ("foreign", |t| t.frames(|f| f.sustain.foreign.to_string())),
    ("own_drops_all", |t| t.frames(|f| f.own_drops.to_string())),
    ("inter_departure_us_p50", |t| departure(t.record, 50.0)),
    ("inter_departure_us_p99", |t| departure(t.record, 99.0)),
    ("inter_departure_us_max", |t| departure(t.record, 100.0)),
];

/// Header of `outcomes.csv`.
pub(super) const OUTCOMES: [&str; 6] =
    ["trial", "purpose", "outcome", "operations_in_sustain", "share_in_sustain_pct", "operations_all"];

/// The rows of `outcomes.csv` of one trial: every kind, zeros included.
pub(super) fn outcome_rows(record: &TrialRecord) -> Vec<Row> {
    let total = record.outcomes.total().max(1) as f64;
    let of_kind = |(outcome, operations): (Outcome, u64)| {
        vec![
            record.number.to_string(),
            record.purpose.name().to_owned(),
            outcome.name().to_owned(),
            operations.to_string(),
            bare(operations as f64 / total * 100.0),
            record.outcomes_all.of(outcome).to_string(),
        ]
    };
    record.outcomes.iter().map(of_kind).collect()
}

/// One real server in one trial: what the client read, what the server itself wrote down.
pub(super) struct ServerRow<'a> {
    /// Number of the trial.
    pub(super) trial: u32,
    /// Name of the instance.
    pub(super) name: &'a str,
    /// Responses that named it, as the client read them.
    pub(super) responses: u64,
    /// The client side's share of all responses, 0 to 1.
    pub(super) client_share: Option<f64>,
    /// Its own books, where it keeps any.
    pub(super) ledger: Option<&'a Ledger>,
    /// The reflector side's share: of the requests or frames, or without any of the connections; 0 to 1.
    pub(super) reflector_share: Option<f64>,
}

/// A field of such a row.
pub(super) type ServerRowField = fn(&ServerRow<'_>) -> String;

impl ServerRow<'_> {
    fn book(&self, entry: fn(&Ledger) -> u64) -> String {
        self.ledger.map(|ledger| entry(ledger).to_string()).unwrap_or_default()
    }
}

/// Columns of `servers.csv`.
pub(super) const SERVERS: &[(&str, ServerRowField)] = &[
    ("trial", |s| s.trial.to_string()),
    ("real_server", |s| s.name.to_owned()),
    ("client_responses", |s| s.responses.to_string()),
    ("client_share_pct", |s| percent(s.client_share)),
    ("reflector_share_pct", |s| percent(s.reflector_share)),
    ("reflector_opened", |s| s.book(|l| l.opened)),
    ("reflector_requests", |s| s.book(|l| l.requests)),
    ("reflector_responses", |s| s.book(|l| l.responses)),
    ("reflector_responses_2xx", |s| s.book(|l| l.responses_by_class[1])),
    ("reflector_responses_4xx", |s| s.book(|l| l.responses_by_class[3])),
    ("reflector_responses_5xx", |s| s.book(|l| l.responses_by_class[4])),
    ("reflector_closed_by_peer", |s| s.book(|l| l.closed_by_peer)),
    ("reflector_closed_by_reflector", |s| s.book(|l| l.closed_by_reflector)),
    ("reflector_reset_by_peer", |s| s.book(|l| l.reset_by_peer)),
    ("reflector_reset_by_reflector", |s| s.book(|l| l.reset_by_reflector)),
    ("reflector_silent", |s| s.book(|l| l.silent)),
    ("reflector_check_connections", |s| s.book(|l| l.check_connections)),
    ("reflector_check_requests", |s| s.book(|l| l.check_requests)),
    ("reflector_bad_requests", |s| s.book(|l| l.bad_requests)),
    ("reflector_refused_by_cap", |s| s.book(|l| l.refused_by_cap)),
    ("reflector_accept_queue_drops", |s| s.book(|l| l.accept_queue_drops)),
    ("reflector_cc_peak", |s| s.book(|l| l.open_peak)),
    ("reflector_in_bytes", |s| s.book(|l| l.bytes_in)),
    ("reflector_out_bytes", |s| s.book(|l| l.bytes_out)),
    ("reflector_frames_received", |s| s.book(|l| l.udp.received)),
    ("reflector_frames_sent", |s| s.book(|l| l.udp.sent)),
    ("reflector_buffer_drops", |s| s.book(|l| l.udp.buffer_drops)),
];

/// The real servers of one trial, from both sides, by name.
pub(super) fn servers(record: &TrialRecord) -> Vec<ServerRow<'_>> {
    let client = record.responses_by_instance.iter().map(|(name, _)| name.as_str());
    let mut names: Vec<&str> = client.chain(record.ledgers.iter().map(|ledger| ledger.instance.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let responses: u64 = record.responses_by_instance.iter().map(|(_, responses)| responses).sum();
    // Datagrams are shared out by themselves; a workload without requests (plain TCP) by connections.
    let by_requests = record.ledgers.iter().any(|ledger| ledger.requests > 0);
    let work = |ledger: &Ledger| match (record.frames.is_some(), by_requests) {
        (true, _) => ledger.udp.received,
        (false, true) => ledger.requests,
        (false, false) => ledger.opened,
    };
    let worked: u64 = record.ledgers.iter().map(work).sum();
    let of_name = |name| {
        let read = record.responses_by_instance.iter().find(|(known, _)| known == name).map_or(0, |(_, read)| *read);
        let ledger = record.ledgers.iter().find(|ledger| ledger.instance == name);
        ServerRow {
            trial: record.number,
            name,
            responses: read,
            client_share: (responses > 0).then(|| read as f64 / responses as f64),
            ledger,
            reflector_share: ledger.filter(|_| worked > 0).map(|ledger| work(ledger) as f64 / worked as f64),
        }
    };
    names.into_iter().map(of_name).collect()
}

/// Header of `latency.csv`.
pub(super) const LATENCY: [&str; 6] = ["trial", "purpose", "latency", "samples", "percentile", "value_us"];

/// The percentiles of `latency.csv`: the minimum, fives, then closer and closer to the maximum.
pub(super) const PERCENTILES: [f64; 36] = [
    0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0,
    92.5, 95.0, 96.0, 97.0, 98.0, 99.0, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97, 99.98, 99.99, 99.995, 99.999, 100.0,
];

/// The rows of `latency.csv` of one trial: the percentile curve of every latency, as far as there
/// are enough samples.
pub(super) fn latency_rows(record: &TrialRecord) -> Vec<Row> {
    let mut rows = Vec::new();
    for latency in Latency::ALL {
        let samples = record.latencies.of(latency).len();
        for percentile in PERCENTILES.into_iter().filter(|_| samples > 0) {
            let Some(value) = record.latencies.percentile(latency, percentile) else { continue };
            rows.push(vec![
                record.number.to_string(),
                record.purpose.name().to_owned(),
                latency.name().to_owned(),
                samples.to_string(),
                bare(percentile),
                bare_us(Some(value)),
            ]);
        }
    }
    rows
}

/// Application bytes of responses per second of sustain, in bits per second.
pub(super) fn goodput_bps(record: &TrialRecord) -> f64 {
    record.body_bytes_in_sustain as f64 * 8.0 / record.sustain.as_secs_f64()
}

/// The name of a kind of load.
pub(super) fn load_kind(load: TrialLoad) -> &'static str {
    match load {
        TrialLoad::Rate(_) => "rate",
        TrialLoad::Closed(_) => "closed",
        TrialLoad::Held(_) => "held",
    }
}

/// A load for a person: `980/s`, `64 at once`, `5,000 held`.
pub(super) fn load_text(load: TrialLoad) -> String {
    match load {
        TrialLoad::Rate(rate) => format!("{}/s", amount(rate)),
        TrialLoad::Closed(count) => format!("{} at once", amount(count.into())),
        TrialLoad::Held(count) => format!("{} held", amount(count.into())),
    }
}

/// Why a trial ended before its time, in words.
pub(super) fn ended_early(early: &EndedEarly) -> String {
    match early {
        EndedEarly::CannotPass => "it could not pass any more".to_owned(),
        EndedEarly::Interrupted => "interrupted".to_owned(),
        EndedEarly::DutDied(how) => format!("the DUT died: {how}"),
        EndedEarly::NetworkBroke(how) => format!("the network broke: {how}"),
    }
}

/// Whether the generator's own lateness shows in the latencies: the p99 of the schedule lag is more
/// than a tenth of that of the response time. `None` where one of the two is not known.
pub(super) fn lag_shows(latencies: &Latencies) -> Option<bool> {
    let lag = latencies.percentile(Latency::Lag, 99.0)?;
    Some(lag * 10 > latencies.percentile(Latency::Response, 99.0)?)
}

/// A share (1 = all of it) as a bare percentage.
pub(super) fn percent(ratio: Option<f64>) -> String {
    maybe_bare(ratio.map(|ratio| (ratio * 1e6).round() / 1e4))
}
