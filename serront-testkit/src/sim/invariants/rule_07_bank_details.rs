//! Rule 7: a public view never shows bank details once the payment is confirmed, and the storefront page never does.

use serde_json::Value;

use crate::sim::events::{Event, Invariant, Reply, Verb, Verdict, View};

#[derive(Default)]
pub(super) struct BankDetails;

/// Parts of every seller's bank details in the simulation: account number, bank, instructions.
const TELLTALES: [&str; 3] = ["7700-", "Bank Contoh", "Tulis nomor pesanan"];

impl Invariant for BankDetails {
    fn name(&self) -> &'static str {
        "rule 7: bank details"
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        let Event::Answered { call, reply: Reply::Done { data, .. }, .. } = event else { return Ok(()) };
        let public = match &call.verb {
            Verb::Visit { .. } => true,
            Verb::View { .. } | Verb::Claim { .. } => {
                data.get("paymentStatus").and_then(Value::as_str) == Some("payment_confirmed")
            }
            _ => false,
        };
        let shown = data.to_string();
        if public && TELLTALES.iter().any(|telltale| shown.contains(telltale)) {
            return Err(format!("{} shows bank details: {shown}", call.verb.name()));
        }
        let owed = matches!(call.verb, Verb::View { .. } | Verb::Claim { .. }) && !public;
        if owed && data.get("payment").is_none_or(Value::is_null) {
            return Err("an unpaid order does not show the bank details".to_owned());
        }
        Ok(())
    }
}
