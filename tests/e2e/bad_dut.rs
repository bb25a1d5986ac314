//! DUTs that do not start, do not serve, or answer nonsense: what is said, and how the run ends.
//!
//! A DUT that is there already is played by a listener in this process, which answers the first
//! request properly (by which the length of a right body is learned) or not even that.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::{Folder, Run, Started, available, command_of, exclusive, has_program, until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
/// Most bytes of an endless answer.
const ENDLESS: usize = 96 * 1024 * 1024;

/// How a listener treats a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    Garbage,
    Reset,
    Stall,
    EndlessHead,
    EndlessBody,
    WrongStatus,
    WrongLength,
    ClosesEarly,
    /// Nobody listens any more.
    Refuse,
}

/// A server of this test on a port of its own, until it is dropped.
struct Listener {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Answers the first `good` connections properly and all others in `manner`.
    fn new(good: u32, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let served = AtomicU32::new(0);
            std::thread::scope(|scope| {
                for stream in listener.incoming().flatten() {
                    if theirs.load(Ordering::Relaxed) {
                        return;
                    }
                    let is_good = served.fetch_add(1, Ordering::Relaxed) < good;
                    let ended = &theirs;
                    // A peer that has gone away is what some of these manners are about.
                    scope.spawn(move || drop(if is_good { proper(stream) } else { treat(stream, manner, ended) }));
                    if manner == Manner::Refuse && served.load(Ordering::Relaxed) >= good {
                        return;
                    }
                }
            });
        });
        Self { address, ended, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes it up; it may have ended already.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(())
}

fn proper(mut stream: TcpStream) -> std::io::Result<()> {
    read_head(&mut stream)?;
    stream.write_all(OK)
}

fn treat(mut stream: TcpStream, manner: Manner, ended: &AtomicBool) -> std::io::Result<()> {
    read_head(&mut stream)?;
    match manner {
        Manner::Garbage => stream.write_all(b"220 mail.example ESMTP ready\r\n\r\n"),
        Manner::Reset => host::socket::reset_on_close(&stream),
        Manner::Stall => {
            until(Duration::from_secs(20), || ended.load(Ordering::Relaxed).then_some(()));
            Ok(())
        }
        Manner::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            endlessly(&mut stream, b"X-Filler: and so on and so on and so on and so on\r\n")
        }
        Manner::EndlessBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            endlessly(&mut stream, &chunk)
        }
        Manner::WrongStatus => stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nhello"),
        Manner::WrongLength => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"),
        Manner::ClosesEarly => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"),
        Manner::Refuse => Ok(()),
    }
}

fn endlessly(stream: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    (0..ENDLESS / piece.len()).try_for_each(|_| stream.write_all(piece))
}

/// A second of 20 connections per second with short limits.
fn scenario(dut: &str, expect: &str) -> String {
    format!(
        r#"
[scenario]
name = "bad-dut"
[testbed]
dut = "{dut}"
[workload]
kind = "http"
request = "/x"
requests_per_connection = 1
[load]
unit = "connections/s"
rate = "20/s"
phases = {{ init = "0s", ramp_up = "100ms", sustain = "1s", ramp_down = "100ms" }}
connect_timeout = "300ms"
response_timeout = "300ms"
drain = "500ms"
[search]
method = "fixed"
{expect}
"#
    )
}

/// Runs against a listener that is there already.
fn against(listener: &Listener, expect: &str) -> (Folder, Run) {
    let folder = Folder::new();
    let path = folder.write("bad-dut.toml", &scenario("none", expect));
    let address = listener.address.to_string();
    let run = Started::of(&folder, &[path.to_str().unwrap(), "--dut", &address, "--path", "/x"]).finish_clean();
    (folder, run)
}

/// A listener that answered once and then misbehaves: every operation is counted by its kind. On a
/// busy machine the verdict may be undecided, and then the run may be repeated.
fn counts_as(manner: Manner, kind: &str) {
    for attempt in 1.. {
        let listener = Listener::new(1, manner);
        let (_folder, run) = against(&listener, "[expect]\nfailed = \"< 1%\"");
        let measured = run.csv("outcomes.csv");
        let of =
            |kind: &str| measured.iter().find(|row| row["outcome"] == kind).unwrap()["operations_in_sustain"].clone();
        assert_eq!((of(kind).as_str(), of("ok").as_str()), ("20", "0"), "{manner:?}: {}", run.stdout);
        assert!(run.stdout.contains(&format!("first {kind}: ")), "{manner:?}: {}", run.stdout);
        // A machine that is busy throughout stays undecided, and then that has to be the reason.
        let is_busy = run.stdout.contains("undecided: failed < 1%: G4: ");
        if run.code != Some(4) || attempt == 3 {
            assert!(run.code == Some(1) || run.code == Some(4) && is_busy, "{manner:?}: {run:?}");
            return;
        }
    }
}

