//! Request bodies: read as a stream within bounds, and drained after a refusal.
//!
//! An incoming body is collected in the host's spool, so a thousand slow uploads take a thousand files and not a thousand
//! buffers. A body that pauses for longer than [`PAUSE_MAX`] or takes longer than [`TIME_MAX`] is refused with 400
//! `VALIDATION_ERROR` (the wire contract has no code for a 408), and the connection is closed.
//!
//! A client that is still sending when the connection closes may never see the answer. So the part that a handler did not read
//! is read and dropped before the answer is sent, up to [`DRAIN_BYTES_MAX`] per body. Beyond that the connection is closed.
//!
//! The `Content-Type` of JSON is not checked. Published clients send `application/json`; a client that omits it means JSON too,
//! since no JSON route accepts anything else.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serront_core::primitives::rejection::Invalid;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::json;
use crate::problem::Problem;
use crate::spool::{Room, Spool};

/// Most bytes of a JSON body without a key. The largest order, every character escaped, is under 32 KiB.
pub(crate) const PUBLIC_JSON_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a JSON body of a caller with a key. The largest service, every character escaped, is under 160 KiB.
pub(crate) const KEYED_JSON_BYTES_MAX: usize = 256 * 1024;
/// Most bytes read of one body, refused or not: enough for a receipt slightly over its bound.
const DRAIN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest pause of a body that is being read.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest time for a whole body: a receipt at its bound at 0.7 megabits a second.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Longest pause of a body that is being drained.
const DRAIN_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest time for draining: 8 MiB at about a megabit a second.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    Wholly,
    /// The rest did not arrive, or was not waited for.
    Partly,
}

struct Stream {
    body: Body,
    bytes_read: usize,
    ended: bool,
    /// It arrived too slowly; no more of it is read.
    given_up: bool,
    /// The memory reserved for the body while its handler runs.
    room: Option<Room>,
}

enum Stopped {
    /// The connection ended.
    Early,
    /// The client took too long.
    Slow,
}

impl Stream {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, axum::Error> {
        while !self.ended {
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes_read = self.bytes_read.saturating_add(data.len());
                        return Ok(Some(data));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The next bytes, if they arrive in time. `left` is the client's remaining time; only waiting for the client uses it up.
    async fn next_within(&mut self, left: &mut Duration) -> Result<Option<Bytes>, Stopped> {
        let asked = Instant::now();
        let next = tokio::time::timeout(PAUSE_MAX.min(*left), self.next()).await;
        *left = left.saturating_sub(asked.elapsed());
        match next {
            Ok(next) => next.map_err(|_| Stopped::Early),
            Err(_) => {
                self.given_up = true;
                Err(Stopped::Slow)
            }
        }
    }
}

/// A request's body, shared by the handler, which reads it, and the outermost layer, which drains it.
#[derive(Clone)]
pub(crate) struct Intake {
    stream: Arc<Mutex<Stream>>,
    spool: Arc<Spool>,
    announced: Option<usize>,
    /// The client sent `Expect: 100-continue` and waits. The first read makes the server answer that.
    asked: bool,
}

impl Intake {
    /// Takes the body out of a request.
    pub(crate) fn of(request: &mut Request, spool: &Arc<Spool>) -> Self {
        let body = std::mem::take(request.body_mut());
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let expected = headers.get(header::EXPECT).map(HeaderValue::as_bytes);
        let ended = body.is_end_stream();
        Self {
            announced: length.and_then(|length| length.parse().ok()),
            asked: expected.is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue")),
            stream: Arc::new(Mutex::new(Stream { body, bytes_read: 0, ended, given_up: false, room: None })),
            spool: Arc::clone(spool),
        }
    }

