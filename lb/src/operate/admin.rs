//! The admin HTTP server, on loopback only: `/metrics`, `/servers`, `/health`. It reads, it changes nothing.
//!
//! It runs on the control thread beside the health checks, never on a worker. Bounded: at most
//! [`CONNECTIONS_MAX`] connections, each for one request and at most [`CONNECTION_TIME`].

mod metrics;
mod pages;

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::worker::{Phase, Shared};

/// Most admin connections at a time; more are closed at once.
const CONNECTIONS_MAX: u32 = 64;
/// From the accept to the last byte of the answer. Without it, readers that do not read could keep
/// everybody else from the admin server for ever.
const CONNECTION_TIME: Duration = Duration::from_secs(5);
/// How long accepting pauses after an error such as a lack of descriptors.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the task is dropped; needs a local runtime.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, phase: watch::Receiver<Phase>) {
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
        let (open, shared, phase) = (Rc::clone(&open), Arc::clone(&shared), phase.clone());
        tokio::task::spawn_local(async move {
            serve_connection(stream, shared, phase).await;
            open.set(open.get() - 1);
        });
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>, phase: watch::Receiver<Phase>) {
    let service = service_fn(|request: Request<Incoming>| {
        let phase = *phase.borrow();
        let response = answer(request.method(), request.uri().path(), &shared, phase);
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        // The time for the whole connection bounds the head as well.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIME, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}

fn answer(method: &Method, path: &str, shared: &Shared, phase: Phase) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: the admin server changes nothing\n".into());
    }
    match path {
        "/metrics" => typed(StatusCode::OK, "text/plain; version=0.0.4", metrics::render(shared)),
        "/servers" => typed(StatusCode::OK, "application/json", pages::servers(shared, phase)),
        "/health" => match pages::health(shared, phase) {
            Ok(message) => text(StatusCode::OK, message),
            Err(message) => text(StatusCode::SERVICE_UNAVAILABLE, message),
        },
        _ => text(StatusCode::NOT_FOUND, "expected /metrics, /servers or /health\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
