//! Reloads: nothing fails, nothing that stays is touched, nothing is left behind.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::testbed::{PATIENCE, Server, closed_port, config, connect, get, metric, read_text, until};

/// A real server and what it has seen.
struct Real {
    name: &'static str,
    server: Server,
    /// Requests (HTTP) or pings (TCP).
    served: Arc<AtomicUsize>,
    /// Connections open now, checks included.
    open: Arc<AtomicUsize>,
}

impl Real {
    /// Answers every request with its name, and every line `ping` of TCP too; keeps its connections.
    fn start(name: &'static str) -> Self {
        let (served, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, gauge) = (Arc::clone(&served), Arc::clone(&open));
        let server = Server::start(move |mut stream| {
            gauge.fetch_add(1, SeqCst);
            let mut received = Vec::new();
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                received.extend_from_slice(&piece[..length]);
                let answer = match received.as_slice() {
                    bytes if bytes.ends_with(b"\r\n\r\n") => {
                        format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}")
                    }
                    b"ping" => name.to_owned(),
                    _ => continue,
                };
                if !received.windows(12).any(|it| it == b"nadare-check") {
                    count.fetch_add(1, SeqCst);
                }
                received.clear();
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
            gauge.fetch_sub(1, SeqCst);
        });
        Self { name, server, served, open }
    }

    fn served(&self) -> usize {
        self.served.load(SeqCst)
    }
}

/// The table of a group's servers: names, addresses, and what else is said of each.
fn servers(list: &[(&Real, &str)]) -> String {
    let mut text = "real_servers = [".to_owned();
    for (real, more) in list {
        write!(text, "{{ name = '{}', address = '{}'{more} }}, ", real.name, real.server.address).unwrap();
    }
    text + "]"
}

/// The program with a configuration file of its own.
struct Program {
    child: Child,
    file: PathBuf,
    service: &'static str,
    /// What is in the group beside its servers.
    group: &'static str,
    addresses: [SocketAddr; 2],
    lines: Receiver<String>,
}

impl Program {
    /// With two workers; `name` is that of the file.
    fn start(name: &str, service: &'static str, group: &'static str, list: &[(&Real, &str)]) -> Self {
        let file = std::env::temp_dir().join(format!("lb-{}-reload-{name}.toml", std::process::id()));
        std::fs::write(&file, text(service, group, list)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_lb"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .env_remove("RUST_LOG")
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut address = |what: &str| {
            let line = output.find(|line| line.contains(what)).unwrap();
            line.rsplit("address=").next().unwrap().trim().parse().unwrap()
        };
        let addresses = [address("virtual service listens"), address("admin listens")];
        let (sender, lines) = channel();
        std::thread::spawn(move || output.for_each(|line| drop(sender.send(line))));
        Self { child, file, service, group, addresses, lines }
    }

    /// Has it read this list, and returns what it says of that.
    fn reload(&self, list: &[(&Real, &str)]) -> String {
        self.reload_text(&text(self.service, self.group, list))
    }

    fn reload_text(&self, text: &str) -> String {
        std::fs::write(&self.file, text).unwrap();
        host::process::signal(self.child.id(), rustix::process::Signal::HUP).unwrap();
        let mut said = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("it says what became of the reload");
            said.push_str(&line);
            if line.contains("reloaded: ") || line.contains("reload refused") {
                return said;
            }
            said.push('\n');
        }
    }

    fn metric(&self, name: &str) -> f64 {
        let (_, body) = get(self.addresses[1], "/metrics");
        let line = body.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {name} in {body}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Resident memory that belongs to no file, in KiB.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

fn text(service: &str, group: &str, list: &[(&Real, &str)]) -> String {
    config(service, &format!("{}\n{group}", servers(list))).replace("workers = 1", "workers = 2")
}

/// Clients that go on until they are told to stop; each answer that is not right is a panic.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(clients: usize, address: SocketAddr, client: fn(SocketAddr, &mut dyn FnMut() -> bool)) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let start = |_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                client(address, &mut || {
                    served.fetch_add(1, SeqCst);
                    !stop.load(SeqCst)
                });
            })
        };
        let clients = (0..clients).map(start).collect();
        Self { stop, served, clients }
    }

    fn served(&self) -> usize {
        self.served.load(SeqCst)
    }

    /// Waits until so many more have been served, or a client has failed.
    fn goes_on(&self, more: usize) {
        let goal = self.served() + more;
        until("the load goes on", || {
            assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client has ended");
            self.served() >= goal
        });
    }

    /// Stops; returns how many were served, none of them failed.
    fn stop(self) -> usize {
        self.stop.store(true, SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        self.served.load(SeqCst)
    }
}

