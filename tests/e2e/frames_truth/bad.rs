//! What cannot be measured is refused or left undecided, says why, and ends in time.
//!
//! Clocks that jump need no test of their own: nothing that measures may name one (`layout`).

use std::time::{Duration, Instant};

use super::{number, records};
use crate::harness::{Folder, Run, Started, available, command_of, exclusive, has_program};

/// A fixed trial of one second of `rate` straight to one reflector with these lines of `[testbed]`.
fn fixed(testbed: &str, frames: &str, rate: &str) -> String {
    format!(
        r#"
[scenario]
name = "bad"
profile = "ci"
seed = 3
[testbed]
{testbed}
[workload]
kind = "udp"
streams = 2
[workload.frames]
{frames}
[load]
unit = "frames/s"
rate = "{rate}"
phases = {{ init = "0s", ramp_up = "0s", sustain = "1s", ramp_down = "0s" }}
[search]
method = "fixed"
"#
    )
}

#[test]
fn impossible_sizes_are_refused_before_anything_starts() {
    let folder = Folder::new();
    let v6 = "network = \"netns\"\ndut = \"none\"\nlinks = { ip = \"v6\" }";
    let imix = "layer = \"ip\"\nsizes = [40, 576, 1500]\nweights = [7, 4, 1]";
    let small = "network = \"netns\"\ndut = \"none\"\nlinks = { mtu = 1280 }";
    let tiny = small.replace("1280", "576");
    let cases: [(&str, &str, &[&str]); 6] = [
        (&tiny, "size = 64", &["testbed.links.mtu", "576", "1280 to 65535"]),
        (v6, "size = 64", &["workload.frames.size", "64 bytes", "IPv6", "84"]),
        (v6, imix, &["workload.frames.sizes", "40 bytes of IP", "IPv6", "60"]),
        (small, "size = 1518", &["workload.frames.size", "1518 bytes", "fragmented", "1280", "testbed.links.mtu"]),
        ("dut = \"none\"", "size = 63", &["63 bytes", "no Ethernet frame", "64 to 1518"]),
        ("dut = \"none\"", "layer = \"ip\"\nsize = 1501", &["1501 bytes of IP", "fragmented", "1500"]),
    ];
    for (testbed, frames, words) in cases {
        let path = folder.write("bad.toml", &fixed(testbed, frames, "100/s"));
        Run::refused(&folder, &[path], 2, words);
    }
}

#[test]
fn a_rate_above_what_the_host_can_send_is_undecided_and_says_what_it_sent() {
    let _alone = exclusive();
    let folder = Folder::new();
    // Hardly any room for frames under way or late: a host that sent all of these would have to be another one.
    let text = fixed("dut = \"none\"\nreflectors = 1", "size = 1518", "2M/s")
        .replace("[search]", "max_lag = \"1ms\"\n[search]");
    let run = Started::of(&folder, &[folder.write("bad.toml", &text)]).finish_clean();
    assert_eq!(run.code, Some(4), "{run:?}");
    let trial = &records(&run)[0];
    let (due, sent) = (trial["due"].as_u64().unwrap(), trial["frames"]["sustain"]["sent"].as_u64().unwrap());
    assert_eq!(due, 2_000_000);
    assert!(sent > 0 && sent < due, "{sent}");
    // What was not sent is the tester's doing, and lost is only what was sent.
    let outcomes = run.csv("outcomes.csv");
    let of = |outcome: &str| {
        let row = outcomes.iter().find(|row| row["outcome"] == outcome).unwrap();
        number(row, "operations_in_sustain")
    };
    assert_eq!((of("unsent_late") + of("unsent_window"), of("ok") + of("lost")), (due - sent, sent), "{outcomes:?}");
    let reason = run.result()["answer"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("undecided") && reason.contains(&format!("it sent {sent} frames/s")), "{reason}");
    assert_eq!(number(&run.csv("trials.csv")[0], "frames_sent"), sent);
    assert!(run.stdout.contains("exit code 4"), "{}", run.stdout);
}

