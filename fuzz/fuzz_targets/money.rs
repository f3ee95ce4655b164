//! Money: only whole rupiah within bounds are accepted, their text can be parsed again, and arithmetic never wraps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serront_core::primitives::money::Rupiah;

fuzz_target!(|input: (&str, i64, i64)| {
    let (json, left, right) = input;
    if let Ok(amount) = serde_json::from_str::<Rupiah>(json) {
        assert!((0..=Rupiah::MAX.get()).contains(&amount.get()));
        assert_eq!(json.trim().parse::<i64>().ok(), Some(amount.get()), "{json}");
    }
    let (Ok(left), Ok(right)) = (Rupiah::new(left), Rupiah::new(right)) else { return };
    let digits: String = left.to_string().chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits.parse(), Ok(left.get()));
    if let Some(sum) = left.checked_add(right) {
        assert_eq!(sum.checked_sub(right), Some(left));
    }
    if let Some(difference) = left.checked_sub(right) {
        assert_eq!(difference.checked_add(right), Some(left));
    }
});
