//! What the tests share: real servers that do one thing, a running load balancer, bounded waits.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use lb::Lb;
use lb::config::Config;

/// The longest any test waits for something that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a load balancer with one virtual service "web" on group "web".
pub(crate) fn lb(service: &str, group: &str) -> Lb {
    lb::start(Config::parse("test.toml", &config(service, group)).unwrap()).unwrap()
}

/// A configuration with one worker and an admin server; `service` and `group` are added to their tables.
pub(crate) fn config(service: &str, group: &str) -> String {
    format!(
        "workers = 1\ndrain = '5s'\n[admin]\nlisten = '127.0.0.1:0'\n\
         [[virtual_service]]\nname = 'web'\nlisten = '127.0.0.1:0'\ngroup = 'web'\n{service}\n\
         [[group]]\nname = 'web'\n{group}\n"
    )
}

/// The `real_servers` of a group: r1, r2 and so on, in the order of the addresses.
pub(crate) fn real_servers(addresses: &[SocketAddr]) -> String {
    let servers: Vec<_> = addresses
        .iter()
        .enumerate()
        .map(|(at, address)| format!("{{ name = 'r{}', address = '{address}' }}", at + 1))
        .collect();
    format!("real_servers = [{}]", servers.join(", "))
}

/// A real server that runs one function per connection, each on a thread of its own.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serve = serve.clone();
                count.fetch_add(1, SeqCst);
                std::thread::spawn(move || serve(bounded(stream.unwrap())));
            }
        });
        Self { address, accepted }
    }

    /// A server that says its name, then waits for the end of the client's bytes.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |mut stream| {
            let _ = stream.write_all(name.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// A server that answers every connection's first bytes with this, and closes.
    pub(crate) fn answering(answer: impl Fn() -> String + Clone + Send + 'static) -> Self {
        Self::start(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer().as_bytes());
        })
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(SeqCst)
    }
}

/// An address on which nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Connects, with a bound on every read and write.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    bounded(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads exactly so many bytes, as text.
pub(crate) fn read_text(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Connects, ends its own direction and returns all that comes back; empty if it was refused.
pub(crate) fn ask(address: SocketAddr) -> String {
    let mut stream = connect(address);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    // A reset is as good a refusal as an empty answer.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// GETs an admin page; returns status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until something holds; asks again and again, because there is nobody who could tell.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The value of one line of `/metrics`, by its beginning up to the space.
pub(crate) fn metric(lb: &Lb, name: &str) -> f64 {
    let (status, body) = get(lb.admin().unwrap(), "/metrics");
    assert_eq!(status, 200);
    let line = body.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no metric {name} in {body}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
