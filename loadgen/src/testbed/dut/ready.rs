//! Waits until a started program serves, as clients see it.
//!
//! TCP: a connection is accepted. UDP: a signed datagram comes back as it is. One that is lost is sent again,
//! because the program may not have opened its socket yet, and a reflector behind it may be slow.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use host::namespace::Namespace;
use wire::signature::{LONG, Signature};

use super::port::within;
use crate::scenario::plan::{Ready, ReadyCheck};
use crate::testbed::error::TestbedError;
use crate::testbed::process::{Context, RoleProcess};
use crate::testbed::template::{self, Values};

/// How long one connection may take.
const CONNECT_BOUND: Duration = Duration::from_millis(500);
/// How long the answer to one datagram may take.
const ANSWER_BOUND: Duration = Duration::from_millis(200);
/// Pause after a refusal, which comes at once.
const PAUSE: Duration = Duration::from_millis(10);
/// The stream of what only asks whether somebody is there: the last one that there can be.
const STREAM: u16 = u16::MAX;

/// Waits until the program serves, or ends; `clients` is where its readiness counts.
pub(super) fn wait(
    context: &Context<'_>,
    process: &mut RoleProcess,
    (ready, clients): (&Ready, Option<&Namespace>),
    values: &Values,
) -> Result<(), TestbedError> {
    let key = ready.check.key();
    let text = template::fill(key, ready.check.address(), values)?;
    let wrong = || TestbedError::Address { key, found: text.clone(), example: "{vip}:{port}" };
    let address: SocketAddr = text.parse().map_err(|_| wrong())?;
    let started = Instant::now();
    let mut asked = 0;
    loop {
        let serves = within(clients, || ask(&ready.check, address, asked)).is_ok();
        asked += 1;
        // The end of the program is looked at afterwards: a stranger may have answered.
        let pause = if serves { Duration::ZERO } else { PAUSE };
        if let Some(how) = process.failure_within(pause) {
            return Err(process.failed(how));
        }
        if serves {
            return Ok(());
        }
        if context.interrupt.is_set() {
            return Err(TestbedError::Interrupted);
        }
        if started.elapsed() >= ready.within {
            let nothing = match ready.check {
                ReadyCheck::Tcp(_) => format!("nothing accepts connections on {address}"),
                ReadyCheck::Udp(_) => format!("no datagram to {address} came back"),
            };
            return Err(process.not_ready(ready.within, nothing));
        }
    }
}

fn ask(check: &ReadyCheck, address: SocketAddr, asked: u64) -> io::Result<()> {
    match check {
        ReadyCheck::Tcp(_) => TcpStream::connect_timeout(&address, CONNECT_BOUND).map(drop),
        ReadyCheck::Udp(_) => echo(address, asked),
    }
}

/// Sends one datagram and waits for it. What came for an earlier one has another socket.
fn echo(address: SocketAddr, sequence: u64) -> io::Result<()> {
    let from: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(ANSWER_BOUND))?;
    let mut sent = [0; LONG];
    Signature { stream: STREAM, sequence, sent_ns: host::clock::monotonic_ns() }.write(&mut sent);
    socket.send(&sent)?;
    // One byte more than was sent, so that a longer answer is not taken for it.
    let mut answer = [0; LONG + 1];
    let length = socket.recv(&mut answer)?;
    if answer[..length] == sent { Ok(()) } else { Err(io::Error::other("not what was sent")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_service_of_datagrams_is_ready_once_it_sends_back_what_it_got() {
        let service = UdpSocket::bind("127.0.0.1:0").unwrap();
        service.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = service.local_addr().unwrap();
        let asked = || ask(&ReadyCheck::Udp(String::new()), address, 7);
        let answered = thread::scope(|scope| {
            let asking = scope.spawn(|| [asked().is_ok(), asked().is_ok(), asked().is_ok()]);
            let mut bytes = [0; 64];
            for answer in [b"something else".to_vec(), Vec::new(), vec![0]] {
                let (length, from) = service.recv_from(&mut bytes).unwrap();
                assert_eq!((length, Signature::stream_of(&bytes[..length])), (LONG, Some(STREAM)));
                let answer = if answer == [0] { bytes[..length].to_vec() } else { answer };
                service.send_to(&answer, from).unwrap();
            }
            asking.join().unwrap()
        });
        assert_eq!(answered, [false, false, true]);
        drop(service);
        assert!(asked().is_err(), "nobody is there");
    }
}
