//! The payments page: the figures, its sections in order, and the forms that show it again after a refusal.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serront_core::decide::Requester;
use serront_core::funds::ledger::EntryCode;
use serront_core::funds::payout::{BankAccountInput, PayoutInput};
use serront_core::primitives::ids::ExceptionId;
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Invalid;
use serront_core::service::{ExceptionsPage, Resolution};
use serront_core::snapshots::EntryFilter;
use serront_core::views::PayoutBalanceView;

use super::entries::{self, ENTRIES_ON_A_PAGE, Wanted};
use super::form::{PATH, Place, Refused, is_on};
use super::{chart, exceptions, payouts};
use crate::auth::Id;
use crate::body::Intake;
use crate::pages::layout::Section;
use crate::pages::parts::{Tone, notice, pill};
use crate::pages::say::{Say, rupiah};
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Turn, Visit};
use crate::query::{Period, Query};
use crate::state::Host;

/// What the page shows besides the account's state.
#[derive(Default)]
struct Overview<'a> {
    wanted: Wanted<'a>,
    done: Option<&'a str>,
    refused: Option<&'a Refused>,
}

pub(super) async fn page(State(host): State<Arc<Host>>, seller: Seller, query: Query) -> Shown {
    let say = seller.visit.say;
    let query = query.filled();
    let done = match query.one("done")? {
        Some("requested") => Some(say.of(
            "Pencairan diminta. Operator akan meninjau lalu mentransfernya manual.",
            "The payout was requested. An operator will review it and transfer it manually.",
        )),
        Some("bank") => Some(say.of("Rekening tujuan disimpan.", "The bank account was saved.")),
        Some("resolved") => Some(say.of("Ditandai selesai.", "Marked as resolved.")),
        _ => None,
    };
    let code = query.one("code")?.and_then(EntryCode::parse);
    let (days, period) = ([query.one("from")?, query.one("to")?], query.period("from", "to")?);
    show(
        &host,
        &seller,
        &Overview { wanted: Wanted { code, days, period, cursor: query.one("cursor")? }, done, refused: None },
    )
    .await
}

async fn show(host: &Host, seller: &Seller, shown: &Overview<'_>) -> Shown {
    let say = seller.visit.say;
    let title = say.of("Pembayaran", "Payments");
    let open = exceptions::open(seller).await?;
    let once_text = seller.fresh_once()?;
    let of_exceptions = exceptions::section(seller, &open, shown.refused, &once_text);
    let is_on = is_on(seller).await?;
    let rest = if is_on {
        on(host, seller, shown, &open, &of_exceptions, &once_text).await?
    } else {
        off(&seller.visit, &open, &of_exceptions)
    };
    let body = html! {
        h1 { (title) }
        (notice(shown.done))
        @if let Some(refused) = shown.refused { (refused_above(&seller.visit, refused, is_on)) }
        (rest)
    };
    Ok(seller.page(Section::Payments, title, body))
}

/// Why a form was refused, with a link to it, since the page is long on a phone.
fn refused_above(visit: &Visit, refused: &Refused, is_on: bool) -> Markup {
    let section = match refused.place {
        Place::Request => "#payouts",
        Place::BankAccount => "#bank-account",
        Place::Exception(_) => "#exceptions",
    };
    // With the module off, the other forms are not shown.
    let is_there = is_on || section == "#exceptions";
    html! {
        p.alert role="alert" {
            (refused.trouble.text)
            @if is_there { " " a href=(section) { (visit.say.of("Lihat isiannya", "See the form")) } }
        }
    }
}

/// The page while the module is off.
fn off(visit: &Visit, open: &ExceptionsPage, of_exceptions: &Markup) -> Markup {
    let say = visit.say;
    html! {
        section.card aria-labelledby="off-title" {
            div.row {
                h2 #off-title { (say.of("Pembayaran online tidak aktif", "Online payment is off")) }
                (pill(Tone::Calm, say.of("Tidak aktif", "Off")))
            }
            p {
                (say.of(
                    "Saldo, transaksi dan pencairan tampil di sini selama pembayaran online aktif. Bila pernah aktif, semuanya tetap tersimpan dan pencairan yang sudah diminta tetap diproses.",
                    "Balance, transactions and payouts are shown here while online payment is on. If you used it before, everything is kept, and requested payouts are still processed.",
                ))
            }
            div.actions { a.button href=(visit.to("/dashboard/integrations")) { (say.of("Buka integrasi", "Go to integrations")) } }
        }
        @if !open.exceptions.is_empty() { (of_exceptions) }
    }
}

