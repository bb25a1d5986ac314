//! Frames over namespaces: the kernel's own shaper as the limit, and another program that looks at the links.
//!
//! The DUT is a program that waits for a file before it serves. Until then the network is there and nothing is
//! sent, so what captures is ready before the first frame. The namespaces are held open by this process beyond
//! the end of the run: an interface that goes away takes what was not read yet along.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use host::namespace::Namespace;
use host::process::Signal;

use super::caps::{finds, forwarder_as_dut};
use super::{TRIES, number, records};
use crate::harness::{Folder, REFLECTOR, Run, Started, available, command_of, exclusive, has_program, until};

/// Bits per second of the shaper.
const SHAPED: f64 = 2e6;
/// What a frame has on the wire and not here.
const FCS: u32 = 4;

fn has_namespaces() -> bool {
    available("the right to make network namespaces", Namespace::create().is_ok())
        && available("ip (iproute2)", has_program("ip"))
}

/// tbf counts Ethernet frames without FCS and preamble. It may let 2,000 bytes pass at once, 0.3 % of what passes
/// in 3 s; what it keeps waiting, up to 20,000 bytes, comes later and not oftener.
#[test]
fn the_kernels_own_shaper_is_found_within_a_percent_for_three_sizes() {
    if !has_namespaces() || !available("tc (iproute2)", has_program("tc")) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let shaper = format!("tc qdisc add dev d1 root tbf rate {SHAPED}bit burst 2000 limit 20000 && ");
    forwarder_as_dut(&folder, &shaper, "");
    let sizes = [64, 512, 1_518].map(|size| (size, SHAPED / f64::from((size - FCS) * 8)));
    finds(&folder, "netns", &sizes);
}

/// Four times as long as the kernel keeps packets for dumpcap, which asks for 250 ms.
const HANDED_OVER: Duration = Duration::from_secs(1);

/// A program that keeps what passes an interface of a namespace; ended when dropped.
struct Capture {
    child: Child,
    file: PathBuf,
}

impl Capture {
    /// Returns when it captures.
    fn begin(folder: &Folder, namespace: &Path, interface: &str) -> Self {
        let file = folder.path().join(format!("{interface}.pcapng"));
        let _ = std::fs::remove_file(&file);
        let mut command = command_of("nsenter");
        command.arg(format!("--net={}", namespace.display())).args(["dumpcap", "-q", "-i", interface, "-w"]);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let begun = || std::fs::metadata(&file).is_ok_and(|data| data.len() > 0).then_some(());
        assert!(until(Duration::from_secs(20), begun).is_some(), "dumpcap captures nothing on {interface}");
        Self { child, file }
    }

