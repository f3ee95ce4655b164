//! Money, times, versions and ids.

use proptest::prelude::*;
use serront_core::primitives::ids::{
    AccountId, AdjustmentId, AuditId, ChangeSetId, DeliveryId, EventId, ExceptionId, IdSequence, KeyId, MailId,
    OrderId, PaymentId, PayoutId, RemovalId, RequestId, ServiceId, SubscriptionId, UploadId,
};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use ulid::Ulid;

/// Amounts from zero to the largest, with the limits more often than by chance.
pub fn rupiah() -> impl Strategy<Value = Rupiah> {
    amount().prop_map(|amount| Rupiah::new(amount).expect("an amount in range")).boxed()
}

/// An amount as a number, as in input.
pub fn amount() -> impl Strategy<Value = i64> {
    let max = Rupiah::MAX.get();
    prop_oneof![2 => Just(0), 1 => Just(1), 1 => Just(max), 4 => 1_000..10_000_000_i64, 2 => 0..=max].boxed()
}

/// Numbers just outside the range of an amount, and far outside.
pub fn almost_amount() -> impl Strategy<Value = i64> {
    let max = Rupiah::MAX.get();
    prop_oneof![Just(-1), Just(max + 1), Just(i64::MIN), Just(i64::MAX), i64::MIN..0, max + 1..=i64::MAX]
}

/// Times from 2000 to 2100, to the millisecond.
pub fn timestamp() -> impl Strategy<Value = Timestamp> {
    (946_684_800_000..4_102_444_800_000_i64).prop_map(Timestamp::from_millis)
}

/// Versions of rows that exist.
pub fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::FIRST), (1..1_000_000_u32).prop_map(Version)]
}

/// ULIDs of times from 2000 to 2100.
pub fn ulid() -> impl Strategy<Value = Ulid> {
    let random = prop_oneof![4 => any::<u128>(), 1 => Just(0), 1 => Just(u128::MAX)];
    (946_684_800_000..4_102_444_800_000_u64, random)
        .prop_map(|(millis, random)| Ulid::from_parts(millis, random))
        .boxed()
}

/// The start of one decision's ids.
pub fn id_sequence() -> impl Strategy<Value = IdSequence> {
    ulid().prop_map(IdSequence::from_seed)
}

macro_rules! id_strategies {
    ($($function:ident: $name:ident),+ $(,)?) => {$(
        #[doc = concat!("Values of [`", stringify!($name), "`].")]
        pub fn $function() -> impl Strategy<Value = $name> {
            ulid().prop_map($name::from_ulid)
        }
    )+};
}

id_strategies! {
    account_id: AccountId,
    adjustment_id: AdjustmentId,
    audit_id: AuditId,
    change_set_id: ChangeSetId,
    delivery_id: DeliveryId,
    event_id: EventId,
    exception_id: ExceptionId,
    key_id: KeyId,
    mail_id: MailId,
    order_id: OrderId,
    payment_id: PaymentId,
    payout_id: PayoutId,
    removal_id: RemovalId,
    request_id: RequestId,
    service_id: ServiceId,
    subscription_id: SubscriptionId,
    upload_id: UploadId,
}

/// Texts that are not quite an id with this prefix (`ord_`).
pub fn almost_id(prefix: &'static str) -> impl Strategy<Value = String> {
    let body = ulid().prop_map(|ulid| ulid.to_string().to_ascii_lowercase());
    (body, 0..9_u8, 0..26_usize).prop_map(move |(body, how, at)| match how {
        0 => body,
        1 => prefix.to_owned(),
        2 => format!("{prefix}{}", body.to_ascii_uppercase()),
        3 => format!("{prefix}{body}0"),
        4 => format!("{prefix}{}", body.chars().skip(1).collect::<String>()),
        5 => format!(" {prefix}{body}"),
        6 => format!("x{prefix}{body}"),
        // Beyond 128 bits.
        7 => format!("{prefix}8{}", body.chars().skip(1).collect::<String>()),
        // `u` and `i` are not digits of a ULID, but a lenient decoder may accept them.
        _ => {
            let other = if at % 2 == 0 { 'u' } else { 'i' };
            let body: String =
                body.chars().enumerate().map(|(index, digit)| if index == at { other } else { digit }).collect();
            format!("{prefix}{body}")
        }
    })
}
