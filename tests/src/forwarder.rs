//! A UDP forwarder with a known limit, to be found by searches and sweeps.
//!
//! It passes datagrams on to one server in turn per client, and answers back. Three things can be known
//! about it by construction: it forwards at most `--cap` datagrams a second with at most `--burst` at once
//! and drops what comes on top (a token bucket, here as the generic cell rate algorithm of ITU-T I.371);
//! while the offered rate lies within `--lossy`, it drops one in `--drop-one-in`; it delays nothing. Only
//! the way to the servers is limited. A TCP port of the same number is open once it serves.

#![allow(clippy::print_stderr, reason = "a program of its own that says why it does not start")]

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::ExitCode;

use clap::Parser;
use host::clock::monotonic_ns;
use host::datagram::{self, Options, Receiver, Sender};
use rustix::event::{PollFd, PollFlags, Timespec};

/// Clients at a time; datagrams of further ones are dropped.
const CLIENTS_MAX: usize = 256;
/// Largest payload that is forwarded.
const PAYLOAD_MAX: usize = 9_000;
/// Time over which the offered rate is measured.
const WINDOW_NS: u64 = 250_000_000;
/// A pause after which it is measured anew: loads before and after it are not one.
const PAUSE_NS: u64 = 50_000_000;
const BUFFER_BYTES: usize = 4 << 20;

#[derive(Parser)]
struct Arguments {
    /// Where clients send to
    #[arg(long)]
    listen: SocketAddr,
    /// Servers: ADDRESS,ADDRESS
    #[arg(long, value_delimiter = ',', required = true)]
    to: Vec<SocketAddr>,
    /// Datagrams per second that are forwarded at most
    #[arg(long)]
    cap: Option<u32>,
    /// Datagrams that may come at once under a cap
    #[arg(long, default_value_t = 64)]
    burst: u32,
    /// Offered rates, FROM-TO per second, at which it loses some
    #[arg(long, value_parser = band)]
    lossy: Option<(u32, u32)>,
    /// One in so many is lost within the lossy band
    #[arg(long, default_value_t = 100)]
    drop_one_in: u64,
}

