//! The registry's REST API over HTTP. Nothing else in this crate imports it.
//!
//! ```text
//! connection ─▶ axum ─▶ Request ─▶ router (plain functions, on a thread that may block) ─▶ EmbeddedRegistry
//!            ◀─ status + JSON  ◀─ Response
//! ```

mod api;
mod request;
mod router;
mod serialized;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Response as HttpResponse, header},
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

use super::{EmbeddedRegistry, RegistryError};
use request::Request;

/// What answers are written as, unless the client asks for plain JSON.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Where a server listens and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryServerConfig {
    /// Where it listens. Default `127.0.0.1:8081`; with port 0 the system chooses one.
    pub address: SocketAddr,
    /// Largest request body in bytes. Default 4 MiB.
    pub body_bytes_max: usize,
}

impl Default for RegistryServerConfig {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 8081)), body_bytes_max: 4 << 20 }
    }
}

/// A running server of the REST API. It ends when this is dropped.
#[derive(Debug)]
pub struct RegistryServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

#[derive(Clone)]
struct Shared {
    registry: Arc<EmbeddedRegistry>,
    body_bytes_max: usize,
}

impl RegistryServer {
    /// Starts to listen. Fails if the address cannot be had.
    pub fn start(registry: Arc<EmbeddedRegistry>, config: &RegistryServerConfig) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(16)
            .thread_name("registry-server")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(config.address))?;
        let address = listener.local_addr()?;
        let shared = Shared { registry, body_bytes_max: config.body_bytes_max };
        let app = Router::new().fallback(answer).with_state(shared);
        let (stop, stopped) = oneshot::channel();
        let serving = axum::serve(listener, app).with_graceful_shutdown(async {
            // A sender that is dropped means the same.
            let _ = stopped.await;
        });
        runtime.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(error = &error as &dyn std::error::Error, "the registry's server ended");
            }
        });
        Ok(Self { address, stop: Some(stop), runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The status and the JSON that a request is answered with, for programs that have a listener of their own. `target`
    /// is a path with its parameters.
    pub fn answer(
        registry: &EmbeddedRegistry,
        method: &str,
        target: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request::new(method, path, query, content_type, body);
        match request.and_then(|request| router::respond(registry, &request)) {
            Ok(text) => (200, text),
            Err(error) => refusal(&error),
        }
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            // Requests that are being answered get the time to end; idle connections are not waited for.
            runtime.shutdown_timeout(Duration::from_millis(200));
        }
    }
}

async fn answer(State(shared): State<Shared>, request: axum::extract::Request) -> HttpResponse<Body> {
    let (parts, body) = request.into_parts();
    let plain = accepts_plain_json(parts.headers.get(header::ACCEPT));
    let (status, text) = match to_bytes(body, shared.body_bytes_max).await {
        Ok(body) => {
            let content_type = parts.headers.get(header::CONTENT_TYPE);
            let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
            let work = move || {
                let method = parts.method.as_str();
                RegistryServer::answer(&shared.registry, method, &target, content_type.as_deref(), &body)
            };
            // The core waits for the disk. What panics in it must not take the connection along without an answer.
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
                let message = "Error in the backend data store: the request was not finished";
                refusal(&RegistryError::new(50001, message))
            })
        }
        Err(_) => {
            let message = format!("the body has more than {} bytes or did not arrive", shared.body_bytes_max);
            refusal(&RegistryError::new(413, message))
        }
    };
    let media_type = if plain { "application/json" } else { MEDIA_TYPE };
    HttpResponse::builder()
        .status(status)
        .header(header::CONTENT_TYPE, media_type)
        .body(Body::from(text))
        .expect("a status and a constant header are valid")
}

/// Status and body of a refusal: 40401 is a 404.
fn refusal(error: &RegistryError) -> (u16, String) {
    let status = if error.code >= 1000 { error.code / 100 } else { error.code };
    let status = u16::try_from(status).ok().filter(|status| (400..600).contains(status));
    (status.unwrap_or(500), api::error_body(error))
}

fn accepts_plain_json(accept: Option<&header::HeaderValue>) -> bool {
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("schemaregistry")
}
