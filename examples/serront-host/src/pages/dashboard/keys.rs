//! The account's API keys, for the API and this dashboard.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::Caller;
use serront_core::primitives::ids::KeyId;
use serront_core::primitives::rejection::Rejection;
use serront_core::views::{KeyView, NewKeyView};

use super::question::Question;
use super::settings::{Part, not_made, shown_once};
use crate::auth::Id;
use crate::body::Intake;
use crate::pages::layout::Section;
use crate::pages::parts::{Field, Tone, alert, facts, hidden, more, notice, once, pill};
use crate::pages::session::{self, Seller};
use crate::pages::visit::{Shown, Trouble, Visit};
use crate::query::Query;
use crate::state::Host;

const PATH: &str = "/dashboard/api-keys";

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new()
        .route("/dashboard/api-keys", get(list).post(create))
        .route("/dashboard/api-keys/{id}/delete", get(question).post(delete))
}

async fn list(seller: Seller, query: Query) -> Shown {
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("deleted") => {
            Some(say.of("Kunci dihapus dan tidak berlaku lagi.", "The key was deleted and no longer works."))
        }
        _ => None,
    };
    show(&seller, "", query.one("after")?, done, None).await
}

async fn create(seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let name = form.text("name");
    match commands.create_key(account, name, form.once(account, PATH)?).await {
        Ok(made) => Ok(shown(&seller, &made.value)),
        Err(failure) => {
            let trouble = not_made(&seller.visit, failure)?;
            Ok(trouble.on(show(&seller, name, None, None, Some(&trouble)).await?))
        }
    }
}

/// The new key, shown only in the answer to the form.
fn shown(seller: &Seller, made: &NewKeyView) -> Response {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let title = say.of("Kunci API dibuat", "API key created");
    let use_for = html! {
        p.muted.small {
            (say.of(
                "Pakai sebagai kata sandi untuk masuk ke dasbor ini, atau di sistem Anda dalam header ",
                "Use it to sign in to this dashboard, or in your system in the header ",
            ))
            code { "Authorization: Bearer …" }
        }
    };
    let body = html! {
        section.card.narrow {
            h1 { (title) }
            p.lines { (say.of("Nama: ", "Name: ")) strong { (made.shown.name) } }
            (shown_once(visit, made.key.reveal(), &use_for, PATH))
        }
    };
    seller.page(Section::Keys, title, body)
}

async fn show(
    seller: &Seller,
    name: &str,
    after: Option<&str>,
    done: Option<&str>,
    trouble: Option<&Trouble>,
) -> Shown {
    let (visit, say) = (&seller.visit, seller.visit.say);
    let keys = seller.caller.commands().keys(seller.caller.account()).await?;
    let part = Part::of(&keys, |key| key.id.to_string(), after);
    let title = say.of("Kunci API", "API keys");
    let field = Field::text("name", say.of("Nama kunci", "The key's name"), name).required().rule(say.of(
        "Paling banyak 100 huruf, misalnya “Kasir” atau “Situs web”",
        "At most 100 characters, such as “Till” or “Website”",
    ));
    let body = html! {
        div.hero {
            h1 { (title) }
            p.lead {
                (say.of(
                    "Kunci membuka dasbor ini dan API untuk sistem Anda sendiri.",
                    "A key gives access to this dashboard, and to the API for your own systems.",
                ))
            }
        }
        (notice(done))
        (alert(trouble))
        div.grid.wide-left {
            section.card aria-labelledby="keys-title" {
                h2 #keys-title { (say.of("Kunci yang berlaku", "Keys in use")) }
                ul.rows { @for key in &part.shown { (row(seller, key)) } }
                (more(say, part.last.map(|last| visit.link(PATH, [("after", last.id.to_string().as_str())]))))
            }
            section.card aria-labelledby="new-title" {
                h2 #new-title { (say.of("Buat kunci baru", "Create a new key")) }
                form method="post" action=(visit.to(PATH)) data-once="" {
                    (hidden(seller))
                    (once(&seller.fresh_once()?))
                    (field.show(say, trouble))
                    button type="submit" { (say.of("Buat kunci", "Create the key")) }
                }
                p.honest {
                    (say.of(
                        "Siapa pun yang memegang kunci bisa bertindak sebagai toko Anda. Buat satu kunci untuk tiap sistem \
                         atau orang, dan hapus yang tidak dipakai lagi.",
                        "Anyone who has a key can act as your shop. Create a key for each system or person, and delete keys \
                         that are no longer used.",
                    ))
                }
            }
        }
    };
    Ok(seller.page(Section::Keys, title, body))
}

