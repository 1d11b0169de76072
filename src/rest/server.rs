//! Binds the listeners and serves them.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};

use super::Stop;
use crate::herder::worker_config::{Listener, WorkerConfig};

/// Listeners that are bound and not served yet.
pub struct Bound {
    listeners: Vec<TcpListener>,
    /// `host:port` under which others reach this worker.
    pub worker_id: String,
}

/// Binds all listeners. The error names the one that failed.
pub async fn bind(worker: &WorkerConfig) -> Result<Bound, String> {
    let mut listeners = Vec::new();
    for listener in &worker.listeners {
        listeners.push(bind_one(listener).await.map_err(|error| {
            let host = listener.host.as_deref().unwrap_or("*");
            format!(
                "failed to listen on {host}:{} (listeners): {error}; choose another address, or \
                 end what uses it",
                listener.port
            )
        })?);
    }
    let bound = listeners.first().and_then(|listener| listener.local_addr().ok());
    let port = worker.advertised_port.or(bound.map(|address| address.port())).unwrap_or_default();
    let listener = worker.listeners.first().and_then(|listener| listener.host.clone());
    let host = worker.advertised_host.clone().or(listener).unwrap_or_else(own_address);
    Ok(Bound { listeners, worker_id: format!("{host}:{port}") })
}

async fn bind_one(listener: &Listener) -> std::io::Result<TcpListener> {
    match &listener.host {
        Some(host) => TcpListener::bind((host.as_str(), listener.port)).await,
        // All interfaces: both families where there are both.
        None => match TcpListener::bind(("::", listener.port)).await {
            Ok(bound) => Ok(bound),
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, listener.port)).await,
        },
    }
}

/// The address of this machine by its own name, as the JVM finds it.
fn own_address() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let addresses = (name.trim(), 0).to_socket_addrs().ok();
    let addresses: Vec<IpAddr> =
        addresses.into_iter().flatten().map(|address| address.ip()).collect();
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    first.map_or_else(|| Ipv4Addr::LOCALHOST.to_string(), ToString::to_string)
}

impl Bound {
    /// The addresses that were bound, as URLs.
    pub fn urls(&self) -> Vec<String> {
        let addresses = self.listeners.iter().filter_map(|listener| listener.local_addr().ok());
        addresses.map(|address| format!("http://{address}")).collect()
    }

    /// Serves until `stop`; requests under way are answered first.
    pub async fn serve(self, router: Router, stop: Stop) {
        let mut servers = JoinSet::new();
        for listener in self.listeners {
            let router = router.clone();
            let stop = stop.clone();
            servers.spawn(async move {
                let stopped = async move { stop.cancelled().await };
                axum::serve(listener, router).with_graceful_shutdown(stopped).await
            });
        }
        while let Some(ended) = servers.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("a REST listener failed: {error}"),
                Err(error) => tracing::error!("a REST listener failed: {error}"),
            }
        }
    }
}
