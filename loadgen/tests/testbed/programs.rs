//! What the testbed starts in earnest: reflectors, the reference LB, nginx, haproxy.

use super::*;

/// Asks for a page and returns the whole answer.
fn get(address: std::net::SocketAddr) -> String {
    use std::io::{Read, Write};
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(BOUND)).unwrap();
    client.write_all(b"GET /?s=100 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn reflectors_keep_books_until_one_is_killed() {
    let mut plan = plan(DutKind::None);
    plan.testbed.reflectors = 2;
    plan.testbed.reflector_arguments = words(&["--seed", "7"]);
    let mut testbed = start(&plan).unwrap();
    assert_eq!(testbed.service(), testbed.reflectors());
    let addresses = testbed.reflectors().to_vec();
    assert!(get(addresses[0]).starts_with("HTTP/1.1 200"));
    testbed.wait_idle(BOUND);
    let held = TcpStream::connect(addresses[1]).unwrap();
    let mut open = 0;
    wait_until("the held connection is open", || {
        open = testbed.ledgers(false)[1].as_ref().unwrap().open_now;
        open == 1
    });
    let ledgers: Vec<_> = testbed.ledgers(true).into_iter().map(Result::unwrap).collect();
    assert_eq!((ledgers[0].instance.as_str(), ledgers[0].requests, ledgers[0].open_now), ("r0", 1, 0));
    assert_eq!((ledgers[1].instance.as_str(), ledgers[1].requests, ledgers[1].open_peak), ("r1", 0, 1));
    drop(held);
    testbed.wait_idle(BOUND);
    assert_eq!(testbed.ledgers(true)[1].as_ref().unwrap().open_now, 0);

    let sample = testbed.sample();
    let names: Vec<_> = sample.roles.iter().map(|role| role.role.name()).collect();
    assert_eq!(names, ["generator", "reflector-0", "reflector-1"]);
    assert!(sample.roles.iter().all(|role| role.cpu_ns > 0 && role.rss_anon_bytes > 0), "{sample:?}");

    let children = host::kernel::children(std::process::id());
    let line = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_first = |pid: &u32| line(*pid).contains("\0r0\0") && line(*pid).contains("\0--seed\0");
    let first = children.into_iter().find(is_first).unwrap();
    host::process::signal(first, Signal::KILL).unwrap();
    let mut failures = Vec::new();
    wait_until("the end is seen", || {
        failures = testbed.failures();
        !failures.is_empty()
    });
    assert_eq!(failures[0].0, Role::Reflector(0));
    assert!(failures[0].1.contains("signal 9"), "{failures:?}");
    let ledgers = testbed.ledgers(false);
    assert!(ledgers[0].as_ref().unwrap_err().contains("r0") && ledgers[1].is_ok(), "{ledgers:?}");
    assert!(testbed.sample().role(Role::Reflector(0)).unwrap().cpu_ns > 0, "what it used stays in the sum");
    let report = testbed.stop();
    assert_eq!(report.unclean.len(), 1, "{report:?}");
}

#[test]
fn a_reflector_that_cannot_start_says_why() {
    let mut plan = plan(DutKind::None);
    plan.testbed.reflectors = 1;
    plan.testbed.reflector_arguments = words(&["--rate-cap", "many"]);
    let text = error(&plan);
    assert!(text.contains("reflector-0") && text.contains("rate-cap"), "{text}");
}

#[test]
fn a_reflector_elsewhere_is_asked_at_its_control_port() {
    // Two free neighbours: the service and its control port.
    let (service, control) = loop {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut next = service.local_addr().unwrap();
        next.set_port(next.port().saturating_add(testbed::CONTROL_PORT_OFFSET));
        if let Ok(control) = TcpListener::bind(next) {
            break (service, control);
        }
    };
    let remote = std::thread::spawn(move || {
        let (mut stream, _) = control.accept().unwrap();
        let ready = wire::control::Event::Ready { addresses: vec![], admin: None, warnings: vec![] };
        let ledger = wire::ledger::Ledger { requests: 5, ..Default::default() };
        let answer = wire::control::Event::Ledger { ledger: Box::new(ledger) };
        for event in [ready, answer] {
            let line = serde_json::to_string(&event).unwrap();
            std::io::Write::write_all(&mut stream, format!("{line}\n").as_bytes()).unwrap();
            let mut order = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut order).unwrap();
            assert!(order.is_empty() || order.contains("ledger"), "{order}");
        }
    });
    let mut plan = plan(DutKind::None);
    plan.testbed.remote_reflectors = vec![service.local_addr().unwrap()];
    let mut testbed = start(&plan).unwrap();
    assert_eq!(testbed.warnings(), Vec::<String>::new());
    assert_eq!(testbed.ledgers(false)[0].as_ref().unwrap().requests, 5);
    drop(testbed);
    remote.join().unwrap();
}

