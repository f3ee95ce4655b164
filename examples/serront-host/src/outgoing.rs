//! Bounds the memory of answers until their clients have received them.
//!
//! An answer stays in memory as long as a slow client takes to receive it. So all long answers share [`ROOM_BYTES`]. One reader
//! may hold a share of them, and all readers without a key together half of them, so that none locks out the others. The memory
//! is released when the last byte was sent or dropped.
//!
//! A receipt reserves its memory before it is read from its store, and so does a page of an export; both wait for free memory.
//! All other answers are quick to make and are measured afterwards: if there is no room, the answer is dropped and `BUSY` is
//! sent instead. A command's answer is sent even then, because the command has been committed; it is one short object. A refused
//! form's page has changed nothing and is dropped like the others.
//!
//! Not here: how slowly a client may receive an answer (see `serve`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use serront_core::primitives::ids::AccountId;
use tokio::sync::Notify;

use crate::problem::Problem;

/// Answers up to this length are not counted: a connection's own buffers are as large.
pub(crate) const UNCOUNTED_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of all counted answers: nine receipts at their bound, or hundreds of usual ones.
const ROOM_BYTES: usize = 48 * 1024 * 1024;
/// Most bytes of all readers without a key.
const PUBLIC_BYTES: usize = ROOM_BYTES / 2;
/// Most bytes of one reader: three receipts at their bound.
const SHARE_BYTES: usize = ROOM_BYTES / 3;
/// Longest wait for free memory. Most clients receive their answers within a second.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    /// A caller with a key of this account.
    Account(AccountId),
    /// A caller without a key, at this address.
    Address(IpAddr),
    /// A caller without a key, whose address the outer app does not provide.
    Unknown,
}

impl Reader {
    pub(crate) fn of(account: Option<AccountId>, address: Option<IpAddr>) -> Self {
        account.map(Self::Account).or_else(|| address.map(Self::Address)).unwrap_or(Self::Unknown)
    }

    const fn is_public(self) -> bool {
        !matches!(self, Self::Account(_))
    }

    /// With one share for all unknown readers, any of them could lock out the others.
    const fn share(self) -> usize {
        if matches!(self, Self::Unknown) { PUBLIC_BYTES } else { SHARE_BYTES }
    }
}

#[derive(Default)]
pub(crate) struct Outgoing {
    holds: Mutex<Holds>,
    given_back: Notify,
}

/// Bytes held by all readers, by readers without a key, and by each reader that holds any.
#[derive(Default)]
struct Holds {
    all: usize,
    public: usize,
    each: HashMap<Reader, usize>,
}

impl Holds {
    fn add(&mut self, reader: Reader, bytes: usize) -> bool {
        let all = self.all.saturating_add(bytes);
        let public = self.public.saturating_add(if reader.is_public() { bytes } else { 0 });
        let own = self.each.get(&reader).copied().unwrap_or_default().saturating_add(bytes);
        let fits = all <= ROOM_BYTES && public <= PUBLIC_BYTES && own <= reader.share();
        if fits {
            (self.all, self.public) = (all, public);
            self.each.insert(reader, own);
        }
        fits
    }

    fn remove(&mut self, reader: Reader, bytes: usize) {
        self.all = self.all.saturating_sub(bytes);
        self.public = self.public.saturating_sub(if reader.is_public() { bytes } else { 0 });
        let own = self.each.remove(&reader).unwrap_or_default().saturating_sub(bytes);
        if own > 0 {
            self.each.insert(reader, own);
        }
    }
}

impl Outgoing {
    /// Reserves bytes, if they are free.
    pub(crate) fn try_take(self: &Arc<Self>, reader: Reader, bytes: usize) -> Option<Held> {
        let fits = self.holds().add(reader, bytes);
        fits.then(|| Held { outgoing: Arc::clone(self), reader, bytes })
    }

