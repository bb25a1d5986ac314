//! UDP: every datagram is sent back, unchanged but for faults on purpose, or only counted.
//!
//! Each thread of the reflector has one more for datagrams, with sockets of its own (`SO_REUSEPORT`),
//! so that they are answered without a task, a timer wheel or a lock shared with others: one call
//! takes a batch, one answers it. A flow stays with one socket. On a wildcard address the answer comes
//! from the address that was asked.
//! Invariant: a ledger is taken between two turns, so an answer that has been sent has been counted.

mod faults;
mod held;
mod outbox;
mod port;
mod tally;
mod worker;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use host::datagram::Options;
use wire::ledger::UdpLedger;

use crate::config::Kind;
use crate::server::{Shared, pin};
pub use faults::{Faults, OneIn};
use tally::{Lengths, Tally};
use worker::Worker;

/// What each socket may keep until its thread comes to it: some ten thousand small frames, because
/// the kernel counts more than a frame's bytes.
const BUFFER_BYTES: usize = 8 << 20;
/// Datagrams of one batch.
const BATCH: usize = 64;
/// Longest payload: 65,507 bytes over IPv4 and 65,527 over IPv6.
const PAYLOAD_MAX: usize = 65_535;

/// Binds one socket.
pub(crate) fn bind(address: SocketAddr, shared_port: bool) -> io::Result<UdpSocket> {
    // Elsewhere the kernel answers from the only address there is, and choosing it would cost time.
    let with_local_address = address.ip().is_unspecified();
    let options = Options { shared_port, buffer_bytes: BUFFER_BYTES, with_local_address, ..Options::default() };
    host::datagram::bind(address, options)
}

/// The threads that answer datagrams, and their books.
#[derive(Debug)]
pub(crate) struct Service {
    threads: Vec<JoinHandle<()>>,
    tallies: Vec<Arc<Mutex<Tally>>>,
    /// Dropped to stop the threads, which watch the other end.
    stop: Mutex<Option<io::PipeWriter>>,
    /// Second handles of all sockets, to read the kernel's drops.
    sockets: Vec<UdpSocket>,
}

/// Starts a thread for each set of sockets; returns them with what could not be had.
///
/// # Errors
/// The kernel's reason for refusing a thread or a descriptor.
pub(crate) fn start(shared: &Arc<Shared>, sockets: Vec<Vec<(UdpSocket, Kind)>>) -> io::Result<(Service, Vec<String>)> {
    let (stopped, stop) = io::pipe()?;
    let second = sockets.iter().flatten().map(|(socket, _)| socket.try_clone()).collect::<io::Result<_>>()?;
    let lengths = Arc::new(Lengths::default());
    let mut service =
        Service { threads: Vec::new(), tallies: Vec::new(), stop: Mutex::new(Some(stop)), sockets: second };
    let (ready, warnings) = mpsc::channel();
    for (index, sockets) in sockets.into_iter().enumerate().filter(|(_, sockets)| !sockets.is_empty()) {
        let tally = Arc::new(Mutex::new(Tally::new(Arc::clone(&lengths))));
        service.tallies.push(Arc::clone(&tally));
        let mut worker = Worker::new(Arc::clone(shared), sockets, tally, stopped.try_clone()?);
        let (shared, ready) = (Arc::clone(shared), ready.clone());
        let body = move || {
            // The starter waits for every thread, so somebody listens.
            let _ = ready.send(pin(index, &shared.config.cores));
            drop(ready);
            worker.run();
        };
        service.threads.push(std::thread::Builder::new().name(format!("reflector-udp-{index}")).spawn(body)?);
    }
    drop(ready);
    Ok((service, warnings.into_iter().flatten().collect()))
}

impl Service {
    /// The books until now, over all threads.
    pub(crate) fn ledger(&self) -> UdpLedger {
        let mut ledger = UdpLedger::default();
        for tally in &self.tallies {
            tally.lock().unwrap_or_else(PoisonError::into_inner).add_to(&mut ledger);
        }
        ledger.by_length.sort_by_key(|count| count.payload);
        // A kernel without SO_MEMINFO leaves the drops unknown, which the books cannot say but as 0.
        ledger.buffer_drops =
            self.sockets.iter().filter_map(|socket| host::socket::drops(socket).ok()).map(u64::from).sum();
        ledger
    }

    /// Tells the threads to answer what has come and to end.
    pub(crate) fn order_stop(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Waits until they have ended.
    pub(crate) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has written its books until then.
            let _ = thread.join();
        }
    }
}
