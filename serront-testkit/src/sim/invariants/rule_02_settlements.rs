//! Rule 2: every checkout that Plugipay told of as completed is in the ledger exactly once.
//!
//! There is no online checkout yet. What can be checked is the other side of it: a buyer is never offered a payment that
//! nothing could book. When checkouts come: compare the ledger with what the simulated Plugipay completed.

use serde_json::Value;

use crate::sim::events::{Event, Invariant, Reply, Verdict, View};

#[derive(Default)]
pub(super) struct Settlements;

fn offers(data: &Value) -> bool {
    let of = |value: &Value| value.get("onlinePayment").and_then(Value::as_bool).unwrap_or(false);
    of(data) || data.get("storefront").is_some_and(of)
}

impl Invariant for Settlements {
    fn name(&self) -> &'static str {
        "rule 2: settlements"
    }

    fn not_yet(&self) -> Option<&'static str> {
        Some("there is no online checkout and no ledger; checked: no page offers to pay online")
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        match event {
            Event::Told { reply: Reply::Done { data, .. }, .. } if offers(data) => {
                Err("a page offers to pay online, and nothing could book it".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, _view: &View<'_>) -> Verdict {
        Ok(())
    }
}
