//! Plans of datagrams against RFC 2544.

use super::*;

const RFC2544: &str = r#"
[scenario]
profile = "rfc"
[testbed]
dut = "10.0.0.5:7"
[workload]
kind = "udp"
[load]
unit = "frames/s"
[search]
method = "mlr"
[suite]
kind = "rfc2544"
"#;

#[test]
fn a_plan_of_profile_rfc_towards_another_host_keeps_every_must() {
    let found = compliance(&plan(RFC2544));
    assert_eq!(found.label, "conditional", "{:?}", found.deviations);
    assert_eq!(
        found.deviations,
        [
            "kernel sockets keep no gap between frames and reach no line rate (RFC 2544, 20 and 21)",
            "one service address, not also 256 destination networks (RFC 2544, 12)",
            "no pause of 2s between the frames that devices learn from and the trial (RFC 2544, 23)",
            "the maximum offered load is not measured without the DUT (RFC 2285, 3.5.3)",
        ]
    );
    let six = compliance(&plan(&RFC2544.replace("10.0.0.5:7", "[fd00::5]:7")));
    assert_eq!(six.deviations[0], "84 bytes stand for 64, which IPv6 has no room for (RFC 8219, 5.1.1)");
}

#[test]
fn every_departure_of_datagrams_is_named_with_its_section() {
    let musts = [
        ("\"rfc\"", "\"standard\"", "profile is not rfc: shorter waits between trials (RFC 2544, 23)"),
        (
            "10.0.0.5:7",
            "none",
            "frames are emulated: loopback has no line rate, preamble, gap, padding or FCS; a frame is \
                             its IP packet plus 18 bytes (RFC 2544, 9 and 20)",
        ),
        ("\"mlr\"", "\"mlr\"\nfinal_sustain = \"10s\"", "trials last 10s instead of at least 60s (RFC 2544, 24)"),
        ("[search]", "drain = \"500ms\"\n[search]", "late frames are waited for 500ms instead of 2s (RFC 2544, 23)"),
        (
            "[search]",
            "arrivals = \"poisson\"\n[search]",
            "frames leave at random instead of at equal distances (RFC 2544, 21)",
        ),
        ("\"udp\"", "\"udp\"\nburst = 16", "frames leave in bursts of 16 (RFC 2544, 21)"),
        (
            "\"mlr\"",
            "\"mlr\"\n[[search.goal]]\nloss = \"0.5%\"\nexceed = \"50%\"",
            "up to 0.5% of the frames may be lost, where throughput means none (RFC 2544, 26.1)",
        ),
        (
            "\"mlr\"",
            "\"mlr\"\n[[search.goal]]\nexceed = \"50%\"",
            "50% of the time may lose more than the goal (RFC 9971; not in RFC 2544)",
        ),
    ];
    for (from, to, expected) in musts {
        let found = compliance(&plan(&RFC2544.replace(from, to)));
        assert_eq!(found.label, "derived", "{to}");
        assert!(found.deviations.iter().any(|text| text == expected), "{expected}: {:?}", found.deviations);
    }
    let others = [
        ("10.0.0.5:7", "10.0.0.5:9", "the destination port is not 7 (RFC 2544, C.2.6.4)"),
        ("\"udp\"", "\"udp\"\ntuples = \"sequential\"", "5-tuples count up instead of being random (RFC 4814, 4)"),
        (
            "\"rfc2544\"",
            "\"rfc2544\"\nsizes = [64, 1518]",
            "sizes 64, 1518 instead of 64, 128, 256, 512, 1024, 1280 and 1518 (RFC 2544, 9.1)",
        ),
    ];
    for (from, to, expected) in others {
        let found = compliance(&plan(&RFC2544.replace(from, to)));
        assert!(found.deviations.iter().any(|text| text == expected), "{expected}: {:?}", found.deviations);
        assert_eq!(found.label, "conditional", "{to}");
    }
}
