//! The Prometheus endpoint: `GET /metrics` during a run, on a thread of its own.
//!
//! Bounded: at most [`CONNECTIONS_MAX`] connections, each for one request and at most
//! [`CONNECTION_TIME`]; more are closed at once. A scrape makes its text from a snapshot, so that the run
//! never waits for one.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::State;
use super::sink::pin;
use crate::report::ReportError;

/// Most connections at a time.
const CONNECTIONS_MAX: u32 = 8;
/// From the accept to the last byte of the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(5);
/// How long accepting pauses after an error such as a lack of descriptors.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What the endpoint shows: replaced as a whole, once per second.
pub(super) type Shown = Arc<Mutex<Arc<State>>>;

/// The endpoint; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds and serves; its thread keeps to `cores`.
    ///
    /// # Errors
    /// [`ReportError::Endpoint`] naming the address.
    pub(super) fn start(address: SocketAddr, shown: Shown, cores: &[usize]) -> Result<Self, ReportError> {
        let refuse = |source: io::Error| ReportError::Endpoint { address, source };
        let listener = TcpListener::bind(address).map_err(refuse)?;
        listener.set_nonblocking(true).map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refuse)?;
        let (stop, stopped) = oneshot::channel();
        let cores = cores.to_vec();
        let work = move || {
            pin(&cores);
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(&listener, &shown) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("prometheus".to_owned()).spawn(work).map_err(refuse)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the sender wakes the thread as well; it has nothing to finish.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: &tokio::net::TcpListener, shown: &Shown) {
    let open = Rc::new(Cell::new(0_u32));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ERROR_PAUSE).await;
            continue;
        };
        if open.get() >= CONNECTIONS_MAX {
            continue;
        }
        open.set(open.get() + 1);
        let (open, shown) = (Rc::clone(&open), Arc::clone(shown));
        tokio::task::spawn_local(async move {
            serve_connection(stream, shown).await;
            open.set(open.get() - 1);
        });
    }
}

async fn serve_connection(stream: TcpStream, shown: Shown) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &shown);
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        // The time for the whole connection bounds the head as well.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    if !matches!(tokio::time::timeout(CONNECTION_TIME, serving).await, Ok(Ok(()))) {
        tracing::debug!("a scrape did not come to its end");
    }
}

fn answer(method: &Method, path: &str, shown: &Shown) -> Response<Full<Bytes>> {
    let (status, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let state = Arc::clone(&shown.lock().unwrap_or_else(PoisonError::into_inner));
            (StatusCode::OK, state.text())
        }
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "expected /metrics\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: a scrape changes nothing\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
