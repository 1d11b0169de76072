//! One stream type over plain TCP and TLS, and the order in which the two are tried.

use super::{Fact, Settings, SslMode, silence::Watched, tls};
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls_pki_types::ServerName;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection to a server before the login.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How one attempt goes about encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Plain,
    /// TLS if the server offers it.
    Offered,
    Tls,
}

impl Attempt {
    /// What to try first.
    pub(crate) fn first(mode: SslMode) -> Attempt {
        match mode {
            SslMode::Disable | SslMode::Allow => Attempt::Plain,
            SslMode::Prefer => Attempt::Offered,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Attempt::Tls,
        }
    }

    /// What to try after this attempt failed so. `pg_hba.conf` can refuse a login for being
    /// encrypted or for not being so, which shows as 28000; a wrong password is 28P01.
    pub(crate) fn after(self, mode: SslMode, fact: &Fact) -> Option<Attempt> {
        let refused = matches!(fact, Fact::Server(error) if error.code == "28000");
        match (mode, self) {
            (SslMode::Allow, Attempt::Plain) if refused => Some(Attempt::Tls),
            (SslMode::Prefer, Attempt::Offered) if refused || matches!(fact, Fact::Tls(_)) => {
                Some(Attempt::Plain)
            }
            _ => None,
        }
    }
}

/// Of the facts of two attempts, the one that explains more: when the server has no TLS to fall
/// back to, its first refusal says what is wrong.
pub(crate) fn telling(first: Option<Fact>, last: Fact) -> Fact {
    match (first, &last) {
        (Some(first @ Fact::Server(_)), Fact::Settings(_) | Fact::Tls(_)) => first,
        (Some(first @ Fact::Tls(_)), Fact::Server(error)) if error.code == "28000" => first,
        _ => last,
    }
}

impl Socket {
    /// Opens a connection, encrypted as the attempt says.
    pub(crate) async fn dial(settings: &Settings, attempt: Attempt) -> Result<Socket, Fact> {
        // Read before the packets go out: a file that cannot be read is no network failure.
        let tls = match attempt {
            Attempt::Plain => None,
            Attempt::Offered | Attempt::Tls => Some(tls::client_config(&settings.ssl)?),
        };
        let host = settings.host.trim_start_matches('[').trim_end_matches(']');
        let mut tcp = TcpStream::connect((host, settings.port)).await?;
        tcp.set_nodelay(true)?;
        if settings.tcp_keepalive {
            keep_alive(&tcp)?;
        }
        let Some(config) = tls else {
            return Ok(Socket::Plain(tcp));
        };

        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await?;
        // Exactly one byte: whatever follows belongs to the handshake.
        match tcp.read_u8().await? {
            b'S' => {}
            b'N' if attempt == Attempt::Offered => return Ok(Socket::Plain(tcp)),
            b'N' => {
                return Err(Fact::Settings(
                    "the server does not offer TLS; switch ssl on there, or use another sslmode"
                        .into(),
                ));
            }
            byte => {
                return Err(Fact::Protocol(format!(
                    "the answer to the TLS request is '{}', not S or N; is this a PostgreSQL \
                     server?",
                    byte.escape_ascii()
                )));
            }
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Fact::Settings(format!("'{host}' is no host name TLS can check")))?;
        let stream =
            TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(Fact::Tls)?;
        Ok(Socket::Tls(Box::new(stream)))
    }

    /// What binds a login to this server's certificate; none in plain text.
    pub(crate) fn end_point(&self) -> Option<Vec<u8>> {
        match self {
            Socket::Plain(_) => None,
            Socket::Tls(stream) => {
                let (_, connection) = stream.get_ref();
                tls::server_end_point(connection.peer_certificates()?.first()?)
            }
        }
    }
}

/// The kernel's two hours would let a dead peer hold the slot's reader for as long.
fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let socket = socket2::SockRef::from(tcp);
    socket.set_tcp_keepalive(&keepalive)?;
    // While bytes of ours wait to be acknowledged no signs of life are sent; the kernel would send
    // those bytes again and again for a quarter of an hour.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(90)))?;
    Ok(())
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(context),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

impl tokio_postgres::tls::TlsStream for Watched {
    fn channel_binding(&self) -> tokio_postgres::tls::ChannelBinding {
        match self.end_point() {
            Some(hash) => tokio_postgres::tls::ChannelBinding::tls_server_end_point(hash),
            None => tokio_postgres::tls::ChannelBinding::none(),
        }
    }
}

/// Hands a socket that is ready already to `tokio_postgres`, which would encrypt it otherwise.
pub(crate) struct Ready;

impl tokio_postgres::tls::TlsConnect<Watched> for Ready {
    type Stream = Watched;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Watched>> + Send>>;

    fn connect(self, socket: Watched) -> Self::Future {
        Box::pin(std::future::ready(Ok(socket)))
    }
}
