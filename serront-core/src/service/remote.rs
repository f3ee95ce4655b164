//! The remote commands: those that wait for something outside, and so can't be bound to a host's transaction.

use std::borrow::Cow;
use std::fmt;

use super::{Answer, Environment, Failure, Local, rounds};
use crate::audit::Actor;
use crate::decide::{self, Decision};
use crate::idempotency::IdempotentRequest;
use crate::ids::{AccountId, KeyId, OrderId, SubscriptionId};
use crate::key::{AccessToken, ApiKey, Caller, KeyRecord, OperatorKey};
use crate::ports::{OrderKey, PortError, Receipts, Sink, TargetError, WorkStorage};
use crate::receipt::{CheckedImage, Digest256, ImageType, Picture};
use crate::rejection::{Invalid, Rejection};
use crate::subscription::SubscriptionInput;
use crate::view::{NewSubscriptionView, SubscriptionView};

/// A receipt's bytes and kind.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptImage {
    /// The kind of image.
    pub image_type: ImageType,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for ReceiptImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReceiptImage({}, {} bytes)", self.image_type.media_type(), self.bytes.len())
    }
}

/// The commands on orders, catalog and settings, over borrowed ports. [`Online`](super::Online) holds those that wait for
/// Plugipay.
#[derive(Debug)]
pub struct Service<'p, S: ?Sized, R: ?Sized, K: ?Sized> {
    storage: &'p S,
    receipts: &'p R,
    sink: &'p K,
    environment: Environment<'p>,
}