/// Requests on one connection, which has to last.
fn keep_alive(address: SocketAddr, go_on: &mut dyn FnMut() -> bool) {
    let mut stream = connect(address);
    loop {
        request(&mut stream);
        if !go_on() {
            return;
        }
    }
}

/// One request on a connection; the name of the server that answered.
fn request(stream: &mut TcpStream) -> char {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|it| it == b"\r\n\r\n") || answer.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 512];
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "closed after {}", answer.escape_ascii());
        answer.extend_from_slice(&piece[..length]);
    }
    named(&answer)
}

fn named(answer: &[u8]) -> char {
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    char::from(*answer.last().unwrap())
}

/// A connection for each request.
fn one_request(address: SocketAddr, go_on: &mut dyn FnMut() -> bool) {
    loop {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        named(&answer);
        if !go_on() {
            return;
        }
    }
}

/// Pings of a few at a time on TCP connections that end cleanly.
fn pings(address: SocketAddr, go_on: &mut dyn FnMut() -> bool) {
    loop {
        let mut stream = connect(address);
        for _ in 0..3 {
            stream.write_all(b"ping").unwrap();
            read_text(&mut stream, 1);
            if !go_on() {
                return;
            }
        }
    }
}

/// 24 reloads in rounds of unchanged, more, changed and fewer servers; after each the load goes on.
fn rounds(program: &Program, load: &[&Load], reals: &[Real; 4]) {
    let [a, b, c, d] = reals;
    let goes_on = || load.iter().for_each(|load| load.goes_on(30));
    for round in 0..6 {
        let (stays, goes, comes) = if round % 2 == 0 { (a, b, c) } else { (a, c, b) };
        let said = program.reload(&[(stays, ""), (goes, "")]);
        assert!(said.ends_with("nothing has changed"), "{said}");
        goes_on();
        let said = program.reload(&[(stays, ""), (goes, ""), (d, ", weight = 2"), (comes, "")]);
        assert!(said.contains(&format!("added d ({})", d.server.address)), "{said}");
        let before = (d.served(), comes.served());
        until("added servers get work", || {
            goes_on();
            d.served() > before.0 && comes.served() > before.1
        });
        let said = program.reload(&[(stays, ""), (goes, ""), (d, ""), (comes, "")]);
        assert!(said.ends_with("changed d weight 2 to 1"), "{said}");
        goes_on();
        let said = program.reload(&[(stays, ""), (comes, "")]);
        assert!(said.contains("removed ") && !said.contains("added "), "{said}");
        for gone in [goes, d] {
            // What was on its way to it may still arrive, for as long as its client takes.
            until("a removed server gets nothing more, and what was kept to it is closed", || {
                let before = gone.served();
                goes_on();
                gone.open.load(SeqCst) == 0 && gone.served() == before
            });
        }
    }
}

#[test]
fn no_request_fails_while_servers_come_and_go() {
    let reals = ["a", "b", "c", "d"].map(Real::start);
    let program = Program::start(
        "http",
        "mode = 'http'",
        "balance = 'weighted-round-robin'",
        &[(&reals[0], ""), (&reals[1], "")],
    );
    let address = program.addresses[0];
    let (kept, fresh) = (Load::start(3, address, keep_alive), Load::start(3, address, one_request));
    rounds(&program, &[&kept, &fresh], &reals);
    let served = kept.stop() + fresh.stop();
    assert_eq!(reals.iter().map(Real::served).sum::<usize>(), served, "no request came twice");
    // Totals of the service have outlived 24 reloads; those of the server that was never removed, too.
    assert_eq!(program.metric("lb_service_http_requests_total{service=\"web\"}"), served as f64);
    assert_eq!(program.metric("lb_service_http_responses_total{service=\"web\",code=\"5xx\"}"), 0.0);
    assert_eq!(program.metric("lb_server_http_requests_total{group=\"web\",server=\"a\"}"), reals[0].served() as f64);
}