/// Sends some bytes through the DUT to the listener behind it.
fn carries_bytes(testbed: &testbed::Testbed, server: &TcpListener) {
    let mut client = TcpStream::connect(testbed.service()[0]).unwrap();
    std::io::Write::write_all(&mut client, b"hello").unwrap();
    let mut seen = [0; 5];
    // A readiness probe or health check may have come first; they carry no byte.
    wait_until("a connection carries bytes", || {
        let (mut connection, _) = server.accept().unwrap();
        std::io::Read::read_exact(&mut connection, &mut seen).is_ok()
    });
    assert_eq!(&seen, b"hello");
}

#[test]
fn the_reference_lb_carries_a_connection_on_its_own_core() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = "[admin]\nlisten = \"127.0.0.1:{admin}\"\n[[virtual_service]]\nname = \"main\"\n\
                listen = \"127.0.0.1:{port}\"\nmode = \"tcp\"\ngroup = \"all\"\n[[group]]\nname = \"all\"\n\
                real_servers = [\n{ name = \"{name}\", address = \"{address}\" },\n]\n";
    let config = Template { path: PathBuf::from("lb.toml"), text: text.to_owned() };
    let mut plan = plan(DutKind::Reference { config, workers: NonZeroU32::MIN });
    plan.testbed.remote_reflectors = vec![server.local_addr().unwrap()];
    let mut testbed = start(&plan).unwrap();
    carries_bytes(&testbed, &server);
    let (kind, admin) = testbed.admin().unwrap().clone();
    assert_eq!(kind, "lb");
    drop(TcpStream::connect(admin).unwrap());
    let sample = testbed.sample();
    let dut = sample.role(Role::Dut).unwrap();
    assert_eq!(dut.cores, testbed.placement().dut);
    assert!(dut.cpu_ns > 0 && dut.descriptor_limit >= dut.descriptors, "{dut:?}");
    assert_eq!(testbed.failures(), []);
    let service = testbed.service()[0];
    assert!(testbed.stop().unclean.is_empty());
    assert!(TcpStream::connect(service).is_err());

    // A configuration it refuses is its error, not a timeout.
    if let DutKind::Reference { config, .. } = &mut plan.testbed.dut.kind {
        config.text = config.text.replace("mode", "mood");
    }
    assert!(error(&plan).contains("mood"));
}

#[test]
fn nginx_goes_into_the_background_and_goes_with_the_run() {
    if !is_installed("nginx") {
        return;
    }
    let text = "worker_processes 1;\npid {run}/nginx.pid;\nerror_log {run}/nginx.log;\nevents {}\nhttp { access_log off;\n\
                server { listen 127.0.0.1:{port}; location / { return 200; } } }\n";
    let plan = plan(DutKind::Command {
        start: words(&["nginx", "-p", "{run}", "-e", "{run}/nginx.log", "-c", "{config}"]),
        config: Some(Template { path: PathBuf::from("nginx.conf"), text: text.to_owned() }),
        ready: Ready { check: ReadyCheck::Tcp("127.0.0.1:{port}".to_owned()), within: Duration::from_secs(5) },
        admin: None,
        package: Some("nginx".to_owned()),
        workers: None,
    });
    let run_dir = run_dir();
    let mut testbed = testbed::start(&plan, &run_dir, Path::new(LOADGEN), &Interrupt::default()).unwrap();
    let path = run_dir.display().to_string();
    wait_until("master and worker run alone", || {
        let lines = marked_lines("nginx: ");
        let is_master = |line: &String| line.contains("master") && line.contains(&path);
        lines.iter().any(is_master) && testbed.sample().role(Role::Dut).unwrap().descriptors > 0
    });
    assert_eq!(testbed.failures(), []);
    let service = testbed.service()[0];
    assert!(testbed.stop().unclean.is_empty());
    assert!(TcpStream::connect(service).is_err());
    assert!(marked_lines(&path).is_empty(), "{:?}", marked_lines(&path));
}

#[test]
fn haproxy_carries_a_connection_and_goes_with_the_run() {
    if !is_installed("haproxy") {
        return;
    }
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = plan(DutKind::None);
    plan.testbed.dut = haproxy_dut("haproxy.cfg", words(&["haproxy", "-db", "-f", "{config}"]));
    plan.testbed.remote_reflectors = vec![server.local_addr().unwrap()];
    let mut testbed = start(&plan).unwrap();
    assert!(testbed.warnings().iter().any(|warning| warning.contains("ledger")), "{:?}", testbed.warnings());
    assert_eq!(testbed.reflectors(), [server.local_addr().unwrap()]);
    assert!(testbed.admin().unwrap().1.ends_with("/haproxy.sock"));
    assert!(testbed.ledgers(false)[0].is_err());

    carries_bytes(&testbed, &server);
    let sample = testbed.sample();
    let dut = sample.role(Role::Dut).unwrap();
    assert!(dut.cpu_ns > 0 && dut.descriptors > 3, "{dut:?}");
    let service = testbed.service()[0];
    assert!(testbed.stop().unclean.is_empty());
    assert!(TcpStream::connect(service).is_err());
}