    /// Reads the body. Its memory stays reserved until the request is answered.
    ///
    /// # Errors
    /// 413 above `bytes_max`; 400 if it ends too early or arrives too slowly; 503 if other bodies take all the memory.
    pub(crate) async fn read(&self, bytes_max: usize) -> Result<Vec<u8>, Problem> {
        if self.announced.is_some_and(|announced| announced > bytes_max) {
            return Err(Problem::payload_too_large(bytes_max));
        }
        let mut stream = self.stream.lock().await;
        let mut left = TIME_MAX;
        let mut kept = self.spool.begin();
        loop {
            match stream.next_within(&mut left).await {
                Ok(None) => break,
                Ok(Some(data)) if kept.len().saturating_add(data.len()) > bytes_max => {
                    return Err(Problem::payload_too_large(bytes_max));
                }
                Ok(Some(data)) => kept.append(data).await?,
                Err(Stopped::Early) => return Err(Invalid::new("", "the body ended too early").into()),
                Err(Stopped::Slow) => return Err(Invalid::new("", "the body arrived too slowly").into()),
            }
        }
        let (bytes, room) = kept.take().await?;
        stream.room = room;
        Ok(bytes)
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// As [`Intake::read`]; 400 with the offending field.
    pub(crate) async fn json<T: DeserializeOwned>(&self, bytes_max: usize) -> Result<(T, Vec<u8>), Problem> {
        let bytes = self.read(bytes_max).await?;
        Ok((json::object(&bytes)?, bytes))
    }

    /// Reads a JSON object. An empty body counts as an empty object.
    ///
    /// # Errors
    /// As [`Intake::json`].
    pub(crate) async fn json_if_any<T: DeserializeOwned + Default>(
        &self,
        bytes_max: usize,
    ) -> Result<(T, Vec<u8>), Problem> {
        let bytes = self.read(bytes_max).await?;
        let input = if bytes.is_empty() { T::default() } else { json::object(&bytes)? };
        Ok((input, bytes))
    }

    /// Reads and drops the rest of the body.
    pub(crate) async fn drain(&self) -> Drained {
        let mut stream = self.stream.lock().await;
        // The handler has answered.
        stream.room = None;
        if stream.given_up || (self.asked && stream.bytes_read == 0 && !stream.ended) {
            return Drained::Partly;
        }
        let drained = tokio::time::timeout(DRAIN_TIME_MAX, async {
            while stream.bytes_read <= DRAIN_BYTES_MAX {
                match tokio::time::timeout(DRAIN_PAUSE_MAX, stream.next()).await {
                    Ok(Ok(Some(_))) => {}
                    Ok(Ok(None)) => return Drained::Wholly,
                    Ok(Err(_)) | Err(_) => return Drained::Partly,
                }
            }
            Drained::Partly
        });
        drained.await.unwrap_or(Drained::Partly)
    }
}

impl<S: Sync> FromRequestParts<S> for Intake {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("the outermost layer is missing"))
    }
}

#[cfg(test)]
mod tests {
    use serront_core::primitives::rejection::Code;

    use super::*;

    /// A body that arrives in these parts, each after a pause in seconds.
    fn intake(parts: Vec<(u64, &'static [u8])>) -> Intake {
        let body = futures_util::stream::unfold(parts.into_iter(), |mut parts| async move {
            let (seconds, bytes) = parts.next()?;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(bytes)), parts))
        });
        Intake::of(&mut Request::new(Body::from_stream(body)), &Arc::new(Spool::in_folder(std::env::temp_dir())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time_and_no_more() {
        let patient = intake(vec![(9, b"a"); 6]);
        assert_eq!(patient.read(6).await.unwrap(), b"aaaaaa");
        assert_eq!(patient.drain().await, Drained::Wholly);
        for slow in [vec![(9, &b"a"[..]), (11, b"b")], vec![(9, b"a"); 7]] {
            let began = Instant::now();
            let slow = intake(slow);
            let refused = slow.read(100).await.unwrap_err();
            assert_eq!(refused.code, Code::ValidationError);
            assert!(began.elapsed() <= TIME_MAX);
            let refused_at = Instant::now();
            assert_eq!(slow.drain().await, Drained::Partly);
            assert_eq!(refused_at.elapsed(), Duration::ZERO, "draining does not wait for it");
        }
    }
}
