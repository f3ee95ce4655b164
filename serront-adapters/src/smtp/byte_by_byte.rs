//! A connection without read-ahead.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Returns one byte per read.
///
/// The mail library reads ahead into a buffer, and keeps the buffer when STARTTLS switches to TLS. An attacker on the
/// network could send plain-text answers after the server's "go ahead", and the library would take them for answers
/// inside TLS: a mail would count as sent although no server accepted it. With single bytes the library has only the
/// line that it asked for, and injected bytes break the handshake. A conversation is a few kilobytes, so the small
/// reads do not matter.
pub(super) struct ByteByByte(TcpStream);

impl ByteByByte {
    pub(super) const fn over(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl fmt::Debug for ByteByByte {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ByteByByte(…)")
    }
}

impl AsyncTokioStream for ByteByByte {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl AsyncRead for ByteByByte {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        if buffer.remaining() > 0 {
            ready!(Pin::new(&mut self.0).poll_read(context, &mut read))?;
            buffer.put_slice(read.filled());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteByByte {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
