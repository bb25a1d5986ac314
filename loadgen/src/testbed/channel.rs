//! One end of a control channel: JSON lines over a socket, every wait with a bound.
//!
//! It carries what [`wire::control`] defines and knows nothing of roles. A peer that sends a line
//! longer than [`LINE_MAX`] is cut off, so the buffer is bounded.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socket2::Socket;
use wire::control::LINE_MAX;

/// How long a peer may leave our lines unread before it counts as stuck.
const SEND_BOUND: Duration = Duration::from_secs(2);

/// One end of a control channel.
pub(super) struct Channel {
    socket: Socket,
    unread: Vec<u8>,
}

/// Why no line came, or none could be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    #[error("the control channel is closed")]
    Closed,
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("a control line cannot be understood: {0}")]
    Malformed(String),
}

impl Channel {
    /// A channel over a connected stream socket.
    pub(super) fn new(socket: impl Into<OwnedFd>) -> Self {
        let socket = Socket::from(socket.into());
        // Without the option a stuck peer could block a sample; the sockets in use all have it.
        let _ = socket.set_write_timeout(Some(SEND_BOUND));
        Self { socket, unread: Vec::new() }
    }

    /// The socket, to wait for it beside other things.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends one line.
    pub(super) fn send<T: Serialize>(&self, message: &T) -> Result<(), ChannelError> {
        let mut line = serde_json::to_vec(message).map_err(|error| ChannelError::Malformed(error.to_string()))?;
        line.push(b'\n');
        (&self.socket).write_all(&line).map_err(|_| ChannelError::Closed)
    }

    /// The next line, waiting for it at most `bound`; zero takes only what is there.
    pub(super) fn receive<T: DeserializeOwned>(&mut self, bound: Duration) -> Result<T, ChannelError> {
        let deadline = Instant::now() + bound;
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|error| ChannelError::Malformed(error.to_string()));
            }
            if readable(&self.socket, deadline.saturating_duration_since(Instant::now())) {
                self.fill()?;
            } else if Instant::now() >= deadline {
                return Err(ChannelError::Late(bound));
            }
            // Otherwise a signal has cut the wait short: a user's Ctrl-C makes no role late.
        }
    }

    fn fill(&mut self) -> Result<(), ChannelError> {
        let mut chunk = [0; 16_384];
        match (&self.socket).read(&mut chunk) {
            Ok(0) => Err(ChannelError::Closed),
            Ok(count) if self.unread.len() + count > LINE_MAX => Err(ChannelError::Closed),
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(()),
            Err(_) => Err(ChannelError::Closed),
        }
    }
}

/// Whether something can be read (or the end of file) within a bound.
pub(super) fn readable(socket: &impl AsFd, bound: Duration) -> bool {
    let bound = Timespec { tv_sec: bound.as_secs() as i64, tv_nsec: bound.subsec_nanos().into() };
    // An interruption counts as "not yet": the callers ask again.
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&bound)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use wire::control::{Command, Event};

    use super::*;

    #[test]
    fn lines_arrive_in_order_and_the_end_is_told_from_silence() {
        let (left, right) = UnixStream::pair().unwrap();
        let (left, mut right) = (Channel::new(left), Channel::new(right));
        left.send(&Command::Ledger { reset_peak: true }).unwrap();
        left.send(&Command::Stop).unwrap();
        let bound = Duration::from_secs(5);
        assert_eq!(right.receive::<Command>(bound).unwrap(), Command::Ledger { reset_peak: true });
        assert_eq!(right.receive::<Command>(bound).unwrap(), Command::Stop);
        assert!(matches!(right.receive::<Command>(Duration::ZERO), Err(ChannelError::Late(_))));
        drop(left);
        assert!(matches!(right.receive::<Command>(bound), Err(ChannelError::Closed)));
    }

    #[test]
    fn garbage_and_endless_lines_are_errors() {
        let (mut left, right) = UnixStream::pair().unwrap();
        let mut right = Channel::new(right);
        left.write_all(b"hello\n").unwrap();
        assert!(matches!(right.receive::<Event>(Duration::from_secs(5)), Err(ChannelError::Malformed(_))));
        let writer = std::thread::spawn(move || left.write_all(&vec![b'x'; 2 * LINE_MAX]));
        assert!(matches!(right.receive::<Event>(Duration::from_secs(5)), Err(ChannelError::Closed)));
        drop(right);
        assert!(writer.join().unwrap().is_err());
    }
}
