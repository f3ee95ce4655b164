//! A notification's bytes: parsed without a panic, and the merchant read before the check of the signature is the
//! envelope's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serront_core::online::plugipay::{Notification, endpoint, endpoints, ledger_entries, named_merchant};

fuzz_target!(|bytes: &[u8]| {
    let named = named_merchant(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(named.is_none(), "JSON is UTF-8");
        return;
    };
    if let Ok(notification) = Notification::read(text) {
        assert!(!notification.event_id.as_str().is_empty());
        assert_eq!(Notification::read(text), Ok(notification), "reading is a function");
    }
    // Plugipay's answers use the same parser.
    let _ = (endpoint(text), endpoints(text), ledger_entries(text));
});
