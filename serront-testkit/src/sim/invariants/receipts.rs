//! Receipts: one that a payment names is never removed or quarantined. A receipt is deleted from quarantine only after
//! its time there. At the end the store has no other receipts outside quarantine.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::change::Write;
use serront_core::primitives::ids::{PaymentId, UploadId};

use super::books;
use crate::sim::events::{Event, Invariant, Verdict, View};

/// Longest duration of a call.
const UNDER_WAY_MS: i64 = 10 * 60_000;

#[derive(Default)]
pub(super) struct Receipts {
    named: BTreeMap<PaymentId, UploadId>,
    /// The time of the quarantine, by the storage's clock.
    quarantined: BTreeMap<UploadId, i64>,
}

impl Invariant for Receipts {
    fn name(&self) -> &'static str {
        "receipts"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
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
                Err(format!("{upload} was removed although a payment names it"))
            }
            Event::Quarantined { upload } => {
                self.quarantined.insert(*upload, view.now);
                if self.named.values().any(|named| named == upload) {
                    return Err(format!("{upload} was quarantined although a payment names it"));
                }
                Ok(())
            }
            Event::Discarded { upload } => {
                let kept = i64::try_from(view.policy.retention.quarantine_kept.as_millis()).unwrap_or(i64::MAX / 4);
                let Some(since) = self.quarantined.get(upload) else {
                    return Err(format!("{upload} was deleted from quarantine without having been there"));
                };
                // The caller sets the time of the quarantine shortly before the move.
                if view.now - since + UNDER_WAY_MS < kept {
                    return Err(format!("{upload} was deleted after {} ms in quarantine", view.now - since));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        let receipts = books::all_orders(view)?.into_iter().filter_map(|row| row.payment.state.receipt);
        let named: BTreeSet<_> = receipts.map(|receipt| receipt.upload_id).collect();
        let stored: BTreeSet<_> = view.receipts.uploads().into_iter().map(|(_, upload)| upload).collect();
        if let Some(missing) = named.difference(&stored).next() {
            return Err(format!("a payment names {missing}, but its bytes are missing"));
        }
        match stored.difference(&named).next() {
            None => Ok(()),
            Some(orphan) => Err(format!("no payment names {orphan}, but it is still stored")),
        }
    }
}
