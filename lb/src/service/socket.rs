//! Reading and writing sockets with the fewest system calls.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::buffers::BufferStock;

/// Reads once what is there; 0 is the end of the stream.
///
/// A read that does not fill the buffer has emptied the socket, so readiness is given up at once,
/// which saves the second read that would only say "would block" (`TcpStream::try_read` makes it).
/// Waits on the stream's one reader slot: only one task may wait for a stream to become readable
/// by this function.
pub(crate) fn poll_read(stream: &TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut short = None;
        let result = stream.try_io(Interest::READABLE, || {
            let n = rustix::io::read(stream, &mut *buffer)?;
            if 0 < n && n < buffer.len() {
                // Not an error: it makes tokio wait for the next event before the next read.
                short = Some(n);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        match (short, result) {
            (Some(n), _) => return Poll::Ready(Ok(n)),
            (None, Err(error)) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            (None, result) => return Poll::Ready(result),
        }
    }
}

/// Writes once what the socket takes.
///
/// Waits on the stream's one writer slot; see [`poll_read`].
pub(crate) fn poll_write(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_write(bytes) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            result => return Poll::Ready(result),
        }
    }
}

/// Writes once what the socket takes, without asking tokio first whether it would: a socket nobody
/// has written to yet always does, long before its first event has been seen.
pub(crate) fn poll_write_first(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
    blocked: &mut bool,
) -> Poll<io::Result<usize>> {
    if !*blocked {
        match rustix::io::write(stream, bytes) {
            Ok(count) => return Poll::Ready(Ok(count)),
            Err(Errno::AGAIN | Errno::INTR) => *blocked = true,
            Err(errno) => return Poll::Ready(Err(errno.into())),
        }
    }
    let written = poll_write(stream, cx, bytes);
    if let Poll::Ready(Ok(_)) = written {
        *blocked = false;
    }
    written
}

/// Acknowledges at once what has been read, and what follows until something is sent: a peer that has
/// left small writes to be joined (Nagle) sends the rest of its message only then, else 40 ms later.
pub(crate) fn acknowledge(stream: &TcpStream) {
    // A failure costs those 40 ms.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

/// Ends our direction of a stream with a FIN; the other direction stays open.
pub(crate) fn send_fin(stream: &TcpStream) {
    // It fails only when the peer has already reset the connection, which reading shows.
    let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Write);
}

/// Sends a FIN and reads on until the peer has ended or the time is over, and tells `heard` how much came:
/// a close with bytes unread makes the kernel send a RST, which can overtake an answer (RFC 9112, 9.6).
pub(crate) async fn hear_out(
    stream: &TcpStream,
    stock: &Rc<BufferStock>,
    within: Duration,
    mut heard: impl FnMut(usize),
) {
    send_fin(stream);
    let to_its_end = poll_fn(|cx| {
        loop {
            if ready!(stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match ready!(poll_read(stream, cx, &mut stock.take())) {
                Ok(count @ 1..) => heard(count),
                _ => return Poll::Ready(()),
            }
        }
    });
    // A peer that does not end, or never stops, is closed all the same.
    let _ = timeout(within, to_its_end).await;
}

/// Makes the coming close of a stream a RST instead of a FIN.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // A failure leaves a FIN, which still ends the connection.
    let _ = host::socket::reset_on_close(stream);
}
