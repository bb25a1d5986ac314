//! Datagrams on their way to clients: collected, sent in batches, dropped and counted when the kernel does
//! not take them at once.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use host::datagram::Sender;

use super::BATCH;
use super::flow::Key;
use crate::counters::{Dropped, ServiceCounters};

/// The answers of one turn of the event loop.
#[derive(Debug)]
pub(super) struct Answers {
    socket: Arc<UdpSocket>,
    sender: Sender,
    /// Bytes of each datagram that is queued, from the first; those before `sent` are out.
    lengths: [usize; BATCH],
    queued: usize,
    sent: usize,
}

impl Answers {
    pub(super) fn new(socket: Arc<UdpSocket>, size: usize) -> Self {
        Self { socket, sender: Sender::new(BATCH, size), lengths: [0; BATCH], queued: 0, sent: 0 }
    }

    /// Queues a datagram for the client of a flow, from the address that the client has asked.
    pub(super) fn queue(&mut self, key: &Key, payload: &[u8], counters: &ServiceCounters) {
        if !self.sender.has_room() {
            self.flush(counters);
        }
        let Some(buffer) = self.sender.queue(payload.len(), Some(key.client), key.local) else {
            // No datagram is longer than the buffers, and a flush makes room.
            counters.dropped(Dropped::ToClient, 1);
            return;
        };
        buffer.copy_from_slice(payload);
        self.lengths[self.queued] = payload.len();
        self.queued += 1;
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self, counters: &ServiceCounters) {
        while self.sender.left() > 0 {
            match self.sender.send(&self.socket) {
                Ok(count) => {
                    let bytes: usize = self.lengths[self.sent..self.sent + count].iter().sum();
                    self.sent += count;
                    counters.datagrams_out.add(count as u64);
                    counters.bytes_out.add(bytes as u64);
                }
                // Waiting would keep all other clients waiting: a full buffer loses, as a full queue of a router.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    counters.dropped(Dropped::ToClient, self.sender.left() as u64);
                    self.sender.clear();
                }
                Err(_) => {
                    counters.dropped(Dropped::ToClient, 1);
                    self.sender.drop_first();
                    self.sent += 1;
                }
            }
        }
        (self.queued, self.sent) = (0, 0);
    }
}