#[test]
fn nobody_who_answers_is_undecided_soon_and_icmp_is_quoted() {
    let _alone = exclusive();
    let folder = Folder::new();
    // A port that was free a moment ago.
    let address = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let search = "method = \"mlr\"\nstart = 500\nmax = 2000\nfinal_sustain = \"1s\"\nbudget = \"20s\"";
    let text = fixed(&format!("dut = \"{address}\""), "size = 64", "1/s")
        .replace("rate = \"1/s\"\n", "")
        .replace("method = \"fixed\"", search);
    let began = Instant::now();
    let run = Started::of(&folder, &[folder.write("bad.toml", &text)]).finish_clean();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stdout.contains("ICMP says that it cannot be reached"), "{}", run.stdout);
    let rows = run.csv("directions.csv");
    assert!(rows.iter().all(|row| row["answered"] == "0"), "{rows:?}");
    assert!(number(&rows[0], "unreachable") > 0 && number(&rows[0], "client_sent") > 0, "{rows:?}");
}

#[test]
fn answers_that_never_come_are_losses_of_what_was_sent() {
    let _alone = exclusive();
    let folder = Folder::new();
    let sink = "dut = \"none\"\nreflectors = 1\nreflector_arguments = [\"--udp-sink\"]";
    let text = fixed(sink, "size = 64", "500/s").replace("[search]", "max_lag = \"1s\"\n[search]");
    let run = Started::of(&folder, &[folder.write("bad.toml", &text)]).finish_clean();
    let row = &run.csv("directions.csv")[0];
    let sent = number(row, "client_sent");
    // All of it arrived: the way there is clean, and a sink sends nothing that could get lost on the way back.
    assert_eq!([number(row, "reflectors_received"), number(row, "forward_lost")], [sent, 0], "{row:?}");
    assert_eq!([number(row, "answered"), number(row, "return_lost")], [0, 0], "{row:?}");
    let outcomes = run.csv("outcomes.csv");
    let lost = outcomes.iter().find(|row| row["outcome"] == "lost").unwrap();
    assert_eq!(number(lost, "operations_all"), sent, "{outcomes:?}");
    assert!(run.stdout.contains("no right answer within"), "{}", run.stdout);
}

#[test]
fn an_interface_that_is_removed_under_frames_ends_the_run_and_is_named() {
    let has_namespaces = host::namespace::Namespace::create().is_ok() && has_program("ip");
    if !available("network namespaces and ip (iproute2)", has_namespaces)
        || !available("nsenter", has_program("nsenter"))
    {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let testbed = "network = \"netns\"\ndut = \"none\"\nreflectors = 1";
    let text = fixed(testbed, "size = 128", "500/s").replace("sustain = \"1s\"", "sustain = \"90s\"");
    let mut started = Started::of(&folder, &[folder.write("bad.toml", &text)]);
    started.wait_for_load();
    let running = started.look();
    let (reflector, _) = running.iter().find(|(_, line)| line.contains(" reflector -- ")).unwrap();
    let mut command = command_of("nsenter");
    command.arg(format!("--net=/proc/{reflector}/ns/net")).args(["ip", "link", "delete", "s1"]);
    let began = Instant::now();
    assert!(command.status().unwrap().success());
    let run = started.finish();
    assert!(began.elapsed() < Duration::from_secs(45), "the trial went on without its interface");
    started.assert_nothing_left("an interface was removed");
    assert_eq!(run.code, Some(4), "{run:?}");
    let reason = run.result()["answer"]["reason"].as_str().unwrap().to_owned();
    // Both ends of a link go at once, and either may be seen first.
    assert!(["c1", "s1"].iter().any(|link| reason.contains(&format!("interface {link} "))), "{reason}");
    assert!(reason.contains("the host broke the network"), "{reason}");
    // What was due beforehand is in the files, and no frame is counted twice.
    let trial = &records(&run)[0];
    let all = &trial["frames"]["all"];
    assert!(all["answered"].as_u64().unwrap() > 0 && all["answered"].as_u64() <= all["sent"].as_u64(), "{all}");
}
