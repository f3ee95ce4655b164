//! Payouts: the destination account, the request, the list, and the page of one payout.

use maud::{Markup, html};
use serront_core::accounts::actor::Actor;
use serront_core::decide::PayoutStep;
use serront_core::funds::payout::{DefaultDetails, PayoutStatus};
use serront_core::primitives::ids::PayoutId;
use serront_core::primitives::page::Limit;
use serront_core::service::PayoutsPage;
use serront_core::snapshots::PayoutKey;
use serront_core::views::{BankAccountView, PayoutBalanceView, PayoutView};

use super::form::{PATH, Place, Refused, gate};
use crate::auth::Id;
use crate::body::Intake;
use crate::pages::layout::Section;
use crate::pages::parts::{
    Field, Input, alert, bank_details, choices, facts, hidden, more, notice, once, payout_history, payout_pill, quoted,
};
use crate::pages::say::{Say, rupiah};
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble, Turn, Visit};
use crate::query::Query;

/// The list, and the form of a request.
pub(super) const LIST_PATH: &str = "/dashboard/payments/payouts";
/// The form of the destination account.
pub(super) const BANK_ACCOUNT_PATH: &str = "/dashboard/payments/bank-account";
/// Payouts on the payments page.
const FEW: &str = "5";
/// Payouts on a page of the list.
const ON_A_PAGE: &str = "20";

pub(super) async fn newest(seller: &Seller) -> Result<PayoutsPage, Turn> {
    let limit = Limit::parse(Some(FEW))?;
    Ok(seller.caller.commands().payouts(seller.caller.account(), None, None, limit).await?)
}

/// The section of the payouts: an explanation, the request, and the newest ones.
pub(super) fn section(
    seller: &Seller,
    balance: &PayoutBalanceView,
    bank: &BankAccountView,
    newest: &PayoutsPage,
    refused: Option<&Refused>,
    once_text: &str,
) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    html! {
        section.card #payouts aria-labelledby="payouts-title" {
            h2 #payouts-title { (say.of("Pencairan", "Payouts")) }
            p.honest {
                (say.of(
                    "Setiap pencairan ditinjau lalu ditransfer manual oleh operator. Biasanya uangnya tidak langsung sampai.",
                    "An operator reviews each payout and transfers it manually. The money usually does not arrive instantly.",
                ))
            }
            (request_form(seller, balance, bank, refused, once_text))
            @if newest.payouts.is_empty() { p.empty { (say.of("Belum ada pencairan.", "There are no payouts yet.")) } }
            @else {
                h3 { (say.of("Pencairan terbaru", "Newest payouts")) }
                (rows(visit, &newest.payouts))
            }
            @if newest.cursor.is_some() { p { a href=(visit.to(LIST_PATH)) { (say.of("Semua pencairan", "All payouts")) } } }
        }
    }
}

fn request_form(
    seller: &Seller,
    balance: &PayoutBalanceView,
    bank: &BankAccountView,
    refused: Option<&Refused>,
    once_text: &str,
) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let again = Refused::at(refused, Place::Request);
    let typed = |name| again.map_or("", |(form, _)| form.text(name));
    let trouble = again.map(|(_, trouble)| trouble);
    let most = rupiah(balance.available.max(0));
    let rule = say.of(
        format!("Angka tanpa desimal, misalnya 500.000. Yang bisa dicairkan: {most}"),
        format!("A whole number, such as 500.000. Available: {most}"),
    );
    let amount = Field::text("amount", say.of("Jumlah dalam rupiah", "Amount in rupiah"), typed("amount"));
    let note =
        Field::text("note", say.of("Catatan untuk Anda dan operator", "Note for you and the operator"), typed("note"));
    html! {
        form method="post" action=(visit.to(LIST_PATH)) data-once="" {
            (hidden(seller))
            (once(once_text))
            (amount.required().rule(&rule).input(Input::Amount).show(say, trouble))
            (note.show(say, trouble))
            @if let Some(bank) = bank.details.complete() {
                p.muted {
                    (say.of("Ditransfer ke ", "Transferred to "))
                    strong { (bank.bank_name) " " (bank.bank_account_number) } (say.of(", a.n. ", ", held by ")) (bank.bank_account_holder) "."
                }
            } @else {
                p.muted { (say.of("Isi dahulu ", "First fill in ")) a href="#bank-account" { (say.of("rekening tujuan", "your bank account")) } "." }
            }
            div.actions { button type="submit" { (say.of("Minta pencairan", "Request a payout")) } }
        }
    }
}

/// Payouts as a list of links.
fn rows(visit: &Visit, payouts: &[PayoutView]) -> Markup {
    let say = visit.say;
    html! {
        ul.rows {
            @for payout in payouts {
                li {
                    a.item href=(visit.to(&format!("{LIST_PATH}/{}", payout.id))) {
                        span.title.money { (payout.amount.to_string()) }
                        span { (payout_pill(say, payout.status)) }
                        span.muted.small { (say.day(payout.created_at)) " · " (payout.bank.bank_name) }
                    }
                }
            }
        }
    }
}

