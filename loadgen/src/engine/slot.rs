//! What the loop knows of one connection and the operation on it.

/// Where a slot's connection is in its life.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Place {
    /// No connection.
    #[default]
    Free,
    /// The handshake is under way.
    Connecting,
    /// A response is awaited.
    Awaiting,
    /// Established and without an operation.
    Idle,
    /// Held until it is woken or the load ends.
    Held,
    /// Everything arrived; the end of the connection is awaited.
    Closing,
}

/// One slot. Times are nanoseconds on the monotonic clock.
#[derive(Debug)]
pub(super) struct Slot<U, S> {
    pub(super) place: Place,
    pub(super) socket: Option<S>,
    /// Tells events of an earlier connection in this slot from those of the present one.
    pub(super) generation: u32,
    pub(super) user: U,
    /// When the operation (or the transaction on a held connection) was due.
    pub(super) due: u64,
    /// When it began.
    pub(super) started: u64,
    /// When its SYN or, on a used connection, its request was sent.
    pub(super) from: u64,
    /// When its connection was established.
    pub(super) opened: u64,
    /// When its last byte arrived; 0 before.
    pub(super) last_byte: u64,
    /// When the held connection is used next.
    pub(super) wake: u64,
    /// Bytes of the request sent so far, while it is being sent piece by piece.
    pub(super) sent: usize,
    /// Whether a request is being sent.
    pub(super) sending: bool,
    /// Whether the operation counts: it was due in sustain.
    pub(super) measured: bool,
    /// Whether an operation is under way.
    pub(super) active: bool,
    /// Whether the held connection carried a transaction during sustain.
    pub(super) proven: bool,
    /// Whether the peer's FIN has arrived.
    pub(super) peer_ended: bool,
}

impl<U: Default, S> Default for Slot<U, S> {
    fn default() -> Self {
        Self {
            place: Place::Free,
            socket: None,
            generation: 0,
            user: U::default(),
            due: 0,
            started: 0,
            from: 0,
            opened: 0,
            last_byte: 0,
            wake: 0,
            sent: 0,
            sending: false,
            measured: false,
            active: false,
            proven: false,
            peer_ended: false,
        }
    }
}

impl<U, S> Slot<U, S> {
    /// What epoll says back with an event of this connection.
    pub(super) fn token(&self, number: u32) -> u64 {
        u64::from(self.generation) << 32 | u64::from(number)
    }
}