fn row(seller: &Seller, key: &KeyView) -> Markup {
    let (visit, say) = (&seller.visit, seller.visit.say);
    html! {
        li.entry {
            div.what {
                p.title { (key.name) }
                p.pills {
                    code { (key.key_prefix) "…" }
                    @if is_own(seller, key.id) { (pill(Tone::Good, say.of("Dipakai sesi ini", "Used by this session"))) }
                }
                p.muted.small {
                    (say.of("Dibuat ", "Created ")) (say.day(key.created_at)) " · " (last_used(visit, key))
                }
            }
            div.actions {
                a.button.quiet href=(visit.to(&format!("{PATH}/{}/delete", key.id)))
                    aria-label=(say.of(format!("Hapus kunci {}", key.name), format!("Delete the key {}", key.name)))
                    { (say.of("Hapus", "Delete")) }
            }
        }
    }
}

fn last_used(visit: &Visit, key: &KeyView) -> String {
    let say = visit.say;
    match key.last_used_at {
        None => say.of("belum pernah dipakai", "never used").to_owned(),
        Some(at) => format!("{} {}", say.of("terakhir dipakai", "last used"), say.moment(at)),
    }
}

/// Whether this session was started with the key.
fn is_own(seller: &Seller, id: KeyId) -> bool {
    seller.caller.actor() == Actor::Key { id }
}

/// Asks before a key is deleted. Warns if it is the session's own key or the last one.
async fn question(seller: Seller, Id(id): Id<KeyId>) -> Shown {
    let say = seller.visit.say;
    let keys = seller.caller.commands().keys(seller.caller.account()).await?;
    let key = keys.iter().find(|key| key.id == id).ok_or(Rejection::NotFound("API key"))?;
    let used = last_used(&seller.visit, key);
    let prefix = html! { code { (key.key_prefix) "…" } };
    let body = html! {
        (facts(&[
            (say.of("Nama", "Name"), &key.name),
            (say.of("Awalan", "Prefix"), &prefix),
            (say.of("Pemakaian", "Use"), &used),
        ]))
        p {
            (say.of(
                "Begitu dihapus, semua yang memakai kunci ini langsung kehilangan akses. Kunci tidak bisa dipulihkan.",
                "When you delete it, everything that uses this key loses access immediately. A key can't be restored.",
            ))
        }
        @if is_own(&seller, id) {
            p.caution {
                (say.of(
                    "Anda sedang masuk dengan kunci ini. Setelah dihapus Anda keluar dari dasbor dan perlu masuk lagi dengan \
                     kunci lain.",
                    "You are signed in with this key. Deleting it signs you out of the dashboard. You need another key to sign in \
                     again.",
                ))
            }
        }
        @if keys.len() == 1 {
            p.caution {
                (say.of(
                    "Ini satu-satunya kunci Anda. Tanpa kunci lain, Anda tidak bisa masuk lagi. Buat kunci baru dahulu.",
                    "This is your only key. Without another one you can't sign in again. Create a new key first.",
                ))
            }
        }
    };
    let question = Question {
        section: Section::Keys,
        title: say.of("Hapus kunci ini?", "Delete this key?"),
        body,
        action: &format!("{PATH}/{id}/delete"),
        once: None,
        yes: say.of("Ya, hapus kunci", "Yes, delete the key"),
        is_destructive: true,
        no: say.of("Tidak jadi, kembali", "No, go back"),
        back: PATH,
    };
    Ok(question.show(&seller))
}

async fn delete(State(host): State<Arc<Host>>, seller: Seller, Id(id): Id<KeyId>, intake: Intake) -> Shown {
    seller.form(&intake).await?;
    seller.caller.commands().delete_key(seller.caller.account(), id).await?;
    if is_own(&seller, id) {
        return session::end::<Caller>(&host);
    }
    Ok(seller.visit.go(&format!("{PATH}?done=deleted")))
}
