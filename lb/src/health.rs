//! Whether real servers work: probes, and a pure state machine that decides from their results.

/// What the last health check of a server found, for the admin pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckReport {
    /// When the server last changed between up and down ([`host::clock::monotonic_ns`]); 0 is never.
    pub(crate) changed_ns: u64,
    /// What the last check found, for a person; empty before the first one.
    pub(crate) message: String,
    /// Checks done.
    pub(crate) checks: u64,
    /// Checks failed.
    pub(crate) failures: u64,
}
