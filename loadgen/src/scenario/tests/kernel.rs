//! DUTs for datagrams, and DUTs that are a kernel: what they are, and which scenario they fit.

use super::*;

const NAT: &str = "kind = \"kernel\"\nservice = \"udp://{vip}:{port}\"\nconfig = \"nat.nft\"\nsetup = [[\"nft\", \"-f\", \"{config}\"]]\n";

fn dut_error(text: &str) -> String {
    read_dut(text).unwrap_err().to_string()
}

fn read_dut(text: &str) -> Result<Dut, ScenarioError> {
    let resolve = |path: &Path| {
        if path.ends_with("nat.nft") { Ok("th dport {port} {address}".to_owned()) } else { Ok(text.to_owned()) }
    };
    dut::read(Path::new("d.toml"), "", &resolve)
}

fn shipped_with(scenario: &str, dut: &str, network: Option<&str>) -> Result<Plan, ScenarioError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let dut = root.join("dut").join(dut).display().to_string();
    load(&root.join(scenario), &Overrides { network: network.map(str::to_owned), ..to_dut(&dut) })
}

#[test]
fn a_kernel_is_set_up_by_commands_and_forwards_to_the_reflectors() {
    let dut = read_dut(NAT).unwrap();
    let DutKind::Kernel { forwarding, setup, config, .. } = &dut.kind else { panic!("{dut:?}") };
    assert_eq!((*forwarding, setup.len(), config.is_some()), (Forwarding::Route, 1, true));
    assert!(dut::mentions_reflectors(&dut));
    let bridge = read_dut("kind = \"kernel\"\nforwarding = \"bridge\"\nservice = \"http://reflectors\"\n").unwrap();
    assert!(matches!(bridge.kind, DutKind::Kernel { forwarding: Forwarding::Bridge, .. }));
    assert_eq!(bridge.service, "http://reflectors");
}

#[test]
fn a_kernel_forwards_every_protocol_but_only_between_namespaces() {
    let tcp = shipped_with("cps.toml", "kernel-nat.toml", Some("netns")).unwrap().testbed;
    assert_eq!((tcp.network, tcp.dut.service.as_str()), (Network::Netns, "tcp://{vip}:{port}"));
    let udp = shipped_with("imix-netns.toml", "kernel-bridge.toml", None).unwrap().testbed;
    assert_eq!((udp.reflectors, udp.dut.service.as_str()), (2, "udp://reflectors"));
    let refused = shipped_with("cps.toml", "kernel-nat.toml", None).unwrap_err().to_string();
    assert!(
        refused.contains(
            "kernel-nat is the kernel of a namespace, which network = \"loopback\" has not; expected network = \"netns\""
        ),
        "{refused}"
    );
}

#[test]
fn datagrams_go_to_a_service_of_datagrams_and_nothing_else_does() {
    let refused = |scenario, dut| shipped_with(scenario, dut, None).unwrap_err().to_string();
    let message = refused("cps.toml", "nginx-udp.toml");
    assert!(
        message.contains("nginx-udp serves udp://, but workload.kind = \"http\"; expected a DUT whose"),
        "{message}"
    );
    let message = refused("imix.toml", "haproxy-tcp.toml");
    assert!(message.contains("haproxy-tcp serves tcp://, but workload.kind = \"udp\""), "{message}");
    assert!(message.ends_with("service is udp://"), "{message}");
    for dut in ["reference-udp.toml", "nginx-udp.toml", "nginx-udp-workers.toml"] {
        for network in ["loopback", "netns"] {
            let plan = shipped_with("imix.toml", dut, Some(network)).unwrap();
            assert_eq!(plan.testbed.network.name(), network, "{dut}");
        }
    }
}

