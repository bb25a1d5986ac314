//! What it costs to send datagrams: ours against iperf3, and memory per stream.
//!
//! Frames are counted by the kernel (`OutDatagrams`), CPU time by the kernel's clock of the sender, both
//! at the same two moments. Nobody answers, because iperf3's server does not either; a row with answers
//! informs. iperf3 sends as fast as it can, which is its cheapest way, and so does ours, which is asked for more
//! than it can send; rows at half of iperf3's rate inform.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::generator::Build;
use super::process::{Program, Start, command, free_address, own, pass};
use super::trouble::Trouble;
use super::window::{Measured, SETTLE, snmp};

/// Frames per second from which on a sender counts as busy, over [`LOOK`].
const BUSY_FPS: f64 = 1_000.0;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long it may take until a sender is busy.
const BUSY_WITHIN: Duration = Duration::from_secs(8);
/// Longer than any window: senders are ended when it is over.
const LONG_S: u64 = 60;
/// How long a sender may take to end.
const END: Duration = Duration::from_secs(10);
/// Streams between which memory is compared.
const STREAMS: [u32; 2] = [1_000, 9_000];
/// Rate at which streams are used once before memory is read.
const MEMORY_FPS: f64 = 5_000.0;

/// Who sends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Sender {
    /// Our generator.
    Loadgen {
        /// The executable that plays it.
        build: Build,
        /// Whether the reflector answers.
        echo: bool,
        /// What it is asked for, in per cent of the rate that iperf3 reaches.
        percent: u32,
    },
    /// `iperf3 -u`.
    Iperf3,
}

impl Sender {
    /// Name in tables.
    pub(crate) fn name(&self) -> String {
        let Self::Loadgen { echo, percent, .. } = self else { return "iperf3 -u".to_owned() };
        let answers = if *echo { " with answers" } else { "" };
        let pace = if *percent > 100 { String::new() } else { format!(" at {percent} %") };
        format!("loadgen udp{answers}{pace}")
    }
}

/// Where and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The sender's core.
    pub(crate) sender_core: usize,
    /// The receiver's.
    pub(crate) receiver_core: usize,
    /// Files.
    pub(crate) folder: &'a Path,
    /// Length of the window.
    pub(crate) window: Duration,
}

/// One window of iperf3.
pub(crate) fn measure_iperf3(payload: u16, place: Place<'_>) -> Result<Measured, Trouble> {
    let address = free_address()?;
    let server = iperf3_server(address, place)?;
    let measured = window(iperf3(address, payload, place)?, place.window);
    drop(server);
    measured
}

/// One window of our generator, which is asked for `fps` frames per second.
pub(crate) fn measure_ours(
    build: &Build,
    echo: bool,
    payload: u16,
    fps: f64,
    place: Place<'_>,
) -> Result<Measured, Trouble> {
    let program = loadgen(build, &scenario(payload, 1, fps, echo, place.sender_core), place)?;
    let mut measured = window(program, place.window)?;
    if echo {
        // The reflector's answers are in the kernel's count.
        measured.rate /= 2.0;
        measured.generator_us *= 2.0;
        measured.machine_us *= 2.0;
    }
    Ok(measured)
}

/// Memory of our generator per stream, as the slope between few and many.
pub(crate) fn memory(build: &Build, place: Place<'_>) -> Result<Measured, Trouble> {
    let mut memory = [0.0; 2];
    for (streams, memory) in STREAMS.into_iter().zip(&mut memory) {
        let mut program = loadgen(build, &scenario(18, streams, MEMORY_FPS, true, place.sender_core), place)?;
        until_busy(&mut program)?;
        // Each stream has sent and received by then.
        pass(Duration::from_secs_f64(f64::from(streams) / MEMORY_FPS * 1.5));
        program.check()?;
        let gone = || Trouble::Counter { what: "the memory of a program", source: std::io::ErrorKind::NotFound.into() };
        *memory = program.memory().ok_or_else(gone)? as f64;
        program.interrupt();
        program.finish(END)?;
    }
    let bytes = (memory[1] - memory[0]) / f64::from(STREAMS[1] - STREAMS[0]);
    Ok(Measured { bytes, ..Measured::default() })
}

fn iperf3_server(address: SocketAddr, place: Place<'_>) -> Result<Program, Trouble> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    // Without the flush it tells a file that it listens only when it ends.
    let command = command("iperf3", ["-s", "-1", "--forceflush", "-B", &host, "-p", &port]);
    let (core, folder) = (place.receiver_core, place.folder);
    let mut server = Program::start(Start { name: "iperf3-server", command, package: "iperf3", core, folder })?;
    // A connection would be taken for the only client.
    server.until(BUSY_WITHIN, "said nothing", |server| server.quote().contains("listening").then_some(()))?;
    Ok(server)
}

