//! What carries the connections of a worker.
//!
//! A transport moves bytes and says what happened; what that means is the worker's business, so that
//! every transport books the same outcomes and times.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::socket::Worker;
use crate::workload::Workload;

/// One way to the kernel's sockets.
pub(super) trait Transport: Sized {
    /// A connection.
    type Socket;

    /// Called once by the worker's thread; an error is a warning for the user.
    fn settle_in(&mut self) -> Result<(), String>;

    /// Begins the connection of a fresh slot, and its workload: sets the slot's socket and deadline.
    fn connect<W: Workload>(
        worker: &mut Worker<W, Self>,
        number: u32,
        service: SocketAddr,
        now: u64,
    ) -> Result<(), Errno>;

    /// Sends the request of a slot, or goes on doing so.
    fn send<W: Workload>(worker: &mut Worker<W, Self>, number: u32, now: u64);

    /// Waits for events; whether all there are have been taken.
    fn wait(&mut self, timeout: Duration) -> bool;

    /// Tells the worker what the last wait brought.
    fn handle<W: Workload>(worker: &mut Worker<W, Self>);

    /// The bytes that arrived last.
    fn data(&self) -> &[u8];

    /// Sends our FIN.
    fn send_fin(&self, socket: &Self::Socket) -> Result<(), Errno>;

    /// Closes a connection, with a RST if `reset`; nothing is heard of it any more.
    fn close(&mut self, socket: Self::Socket, reset: bool);
}
