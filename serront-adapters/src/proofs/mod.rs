//! The bytes of receipts in an object store: a local folder, or any other [`ObjectStore`].
//!
//! ```text
//! put ─▶ <account id>/<upload id>#1 (hidden) ─▶ fsync ─▶ rename to <account id>/<upload id> ─▶ fsync of the folder
//! ```
//!
//! These are the steps in a local folder, which `object_store` takes with `with_fsync(true)`; a remote store
//! acknowledges only durable objects. In both cases a partial upload is never visible.
//!
//! Uploads that no payment names are renamed to `quarantine/<account id>/<upload id>.<milliseconds>`; a store without
//! renaming copies and then deletes. The installation's id is a small object named `installation`.
//!
//! The store does not inspect the bytes, does not know which payment names them, keeps no index, and deletes only on
//! request.

mod failure;
mod local;
mod path;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serront_core::ports::{PortError, QuarantinedReceipt, Receipts, StoredReceipt};
use serront_core::primitives::ids::{AccountId, InstallationId, UploadId};
use serront_core::primitives::time::Timestamp;

pub use self::local::FolderUnusable;

/// Accounts listed concurrently: enough to hide a remote store's latency, without a burst of requests.
const ACCOUNTS_AT_ONCE: usize = 8;

/// Receipts in an object store, each under `<account id>/<upload id>`.
#[derive(Clone)]
pub struct ObjectReceipts {
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for ObjectReceipts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ObjectReceipts(…)")
    }
}

impl ObjectReceipts {
    /// Receipts in any object store. An acknowledged object must be durable: remote stores guarantee it,
    /// [`LocalFileSystem`](object_store::local::LocalFileSystem) only with `with_fsync(true)`.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Receipts in a local folder, which is created if it is missing. Use the folder for nothing else: foreign files
    /// are ignored, but `object_store` can't list a folder with a name outside UTF-8.
    ///
    /// # Errors
    /// [`FolderUnusable`] if the folder can't be created or read.
    pub fn local(folder: impl AsRef<FilePath>) -> Result<Self, FolderUnusable> {
        Ok(Self::new(Arc::new(local::open(folder.as_ref())?)))
    }

    /// The accounts with uploads, in ascending order, beginning with `from`.
    async fn accounts(&self, from: Option<AccountId>) -> Result<Vec<AccountId>, Error> {
        let top = self.store.list_with_delimiter(None).await?;
        let mut accounts: Vec<_> = top
            .common_prefixes
            .iter()
            .filter_map(path::account_of)
            .filter(|account_id| from.is_none_or(|from| *account_id >= from))
            .collect();
        accounts.sort_unstable();
        Ok(accounts)
    }

    /// One account's uploads after `after`, in ascending order.
    async fn uploads(
        &self,
        account_id: AccountId,
        after: Option<(AccountId, UploadId)>,
    ) -> Result<Vec<StoredReceipt>, Error> {
        let folder = path::of_account(account_id);
        let objects = match after {
            Some((account_id, upload_id)) => {
                self.store.list_with_offset(Some(&folder), &path::of_upload(account_id, upload_id))
            }
            None => self.store.list(Some(&folder)),
        };
        let mut uploads: Vec<_> = objects
            .try_filter_map(async |object| {
                Ok(path::upload_of(&object.location).map(|(account_id, upload_id)| StoredReceipt {
                    account_id,
                    upload_id,
                    stored_at: object.last_modified.into(),
                }))
            })
            .try_collect()
            .await?;
        // Stores guarantee no order.
        uploads.sort_unstable();
        Ok(uploads)
    }

    async fn page(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: usize,
    ) -> Result<Vec<StoredReceipt>, Error> {
        let accounts = self.accounts(after.map(|(account_id, _)| account_id)).await?;
        let mut listed =
            stream::iter(accounts).map(|account_id| self.uploads(account_id, after)).buffered(ACCOUNTS_AT_ONCE);
        let mut page = Vec::new();
        while page.len() < limit
            && let Some(uploads) = listed.try_next().await?
        {
            page.extend(uploads.into_iter().filter(|upload| upload.stored_at < before));
        }
        page.truncate(limit);
        Ok(page)
    }

