//! The reference LB, haproxy and nginx in front of one real server each, as processes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Folder, LB, command_of, until};

/// One of them, until it is dropped.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    folder: Folder,
}

impl Proxy {
    /// The reference LB; `service` is added to its table.
    pub(crate) fn lb(server: SocketAddr, service: &str) -> Self {
        Self::start("lb", |folder, port| {
            let text = format!(
                "workers = 1\ndrain = '1s'\n[[virtual_service]]\nname = 'web'\nlisten = '127.0.0.1:{port}'\nmode = 'http'\ngroup = 'web'\n\
                 {service}\n[[group]]\nname = 'web'\nreal_servers = [{{ name = 'r0', address = '{server}' }}]\n"
            );
            let mut command = Command::new(LB);
            host::process::dies_with_parent(&mut command);
            command.arg("-c").arg(folder.write("lb.toml", &text));
            command
        })
    }

    pub(crate) fn haproxy(server: SocketAddr) -> Self {
        Self::start("haproxy", |folder, port| {
            let text = format!(
                "global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 3s\n  timeout client 20s\n\
                 \x20 timeout server 20s\n  timeout http-request 20s\n  option http-keep-alive\n  http-reuse safe\n\
                 frontend web\n  bind 127.0.0.1:{port}\n  default_backend web\nbackend web\n  server r0 {server}\n"
            );
            let mut command = command_of("haproxy");
            command.arg("-db").arg("-f").arg(folder.write("haproxy.cfg", &text));
            command
        })
    }

    pub(crate) fn nginx(server: SocketAddr) -> Self {
        Self::start("nginx", |folder, port| {
            let place = folder.path().display();
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {place}/{name};"));
            let text = format!(
                "daemon off;\nworker_processes 1;\npid {place}/nginx.pid;\nerror_log {place}/error.log;\nevents {{}}\n\
                 http {{\naccess_log off;\n{}\nlingering_close off;\nkeepalive_requests 1000000;\n\
                 upstream web {{ server {server} max_fails=0; keepalive 4; }}\nserver {{\nlisten 127.0.0.1:{port};\n\
                 location / {{\nproxy_pass http://web;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n\
                 proxy_ignore_client_abort on;\nproxy_next_upstream off;\n}}\n}}\n}}\n",
                paths.join("\n")
            );
            let mut command = command_of("nginx");
            command.arg("-e").arg(folder.path().join("error.log")).arg("-p").arg(folder.path());
            command.arg("-c").arg(folder.write("nginx.conf", &text));
            command
        })
    }

    /// None of them tells a port of its own choice, so one that was free a moment ago is tried, some times.
    fn start(name: &'static str, command: impl Fn(&Folder, u16) -> Command) -> Self {
        for _ in 0..5 {
            let folder = Folder::new();
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let said = std::fs::File::create(folder.path().join("said.txt")).unwrap();
            let mut command = command(&folder, address.port());
            command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
            let mut proxy = Self { name, address, child: command.spawn().unwrap(), folder };
            let serves = until(Duration::from_secs(10), || {
                let ended = proxy.child.try_wait().unwrap().is_some();
                if ended { Some(false) } else { TcpStream::connect(address).ok().map(|_| true) }
            });
            if serves == Some(true) {
                return proxy;
            }
            println!("{name} did not start: {}", proxy.said());
        }
        panic!("{name} does not start");
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("said.txt")).unwrap_or_default()
    }

    /// Its anonymous memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        host::kernel::process_memory(self.child.id()).unwrap().0
    }

    /// Its descriptors.
    pub(crate) fn descriptors(&self) -> u64 {
        host::kernel::process_descriptors(self.child.id()).unwrap()
    }

    /// Asserts that it is still running and has not panicked.
    pub(crate) fn assert_well(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none() && !self.said().contains("panicked"), "{}: {ended:?}: {}", self.name, self.said());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A killed nginx would leave its worker behind.
        let _ = host::process::signal(self.child.id(), host::process::Signal::TERM);
        if until(Duration::from_secs(8), || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