#[test]
fn every_way_to_fail_is_counted_by_its_kind_and_misses_the_expectation() {
    let _alone = exclusive();
    // Side by side: each waits most of its time.
    std::thread::scope(|scope| {
        for (manner, kind) in [
            (Manner::Garbage, "bad_response"),
            (Manner::Reset, "reset_later"),
            (Manner::Stall, "response_timeout"),
            (Manner::EndlessHead, "bad_response"),
            (Manner::EndlessBody, "bad_payload"),
            (Manner::WrongStatus, "bad_status"),
            (Manner::WrongLength, "bad_payload"),
            (Manner::ClosesEarly, "closed_early"),
            (Manner::Refuse, "connect_refused"),
        ] {
            scope.spawn(move || counts_as(manner, kind));
        }
    });
}

#[test]
fn a_dut_that_cannot_be_learned_from_is_refused_with_what_it_did() {
    let refused = |manner, words: &[&str]| {
        let listener = Listener::new(0, manner);
        let (_folder, run) = against(&listener, "");
        run.assert_refused(3, words);
        assert!(run.stderr.contains(&listener.address.to_string()) && run.stderr.contains("/x"), "{}", run.stderr);
        assert_eq!(run.stdout, "", "nothing was measured");
    };
    let garbage = "not a complete HTTP/1 response";
    std::thread::scope(|scope| {
        scope.spawn(|| refused(Manner::Garbage, &[garbage]));
        scope.spawn(|| refused(Manner::Reset, &["did not answer GET /x", "is the server there", "reset"]));
        scope.spawn(|| refused(Manner::Stall, &["did not answer GET /x", "nothing came within 600ms"]));
        scope.spawn(|| refused(Manner::EndlessHead, &[garbage, "16 KiB"]));
        scope.spawn(|| refused(Manner::EndlessBody, &[garbage, "does not end"]));
        scope.spawn(|| refused(Manner::WrongStatus, &["status 503", "expected 200", "--path", "workload.status"]));
        scope.spawn(|| refused(Manner::ClosesEarly, &[garbage]));
    });
    let folder = Folder::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/x");
    Run::refused(&folder, &["quick", &url, "-d", "1s"], 3, &["did not answer GET /x", "refused"]);
}

#[test]
fn a_quick_run_counts_failures_too() {
    let _alone = exclusive();
    let listener = Listener::new(1, Manner::WrongStatus);
    let folder = Folder::new();
    let url = format!("http://{}/x", listener.address);
    let run = Started::of(&folder, &["quick", &url, "-c", "2", "-d", "1s", "-R", "50/s"]).finish_clean();
    // Nothing was expected of it, so it ends with 0, but it says what came of it.
    assert_eq!((run.code, run.number("attempted"), run.number("failed")), (Some(0), 50.0, 50.0), "{run:?}");
    assert!(run.stdout.contains("50 bad_status") && run.stdout.contains("the load was not carried"), "{}", run.stdout);
}

/// A DUT file with a command; `start` and `rest` are TOML.
fn command(service: &str, start: &str, rest: &str) -> String {
    let ready = "ready = { tcp = \"127.0.0.1:{port}\", within = \"500ms\" }";
    format!("kind = \"command\"\nservice = \"http://{service}\"\nstart = [{start}]\n{ready}\n{rest}\n")
}

/// The run with this DUT file is refused, and its folder has the DUT's log.
fn refused_dut(dut: &str, code: i32, words: &[&str]) {
    let folder = Folder::new();
    folder.write("dut.toml", dut);
    let path = folder.write("bad-dut.toml", &scenario("dut.toml", ""));
    let run = Run::refused(&folder, &[&path], code, words);
    assert_eq!(run.stdout, "", "nothing was measured");
}

#[test]
fn a_dut_file_that_makes_no_sense_is_refused_before_anything_starts() {
    let any = "127.0.0.1:{port}";
    refused_dut(
        &command(any, "\"x\", \"{prot}\", \"{port}\"", ""),
        2,
        &["dut.toml: start", "{prot}", "{port}, {admin}"],
    );
    refused_dut(&command(any, "\"x\"", ""), 2, &["dut.toml:2", "service", "{port}"]);
    let wrong = command(any, "\"x\", \"{port}\"", "").replace("start", "strat");
    refused_dut(&wrong, 2, &["dut.toml:3", "strat", "did you mean `start`?"]);
    let external = command(any, "\"x\", \"{port}\"", "").replace("command", "external");
    refused_dut(&external, 2, &["dut.toml", "start", "no meaning", "external"]);
    refused_dut(&command(any, "\"x\", \"{config}\", \"{port}\"", "config = \"no.cfg\""), 2, &["no.cfg", "dut.toml"]);
}

