//! One webhook subscription: its row in the list, its secret, and the questions before it changes.

use axum::response::Response;
use maud::{Markup, html};
use serront_core::primitives::ids::SubscriptionId;
use serront_core::primitives::rejection::Rejection;
use serront_core::service::Failure;
use serront_core::views::{NewSubscriptionView, SubscriptionView};

use crate::auth::Id;
use crate::body::Intake;
use crate::pages::dashboard::question::Question;
use crate::pages::dashboard::settings::{not_made, shown_once};
use crate::pages::layout::Section;
use crate::pages::parts::{Tone, alert, hidden, pill};
use crate::pages::say::Say;
use crate::pages::session::Seller;
use crate::pages::visit::{Shown, Trouble};

pub(super) const PATH: &str = "/dashboard/webhooks";
/// Filters listed of a subscription; few have more than one or two.
const FILTERS_SHOWN: usize = 6;
/// Most characters of an address in a list.
const ADDRESS_CHARACTERS: usize = 60;

/// What a seller must know when a secret is replaced.
const BOTH_SIGN: (&str, &str) = (
    "Rahasia sebelumnya ikut menandatangani selama 24 jam lagi, sehingga sistem Anda sempat diganti tanpa ada kiriman yang ditolak.",
    "Deliveries are also signed with the previous secret for another 24 hours, so that you can change your system without refusing any.",
);

pub(super) async fn find(seller: &Seller, id: SubscriptionId) -> Result<Option<SubscriptionView>, Failure> {
    let subscriptions = seller.caller.commands().subscriptions(seller.caller.account()).await?;
    Ok(subscriptions.into_iter().find(|subscription| subscription.id == id))
}

/// An address, cut for a list.
pub(super) fn shortened(url: &str) -> String {
    let mut text: String = url.chars().take(ADDRESS_CHARACTERS).collect();
    if text.len() < url.len() {
        text.push('…');
    }
    text
}

pub(super) fn row(seller: &Seller, subscription: &SubscriptionView) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let SubscriptionView { id, url, events, active, created_at } = subscription;
    let address = shortened(url);
    let left_out = events.len().saturating_sub(FILTERS_SHOWN);
    let (value, verb) =
        if *active { ("false", say.of("Jeda", "Pause")) } else { ("true", say.of("Aktifkan", "Activate")) };
    html! {
        li.entry {
            div.what {
                p.title { (address) }
                p.pills {
                    (active_pill(say, *active))
                    @for filter in events.iter().take(FILTERS_SHOWN) {
                        @let filter = filter.to_string();
                        @if filter == "*" { span.pill { (say.of("Semua kejadian", "All events")) } } @else { code.filter { (filter) } }
                    }
                    @if left_out > 0 { span.muted.small { (say.of(format!("dan {left_out} lainnya"), format!("and {left_out} more"))) } }
                }
                p.muted.small {
                    (say.of("Dibuat ", "Created ")) (say.day(*created_at)) " · "
                    a href=(visit.to(&format!("{PATH}?subscriptionId={id}#deliveries"))) { (say.of("Lihat kiriman", "See deliveries")) }
                }
            }
            div.actions {
                form.inline method="post" action=(visit.to(&format!("{PATH}/{id}/switch"))) data-once="" {
                    (hidden(seller))
                    button.quiet type="submit" name="active" value=(value) aria-label=(format!("{verb}: {address}")) { (verb) }
                }
                a.button.quiet href=(visit.to(&format!("{PATH}/{id}/rotate-secret"))) aria-label=(format!("{}: {address}", say.of("Rahasia baru", "New secret")))
                    { (say.of("Rahasia baru", "New secret")) }
                a.button.quiet href=(visit.to(&format!("{PATH}/{id}/delete"))) aria-label=(format!("{}: {address}", say.of("Hapus", "Delete")))
                    { (say.of("Hapus", "Delete")) }
            }
        }
    }
}

fn active_pill(say: Say, is_active: bool) -> Markup {
    if is_active { pill(Tone::Good, say.of("Aktif", "Active")) } else { pill(Tone::Calm, say.of("Dijeda", "Paused")) }
}

