//! The page of one payout for the operator who transfers it: the destination, and the next step.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serront_core::decide::PayoutStep;
use serront_core::funds::payout::PayoutStatus;
use serront_core::primitives::ids::PayoutId;
use serront_core::snapshots::PayoutKey;

use super::parts::{PATH, age};
use crate::auth::Id;
use crate::body::Intake;
use crate::pages::form::Form;
use crate::pages::parts::{
    Field, alert, bank_details, facts, hidden, notice, once, payout_history, payout_pill, quoted,
};
use crate::pages::say::Say;
use crate::pages::session::Staff;
use crate::pages::visit::{Shown, Trouble, Visit};
use crate::query::Query;
use crate::state::Host;

/// The forms, each with an address below the payout's.
const IN_TRANSIT: &str = "in-transit";
const PAID: &str = "paid";
const FAILED: &str = "failed";

/// A refused form, to be shown again as it was sent.
struct Refused<'a> {
    end: &'a str,
    form: &'a Form,
    trouble: &'a Trouble,
}

fn address(id: PayoutId) -> String {
    format!("{PATH}/payouts/{id}")
}

/// GET at a form's address, from a reload or a language switch: redirects to the payout.
pub(super) async fn back(visit: Visit, Id(id): Id<PayoutId>) -> Response {
    visit.go(&address(id))
}

pub(super) async fn detail(State(host): State<Arc<Host>>, staff: Staff, Id(id): Id<PayoutId>, query: Query) -> Shown {
    let say = staff.visit.say;
    let done = match query.one("done")? {
        Some(IN_TRANSIT) => Some(say.of(
            "Ditandai sedang ditransfer. Penjual tidak bisa membatalkannya lagi.",
            "Marked as in transit. The seller can no longer cancel it.",
        )),
        Some(PAID) => Some(
            say.of("Ditandai sudah dibayarkan dan dicatat di buku besar.", "Marked as paid, and posted to the ledger."),
        ),
        Some(FAILED) => Some(say.of(
            "Ditandai gagal. Uangnya kembali bisa dicairkan penjual.",
            "Marked as failed. The money is available to the seller again.",
        )),
        _ => None,
    };
    show(&host, &staff, id, done, None).await
}

async fn show(host: &Host, staff: &Staff, id: PayoutId, done: Option<&str>, refused: Option<&Refused<'_>>) -> Shown {
    let (visit, say) = (&staff.visit, staff.visit.say);
    let commands = staff.caller.commands();
    let payout = commands.payout(PayoutKey::Any(id)).await?;
    let seller = commands.account(payout.account_id).await?;
    let steps = commands.payout_audit(payout.account_id, id).await?;
    let once_text = staff.fresh_once()?;
    let requested =
        format!("{} ({})", say.moment(payout.created_at), age(say, host.ports.clock.now().since(payout.created_at)));
    let title = say.of("Pencairan", "Payout");
    let account_id = payout.account_id.to_string();
    let body = html! {
        p { a href=(visit.to(PATH)) { "← Operator" } }
        (notice(done))
        (alert(refused.map(|refused| refused.trouble)))
        section.card.summary {
            h1 { (title) }
            p.amount { (payout.amount.to_string()) }
            p { (payout_pill(say, payout.status)) }
        }
        div.grid.wide-left {
            div.grid {
                section.card aria-labelledby="destination-title" {
                    h2 #destination-title { (say.of("Transfer ke", "Transfer to")) }
                    (bank_details(say, &payout.bank))
                    (facts(&[
                        (say.of("Penjual", "Seller"), &seller.name),
                        (say.of("Akun", "Account"), &html! { code { (account_id) } }),
                        (say.of("Diminta", "Requested"), &requested),
                        (say.of("Referensi", "Reference"), &payout.reference.as_deref().unwrap_or("–")),
                        (say.of("Nomor", "Id"), &html! { code { (payout.id) } }),
                    ]))
                    @if let Some(note) = &payout.note { (quoted(say.of("Catatan penjual", "The seller's note"), note)) }
                    @if let Some(reason) = &payout.failure_reason { (quoted(say.of("Mengapa gagal", "Why it failed"), reason)) }
                }
                @if let Some(step) = next_step(say, payout.status) { (step.show(staff, id, refused, &once_text)) }
                @if payout.status.is_in_flight() { (failure(say).show(staff, id, refused, &once_text)) }
            }
            (payout_history(say, &steps, |actor| say.actor(actor)))
        }
    };
    Ok(staff.page(title, body))
}

/// A step's form: its meaning, and its one text field.
struct Step<'a> {
    /// The end of the address, and the card's id.
    end: &'a str,
    title: &'a str,
    meaning: &'a str,
    field: Field<'a>,
    button: &'a str,
    class: Option<&'a str>,
}

