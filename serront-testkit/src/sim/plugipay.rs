//! Plugipay: the testkit's sandbox behind the simulated network, the buyers' actions at its hosted pages, and its
//! notifications, which the courier carries to the hosts.
//!
//! ```text
//! host ── call ─▶ (late · lost · twice · refused) ─▶ Sandbox ◀─ pay · fail · expire ── buyer
//! host ◀─ (late · lost · twice · forged · stale) ── courier ◀──┘
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::WebhookSecret;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall, PlugipayMethod};
use serront_core::ports::{Plugipay, PortError, PortErrorKind};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature;

use super::bugs::Bug;
use super::events::Event;
use super::executor::{answer, at_once};
use super::network::Fate;
use super::plan::{HostedPageEvent, Link};
use super::world::World;
use crate::memory::locked;
use crate::sandbox::{Notification, Route, Sandbox};

/// How long a host waits for an answer.
const GIVE_UP_MS: u64 = 20_000;
/// The `Retry-After` of a busy Plugipay.
const RETRY_AFTER: Duration = Duration::from_secs(90);
/// One host's connection to Plugipay.
pub(crate) struct SimPlugipay {
    world: Arc<World>,
    bug: Option<Bug>,
    sent: AtomicU64,
}

impl SimPlugipay {
    pub(crate) const fn new(world: Arc<World>, bug: Option<Bug>) -> Self {
        Self { world, bug, sent: AtomicU64::new(0) }
    }

    fn arrive(world: &World, call: &PlugipayCall, refuse: bool) -> Result<PlugipayAnswer, PortError> {
        let answer = world.plugipay.answer(call, refuse);
        let outcome = if answer.is_ok() { "done" } else { "refused" };
        world.line(&format!("plugipay {} {} {outcome}", call.method.as_str(), call.path));
        world.see(&Event::Called { call, answer: &answer });
        world.see(&Event::Said(&format!("{call:?} {answer:?}")));
        answer
    }

    async fn send(&self, call: PlugipayCall) -> Result<PlugipayAnswer, PortError> {
        let handle = &self.world.handle;
        let fate = locked(&self.world.network).fate(Link::Plugipay, handle.now());
        if fate.refused || fate.busy {
            handle.sleep_ms(fate.request_ms).await;
            let retry_after = fate.busy.then_some(RETRY_AFTER);
            return Err(PortError::transient("turned away").with_retry_after(retry_after));
        }
        let unknown = match call.method {
            PlugipayMethod::Post => PortErrorKind::OutcomeUnknown,
            PlugipayMethod::Get | PlugipayMethod::Delete => PortErrorKind::Transient,
        };
        let (answerer, awaited) = answer();
        let world = Arc::clone(&self.world);
        handle.spawn(None, async move {
            let Fate { request_ms, answer_ms, loses_request, loses_answer, again_after, conflict, .. } = fate;
            world.handle.sleep_ms(request_ms).await;
            if loses_request {
                return;
            }
            let result = Self::arrive(&world, &call, conflict);
            world.handle.sleep_ms(answer_ms).await;
            if loses_answer {
                drop(answerer);
            } else {
                answerer.answer(result);
            }
            if let Some(pause) = again_after {
                world.handle.sleep_ms(pause).await;
                let _ = Self::arrive(&world, &call, conflict);
            }
        });
        let answered = handle.within(GIVE_UP_MS, awaited).await;
        answered.flatten().unwrap_or_else(|| Err(PortError::new(unknown, "lost on its way")))
    }
}

#[async_trait]
impl Plugipay for SimPlugipay {
    async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, PortError> {
        let mut call = call.clone();
        let mints = Route::of(call.method, &call.path) == Some(Route::CreateSession);
        if mints && self.bug == Some(Bug::NewKeyOnResend) {
            let nth = self.sent.fetch_add(1, Ordering::SeqCst);
            call.idempotency_key = call.idempotency_key.map(|key| format!("{key}-{nth}"));
        }
        let answer = self.send(call).await;
        match answer {
            Err(error)
                if mints
                    && self.bug == Some(Bug::UnknownMintIsRefusal)
                    && error.kind() == PortErrorKind::OutcomeUnknown =>
            {
                Err(PortError::permanent("it surely did not happen"))
            }
            answer => answer,
        }
    }
}

