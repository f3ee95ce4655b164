//! Decisions about an order: placing it, and what its buyer and its seller can do with it.

use serde::Deserialize;

use super::edit::Edit;
use super::{Context, Decision};
use crate::accounts::actor::Actor;
use crate::accounts::key::AccessToken;
use crate::changes::change::{Claim, ClaimName, Guard, Row, Write};
use crate::changes::deliveries;
use crate::changes::effect::Effect;
use crate::orders::audit::{Act, AuditRecord};
use crate::orders::order::{Language, Order, OrderInput, OrderState, WorkStatus};
use crate::orders::payment::{Payment, PaymentAct, PaymentState, PaymentStatus};
use crate::orders::receipt::{CheckedImage, Receipt};
use crate::primitives::ids::{PaymentId, UploadId};
use crate::primitives::money::Rupiah;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text;
use crate::primitives::version::Version;
use crate::shop::catalog;
use crate::snapshots::{OrderSnapshot, ShopSnapshot};
use crate::views::{BuyerOrder, KeptPlacedOrder, PlacedOrder, SellerOrder};
use crate::webhooks::event::EventData;

/// A buyer's order, not yet validated.
#[derive(Debug, Clone)]
pub struct PlaceOrder<'a> {
    /// What the buyer typed.
    pub input: &'a OrderInput,
    /// The language of the buyer's mails.
    pub language: Language,
    /// A freshly drawn token, the buyer's credential for this order.
    pub access_token: AccessToken,
}

/// Places an order. The storage assigns its number; until then the event and the outcome have a marked place for it.
///
/// Guards the service's row, which has the price and must not be deleted before the commit, and the settings epoch.
///
/// # Errors
/// [`Rejection::NotFound`] if the storefront is not published or has no such active service, then
/// [`Rejection::Invalid`], then [`Rejection::IdempotencyKeyInUse`]. A repeated request gets its first answer even if
/// the service has changed or was deleted.
pub fn place_order(
    snapshot: &ShopSnapshot,
    command: &PlaceOrder<'_>,
    context: &mut Context<'_>,
) -> Result<Decision<PlacedOrder>, Rejection> {
    let ShopSnapshot { account, storefront, services, subscriptions, kept } = snapshot;
    let input = command.input;
    if !storefront.profile.published {
        return Err(Rejection::NotFound("storefront"));
    }
    let replayed = context.replay::<KeptPlacedOrder>(kept.as_ref());
    if let Ok(Some(replayed)) = replayed {
        return Ok(replayed.map(PlacedOrder::from));
    }
    let service = services
        .iter()
        .find(|service| service.offer.active && service.offer.slug.as_str() == input.service_slug)
        .ok_or(Rejection::NotFound("service"))?;
    let request = input.validate()?;
    let package_name = text::optional_name("packageName", input.package_name.as_deref())?;
    let quote = service.offer.pricing.first_quote(package_name.as_deref())?;
    replayed?;

    let mut change = context.change_set(account.id);
    let now = context.now;
    let order = Order {
        id: context.ids.order(),
        account_id: account.id,
        service_id: service.id,
        access_token: command.access_token.clone(),
        buyer: request.buyer,
        package_name,
        preferred_date: request.preferred_date,
        notes: request.notes,
        language: command.language,
        created_at: now,
        state: OrderState {
            version: Version::FIRST,
            status: WorkStatus::Requested,
            payment_status: PaymentStatus::Unpaid,
            quoted_price: quote,
            updated_at: now,
        },
    };
    let payment = Payment {
        id: context.ids.payment(),
        order_id: order.id,
        state: PaymentState { status: PaymentStatus::Unpaid, amount_due: quote, receipt: None },
    };
    change.guards = vec![
        Guard::Exact { row: Row::Service(service.id), version: service.version },
        Guard::Settings(account.state.version),
    ];
    change.claims.push(Claim::of(ClaimName::AccessToken(command.access_token.hash())));
    let created = EventData::OrderCreated {
        order_id: order.id,
        number: None,
        service_id: service.id,
        service_slug: service.offer.slug.clone(),
        package_name: order.package_name.clone(),
        quoted_price_idr: quote,
    };
    change.effects = deliveries(account.id, &created, subscriptions, now, &mut context.ids);
    let placed = PlacedOrder {
        number: None,
        access_token: command.access_token.clone(),
        quoted_price_idr: quote,
        discount_amount_idr: Rupiah::ZERO,
        order_id: Some(order.id),
    };
    let record = AuditRecord {
        id: context.ids.audit(),
        account_id: account.id,
        order_id: order.id,
        payment_id: payment.id,
        at: now,
        actor: Actor::buyer(&command.access_token),
        act: Act::Placed { quote },
        note: None,
    };
    change.writes = vec![Write::InsertOrder(order, payment), Write::AppendAudit(record)];
    Ok(context.conclude(change, KeptPlacedOrder::from(placed))?.map(PlacedOrder::from))
}