impl Step<'_> {
    fn show(&self, staff: &Staff, id: PayoutId, refused: Option<&Refused<'_>>, once_text: &str) -> Markup {
        let say = staff.visit.say;
        let again = refused.filter(|refused| refused.end == self.end);
        let value = again.map_or("", |refused| refused.form.text(self.field.name));
        let field = Field { value, ..self.field };
        let title = format!("{}-title", self.end);
        html! {
            section.card aria-labelledby=(title) {
                h2 id=(title) { (self.title) }
                p { (self.meaning) }
                form method="post" action=(staff.visit.to(&format!("{}/{}", address(id), self.end))) data-once="" {
                    (hidden(staff))
                    (once(once_text))
                    (field.show(say, again.map(|refused| refused.trouble)))
                    div.actions { button class=[self.class] type="submit" { (self.button) } }
                }
            }
        }
    }
}

/// The next step after a success.
fn next_step(say: Say, status: PayoutStatus) -> Option<Step<'static>> {
    let reference = Field::text("reference", say.of("Referensi transfer", "Transfer reference"), "");
    match status {
        PayoutStatus::Pending => Some(Step {
            end: IN_TRANSIT,
            title: say.of("Mulai mentransfer", "Start the transfer"),
            meaning: say.of(
                "Tandai sebelum Anda mentransfer di bank: sejak itu penjual tidak bisa membatalkannya lagi.",
                "Mark it before you transfer the money at the bank. The seller can then no longer cancel it.",
            ),
            field: reference.rule(say.of("Penjual membacanya", "The seller sees it")),
            button: say.of("Tandai sedang ditransfer", "Mark as in transit"),
            class: None,
        }),
        PayoutStatus::InTransit => Some(Step {
            end: PAID,
            title: say.of("Uangnya sudah ditransfer", "The money was transferred"),
            meaning: say.of(
                "Tandai hanya bila uangnya benar-benar sudah ditransfer. Pencairan lalu dicatat di buku besar dan mengurangi saldo penjual. Ini tidak bisa ditarik kembali.",
                "Mark it only if the money was really transferred. The payout is then posted to the ledger and deducted from the seller's balance. This can't be undone.",
            ),
            field: reference.rule(say.of(
                "Penjual membacanya; bila kosong, yang sebelumnya tetap",
                "The seller sees it; if empty, the previous one is kept",
            )),
            button: say.of("Tandai sudah dibayarkan", "Mark as paid"),
            class: None,
        }),
        PayoutStatus::Paid | PayoutStatus::Cancelled | PayoutStatus::Failed => None,
    }
}

/// The step after a failure.
fn failure(say: Say) -> Step<'static> {
    Step {
        end: FAILED,
        title: say.of("Transfer gagal", "The transfer failed"),
        meaning: say.of(
            "Bila tidak bisa ditransfer, atau bank mengembalikannya. Uangnya kembali bisa dicairkan penjual. Ini tidak bisa ditarik kembali.",
            "If it can't be transferred, or the bank returned it. The money is available to the seller again. This can't be undone.",
        ),
        field: Field::text("failureReason", say.of("Alasan", "Reason"), "").required().rule(say.of(
            "Tulis alasannya, misalnya nomor rekening tidak ditemukan; penjual membacanya",
            "The reason, such as an unknown account number; the seller sees it",
        )),
        button: say.of("Tandai gagal", "Mark as failed"),
        class: Some("danger"),
    }
}

pub(super) async fn in_transit(
    State(host): State<Arc<Host>>,
    staff: Staff,
    Id(id): Id<PayoutId>,
    intake: Intake,
) -> Shown {
    let form = staff.form(&intake).await?;
    let step = PayoutStep::MarkInTransit { reference: form.optional("reference") };
    mark(&host, &staff, id, (IN_TRANSIT, &step), &form).await
}

pub(super) async fn paid(State(host): State<Arc<Host>>, staff: Staff, Id(id): Id<PayoutId>, intake: Intake) -> Shown {
    let form = staff.form(&intake).await?;
    let step = PayoutStep::MarkPaid { reference: form.optional("reference") };
    mark(&host, &staff, id, (PAID, &step), &form).await
}

pub(super) async fn failed(State(host): State<Arc<Host>>, staff: Staff, Id(id): Id<PayoutId>, intake: Intake) -> Shown {
    let form = staff.form(&intake).await?;
    let step = PayoutStep::MarkFailed { failure_reason: form.optional("failureReason") };
    mark(&host, &staff, id, (FAILED, &step), &form).await
}

async fn mark(host: &Host, staff: &Staff, id: PayoutId, (end, step): (&str, &PayoutStep), form: &Form) -> Shown {
    let request = form.once(staff.caller.account(), &format!("{}/{end}", address(id)))?;
    let moved = staff.caller.commands().move_payout(PayoutKey::Any(id), step, &staff.caller.actor(), request).await;
    match moved {
        Ok(_) => Ok(staff.visit.go(&format!("{}?done={end}", address(id)))),
        Err(failure) => {
            let trouble = Trouble::of(staff.visit.say, failure)?;
            let refused = Refused { end, form, trouble: &trouble };
            Ok(trouble.on(show(host, staff, id, None, Some(&refused)).await?))
        }
    }
}
