//! A running program `lb`: its addresses, counters, log lines and descriptors.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest any test waits for something that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A running `lb -c`, killed at the end.
pub(crate) struct Lb {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    /// Descriptors before the first connection.
    pub(crate) descriptors: u64,
    config: PathBuf,
}

impl Lb {
    /// Starts it with one worker, an admin server and one service "web" on group "web".
    pub(crate) fn start(service: &str, servers: &[SocketAddr]) -> Self {
        Self::start_limited(service, servers, None)
    }

    /// As [`Self::start`], with at most so many descriptors.
    pub(crate) fn start_limited(service: &str, servers: &[SocketAddr], descriptors: Option<u32>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("lb-faults-{}-{}.toml", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let config = std::env::temp_dir().join(name);
        std::fs::write(&config, text(service, servers)).unwrap();
        let limit = descriptors.map_or_else(String::new, |most| format!("ulimit -n {most} && "));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit}exec \"$0\" -c \"$1\""), env!("CARGO_BIN_EXE_lb")]).arg(&config);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).env_remove("RUST_LOG").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut address_of = |what: &str| -> SocketAddr {
            let line = lines.find(|line| line.contains(what)).expect("it says where it listens");
            line.rsplit("address=").next().unwrap().trim().parse().unwrap()
        };
        let (address, admin) = (address_of("virtual service listens"), address_of("admin listens"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        // Reads on to the end, so that the program never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        let descriptors = host::kernel::process_descriptors(child.id()).unwrap();
        Self { child, address, admin, log, descriptors, config }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lines logged since the start that contain this.
    pub(crate) fn logged(&self, what: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(what)).count()
    }

    /// Connects a client, with a bound on every read and write.
    pub(crate) fn connect(&self) -> TcpStream {
        bounded(TcpStream::connect_timeout(&self.address, PATIENCE).unwrap())
    }

    /// What is counted now: the service's totals without prefix and suffix, responses by class, and
    /// the open connections as `open` (clients) and `leased` (servers).
    pub(crate) fn counters(&self) -> BTreeMap<String, u64> {
        let mut stream = bounded(TcpStream::connect(self.admin).unwrap());
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let mut counters = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.rsplit_once(' ').and_then(|(name, value)| Some((key(name)?, value))) else {
                continue;
            };
            *counters.entry(key).or_default() += value.parse::<u64>().unwrap();
        }
        counters
    }

    /// Waits until no connection is open and every descriptor of one has been closed.
    pub(crate) fn settles(&self) {
        self.is_idle();
        let now = || host::kernel::process_descriptors(self.pid()).unwrap();
        until(
            || format!("{} descriptors, {} before the first connection", now(), self.descriptors),
            || now() == self.descriptors,
        );
    }

    /// Waits until no client connection is open and no server is leased.
    pub(crate) fn is_idle(&self) {
        until(
            || format!("open connections in {:?}", self.counters()),
            || {
                let counters = self.counters();
                counters["open"] == 0 && counters["leased"] == 0
            },
        );
    }
}

impl Drop for Lb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

fn text(service: &str, servers: &[SocketAddr]) -> String {
    let server = |(at, address): (usize, &SocketAddr)| format!("{{ name = 'r{at}', address = '{address}' }}");
    let servers: Vec<_> = servers.iter().enumerate().map(server).collect();
    format!(
        "workers = 1\ndrain = '5s'\n[admin]\nlisten = '127.0.0.1:0'\n\
         [[virtual_service]]\nname = 'web'\nlisten = '127.0.0.1:0'\ngroup = 'web'\n{service}\n\
         [[group]]\nname = 'web'\nreal_servers = [{}]\n",
        servers.join(", ")
    )
}

/// The short name of a metric; `None` for those that no row is about.
fn key(name: &str) -> Option<String> {
    let (metric, labels) = name.split_once('{').unwrap_or((name, ""));
    let class = |labels: &str| Some(labels.split("code=\"").nth(1)?.trim_end_matches("\"}").to_owned());
    match metric {
        "lb_service_current_sessions" => Some("open".to_owned()),
        "lb_server_current_sessions" => Some("leased".to_owned()),
        "lb_service_http_responses_total" => class(labels),
        "lb_server_response_errors_total" => Some("response_errors of servers".to_owned()),
        "lb_server_datagrams_in_total" => Some("datagrams to servers".to_owned()),
        "lb_process_shortages_total" => Some("shortages".to_owned()),
        _ => {
            let name = metric.strip_prefix("lb_service_")?.strip_suffix("_total")?;
            let is_of_faults = !name.starts_with("bytes") && name != "http_requests";
            is_of_faults.then(|| name.to_owned())
        }
    }
}

pub(crate) fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Waits until something holds; asks again and again, because there is nobody who could tell.
pub(crate) fn until(otherwise: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{}: after {PATIENCE:?}", otherwise());
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
