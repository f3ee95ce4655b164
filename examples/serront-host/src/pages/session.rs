//! Sessions: an encrypted cookie that remembers which key opened it.
//!
//! The cookie contains the key's hash, an expiry and a token for forms, encrypted and authenticated with the host's
//! [`SessionKey`](crate::session_key::SessionKey). Nothing is stored, so any host with the same session key accepts it. Each
//! request looks the key up, so deleting a key ends its sessions immediately. Signing out deletes the cookie in that browser.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use cookie::{Cookie, CookieJar};
use maud::Markup;
use serront_core::accounts::key::{ApiKey, Caller, OperatorKey};
use serront_core::ports::PortError;
use serront_core::primitives::digest::{Digest256, hex};
use serront_core::primitives::text::visible;
use serront_core::primitives::time::Timestamp;
use serront_core::service::Failure;

use crate::auth::{Authenticated, OperatorId, Who};
use crate::body::Intake;
use crate::log::describe;
use crate::pages::error_page::stale_form;
use crate::pages::form::{self, Form};
use crate::pages::layout::{self, Area, Page, Section};
use crate::pages::visit::{self, Turn, Visit, see_other};
use crate::problem::Problem;
use crate::state::Host;

/// A working day with room to spare.
const SESSION_SECONDS: u32 = 12 * 3_600;

/// A kind of user who can sign in.
pub(super) trait Role: Who + Sized {
    /// The name of the session's cookie.
    const COOKIE: &'static str;
    /// The first page, and the path of the cookie.
    const HOME: &'static str;
    /// The hash of a key of this role. `None` if the text is no such key.
    fn hash(key: &str) -> Option<Digest256>;
    /// Looks up the holder of the key with this hash.
    fn holder(host: &Host, hash: Digest256) -> impl Future<Output = Result<Option<Self>, Failure>> + Send;
}

impl Role for Caller {
    const COOKIE: &'static str = "serront_session";
    const HOME: &'static str = "/dashboard";

    fn hash(key: &str) -> Option<Digest256> {
        ApiKey::parse(key).map(|key| key.hash())
    }

    async fn holder(host: &Host, hash: Digest256) -> Result<Option<Self>, Failure> {
        host.commands().holder(hash).await
    }
}

impl Role for OperatorId {
    const COOKIE: &'static str = "serront_operator";
    const HOME: &'static str = "/operator";

    fn hash(key: &str) -> Option<Digest256> {
        OperatorKey::parse(key).map(|key| key.hash())
    }

    async fn holder(host: &Host, hash: Digest256) -> Result<Option<Self>, Failure> {
        Ok(host.commands().operator_holder(hash).await?.map(OperatorId::new))
    }
}

/// The content of the cookie.
struct Session {
    key: Digest256,
    ends: Timestamp,
    token: String,
}