    /// What was captured, packet by packet: the values of these fields.
    fn end(mut self, fields: &[&str]) -> Vec<Vec<String>> {
        // What the kernel has not handed over yet dumpcap leaves behind when it ends.
        let early = until(HANDED_OVER, || self.child.try_wait().unwrap());
        assert!(early.is_none(), "dumpcap ended by itself: {early:?}");
        host::process::signal(self.child.id(), Signal::INT).unwrap();
        let ended = until(Duration::from_secs(10), || self.child.try_wait().unwrap());
        assert!(ended.is_some(), "dumpcap does not end");
        let mut command = command_of("tshark");
        command.args(["-n", "-r"]).arg(&self.file).args(["-o", "udp.check_checksum:TRUE", "-T", "fields"]);
        command.args(["-E", "separator=/t"]);
        fields.iter().for_each(|field| {
            command.args(["-e", field]);
        });
        let (code, stdout, stderr) = crate::harness::output(&mut command);
        assert_eq!(code, Some(0), "{stderr}");
        stdout.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A DUT that waits for [`gate`], then executes this command line.
fn gated_dut(folder: &Folder, service: &str, command: &str) {
    let command = format!("until test -e {}; do sleep 0.1; done; exec {command}", gate(folder).display());
    let dut = format!(
        "kind = \"command\"\nservice = \"{service}\"\nstart = [\"sh\", \"-c\", {command:?}]\n\
         ready = {{ tcp = \"{{vip}}:{{port}}\", within = \"60s\" }}\n"
    );
    folder.write("dut.toml", &dut);
    let _ = std::fs::remove_file(gate(folder));
}

fn gate(folder: &Folder) -> PathBuf {
    folder.path().join("gate")
}

/// Runs a scenario to its end while interfaces are captured: the run, and the captures still under way.
fn captured(folder: &Folder, scenario: &Path, interfaces: &[&str]) -> (Run, Vec<Capture>, Vec<File>) {
    let mut started = Started::of(folder, &[scenario]);
    let at = |pid: u32| PathBuf::from(format!("/proc/{pid}/ns/net"));
    let here = std::fs::read_link("/proc/self/ns/net").unwrap();
    let of_role = |started: &mut Started, word: &str| {
        let processes = started.look();
        let is_there = |pid: u32| std::fs::read_link(at(pid)).is_ok_and(|namespace| namespace != here);
        processes.into_iter().find(|(pid, line)| line.contains(word) && is_there(*pid)).map(|(pid, _)| at(pid))
    };
    let captures = interfaces.iter().map(|interface| {
        let word = if interface.starts_with('s') { " reflector -- " } else { "until test -e" };
        let namespace = until(Duration::from_secs(20), || of_role(&mut started, word));
        let namespace = namespace.unwrap_or_else(|| panic!("{word} lives in no namespace"));
        Capture::begin(folder, &namespace, interface)
    });
    let captures = captures.collect();
    let held = namespaces_of(started.pid());
    assert!(!held.is_empty(), "the run holds no namespaces");
    std::fs::write(gate(folder), "").unwrap();
    (started.finish_clean(), captures, held)
}

/// The network namespaces that a process has open.
fn namespaces_of(pid: u32) -> Vec<File> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten().map(|entry| entry.path());
    let is_network =
        |path: &PathBuf| std::fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("net:["));
    entries.filter(is_network).map(|path| File::open(path).unwrap()).collect()
}

/// A mix of three sizes through the forwarder, over one version of IP.
fn mix(ip: &str, sizes: &str) -> String {
    format!(
        r#"
[scenario]
name = "capture"
seed = 3
[testbed]
network = "netns"
dut = "dut.toml"
reflectors = 1
links = {{ ip = "{ip}" }}
[workload]
kind = "udp"
streams = 8
[workload.frames]
sizes = {sizes}
weights = [7, 4, 1]
[load]
unit = "frames/s"
rate = "600/s"
phases = {{ init = "0s", ramp_up = "0s", sustain = "3s", ramp_down = "0s" }}
max_lag = "3s"
[search]
method = "fixed"
"#
    )
}

/// One direction of what an interface saw.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Frames by size, FCS included.
    sizes: BTreeMap<u64, u64>,
    /// Clients' addresses and ports.
    clients: HashSet<(String, String)>,
    /// Where to and where from: the other side's address.
    services: HashSet<String>,
}

/// Both directions at an interface, requests first; every packet has a good UDP checksum.
fn directions(capture: Capture, ip: &str, service: &str) -> [Seen; 2] {
    let (source, destination) = if ip == "v4" { ("ip.src", "ip.dst") } else { ("ipv6.src", "ipv6.dst") };
    let fields = ["frame.len", source, destination, "udp.srcport", "udp.dstport", "udp.length", "udp.checksum.status"];
    let mut seen = [Seen::default(), Seen::default()];
    // What is no UDP, like a connection that asks whether the DUT serves, has no length of one.
    for packet in capture.end(&fields).iter().filter(|packet| !packet[5].is_empty()) {
        let [length, from, to, from_port, to_port, datagram, checksum] = packet.as_slice() else {
            panic!("{packet:?}")
        };
        // 1 is tshark's word for a checksum that it computed itself and found right.
        assert!(checksum == "1" || checksum == "Good", "{packet:?}");
        let headers = if ip == "v4" { 14 + 20 } else { 14 + 40 };
        let (length, datagram): (u64, u64) = (length.parse().unwrap(), datagram.parse().unwrap());
        assert!(length == (headers + datagram).max(length.min(60)), "{packet:?}");
        let (direction, client, other) = match (to == service, from == service) {
            (true, false) => (0, (from, from_port), to),
            (false, true) => (1, (to, to_port), from),
            _ => panic!("neither from nor to {service}: {packet:?}"),
        };
        let of = &mut seen[direction];
        *of.sizes.entry(length + u64::from(FCS)).or_default() += 1;
        of.clients.insert((client.0.clone(), client.1.clone()));
        of.services.insert(other.clone());
    }
    seen
}