/// Carries out an event at one of a merchant's hosted pages.
pub(crate) fn visit_hosted_page(world: &World, account: AccountId, place: usize, how: HostedPageEvent) {
    let sandbox = &world.plugipay.sandbox;
    let Some(merchant) = sandbox.merchant_of(&account.to_string()) else { return };
    if how == HostedPageEvent::Stranger {
        pay_a_strangers_session(sandbox, &merchant);
    } else {
        let theirs: Vec<_> = sandbox.sessions().into_iter().filter(|session| session.account_id == merchant).collect();
        let back = place.checked_rem(theirs.len().min(3)).unwrap_or(0);
        let Some(session) = theirs.len().checked_sub(back.saturating_add(1)).and_then(|at| theirs.get(at)) else {
            return;
        };
        let id = session.id.as_str();
        let paid = match how {
            HostedPageEvent::Pay => sandbox.pay(id),
            HostedPageEvent::PayAmount(amount) => sandbox.pay_amount(id, amount, "IDR"),
            HostedPageEvent::PayForeign(amount) => sandbox.pay_amount(id, amount, "USD"),
            HostedPageEvent::Fail => {
                sandbox.fail(id);
                false
            }
            HostedPageEvent::Expire => {
                sandbox.expire(id);
                false
            }
            HostedPageEvent::ExpireAndPay => {
                sandbox.expire(id);
                sandbox.pay(id)
            }
            HostedPageEvent::Stranger => false,
        };
        world.line(&format!("hosted page of {id}: {how:?} {paid}"));
        if let (true, Some(now)) = (paid, sandbox.session(id)) {
            world.see(&Event::Paid { session: &now, minted: session.amount });
        }
    }
    world.plugipay.news.raise();
}

/// Creates and pays a session of the same merchant, as another partner would.
fn pay_a_strangers_session(sandbox: &Sandbox, merchant: &str) {
    let body = r#"{"amount":5000,"currency":"IDR","methods":["qris"],"successUrl":"https://other.example/","cancelUrl":"https://other.example/"}"#;
    let call = PlugipayCall {
        method: PlugipayMethod::Post,
        path: "/api/v1/checkout-sessions".to_owned(),
        on_behalf_of: Some(merchant.to_owned()),
        idempotency_key: None,
        body: body.to_owned(),
    };
    if at_once(sandbox.call(&call)).is_ok()
        && let Some(made) = sandbox.sessions().last()
    {
        sandbox.pay(&made.id);
    }
}

/// A notification on its way: its bytes, and whether Plugipay sent exactly these.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) signature: Option<String>,
    pub(crate) body: String,
    pub(crate) genuine: bool,
}

impl Letter {
    pub(crate) fn genuine(notification: &Notification) -> Self {
        let signature = Some(notification.signature().to_owned());
        Self { signature, body: notification.body.clone(), genuine: true }
    }

    /// A forgery by an attacker who has seen the genuine notification.
    pub(crate) fn forged(notification: &Notification, variant: u64, now: i64) -> Self {
        let Self { signature, body, .. } = Self::genuine(notification);
        let made_up = || {
            let secret = WebhookSecret::parse(&format!("whsec_{}", "0".repeat(48)))?;
            Some(signature::sign(&secret, Timestamp::from_millis(now), &notification.body))
        };
        let (signature, body) = match variant {
            0 => (None, body),
            1 => (made_up(), body),
            2 => (signature.map(|signature| signature.chars().rev().collect()), body),
            _ => (signature, body.replacen("\"amount\":", "\"amount\":9", 1)),
        };
        Self { signature, body, genuine: false }
    }

    /// The time in its signature.
    pub(crate) fn signed_at(&self) -> i64 {
        let time = self.signature.as_deref().and_then(|text| text.strip_prefix("t=")?.split(',').next()?.parse().ok());
        time.unwrap_or(0)
    }
}
