//! The real servers of a row: one that fails as the row says and is good afterwards, and perhaps
//! another that is good all the time.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::play::{Actor, LOOK, Stage};
use crate::process::bounded;
use crate::row::{Mode, Row, Server, Side, Step};

/// A request that any server answers well, by mode.
pub(crate) const GOOD: [&str; 2] = ["GET /good HTTP/1.1\r\nHost: h\r\n\r\n", "good?"];
/// The answer to it. In HTTP it ends its connection, so that none is kept after a row.
pub(crate) const GOOD_ANSWER: [&str; 2] =
    ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood", "good!"];

/// The servers of a row.
pub(crate) struct Servers {
    pub(crate) addresses: Vec<SocketAddr>,
    /// The socket of a server that does not take connections yet.
    ill: Option<Socket>,
    /// Connections that fill an accept queue.
    fillers: Vec<Socket>,
    mode: Mode,
    stage: Arc<Stage>,
}

impl Servers {
    pub(crate) fn start(row: &'static Row, stage: &Arc<Stage>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let stage = Arc::clone(stage);
        let mut servers = Self { addresses: vec![address], ill: None, fillers: Vec::new(), mode: row.mode, stage };
        match row.server {
            Server::Plays(scripts) => servers.serve(socket, scripts),
            Server::Refuses => servers.ill = Some(socket),
            Server::Ignores => {
                socket.listen(0).unwrap();
                servers.fillers = fill(address);
                servers.ill = Some(socket);
            }
        }
        if row.second_server {
            let good = TcpListener::bind("127.0.0.1:0").unwrap();
            servers.addresses.push(good.local_addr().unwrap());
            servers.serve(good.into(), &[]);
        }
        servers
    }

    /// Makes the first server a good one, if it is none.
    pub(crate) fn heal(&mut self) {
        self.fillers.clear();
        if let Some(socket) = self.ill.take() {
            self.serve(socket, &[]);
        }
    }

    fn serve(&self, socket: Socket, scripts: &'static [&'static [Step]]) {
        socket.listen(64).unwrap();
        socket.set_nonblocking(true).unwrap();
        let listener = TcpListener::from(socket);
        let (mode, stage) = (self.mode, Arc::clone(&self.stage));
        std::thread::spawn(move || {
            let mut scripts = scripts.iter();
            while !stage.is_over() {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::park_timeout(LOOK);
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let script = scripts.next().copied().unwrap_or_default();
                let number = stage.state().server_ends.len();
                stage.change(|state| state.server_ends.push(None));
                let stage = Arc::clone(&stage);
                std::thread::spawn(move || serve(&stage, mode, number, script, bounded(stream)));
            }
        });
    }
}

/// Plays a script, then is a good server until the connection ends.
fn serve(stage: &Arc<Stage>, mode: Mode, number: usize, script: &[Step], stream: TcpStream) {
    let mut actor = Actor::new(stage, Side::Server, stream);
    actor.play(script);
    while !actor.is_closed() && actor.read(1 << 16) {
        if is_good_request(mode, &actor.heard) {
            stage.change(|state| state.good_on.push(number));
            actor.say(GOOD_ANSWER[mode as usize]);
            actor.close();
        }
    }
    if !stage.is_over() {
        stage.change(|state| state.server_ends[number] = actor.end);
    }
}

fn is_good_request(mode: Mode, heard: &[u8]) -> bool {
    match mode {
        // With fields that the load balancer has added.
        Mode::Http => crate::play::find(heard, b"GET /good ").is_some() && heard.ends_with(b"\r\n\r\n"),
        Mode::Tcp => heard.ends_with(GOOD[Mode::Tcp as usize].as_bytes()),
    }
}

/// Connects until a listener answers no more.
fn fill(address: SocketAddr) -> Vec<Socket> {
    let mut fillers = Vec::new();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let connected = socket.connect_timeout(&address.into(), Duration::from_millis(200));
        if connected.is_err() {
            return fillers;
        }
        fillers.push(socket);
        assert!(fillers.len() < 16, "an accept queue of length 0 has an end");
    }
}
