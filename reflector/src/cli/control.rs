//! The control address of a remote reflector: lines of [`wire::control`] over TCP.
//!
//! Each client gets [`Event::Ready`] first. Lines, clients and the time without a whole line (10 min)
//! are bounded; a client that breaks a bound is cut off, the reflector goes on. There is no authentication: bind it to loopback
//! or to a network that only the tester reaches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore};
use wire::control::{Command, Event, LINE_MAX};

use crate::Reflector;

const CLIENTS_MAX: usize = 64;
/// A client that sends no whole line for so long is cut off: 64 forgotten ones would lock all others
/// out. The generator asks about once per second.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// A client that takes no answer for so long is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound control address.
pub(super) struct Control {
    listener: TcpListener,
    address: SocketAddr,
}

impl Control {
    /// # Errors
    /// The address and the kernel's reason.
    pub(super) fn bind(address: SocketAddr, runtime: &Runtime) -> anyhow::Result<Self> {
        let failed = || format!("cannot listen for control on {address}; choose another port or port 0");
        let listener = host::socket::listen(address, false).with_context(failed)?;
        let _context = runtime.enter();
        let listener = TcpListener::from_std(listener).with_context(failed)?;
        let address = listener.local_addr().with_context(failed)?;
        Ok(Self { listener, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves clients until one says stop; for ever without a control address.
pub(super) async fn run(control: Option<Control>, reflector: &Arc<Reflector>) {
    let Some(Control { listener, .. }) = control else { return std::future::pending().await };
    let stop = Arc::new(Notify::new());
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let accept = async {
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!("control client {peer} refused: {CLIENTS_MAX} are connected");
                continue;
            };
            let (reflector, stop) = (Arc::clone(reflector), Arc::clone(&stop));
            tokio::spawn(async move {
                if let Err(error) = attend(stream, &reflector, &stop, IDLE_TIMEOUT).await {
                    tracing::warn!("control client {peer} cut off: {error:#}");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop.notified() => {}
    }
}

async fn attend(mut stream: TcpStream, reflector: &Reflector, stop: &Notify, idle: Duration) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let ready = Event::Ready {
        addresses: reflector.addresses().to_vec(),
        admin: None,
        warnings: reflector.warnings().to_vec(),
    };
    send(&mut writer, &ready).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(LINE_MAX as u64 + 1);
        let read = tokio::time::timeout(idle, bounded.read_until(b'\n', &mut line));
        let read = read.await.with_context(|| format!("it sent no line for {idle:?}"))??;
        if read == 0 {
            return Ok(());
        }
        anyhow::ensure!(read <= LINE_MAX, "a line has more than {LINE_MAX} bytes");
        let command = match serde_json::from_slice(&line) {
            Ok(command) => command,
            Err(error) => {
                send(&mut writer, &Event::Failed { message: format!("not a command: {error}") }).await?;
                continue;
            }
        };
        match command {
            Command::Ledger { reset_peak } => {
                let ledger = Box::new(reflector.ledger(reset_peak));
                send(&mut writer, &Event::Ledger { ledger }).await?;
            }
            Command::Stop => {
                stop.notify_one();
                return Ok(());
            }
        }
    }
}

async fn send(writer: &mut (impl AsyncWriteExt + Unpin), event: &Event) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    tokio::time::timeout(WRITE_TIMEOUT, writer.write_all(&line)).await.context("it takes no answer")??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_client_that_sends_no_whole_line_is_cut_off() {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let reflector = crate::start(Config::new("r1", address)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let control = Control::bind(address, &runtime).unwrap();
        for said in ["", "{"] {
            let error = runtime.block_on(async {
                let mut client = TcpStream::connect(control.address()).await.unwrap();
                client.write_all(said.as_bytes()).await.unwrap();
                let (stream, _) = control.listener.accept().await.unwrap();
                attend(stream, &reflector, &Notify::new(), Duration::from_millis(50)).await.unwrap_err()
            });
            assert_eq!(error.to_string(), "it sent no line for 50ms", "{said:?}");
        }
    }
}