#[test]
fn no_request_fails_with_checks_and_without_sharing_of_server_connections() {
    let reals = ["a", "b", "c", "d"].map(Real::start);
    let health = "health = { kind = 'tcp', interval = '1h', timeout = '5s' }";
    let program =
        Program::start("checks", "mode = 'http'\nreuse = 'never'", health, &[(&reals[0], ""), (&reals[1], "")]);
    let load = Load::start(4, program.addresses[0], keep_alive);
    // The next regular check is an hour away: added servers get work because of their first one.
    rounds(&program, &[&load], &reals);
    let served = load.stop();
    assert_eq!(reals.iter().map(Real::served).sum::<usize>(), served);
}

#[test]
fn no_tcp_connection_fails_and_those_on_a_removed_server_go_on() {
    let reals = ["a", "b", "c", "d"].map(Real::start);
    let program =
        Program::start("tcp", "mode = 'tcp'", "balance = 'least-connections'", &[(&reals[0], ""), (&reals[1], "")]);
    let mut held = [connect(program.addresses[0]), connect(program.addresses[0])];
    let ping = |stream: &mut TcpStream| {
        stream.write_all(b"ping").unwrap();
        read_text(stream, 1)
    };
    let mut on = [ping(&mut held[0]), ping(&mut held[1])];
    on.sort_unstable();
    assert_eq!(on, ["a", "b"]);
    program.reload(&[(&reals[2], "")]);
    let mut still = [ping(&mut held[0]), ping(&mut held[1])];
    still.sort_unstable();
    assert_eq!(still, ["a", "b"], "they are where they were");
    let mut fresh = connect(program.addresses[0]);
    assert_eq!(ping(&mut fresh), "c");
    drop((held, fresh));
    program.reload(&[(&reals[0], ""), (&reals[1], "")]);
    let before: usize = reals.iter().map(Real::served).sum();
    let load = Load::start(6, program.addresses[0], pings);
    rounds(&program, &[&load], &reals);
    let served = load.stop();
    assert_eq!(reals.iter().map(Real::served).sum::<usize>() - before, served);
    assert_eq!(program.metric("lb_service_connection_errors_total{service=\"web\"}"), 0.0);
    assert_eq!(program.metric("lb_service_response_errors_total{service=\"web\"}"), 0.0);
}

#[test]
fn an_unchanged_file_touches_no_connection_no_state_and_no_counter() {
    let [a, b] = ["a", "b"].map(Real::start);
    let dead = closed_port();
    let group = "health = { kind = 'tcp', interval = '50ms', fall = 1 }";
    let program = Program::start("same", "mode = 'http'", group, &[(&a, ""), (&b, "")]);
    let same =
        text(program.service, group, &[(&a, ""), (&b, "")]).replace(&b.server.address.to_string(), &dead.to_string());
    let said = program.reload_text(&same);
    assert!(said.contains("real server was added and is down") && said.contains("added b"), "{said}");
    let status = || program.metric("lb_server_status{group=\"web\",server=\"b\"}");
    assert_eq!(status(), 0.0, "it was checked before it was used");
    let mut client = connect(program.addresses[0]);
    assert_eq!((request(&mut client), request(&mut client)), ('a', 'a'));
    let connections = "lb_server_sessions_total{group=\"web\",server=\"a\"}";
    let (made, failed) =
        (program.metric(connections), || program.metric("lb_server_check_failures_total{group=\"web\",server=\"b\"}"));
    let mut failures = failed();
    for _ in 0..20 {
        let said = program.reload_text(&same);
        assert!(said.ends_with("nothing has changed"), "{said}");
        assert_eq!(request(&mut client), 'a');
        assert_eq!(status(), 0.0);
        assert!(failed() >= failures);
        failures = failed();
    }
    assert_eq!(program.metric(connections), made, "the server connection is the same as before");
    assert_eq!(program.metric("lb_server_http_requests_total{group=\"web\",server=\"a\"}"), 22.0);
}

