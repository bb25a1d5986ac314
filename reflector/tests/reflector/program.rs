//! The program `reflector`: what it prints, how it ends, its control address.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Instant;

use wire::control::{self, Event};
use wire::ledger::Ledger;

use crate::support::*;

struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_reflector"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Reads the last ledger and waits for the end.
    fn end(&mut self) -> (Ledger, Option<i32>) {
        let ledger = serde_json::from_str(&self.line()).unwrap();
        (ledger, self.child.wait().unwrap().code())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_reflector")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    (output, text)
}

#[test]
fn it_says_where_it_serves_and_prints_its_ledger_on_sigterm() {
    let mut program = Program::start(&[
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "tcp://[::1]:0",
        "--instance",
        "r7",
        "--size",
        "2k",
        "--delay",
        "5ms",
        "--threads",
        "2",
    ]);
    let http: SocketAddr = program.line().strip_prefix("ready http://").unwrap().parse().unwrap();
    let tcp: SocketAddr = program.line().strip_prefix("ready tcp://").unwrap().parse().unwrap();
    assert!(tcp.is_ipv6());
    let answer = Client::connect(http).get("/");
    assert_eq!((answer.header(wire::identity::INSTANCE), answer.body.len()), (Some("r7"), 2048));
    let mut echo = Client::connect(tcp);
    echo.send("hi");
    assert_eq!(echo.exactly(2), b"hi");
    drop(echo);
    host::process::signal(program.child.id(), rustix::process::Signal::TERM).unwrap();
    let (ledger, code) = program.end();
    assert_eq!((code, &*ledger.instance, ledger.opened, ledger.requests), (Some(0), "r7", 2, 1));
}

#[test]
fn it_serves_datagrams_as_its_options_say() {
    let mut program = Program::start(&[
        "--listen=udp-sink://127.0.0.1:0",
        "--listen=http://127.0.0.1:0",
        "--listen=udp://[::1]:0",
        "--udp-drop=4+3",
        "--udp-corrupt=4+2",
        "--udp-duplicate=4+1",
        "--udp-swap=1000",
        "--udp-swap-wait=1ms",
        "--rate-cap=1M/s",
        "--unit=datagrams",
        "--burst=1ms",
    ]);
    let mut address = |scheme| program.line().strip_prefix(scheme).unwrap().parse::<SocketAddr>().unwrap();
    let sink = address("ready udp-sink://");
    assert_eq!(Client::connect(address("ready http://")).get("/").status(), 200);
    let echo = address("ready udp://");
    let client = UdpSocket::bind("[::1]:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 0..4 {
        client.send_to(&[number, 7], echo).unwrap();
    }
    let mut answer = [0; 2];
    for expected in [[0, 7], [1, 7], [1, 7], [2, !7]] {
        assert_eq!((client.recv(&mut answer).unwrap(), answer), (2, expected));
    }
    let to_sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    to_sink.send_to(b"counted", sink).unwrap();
    host::process::signal(program.child.id(), rustix::process::Signal::TERM).unwrap();
    let (Ledger { udp, requests, .. }, code) = program.end();
    assert_eq!((code, requests, udp.received, udp.bytes_in), (Some(0), 1, 5, 15));
    assert_eq!((udp.dropped, udp.corrupted, udp.duplicated, udp.sent), (1, 1, 1, 4));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--drain", "60s", "--delay", "50s"]);
    let http: SocketAddr = program.line().strip_prefix("ready http://").unwrap().parse().unwrap();
    let mut waiting = Client::connect(http);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let signal = |signal| host::process::signal(program.child.id(), signal).unwrap();
    signal(rustix::process::Signal::TERM);
    // It no longer listens, so it has heeded the first one.
    let begun = Instant::now();
    while TcpStream::connect(http).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it still listens");
    }
    signal(rustix::process::Signal::INT);
    assert_eq!(program.line(), "", "no ledger");
    assert_eq!(program.child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn the_control_address_gives_ledgers_and_stops() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
    let http: SocketAddr = program.line().strip_prefix("ready http://").unwrap().parse().unwrap();
    let address: SocketAddr = program.line().strip_prefix("control ").unwrap().parse().unwrap();
    Client::connect(http).get("/");

    // One that sends an endless line is cut off and disturbs nobody.
    let mut endless = TcpStream::connect(address).unwrap();
    endless.set_write_timeout(Some(PATIENCE)).unwrap();
    let _ = endless.write_all(&vec![b'x'; 3 * control::LINE_MAX]);

    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let mut event = || serde_json::from_str::<Event>(&lines.next().unwrap()).unwrap();
    let say = |text: &str| (&stream).write_all(format!("{text}\n").as_bytes()).unwrap();
    assert_eq!(event(), Event::Ready { addresses: vec![http], admin: None, warnings: vec![] });
    say(&serde_json::to_string(&control::Command::Ledger { reset_peak: false }).unwrap());
    let Event::Ledger { ledger } = event() else { panic!("no ledger") };
    assert_eq!(ledger.requests, 1);
    say("{\"command\":\"dance\"}");
    let Event::Failed { message } = event() else { panic!("no refusal") };
    assert!(message.contains("`dance`"), "{message}");
    say(&serde_json::to_string(&control::Command::Stop).unwrap());
    let (last, code) = program.end();
    assert_eq!((last.requests, code), (1, Some(0)));
}

#[test]
fn wrong_usage_is_exit_code_2_and_a_taken_port_3() {
    let (output, text) = refused(&[]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("no address to listen on; expected at least one [[listen]] or --listen"), "{text}");
    let (output, text) = refused(&["--listen", "127.0.0.1"]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("expected an IP address and a port"), "{text}");
    let (output, text) = refused(&["-c", "/nonexistent/r.toml"]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot read /nonexistent/r.toml"), "{text}");
    for (arguments, message) in [
        (
            ["--listen", "sctp://127.0.0.1:9"],
            "sctp:// is not served; expected one of http://, tcp://, udp://, udp-sink://",
        ),
        (["--listen=udp://127.0.0.1:0", "--udp-drop=0"], "\"0\" is not one in so many; expected N for one in N"),
        (["--listen=127.0.0.1:0", "--udp-swap=9"], "udp: has no effect without a listener of kind udp"),
    ] {
        let (output, text) = refused(&arguments);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(message), "{text}");
    }
    let taken = start(config());
    let (output, text) = refused(&["--listen", &taken.addresses()[0].to_string()]);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("Address already in use") && text.contains("choose another port"), "{text}");
}
