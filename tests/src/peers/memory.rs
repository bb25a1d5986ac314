//! User memory per connection: the slope of RssAnon between few and many connections.
//!
//! A slope, so that what a program needs without any connection does not count; RssAnon, so that
//! neither its code nor the kernel's socket buffers do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::generator::{Amount, Load, Persistence, Tool};
use super::process::{Program, pass};
use super::server::{Balancer, WebServer};
use super::trouble::Trouble;
use super::window::Measured;

/// Connections of our generator.
const GENERATOR: [u32; 2] = [1_000, 15_000];
/// Client connections of a load balancer.
const BALANCER: [usize; 2] = [1_000, 9_000];
/// How long opening them may take.
const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// How long they are idle before memory is read.
const IDLE: Duration = Duration::from_millis(300);
/// How long a response may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest response to the request below.
const RESPONSE_MAX: usize = 8 * 1024;

/// Two runs of our generator that hold connections to nginx.
pub(crate) fn of_generator(tool: &Tool, web: &mut WebServer, core: usize, folder: &Path) -> Result<Measured, Trouble> {
    let mut measured = Measured::default();
    let mut memory = [0; 2];
    for (count, memory) in GENERATOR.into_iter().zip(&mut memory) {
        let load = Load {
            address: web.keep.to_string(),
            path: "/",
            persistence: Persistence::Kept,
            amount: Amount::Held(count),
            window: Duration::from_secs(1),
        };
        let mut program = tool.start(&load, core, folder)?;
        let all_open = |_: &Program| {
            let (_, open) = web.referee.count().ok()?;
            (open >= u64::from(count)).then_some(())
        };
        program.until(OPEN_WITHIN, "did not open all connections", all_open)?;
        pass(IDLE);
        let failed = measured.failed;
        *memory = program.memory().ok_or_else(gone)?;
        tool.finish(program, folder, &mut measured)?;
        measured.failed += failed;
        // The next run counts connections, too.
        let referee = &web.referee;
        let all_closed = |_: &Program| referee.count().ok().filter(|(_, open)| *open == 0);
        web.program.until(OPEN_WITHIN, "kept connections open", all_closed)?;
    }
    measured.bytes = slope(memory, GENERATOR.map(f64::from));
    Ok(measured)
}

/// A new load balancer that carries one request on each of ever more connections.
pub(crate) fn of_balancer(balancer: Balancer) -> Result<Measured, Trouble> {
    let mut connections = Vec::new();
    let mut memory = [0; 2];
    for (count, memory) in BALANCER.into_iter().zip(&mut memory) {
        while connections.len() < count {
            let opened = open(balancer.address);
            connections
                .push(opened.map_err(|source| Trouble::Counter { what: "an answer of the load balancer", source })?);
        }
        pass(IDLE);
        *memory = balancer.program.memory().ok_or_else(gone)?;
    }
    let bytes = slope(memory, BALANCER.map(|count| count as f64));
    Ok(Measured { bytes, ..Measured::default() })
}

fn gone() -> Trouble {
    Trouble::Counter { what: "the memory of a program", source: io::ErrorKind::NotFound.into() }
}

fn slope(memory: [u64; 2], connections: [f64; 2]) -> f64 {
    (memory[1] as f64 - memory[0] as f64) / (connections[1] - connections[0])
}

/// A connection that has carried one transaction.
fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    // Thousands of closed connections would hold their ports for a minute.
    host::socket::reset_on_close(&stream)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"GET /?s=0 HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut response = Vec::new();
    let mut buffer = [0; 1024];
    while !response.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if response.len() > RESPONSE_MAX => return Err(io::ErrorKind::InvalidData.into()),
            read => response.extend_from_slice(&buffer[..read]),
        }
    }
    if !response.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, String::from_utf8_lossy(&response).into_owned()));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_leaves_out_what_is_there_without_connections() {
        assert_eq!(slope([5_000_000, 5_800_000], [1_000.0, 9_000.0]), 100.0);
        assert_eq!(slope([5_000_000, 4_000_000], [0.0, 1_000.0]), -1_000.0);
    }
}