fn bank_title(say: Say) -> &'static str {
    say.of("Rekening tujuan", "Your bank account")
}

/// The destination account and the form that changes it, which is folded if there is an account.
pub(super) fn bank_section(seller: &Seller, bank: &BankAccountView, refused: Option<&Refused>) -> Markup {
    let say = seller.visit.say;
    let again = Refused::at(refused, Place::BankAccount);
    html! {
        section.card #bank-account aria-labelledby="bank-title" {
            h2 #bank-title { (bank_title(say)) }
            @if let Some(complete) = bank.details.complete() {
                (bank_details(say, &complete))
                details open[again.is_some()] {
                    summary { (say.of("Ganti rekening", "Change the account")) }
                    p.muted.small { (say.of("Pencairan yang sudah diminta tetap ke rekening sebelumnya.", "Requested payouts keep the previous account.")) }
                    (bank_form(seller, &bank.details, refused))
                }
            } @else {
                p.muted { (say.of("Ke rekening inilah pencairan ditransfer. Pembeli tidak melihatnya.", "Payouts are transferred to this account. Buyers don't see it.")) }
                (bank_form(seller, &bank.details, refused))
            }
        }
    }
}

fn bank_form(seller: &Seller, stored: &DefaultDetails, refused: Option<&Refused>) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let again = Refused::at(refused, Place::BankAccount);
    let trouble = again.map(|(_, trouble)| trouble);
    let value = |name, stored: &Option<String>| match again {
        Some((form, _)) => form.text(name).to_owned(),
        None => stored.clone().unwrap_or_default(),
    };
    let DefaultDetails { bank_code, bank_name, bank_account_number, bank_account_holder } = stored;
    let (name, number) = (value("bankName", bank_name), value("bankAccountNumber", bank_account_number));
    let (holder, code) = (value("bankAccountHolder", bank_account_holder), value("bankCode", bank_code));
    let short = say.of("Paling banyak 100 huruf", "At most 100 characters");
    let fields = [
        Field::text("bankName", "Bank", &name)
            .required()
            .rule(say.of("Nama bank, misalnya BCA atau Bank Mandiri", "The bank's name, such as BCA or Bank Mandiri")),
        Field::text("bankAccountNumber", say.of("Nomor rekening", "Account number"), &number)
            .required()
            .rule(say.of("Angka, spasi dan tanda hubung", "Digits, spaces and dashes")),
        Field::text("bankAccountHolder", say.of("Nama pemilik rekening", "Account holder"), &holder)
            .required()
            .rule(short),
        Field::text("bankCode", say.of("Kode bank", "Bank code"), &code)
            .rule(say.of("Misalnya 014", "For example 014")),
    ];
    html! {
        form method="post" action=(visit.to(BANK_ACCOUNT_PATH)) data-once="" {
            (hidden(seller))
            @for field in fields { (field.show(say, trouble)) }
            div.actions { button.secondary type="submit" { (say.of("Simpan rekening", "Save the account")) } }
        }
    }
}

pub(super) async fn list(seller: Seller, query: Query) -> Shown {
    gate(&seller).await?;
    let (visit, say) = (&seller.visit, seller.visit.say);
    let status = query.one("status")?.unwrap_or("");
    let wanted = PayoutStatus::parse(status);
    let limit = Limit::parse(Some(ON_A_PAGE))?;
    let page = seller.caller.commands().payouts(seller.caller.account(), wanted, query.one("cursor")?, limit).await?;
    let title = say.of("Semua pencairan", "All payouts");
    let body = html! {
        p { a href=(visit.to(PATH)) { "← " (say.of("Pembayaran", "Payments")) } }
        h1 { (title) }
        section.card #payouts aria-label=(title) {
            form.filters.one method="get" action=(visit.to(LIST_PATH)) {
                (choices(say, "status", say.of("Status", "State"), wanted.map_or("", PayoutStatus::as_str), PayoutStatus::ALL.map(|one| (one.as_str(), say.payout(one)))))
                button.secondary type="submit" { (say.of("Tampilkan", "Show")) }
            }
            @if page.payouts.is_empty() { p.empty { (say.of("Tidak ada pencairan.", "There are no payouts.")) } }
            @else { (rows(visit, &page.payouts)) }
            (more(say, page.cursor.as_deref().map(|cursor| visit.link(LIST_PATH, [("status", status), ("cursor", cursor)]))))
        }
    };
    Ok(seller.page(Section::Payments, title, body))
}

pub(super) async fn detail(seller: Seller, Id(id): Id<PayoutId>, query: Query) -> Shown {
    gate(&seller).await?;
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("cancelled") => Some(say.of(
            "Pencairan dibatalkan. Uangnya bisa dicairkan lagi.",
            "The payout was cancelled. The money is available again.",
        )),
        _ => None,
    };
    show(&seller, id, done, None).await
}

