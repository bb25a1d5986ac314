//! The real binary: exit codes, messages, signals.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::testbed::{Server, ask, config, connect, read_text, real_servers, until};

/// A file in the temporary folder that is removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lb-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn lb(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lb")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A running `lb -c`, killed at the end if it still runs.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(file: &File) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lb"));
        command.arg("-c").arg(&file.0);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).env_remove("RUST_LOG").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains("virtual service listens")));
        // Reads on to the end, so that the program never waits for a full pipe.
        std::thread::spawn(move || lines.count());
        let line = line.expect("it says where it listens");
        let address = line.rsplit("address=").next().unwrap().trim().parse().unwrap();
        Self { child, address }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        host::process::signal(self.child.id(), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_start_without_enough_descriptors_fails_at_once() {
    let text = config("mode = 'tcp'", &real_servers(&[([127, 0, 0, 1], 9).into()]));
    // The log has to end too: its writer waits for the last handle of its queue.
    let file = File::new(
        "too-few-descriptors",
        &format!("{}[log]\naccess = 'stderr'\n", text.replace("workers = 1", "workers = 4")),
    );
    // From "nothing can be opened" to "it starts": wherever it runs out, it says so and ends.
    let mut stops = 0;
    for limit in (10..60).step_by(3) {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" -c \"$1\""), env!("CARGO_BIN_EXE_lb")])
            .arg(&file.0);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).env_remove("RUST_LOG").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut before = Vec::new();
        let said = lines.find(|line| {
            before.push(line.clone());
            line.contains("virtual service listens") || line.contains("Too many open files")
        });
        let said = said.unwrap_or_else(|| panic!("with {limit} descriptors it says neither: {before:?}"));
        if said.contains("listens") {
            host::process::signal(child.id(), rustix::process::Signal::TERM).unwrap();
        } else {
            stops += 1;
        }
        until("it has ended", || child.try_wait().unwrap().is_some());
    }
    assert!((1..17).contains(&stops), "{stops} of 17 starts failed");
}

#[test]
fn check_accepts_a_sound_file_and_warns() {
    let text = config(
        "mode = 'http'",
        "real_servers = [{ name = 'r1', address = '127.0.0.1:9001' }]\nhealth = { kind = 'tcp' }",
    );
    let file = File::new("sound", &text);
    let output = lb(&["check", file.0.to_str().unwrap()]);
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout.contains(": ok, 3 warnings\n"), "{stdout}");
    assert!(stdout.contains("is HTTP, but its group \"web\" has only TCP checks"), "{stdout}");
}

#[test]
fn check_refuses_an_unsound_or_missing_file_but_reads_the_others() {
    let sound =
        File::new("other", &config("mode = 'tcp'", "real_servers = [{ name = 'r', address = '127.0.0.1:9001' }]"));
    let unsound = File::new("unsound", &config("mod = 'tcp'", ""));
    let output = lb(&["check", unsound.0.to_str().unwrap(), "/no/such/file.toml", sound.0.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let errors = stderr(&output);
    assert!(errors.contains("did you mean `mode`?"), "{errors}");
    assert!(errors.contains("/no/such/file.toml: cannot be read: No such file"), "{errors}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(": ok, "));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for wrong in [&[][..], &["--conf", "x"], &["check"], &["-c", "/no/such/file.toml"], &["-c", "x", "check", "y"]] {
        assert_eq!(lb(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(lb(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_port_in_use_is_named_and_exits_3_with_one_worker_and_with_several() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for workers in ["workers = 1", "workers = 2"] {
        let text = config("mode = 'tcp'", "real_servers = [{ name = 'r', address = '127.0.0.1:9001' }]")
            .replace("workers = 1", workers)
            .replacen("name = 'web'\nlisten = '127.0.0.1:0'", &format!("name = 'web'\nlisten = '{address}'"), 1);
        let file = File::new(&workers.replace(' ', ""), &text);
        let output = lb(&["-c", file.0.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3));
        let expected = format!(
            "error: virtual service \"web\" cannot listen on {address}; another program listens there: \
             stop it or choose another port: Address already in use"
        );
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    }
}

#[test]
fn sigterm_drains_and_exits_0_and_a_second_signal_ends_at_once() {
    let server = Server::named("a");
    let file = File::new("signals", &config("mode = 'tcp'", &real_servers(&[server.address])).replace("'5s'", "'60s'"));
    let mut running = Running::start(&file);
    running.signal(rustix::process::Signal::TERM);
    until("it ends without connections", || running.child.try_wait().unwrap().is_some());
    assert_eq!(running.child.wait().unwrap().code(), Some(0));

    let mut running = Running::start(&file);
    let mut client = connect(running.address);
    assert_eq!(read_text(&mut client, 1), "a");
    running.signal(rustix::process::Signal::INT);
    until("it drains", || std::net::TcpStream::connect(running.address).is_err());
    assert!(running.child.try_wait().unwrap().is_none(), "a connection is still open");
    running.signal(rustix::process::Signal::INT);
    until("it ends at once", || running.child.try_wait().unwrap().is_some());
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
}

#[test]
fn running_out_of_descriptors_refuses_some_and_recovers() {
    let server = Server::named("a");
    let file = File::new("descriptors", &config("mode = 'tcp'", &real_servers(&[server.address])));
    let mut command = Command::new("sh");
    command.arg("-c").arg("ulimit -n 48; exec \"$0\" -c \"$1\"").arg(env!("CARGO_BIN_EXE_lb")).arg(&file.0);
    let mut running = Running::spawn(command);
    // Two descriptors per connection: this is more than there are.
    let held: Vec<_> = (0..60).map(|_| connect(running.address)).collect();
    until("the held connections reach the server", || server.accepted() >= 10);
    assert!(running.child.try_wait().unwrap().is_none(), "it is still there");
    drop(held);
    until("it serves again", || ask(running.address) == "a");
}
