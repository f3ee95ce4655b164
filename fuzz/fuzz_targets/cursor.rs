//! Cursors: accepted only if unchanged, and only by the list and account that created them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serront_core::orders::order::OrderNumber;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::{Position, cursor, parse_cursor};
use serront_core::snapshots::{DeliveryPosition, EffectPosition, EntryPosition, ExceptionPosition, PayoutPosition};

fn taken<P: Position>(account: AccountId, raw: &str) -> bool {
    match parse_cursor::<P>(account, Some(raw)) {
        Ok(Some(position)) => {
            assert_eq!(cursor(account, &position), raw, "one position has one cursor");
            true
        }
        Ok(None) => panic!("a cursor was given"),
        Err(_) => false,
    }
}

fuzz_target!(|input: (&str, u32)| {
    let (raw, number) = input;
    let account: AccountId = "acc_01jtestvect0r0000000000001".parse().expect("an id");
    let other: AccountId = "acc_01jtestvect0r0000000000002".parse().expect("an id");
    let lists = [
        taken::<OrderNumber>(account, raw),
        taken::<DeliveryPosition>(account, raw),
        taken::<EntryPosition>(account, raw),
        taken::<ExceptionPosition>(account, raw),
        taken::<PayoutPosition>(account, raw),
        taken::<EffectPosition>(account, raw),
    ];
    assert!(lists.into_iter().filter(|taken| *taken).count() <= 1, "{lists:?}");
    let made = cursor(account, &OrderNumber(number));
    assert!(taken::<OrderNumber>(account, &made));
    assert!(!taken::<OrderNumber>(other, &made) && !taken::<EntryPosition>(account, &made));
});