impl Session {
    fn to_text(&self) -> String {
        format!("{}.{}.{}", self.key, self.ends.millis(), self.token)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (key, ends, token, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        let ends = Timestamp::from_millis(ends.parse().ok()?);
        end.is_none().then_some(Self { key: Digest256::from_hex(key)?, ends, token: token.to_owned() })
    }

    fn read<R: Role>(host: &Host, headers: &HeaderMap) -> Option<Self> {
        let mut jar = CookieJar::new();
        jar.add_original(Cookie::new(R::COOKIE, visit::cookie(headers, R::COOKIE)?));
        let session = Self::from_text(jar.private(&host.session_key().ok()?.0).get(R::COOKIE)?.value())?;
        (host.ports.clock.now() < session.ends).then_some(session)
    }
}

fn set<R: Role>(host: &Host, response: &mut Response, value: &str, seconds: u32) -> Result<(), Turn> {
    visit::set_cookie(host, response, (R::COOKIE, value), format!("{}{}", host.base, R::HOME), seconds)
}

/// Starts a session with this key and redirects to `next`. `None` if the key is not valid.
pub(super) async fn begin<R: Role>(host: &Host, key: &str, next: &str) -> Result<Option<Response>, Turn> {
    let Some(hash) = R::hash(visible(key).trim()) else { return Ok(None) };
    if R::holder(host, hash).await?.is_none() {
        return Ok(None);
    }
    let no_secret = |error: PortError| Problem::internal(describe(&error));
    let token = host.ports.secrets.draw().map_err(no_secret)?;
    let ends = host.ports.clock.now().plus(std::time::Duration::from_secs(SESSION_SECONDS.into()));
    let session = Session { key: hash, ends, token: hex(&token) };
    let mut jar = CookieJar::new();
    jar.private_mut(&host.session_key().map_err(no_secret)?.0).add(Cookie::new(R::COOKIE, session.to_text()));
    let sealed = jar.get(R::COOKIE).map(|cookie| cookie.value().to_owned()).unwrap_or_default();
    let mut response = see_other(&format!("{}{}", host.base, safe_next::<R>(next)));
    set::<R>(host, &mut response, &sealed, SESSION_SECONDS)?;
    Ok(Some(response))
}

/// Ends the session in this browser.
pub(super) fn end<R: Role>(host: &Host) -> Result<Response, Turn> {
    let mut response = see_other(&format!("{}{}/login?out=1", host.base, R::HOME));
    set::<R>(host, &mut response, "", 0)?;
    Ok(response)
}

/// The page after signing in: `next` if it belongs to this role, or its first page.
pub(super) fn safe_next<R: Role>(next: &str) -> &str {
    let is_below = next.strip_prefix(R::HOME).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_below && is_plain { next } else { R::HOME }
}

/// A visitor who has signed in.
pub(super) struct SignedIn<W> {
    /// The visitor as a caller of the API.
    pub(super) caller: Authenticated<W>,
    pub(super) visit: Visit,
    /// The token that every form of the session carries.
    pub(super) token: String,
}

/// A seller at the dashboard.
pub(super) type Seller = SignedIn<Caller>;

/// An operator.
pub(super) type Staff = SignedIn<OperatorId>;

impl Seller {
    /// A page of the dashboard.
    pub(super) fn page(&self, at: Section, title: &str, body: Markup) -> Response {
        layout::show(&self.visit, Page { title, area: Area::Dashboard { token: &self.token, at }, body })
    }
}

impl Staff {
    /// A page for operators.
    pub(super) fn page(&self, title: &str, body: Markup) -> Response {
        layout::show(&self.visit, Page { title, area: Area::Operator { token: &self.token }, body })
    }
}

impl<R: Role> FromRequestParts<Arc<Host>> for SignedIn<R> {
    type Rejection = Turn;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Turn> {
        let visit = Visit::of(host, &parts.uri, &parts.headers);
        if let Some(session) = Session::read::<R>(host, &parts.headers)
            && let Some(who) = R::holder(host, session.key).await?
        {
            return Ok(Self { caller: Authenticated::of(who, parts, host), visit, token: session.token });
        }
        let ended = visit::cookie(&parts.headers, R::COOKIE).is_some();
        // A form's content is lost, so sending it leads to the first page.
        let next = if parts.method == Method::GET { &visit.here } else { R::HOME };
        let parameters = [("ended", if ended { "1" } else { "" }), ("next", next)];
        Err(Turn::to(see_other(&visit.link(&format!("{}/login", R::HOME), parameters))))
    }
}

impl<W: Who> SignedIn<W> {
    /// Reads the form. Refuses one without the session's token.
    pub(super) async fn form(&self, intake: &Intake) -> Result<Form, Turn> {
        let form = Form::read(intake).await?;
        if form.carries(&self.token) { Ok(form) } else { Err(Turn::to(stale_form(&self.visit))) }
    }

    /// An idempotency key for a form, different on each page.
    pub(super) fn fresh_once(&self) -> Result<String, Turn> {
        form::fresh_once(self.caller.secrets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_redirects_only_within_this_site() {
        for (next, safe) in [
            ("/dashboard", "/dashboard"),
            ("/dashboard/orders/ord_1?x=%2F", "/dashboard/orders/ord_1?x=%2F"),
            ("/dashboard?status=all", "/dashboard?status=all"),
            ("", "/dashboard"),
            ("/dashboardx", "/dashboard"),
            ("//evil.example", "/dashboard"),
            ("https://evil.example", "/dashboard"),
            ("/dashboard/\r\nSet-Cookie: x", "/dashboard"),
            ("/dashboard/\\evil", "/dashboard"),
            ("/operator", "/dashboard"),
        ] {
            assert_eq!(safe_next::<Caller>(next), safe, "{next:?}");
        }
    }

    #[test]
    fn a_session_is_read_as_it_was_written() {
        let key = Digest256::of(b"key");
        let session = Session { key, ends: Timestamp::from_millis(7), token: "ab".to_owned() };
        let read = Session::from_text(&session.to_text()).unwrap();
        assert_eq!((read.key, read.ends, read.token.as_str()), (key, Timestamp::from_millis(7), "ab"));
        for bad in ["", ".", "a.b.c", &format!("{key}.7"), &format!("{key}.7.ab.c"), &format!("{key}.x.ab")] {
            assert!(Session::from_text(bad).is_none(), "{bad}");
        }
    }
}
