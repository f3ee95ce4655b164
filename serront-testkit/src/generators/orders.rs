//! Orders, their payments, their audit trail and the commands on them.

use std::fmt;

use proptest::prelude::*;
use serront_core::accounts::actor::Actor;
use serront_core::decide::OrderPatch;
use serront_core::orders::audit::{Act, AuditRecord};
use serront_core::orders::order::{Buyer, Language, Order, OrderInput, OrderNumber, OrderState, WorkStatus};
use serront_core::orders::payment::{Payment, PaymentAct, PaymentState, PaymentStatus};
use serront_core::primitives::text::is_blank;

use super::{
    access_token, account_id, adjustment_id, almost_amount, almost_email_address, almost_image, almost_name,
    almost_prose, amount, audit_id, digest, email_address, exception_id, image, key_id, name, optional_prose, order_id,
    payment_id, receipt, rupiah, service_id, timestamp, version,
};

/// States of the work track.
pub fn work_status() -> impl Strategy<Value = WorkStatus> {
    proptest::sample::select(WorkStatus::ALL.to_vec())
}

/// States of the payment track.
pub fn payment_status() -> impl Strategy<Value = PaymentStatus> {
    proptest::sample::select(PaymentStatus::ALL.to_vec())
}

/// Commands on a payment.
pub fn payment_act() -> impl Strategy<Value = PaymentAct> {
    proptest::sample::select(PaymentAct::ALL.to_vec())
}

/// Languages.
pub fn language() -> impl Strategy<Value = Language> {
    proptest::sample::select(vec![Language::Id, Language::En])
}

/// Order numbers.
pub fn order_number() -> impl Strategy<Value = OrderNumber> {
    prop_oneof![1..100_u32, 1..=u32::MAX].prop_map(OrderNumber)
}

/// Buyers.
pub fn buyer() -> impl Strategy<Value = Buyer> {
    (name(), email_address(), proptest::option::of(name()))
        .prop_map(|(name, email, phone)| Buyer { name, email, phone })
        .boxed()
}

/// Dates and points in time as buyers type them.
pub fn preferred_date() -> impl Strategy<Value = String> {
    prop_oneof![
        "20[2-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])",
        "20[2-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|\\+07:00)",
    ]
}

/// Valid orders of a service without packages.
pub fn order_input(service_slug: &str) -> impl Strategy<Value = OrderInput> + use<> {
    let service_slug = service_slug.to_owned();
    (buyer(), proptest::option::of(preferred_date()), optional_prose())
        .prop_map(move |(buyer, date, notes)| OrderInput {
            service_slug: service_slug.clone(),
            package_name: None,
            buyer_name: buyer.name,
            buyer_email: buyer.email.as_str().to_owned(),
            buyer_phone: buyer.phone,
            preferred_date: date,
            notes,
            discount_code: None,
        })
        .boxed()
}

/// Orders that must be refused for one field.
pub fn almost_order_input(service_slug: &str) -> impl Strategy<Value = OrderInput> + use<> {
    let good = || order_input(service_slug);
    let no_date = proptest::sample::select(vec!["soon", "2026-02-30", "2026-13-01", "22/11/2026", "2026-11-22T09:36"]);
    // A blank optional field counts as left out.
    let phone = almost_name().prop_filter("not blank", |phone| !is_blank(phone));
    prop_oneof![
        (good(), almost_name()).prop_map(|(good, buyer_name)| OrderInput { buyer_name, ..good }),
        (good(), almost_email_address()).prop_map(|(good, buyer_email)| OrderInput { buyer_email, ..good }),
        (good(), phone).prop_map(|(good, phone)| OrderInput { buyer_phone: Some(phone), ..good }),
        (good(), no_date).prop_map(|(good, date)| OrderInput { preferred_date: Some(date.to_owned()), ..good }),
        (good(), almost_prose()).prop_map(|(good, notes)| OrderInput { notes: Some(notes), ..good }),
        good().prop_map(|good| OrderInput { discount_code: Some("WELCOME10".to_owned()), ..good }),
    ]
}