async fn show(seller: &Seller, id: PayoutId, done: Option<&str>, trouble: Option<&Trouble>) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let payout = commands.payout(PayoutKey::Id(account, id)).await?;
    let steps = commands.payout_audit(account, id).await?;
    let once_text = seller.fresh_once()?;
    // Sellers don't see which operator's key it was.
    let who = |actor: &Actor| {
        let is_operator = matches!(actor, Actor::Operator { .. });
        if is_operator { say.of("Operator", "An operator").to_owned() } else { say.actor(actor) }
    };
    let title = say.of("Pencairan", "Payout");
    let body = html! {
        p { a href=(visit.to(PATH)) { "← " (say.of("Pembayaran", "Payments")) } }
        (notice(done))
        (alert(trouble))
        section.card.summary {
            h1 { (title) }
            p.amount { (payout.amount.to_string()) }
            p { (payout_pill(say, payout.status)) }
            p { (meaning(say, payout.status)) }
        }
        div.grid.wide-left {
            div.grid {
                (destination(say, &payout))
                @if payout.status == PayoutStatus::Pending { (cancel_card(seller, &payout, &once_text)) }
            }
            (payout_history(say, &steps, who))
        }
    };
    Ok(seller.page(Section::Payments, title, body))
}

fn meaning(say: Say, status: PayoutStatus) -> &'static str {
    match status {
        PayoutStatus::Pending => say.of(
            "Operator meninjau permintaan ini, lalu mentransfernya manual. Biasanya tidak langsung.",
            "An operator reviews this request and transfers it manually, which is usually not instant.",
        ),
        PayoutStatus::InTransit => say.of(
            "Operator sedang mentransfernya ke rekening Anda. Sekarang tidak bisa dibatalkan lagi.",
            "An operator is transferring it to your account. It can no longer be cancelled.",
        ),
        PayoutStatus::Paid => say.of(
            "Operator menyatakan uangnya sudah ditransfer ke rekening Anda. Saldo Anda sudah dikurangi.",
            "An operator reports that the money was transferred to your account. It was deducted from your balance.",
        ),
        PayoutStatus::Cancelled => say
            .of("Anda membatalkannya. Uangnya bisa dicairkan lagi.", "You cancelled it. The money is available again."),
        PayoutStatus::Failed => say.of(
            "Transfernya tidak berhasil. Uangnya bisa dicairkan lagi; periksa rekening tujuan sebelum meminta lagi.",
            "The transfer failed. The money is available again; check the bank account before you request it again.",
        ),
    }
}

fn destination(say: Say, payout: &PayoutView) -> Markup {
    let requested = say.moment(payout.created_at);
    html! {
        section.card aria-labelledby="destination-title" {
            h2 #destination-title { (say.of("Ditransfer ke", "Transferred to")) }
            (bank_details(say, &payout.bank))
            (facts(&[(say.of("Diminta", "Requested"), &requested)]))
            @if let Some(reference) = &payout.reference { (quoted(say.of("Referensi transfer", "Transfer reference"), reference)) }
            @if let Some(reason) = &payout.failure_reason { (quoted(say.of("Mengapa gagal", "Why it failed"), reason)) }
            @if let Some(note) = &payout.note { (quoted(say.of("Catatan Anda", "Your note"), note)) }
        }
    }
}

/// The question and its button, without a separate page: cancelling costs nothing, and the money can be requested again.
fn cancel_card(seller: &Seller, payout: &PayoutView, once_text: &str) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    html! {
        section.card aria-labelledby="cancel-title" {
            h2 #cancel-title { (say.of("Batalkan pencairan ini?", "Cancel this payout?")) }
            p {
                (say.of(
                    format!("{} bisa dicairkan lagi. Pembatalan hanya bisa sebelum operator mulai mentransfer, dan tidak bisa ditarik kembali.", payout.amount),
                    format!("{} becomes available again. You can cancel only until an operator starts the transfer. This can't be undone.", payout.amount),
                ))
            }
            form method="post" action=(visit.to(&format!("{LIST_PATH}/{}/cancel", payout.id))) data-once="" {
                (hidden(seller))
                (once(once_text))
                div.actions { button.danger type="submit" { (say.of("Ya, batalkan pencairan", "Yes, cancel the payout")) } }
            }
        }
    }
}

pub(super) async fn cancel(seller: Seller, Id(id): Id<PayoutId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let once = form.once(account, &format!("{LIST_PATH}/{id}/cancel"))?;
    let key = PayoutKey::Id(account, id);
    match commands.move_payout(key, &PayoutStep::Cancel, &seller.caller.actor(), once).await {
        Ok(_) => Ok(seller.visit.go(&format!("{LIST_PATH}/{id}?done=cancelled"))),
        Err(failure) => {
            let trouble = Trouble::of(seller.visit.say, failure)?;
            gate(&seller).await?;
            Ok(trouble.on(show(&seller, id, None, Some(&trouble)).await?))
        }
    }
}
