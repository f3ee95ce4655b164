//! The outside world in a test: mails, posts and receipts, recorded for inspection, with failures on request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serront_core::orders::mail::MailMessage;
use serront_core::ports::{
    Clock, Mailer, PortError, PortErrorKind, Post, Posted, QuarantinedReceipt, Receipts, Sink, StoredReceipt,
    TargetError, TargetRefused,
};
use serront_core::primitives::ids::{AccountId, InstallationId, UploadId};
use serront_core::primitives::time::Timestamp;

use super::locked;

#[derive(Debug, Default)]
struct Failures(VecDeque<PortErrorKind>);

impl Failures {
    fn add(&mut self, count: usize, kind: PortErrorKind) {
        self.0.extend(std::iter::repeat_n(kind, count));
    }

    fn next(&mut self) -> Option<PortErrorKind> {
        self.0.pop_front()
    }
}

fn fail(kind: PortErrorKind) -> PortError {
    PortError::new(kind, "a failure of the test")
}

/// A mailer that records every message.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<(Vec<MailMessage>, Failures)>,
}

impl Mailbox {
    /// The messages that arrived, in order. One that failed with an unknown outcome has arrived, and is sent again.
    #[must_use]
    pub fn messages(&self) -> Vec<MailMessage> {
        locked(&self.inner).0.clone()
    }

    /// Makes the next `count` mails fail this way. With an unknown outcome the mail arrives, which is the harder case.
    pub fn fail_next(&self, count: usize, kind: PortErrorKind) {
        locked(&self.inner).1.add(count, kind);
    }
}

#[async_trait]
impl Mailer for Mailbox {
    async fn send(&self, message: &MailMessage) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        let (messages, failures) = &mut *locked(&self.inner);
        let failure = failures.next();
        if matches!(failure, None | Some(PortErrorKind::OutcomeUnknown)) {
            messages.push(message.clone());
        }
        failure.map_or(Ok(()), |kind| Err(fail(kind)))
    }
}

#[derive(Debug, Default)]
struct SinkState {
    posts: Vec<Post>,
    answers: VecDeque<Posted>,
    refused: Vec<String>,
}

/// A sink that records every post. It returns the prepared answers, and 200 after them.
#[derive(Debug, Default)]
pub struct RecordingSink {
    inner: Mutex<SinkState>,
}

impl RecordingSink {
    /// The posts, in order.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        locked(&self.inner).posts.clone()
    }

    /// Prepares the answers of the next posts, one for each post.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Posted>) {
        locked(&self.inner).answers.extend(answers);
    }

    /// Makes checks and posts refuse this address.
    pub fn refuse(&self, url: impl Into<String>) {
        locked(&self.inner).refused.push(url.into());
    }
}

#[async_trait]
impl Sink for RecordingSink {
    async fn check_target(&self, url: &str) -> Result<(), TargetError> {
        tokio::task::yield_now().await;
        if locked(&self.inner).refused.iter().any(|refused| refused == url) {
            return Err(TargetRefused("must not be posted to").into());
        }
        Ok(())
    }

    async fn post(&self, post: &Post) -> Posted {
        tokio::task::yield_now().await;
        let mut state = locked(&self.inner);
        if state.refused.contains(&post.url) {
            return Posted::Failed("must not be posted to".to_owned());
        }
        state.posts.push(post.clone());
        state.answers.pop_front().unwrap_or(Posted::Answered(200))
    }
}

#[derive(Debug, Default)]
struct ReceiptsState {
    stored: BTreeMap<(AccountId, UploadId), (Timestamp, Vec<u8>)>,
    quarantined: BTreeMap<(AccountId, UploadId), (Timestamp, Vec<u8>)>,
    installation: Option<InstallationId>,
    failures: Failures,
}

/// A store for receipts in memory.
pub struct MemoryReceipts {
    clock: Arc<dyn Clock>,
    inner: Mutex<ReceiptsState>,
}

impl std::fmt::Debug for MemoryReceipts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MemoryReceipts").finish_non_exhaustive()
    }
}

