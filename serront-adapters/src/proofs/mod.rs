//! The bytes of receipts in an object store: a local folder, or whatever else implements [`ObjectStore`].
//!
//! ```text
//! put ─▶ <account id>/<upload id>#1 (hidden) ─▶ fsync ─▶ rename to <account id>/<upload id> ─▶ fsync of the folder
//! ```
//!
//! That is the local folder's way, which `object_store` goes by itself once it is told to; a remote store acknowledges
//! only what it keeps. Either way nobody sees a part of an upload.
//!
//! What it is not: it neither looks at the bytes nor knows which payment names them, keeps no index, serves nobody, and
//! deletes nothing by itself.

mod failure;
mod local;
mod path;

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};
use serront_core::ids::{AccountId, UploadId};
use serront_core::ports::{PortError, Receipts, StoredReceipt};
use serront_core::time::Timestamp;

pub use self::local::FolderUnusable;

/// How many accounts are listed at once. Enough to hide a remote store's latency, few enough to be no burst.
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
    /// In any object store. It must be durable when it acknowledges: remote stores are,
    /// [`LocalFileSystem`](object_store::local::LocalFileSystem) only with `with_fsync(true)`.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// In a local folder, which is created if it is missing. It should be this store's alone: foreign files are passed
    /// over, but `object_store` lists no folder that holds a name outside UTF-8.
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

    /// One account's uploads in ascending order, behind `after`.
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
        // Stores promise no order.
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
}

#[async_trait]
impl Receipts for ObjectReceipts {
    async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError> {
        let payload = PutPayload::from(bytes.to_vec());
        self.store.put(&path::of_upload(account_id, upload_id), payload).await.map(drop).map_err(failure::of_put)
    }

    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError> {
        let found = async { self.store.get(&path::of_upload(account_id, upload_id)).await?.bytes().await };
        match found.await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure::of(error)),
        }
    }

    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        match self.store.delete(&path::of_upload(account_id, upload_id)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure::of(error)),
        }
    }

    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError> {
        self.page(before, after, usize::try_from(limit).unwrap_or(usize::MAX)).await.map_err(failure::of)
    }
}
