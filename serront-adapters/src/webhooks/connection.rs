//! One request over a separate connection, to checked addresses.
//!
//! A library's HTTP client would read interim answers (1xx) without a limit, so that a receiver could keep it busy
//! forever. Here the bytes read from a connection are limited, from the first byte.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// Bytes read from one connection: the TLS handshake with its certificates, and the heads of all answers.
const READ_BYTES_MAX: u64 = 128 * 1024;
/// Addresses of a name that are tried. More would let one delivery probe many hosts.
const ADDRESSES_MAX: usize = 16;

/// A byte stream, plain or encrypted.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first of these addresses that accepts; each gets an equal part of the remaining time.
pub(super) async fn connect(addresses: &[IpAddr], port: u16, time: Duration) -> io::Result<Box<dyn Stream>> {
    let begun = Instant::now();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let tried = addresses.len().min(ADDRESSES_MAX);
    for (address, left) in addresses.iter().zip((1..=tried).rev()) {
        let part = time.saturating_sub(begun.elapsed()) / u32::try_from(left).unwrap_or(1);
        let address = SocketAddr::new(*address, port);
        match timeout(part, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(bounded(stream)),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// Limits the bytes that can be read.
fn bounded(stream: TcpStream) -> Box<dyn Stream> {
    // A failure here only makes the delivery slower.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    Box::new(join(read.take(READ_BYTES_MAX), write))
}

/// The same with TLS, to a server with a valid certificate for this name.
pub(super) async fn encrypt(
    stream: Box<dyn Stream>,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}

/// Sends a request and returns the answer's status. The body is not read.
pub(super) async fn exchange(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> hyper::Result<u16> {
    let (mut sender, connection) =
        http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await?;
    let answer = pin!(sender.send_request(request));
    let answer = match select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The connection has ended, and its error is available.
        Either::Right((_, answer)) => answer.await,
    };
    Ok(answer?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::process::Command;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{RootCertStore, ServerConfig};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server for `receiver.test`, and a client that trusts its certificate.
    fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let folder = tempfile::tempdir().unwrap();
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=receiver.test \
                         -addext subjectAltName=DNS:receiver.test -addext basicConstraints=critical,CA:FALSE \
                         -keyout key.pem -out certificate.pem";
        let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder.path()).output();
        assert!(made.unwrap().status.success());
        let certificate = CertificateDer::from_pem_file(folder.path().join("certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
    }

    #[tokio::test]
    async fn an_encrypted_answer_comes_from_whoever_proves_to_have_the_name() {
        let (server, client) = configs();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = TlsAcceptor::from(Arc::clone(&server)).accept(stream).await else { continue };
                let mut request = [0; 1024];
                while !request.starts_with(b"POST /hook HTTP/1.1\r\n") {
                    assert_ne!(stream.read(&mut request).await.unwrap(), 0);
                }
                stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        for (name, expected) in [("receiver.test", Some(202)), ("receiver.test.", Some(202)), ("other.test", None)] {
            let time = Duration::from_secs(5);
            let stream = connect(&[Ipv4Addr::LOCALHOST.into()], port, time).await.unwrap();
            let name = ServerName::try_from(name).unwrap();
            let answer = match encrypt(stream, name, Arc::clone(&client)).await {
                Ok(stream) => {
                    let request = Request::post("/hook").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
                    Some(exchange(stream, request).await.unwrap())
                }
                Err(error) => {
                    assert!(error.get_ref().unwrap().is::<rustls::Error>(), "{error}");
                    None
                }
            };
            assert_eq!(answer, expected);
        }
        serving.abort();
    }

    #[tokio::test]
    async fn the_next_address_is_tried_where_one_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let refusing = Ipv4Addr::new(127, 0, 0, 2).into();
        let time = Duration::from_secs(5);
        assert!(connect(&[refusing, Ipv4Addr::LOCALHOST.into()], port, time).await.is_ok());
        let refused = connect(&[refusing], port, time).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