#[test]
fn a_dut_that_does_not_start_is_refused_with_its_last_words() {
    let any = "127.0.0.1:{port}";
    let missing = command(any, "\"no-such-lb\", \"{port}\"", "package = \"some-lb\"");
    refused_dut(&missing, 3, &["\"no-such-lb\"", "PATH", "install the package some-lb"]);
    let exits = command(any, "\"sh\", \"-c\", \"echo no licence >&2; exit 7\", \"{port}\"", "");
    refused_dut(&exits, 3, &["did not start", "exit status 7", "last lines", "dut.log", "no licence"]);
    let never = command(any, "\"sh\", \"-c\", \"echo warming up; exec sleep 1000\", \"{port}\"", "");
    refused_dut(&never, 3, &["not ready within 500ms", "nothing accepts", "ready.within", "warming up"]);
    refused_dut(
        &command(any, "\"sleep\", \"1000\", \"{port}\"", "cores = [4095]"),
        3,
        &["dut.cores", "4095", "may run on"],
    );
}

#[test]
fn a_port_that_is_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused_dut(&command(&address, "\"sleep\", \"1000\"", ""), 3, &[&address, "in use", "{port}"]);
    let lb = "[[virtual_service]]\nname = \"web\"\nlisten = \"ADDRESS\"\nmode = \"http\"\ngroup = \"web\"\n[[group]]\n\
              name = \"web\"\nbalance = \"round-robin\"\nreal_servers = [\n  { name = \"{name}\", address = \"{address}\" },\n]\n";
    let folder = Folder::new();
    folder.write("lb.toml", &lb.replace("ADDRESS", &address));
    folder.write("dut.toml", &format!("kind = \"reference\"\nservice = \"http://{address}\"\nconfig = \"lb.toml\"\n"));
    let path =
        folder.write("bad-dut.toml", &scenario("dut.toml", "").replace("[workload]", "reflectors = 1\n[workload]"));
    Run::refused(&folder, &[&path], 3, &[&address, "in use"]);
}

/// nginx with one file, until it is dropped.
struct Nginx(std::process::Child);

impl Nginx {
    fn serve(folder: &Folder, port: u16) -> Self {
        folder.write("index.html", "<p>hello</p>\n");
        let place = folder.path().display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {place}/{name};"));
        let text = format!(
            "daemon off;\nworker_processes 1;\npid {place}/nginx.pid;\nerror_log {place}/error.log;\nevents {{}}\nhttp {{\n\
             access_log off;\n{}\nserver {{ listen 127.0.0.1:{port}; root {place}; }}\n}}\n",
            paths.join("\n")
        );
        let config = folder.write("nginx.conf", &text);
        let mut command = command_of("nginx");
        command.arg("-e").arg(folder.path().join("error.log")).arg("-p").arg(folder.path()).arg("-c").arg(config);
        let this = Self(command.spawn().unwrap());
        let up = until(Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", port)).ok());
        assert!(up.is_some(), "nginx does not serve");
        this
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A killed master would leave its worker behind.
        let _ = host::process::signal(self.0.id(), host::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn any_web_server_is_measured_by_status_and_length_and_that_is_said() {
    if !available("nginx", has_program("nginx")) {
        return;
    }
    let _alone = exclusive();
    let (folder, files) = (Folder::new(), Folder::new());
    // The worker of a root nginx is somebody else.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _nginx = Nginx::serve(&files, port);
    let address = format!("127.0.0.1:{port}");
    let path = folder.write("bad-dut.toml", &scenario("none", "[expect]\nfailed = \"<= 0%\""));
    let arguments = [path.to_str().unwrap(), "--dut", &address, "--path", "/index.html"];
    let run = Started::of(&folder, &arguments).finish_clean();
    assert_eq!((run.code, run.number("attempted"), run.number("failed")), (Some(0), 20.0, 0.0), "{run:?}");
    assert_eq!(run.number("object_bytes"), 13.0, "{}", run.stdout);
    assert!(run.stdout.contains("no ledger to compare with, bodies are verified by length at most"), "{}", run.stdout);
    assert!(run.csv("servers.csv").is_empty(), "{}", run.file("servers.csv"));
    let arguments = [path.to_str().unwrap(), "--dut", &address, "--path", "/other.html"];
    Run::refused(&folder, &arguments, 3, &["GET /other.html", "status 404", "--path"]);
}