impl<'p, S, R, K> Service<'p, S, R, K>
where
    S: WorkStorage + ?Sized,
    R: Receipts + ?Sized,
    K: Sink + ?Sized,
{
    /// Over these ports.
    pub const fn new(storage: &'p S, receipts: &'p R, sink: &'p K, environment: Environment<'p>) -> Self {
        Self { storage, receipts, sink, environment }
    }

    /// The local commands and the reads.
    #[must_use]
    pub const fn local(&self) -> Local<'p, S> {
        Local::new(self.storage, self.environment)
    }

    /// Who calls with this bearer key; `None` if nobody does. Notes the use at most once a minute.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn authenticate(&self, bearer: &str) -> Result<Option<Caller>, Failure> {
        match ApiKey::parse(bearer) {
            Some(key) => self.holder(key.hash()).await,
            None => Ok(None),
        }
    }

    /// Who holds the API key of this hash, as [`Service::authenticate`] answers it: for a host whose sessions remember the
    /// key that they began with, and are not to outlive it. Whoever knows the hash is let in, so a host keeps it to itself.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn holder(&self, hash: Digest256) -> Result<Option<Caller>, Failure> {
        let record = self.used(hash).await?.filter(|record| record.account_id != AccountId::OPERATORS);
        Ok(record.map(|record| Caller { account_id: record.account_id, key_id: record.id }))
    }

    /// Which operator's key this bearer key is; `None` if it is none that is known.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn authenticate_operator(&self, bearer: &str) -> Result<Option<KeyId>, Failure> {
        match OperatorKey::parse(bearer) {
            Some(key) => self.operator_holder(key.hash()).await,
            None => Ok(None),
        }
    }

    /// Which operator's key has this hash, as [`Service::holder`].
    ///
    /// # Errors
    /// A port's failure.
    pub async fn operator_holder(&self, hash: Digest256) -> Result<Option<KeyId>, Failure> {
        let record = self.used(hash).await?.filter(|record| record.account_id == AccountId::OPERATORS);
        Ok(record.map(|record| record.id))
    }

    /// The record of a key that is being used, which is noted at most once in a while.
    async fn used(&self, hash: Digest256) -> Result<Option<KeyRecord>, Failure> {
        let Some(record) = self.storage.key(hash).await? else {
            return Ok(None);
        };
        let now = self.environment.clock.now();
        let pause = self.environment.policy.key_touch_interval;
        if record.last_used_at.is_none_or(|last| now.since(last) >= pause) {
            // Bookkeeping: a request does not fail because its key's last use could not be noted.
            let _ = self.storage.touch_key(record.account_id, record.id, pause).await;
        }
        Ok(Some(record))
    }

    /// Stores a buyer's receipt; it replaces an earlier one. What is stored is the picture in the file, as [`Picture::take`] finds
    /// it.
    ///
    /// A `declared_type` has to agree with the bytes; `None` takes any kind of image that the bytes are.
    ///
    /// The bytes are stored first, under an id of their own; what a refusal, a failure or a crash leaves behind is
    /// deleted at once or by the sweeper.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`Picture::take`]; those of [`decide::attach_receipt`];
    /// [`Failure::Busy`]; a port's failure.
    pub async fn upload_receipt<'b>(
        &self,
        token: &AccessToken,
        declared_type: impl Into<Option<&'b str>>,
        file: impl Into<Cow<'b, [u8]>>,
    ) -> Result<Answer<()>, Failure> {
        let (declared_type, file) = (declared_type.into(), file.into());
        let local = self.local();
        let key = OrderKey::Token(token.hash());
        let snapshot = local.order_snapshot(key, None).await?;
        let picture = Picture::take(declared_type, file)?;
        let image = picture.checked();
        snapshot.payment.state.status.apply(crate::payment::PaymentAct::AttachReceipt)?;
        let account_id = snapshot.account.id;
        let upload_id = local.context(None).ids.upload();
        self.receipts.put(account_id, upload_id, picture.bytes()).await?;
        match self.attach(&local, key, upload_id, image, &Actor::buyer(token)).await {
            Err(Failure::Rejected(rejection)) => {
                // Best effort: the sweeper finds what stays.
                let _ = self.receipts.delete(account_id, upload_id).await;
                Err(rejection.into())
            }
            other => other,
        }
    }

    async fn attach(
        &self,
        local: &Local<'p, S>,
        key: OrderKey,
        upload_id: crate::ids::UploadId,
        image: CheckedImage,
        actor: &Actor,
    ) -> Result<Answer<()>, Failure> {
        let (answer, _) = rounds!(local, None, |context| {
            let snapshot = local.order_snapshot(key, None).await?;
            decide::attach_receipt(&snapshot, upload_id, image, actor, &mut context)?
        });
        Ok(answer.map(|_| ()))
    }

    /// The receipt of an order, for its seller.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] if there is no such order or no receipt; a port's failure.
    pub async fn receipt(&self, account_id: AccountId, id: OrderId) -> Result<ReceiptImage, Failure> {
        // A replacement may remove the bytes between the two reads; the second look then finds the new ones.
        for _ in 0..2 {
            let snapshot = self.local().order_snapshot(OrderKey::Id(account_id, id), None).await?;
            let receipt = snapshot.payment.state.receipt.ok_or(Rejection::NotFound("receipt"))?;
            if let Some(bytes) = self.receipts.get(account_id, receipt.upload_id).await? {
                return Ok(ReceiptImage { image_type: receipt.image_type, bytes });
            }
        }
        Err(PortError::permanent("a receipt's bytes are missing").into())
    }

    /// Whether the caller may subscribe this address, as the sink sees it.
    ///
    /// Asked only after a first decision: what is refused anyway costs no look-up, and a repeated request has the same
    /// answer, whatever the name resolves to by now.
    async fn check_target(&self, input: &SubscriptionInput) -> Result<(), Failure> {
        let Some(url) = input.address()? else {
            return Ok(());
        };
        self.sink.check_target(url).await.map_err(|error| match error {
            TargetError::Refused(refused) => Invalid::new("url", refused.0).into(),
            TargetError::Busy => Failure::Busy,
        })
    }

    /// Subscribes an address. The secret is shown this once.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::create_subscription`]; [`Rejection::Invalid`] for an address that must
    /// not be posted to; [`Failure::Busy`]; a port's failure.
    pub async fn create_subscription(
        &self,
        id: AccountId,
        input: &SubscriptionInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<NewSubscriptionView>, Failure> {
        let local = self.local();
        let snapshot = local.account_snapshot(id, request).await?;
        let mut context = local.context(request);
        let subscription_id = context.ids.subscription();
        let secret = local.fresh_secret(id, subscription_id)?;
        decide::create_subscription(&snapshot, input, subscription_id, secret, &mut context)?;
        self.check_target(input).await?;
        let (answer, _) = rounds!(&local, request, |context| {
            let snapshot = local.account_snapshot(id, request).await?;
            let subscription_id = context.ids.subscription();
            let secret = local.fresh_secret(id, subscription_id)?;
            decide::create_subscription(&snapshot, input, subscription_id, secret, &mut context)?
        });
        Ok(answer)
    }

    /// Changes a subscription, its address included.
    ///
    /// # Errors
    /// Those of [`decide::update_subscription`]; [`Rejection::Invalid`] for an address that must not be posted to;
    /// [`Failure::Busy`]; a port's failure.
    pub async fn update_subscription(
        &self,
        account_id: AccountId,
        id: SubscriptionId,
        input: &SubscriptionInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SubscriptionView>, Failure> {
        let local = self.local();
        let snapshot = local.account_snapshot(account_id, request).await?;
        let foreseen = decide::update_subscription(&snapshot, id, input, &mut local.context(request))?;
        if let Decision::Replayed(value) = foreseen {
            return Ok(Answer { value, replayed: true, change_set: None });
        }
        self.check_target(input).await?;
        local.write_subscription(account_id, id, input, request).await
    }
}
