//! Two sides that play the steps of a row on real sockets, and remember what they saw and when.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process::PATIENCE;
use crate::row::{End, GAP, MUCH, Side, Step};

/// What both sides of a row share.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    state: Mutex<State>,
    changed: Condvar,
    over: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// How often each side has told the other to go on.
    told: [usize; 2],
    pub(crate) client_end: Option<(End, Instant)>,
    /// By connection of the server.
    pub(crate) server_ends: Vec<Option<(End, Instant)>>,
    /// The server connections that carried a good request.
    pub(crate) good_on: Vec<usize>,
}

impl Stage {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes the state and wakes who waits for it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until the state is so.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&State) -> bool) {
        let waited = self.changed.wait_timeout_while(self.state(), PATIENCE, |state| !holds(state)).unwrap();
        assert!(!waited.1.timed_out() || self.is_over(), "{what}: not within {PATIENCE:?}");
    }

    /// Ends all that the server still does.
    pub(crate) fn end(&self) {
        self.over.store(true, SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }
}

/// One side on one connection.
pub(crate) struct Actor {
    stage: Arc<Stage>,
    side: Side,
    stream: Option<TcpStream>,
    pub(crate) heard: Vec<u8>,
    pub(crate) end: Option<(End, Instant)>,
    awaited: usize,
    /// A thread that writes to a copy of the stream.
    aside: Option<JoinHandle<std::io::Result<()>>>,
}

impl Actor {
    pub(crate) fn new(stage: &Arc<Stage>, side: Side, stream: TcpStream) -> Self {
        // Short, so that a wait for bytes sees the end of the row.
        stream.set_read_timeout(Some(GAP)).unwrap();
        let stage = Arc::clone(stage);
        Self { stage, side, stream: Some(stream), heard: Vec::new(), end: None, awaited: 0, aside: None }
    }

    pub(crate) fn play(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(*step);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Say(text) => self.say(text),
            Step::SayMuch => self.write_aside(|stream| stream.write_all(&vec![b'x'; MUCH])),
            Step::Trickle(text) => self.write_aside(move |stream| {
                text.bytes().try_for_each(|byte| {
                    std::thread::park_timeout(GAP);
                    stream.write_all(&[byte])
                })
            }),
            Step::Hear(text) => self.hear(text.as_bytes()),
            Step::HearSlowly => self.hear_slowly(),
            Step::HearEnd => while self.read(1 << 16) {},
            Step::Peek => {
                let start = Instant::now();
                while start.elapsed() < PATIENCE && !self.stream().peek(&mut [0]).is_ok_and(|count| count > 0) {}
            }
            Step::Tell => self.stage.change(|state| state.told[self.side as usize] += 1),
            Step::Await => {
                self.awaited += 1;
                let (other, awaited) = (1 - self.side as usize, self.awaited);
                self.stage.wait("the other side's word", |state| state.told[other] >= awaited);
            }
            Step::AwaitEnd => match self.side {
                Side::Client => self.stage.wait("the end of the server's connection", |state| {
                    state.server_ends.first().is_some_and(Option::is_some)
                }),
                Side::Server => self.stage.wait("the client's end", |state| state.client_end.is_some()),
            },
            Step::HalfClose => drop(self.stream().shutdown(Shutdown::Write)),
            Step::Close => self.close(),
            Step::Reset => {
                host::socket::reset_on_close(self.stream()).unwrap();
                self.close();
            }
        }
    }

    fn stream(&self) -> &TcpStream {
        self.stream.as_ref().expect("no step follows the close")
    }

    /// Sends. A write that fails tells of a reset, also after a FIN, where a read does not.
    pub(crate) fn say(&mut self, text: &str) {
        if self.stream().write_all(text.as_bytes()).is_err() {
            self.end = Some((End::Reset, Instant::now()));
        }
    }

    /// Writes on a thread of its own, which ends with the connection.
    fn write_aside(&mut self, write: impl FnOnce(&mut TcpStream) -> std::io::Result<()> + Send + 'static) {
        let mut stream = self.stream().try_clone().unwrap();
        self.aside = Some(std::thread::spawn(move || write(&mut stream)));
    }

    fn hear(&mut self, text: &[u8]) {
        loop {
            if let Some(at) = find(&self.heard, text) {
                self.heard.drain(..at + text.len());
                return;
            }
            if !self.read(1 << 16) {
                return;
            }
        }
    }

    /// The second half comes fast: at the end all the rest is in socket buffers, and nothing would move
    /// between the load balancer and this side while it is read.
    fn hear_slowly(&mut self) {
        // With a large buffer the window, and so the other side, would move in few large steps.
        socket2::SockRef::from(self.stream()).set_recv_buffer_size(1 << 16).unwrap();
        while self.heard.len() < MUCH {
            let is_slow = self.heard.len() < MUCH / 2;
            let pause = if is_slow { self.heard.len() + MUCH / 32 } else { MUCH };
            while self.heard.len() < pause {
                if !self.read(pause - self.heard.len()) {
                    return;
                }
            }
            std::thread::park_timeout(GAP);
        }
    }

    /// Reads at most so many bytes; false at the end of the connection or of the row.
    pub(crate) fn read(&mut self, most: usize) -> bool {
        let start = Instant::now();
        let mut bytes = vec![0; most];
        while start.elapsed() < PATIENCE && !self.stage.is_over() {
            match self.stream().read(&mut bytes) {
                Ok(0) => self.end = self.end.or_else(|| Some((self.fin_or_reset(), Instant::now()))),
                Ok(count) => {
                    self.heard.extend_from_slice(&bytes[..count]);
                    return true;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => self.end = self.end.or_else(|| Some((End::Reset, Instant::now()))),
            }
            return false;
        }
        false
    }

    /// What the end of the stream is: the kernel tells of a reset only once, perhaps to the thread that
    /// writes. A FIN does not make a write fail.
    fn fin_or_reset(&mut self) -> End {
        let start = Instant::now();
        while self.aside.as_ref().is_some_and(|thread| !thread.is_finished())
            && start.elapsed() < Duration::from_secs(1)
        {
            std::thread::park_timeout(LOOK);
        }
        let failed = self.aside.take_if(|thread| thread.is_finished()).is_some_and(|it| it.join().unwrap().is_err());
        if failed { End::Reset } else { End::Fin }
    }

    /// Closes without reading.
    pub(crate) fn close(&mut self) {
        let is_shared = self.aside.take().is_some_and(|thread| !thread.is_finished());
        assert!(!is_shared, "a copy of the stream would keep it open");
        self.stream = None;
        self.end = self.end.or_else(|| Some((End::Gone, Instant::now())));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stream.is_none()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take().filter(|_| self.aside.is_some()) {
            // Ends the thread that has a copy.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// How long a thread rests between two looks at something that cannot wake it.
pub(crate) const LOOK: Duration = Duration::from_millis(2);