/// States of orders.
pub fn order_state() -> impl Strategy<Value = OrderState> {
    (version(), work_status(), payment_status(), rupiah(), timestamp())
        .prop_map(|(version, status, payment_status, quoted_price, updated_at)| OrderState {
            version,
            status,
            payment_status,
            quoted_price,
            updated_at,
        })
        .boxed()
}

/// Orders as stored.
pub fn order() -> impl Strategy<Value = Order> {
    let who = (order_id(), account_id(), service_id(), access_token(), buyer());
    let what = (proptest::option::of(name()), proptest::option::of(preferred_date()), optional_prose(), language());
    (who, what, timestamp(), order_state())
        .prop_map(
            |(
                (id, account_id, service_id, access_token, buyer),
                (package_name, preferred_date, notes, language),
                created_at,
                state,
            )| Order {
                id,
                account_id,
                service_id,
                access_token,
                buyer,
                package_name,
                preferred_date,
                notes,
                language,
                created_at: created_at.min(state.updated_at),
                state,
            },
        )
        .boxed()
}

/// States of payments.
pub fn payment_state() -> impl Strategy<Value = PaymentState> {
    (payment_status(), rupiah(), proptest::option::of(receipt()))
        .prop_map(|(status, amount_due, receipt)| PaymentState { status, amount_due, receipt })
}

/// Payments of any order.
pub fn payment() -> impl Strategy<Value = Payment> {
    (payment_id(), order_id(), payment_state()).prop_map(|(id, order_id, state)| Payment { id, order_id, state })
}

/// Payments of this order, consistent with its state.
pub fn payment_of(order: &Order) -> impl Strategy<Value = Payment> + use<> {
    let (order_id, status, amount_due) = (order.id, order.state.payment_status, order.state.quoted_price);
    (payment_id(), proptest::option::of(receipt())).prop_map(move |(id, receipt)| Payment {
        id,
        order_id,
        state: PaymentState { status, amount_due, receipt },
    })
}

/// Actors.
pub fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        access_token().prop_map(|token| Actor::buyer(&token)),
        key_id().prop_map(|id| Actor::Key { id }),
        key_id().prop_map(|id| Actor::Operator { id }),
        name().prop_map(|name| Actor::Host { name }),
    ]
}

/// Acts of the audit trail.
pub fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        rupiah().prop_map(|quote| Act::Placed { quote }),
        (payment_status(), payment_status(), proptest::option::of(digest()))
            .prop_map(|(from, to, proof_sha256)| Act::Payment { from, to, proof_sha256 }),
        (digest(), proptest::option::of(digest()))
            .prop_map(|(proof_sha256, replaced_sha256)| Act::Receipt { proof_sha256, replaced_sha256 }),
        (rupiah(), rupiah()).prop_map(|(from, to)| Act::Quote { from, to }),
        (exception_id(), proptest::option::of(adjustment_id()))
            .prop_map(|(exception_id, adjustment_id)| Act::Resolved { exception_id, adjustment_id }),
        (work_status(), work_status()).prop_map(|(from, to)| Act::Work { from, to }),
        (access_token(), access_token()).prop_map(|(from, to)| Act::token_rotated(&from, &to)),
    ]
}

/// Records of the audit trail.
pub fn audit_record() -> impl Strategy<Value = AuditRecord> {
    let which = (audit_id(), account_id(), order_id(), payment_id());
    (which, timestamp(), actor(), act(), optional_prose()).prop_map(
        |((id, account_id, order_id, payment_id), at, actor, act, note)| AuditRecord {
            id,
            account_id,
            order_id,
            payment_id,
            at,
            actor,
            act,
            note,
        },
    )
}

