//! The reflector's books: what one reflector instance saw since it started.
//!
//! All numbers only grow, but for `open_now` and `open_peak`; the difference of two ledgers is what
//! happened between them. Health checks are booked apart, so that they never disturb a
//! reconciliation with a client's books.

use serde::{Deserialize, Serialize};

/// What one reflector instance saw.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Ledger {
    /// Name of the instance.
    pub instance: String,
    /// Connections accepted, without those in `silent`, `check_connections` and `refused_by_cap`. A
    /// connection enters when it is known to be none of these, by its first request (for plain TCP
    /// its first byte) or at the latest by its end, so that this number never shrinks.
    pub opened: u64,
    /// Connections on which the peer closed first, with a FIN.
    pub closed_by_peer: u64,
    /// Connections that this reflector closed first.
    pub closed_by_reflector: u64,
    /// Connections that the peer reset.
    pub reset_by_peer: u64,
    /// Connections that this reflector reset, because it was asked to or because of a cap.
    pub reset_by_reflector: u64,
    /// Connections that ended without having carried a single byte: TCP checks, port scans.
    pub silent: u64,
    /// Connections whose every request was a health check.
    pub check_connections: u64,
    /// Connections refused because of the connection cap (accepted by the kernel, reset at once).
    pub refused_by_cap: u64,
    /// Connections open now, checks and silent ones included.
    pub open_now: u64,
    /// Most connections open at once since the peak was last reset.
    pub open_peak: u64,
    /// Complete requests, without health checks; those with a bad parameter are here and in
    /// `bad_requests`, malformed ones only there.
    pub requests: u64,
    /// Responses sent whole, without those to health checks.
    pub responses: u64,
    /// Responses by status class: 1xx, 2xx, 3xx, 4xx, 5xx; without those to health checks.
    pub responses_by_class: [u64; 5],
    /// Health-check requests.
    pub check_requests: u64,
    /// Requests refused as malformed or outside a limit.
    pub bad_requests: u64,
    /// Bytes read from sockets, heads included.
    pub bytes_in: u64,
    /// Bytes handed to sockets, heads included.
    pub bytes_out: u64,
    /// Connections the kernel dropped because this reflector's own accept queue was full.
    pub accept_queue_drops: u64,
    /// Datagrams; all zero without a UDP listener.
    pub udp: UdpLedger,
    /// One entry per second since start, oldest first, bounded to the last hour. The current second
    /// is left out until it is over, or the reflector stops.
    pub per_second: Vec<LedgerSecond>,
}

/// The datagrams of a [`Ledger`]. Counters only grow.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct UdpLedger {
    /// Datagrams taken from the sockets.
    pub received: u64,
    /// Datagrams handed to the sockets; those sent twice on purpose count twice.
    pub sent: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Not answered on purpose.
    pub dropped: u64,
    /// Answered twice on purpose.
    pub duplicated: u64,
    /// Pairs of neighbours whose answers were swapped on purpose.
    pub swapped: u64,
    /// Answered with a changed byte on purpose.
    pub corrupted: u64,
    /// Received without a signature (shorter than 12 bytes); echoed all the same.
    pub unsigned: u64,
    /// Answers that the kernel refused to send.
    pub send_errors: u64,
    /// Answers dropped because those held back for a delay or a swap had filled their bound.
    pub overflowed: u64,
    /// Datagrams the kernel dropped because this reflector's own receive buffers were full.
    pub buffer_drops: u64,
    /// By length of the payload, ascending; at most [`LENGTHS_MAX`], what comes later is only in the sums.
    pub by_length: Vec<LengthCount>,
}

/// Most different lengths that a [`UdpLedger`] keeps apart.
pub const LENGTHS_MAX: usize = 64;

/// The datagrams of one length.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct LengthCount {
    /// Bytes of payload.
    pub payload: u16,
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
}

impl UdpLedger {
    /// What happened since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |payload| earlier.by_length.iter().find(|count| count.payload == payload).copied();
        let by_length = self.by_length.iter().map(|count| {
            let before = before(count.payload).unwrap_or_default();
            LengthCount {
                payload: count.payload,
                received: count.received.saturating_sub(before.received),
                sent: count.sent.saturating_sub(before.sent),
            }
        });
        Self {
            received: self.received.saturating_sub(earlier.received),
            sent: self.sent.saturating_sub(earlier.sent),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            duplicated: self.duplicated.saturating_sub(earlier.duplicated),
            swapped: self.swapped.saturating_sub(earlier.swapped),
            corrupted: self.corrupted.saturating_sub(earlier.corrupted),
            unsigned: self.unsigned.saturating_sub(earlier.unsigned),
            send_errors: self.send_errors.saturating_sub(earlier.send_errors),
            overflowed: self.overflowed.saturating_sub(earlier.overflowed),
            buffer_drops: self.buffer_drops.saturating_sub(earlier.buffer_drops),
            by_length: by_length.filter(|count| count.received + count.sent > 0).collect(),
        }
    }
}

/// One second of a [`Ledger`].
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct LedgerSecond {
    /// Seconds since the epoch of `CLOCK_MONOTONIC`, which all processes of one host share.
    pub monotonic_s: u64,
    /// Connections accepted in this second, silent ones and those of checks included.
    pub opened: u64,
    /// Requests completed in this second, without checks.
    pub requests: u64,
    /// Connections open at its end.
    pub open: u64,
}

impl Ledger {
    /// What happened since `earlier`: counters are subtracted, `open_now` and `open_peak` stay as
    /// they are, seconds that `earlier` already had are left out.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let last = earlier.per_second.last().map(|second| second.monotonic_s);
        Self {
            instance: self.instance.clone(),
            opened: self.opened.saturating_sub(earlier.opened),
            closed_by_peer: self.closed_by_peer.saturating_sub(earlier.closed_by_peer),
            closed_by_reflector: self.closed_by_reflector.saturating_sub(earlier.closed_by_reflector),
            reset_by_peer: self.reset_by_peer.saturating_sub(earlier.reset_by_peer),
            reset_by_reflector: self.reset_by_reflector.saturating_sub(earlier.reset_by_reflector),
            silent: self.silent.saturating_sub(earlier.silent),
            check_connections: self.check_connections.saturating_sub(earlier.check_connections),
            refused_by_cap: self.refused_by_cap.saturating_sub(earlier.refused_by_cap),
            open_now: self.open_now,
            open_peak: self.open_peak,
            requests: self.requests.saturating_sub(earlier.requests),
            responses: self.responses.saturating_sub(earlier.responses),
            responses_by_class: std::array::from_fn(|class| {
                self.responses_by_class[class].saturating_sub(earlier.responses_by_class[class])
            }),
            check_requests: self.check_requests.saturating_sub(earlier.check_requests),
            bad_requests: self.bad_requests.saturating_sub(earlier.bad_requests),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            accept_queue_drops: self.accept_queue_drops.saturating_sub(earlier.accept_queue_drops),
            udp: self.udp.since(&earlier.udp),
            per_second: self.per_second.iter().filter(|second| Some(second.monotonic_s) > last).copied().collect(),
        }
    }
}