fn band(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("{text:?} is not a band of rates; expected such as 4000-6000");
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    Ok((from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Forwarder::new(arguments).and_then(Forwarder::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the forwarder has ended: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A client and the socket whose answers are its.
struct Client {
    address: SocketAddr,
    socket: UdpSocket,
}

struct Forwarder {
    socket: UdpSocket,
    /// Connections are accepted by the kernel alone, so that others can see that datagrams are served.
    _ready: TcpListener,
    clients: Vec<Client>,
    to: Vec<SocketAddr>,
    limit: Limit,
    receiver: Receiver,
    sender: Sender,
}

impl Forwarder {
    fn new(arguments: Arguments) -> io::Result<Self> {
        let options = Options { buffer_bytes: BUFFER_BYTES, ..Options::default() };
        let socket = datagram::bind(arguments.listen, options)?;
        Ok(Self {
            _ready: TcpListener::bind(socket.local_addr()?)?,
            socket,
            clients: Vec::new(),
            limit: Limit::new(&arguments),
            to: arguments.to,
            receiver: Receiver::new(64, PAYLOAD_MAX),
            sender: Sender::new(1, PAYLOAD_MAX),
        })
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            let mut ready = Vec::with_capacity(self.clients.len() + 1);
            let sockets = std::iter::once(&self.socket).chain(self.clients.iter().map(|client| &client.socket));
            let mut polled: Vec<PollFd<'_>> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
            let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
            rustix::event::poll(&mut polled, Some(&timeout))?;
            ready.extend(polled.iter().map(|polled| !polled.revents().is_empty()));
            drop(polled);
            if ready[0] {
                self.forward()?;
            }
            for (at, _) in ready[1..].iter().enumerate().filter(|(_, ready)| **ready) {
                self.answer(at);
            }
        }
    }

    /// Takes one batch of clients' datagrams.
    fn forward(&mut self) -> io::Result<()> {
        if self.receiver.receive(&self.socket).is_err() {
            return Ok(());
        }
        let now = monotonic_ns();
        for datagram in self.receiver.datagrams() {
            if !self.limit.passes(now) {
                continue;
            }
            let known = self.clients.iter().position(|client| client.address == datagram.from);
            let at = match known {
                Some(at) => at,
                None if self.clients.len() < CLIENTS_MAX => {
                    let to = self.to[self.clients.len() % self.to.len()];
                    self.clients.push(Client { address: datagram.from, socket: towards(to)? });
                    self.clients.len() - 1
                }
                None => continue,
            };
            send(&mut self.sender, &self.clients[at].socket, datagram.payload, None);
        }
        Ok(())
    }

    /// Takes one batch of answers for a client.
    fn answer(&mut self, at: usize) {
        let client = &self.clients[at];
        if self.receiver.receive(&client.socket).is_ok() {
            for datagram in self.receiver.datagrams() {
                send(&mut self.sender, &self.socket, datagram.payload, Some(client.address));
            }
        }
    }
}

fn towards(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = datagram::bind(any, Options { buffer_bytes: BUFFER_BYTES, ..Options::default() })?;
    socket.connect(to)?;
    Ok(socket)
}

fn send(sender: &mut Sender, socket: &UdpSocket, payload: &[u8], to: Option<SocketAddr>) {
    if let Some(place) = sender.queue(payload.len(), to, None) {
        place.copy_from_slice(payload);
    }
    if sender.send(socket).is_err() {
        sender.clear();
    }
}

/// What is forwarded and what is not.
struct Limit {
    /// Nanoseconds between two datagrams under the cap; 0 without one.
    interval: u64,
    /// How far ahead of its time a datagram may come.
    tolerance: u64,
    /// When the next one would be in time.
    next: u64,
    lossy: Option<(u32, u32)>,
    drop_one_in: u64,
    /// Begin of the window, datagrams in it, and the rate of the one before.
    window: (u64, u64),
    /// When the last datagram came.
    last: u64,
    offered: u64,
    in_band: u64,
}

impl Limit {
    fn new(arguments: &Arguments) -> Self {
        let interval = arguments.cap.map_or(0, |cap| 1_000_000_000 / u64::from(cap.max(1)));
        Self {
            interval,
            tolerance: interval * u64::from(arguments.burst.saturating_sub(1)),
            next: 0,
            lossy: arguments.lossy,
            drop_one_in: arguments.drop_one_in.max(1),
            window: (0, 0),
            last: 0,
            offered: 0,
            in_band: 0,
        }
    }

    fn passes(&mut self, now: u64) -> bool {
        if now - self.last > PAUSE_NS {
            (self.window, self.offered) = ((now, 0), 0);
        }
        self.last = now;
        self.window.1 += 1;
        if now - self.window.0 >= WINDOW_NS {
            self.offered = self.window.1 * 1_000_000_000 / (now - self.window.0);
            self.window = (now, 0);
        }
        if let Some((from, to)) = self.lossy
            && (u64::from(from)..=u64::from(to)).contains(&self.offered)
        {
            self.in_band += 1;
            if self.in_band.is_multiple_of(self.drop_one_in) {
                return false;
            }
        }
        self.is_below_cap(now)
    }

    fn is_below_cap(&mut self, now: u64) -> bool {
        let begin = self.next.max(now);
        if begin - now > self.tolerance {
            return false;
        }
        self.next = begin + self.interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(more: &[&str]) -> Limit {
        let words = ["forwarder", "--listen", "127.0.0.1:1", "--to", "127.0.0.1:2"];
        Limit::new(&Arguments::parse_from(words.iter().chain(more)))
    }

    /// How many of `offered` a second pass in 10 s, at equal distances.
    fn passed(limit: &mut Limit, offered: u64) -> u64 {
        let begin = 1_000_000_000;
        (0..offered * 10).filter(|n| limit.passes(begin + n * 1_000_000_000 / offered)).count() as u64
    }

    #[test]
    fn the_cap_holds_to_the_datagram_and_a_load_below_it_loses_none() {
        assert_eq!(passed(&mut limit(&["--cap", "5000", "--burst", "10"]), 4_999), 49_990);
        let above = passed(&mut limit(&["--cap", "5000", "--burst", "10"]), 8_000);
        assert!((50_000..=50_010).contains(&above), "{above}");
        let mut at_once = limit(&["--cap", "1000", "--burst", "7"]);
        assert_eq!((0..20).filter(|_| at_once.passes(1_000_000_000)).count(), 7);
    }

    #[test]
    fn only_rates_within_the_band_lose() {
        let lost = |offered| {
            let passed = passed(&mut limit(&["--lossy", "4000-6000", "--drop-one-in", "50"]), offered);
            offered * 10 - passed
        };
        assert_eq!((lost(3_900), lost(6_100)), (0, 0));
        // The first window has to be over before a rate is known.
        assert!((970..=1_000).contains(&lost(5_000)), "{}", lost(5_000));
    }

    #[test]
    fn a_load_and_the_next_one_are_not_mixed() {
        let mut limit = limit(&["--lossy", "4000-6000", "--drop-one-in", "1"]);
        // 8,000 per second that end within a window, a pause, and as many again: 5,000 on average.
        let passed = |limit: &mut Limit, begin: u64| (0..1_900).all(|n| limit.passes(begin + n * 125_000));
        assert!(passed(&mut limit, 1_000_000_000) && passed(&mut limit, 1_400_000_000));
    }
}