    /// The bytes at this path; `None` if the object does not exist.
    async fn bytes(&self, location: &Path) -> Result<Option<Vec<u8>>, Error> {
        let found = async { self.store.get(location).await?.bytes().await };
        match found.await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One account's uploads in quarantine, each with the times of its moves, latest last.
    async fn quarantined_uploads(&self, account_id: AccountId) -> Result<BTreeMap<UploadId, Vec<Timestamp>>, Error> {
        let folder = path::of_quarantined_account(account_id);
        let mut uploads = BTreeMap::<UploadId, Vec<Timestamp>>::new();
        let mut objects = self.store.list(Some(&folder));
        while let Some(object) = objects.try_next().await? {
            if let Some((_, upload_id, since)) = path::quarantined_of(&object.location) {
                uploads.entry(upload_id).or_default().push(since);
            }
        }
        uploads.values_mut().for_each(|times| times.sort_unstable());
        Ok(uploads)
    }

    /// The paths of one upload in quarantine, the latest last. Usually one: a store that moves by copying may have been
    /// interrupted.
    async fn in_quarantine(&self, account_id: AccountId, upload_id: UploadId) -> Result<Vec<Path>, Error> {
        let times = self.quarantined_uploads(account_id).await?.remove(&upload_id).unwrap_or_default();
        Ok(times.into_iter().map(|since| path::of_quarantined(account_id, upload_id, since)).collect())
    }

    async fn page_of_quarantine(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: usize,
    ) -> Result<Vec<QuarantinedReceipt>, Error> {
        let top = self.store.list_with_delimiter(Some(&Path::from(path::QUARANTINE))).await?;
        let mut accounts: Vec<_> = top.common_prefixes.iter().filter_map(path::quarantined_account_of).collect();
        accounts.retain(|account_id| after.is_none_or(|(from, _)| *account_id >= from));
        accounts.sort_unstable();
        let mut page = Vec::new();
        for account_id in accounts {
            for (upload_id, times) in self.quarantined_uploads(account_id).await? {
                let Some(since) = times.last().copied().filter(|since| *since < before) else { continue };
                if after.is_none_or(|after| (account_id, upload_id) > after) {
                    page.push(QuarantinedReceipt { account_id, upload_id, since });
                }
            }
            if page.len() >= limit {
                break;
            }
        }
        page.truncate(limit);
        Ok(page)
    }

    async fn move_back(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), Error> {
        let mut places = self.in_quarantine(account_id, upload_id).await?;
        let Some(latest) = places.pop() else { return Ok(()) };
        passing_over(self.store.rename(&latest, &path::of_upload(account_id, upload_id)).await)?;
        self.remove_all(&places).await
    }

    async fn remove_all(&self, places: &[Path]) -> Result<(), Error> {
        for place in places {
            passing_over(self.store.delete(place).await)?;
        }
        Ok(())
    }

    async fn known_installation(&self) -> Result<Option<InstallationId>, PortError> {
        let Some(bytes) = self.bytes(&Path::from(path::INSTALLATION)).await.map_err(failure::of)? else {
            return Ok(None);
        };
        let id = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
        id.map(Some).ok_or_else(|| PortError::permanent("the store's installation id can't be read"))
    }

    async fn put_installation(&self, id: InstallationId, mode: PutMode) -> Result<(), Error> {
        let payload = PutPayload::from(format!("{id}\n").into_bytes());
        self.store.put_opts(&Path::from(path::INSTALLATION), payload, mode.into()).await.map(drop)
    }
}

/// Accepts a missing object, which another host has already moved or deleted.
fn passing_over(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Receipts for ObjectReceipts {
    async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError> {
        let payload = PutPayload::from(bytes.to_vec());
        self.store.put(&path::of_upload(account_id, upload_id), payload).await.map(drop).map_err(failure::of_put)
    }

    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError> {
        let place = path::of_upload(account_id, upload_id);
        let found = async {
            if let Some(bytes) = self.bytes(&place).await? {
                return Ok(Some(bytes));
            }
            if let Some(latest) = self.in_quarantine(account_id, upload_id).await?.last()
                && let Some(bytes) = self.bytes(latest).await?
            {
                return Ok(Some(bytes));
            }
            // It may have been moved back between the two reads.
            self.bytes(&place).await
        };
        found.await.map_err(failure::of)
    }

    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        passing_over(self.store.delete(&path::of_upload(account_id, upload_id)).await).map_err(failure::of)
    }

    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError> {
        self.page(before, after, usize::try_from(limit).unwrap_or(usize::MAX)).await.map_err(failure::of)
    }

    async fn quarantine(&self, account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Result<(), PortError> {
        let (from, to) = (path::of_upload(account_id, upload_id), path::of_quarantined(account_id, upload_id, since));
        passing_over(self.store.rename(&from, &to).await).map_err(failure::of)
    }

    async fn quarantined(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<QuarantinedReceipt>, PortError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.page_of_quarantine(before, after, limit).await.map_err(failure::of)
    }

    async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.move_back(account_id, upload_id).await.map_err(failure::of)
    }

    async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        let removing = async {
            let places = self.in_quarantine(account_id, upload_id).await?;
            self.remove_all(&places).await
        };
        removing.await.map_err(failure::of)
    }

    async fn installation(&self) -> Result<Option<InstallationId>, PortError> {
        self.known_installation().await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        if let Some(known) = self.known_installation().await? {
            return Ok(known);
        }
        match self.put_installation(id, PutMode::Create).await {
            Ok(()) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(failure::of_put(error)),
        }
        self.known_installation().await?.ok_or_else(|| PortError::transient("the store's installation id was removed"))
    }

    async fn adopt(&self, id: InstallationId) -> Result<(), PortError> {
        self.put_installation(id, PutMode::Overwrite).await.map_err(failure::of_put)
    }
}