/// A subscription's new secret, shown only in the answer to the form, with a note below.
pub(super) fn shown(seller: &Seller, title: &str, made: &NewSubscriptionView, known: Option<&str>) -> Response {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let use_for = html! {
        p.muted.small {
            (say.of(
                "Dengan rahasia ini sistem Anda memeriksa header ",
                "Your system uses this secret to verify the header ",
            ))
            code { "Serront-Signature" }
            (say.of(
                " dari setiap kiriman, sehingga tahu bahwa kiriman itu benar dari kami.",
                " of each delivery, which proves that we sent it.",
            ))
        }
    };
    let body = html! {
        section.card.narrow {
            h1 { (title) }
            p.lines { (say.of("Alamat: ", "Address: ")) strong { (made.shown.url) } }
            (shown_once(visit, made.secret.reveal(), &use_for, PATH))
            @if let Some(known) = known { p.honest { (known) } }
        }
    };
    seller.page(Section::Webhooks, title, body)
}

/// Asks before a subscription gets a new secret.
pub(super) async fn rotation(seller: Seller, Id(id): Id<SubscriptionId>) -> Shown {
    ask_rotation(&seller, id, None).await
}

async fn ask_rotation(seller: &Seller, id: SubscriptionId, trouble: Option<&Trouble>) -> Shown {
    let say = seller.visit.say;
    let subscription = find(seller, id).await?.ok_or(Rejection::NotFound("webhook subscription"))?;
    let body = html! {
        (alert(trouble))
        p.lines { strong { (subscription.url) } }
        p {
            (say.of(
                "Lakukan ini bila rahasianya mungkin diketahui orang lain. Rahasia baru langsung menandatangani semua kiriman.",
                "Do this if another person may know the secret. All deliveries are signed with the new one immediately.",
            ))
        }
        p.honest { (say.of(BOTH_SIGN.0, BOTH_SIGN.1)) }
    };
    let question = Question {
        section: Section::Webhooks,
        title: say.of("Buat rahasia baru untuk webhook ini?", "Create a new secret for this webhook?"),
        body,
        action: &format!("{PATH}/{id}/rotate-secret"),
        once: Some(seller.fresh_once()?),
        yes: say.of("Ya, buat rahasia baru", "Yes, create a new secret"),
        is_destructive: false,
        no: say.of("Tidak jadi, kembali", "No, go back"),
        back: PATH,
    };
    Ok(question.show(seller))
}

pub(super) async fn rotate_secret(seller: Seller, Id(id): Id<SubscriptionId>, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    // 404 precedes a refusal of the form.
    find(&seller, id).await?.ok_or(Rejection::NotFound("webhook subscription"))?;
    let request = form.once(account, &format!("{PATH}/{id}/rotate-secret"))?;
    match commands.rotate_secret(account, id, request).await {
        Ok(rotated) => {
            let say = seller.visit.say;
            let title = say.of("Rahasia webhook diganti", "The webhook has a new secret");
            Ok(shown(&seller, title, &rotated.value, Some(say.of(BOTH_SIGN.0, BOTH_SIGN.1))))
        }
        Err(failure) => {
            let trouble = not_made(&seller.visit, failure)?;
            Ok(trouble.on(ask_rotation(&seller, id, Some(&trouble)).await?))
        }
    }
}

/// Asks before a subscription is deleted.
pub(super) async fn question(seller: Seller, Id(id): Id<SubscriptionId>) -> Shown {
    let say = seller.visit.say;
    let subscription = find(&seller, id).await?.ok_or(Rejection::NotFound("webhook subscription"))?;
    let body = html! {
        p.lines { strong { (subscription.url) } }
        p {
            (say.of(
                "Kejadian tidak lagi dikirim ke alamat ini, juga yang masih dalam antrean, dan rahasianya tidak berlaku lagi. \
                 Catatan kiriman tetap ada.",
                "Nothing more is sent to this address, not even queued deliveries, and its secret stops working. The delivery \
                 log is kept.",
            ))
        }
    };
    let question = Question {
        section: Section::Webhooks,
        title: say.of("Hapus webhook ini?", "Delete this webhook?"),
        body,
        action: &format!("{PATH}/{id}/delete"),
        once: None,
        yes: say.of("Ya, hapus webhook", "Yes, delete the webhook"),
        is_destructive: true,
        no: say.of("Tidak jadi, kembali", "No, go back"),
        back: PATH,
    };
    Ok(question.show(&seller))
}

pub(super) async fn delete(seller: Seller, Id(id): Id<SubscriptionId>, intake: Intake) -> Shown {
    seller.form(&intake).await?;
    seller.caller.commands().delete_subscription(seller.caller.account(), id).await?;
    Ok(seller.visit.go(&format!("{PATH}?done=deleted")))
}