/// A seller's changes to an order: a status, a quote, or both. The order may not allow them.
pub fn order_patch() -> impl Strategy<Value = OrderPatch> {
    let quote = || amount().prop_map(Some);
    prop_oneof![
        3 => work_status().prop_map(|status| OrderPatch { status: Some(status), quoted_price_idr: None }),
        2 => quote().prop_map(|quoted_price_idr| OrderPatch { status: None, quoted_price_idr }),
        1 => (work_status(), quote())
            .prop_map(|(status, quoted_price_idr)| OrderPatch { status: Some(status), quoted_price_idr }),
    ]
    .boxed()
}

/// Changes that every order must refuse: an empty change, or a quote out of range.
pub fn almost_order_patch() -> impl Strategy<Value = OrderPatch> {
    let status = proptest::option::of(work_status());
    prop_oneof![
        Just(OrderPatch::default()),
        (status, almost_amount().prop_map(Some))
            .prop_map(|(status, quoted_price_idr)| OrderPatch { status, quoted_price_idr }),
    ]
}

/// A command of the buyer or the seller on one order, as a value.
#[derive(Clone, PartialEq, Eq)]
pub enum OrderCommand {
    /// The buyer claims the payment.
    Claim,
    /// The buyer uploads a receipt.
    Upload {
        /// The declared type.
        declared_type: String,
        /// The file.
        bytes: Vec<u8>,
    },
    /// The seller confirms the payment.
    Confirm {
        /// The seller's note.
        note: Option<String>,
        /// One of few idempotency keys, so that they repeat.
        key: Option<u8>,
    },
    /// The seller moves the work track, sets the quote, or both.
    Patch {
        /// The change.
        patch: OrderPatch,
        /// One of few idempotency keys, so that they repeat.
        key: Option<u8>,
    },
}

/// Short, and valid as Rust code: people read a failing script and paste it into a test.
impl fmt::Debug for OrderCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim => formatter.write_str("Claim"),
            Self::Upload { declared_type, bytes } => {
                write!(formatter, "Upload({declared_type:?}, b\"{}\")", bytes.escape_ascii())
            }
            Self::Confirm { note, key } => write!(formatter, "Confirm(note: {note:?}, key: {key:?})"),
            Self::Patch { patch: OrderPatch { status, quoted_price_idr }, key } => {
                let status = status.map(WorkStatus::as_str);
                write!(formatter, "Patch(status: {status:?}, quote: {quoted_price_idr:?}, key: {key:?})")
            }
        }
    }
}

fn repeated_key() -> impl Strategy<Value = Option<u8>> {
    proptest::option::of(0..3_u8)
}

/// Commands on one order with valid input. The order's state may not allow them.
pub fn order_command() -> impl Strategy<Value = OrderCommand> {
    // Few notes, so that a repeated key often has the same body.
    let note = proptest::option::of(proptest::sample::select(vec!["seen", "seen twice"]));
    prop_oneof![
        3 => Just(OrderCommand::Claim),
        3 => image().prop_map(|(kind, bytes)| {
            OrderCommand::Upload { declared_type: kind.media_type().to_owned(), bytes }
        }),
        2 => (note, repeated_key())
            .prop_map(|(note, key)| OrderCommand::Confirm { note: note.map(str::to_owned), key }),
        6 => (order_patch(), repeated_key()).prop_map(|(patch, key)| OrderCommand::Patch { patch, key }),
    ]
    .boxed()
}

/// Commands on one order that must be refused for their input in every state.
pub fn almost_order_command() -> impl Strategy<Value = OrderCommand> {
    prop_oneof![
        almost_image().prop_map(|(declared_type, bytes)| OrderCommand::Upload { declared_type, bytes }),
        (almost_prose(), repeated_key()).prop_map(|(note, key)| OrderCommand::Confirm { note: Some(note), key }),
        (almost_order_patch(), repeated_key()).prop_map(|(patch, key)| OrderCommand::Patch { patch, key }),
    ]
    .boxed()
}

/// Up to this many commands on one order, one after the other.
pub fn order_commands(count_max: usize) -> impl Strategy<Value = Vec<OrderCommand>> {
    proptest::collection::vec(order_command(), 0..=count_max)
}