async fn on(
    host: &Host,
    seller: &Seller,
    Overview { wanted, refused, .. }: &Overview<'_>,
    open: &ExceptionsPage,
    of_exceptions: &Markup,
    once_text: &str,
) -> Result<Markup, Turn> {
    let say = seller.visit.say;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let balance = commands.payout_balance(account).await?;
    let bank = commands.bank_account(account).await?;
    let newest = payouts::newest(seller).await?;
    let history = chart::read(commands, account, balance.ledger_balance, host.ports.clock.now()).await?;
    let Period { from, before, .. } = wanted.period;
    let filter = EntryFilter { code: wanted.code, from, before, ..EntryFilter::default() };
    let limit = Limit::parse(Some(ENTRIES_ON_A_PAGE))?;
    let page = commands.entries(account, &filter, wanted.cursor, limit).await?;
    Ok(html! {
        (figures(say, &balance))
        @if !open.exceptions.is_empty() { (of_exceptions) }
        section.card aria-labelledby="chart-title" {
            h2 #chart-title { (say.of("Saldo 30 hari terakhir", "Balance over the last 30 days")) }
            (chart::draw(say, &history))
        }
        div.grid.wide-left {
            (payouts::section(seller, &balance, &bank, &newest, *refused, once_text))
            (payouts::bank_section(seller, &bank, *refused))
        }
        (entries::section(&seller.visit, wanted, &page))
        @if open.exceptions.is_empty() { (of_exceptions) }
    })
}

fn figures(say: Say, balance: &PayoutBalanceView) -> Markup {
    let figure = |name: &str, amount: i64, meaning: &str, is_main: bool| {
        html! {
            div.figure.main[is_main] {
                dt { (name) }
                dd.minus[amount < 0] { (rupiah(amount)) }
                dd.about { (meaning) }
            }
        }
    };
    html! {
        dl.figures {
            (figure(
                say.of("Bisa dicairkan", "Available"),
                balance.available,
                say.of("Saldo dikurangi yang sedang dicairkan", "The balance less pending payouts"),
                true,
            ))
            (figure(
                say.of("Saldo", "Balance"),
                balance.ledger_balance,
                say.of("Pembayaran online dikurangi biaya dan pencairan", "Online payments less fees and payouts"),
                false,
            ))
            (figure(
                say.of("Sedang dicairkan", "Being paid out"),
                balance.pending.get(),
                say.of("Sudah diminta, belum dibayarkan", "Requested but not paid yet"),
                false,
            ))
        }
        @if balance.available < 0 {
            p.honest {
                (say.of(
                    "Angkanya di bawah nol karena ada penyesuaian, misalnya pengembalian kepada pembeli. Pencairan baru bisa diminta setelah angkanya di atas nol lagi.",
                    "The available amount is negative because of an adjustment, such as a refund to a buyer. You can request payouts when it is positive again.",
                ))
            }
        }
    }
}

/// GET at a form's address, from a reload or a language switch: redirects to the page.
pub(super) async fn back(visit: Visit) -> Response {
    visit.go(PATH)
}

/// The page with the refused form.
async fn again(host: &Host, seller: &Seller, refused: Refused) -> Shown {
    let page = show(host, seller, &Overview { refused: Some(&refused), ..Overview::default() }).await?;
    Ok(refused.trouble.on(page))
}

pub(super) async fn request(State(host): State<Arc<Host>>, seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let once = form.once(account, payouts::LIST_PATH)?;
    let by = (Requester::Seller, &seller.caller.actor());
    let asked = match form.amount("amount") {
        Ok(amount) => {
            let input = PayoutInput { amount, note: form.optional("note"), ..PayoutInput::default() };
            commands.request_payout(account, &input, by, once).await.map(drop)
        }
        Err(invalid) => Err(invalid.into()),
    };
    match asked {
        Ok(()) => Ok(seller.visit.go(&format!("{PATH}?done=requested"))),
        Err(failure) => again(&host, &seller, Refused::new(Place::Request, form, &seller, failure)?).await,
    }
}

pub(super) async fn bank_account(State(host): State<Arc<Host>>, seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let required = ["bankName", "bankAccountNumber", "bankAccountHolder"];
    let changed = match required.into_iter().find(|name| form.optional(name).is_none()) {
        // The service would clear the field, but a form with required fields should not.
        Some(missing) => Err(Invalid::new(missing, "must be given").into()),
        None => {
            let input = BankAccountInput {
                bank_code: Some(form.optional("bankCode")),
                bank_name: Some(form.optional("bankName")),
                bank_account_number: Some(form.optional("bankAccountNumber")),
                bank_account_holder: Some(form.optional("bankAccountHolder")),
            };
            commands.patch_bank_account(account, &input, None).await.map(drop)
        }
    };
    match changed {
        Ok(()) => Ok(seller.visit.go(&format!("{PATH}?done=bank"))),
        Err(failure) => again(&host, &seller, Refused::new(Place::BankAccount, form, &seller, failure)?).await,
    }
}

pub(super) async fn resolve(
    State(host): State<Arc<Host>>,
    seller: Seller,
    Id(id): Id<ExceptionId>,
    intake: Intake,
) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let request = form.once(account, &format!("{}/{id}/resolve", exceptions::LIST_PATH))?;
    let note = form.optional("note");
    let resolution = Resolution { note: note.as_deref(), adjustment_id: None };
    match commands.resolve_exception(account, id, resolution, &seller.caller.actor(), request).await {
        Ok(_) => Ok(seller.visit.go(&format!("{PATH}?done=resolved"))),
        Err(failure) => again(&host, &seller, Refused::new(Place::Exception(id), form, &seller, failure)?).await,
    }
}
