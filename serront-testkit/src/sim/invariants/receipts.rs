//! Receipts: one that a payment names is never removed; in the end nothing else is left.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::change::Write;
use serront_core::ids::{PaymentId, UploadId};

use super::books;
use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct Receipts {
    named: BTreeMap<PaymentId, UploadId>,
}

impl Invariant for Receipts {
    fn name(&self) -> &'static str {
        "receipts"
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => {
                for write in &change.writes {
                    if let Write::UpdatePayment { id, state, .. } = write
                        && let Some(receipt) = &state.receipt
                    {
                        self.named.insert(*id, receipt.upload_id);
                    }
                }
                Ok(())
            }
            Event::Removed { upload, .. } if self.named.values().any(|named| named == upload) => {
                Err(format!("{upload} was removed, and a payment names it"))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        let receipts = books::all_orders(view)?.into_iter().filter_map(|row| row.payment.state.receipt);
        let named: BTreeSet<_> = receipts.map(|receipt| receipt.upload_id).collect();
        let stored: BTreeSet<_> = view.receipts.uploads().into_iter().map(|(_, upload)| upload).collect();
        if let Some(missing) = named.difference(&stored).next() {
            return Err(format!("{missing} is named by a payment, and its bytes are gone"));
        }
        match stored.difference(&named).next() {
            None => Ok(()),
            Some(orphan) => Err(format!("{orphan} is named by nothing, and is still there")),
        }
    }
}