fn iperf3(address: SocketAddr, payload: u16, place: Place<'_>) -> Result<Program, Trouble> {
    let (host, port, length) = (address.ip().to_string(), address.port().to_string(), payload.to_string());
    let time = LONG_S.to_string();
    let command = command("iperf3", ["-c", &host, "-p", &port, "-u", "-l", &length, "-b", "0", "-t", &time]);
    let (core, folder) = (place.sender_core, place.folder);
    Program::start(Start { name: "iperf3", command, package: "iperf3", core, folder })
}

fn loadgen(build: &Build, scenario: &str, place: Place<'_>) -> Result<Program, Trouble> {
    let path = place.folder.join("datagrams.toml");
    fs::write(&path, scenario).map_err(|source| Trouble::File { path: path.clone(), source })?;
    let mut command = own(&build.path, "loadgen", ["run"]);
    command.arg(path).args(["--quiet", "--reports"]).arg(place.folder.join("reports"));
    let (core, folder) = (place.sender_core, place.folder);
    let start = Start { name: "loadgen", command, package: "the workspace", core, folder };
    Program::start_on(start, &[place.sender_core, place.receiver_core])
}

/// One trial with nobody between sender and reflector.
fn scenario(payload: u16, streams: u32, fps: f64, echo: bool, core: usize) -> String {
    let tuples = if streams == 1 { "fixed" } else { "sequential" };
    let arguments = if echo { "" } else { "\"--udp-sink\"" };
    // From the payload to the frame: Ethernet, IPv4 and UDP headers and the FCS.
    let size = u32::from(payload) + 46;
    format!(
        "[scenario]\nname = \"peers-udp\"\nquestion = \"What does a frame cost?\"\nseed = 7\n\
         [testbed]\ndut = \"none\"\nreflectors = 1\ngenerator_cores = [{core}]\nreflector_arguments = [{arguments}]\n\
         [workload]\nkind = \"udp\"\nstreams = {streams}\ntuples = \"{tuples}\"\n\
         [workload.frames]\nsize = {size}\n\
         [load]\nunit = \"frames/s\"\nrate = \"{}/s\"\n\
         phases = {{ init = \"0s\", ramp_up = \"250ms\", sustain = \"{LONG_S}s\", ramp_down = \"0s\" }}\n",
        fps.round()
    )
}

/// What a sender does between two moments of its steady load; ends it.
fn window(mut sender: Program, length: Duration) -> Result<Measured, Trouble> {
    until_busy(&mut sender)?;
    pass(SETTLE);
    let before = Moment::now(&sender)?;
    pass(length);
    let after = Moment::now(&sender)?;
    sender.check()?;
    let text = sender.quote();
    let name = sender.name().to_owned();
    sender.interrupt();
    sender.finish(END)?;
    let what = "frames: the kernel sent none in the window";
    between(&before, &after).ok_or(Trouble::Unclear { program: name, what, text })
}

fn until_busy(sender: &mut Program) -> Result<(), Trouble> {
    let mut last = (Instant::now(), sent()?);
    sender.until(BUSY_WITHIN, "sent nothing", |_| {
        let (now, count) = (Instant::now(), sent().ok()?);
        let seconds = (now - last.0).as_secs_f64();
        if seconds < LOOK.as_secs_f64() {
            return None;
        }
        let fps = (count - last.1) as f64 / seconds;
        last = (now, count);
        (fps >= BUSY_FPS).then_some(())
    })
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    frames: u64,
    sender_ns: u64,
}

impl Moment {
    fn now(sender: &Program) -> Result<Self, Trouble> {
        Ok(Self { at: Instant::now(), frames: sent()?, sender_ns: sender.cpu_ns()? })
    }
}

fn between(before: &Moment, after: &Moment) -> Option<Measured> {
    let frames = after.frames.checked_sub(before.frames).filter(|&count| count > 0)? as f64;
    Some(Measured {
        rate: frames / (after.at - before.at).as_secs_f64(),
        generator_us: (after.sender_ns - before.sender_ns) as f64 / 1e3 / frames,
        ..Measured::default()
    })
}

/// Datagrams that this network namespace has sent.
fn sent() -> Result<u64, Trouble> {
    snmp("Udp:", "OutDatagrams")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_the_difference_per_frame() {
        let at = Instant::now();
        let before = Moment { at, frames: 100, sender_ns: 5_000 };
        let after = Moment { at: at + Duration::from_secs(2), frames: 1_100, sender_ns: 2_005_000 };
        let found = between(&before, &after).unwrap();
        assert_eq!((found.rate, found.generator_us), (500.0, 2.0));
        assert!(between(&before, &Moment { frames: 100, ..after }).is_none());
    }

    #[test]
    fn our_generator_takes_its_scenario() {
        for (streams, echo) in [(1, false), (9_000, true)] {
            let text = scenario(18, streams, 1e5, echo, 0);
            let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
            let plan = loadgen::scenario::parse("x.toml", &text, &none, &loadgen::scenario::Overrides::default());
            assert!(plan.is_ok(), "{plan:?}");
        }
    }
}
