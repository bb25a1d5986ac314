//! What is loaded: nginx as a web server, reflectors, and load balancers in front of them.
//!
//! Each is one process with one worker on one core. The configurations are in `config/` and mean the
//! same: X-Forwarded-For on, logs and checks off, connections to real servers kept and shared. How many
//! of those stay idle is each one's own way: lb 64 per server, nginx 128, HAProxy what it has needed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::generator::Build;
use super::process::{Folder, Program, Start, command, free_address, own};
use super::trouble::Trouble;
use super::window::Referee;

/// Where Debian's libnginx-mod-stream puts the module.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// How many real servers each load balancer has.
const REFLECTORS: usize = 2;

/// nginx that answers by itself.
#[derive(Debug)]
pub(crate) struct WebServer {
    /// The process.
    pub(crate) program: Program,
    /// Keeps connections.
    pub(crate) keep: SocketAddr,
    /// Closes each connection after one answer.
    pub(crate) close: SocketAddr,
    /// Counts.
    pub(crate) referee: Referee,
}

impl WebServer {
    /// Starts it on a core.
    pub(crate) fn start(core: usize, folder: &Folder) -> Result<Self, Trouble> {
        let [keep, close, status] = [free_address()?, free_address()?, free_address()?];
        let addresses = [("{keep}", keep), ("{close}", close), ("{status}", status)];
        let text = fill(include_str!("config/nginx-server.conf"), &addresses);
        let command = nginx(&folder.write("nginx-server.conf", &in_folder(&text, folder))?, folder);
        let start = Start { name: "nginx-server", command, package: "nginx", core, folder: folder.path() };
        let program = Program::start(start)?.ready(keep)?;
        Ok(Self { program, keep, close, referee: Referee::Nginx(status) })
    }
}

/// Our reflectors.
#[derive(Debug)]
pub(crate) struct Reflectors {
    /// The processes.
    pub(crate) programs: Vec<Program>,
    /// Where they serve.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Counts.
    pub(crate) referee: Referee,
}

impl Reflectors {
    /// Starts them on one core.
    pub(crate) fn start(executable: &Path, core: usize, folder: &Folder) -> Result<Self, Trouble> {
        let (mut programs, mut addresses, mut controls) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..REFLECTORS {
            let (address, control) = (free_address()?, free_address()?);
            let name = format!("reflector-{number}");
            let arguments = ["--listen", &address.to_string(), "--control", &control.to_string(), "--instance", &name];
            let command = own(executable, "reflector", arguments);
            let start = Start { name: &name, command, package: "the workspace", core, folder: folder.path() };
            programs.push(Program::start(start)?.ready(address)?);
            addresses.push(address);
            controls.push(control);
        }
        Ok(Self { programs, addresses, referee: Referee::Reflectors(controls) })
    }
}

/// Which load balancer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Dut {
    /// Ours.
    Lb(Build),
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
    /// None: the testbed alone.
    Direct,
}

/// What a load balancer looks at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Layer {
    /// Requests.
    Http,
    /// Connections.
    Tcp,
}

impl Dut {
    /// Name in the table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Lb(_) => "lb",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Direct => "no LB",
        }
    }
}

/// A load balancer that serves.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// The process.
    pub(crate) program: Program,
    /// Where it serves.
    pub(crate) address: SocketAddr,
}

impl Balancer {
    /// Starts one on a core in front of the reflectors.
    pub(crate) fn start(
        dut: &Dut,
        layer: Layer,
        reflectors: &Reflectors,
        core: usize,
        folder: &Folder,
    ) -> Result<Self, Trouble> {
        let address = free_address()?;
        let servers = [("{server0}", reflectors.addresses[0]), ("{server1}", reflectors.addresses[1])];
        let (template, package) = match (dut, layer) {
            (Dut::Lb(_), Layer::Http) => (include_str!("config/lb-http.toml"), "the workspace"),
            (Dut::Lb(_), Layer::Tcp) => (include_str!("config/lb-tcp.toml"), "the workspace"),
            (Dut::Haproxy, Layer::Http) => (include_str!("config/haproxy-http.cfg"), "haproxy"),
            (Dut::Haproxy, Layer::Tcp) => (include_str!("config/haproxy-tcp.cfg"), "haproxy"),
            (Dut::Nginx, Layer::Http) => (include_str!("config/nginx-http.conf"), "nginx"),
            (Dut::Nginx, Layer::Tcp) => (include_str!("config/nginx-tcp.conf"), "nginx libnginx-mod-stream"),
            (Dut::Direct, _) => return Err(Trouble::NotAvailable("no LB is no program".to_owned())),
        };
        let text = fill(&fill(template, &servers), &[("{listen}", address)]);
        let text = in_folder(&text, folder).replace("{module}", &stream_module());
        let name = format!("{}-{layer:?}", dut.name()).to_lowercase();
        let path = folder.write(&format!("{name}.conf"), &text)?;
        let command = match dut {
            Dut::Lb(build) => own(&build.path, "lb", ["-c".as_ref(), path.as_os_str()]),
            Dut::Haproxy => command("haproxy", ["-db".as_ref(), "-f".as_ref(), path.as_os_str()]),
            Dut::Nginx | Dut::Direct => nginx(&path, folder),
        };
        let program = Program::start(Start { name: &name, command, package, core, folder: folder.path() })?;
        Ok(Self { program: program.ready(address)?, address })
    }
}

fn nginx(config: &Path, folder: &Folder) -> Command {
    let run = folder.path().as_os_str();
    command("nginx", ["-e".as_ref(), "stderr".as_ref(), "-p".as_ref(), run, "-c".as_ref(), config.as_os_str()])
}

/// The line that loads the module, where it is a file of its own.
fn stream_module() -> String {
    if Path::new(STREAM_MODULE).exists() { format!("load_module {STREAM_MODULE};") } else { String::new() }
}

fn fill(template: &str, values: &[(&str, SocketAddr)]) -> String {
    values.iter().fold(template.to_owned(), |text, (key, value)| text.replace(key, &value.to_string()))
}

fn in_folder(text: &str, folder: &Folder) -> String {
    text.replace("{run}", &folder.path().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_configuration_is_filled() {
        let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let known = ["{keep}", "{close}", "{status}", "{listen}", "{server0}", "{server1}"].map(|key| (key, address));
        for text in [
            include_str!("config/nginx-server.conf"),
            include_str!("config/nginx-http.conf"),
            include_str!("config/nginx-tcp.conf"),
            include_str!("config/haproxy-http.cfg"),
            include_str!("config/haproxy-tcp.cfg"),
            include_str!("config/lb-http.toml"),
            include_str!("config/lb-tcp.toml"),
        ] {
            let filled = fill(text, &known).replace("{run}", "").replace("{module}", "");
            let code = filled.lines().filter(|line| !line.trim_start().starts_with('#'));
            let open: Vec<_> =
                code.filter(|line| ["{k", "{c", "{s", "{l", "{r", "{m"].iter().any(|key| line.contains(key))).collect();
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn our_lb_takes_its_configurations() {
        let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
        for text in [include_str!("config/lb-http.toml"), include_str!("config/lb-tcp.toml")] {
            let servers =
                [("{listen}", address), ("{server0}", address), ("{server1}", "127.0.0.2:9".parse().unwrap())];
            let config = lb::config::Config::parse("x", &fill(text, &servers));
            assert!(config.is_ok(), "{config:?}");
        }
    }
}
