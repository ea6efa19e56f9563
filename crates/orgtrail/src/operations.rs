//! `/healthz`, `/readyz` and `/metrics`, for whoever operates a node.
//!
//! A listener of its own, on loopback unless configured otherwise: it shows
//! nothing of events, but it is not for everybody either.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aggregator::Health;
use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The operations listener, bound.
pub(crate) struct Operations {
    listener: TcpListener,
    router: Router,
}

#[derive(Clone)]
struct Shown {
    health: Health,
    registry: Arc<Mutex<Registry>>,
}

impl Operations {
    pub(crate) async fn bind(
        listen: &str,
        health: Health,
        registry: Arc<Mutex<Registry>>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listen on {listen} (operations.listen)"))?;
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Shown { health, registry });
        Ok(Self { listener, router })
    }

    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("read the operations listener's address")
    }

    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
            .context("serve operations")
    }
}

async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.health.ready() {
        Ok(head) => (StatusCode::OK, format!("ready, journal record {head}\n")),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    let mut text = String::new();
    let registry = shown.registry.lock().unwrap_or_else(PoisonError::into_inner);
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPENMETRICS)], text),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            "metrics could not be encoded\n".to_owned(),
        ),
    }
}
