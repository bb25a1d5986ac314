//! HTTP/1.0 and HTTP/1.1 on one connection.
//!
//! `plain` answers plain GETs with one write; the first request that is anything else takes the
//! connection over to hyper (`whole`) for the rest of its life. An idle connection holds no buffer:
//! reading goes through one that the thread keeps, and only an incomplete head is carried over.

mod answer;
mod head;
mod plain;
mod whole;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::accept::Arrival;
use crate::books::{ConnectionBooks, End};
use crate::cap::Ticket;
use crate::server::Worker;
use crate::socket::{self, Socket, Wake, Watch};
use head::Refusal;
use plain::{Next, Unsent};

/// One HTTP connection on the fast path.
struct Connection {
    worker: Arc<Worker>,
    books: ConnectionBooks,
    peer: SocketAddr,
    /// Requests answered or under way.
    requests: u64,
    /// What was read and not yet processed: an incomplete head, or requests behind a blocked write.
    carried: Vec<u8>,
    /// Whether `carried` may hold a complete request.
    backlog: bool,
    /// When the first byte of the incomplete head came.
    head_since_ns: Option<u64>,
    /// When a byte last went in either direction.
    active_ns: u64,
}

/// Answers what is already there, and leaves the rest to a task.
pub(crate) fn begin(worker: &Arc<Worker>, arrival: Arrival) {
    let Arrival { stream, peer, books, now_ns, ticket } = arrival;
    let socket = Socket::Fresh(stream);
    let mut connection = Connection { active_ns: now_ns, ..Connection::again(Arc::clone(worker), books, peer, 0) };
    let mut next = Next::Read;
    if ticket.is_none() && worker.early.pays() {
        next = connection.turn(&socket);
        worker.early.tried(connection.requests > 0);
    }
    if let Next::End(end) = next {
        return connection.finish(&socket, end);
    }
    match socket.register() {
        Ok(stream) => drop(tokio::spawn(drive(connection, stream, ticket, next))),
        // Out of memory for one more epoll entry; the connection is closed and booked as our doing.
        Err(error) => tracing::warn!("cannot watch a connection: {error}"),
    }
}

/// Runs a connection to its end.
async fn drive(mut connection: Connection, stream: TcpStream, ticket: Option<Ticket>, mut next: Next) {
    let socket = Socket::Registered(stream);
    let Socket::Registered(stream) = &socket else { return };
    let mut watch = Watch::new(&connection.worker.shared);
    if let Some(ticket) = ticket
        && let Err(end) = connection.wait_turn(stream, ticket).await
    {
        return connection.finish(&socket, end);
    }
    loop {
        next = match next {
            Next::Read => connection.read(&socket, stream, &mut watch).await,
            Next::Write(unsent) => connection.write(&socket, stream, &mut watch, unsent).await,
            Next::Linger => Next::End(linger(stream, &mut connection.books).await),
            Next::Whole(replay) => {
                drop(watch);
                let Ok(stream) = socket.register() else { return };
                return whole::serve(connection, stream, replay).await;
            }
            Next::End(end) => return connection.finish(&socket, end),
        };
    }
}

impl Connection {
    /// A connection of which nothing is read but so many requests.
    fn again(worker: Arc<Worker>, books: ConnectionBooks, peer: SocketAddr, requests: u64) -> Self {
        Self { worker, books, peer, requests, carried: Vec::new(), backlog: false, head_since_ns: None, active_ns: 0 }
    }

    async fn read(&mut self, socket: &Socket, stream: &TcpStream, watch: &mut Watch) -> Next {
        if self.backlog {
            return self.turn(socket);
        }
        let limits = &self.worker.shared.config.limits;
        let idle = self.head_since_ns.is_none();
        let deadline_ns = match self.head_since_ns {
            Some(since_ns) => after(since_ns, limits.head_timeout),
            None => after(self.active_ns, limits.idle_timeout),
        };
        match watch.wait(deadline_ns, idle, |cx| stream.poll_read_ready(cx).map(drop)).await {
            Wake::Ready => self.turn(socket),
            Wake::Late if !idle => {
                let allowed = limits.head_timeout;
                let reason = format!("the request's head was not complete after {allowed:?}");
                self.refuse(socket, &Refusal::new(408, reason))
            }
            Wake::Late | Wake::Stop => Next::End(End::ClosedByReflector),
        }
    }

    async fn write(&mut self, socket: &Socket, stream: &TcpStream, watch: &mut Watch, mut unsent: Unsent) -> Next {
        loop {
            let deadline_ns = after(self.active_ns, self.worker.shared.config.limits.idle_timeout);
            match watch.wait(deadline_ns, false, |cx| stream.poll_write_ready(cx).map(drop)).await {
                Wake::Ready => {}
                Wake::Late | Wake::Stop => return Next::End(End::ClosedByReflector),
            }
            self.active_ns = host::clock::monotonic_ns();
            match self.push(socket, &mut unsent) {
                Ok(true) => return unsent.sent(self),
                Ok(false) => {}
                Err(end) => return Next::End(end),
            }
        }
    }

    /// Waits for this connection's turn at the rate cap, reading on meanwhile, so that a peer that
    /// leaves gives its place up.
    async fn wait_turn(&mut self, stream: &TcpStream, mut ticket: Ticket) -> Result<(), End> {
        let limit = self.worker.shared.config.limits.head_bytes;
        loop {
            let room = limit - self.carried.len();
            tokio::select! {
                biased;
                _ = &mut ticket => break,
                ready = stream.readable(), if room > 0 => ready.map_err(|_| End::ResetByPeer)?,
            }
            // Small, because many may wait, each with what it has read.
            let mut bytes = [0; 2048];
            let room = room.min(bytes.len());
            match socket::read(stream, &mut bytes[..room]) {
                Ok(0) => return Err(End::ClosedByPeer),
                Ok(read) => {
                    self.books.bytes_in(read);
                    self.carried.extend_from_slice(&bytes[..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(End::ResetByPeer),
            }
        }
        self.backlog = !self.carried.is_empty();
        self.active_ns = host::clock::monotonic_ns();
        Ok(())
    }

    fn finish(mut self, socket: &Socket, end: End) {
        if end == End::ResetByReflector {
            socket.reset_on_close();
        }
        // The books before the socket: a peer that sees the close and comes again at once must not
        // find its old connection still counted against a cap.
        self.books.end(end);
    }
}

fn after(since_ns: u64, wait: Duration) -> u64 {
    since_ns.saturating_add(wait.as_nanos() as u64)
}

/// Says that nothing more comes and takes what the peer still sends, within bounds: closing with
/// unread bytes would reset the connection and could destroy the answer on its way (RFC 9112, 9.6).
/// Who has not finished by then is to be reset; how the connection ends is returned, not booked.
async fn linger(stream: &TcpStream, books: &mut ConnectionBooks) -> End {
    const PATIENCE: Duration = Duration::from_secs(1);
    const BYTES_MAX: usize = 1 << 20;
    if socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write).is_err() {
        return End::ResetByPeer;
    }
    let discard = async {
        let mut left = BYTES_MAX;
        while left > 0 {
            if stream.readable().await.is_err() {
                return End::ResetByPeer;
            }
            let mut bytes = [0; 4096];
            match socket::read(stream, &mut bytes) {
                Ok(0) => return End::ClosedByReflector,
                Ok(read) => {
                    books.bytes_in(read);
                    left = left.saturating_sub(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return End::ResetByPeer,
            }
        }
        End::ResetByReflector
    };
    tokio::time::timeout(PATIENCE, discard).await.unwrap_or(End::ResetByReflector)
}
