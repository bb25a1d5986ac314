//! What a ring knows of one connection.

use std::os::fd::OwnedFd;

/// One request of a connection, as it stands in the lowest byte of `user_data`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Makes the socket of a direct descriptor.
    Socket = 1,
    /// Sets an option of a direct descriptor; a refusal is no failure.
    Option = 2,
    /// Binds a direct descriptor.
    Bind = 3,
    /// The handshake.
    Connect = 4,
    /// Sends a request.
    Send = 5,
    /// Receives until the peer ends.
    Receive = 6,
    /// Ends another request.
    Cancel = 7,
    /// Closes a direct descriptor.
    Close = 8,
}

impl Kind {
    const ALL: [Self; 8] =
        [Self::Socket, Self::Option, Self::Bind, Self::Connect, Self::Send, Self::Receive, Self::Cancel, Self::Close];

    /// Requests that may wait for the peer, in the order of a chain.
    pub(super) const WAITING: [Self; 3] = [Self::Connect, Self::Send, Self::Receive];

    fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// `user_data` of a request.
pub(super) fn token(index: u32, kind: Kind) -> u64 {
    u64::from(index) << 8 | kind as u64
}

/// The connection and the request of a completion.
pub(super) fn of_token(token: u64) -> Option<(usize, Kind)> {
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u64 == token & 0xff)?;
    Some(((token >> 8) as usize, kind))
}

/// Where a connection lives.
#[derive(Debug, Default)]
pub(super) enum Home {
    /// Nowhere: the entry is free.
    #[default]
    None,
    /// In the process's table of descriptors.
    Normal(OwnedFd),
    /// In the ring's own table, at the entry's index.
    Direct,
}

/// One connection. Its index is used again only when every request of it has completed.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) home: Home,
    /// What events of it are called by.
    pub(super) owner: u32,
    /// Which kinds of request have not completed.
    pending: u16,
    /// How many requests have not completed.
    count: u16,
    /// Given up by its owner: no more events.
    pub(super) closing: bool,
    /// The handshake is complete.
    pub(super) connected: bool,
    /// What is being sent, from which byte; the kernel reads it until the request completes.
    pub(super) sending: Option<(Vec<u8>, usize)>,
    /// What is to be sent after that.
    pub(super) next: Option<Vec<u8>>,
}

impl Entry {
    /// A connection that nothing has been asked for.
    pub(super) fn new(home: Home, owner: u32) -> Self {
        Self { home, owner, ..Self::default() }
    }

    /// A request of this kind has been queued.
    pub(super) fn queued(&mut self, kind: Kind) {
        self.pending |= kind.bit();
        self.count += 1;
    }

    /// A request of this kind has completed for good.
    pub(super) fn completed(&mut self, kind: Kind) {
        // Only options and cancellations can be pending twice; nobody asks whether they are.
        self.pending &= !kind.bit();
        self.count = self.count.saturating_sub(1);
    }

    /// Whether a request of this kind has not completed.
    pub(super) fn awaits(&self, kind: Kind) -> bool {
        self.pending & kind.bit() != 0
    }

    /// Whether the kernel has nothing left to do for it.
    pub(super) fn is_quiet(&self) -> bool {
        self.count == 0
    }

    /// Whether a request of its chain may not have begun, because it is linked to one before.
    pub(super) fn has_links(&self) -> bool {
        Kind::WAITING.into_iter().filter(|kind| self.awaits(*kind)).count() > 1
    }

    /// The first request of its chain that may be waiting for the peer.
    pub(super) fn waiting(&self) -> Option<Kind> {
        Kind::WAITING.into_iter().find(|kind| self.awaits(*kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_connection_and_request() {
        for kind in Kind::ALL {
            assert_eq!(of_token(token(u32::MAX, kind)), Some((u32::MAX as usize, kind)));
        }
        assert_eq!(of_token(9), None);
        assert_eq!(of_token(0), None);
    }

    #[test]
    fn an_entry_is_quiet_when_all_its_requests_have_completed() {
        let mut entry = Entry::default();
        let kinds = [Kind::Connect, Kind::Send, Kind::Receive, Kind::Cancel, Kind::Cancel];
        kinds.into_iter().for_each(|kind| entry.queued(kind));
        assert_eq!(entry.waiting(), Some(Kind::Connect));
        entry.completed(Kind::Connect);
        assert_eq!((entry.waiting(), entry.has_links()), (Some(Kind::Send), true));
        entry.completed(Kind::Send);
        assert!(!entry.has_links());
        [Kind::Receive, Kind::Cancel].into_iter().for_each(|kind| entry.completed(kind));
        assert!(entry.waiting().is_none() && !entry.is_quiet());
        entry.completed(Kind::Cancel);
        assert!(entry.is_quiet());
    }
}
