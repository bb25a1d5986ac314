//! Where a testbed's addresses live: which network a plan gets, and what cannot be there.

use super::*;
use wire::frame::IpVersion;

fn on(network: &str) -> Overrides {
    Overrides { network: Some(network.to_owned()), ..Overrides::default() }
}

/// A scenario whose DUT is written with `{vip}` in its template.
const NETNS: &str = "\
[testbed]
network = \"netns\"
dut = \"dut/v.toml\"
[workload]
kind = \"http\"
request = \"/?s=1k\"
[load]
unit = \"connections/s\"
[search]
method = \"climb\"
";

fn resolve(path: &Path) -> io::Result<String> {
    match path.to_str().unwrap() {
        "s/dut/v.toml" | "v.toml" => Ok("kind = \"reference\"\nconfig = \"v.lb.toml\"\n".to_owned()),
        "s/dut/v.lb.toml" | "v.lb.toml" => Ok(LB_CONFIG.replace("127.0.0.1", "{vip}")),
        "fixed.toml" => {
            Ok("kind = \"reference\"\nservice = \"http://127.0.0.1:{port}\"\nconfig = \"v.lb.toml\"\n".to_owned())
        }
        _ => files(path),
    }
}

fn read(text: &str, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    parse("s/x.toml", text, &resolve, overrides)
}

fn refused(text: &str, overrides: &Overrides) -> String {
    read(text, overrides).unwrap_err().to_string()
}

#[test]
fn namespaces_have_addresses_of_their_own_and_loopback_those_it_had() {
    let netns = read(NETNS, &Overrides::default()).unwrap().testbed;
    assert_eq!((netns.network, netns.vip().to_string().as_str()), (Network::Netns, "198.18.1.1"));
    assert_eq!((netns.links, netns.source_networks), (LinksPlan::default(), vec!["198.18.2.0/24".to_owned()]));
    let loopback = read(NETNS, &on("loopback")).unwrap().testbed;
    assert_eq!((loopback.network, loopback.vip().to_string().as_str()), (Network::Loopback, "127.0.0.1"));
    assert_eq!(loopback.source_networks, ["127.0.2.0/28"]);
    assert_eq!(read(NETNS, &to_dut("none")).unwrap().testbed.network, Network::Netns);
}

#[test]
fn every_shipped_scenario_can_be_asked_in_namespaces_with_any_shipped_dut_of_its_kind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    for scenario in ["cps.toml", "cc.toml", "tps.toml", "smoke.toml", "fixed-rate.toml"] {
        for dut in ["reference-http", "haproxy-tcp", "nginx-http-workers"] {
            let dut = root.join(format!("dut/{dut}.toml")).display().to_string();
            let plan = load(&root.join(scenario), &Overrides { dut: Some(dut), ..on("netns") }).unwrap();
            assert_eq!(plan.testbed.network, Network::Netns, "{scenario}");
        }
    }
}

#[test]
fn the_keys_of_links_are_read_and_survive_the_plan_that_is_kept() {
    let text = format!(
        "{NETNS}[testbed.links]\nip = \"v6\"\nmtu = 9000\noffloads = false\nreceive_steering = false\nspeed = \"1Gbit/s\"\n"
    );
    let plan = read(&text, &Overrides::default()).unwrap();
    let wanted = LinksPlan {
        ip_version: IpVersion::V6,
        mtu: 9000,
        offloads: false,
        receive_steering: false,
        speed_bps: Some(1_000_000_000),
    };
    assert_eq!((plan.testbed.links, plan.testbed.vip().to_string().as_str()), (wanted, "2001:2::1"));
    assert_eq!(plan.testbed.source_networks, ["2001:2:0:2::/120"]);
    let again = |path: &Path| resolve(&Path::new("s/dut").join(path.file_name().unwrap()));
    let kept = plan_text(&plan);
    let again = parse("run/plan.toml", &kept, &again, &Overrides::default()).unwrap();
    assert_eq!((again.testbed.links, plan_text(&again)), (wanted, kept));
}

#[test]
fn what_cannot_be_in_namespaces_is_refused_with_the_way_out() {
    let text = |links: &str| format!("{NETNS}[testbed.links]\n{links}\n");
    let message = |links: &str| refused(&text(links), &Overrides::default());
    assert_eq!(
        message("mtu = 1279"),
        "s/x.toml:12: testbed.links.mtu: 1279 is out of range; expected 1280 to 65535 bytes"
    );
    assert_eq!(
        message("ip = \"4\""),
        "s/x.toml:12: testbed.links.ip: \"4\" is not known; expected one of \"v4\", \"v6\"; did you mean \"v4\"?"
    );
    assert!(message("speed = \"fast\"").contains("\"fast\" is not a bit rate"), "{}", message("speed = \"fast\""));
    assert_eq!(
        refused(&text("mtu = 1500"), &on("loopback")),
        "s/x.toml:11: testbed.links: has no meaning for network = \"loopback\"; it belongs to \"netns\""
    );
    assert_eq!(
        refused(NETNS, &on("netsn")),
        "--network: testbed.network: \"netsn\" is not known; expected one of \"loopback\", \"netns\", \"external\"; \
         did you mean \"netns\"?"
    );
    let sources = |networks: &str| refused(NETNS, &set(&[&format!("clients.source_networks=[{networks:?}]")]));
    assert!(sources("198.18.64.0/24").contains("is not routed to the clients; expected a part of 198.18.2.0/23, "));
    assert!(sources("127.0.1.0/24").contains("one is on loopback, the other is not"));
    let remote = Overrides { reflectors: vec!["10.0.0.7:80".to_owned()], ..Overrides::default() };
    assert!(refused(NETNS, &remote).starts_with("--reflector \"10.0.0.7:80\": network = \"netns\" makes namespaces"));
}

#[test]
fn a_dut_that_is_fixed_to_loopback_cannot_be_reached_from_another_namespace() {
    let fixed = refused(NETNS, &to_dut("fixed.toml"));
    assert!(
        fixed.contains("the service of fixed has \"http://127.0.0.1:{port}\"") && fixed.contains("{vip}"),
        "{fixed}"
    );
    let template = refused(BASE, &on("netns"));
    assert!(template.contains("x.lb.toml has \"127.0.0.1:{port}\", which clients in another namespace"), "{template}");
    assert!(read(NETNS, &Overrides { dut: Some("fixed.toml".to_owned()), ..on("loopback") }).is_ok());
}

#[test]
fn a_dut_somewhere_else_takes_the_testbed_along_unless_somebody_asked_for_namespaces() {
    assert_eq!(read(NETNS, &to_dut("10.0.0.5:80")).unwrap().testbed.network, Network::External);
    assert_eq!(read(NETNS, &to_dut("127.0.0.1:80")).unwrap().testbed.network, Network::Loopback);
    let asked = refused(NETNS, &Overrides { dut: Some("10.0.0.5:80".to_owned()), ..on("netns") });
    assert!(asked.starts_with("--network: testbed.network: \"netns\" makes namespaces"), "{asked}");
}
