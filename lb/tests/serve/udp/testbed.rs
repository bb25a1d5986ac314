//! Real servers for datagrams, and clients that wait for answers.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use lb::Lb;

use crate::testbed::{PATIENCE, metric};

/// A real server that answers each datagram with its name and the datagram, a number of times; ends with
/// the value.
pub(super) struct Echo {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    datagrams: AtomicUsize,
    /// Where they came from: one for each flow.
    flows: Mutex<HashSet<SocketAddr>>,
}

impl Echo {
    pub(super) fn start(name: &'static str) -> Self {
        Self::answering(name, "127.0.0.1:0", 1)
    }

    pub(super) fn answering(name: &'static str, listen: &str, answers: usize) -> Self {
        let socket = UdpSocket::bind(listen).unwrap();
        let address = socket.local_addr().unwrap();
        // How often it looks whether it shall end.
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (seen, end) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let (own_seen, own_end) = (Arc::clone(&seen), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !own_end.load(SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                own_seen.datagrams.fetch_add(1, SeqCst);
                own_seen.flows.lock().unwrap().insert(from);
                let mut answer = name.as_bytes().to_vec();
                answer.extend_from_slice(&buffer[..length]);
                for _ in 0..answers {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { address, seen, end, thread: Some(thread) }
    }

    /// Datagrams received so far.
    pub(super) fn datagrams(&self) -> usize {
        self.seen.datagrams.load(SeqCst)
    }

    /// Flows seen so far.
    pub(super) fn flows(&self) -> usize {
        self.seen.flows.lock().unwrap().len()
    }

    /// Closes its socket: from then on ICMP says that nobody listens.
    pub(super) fn stop(self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.end.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client with one address, so one flow.
pub(super) struct Client(pub(super) UdpSocket);

impl Client {
    pub(super) fn to(service: SocketAddr) -> Self {
        let socket = UdpSocket::bind(if service.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        socket.connect(service).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    pub(super) fn say(&self, text: &str) {
        assert_eq!(self.0.send(text.as_bytes()).unwrap(), text.len());
    }

    /// The next answer.
    pub(super) fn hear(&self) -> String {
        let mut buffer = [0; 2048];
        let length = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    pub(super) fn ask(&self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    /// Asks until there is an answer; the ones before may be lost. What is asked carries a number, so that
    /// an answer to an earlier one is taken for none.
    pub(super) fn ask_until_answered(&self) -> String {
        self.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        for number in 0..100 {
            self.say(&format!("?{number}"));
            let mut buffer = [0; 2048];
            while let Ok(length) = self.0.recv(&mut buffer) {
                let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if let Some(name) = answer.strip_suffix(&format!("?{number}")) {
                    self.0.set_read_timeout(Some(PATIENCE)).unwrap();
                    return name.to_owned();
                }
            }
        }
        panic!("no answer to 100 datagrams");
    }
}

/// A metric of the service "web".
pub(super) fn of_service(lb: &Lb, name: &str) -> f64 {
    metric(lb, &format!("lb_service_{name}{{service=\"web\"}}"))
}

/// Datagrams dropped for a reason.
pub(super) fn dropped(lb: &Lb, reason: &str) -> f64 {
    metric(lb, &format!("lb_service_datagrams_dropped_total{{service=\"web\",reason=\"{reason}\"}}"))
}

/// Datagrams dropped for any reason.
pub(super) fn all_dropped(lb: &Lb) -> f64 {
    ["no-server", "shortage", "full", "draining", "to-server", "to-client"]
        .map(|reason| dropped(lb, reason))
        .iter()
        .sum()
}