    /// The same, but waits up to [`PATIENCE`].
    ///
    /// # Errors
    /// 503 if the bytes are not free in time.
    pub(crate) async fn take(self: &Arc<Self>, reader: Reader, bytes: usize) -> Result<Held, Problem> {
        let taken = async {
            loop {
                // Subscribed before the try, so that no release in between is missed.
                let given_back = self.given_back.notified();
                if let Some(held) = self.try_take(reader, bytes) {
                    return held;
                }
                given_back.await;
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.map_err(|_| no_room())
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn no_room() -> Problem {
    Problem::busy("too many large answers are being sent; receive the earlier ones, or try again")
}

/// The bytes reserved for one answer; released on drop.
pub(crate) struct Held {
    outgoing: Arc<Outgoing>,
    reader: Reader,
    bytes: usize,
}

impl Held {
    /// Releases all but this many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let beyond = self.bytes.saturating_sub(bytes);
        self.bytes -= beyond;
        self.give_back(beyond);
    }

    fn give_back(&self, bytes: usize) {
        self.outgoing.holds().remove(self.reader, bytes);
        self.outgoing.given_back.notify_waiters();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// A body that drops `kept` after its last byte was sent, or when it is dropped itself.
///
/// The body alone is dropped earlier: a connection takes its parts and buffers them until the client has received them.
pub(crate) fn until_sent<T: Send + Sync + 'static>(body: Body, kept: T) -> Body {
    Body::new(UntilSent { body, kept: Arc::new(kept) })
}

struct UntilSent<T> {
    body: Body,
    kept: Arc<T>,
}

struct Part<T> {
    bytes: Bytes,
    _kept: Arc<T>,
}

impl<T> AsRef<[u8]> for Part<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T: Send + Sync + 'static> HttpBody for UntilSent<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let part = |bytes| Bytes::from_owner(Part { bytes, _kept: Arc::clone(&this.kept) });
        Pin::new(&mut this.body).poll_frame(context).map_ok(|frame| frame.map_data(part))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serront_core::primitives::rejection::Code;

    use super::*;

    const MIB: usize = 1024 * 1024;

    fn account(number: u8) -> Reader {
        Reader::Account(format!("acc_0000000000000000000000000{number}").parse().unwrap())
    }

    fn address(number: u8) -> Reader {
        Reader::Address(IpAddr::from([203, 0, 113, number]))
    }

    /// Reserves one MiB at a time until none is free.
    fn take_all(outgoing: &Arc<Outgoing>, reader: Reader) -> Vec<Held> {
        std::iter::from_fn(|| outgoing.try_take(reader, MIB)).collect()
    }

    #[test]
    fn one_reader_has_a_share_those_without_a_key_a_half_and_all_together_the_room() {
        let outgoing = Arc::new(Outgoing::default());
        let one = take_all(&outgoing, address(1));
        let two = take_all(&outgoing, address(2));
        assert_eq!([one.len() * MIB, (one.len() + two.len()) * MIB], [SHARE_BYTES, PUBLIC_BYTES]);
        assert!(take_all(&outgoing, address(3)).is_empty() && take_all(&outgoing, Reader::Unknown).is_empty());

        let sellers = [account(1), account(2), account(3)].map(|reader| take_all(&outgoing, reader));
        let left = ROOM_BYTES - PUBLIC_BYTES - SHARE_BYTES;
        assert_eq!(sellers.each_ref().map(|held| held.len() * MIB), [SHARE_BYTES, left, 0]);
        drop((one, two, sellers));
        assert_eq!(take_all(&outgoing, Reader::Unknown).len() * MIB, PUBLIC_BYTES);
        let holds = outgoing.holds();
        assert_eq!((holds.all, holds.public, holds.each.len()), (0, 0, 0), "nothing stays behind");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_room_and_is_refused_when_there_is_none() {
        let outgoing = Arc::new(Outgoing::default());
        let mut others = take_all(&outgoing, account(1));
        let refused = outgoing.take(account(1), 2 * MIB).await.err().unwrap();
        assert_eq!(refused.code, Code::Busy);
        let waiting = outgoing.take(account(1), 2 * MIB);
        let ((), taken) = tokio::join!(async { others.truncate(others.len() - 2) }, waiting);
        let mut taken = taken.unwrap();
        assert!(outgoing.try_take(account(1), 1).is_none());
        taken.shrink(MIB);
        assert!(outgoing.try_take(account(1), MIB).is_some());
    }

    #[tokio::test]
    async fn what_is_kept_with_a_body_lasts_until_its_last_bytes_are_dropped() {
        let kept = Arc::new(());
        let is_kept = || Arc::strong_count(&kept) > 1;
        let mut body = until_sent(Body::from("abc"), Arc::clone(&kept));
        assert_eq!(body.size_hint().exact(), Some(3));
        let sending = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(body.frame().await.is_none());
        drop(body);
        let rest = sending.slice(1..);
        drop(sending);
        assert!(is_kept() && rest == "bc");
        drop(rest);
        assert!(!is_kept());
        let untouched = until_sent(Body::from("abc"), Arc::clone(&kept));
        drop(untouched);
        assert!(!is_kept());
    }
}
