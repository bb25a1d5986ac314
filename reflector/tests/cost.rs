//! What one transaction costs in CPU time, beside nginx's `return 200`.
//!
//! Run by name: `cargo test --release -p reflector --test cost -- --ignored --nocapture`. Needs nginx
//! and wrk; says loudly when they are missing. With debug assertions the figure is only printed: std
//! and tokio then check every descriptor with system calls of their own, about 5 % of a connection.
//! Interleaved rounds on the same cores under the same load, CPU
//! time as the kernel accounts it per task; the figure is the ratio of medians.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so does what it calls")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const RATIO_MAX: f64 = 1.2;
const BODY_BYTES: usize = 1024;

/// A server process that is killed when it goes out of scope.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "cost: 1 min, needs nginx and wrk"]
fn a_transaction_costs_at_most_a_fifth_more_than_at_nginx() {
    for program in ["nginx", "wrk", "taskset"] {
        if Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return println!(
                "SKIPPED: {program} is not installed; nothing was compared (apt install nginx wrk util-linux)"
            );
        }
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cost-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let cores = host::cpu::allowed_cores();
    let (server_core, load_core) = (*cores.last().unwrap(), cores[0]);
    let nginx = start_nginx(&folder, server_core);
    let reflector = start_reflector(server_core);
    for (mode, header) in [("keep-alive", "X-Cost: 1"), ("close", "Connection: close")] {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (server, costs) in [&nginx, &reflector].into_iter().zip(&mut costs) {
                costs.push(round(server, header, load_core));
            }
        }
        let [nginx, reflector] = costs.map(median);
        let ratio = reflector / nginx;
        println!("{mode}: nginx {nginx:.0} ns, reflector {reflector:.0} ns per transaction, ratio {ratio:.3}");
        let holds = ratio <= RATIO_MAX || cfg!(debug_assertions);
        assert!(holds, "{mode}: ratio {ratio:.3} is above {RATIO_MAX}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn start_nginx(folder: &Path, core: usize) -> Server {
    // Freed at once and taken by nginx; nobody else starts servers here meanwhile.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let body = String::from_utf8_lossy(wire::body::window(0, 0, BODY_BYTES)).replace(['\\', '$', '"'], "x");
    let folder_text = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {folder_text}/pid; error_log {folder_text}/error.log;
         events {{ worker_connections 4096; }}
         http {{
           access_log off; keepalive_requests 1000000000; tcp_nodelay on;
           client_body_temp_path {folder_text}; proxy_temp_path {folder_text}; fastcgi_temp_path {folder_text};
           uwsgi_temp_path {folder_text}; scgi_temp_path {folder_text};
           server {{ listen {address} backlog=4096; location / {{ return 200 \"{body}\"; }} }}
         }}"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let child = Command::new("taskset").args(["-c", &core.to_string(), "nginx", "-c"]).arg(&path).spawn().unwrap();
    let server = Server { child, address };
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nginx does not listen on {address}");
        std::thread::yield_now();
    }
    server
}

fn start_reflector(core: usize) -> Server {
    let mut child = Command::new(env!("CARGO_BIN_EXE_reflector"))
        .args(["--listen", "127.0.0.1:0", "--cores", &core.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ready http://").unwrap().parse().unwrap();
    Server { child, address }
}

/// Nanoseconds of CPU time per transaction in one round of load.
fn round(server: &Server, header: &str, load_core: usize) -> f64 {
    let before = host::kernel::process_cpu_ns(server.child.id()).unwrap();
    let output = Command::new("taskset")
        .args(["-c", &load_core.to_string(), "wrk", "-t1", "-c32", "-d2s", "-H", header])
        .arg(format!("http://{}/?s={BODY_BYTES}", server.address))
        .output()
        .unwrap();
    let after = host::kernel::process_cpu_ns(server.child.id()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("Non-2xx"), "{text}");
    let transactions: f64 =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok()).unwrap();
    (after - before) as f64 / transactions
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
