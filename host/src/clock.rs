//! The one monotonic clock everything is measured with, and wall-clock text for file names.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on `CLOCK_MONOTONIC`: shared by all processes of one host, never set back.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The time of day in nanoseconds since 1970 (UTC); it may be set back.
pub fn unix_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// CPU time that the calling thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The time of day as RFC 3339 text in UTC, to the millisecond: `2026-11-23T04:05:06.789Z`.
pub fn wall_clock() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A time of day in nanoseconds since 1970 as [`wall_clock`] writes it; the epoch for one beyond the
/// calendar's end.
pub fn wall_clock_at(unix_ns: u64) -> String {
    let at = jiff::Timestamp::from_nanosecond(unix_ns.into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The time of day as it stands in the name of a run folder, in UTC: `20261123-040506`.
pub fn folder_stamp() -> String {
    jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()
}

/// The time of day as an HTTP `Date` header carries it (RFC 9110, 5.6.7), always 29 bytes:
/// `Mon, 23 Nov 2026 04:05:06 GMT`.
pub fn http_date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_reads_back() {
        assert_eq!(wall_clock_at(1_795_406_706_789_000_000), "2026-11-23T04:05:06.789Z");
    }

    #[test]
    fn an_http_date_has_its_fixed_form() {
        let date = http_date();
        assert_eq!(date.len(), 29, "{date}");
        assert!(date.ends_with(" GMT") && date[3..].starts_with(", "), "{date}");
    }
}
