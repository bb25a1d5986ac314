//! Datagrams from files to plans: what they mean, and what is refused word for word.

use std::io;
use std::path::Path;
use std::time::Duration;

use wire::frame::{FrameSize, IpVersion};
use wire::units::Percent;

use crate::scenario::mix::Mix;
use crate::scenario::plan::*;
use crate::scenario::{Overrides, ScenarioError, Sizes, parse, plan_text, summary};

const UDP: &str = "\
[testbed]
dut = \"none\"
[workload]
kind = \"udp\"
[workload.frames]
size = 64
[load]
unit = \"frames/s\"
[search]
method = \"mlr\"
";

fn nothing(_: &Path) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

fn with(text: &str, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    parse("s/x.toml", text, &nothing, overrides)
}

fn plan(text: &str) -> Plan {
    with(text, &Overrides::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> String {
    with(text, &Overrides::default()).unwrap_err().to_string()
}

/// `UDP` with one piece replaced by another.
fn changed(from: &str, to: &str) -> String {
    assert!(UDP.contains(from), "{from:?} is not in the base scenario");
    UDP.replace(from, to)
}

fn udp(plan: &Plan) -> &UdpPlan {
    let WorkloadKind::Udp(udp) = &plan.workload.kind else { panic!("{:?}", plan.workload.kind) };
    udp
}

fn frame(bytes: u32) -> FrameSize {
    FrameSize::of_frame(bytes).unwrap()
}

const SIMPLE: &str = "layer = \"ip\"\nsizes = [40, 576, 1500]\nweights = [7, 4, 1]";

#[test]
fn datagrams_have_defaults_of_their_own() {
    let plan = plan(UDP);
    let found = udp(&plan);
    let expected = UdpPlan {
        ip_version: IpVersion::V4,
        mix: Mix::Fixed { size: frame(64) },
        streams: 16.try_into().unwrap(),
        tuples: Tuples::Random,
        burst: 1.try_into().unwrap(),
    };
    assert_eq!((found, plan.load.unit), (&expected, Unit::FramesPerSecond));
    let second = Duration::from_secs(1);
    assert_eq!((plan.load.response_timeout, plan.load.drain, plan.load.slots.get()), (second, second, 256));
    let one = self::plan(&changed("kind = \"udp\"", "kind = \"udp\"\nstreams = 1"));
    assert_eq!(udp(&one).tuples, Tuples::Fixed);
    let rfc = self::plan(&format!("[scenario]\nprofile = \"rfc\"\n{UDP}"));
    let maximum = rfc.search.maximum().unwrap();
    assert_eq!((maximum.final_sustain, maximum.width.as_ratio(), maximum.repeats.get()), (60 * second, 0.005, 1));
    assert_eq!(rfc.load.drain, 2 * second);
}

#[test]
fn a_mix_is_the_same_by_weights_by_shares_and_by_its_genome() {
    let ways = [
        SIMPLE,
        "layer = \"ip\"\nsizes = [40, 576, 1500]\nbandwidth = [\"6.856%\", \"56.415%\", \"36.729%\"]",
        "layer = \"ip\"\nsizes = [40, 576, 1500]\ngenome = \"ABAABACABAAB\"",
    ];
    for frames in ways {
        let plan = plan(&changed("size = 64", frames));
        assert_eq!(udp(&plan).mix.name(1500), "CUSTOM IMIX - ABAABACABAAB", "{frames}");
        let text = summary(&plan);
        for words in
            ["CUSTOM IMIX - ABAABACABAAB (A = 40 B, B = 576 B, C = 1500 B of IP)", "mean frame 361.83 B", "L3 340.33 B"]
        {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
    }
    let equal = plan(&changed("size = 64", "sizes = [64, 1518]"));
    assert_eq!(udp(&equal).mix.name(1500), "IMIX - ag");
    let random = plan(&changed("size = 64", "random = { min = 64, max = 1518 }"));
    assert_eq!(udp(&random).mix, Mix::Random { min: frame(64), max: frame(1518) });
}

#[test]
fn sizes_that_no_datagram_has_are_refused() {
    let sizes = |version, mtu| Sizes { version, mtu };
    let (v4, v6) = (sizes(IpVersion::V4, 1500), sizes(IpVersion::V6, 1500));
    assert_eq!(v4.frame(64), Ok(frame(64)));
    assert_eq!(v6.frame(78), Ok(frame(78)));
    assert_eq!(v6.frame(84), Ok(frame(84)));
    assert_eq!(v4.packet(40), Ok(FrameSize::of_ip(40).unwrap()));
    assert_eq!(sizes(IpVersion::V4, 9000).frame(9000), Ok(frame(9000)));
    let refused = [
        (v4.frame(63), "63 bytes are no Ethernet frame (RFC 2544, 9); expected 64 to 1518"),
        (
            v6.frame(64),
            "64 bytes are no frame of UDP over IPv6 with a signature: its headers take 66 and the shortest signature 12; \
             expected 78 to 1518, where 84 is the smallest in use (RFC 8219, 5.1.1)",
        ),
        (v4.frame(1519), "1519 bytes would be fragmented at an MTU of 1500 (testbed.links.mtu); expected 64 to 1518"),
        (
            v4.frame(u32::MAX),
            "4294967295 bytes would be fragmented at an MTU of 1500 (testbed.links.mtu); expected 64 to 1518",
        ),
        (
            v6.packet(40),
            "40 bytes of IP are no UDP datagram over IPv6 with a signature: its headers take 48 and the shortest signature \
             12; expected 60 to 1500",
        ),
        (
            v4.packet(39),
            "39 bytes of IP are no UDP datagram over IPv4 with a signature: its headers take 28 and the shortest signature \
             12; expected 40 to 1500",
        ),
        (
            v4.packet(1501),
            "1501 bytes of IP would be fragmented at an MTU of 1500 (testbed.links.mtu); expected 40 to 1500",
        ),
    ];
    for (found, expected) in refused {
        assert_eq!(found, Err(expected.to_owned()));
    }
}

#[test]
fn frames_that_contradict_themselves_are_refused() {
    let cases = [
        (
            "size = 64",
            "size = 63",
            "s/x.toml:6: workload.frames.size: 63 bytes are no Ethernet frame (RFC 2544, 9); expected 64 to 1518",
        ),
        (
            "[workload.frames]\nsize = 64\n",
            "",
            "s/x.toml:3: workload.frames: missing; expected exactly one of size = 64, sizes = [40, 576, 1500] and random = { \
             min = 64, max = 1518 }",
        ),
        (
            "size = 64",
            "size = 64\nsizes = [64]",
            "s/x.toml:5: workload.frames: has more than one of size, sizes and random; expected exactly one",
        ),
        ("size = 64", "size = 64\nweights = [1]", "s/x.toml:7: workload.frames.weights: belongs to sizes = [...]"),
        (
            "size = 64",
            "sizes = [64, 128]\nweights = [1]",
            "s/x.toml:7: workload.frames.weights: 1 values for 2 sizes; expected one for each",
        ),
        (
            "size = 64",
            "sizes = [64, 128]\nweights = [1, 0]",
            "s/x.toml:7: workload.frames.weights: weight 2 is 0: leave the size out, or give it 1 or more",
        ),
        (
            "size = 64",
            "sizes = [64, 128]\nweights = [1, 2]\ngenome = \"ABB\"",
            "s/x.toml:8: workload.frames.genome: contradicts weights: expected one of the two",
        ),
        (
            "size = 64",
            "sizes = [64, 64]",
            "s/x.toml:6: workload.frames.sizes: 64 stands there twice; expected each size once, with its weight",
        ),
        (
            "size = 64",
            "random = { min = 128, max = 128 }",
            "s/x.toml:6: workload.frames.random: from 128 to 128 is no range; expected min below max",
        ),
        (
            "kind = \"udp\"",
            "kind = \"udp\"\ntuples = \"fixed\"",
            "s/x.toml:5: workload.tuples: \"fixed\" is one 5-tuple, but there are 16 streams; expected streams = 1",
        ),
        (
            "kind = \"udp\"",
            "kind = \"udp\"\nburst = 257",
            "s/x.toml:5: workload.burst: 257 is out of range; expected 1 to 256",
        ),
        (
            "kind = \"udp\"",
            "kind = \"udp\"\nstreams = 70000",
            "s/x.toml:5: workload.streams: 70000 is out of range; expected 1 to 65535, each a socket of its own",
        ),
        (
            "kind = \"udp\"",
            "kind = \"udp\"\nclose = \"client-fin\"",
            "s/x.toml:5: workload.close: has no meaning for kind = \"udp\", whose datagrams carry a signature; leave it out",
        ),
        (
            "\"frames/s\"",
            "\"connections/s\"",
            "s/x.toml:8: load.unit: \"connections/s\" are none of kind = \"udp\"; expected \"frames/s\" or \"bandwidth\"",
        ),
        (
            "kind = \"udp\"\n[workload.frames]\nsize = 64",
            "kind = \"http\"",
            "s/x.toml:6: load.unit: frames are counted for workload.kind = \"udp\" only",
        ),
        ("kind = \"udp\"", "kind = \"http\"\nstreams = 4", "s/x.toml:5: workload.streams: belongs to kind = \"udp\""),
        (
            "[search]",
            "engine = \"uring\"\n[search]",
            "s/x.toml:9: load.engine: \"uring\" carries connections only; datagrams leave by sendmmsg: leave it out",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(error(&changed(from, to)), expected);
    }
    let many: Vec<String> = (100..127).map(|size| size.to_string()).collect();
    let message = error(&changed("size = 64", &format!("sizes = [{}]", many.join(", "))));
    assert!(message.ends_with("27 sizes; expected 1 to 26, a letter for each"), "{message}");
}

#[test]
fn a_bandwidth_is_frames_by_the_mean_size_of_its_layer() {
    let text = |layer: &str, rate: &str| {
        changed("size = 64", SIMPLE)
            .replace("unit = \"frames/s\"", &format!("unit = \"bandwidth\"\n{layer}rate = \"{rate}\""))
            .replace("\"mlr\"", "\"fixed\"")
    };
    for (layer, bytes) in [("l1", 381.8333), ("l2", 361.8333), ("l3", 340.3333)] {
        let plan = plan(&text(&format!("layer = \"{layer}\"\n"), "100Mbit/s"));
        let rate = plan.load.rate.unwrap().as_f64();
        assert_eq!((plan.load.unit, (rate - 1e8 / 8.0 / bytes).abs() < 0.01), (Unit::FramesPerSecond, true), "{rate}");
    }
    assert!(error(&text("", "100Mbit/s")).contains("load.layer: missing; unit = \"bandwidth\" needs it"));
    assert_eq!(
        error(&text("layer = \"l2\"\n", "10k/s")),
        "s/x.toml:12: load.rate: 10000/s is no bandwidth; expected such as \"100Mbit/s\", or unit = \"frames/s\""
    );
    let search = format!("{UDP}max = \"1Gbit/s\"\n");
    assert_eq!(
        error(&search),
        "s/x.toml:11: search.max: 1Gbit/s is a bandwidth; expected a rate such as \"10k/s\", or unit = \"bandwidth\""
    );
    let by_bits = plan(&search.replace("unit = \"frames/s\"", "unit = \"bandwidth\"\nlayer = \"l1\""));
    let max = by_bits.search.maximum().unwrap().max.unwrap();
    assert_eq!(max.floor(), 1_488_095.0);
}

#[test]
fn the_suite_of_rfc_2544_brings_sizes_and_two_goals() {
    let text = |suite: &str| format!("{}[suite]\n{suite}\n", changed("[workload.frames]\nsize = 64\n", ""));
    let rfc2544 = plan(&text("kind = \"rfc2544\""));
    let Some(SuitePlan::Rfc2544 { sizes, sweep }) = &rfc2544.suite else { panic!("{:?}", rfc2544.suite) };
    assert_eq!(sizes, &[frame(64), frame(512), frame(1518)]);
    assert_eq!((sweep.step.as_ratio(), sweep.sustain), (0.1, Duration::from_secs(10)));
    let goals = &rfc2544.search.maximum().unwrap().goals;
    let share = |text: &str| text.parse::<Percent>().unwrap();
    let found: Vec<_> = goals.iter().map(|goal| (goal.loss, goal.exceed, goal.duration_sum.as_secs())).collect();
    assert_eq!(found, [(Some(share("0%")), share("0%"), 10), (Some(share("0.5%")), share("50%"), 20)]);
    let all = plan(&format!("[scenario]\nprofile = \"rfc\"\n{}", text("kind = \"rfc2544\"")));
    assert!(matches!(&all.suite, Some(SuitePlan::Rfc2544 { sizes, .. }) if sizes.len() == 7));
    let words = summary(&rfc2544);
    assert!(words.contains("rfc2544: the search for each of 64, 512, 1518 bytes, then a loss sweep"), "{words}");

    let imix = format!("{}[suite]\nkind = \"imix\"\nsweep_step = \"0%\"\n", changed("size = 64", SIMPLE));
    assert!(matches!(plan(&imix).suite, Some(SuitePlan::Imix(sweep)) if sweep.step.as_ratio() == 0.0));
    for (text, expected) in [
        (format!("{UDP}[suite]\nkind = \"rfc2544\"\n"), "workload.frames: contradicts suite.kind = \"rfc2544\""),
        (text("kind = \"rfc2544\"\nsizes = []"), "suite.sizes: 0 sizes; expected 1 to 26"),
        (text("kind = \"rfc2544\"\nsizes = [63]"), "suite.sizes: 63 bytes are no Ethernet frame"),
        (text("kind = \"rfc2544\"\nsweep_step = \"20%\""), "suite.sweep_step: 20% is out of range; expected 1% to 10%"),
        (text("kind = \"imix\"\nsizes = [64]"), "suite.sizes: belongs to kind = \"rfc2544\""),
        (text("kind = \"imix\""), "workload.frames: missing"),
        (text("sizes = [64]"), "suite.kind: missing; expected \"rfc2544\" or \"imix\""),
        (
            imix.replace("\"mlr\"", "\"goal-seek\""),
            "suite.kind: searches the highest load; expected search.method \"mlr\"",
        ),
    ] {
        let message = error(&text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_plan_of_datagrams_is_a_scenario_that_resolves_to_itself() {
    let fixed = |frames: &str| {
        changed("size = 64", frames).replace("\"mlr\"", "\"fixed\"").replace("[search]", "rate = 5000\n[search]")
    };
    let suite = |kind: &str| format!("[suite]\nkind = \"{kind}\"\n");
    let texts = [
        fixed("size = 64"),
        fixed("layer = \"ip\"\nsize = 40"),
        fixed("random = { min = 100, max = 200 }"),
        fixed(SIMPLE),
        format!("{}{}[expect]\nfps = \">= 1000\"\n", changed("size = 64", SIMPLE), suite("imix")),
        format!("{}{}", changed("[workload.frames]\nsize = 64\n", ""), suite("rfc2544")),
    ];
    for text in texts {
        let first = plan(&text);
        let written = plan_text(&first);
        let again = plan(&written);
        assert_eq!(plan_text(&again), written);
        assert_eq!((udp(&again), &again.suite, &again.search), (udp(&first), &first.suite, &first.search), "{written}");
        assert_eq!((again.load.phases, again.load.rate), (first.load.phases, first.load.rate));
    }
}

#[test]
fn expectations_of_datagrams_are_frames_loss_and_delay() {
    let text = format!("{UDP}[expect]\nfps = \">= 10k\"\nfailed = \"<= 0%\"\nresponse_time_p99 = \"< 5ms\"\n");
    let found: Vec<Metric> = plan(&text).expect.iter().map(|expectation| expectation.metric).collect();
    assert_eq!(found, [Metric::Fps, Metric::Failed, Metric::ResponseTime { percentile_e2: 9_900 }]);
    let other = |line: &str| error(&format!("{UDP}[expect]\n{line}\n"));
    assert!(other("tps = \">= 1\"").ends_with("unit = \"frames/s\" measures fps, not tps; expected expect.fps"));
    assert!(other("ttfb_p50 = \"< 1ms\"").contains("has no first byte"), "{}", other("ttfb_p50 = \"< 1ms\""));
}

#[test]
fn a_set_value_reaches_the_frames() {
    let set = |assignment: &str| with(UDP, &Overrides { set: vec![assignment.to_owned()], ..Overrides::default() });
    assert_eq!(udp(&set("workload.frames.size=1518").unwrap()).mix, Mix::Fixed { size: frame(1518) });
    assert_eq!(
        set("workload.frames.size=60").unwrap_err().to_string(),
        "--set: workload.frames.size: 60 bytes are no Ethernet frame (RFC 2544, 9); expected 64 to 1518"
    );
    assert_eq!(udp(&set("workload.streams=3").unwrap()).streams.get(), 3);
}

#[test]
fn broken_text_never_panics() {
    let text = format!("{}[suite]\nkind = \"imix\"\n", changed("size = 64", SIMPLE));
    for cut in 0..text.len() {
        let _ = with(&text[..cut], &Overrides::default());
    }
}
