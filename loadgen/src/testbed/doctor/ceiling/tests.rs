//! Given facts to the limit that binds and what its remedy gives.

use std::io;
use std::path::Path;

use super::*;
use crate::scenario::{Overrides, parse};

fn plan(unit: &str, more: &str, search: &str) -> Plan {
    let text = format!(
        "[testbed]\ndut = \"dut.toml\"\nreflectors = 2\n[workload]\nkind = \"http\"\nrequest = \"/?s=1k\"\n{more}\n[load]\n\
         unit = \"{unit}\"\n[search]\nmethod = \"climb\"\n{search}\n"
    );
    let files = |path: &Path| match path.to_str() {
        Some("dut.toml") => Ok("kind = \"reference\"\nconfig = \"lb.toml\"\n".to_owned()),
        Some("lb.toml") => Ok("listen = \"127.0.0.1:{port}\" # {address}".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    parse("x.toml", &text, &files, &Overrides::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn cps() -> Plan {
    plan("connections/s", "requests_per_connection = 1", "")
}

fn host(cores: usize, descriptors: u64) -> HostFacts {
    HostFacts {
        allowed: (0..cores).collect(),
        ports: PortSysctls { first: 32_768, last: 60_999, tw_reuse: 2, timestamps: true },
        descriptors,
        memory_bytes: 8 << 30,
    }
}

const CALIBRATION: Calibration = Calibration { per_second: 10_000.0, generator_us: 60.0, reflectors_us: 40.0 };

/// The binding limit, the ceiling and the ceiling after its remedy.
fn told(plan: &Plan, host: &HostFacts, calibration: Option<Calibration>) -> (&'static str, u64, u64) {
    let limits = predict(plan, host, calibration);
    let (first, after, _) = after_the_change(&limits).unwrap();
    (first.what, first.most.round() as u64, after.round() as u64)
}

#[test]
fn the_narrowest_resource_binds_and_its_remedy_reaches_the_next_one() {
    let many = 1 << 20;
    // 1 s / (60 + 40) µs on the shared core; three cores give each a core of its own.
    let cpu = told(&cps(), &host(2, many), Some(CALIBRATION));
    assert_eq!(cpu, ("CPU of generator and reflectors", 10_000, 16_667));
    // On four cores the generator has two and the reflectors one: 33,333 and 25,000.
    let four = Calibration { per_second: 24_000.0, ..CALIBRATION };
    assert_eq!(told(&cps(), &host(4, many), Some(four)).0, "CPU of the reflectors");
    // 14 client addresses and a minute of TIME_WAIT: 14 × 28,232 / 60 = 6,587; with reuse the CPU binds.
    let mut slow = host(2, many);
    slow.ports.tw_reuse = 0;
    assert_eq!(told(&cps(), &slow, Some(CALIBRATION)), ("ports", 6_587, 10_000));
    // 40 - 64 descriptors leave nothing, 96 leave 32 of the 64 operations that the calibration had.
    assert_eq!(told(&cps(), &host(2, 96), Some(CALIBRATION)), ("descriptors", 5_000, 10_000));
}

#[test]
fn reflectors_that_are_slower_than_their_cpu_bind_at_what_was_measured() {
    let capped = Calibration { per_second: 400.0, ..CALIBRATION };
    let limits = predict(&cps(), &host(2, 1 << 20), Some(capped));
    assert_eq!((limits[0].what, limits[0].most), ("the reflectors", 400.0), "{limits:?}");
    let busy = Calibration { per_second: 6_000.0, ..CALIBRATION };
    let limits = predict(&cps(), &host(2, 1 << 20), Some(busy));
    assert!(limits.iter().all(|limit| limit.what != "the reflectors"), "{limits:?}");
}

#[test]
fn slots_of_the_plan_bind_under_their_own_name() {
    let mut few = cps();
    few.load.slots = 32.try_into().unwrap();
    assert_eq!(told(&few, &host(2, 1 << 20), Some(CALIBRATION)), ("load.slots", 5_000, 10_000));
    let limits = predict(&few, &host(2, 1 << 20), Some(CALIBRATION));
    assert_eq!(limits[0].remedy, "load.slots = 64 instead of 32");
}

#[test]
fn held_connections_are_bounded_by_descriptors_ports_and_memory() {
    let cc = plan("connections", "", "start = 100");
    assert_eq!(told(&cc, &host(2, 256), None), ("descriptors", 96, 32_736));
    // 2^20 descriptors hold 524,256 in a proxy, 14 × 28,232 ports 395,248, 8 GiB 244,667.
    assert_eq!(told(&cc, &host(2, 1 << 20), None).0, "memory");
    let mut roomy = host(2, 1 << 20);
    roomy.memory_bytes = 64 << 30;
    assert_eq!(told(&cc, &roomy, None), ("ports", 395_248, 524_256));
    let limits = predict(&cc, &host(2, 256), None);
    assert_eq!(limits[0].remedy, "65536 descriptors instead of 256 (ulimit -Hn, LimitNOFILE=)");
    assert!(limits.windows(2).all(|pair| pair[0].most <= pair[1].most), "{limits:?}");
}

#[test]
fn without_a_calibration_nothing_is_said_of_the_processors() {
    let limits = predict(&cps(), &host(2, 1 << 20), None);
    assert!(limits.iter().all(|limit| limit.what == "ports"), "{limits:?}");
}

#[test]
fn a_plan_that_pins_its_roles_gains_nothing_by_one_core_more() {
    let mut pinned = cps();
    (pinned.testbed.generator_cores, pinned.testbed.dut.cores, pinned.testbed.reflectors) = (vec![0], vec![1], 0);
    let limits = predict(&pinned, &host(2, 1 << 20), Some(CALIBRATION));
    assert_eq!((limits[0].what, limits[0].after == limits[0].most), ("CPU of the generator", true));
    assert!(limits[0].remedy.starts_with("other cores"), "{limits:?}");
}

#[test]
fn the_load_that_a_scenario_names_is_what_the_host_has_to_reach() {
    assert_eq!(asked(&cps()), None, "a share of a ceiling is always reached");
    assert_eq!(asked(&plan("connections", "", "start = 1000")), Some(1_000.0));
}
