//! The network for real, between sockets: who reaches whom, over which link, and with which frames.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use host::interfaces::Offload;
use wire::frame::IpVersion;

use super::*;
use crate::report::fixture;

/// How long a datagram may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nobody answers before it counts as nobody.
const SILENCE: Duration = Duration::from_millis(100);

fn plan(version: IpVersion, dut: DutKind) -> TestbedPlan {
    let mut plan = fixture::run().plan.testbed.clone();
    plan.network = Network::Netns;
    plan.links = LinksPlan { ip_version: version, ..LinksPlan::default() };
    plan.reflectors = 2;
    plan.dut.kind = dut;
    plan
}

fn kernel(forwarding: Forwarding) -> DutKind {
    DutKind::Kernel { forwarding, setup: Vec::new(), config: None, package: None }
}

/// The network of a plan; `None` where this user may make none, which the gate does not accept.
fn build(plan: &TestbedPlan) -> Option<(Netns, tempfolder::Folder)> {
    let folder = tempfolder::Folder::new();
    let placement = Placement::choose(&host::cpu::allowed_cores(), plan).unwrap();
    match Netns::build(plan, &placement, folder.path()) {
        Ok(network) => Some((network.unwrap(), folder)),
        Err(error @ TestbedError::Namespaces { .. }) => {
            assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "no network of namespaces: {error}");
            println!("SKIPPED: no network of namespaces: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A folder that is removed at the end.
mod tempfolder {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    pub(super) struct Folder(PathBuf);

    impl Folder {
        pub(super) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("nadare-netns-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Sends a datagram from one side to another and its answer back; both keep their addresses on the way.
fn reaches(from: (&Side, IpAddr), to: (&Side, IpAddr), patience: Duration) -> bool {
    let socket = |(side, ip): (&Side, IpAddr)| {
        let socket = side.namespace.run(|| UdpSocket::bind(SocketAddr::new(ip, 0))).unwrap().unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        socket
    };
    let (client, server) = (socket(from), socket(to));
    if client.send_to(b"there", server.local_addr().unwrap()).is_err() {
        return false;
    }
    let mut buffer = [0; 16];
    let Ok((5, peer)) = server.recv_from(&mut buffer) else { return false };
    assert_eq!(peer, client.local_addr().unwrap());
    server.send_to(b"back", peer).unwrap();
    let Ok((4, peer)) = client.recv_from(&mut buffer) else { return false };
    peer == server.local_addr().unwrap()
}

/// Frames that an interface has sent and received.
fn frames(side: &Side, link: &str) -> (u64, u64) {
    let counters = side.interfaces.counters(link).unwrap();
    assert_eq!((counters.sent_lost, counters.received_lost), (0, 0), "{link}");
    (counters.sent_frames, counters.received_frames)
}

/// One of the many addresses of clients that no interface has.
fn far_client(version: IpVersion) -> IpAddr {
    match version {
        IpVersion::V4 => "198.18.63.7".parse().unwrap(),
        IpVersion::V6 => "2001:2:0:3f::7".parse().unwrap(),
    }
}

#[test]
fn a_program_is_reached_by_both_sides_and_nobody_passes_it() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let Some((network, _folder)) = build(&plan(version, DutKind::None)) else { return };
        let (all, client) = (Addresses(version), far_client(version));
        let [clients, dut, servers] = network.sides();
        assert!(reaches((clients, client), (dut, all.dut()), PATIENCE));
        assert!(reaches((clients, all.client()), (dut, all.dut()), PATIENCE));
        assert!(reaches((dut, all.dut_to_servers()), (servers, all.server(1)), PATIENCE));
        assert!(!reaches((clients, client), (servers, all.server(0)), SILENCE), "the kernel forwards");
        assert_eq!(network.trouble(), None);
    }
}

#[test]
fn the_direct_link_leads_round_the_dut_both_ways() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let Some((network, _folder)) = build(&plan(version, kernel(Forwarding::Route))) else { return };
        let [clients, _, servers] = network.sides();
        let before = [frames(clients, "c0"), frames(servers, "s0")];
        let direct = frames(clients, "c1");
        assert!(reaches((clients, far_client(version)), (servers, Addresses(version).direct_server(1)), PATIENCE));
        let after = frames(clients, "c1");
        assert!(after.0 > direct.0 && after.1 > direct.1, "{direct:?} {after:?}");
        if version == IpVersion::V4 {
            // No question for an address, no report of a group: two frames are two frames.
            assert_eq!(after, (direct.0 + 1, direct.1 + 1));
            assert_eq!([frames(clients, "c0"), frames(servers, "s0")], before);
        }
    }
}

#[test]
fn a_router_and_a_bridge_pass_frames_on() {
    for version in [IpVersion::V4, IpVersion::V6] {
        for forwarding in [Forwarding::Route, Forwarding::Bridge] {
            let Some((network, _folder)) = build(&plan(version, kernel(forwarding))) else { return };
            let (all, [clients, dut, servers]) = (Addresses(version), network.sides());
            let before = [frames(dut, "d0"), frames(dut, "d1")];
            for client in [all.client(), far_client(version)] {
                assert!(reaches((clients, client), (servers, all.server(1)), PATIENCE), "{forwarding:?} {client}");
            }
            let after = [frames(dut, "d0"), frames(dut, "d1")];
            if version == IpVersion::V4 {
                assert_eq!(after, before.map(|(sent, received)| (sent + 2, received + 2)), "{forwarding:?}");
            }
        }
    }
}

#[test]
fn offloads_and_the_size_of_packets_are_as_the_plan_wants_and_told() {
    let mut plan = plan(IpVersion::V4, DutKind::None);
    plan.links.mtu = 9_000;
    plan.links.offloads = false;
    let Some((network, _folder)) = build(&plan) else { return };
    assert_eq!(network.facts.links.len(), 6);
    for link in &network.facts.links {
        assert_eq!(link.mtu, Some(9_000));
        assert_eq!(link.offloads.len(), Offload::ALL.len(), "{link:?}");
        assert!(link.offloads.values().all(|on| !on), "{link:?}");
    }
    assert_eq!(network.facts.sysctls["clients"]["net.ipv4.tcp_tw_reuse"], "1");
    let text = serde_json::to_string(network.facts()).unwrap();
    assert!(text.contains("198.18.1.1") && text.contains("\"d1\""), "{text}");
    plan.links.offloads = true;
    let (network, _folder) = build(&plan).unwrap();
    assert!(network.facts.links[0].offloads[Offload::TcpSegmentation.name()]);
}

#[test]
fn what_arrives_is_received_on_the_cores_of_its_role() {
    let mut plan = plan(IpVersion::V4, kernel(Forwarding::Route));
    let Some((network, _folder)) = build(&plan) else { return };
    if !network.facts.receive_steering.is_empty() {
        let last = host::cpu::allowed_cores().last().copied().unwrap();
        let mask = network.facts.receive_steering["d0"].replace(',', "");
        assert_eq!(u128::from_str_radix(&mask, 16).unwrap(), 1 << last, "{:?}", network.facts);
        assert!(network.steers_to_dut());
    } else {
        assert!(network.warnings().iter().any(|warning| warning.contains("receive steering")));
    }
    plan.links.receive_steering = false;
    let (network, _folder) = build(&plan).unwrap();
    assert!(!network.steers_to_dut() && network.warnings().is_empty(), "{:?}", network.warnings());
}

#[test]
fn an_interface_that_somebody_takes_down_or_away_is_named() {
    let Some((network, folder)) = build(&plan(IpVersion::V4, DutKind::None)) else { return };
    let ip = |side: &Side, arguments: &str| {
        let words: Vec<_> = format!("ip {arguments}").split(' ').map(str::to_owned).collect();
        Once { namespace: &side.namespace, words: &words, input: "", log: &folder.path().join("x.log") }.run()
    };
    assert_eq!(network.trouble(), None);
    ip(&network.servers, "link set s0 down").unwrap();
    assert_eq!(network.trouble().unwrap(), "interface s0 of the testbed (namespace servers) is down");
    ip(&network.servers, "link set s0 up").unwrap();
    assert_eq!(network.trouble(), None);
    ip(&network.clients, "link delete c0").unwrap();
    let gone = network.trouble().unwrap();
    assert!(gone.starts_with("interface c0 of the testbed (namespace clients) is gone"), "{gone}");
    // What fails says which command it was, and what it said.
    let error = ip(&network.clients, "link set c0 up").unwrap_err().to_string();
    assert!(error.contains("`ip link set c0 up` failed") && error.contains("Cannot find device"), "{error}");
}