/// The buyer says that the transfer was made. A repeated claim changes nothing.
///
/// # Errors
/// [`Rejection::InvalidTransition`] once the payment is confirmed.
pub fn claim_payment(
    snapshot: &OrderSnapshot,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<BuyerOrder>, Rejection> {
    let from = snapshot.payment.state.status;
    let to = from.apply(PaymentAct::Claim)?;
    if to == from {
        return Ok(Decision::Unchanged(snapshot.into()));
    }
    let mut edit = Edit::begin(snapshot, context);
    edit.move_payment(context, actor, to, None);
    let (change, after) = edit.finish();
    Ok(Decision::Change(Box::new(change), (&after).into()))
}

/// Attaches the buyer's receipt, whose bytes are already stored under `upload_id`. It replaces an earlier receipt,
/// whose bytes are then removed.
///
/// # Errors
/// [`Rejection::InvalidTransition`] once the payment is confirmed.
pub fn attach_receipt(
    snapshot: &OrderSnapshot,
    upload_id: UploadId,
    image: CheckedImage,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<PaymentId>, Rejection> {
    snapshot.payment.state.status.apply(PaymentAct::AttachReceipt)?;
    let mut edit = Edit::begin(snapshot, context);
    let CheckedImage { image_type, bytes, sha256 } = image;
    let receipt = Receipt { upload_id, image_type, bytes, sha256, uploaded_at: context.now };
    let replaced = edit.payment().receipt.replace(receipt);
    if let Some(replaced) = &replaced {
        edit.change.effects.push(Effect::Removal { id: context.ids.removal(), upload_id: replaced.upload_id });
    }
    let replaced_sha256 = replaced.map(|receipt| receipt.sha256);
    edit.audit(context, actor, Act::Receipt { proof_sha256: sha256, replaced_sha256 }, None);
    let (change, after) = edit.finish();
    Ok(Decision::Change(Box::new(change), after.payment.id))
}

/// The seller confirms that the money arrived. The commit sends the buyer one mail and the subscriptions one event.
///
/// # Errors
/// [`Rejection::Invalid`] for the note, [`Rejection::IdempotencyKeyInUse`], then [`Rejection::InvalidTransition`] once
/// the payment is confirmed.
pub fn confirm_payment(
    snapshot: &OrderSnapshot,
    actor: &Actor,
    note: Option<&str>,
    context: &mut Context<'_>,
) -> Result<Decision<SellerOrder>, Rejection> {
    let note = text::optional_prose("note", note)?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    snapshot.payment.state.status.apply(PaymentAct::Confirm)?;
    let mut edit = Edit::begin(snapshot, context);
    edit.confirm(context, actor, note.as_deref());
    edit.cancel_checkouts(context, None);
    let (change, after) = edit.finish();
    context.conclude(change, (&after).into())
}

/// The seller's changes to an order, not yet validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPatch {
    /// The next state of the work track; `None` leaves it.
    #[serde(default)]
    pub status: Option<WorkStatus>,
    /// A new quote in whole rupiah; 0 withdraws the quote, `None` leaves it.
    #[serde(default)]
    pub quoted_price_idr: Option<i64>,
}

/// Moves the work track, sets the quote, or both. If one of them is refused, nothing changes.
///
/// The two are independent: a quote is possible in every work status until the payment is confirmed.
///
/// # Errors
/// [`Rejection::Invalid`], [`Rejection::IdempotencyKeyInUse`], then [`Rejection::InvalidTransition`].
pub fn patch_order(
    snapshot: &OrderSnapshot,
    patch: OrderPatch,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<SellerOrder>, Rejection> {
    if patch == OrderPatch::default() {
        return Err(Invalid::new("", "status or quotedPriceIdr must be given").into());
    }
    let quote = patch.quoted_price_idr.map(|amount| catalog::price("quotedPriceIdr", amount)).transpose()?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let mut edit = Edit::begin(snapshot, context);
    if let Some(to) = quote {
        snapshot.payment.state.status.apply(PaymentAct::Quote)?;
        let from = snapshot.order.state.quoted_price;
        edit.after.order.state.quoted_price = to;
        edit.payment().amount_due = to;
        edit.audit(context, actor, Act::Quote { from, to }, None);
        if to != from {
            edit.cancel_checkouts(context, None);
        }
    }
    if let Some(to) = patch.status {
        let from = snapshot.order.state.status;
        edit.after.order.state.status = from.go(to)?;
        edit.audit(context, actor, Act::Work { from, to }, None);
        let (order_id, number) = (snapshot.order.id, snapshot.number);
        edit.emit(context, &EventData::OrderStatusChanged { order_id, number, from, to });
        if to.is_closed() {
            edit.cancel_checkouts(context, None);
        }
    }
    let (change, after) = edit.finish();
    context.conclude(change, (&after).into())
}

/// Gives the order a new access token, in every state of the order. The previous token stops working with the commit.
///
/// An open checkout stays open, and a payment through it confirms the order. Its buyer returns to the order page of the
/// previous token, which says that the address has changed.
///
/// # Errors
/// [`Rejection::IdempotencyKeyInUse`].
pub fn rotate_token(
    snapshot: &OrderSnapshot,
    access_token: AccessToken,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<SellerOrder>, Rejection> {
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let mut edit = Edit::begin(snapshot, context);
    edit.audit(context, actor, Act::token_rotated(&snapshot.order.access_token, &access_token), None);
    edit.change.claims.push(Claim::of(ClaimName::AccessToken(access_token.hash())));
    edit.after.order.access_token = access_token;
    let (change, after) = edit.finish();
    context.conclude(change, (&after).into())
}
