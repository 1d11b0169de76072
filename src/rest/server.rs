//! Binds the listeners and serves them, with limits on what a client may cost: how many connections
//! there are, how long one may idle or send its request, and how long its lines may be.

use std::{
    net::{IpAddr, Ipv4Addr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Server, Stop,
    config::{Admin, Listener, RestConfig},
    routes::Part,
};

/// Each costs a task and its buffers, some 20 KiB; a JVM worker has 200 threads.
const CONNECTIONS_MAX: usize = 1_024;

/// How long a connection may be silent, as in the JVM; also how long a request's head may take, and
/// how long a client may leave unread what it was sent.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// For the handshake, which clients do at once.
const HANDSHAKE_MAX: Duration = Duration::from_secs(15);

/// Above what [`super`] answers to with a clear text; here the connection is closed.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 200;

/// What a client is told for whom there is no room.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
    Connection: close\r\nContent-Length: 82\r\n\r\n\
    {\"error_code\":503,\"message\":\"This worker has as many connections as it can serve\"}";

/// Listeners that are bound and not served yet.
pub struct Bound {
    listeners: Vec<(TcpListener, Listener, Part)>,
    /// `host:port` under which others reach this worker.
    pub worker_id: String,
    /// The address of this worker's API for others, with a slash at its end.
    pub url: String,
}

/// Binds all listeners. The error names the one that failed.
pub async fn bind(rest: &RestConfig) -> Result<Bound, String> {
    let (admin, apart): (bool, &[Listener]) = match &rest.admin {
        Admin::WithMain => (true, &[]),
        Admin::Nowhere => (false, &[]),
        Admin::On(listeners) => (false, listeners),
    };
    let main = rest.listeners.iter().map(|listener| (listener, "listeners", Part::Main { admin }));
    let apart = apart.iter().map(|listener| (listener, "admin.listeners", Part::Admin));
    let mut listeners = Vec::new();
    for (listener, key, part) in main.chain(apart) {
        let bound = bind_one(listener).await.map_err(|error| {
            let host = listener.host.as_deref().unwrap_or("*");
            format!(
                "failed to listen on {host}:{} ({key}): {error}; choose another address, or end \
                 what uses it",
                listener.port
            )
        })?;
        listeners.push((bound, listener.clone(), part));
    }
    let ports: Vec<(&Listener, u16)> = listeners
        .iter()
        .filter(|(_, _, part)| *part != Part::Admin)
        .map(|(bound, listener, _)| {
            (listener, bound.local_addr().map_or(listener.port, |address| address.port()))
        })
        .collect();
    let worker_id = rest.advertised.worker_id(&ports, own_address);
    let url = format!("{}://{worker_id}/", rest.advertised.scheme);
    Ok(Bound { listeners, worker_id, url })
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
        let url = |(bound, listener, part): &(TcpListener, Listener, Part)| {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            let path = if *part == Part::Admin { "/admin" } else { "" };
            Some(format!("{scheme}://{}{path}", bound.local_addr().ok()?))
        };
        self.listeners.iter().filter_map(url).collect()
    }

    /// Serves until `stop`; requests under way are answered first.
    pub async fn serve(self, server: Server, stop: Stop) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut listeners = JoinSet::new();
        for (bound, listener, part) in self.listeners {
            let (server, stop, room) = (server.clone(), stop.clone(), room.clone());
            listeners.spawn(listen(bound, listener, part, server, stop, room));
        }
        while let Some(ended) = listeners.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a REST listener failed: {error}");
            }
        }
    }
}

async fn listen(
    bound: TcpListener,
    listener: Listener,
    part: Part,
    server: Server,
    stop: Stop,
    room: Arc<Semaphore>,
) {
    let tls = listener.tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = bound.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No files left, as a rule: some are closed while this waits.
                tracing::warn!("a REST connection was not accepted: {error}");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(200)) => continue,
                    () = stop.cancelled() => break,
                }
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            turn_away(stream, tls.is_some());
            continue;
        };
        prepare(&stream);
        let (server, stop, tls) = (server.clone(), stop.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => connection(stream, "http", part, server, stop, permit).await,
                Some(tls) => match timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        connection(stream, "https", part, server, stop, permit).await;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!("a client of the https listener failed: {error}");
                    }
                    Err(_) => tracing::debug!("a client of the https listener fell silent"),
                },
            }
        });
    }
    drop(bound);
    while connections.join_next().await.is_some() {}
}

fn prepare(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // Both only save time: a connection without them works.
    let set = socket.set_tcp_nodelay(true).and_then(|()| {
        // Ends a connection whose client does not take what it is sent.
        socket.set_tcp_user_timeout(Some(IDLE_MAX))
    });
    if let Err(error) = set {
        tracing::debug!("options of a REST connection were not set: {error}");
    }
}

/// Says that there is no room, if that can be said at once.
fn turn_away(stream: TcpStream, secured: bool) {
    tracing::warn!("more than {CONNECTIONS_MAX} REST connections: one is turned away");
    if !secured && let Err(error) = stream.try_write(BUSY) {
        tracing::debug!("a client was turned away without a word: {error}");
    }
}

async fn connection<S>(
    stream: S,
    scheme: &'static str,
    part: Part,
    server: Server,
    stop: Stop,
    permit: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let server = server.clone();
        async move {
            Ok::<_, std::convert::Infallible>(Box::pin(server.handle(part, scheme, request)).await)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .title_case_headers(true)
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a REST connection ended: {error}");
    }
    drop(permit);
}