fn a_capture_confirms(ip: &str, sizes: &str, [vip, server, dut]: [&str; 3], clients: &str) {
    if !has_namespaces() || !available("tshark and dumpcap", has_program("tshark") && has_program("dumpcap")) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let forwarder = format!("{} --listen {{vip}}:{{port}} --to {{reflectors}}", super::caps::FORWARDER);
    let scenario = folder.write("capture.toml", &mix(ip, sizes));
    for _ in 0..TRIES {
        gated_dut(&folder, "udp://{vip}:{port}", &forwarder);
        let (run, captures, held) = captured(&folder, &scenario, &["d0", "s0"]);
        let [trial] = records(&run).try_into().unwrap_or_else(|all| panic!("{all:?}"));
        let counted = &trial["frames"]["all"];
        if counted["sent"] != 1_800 || counted["answered"] != 1_800 {
            println!("this machine was disturbed, once more: {}", run.stdout);
            continue;
        }
        let sent: BTreeMap<u64, u64> =
            run.csv("sizes.csv").iter().map(|row| (number(row, "frame_b"), number(row, "sent"))).collect();
        assert_eq!((sent.len(), sent.values().sum::<u64>()), (3, 1_800), "{sent:?}");
        let [at_dut, at_server]: [Capture; 2] = captures.try_into().ok().unwrap();
        for (capture, service, addresses) in [(at_dut, vip, clients), (at_server, server, dut)] {
            let [requests, answers] = directions(capture, ip, service);
            // Sizes and counts are the run's own, both ways; each stream has an address and port of its own.
            assert_eq!((&requests.sizes, &requests.clients), (&sent, &answers.clients), "{service}");
            assert_eq!(answers.sizes, sent, "{service}");
            assert_eq!(requests.clients.len(), 8, "{requests:?}");
            assert!(requests.clients.iter().all(|(address, _)| address.starts_with(addresses)), "{requests:?}");
            assert_eq!(requests.services.len() + answers.services.len(), 2, "{requests:?}");
        }
        drop(held);
        return;
    }
    panic!("in {TRIES} runs this machine never sent and answered all 1,800 frames");
}

#[test]
fn a_capture_confirms_sizes_checksums_addresses_and_counts() {
    a_capture_confirms("v4", "[64, 594, 1518]", ["198.18.1.1", "198.19.1.2", "198.19.1.1"], "198.18.");
}

#[test]
fn a_capture_confirms_the_same_over_ipv6() {
    let addresses = ["2001:2::1", "2001:2:0:8000::2", "2001:2:0:8000::1"];
    a_capture_confirms("v6", "[84, 594, 1518]", addresses, "2001:2:");
}

/// The longest packet on the DUT's link in a run of long answers over TCP.
fn longest(folder: &Folder, offloads: bool) -> u64 {
    let text = format!(
        r#"
[scenario]
name = "offloads"
seed = 3
[testbed]
network = "netns"
dut = "dut.toml"
reflectors = 0
links = {{ offloads = {offloads}, mtu = 1500 }}
[workload]
kind = "http"
request = "/?s=200k"
[load]
unit = "transactions/s"
rate = "20/s"
phases = {{ init = "0s", ramp_up = "0s", sustain = "2s", ramp_down = "0s" }}
[search]
method = "fixed"
"#
    );
    let scenario = folder.write("offloads.toml", &text);
    gated_dut(folder, "http://{vip}:{port}", &format!("{REFLECTOR} --listen {{vip}}:{{port}}"));
    let (run, mut captures, held) = captured(folder, &scenario, &["d0"]);
    assert!(run.number("tps_mean") > 0.0, "{run:?}");
    let packets = captures.remove(0).end(&["frame.len"]);
    drop(held);
    packets.iter().map(|packet| packet[0].parse().unwrap()).max().unwrap()
}

#[test]
fn without_offloads_no_frame_on_a_link_is_longer_than_its_mtu() {
    if !has_namespaces() || !available("tshark and dumpcap", has_program("tshark") && has_program("dumpcap")) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let (without, with) = (longest(&folder, false), longest(&folder, true));
    assert_eq!(without, 1_514, "an MTU of 1,500 and the Ethernet header");
    assert!(with > 1_514, "with offloads packets are longer, or this test would see nothing: {with}");
}
