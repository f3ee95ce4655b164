//! Rule 5: one account's request never reads or changes another's data. In the simulation all data carry their seller's
//! mark, so that another seller's data can be recognized.

use serde_json::Value;

use crate::sim::events::{Event, Invariant, Reply, SellerFacts, Verdict, View};

#[derive(Default)]
pub(super) struct OneAccount;

/// The marks of one seller's data: account, buyers, bank account, receivers, receipts.
fn marks(seller: usize, facts: &SellerFacts) -> [String; 5] {
    [
        facts.account.to_string(),
        format!("buyer-{seller}-"),
        format!("7700-{seller:04}-"),
        format!("seller-{seller}.example"),
        format!("seller {seller} image"),
    ]
}

fn foreign(shown: &str, own: usize, view: &View<'_>) -> Verdict {
    let others = view.sellers.iter().enumerate().filter(|(seller, _)| *seller != own);
    let found = others.flat_map(|(seller, facts)| marks(seller, facts)).find(|mark| shown.contains(mark.as_str()));
    match found {
        None => Ok(()),
        Some(mark) => Err(format!("seller {own} sees {mark} of another seller")),
    }
}

impl Invariant for OneAccount {
    fn name(&self) -> &'static str {
        "rule 5: one account"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Answered { call, reply, .. } if call.bearer.is_some() => match reply {
                Reply::Done { data, .. } => foreign(&data.to_string(), call.seller, view),
                Reply::Bytes(bytes) => foreign(&String::from_utf8_lossy(bytes), call.seller, view),
                Reply::Refused(_) | Reply::NotDone | Reply::Unknown => Ok(()),
            },
            Event::Posted { post, seller, .. } => {
                let body: Value = serde_json::from_str(&post.body).unwrap_or_default();
                let own = view.sellers.get(*seller).map(|facts| facts.account.to_string());
                if body.get("accountId").and_then(Value::as_str) != own.as_deref() {
                    return Err(format!("seller {seller} got another account's event"));
                }
                foreign(&post.body, *seller, view)
            }
            _ => Ok(()),
        }
    }
}
