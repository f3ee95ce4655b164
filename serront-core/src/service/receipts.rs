//! Receipts: the commands that use the store of receipts, and therefore can't run in a host's transaction.

use std::borrow::Cow;
use std::fmt;

use super::commands::rounds;
use super::{Answer, Commands, Environment, Failure};
use crate::accounts::actor::Actor;
use crate::accounts::key::AccessToken;
use crate::decide;
use crate::orders::payment::PaymentAct;
use crate::orders::receipt::{CheckedImage, Picture};
use crate::ports::{PortError, Receipts, Storage};
use crate::primitives::ids::{AccountId, OrderId, UploadId};
use crate::primitives::image::ImageType;
use crate::primitives::rejection::Rejection;
use crate::snapshots::OrderKey;

/// A receipt's bytes and kind.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptImage {
    /// The format of `bytes`.
    pub image_type: ImageType,
    /// The picture as a browser can show it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for ReceiptImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReceiptImage({}, {} bytes)", self.image_type.media_type(), self.bytes.len())
    }
}

/// Stores buyers' receipts, and reads them for sellers.
#[derive(Debug)]
pub struct ReceiptUploads<'p, S: ?Sized, R: ?Sized> {
    commands: Commands<'p, S>,
    receipts: &'p R,
}

impl<'p, S: Storage + ?Sized, R: Receipts + ?Sized> ReceiptUploads<'p, S, R> {
    /// Over these ports.
    pub const fn new(storage: &'p S, receipts: &'p R, environment: Environment<'p>) -> Self {
        Self { commands: Commands::new(storage, environment), receipts }
    }

    /// Stores a buyer's receipt, which replaces an earlier one. It stores only the picture in the file
    /// ([`Picture::take`]).
    ///
    /// The bytes must be of the `declared_type`; `None` accepts every supported type.
    ///
    /// The bytes are stored first, under a new id. If the command is then refused, it deletes them; after a failure or
    /// a crash the sweeper does.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`Picture::take`]; those of [`decide::attach_receipt`].
    pub async fn upload<'b>(
        &self,
        token: &AccessToken,
        declared_type: impl Into<Option<&'b str>>,
        file: impl Into<Cow<'b, [u8]>>,
    ) -> Result<Answer<()>, Failure> {
        let (declared_type, file) = (declared_type.into(), file.into());
        let key = OrderKey::Token(token.hash());
        let snapshot = self.commands.order_snapshot(key, None).await?;
        let picture = Picture::take(declared_type, file)?;
        let image = picture.checked();
        snapshot.payment.state.status.apply(PaymentAct::AttachReceipt)?;
        let account_id = snapshot.account.id;
        let upload_id = self.commands.context(None).ids.upload();
        self.receipts.put(account_id, upload_id, picture.bytes()).await?;
        match self.attach(key, upload_id, image, &Actor::buyer(token)).await {
            Err(Failure::Rejected(rejection)) => {
                // If this fails, the sweeper deletes them.
                let _ = self.receipts.delete(account_id, upload_id).await;
                Err(rejection.into())
            }
            other => other,
        }
    }

    async fn attach(
        &self,
        key: OrderKey,
        upload_id: UploadId,
        image: CheckedImage,
        actor: &Actor,
    ) -> Result<Answer<()>, Failure> {
        let answer = rounds!(&self.commands, None, |context| {
            let snapshot = self.commands.order_snapshot(key, None).await?;
            decide::attach_receipt(&snapshot, upload_id, image, actor, &mut context)?
        });
        Ok(answer.map(|_| ()))
    }

    /// The receipt of an order, for its seller.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] if there is no such order or no receipt.
    pub async fn receipt(&self, account_id: AccountId, id: OrderId) -> Result<ReceiptImage, Failure> {
        // A new receipt may remove the bytes between the two reads. The second iteration then finds the new ones.
        for _ in 0..2 {
            let snapshot = self.commands.order_snapshot(OrderKey::Id(account_id, id), None).await?;
            let receipt = snapshot.payment.state.receipt.ok_or(Rejection::NotFound("receipt"))?;
            if let Some(bytes) = self.receipts.get(account_id, receipt.upload_id).await? {
                return Ok(ReceiptImage { image_type: receipt.image_type, bytes });
            }
        }
        Err(PortError::permanent("a receipt's bytes are missing").into())
    }
}
