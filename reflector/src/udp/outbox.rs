//! Answers on their way to the kernel: a batch, and what happens when it is not taken.
//!
//! Counted as sent is what the kernel took. What it refuses (a route or a firewall is against it) is
//! given up and counted; when the socket's buffer is full, the rest stays and goes first the next time.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use host::datagram::Sender;

use super::tally::Tally;

/// Where an answer goes, and from which address of ours; `None` leaves that to the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
}

/// One batch of answers of one socket.
#[derive(Debug)]
pub(super) struct Outbox {
    sender: Sender,
    /// Lengths of what was queued since the outbox was last empty, and how many of them are done.
    lengths: Vec<usize>,
    done: usize,
    size: usize,
}

impl Outbox {
    pub(super) fn new(count: usize, size: usize) -> Self {
        Self { sender: Sender::new(count, size), lengths: Vec::with_capacity(count), done: 0, size: count }
    }

    /// How many more can be queued.
    pub(super) fn room(&self) -> usize {
        self.size - self.lengths.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sender.left() == 0
    }

    /// Queues an answer and gives its place to be filled; `None` when there is no room.
    pub(super) fn queue(&mut self, way: Way, length: usize) -> Option<&mut [u8]> {
        let place = self.sender.queue(length, Some(way.to), way.from)?;
        self.lengths.push(length);
        Some(place)
    }

    /// Hands over what is queued, until all is done or the socket's buffer is full.
    pub(super) fn flush(&mut self, socket: &UdpSocket, tally: &mut Tally) {
        while !self.is_empty() {
            match self.sender.send(socket) {
                Ok(sent) => {
                    self.lengths[self.done..self.done + sent].iter().for_each(|length| tally.sent(*length));
                    self.done += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    tally.sums.send_errors += 1;
                    self.done += 1;
                    self.sender.drop_first();
                }
            }
        }
        self.lengths.clear();
        self.done = 0;
    }
}