impl MemoryReceipts {
    /// An empty store with this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inner: Mutex::default() }
    }

    /// The stored uploads, in ascending order.
    #[must_use]
    pub fn uploads(&self) -> Vec<(AccountId, UploadId)> {
        locked(&self.inner).stored.keys().copied().collect()
    }

    /// The uploads in quarantine, in ascending order.
    #[must_use]
    pub fn quarantined_uploads(&self) -> Vec<(AccountId, UploadId)> {
        locked(&self.inner).quarantined.keys().copied().collect()
    }

    /// Makes the next `count` calls fail this way. With an unknown outcome, a call that changes something takes effect.
    pub fn fail_next(&self, count: usize, kind: PortErrorKind) {
        locked(&self.inner).failures.add(count, kind);
    }

    /// Changes the state, or fails as prepared.
    async fn change<T>(&self, change: impl FnOnce(&mut ReceiptsState) -> T + Send) -> Result<T, PortError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.inner);
        match state.failures.next() {
            None => Ok(change(&mut state)),
            Some(kind) => {
                if kind == PortErrorKind::OutcomeUnknown {
                    change(&mut state);
                }
                Err(fail(kind))
            }
        }
    }

    /// Reads the state, or fails as prepared.
    async fn look<T>(&self, look: impl FnOnce(&ReceiptsState) -> T + Send) -> Result<T, PortError> {
        tokio::task::yield_now().await;
        let mut state = locked(&self.inner);
        state.failures.next().map_or_else(|| Ok(look(&state)), |kind| Err(fail(kind)))
    }
}

#[async_trait]
impl Receipts for MemoryReceipts {
    async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        let now = self.clock.now();
        let mut state = locked(&self.inner);
        let failure = state.failures.next();
        if matches!(failure, None | Some(PortErrorKind::OutcomeUnknown)) {
            let (_, stored) = state.stored.entry((account_id, upload_id)).or_insert_with(|| (now, bytes.to_vec()));
            if stored != bytes {
                return Err(PortError::permanent("the same upload came with other bytes"));
            }
        }
        failure.map_or(Ok(()), |kind| Err(fail(kind)))
    }

    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError> {
        let key = (account_id, upload_id);
        let found = |state: &ReceiptsState| state.stored.get(&key).or_else(|| state.quarantined.get(&key)).cloned();
        Ok(self.look(found).await?.map(|(_, bytes)| bytes))
    }

    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.change(|state| drop(state.stored.remove(&(account_id, upload_id)))).await
    }

    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError> {
        let page = self.look(|state| page(&state.stored, before, after, limit)).await?;
        let stored = |(account_id, upload_id, stored_at)| StoredReceipt { account_id, upload_id, stored_at };
        Ok(page.into_iter().map(stored).collect())
    }

    async fn quarantine(&self, account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Result<(), PortError> {
        let key = (account_id, upload_id);
        self.change(|state| {
            if let Some((_, bytes)) = state.stored.remove(&key) {
                state.quarantined.insert(key, (since, bytes));
            }
        })
        .await
    }

    async fn quarantined(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<QuarantinedReceipt>, PortError> {
        let page = self.look(|state| page(&state.quarantined, before, after, limit)).await?;
        let quarantined = |(account_id, upload_id, since)| QuarantinedReceipt { account_id, upload_id, since };
        Ok(page.into_iter().map(quarantined).collect())
    }

    async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        let (key, now) = ((account_id, upload_id), self.clock.now());
        self.change(|state| {
            if let Some((_, bytes)) = state.quarantined.remove(&key) {
                state.stored.insert(key, (now, bytes));
            }
        })
        .await
    }

    async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.change(|state| drop(state.quarantined.remove(&(account_id, upload_id)))).await
    }

    async fn installation(&self) -> Result<Option<InstallationId>, PortError> {
        self.look(|state| state.installation).await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        self.change(|state| *state.installation.get_or_insert(id)).await
    }

    async fn adopt(&self, id: InstallationId) -> Result<(), PortError> {
        self.change(|state| state.installation = Some(id)).await
    }
}

type Place = (AccountId, UploadId);

fn page(
    of: &BTreeMap<Place, (Timestamp, Vec<u8>)>,
    before: Timestamp,
    after: Option<Place>,
    limit: u32,
) -> Vec<(AccountId, UploadId, Timestamp)> {
    of.iter()
        .filter(|(key, (since, _))| after.is_none_or(|after| **key > after) && *since < before)
        .map(|(&(account_id, upload_id), &(since, _))| (account_id, upload_id, since))
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .collect()
}