#[test]
fn an_address_without_a_protocol_has_that_of_the_scenario() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let to = |dut: &str| load(&root.join("udp-lb.toml"), &to_dut(dut));
    let start = ["search.start=1000".to_owned()].to_vec();
    let with_start = |dut: &str| load(&root.join("udp-lb.toml"), &Overrides { set: start.clone(), ..to_dut(dut) });
    let plan = with_start("10.0.0.5:53").unwrap();
    assert_eq!((plan.testbed.dut.service.as_str(), plan.testbed.network), ("udp://10.0.0.5:53", Network::External));
    assert_eq!(with_start("udp://[fd00::5]:53").unwrap().testbed.dut.service, "udp://[fd00::5]:53");
    assert!(to("10.0.0.5").unwrap_err().to_string().contains("datagrams have no usual port"));
    assert!(to("http://10.0.0.5:80").unwrap_err().to_string().contains("expected a DUT whose service is udp://"));
    let reflector = |address: &str| {
        let reflectors = vec![address.to_owned()];
        load(&root.join("udp-lb.toml"), &Overrides { reflectors, ..to_dut("udp://10.0.0.5:53") })
    };
    assert!(reflector("10.0.0.7").unwrap_err().to_string().contains("expected ADDRESS:PORT"));
    assert_eq!(reflector("10.0.0.7:9").unwrap().testbed.remote_reflectors.len(), 1);
}

#[test]
fn a_kernel_that_could_not_work_is_refused_with_its_key() {
    let nat = |from: &str, to: &str| {
        assert!(NAT.contains(from), "{from}");
        dut_error(&NAT.replace(from, to))
    };
    assert_eq!(
        dut_error("kind = \"kernel\"\n"),
        "d.toml: service: missing; expected \"udp://reflectors\", or \"udp://{vip}:{port}\" for what is translated"
    );
    assert_eq!(
        nat("config = \"nat.nft\"\n", ""),
        "d.toml: config: missing, but setup uses {config}; expected the template's file name"
    );
    assert_eq!(nat("{config}", "x"), "d.toml:3: config: no command of setup uses {config}: it would have no effect");
    assert!(nat("[\"nft\", \"-f\", \"{config}\"]", "[]").contains("setup: has a command without a program"));
    assert!(
        nat("kind = \"kernel\"", "kind = \"kernel\"\nforwarding = \"nat\"")
            .contains("expected one of \"route\", \"bridge\"")
    );
    assert!(
        nat("kind = \"kernel\"", "kind = \"kernel\"\nworkers = 2")
            .contains("workers: has no meaning for kind = \"kernel\"")
    );
    assert!(nat("{vip}", "10.0.0.1").contains("10.0.0.1 is not on loopback"));
    let other = dut_error("kind = \"command\"\nstart = [\"x\", \"{port}\"]\nsetup = []\n");
    assert!(other.contains("setup: has no meaning for kind = \"command\"; it belongs to kind \"kernel\""), "{other}");
}

#[test]
fn a_program_for_datagrams_is_ready_when_one_comes_back() {
    let ready = |more: &str| {
        let text = format!(
            "kind = \"command\"\nservice = \"udp://{{vip}}:{{port}}\"\nstart = [\"x\", \"{{port}}\"]\n{more}\n"
        );
        read_dut(&text)
    };
    let check = |more: &str| match ready(more).unwrap().kind {
        DutKind::Command { ready, .. } => ready.check,
        other => panic!("{other:?}"),
    };
    assert_eq!(check(""), ReadyCheck::Udp("{vip}:{port}".to_owned()));
    assert_eq!(check("ready = { udp = \"127.0.0.1:9\" }"), ReadyCheck::Udp("127.0.0.1:9".to_owned()));
    assert_eq!(check("ready = { tcp = \"127.0.0.1:{admin}\" }"), ReadyCheck::Tcp("127.0.0.1:{admin}".to_owned()));
    let both = ready("ready = { tcp = \"127.0.0.1:1\", udp = \"127.0.0.1:1\" }").unwrap_err().to_string();
    assert!(both.contains("ready: names both tcp and udp"), "{both}");
    assert!(ready("ready = { udp = \"10.0.0.1:9\" }").unwrap_err().to_string().contains("ready.udp"));
    // What an older run folder has is read as before.
    let kept: Ready = serde_json::from_str(r#"{"tcp":"127.0.0.1:{port}","within":{"secs":5,"nanos":0}}"#).unwrap();
    assert_eq!(kept.check, ReadyCheck::Tcp("127.0.0.1:{port}".to_owned()));
}
