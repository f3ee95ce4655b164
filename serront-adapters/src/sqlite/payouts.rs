//! What a change set writes of payouts, where they go, and adjustments.

use serront_core::funds::balance::Funds;
use serront_core::funds::ledger::Adjustment;
use serront_core::funds::payout::{DefaultBankAccount, Payout, PayoutAudit, PayoutState};
use serront_core::primitives::ids::{AccountId, PayoutId};
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;

use super::script::Script;
use super::writes::json;
use crate::sql::error::Failed;

pub(super) fn put_funds(script: &mut Script, funds: &Funds) {
    let Funds { account_id, version, in_flight } = funds;
    // A first write has nothing before it: a row that is there already is told by the constraint.
    script
        .add(if *version == Version::FIRST {
            "INSERT INTO funds (version, in_flight, account_id) VALUES (?, ?, ?)"
        } else {
            "UPDATE funds SET version = ?, in_flight = ? WHERE account_id = ?"
        })
        .bind(version.0)
        .bind(in_flight.get())
        .bind(account_id.to_string());
}

pub(super) fn put_bank_account(script: &mut Script, bank_account: &DefaultBankAccount) -> Result<(), Failed> {
    let DefaultBankAccount { account_id, version, details } = bank_account;
    script
        .add(if *version == Version::FIRST {
            "INSERT INTO bank_accounts (version, details, account_id) VALUES (?, ?, ?)"
        } else {
            "UPDATE bank_accounts SET version = ?, details = ? WHERE account_id = ?"
        })
        .bind(version.0)
        .bind(json(details)?)
        .bind(account_id.to_string());
    Ok(())
}

fn bind_state<'s>(script: &'s mut Script, state: &PayoutState) -> &'s mut Script {
    script
        .bind(state.version.0)
        .bind(state.status.as_str())
        .bind(&state.reference)
        .bind(&state.failure_reason)
        .bind(state.processed_at.map(Timestamp::millis))
        .bind(state.completed_at.map(Timestamp::millis))
        .bind(state.updated_at.millis())
}

pub(super) fn insert(script: &mut Script, payout: &Payout) -> Result<(), Failed> {
    let Payout { id, account_id, amount, bank, note, created_at, state } = payout;
    script.add(
        "INSERT INTO payouts (version, status, reference, failure_reason, processed_at, completed_at, updated_at, \
         payout_id, account_id, amount, bank, note, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    bind_state(script, state)
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(amount.get())
        .bind(json(bank)?)
        .bind(note)
        .bind(created_at.millis());
    Ok(())
}

pub(super) fn update(script: &mut Script, account: AccountId, id: PayoutId, state: &PayoutState) {
    script.add(
        "UPDATE payouts SET version = ?, status = ?, reference = ?, failure_reason = ?, processed_at = ?, \
         completed_at = ?, updated_at = ? WHERE payout_id = ? AND account_id = ?",
    );
    bind_state(script, state).bind(id.to_string()).bind(account.to_string());
}

pub(super) fn append_audit(script: &mut Script, record: &PayoutAudit) -> Result<(), Failed> {
    let PayoutAudit { id, account_id, payout_id, at, actor, from, to, note } = record;
    script
        .add(
            "INSERT INTO payout_audit (audit_id, account_id, payout_id, at, actor, from_status, to_status, note) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(payout_id.to_string())
        .bind(at.millis())
        .bind(json(actor)?)
        .bind(from.map(|from| from.as_str()))
        .bind(to.as_str())
        .bind(note);
    Ok(())
}

pub(super) fn insert_adjustment(script: &mut Script, adjustment: &Adjustment) -> Result<(), Failed> {
    let Adjustment { id, account_id, direction, amount, reason, reference, actor, created_at } = adjustment;
    script
        .add(
            "INSERT INTO adjustments (adjustment_id, account_id, direction, amount, reason, reference, actor, \
             created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(direction.as_str())
        .bind(amount.get())
        .bind(reason)
        .bind(reference)
        .bind(json(actor)?)
        .bind(created_at.millis());
    Ok(())
}