#[test]
fn the_first_checks_of_all_groups_run_at_the_same_time() {
    let [a, b] = ["a", "b"].map(Real::start);
    let (checked, checks) = channel();
    let release = Arc::new(AtomicBool::new(false));
    // Answers no check before it is told to.
    let silent = || {
        let (checked, release) = (checked.clone(), Arc::clone(&release));
        let server = Server::start(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = checked.send(());
            until("the answer may come", || release.load(SeqCst));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        Real { name: "s", server, served: Arc::default(), open: Arc::default() }
    };
    let (s, t) = (silent(), silent());
    let health = "health = { kind = 'http', interval = '1h', timeout = '30s' }";
    let groups = |of_web: &Real, of_spare: &Real| {
        let spare = format!("[[group]]\nname = 'spare'\n{}\n{health}\n", servers(&[(of_spare, "")]));
        text("mode = 'http'", health, &[(of_web, "")]) + &spare
    };
    let config = |of_web, of_spare| lb::config::Config::parse("test.toml", &groups(of_web, of_spare)).unwrap();
    let lb = lb::start(config(&a, &b)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let both = std::thread::spawn(move || {
        for _ in 0..2 {
            checks.recv_timeout(PATIENCE).expect("both are asked before one has answered");
        }
        release.store(true, SeqCst);
    });
    let changed = runtime.block_on(lb.reload(config(&s, &t))).unwrap();
    both.join().unwrap();
    assert_eq!(changed.groups.len(), 2);
    for group in ["web", "spare"] {
        assert_eq!(metric(&lb, &format!("lb_server_status{{group=\"{group}\",server=\"s\"}}")), 1.0);
    }
}

#[test]
fn a_running_request_ends_on_its_removed_server_and_kept_connections_are_closed() {
    for reuse in ["always", "never"] {
        let [a, b] = ["a", "b"].map(Real::start);
        let (release, released) = channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let slow = Server::start(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            released.lock().unwrap().recv().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ns");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let slow = Real { name: "s", server: slow, served: Arc::default(), open: Arc::default() };
        let service =
            if reuse == "never" { "mode = 'http'\nreuse = 'never'" } else { "mode = 'http'\nreuse = 'always'" };
        let program = Program::start(&format!("slow-{reuse}"), service, "", &[(&a, "")]);
        let mut idle = connect(program.addresses[0]);
        assert_eq!(request(&mut idle), 'a');
        program.reload(&[(&slow, "")]);
        let removed = Instant::now();
        until("the idle connection to the removed server is closed", || a.open.load(SeqCst) == 0);
        assert!(removed.elapsed() < Duration::from_secs(4), "that was its age, not its removal");
        let mut client = connect(program.addresses[0]);
        let waiting = std::thread::spawn(move || (request(&mut client), client));
        until("the request is at its server", || slow.server.accepted() == 1);
        program.reload(&[(&b, "")]);
        assert_eq!(request(&mut idle), 'b', "the client's connection has outlived its server's");
        assert!(!waiting.is_finished());
        release.send(()).unwrap();
        let (answered, mut client) = waiting.join().unwrap();
        assert_eq!(answered, 's');
        assert_eq!(request(&mut client), 'b');
    }
}

#[test]
fn a_request_is_not_repeated_on_a_server_that_has_been_removed_meanwhile() {
    let b = Real::start("b");
    let (asked, asks) = channel();
    let release = Arc::new(AtomicBool::new(false));
    let may_close = Arc::clone(&release);
    // Closes its connection instead of answering a second request.
    let dying = Server::start(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ns");
        let _ = stream.read(&mut [0; 4096]);
        let _ = asked.send(());
        until("the connection may be closed", || may_close.load(SeqCst));
    });
    let dying = Real { name: "s", server: dying, served: Arc::default(), open: Arc::default() };
    let program = Program::start("repeat", "mode = 'http'", "", &[(&dying, "")]);
    let mut client = connect(program.addresses[0]);
    assert_eq!(request(&mut client), 's');
    let waiting = std::thread::spawn(move || request(&mut client));
    asks.recv_timeout(PATIENCE).unwrap();
    program.reload(&[(&b, "")]);
    release.store(true, SeqCst);
    assert_eq!(waiting.join().unwrap(), 'b');
    assert_eq!(dying.server.accepted(), 1);
}

#[test]
fn a_file_that_cannot_be_applied_is_refused_as_a_whole() {
    let [a, b] = ["a", "b"].map(Real::start);
    let program = Program::start("refused", "mode = 'http'", "", &[(&a, "")]);
    let wanted = text("mode = 'http'", "", &[(&b, "")]);
    for (from, to, says) in [
        ("workers = 2", "workers = 3", ":1: workers: 3, but 2 is running; expected no change"),
        ("drain = '5s'", "drain = '6s'", ":2: drain: 6s, but 5s is running"),
        ("mode = 'http'", "mode = 'tcp'", ": virtual_service.0.mode: Tcp, but Http is running"),
        ("drain = '5s'", "drian = '5s'", "did you mean `drain`?"),
        ("[[group]]", "[group", "reload refused"),
        ("name = 'b'", "name = 'b', weight = 1001", "expected a whole number from 0 to 1000"),
    ] {
        assert_eq!(wanted.matches(from).count(), 1, "{from}");
        let said = program.reload_text(&wanted.replace(from, to));
        assert!(said.contains("ERROR") && said.contains("reload refused, what was running goes on"), "{said}");
        assert!(said.contains(says), "{said}");
        let mut client = connect(program.addresses[0]);
        assert_eq!(request(&mut client), 'a', "no part of it was applied");
    }
    std::fs::remove_file(&program.file).unwrap();
    host::process::signal(program.child.id(), rustix::process::Signal::HUP).unwrap();
    let said = program.lines.recv_timeout(PATIENCE).unwrap();
    assert!(said.contains("cannot be read: No such file"), "{said}");
    assert!(program.reload_text(&wanted).contains("added b"), "and then one that can be");
    assert_eq!(request(&mut connect(program.addresses[0])), 'b');
}

#[test]
fn a_hundred_reloads_leave_nothing_behind() {
    let reals = ["a", "b", "c"].map(Real::start);
    let [a, b, c] = &reals;
    // A machine that is busy lets checks time out, which is not what this is about.
    let health = "health = { kind = 'http', interval = '20ms', fall = 1000 }";
    let program = Program::start("hundred", "mode = 'http'", health, &[(a, ""), (b, "")]);
    // A check that runs has one too.
    let descriptors = program.descriptors() + 2;
    let load = Load::start(2, program.addresses[0], keep_alive);
    let fresh = Load::start(1, program.addresses[0], one_request);
    let mut memory = 0;
    for round in 0..100 {
        let lists: [&[(&Real, &str)]; 2] = [&[(a, ""), (c, "")], &[(a, ""), (b, "")]];
        assert!(program.reload(lists[round % 2]).contains("added"));
        load.goes_on(5);
        if round == 19 {
            memory = program.memory();
        }
    }
    fresh.stop();
    load.stop();
    let grown = program.memory().saturating_sub(memory);
    assert!(grown < 1024, "{grown} KiB more after 80 reloads");
    // Closes what was kept to the others.
    program.reload(&[(c, "")]);
    program.reload(&[(a, ""), (b, "")]);
    until("no more descriptors than at the start", || program.descriptors() <= descriptors);
    until("connections to the removed server are closed", || c.open.load(SeqCst) == 0);
    until("the removed server is checked no more", || {
        let (gone, stays) = (c.server.accepted(), b.server.accepted());
        until("checks go on", || b.server.accepted() >= stays + 5);
        c.server.accepted() == gone
    });
}
