//! Signing in with a key, and signing out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::html;
use serront_core::accounts::key::Caller;

use super::form::Form;
use super::layout::{self, Area, Page};
use super::parts::{Field, Input, alert, notice};
use super::session::{self, Role, SignedIn};
use super::visit::{Shown, Trouble, Visit, asks_for_page};
use crate::auth::OperatorId;
use crate::body::Intake;
use crate::problem::Problem;
use crate::query::Query;
use crate::state::Host;

/// The root address: browsers are sent to the dashboard; other clients get 404.
pub(super) async fn entrance(visit: Visit, headers: HeaderMap) -> Result<Response, Problem> {
    if asks_for_page(&headers) { Ok(visit.go("/dashboard")) } else { Err(Problem::not_found("route")) }
}

pub(super) async fn staff_entrance(visit: Visit) -> Response {
    visit.go("/operator")
}

pub(super) async fn seller(visit: Visit, query: Query) -> Shown {
    show::<Caller>(&visit, &query)
}

pub(super) async fn operator(visit: Visit, query: Query) -> Shown {
    show::<OperatorId>(&visit, &query)
}

pub(super) async fn seller_in(State(host): State<Arc<Host>>, visit: Visit, intake: Intake) -> Shown {
    sign_in::<Caller>(&host, &visit, &intake).await
}

pub(super) async fn operator_in(State(host): State<Arc<Host>>, visit: Visit, intake: Intake) -> Shown {
    sign_in::<OperatorId>(&host, &visit, &intake).await
}

pub(super) async fn seller_out(State(host): State<Arc<Host>>, seller: SignedIn<Caller>, intake: Intake) -> Shown {
    seller.form(&intake).await?;
    session::end::<Caller>(&host)
}

pub(super) async fn operator_out(State(host): State<Arc<Host>>, staff: SignedIn<OperatorId>, intake: Intake) -> Shown {
    staff.form(&intake).await?;
    session::end::<OperatorId>(&host)
}

fn show<R: Role>(visit: &Visit, query: &Query) -> Shown {
    let say = visit.say;
    let message = if query.one("ended")?.is_some() {
        Some(say.of("Sesi Anda sudah berakhir. Silakan masuk lagi.", "Your session has ended. Please sign in again."))
    } else if query.one("out")?.is_some() {
        Some(say.of("Anda sudah keluar.", "You have signed out."))
    } else {
        None
    };
    Ok(page::<R>(visit, query.one("next")?.unwrap_or_default(), message, None))
}

async fn sign_in<R: Role>(host: &Host, visit: &Visit, intake: &Intake) -> Shown {
    let form = Form::read(intake).await?;
    let next = form.text("next");
    if let Some(response) = session::begin::<R>(host, form.text("key"), next).await? {
        return Ok(response);
    }
    let say = visit.say;
    let text = say.of(
        "Kunci ini tidak dikenal. Periksa lagi lalu coba sekali lagi.",
        "This key is unknown. Check it and try again.",
    );
    let trouble = Trouble { param: Some("key".to_owned()), text: text.into(), status: StatusCode::UNAUTHORIZED };
    Ok(trouble.on(page::<R>(visit, next, None, Some(&trouble))))
}

fn page<R: Role>(visit: &Visit, next: &str, message: Option<&str>, trouble: Option<&Trouble>) -> Response {
    let say = visit.say;
    let is_operator = R::HOME == OperatorId::HOME;
    let title = if is_operator {
        say.of("Masuk sebagai operator", "Sign in as an operator")
    } else {
        say.of("Masuk", "Sign in")
    };
    let rule = if is_operator {
        say.of("Kunci operator diawali sk_op_", "An operator's key starts with sk_op_")
    } else {
        say.of("Kunci API diawali sk_live_", "An API key starts with sk_live_")
    };
    let label = if is_operator { say.of("Kunci operator", "Operator key") } else { say.of("Kunci API", "API key") };
    let key = Field::text("key", label, "")
        .required()
        .rule(rule)
        .input(Input::Line { kind: "password", autocomplete: "current-password" });
    let body = html! {
        div.card.narrow {
            h1 { (title) }
            (notice(message))
            (alert(trouble))
            form method="post" action=(visit.to(&format!("{}/login", R::HOME))) {
                input type="hidden" name="next" value=(session::safe_next::<R>(next));
                (key.show(say, trouble))
                button.wide type="submit" { (say.of("Masuk", "Sign in")) }
            }
            p.muted.small {
                (say.of(
                    "Sesi berlaku 12 jam di peramban ini. Kunci tidak disimpan di dalamnya.",
                    "The session lasts 12 hours in this browser, which does not store the key.",
                ))
            }
        }
    };
    layout::show(visit, Page { title, area: Area::Plain, body })
}
