//! The clients: sellers' devices, buyers and the admin. Each does what the plan says, one thing after the other, against
//! whichever host answers, and asks again under the same idempotency key if no answer comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Poll;

use serde_json::Value;
use serront_core::primitives::image::ImageType;

use super::events::{Call, Event, Reply, SellerFacts, Verb};
use super::executor::answer;
use super::host::Host;
use super::outside::hook_url;
use super::plan::{Act, Actor, DEVICES, Item, LATEST, Link, STATUSES, TIERS};
use super::plugipay::visit_hosted_page;
use super::random::Random;
use super::world::World;
use crate::generators::commented;
use crate::memory::locked;

/// How long a client waits for an answer.
const GIVE_UP_MS: u64 = 60_000;
/// How often a client asks again under the same key.
const REPEATS_MAX: u32 = 3;
/// What is asked for while nobody knows what is available.
const SOME_AMOUNT: i64 = 10_000;
/// A payout is asked for again under its key only as long as the key surely counts.
const AGAIN_WITHIN_MS: i64 = 12 * 3_600_000;
/// How often a button is pressed that does not work.
const PRESSES_MAX: u32 = 5;

/// An order as its buyer or seller came to know it.
#[derive(Debug, Clone)]
struct KnownOrder {
    id: String,
    token: String,
    /// Those that were replaced.
    old: Vec<String>,
}

impl KnownOrder {
    fn goes_by(&mut self, token: String) {
        if self.token != token {
            self.old.push(std::mem::replace(&mut self.token, token));
        }
    }
}

/// A seller's key on one of its devices.
#[derive(Debug, Clone)]
pub(crate) struct DeviceKey {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// What the clients know of one seller's shop.
#[derive(Debug)]
struct Shop {
    facts: SellerFacts,
    slug: String,
    keys: Vec<DeviceKey>,
    revoked: Vec<String>,
    orders: Vec<KnownOrder>,
    subscriptions: Vec<String>,
    /// Those that were given up first, and none that waits.
    deliveries: Vec<String>,
    services: Vec<String>,
    /// Those that are open first.
    exceptions: Vec<String>,
    payouts: Vec<String>,
    adjustments: Vec<String>,
    available: Option<i64>,
}

/// What the clients know, and the way to the hosts.
pub(crate) struct Clients {
    world: Arc<World>,
    hosts: Mutex<Vec<Option<Arc<Host>>>>,
    shops: Mutex<Vec<Shop>>,
    operators: Mutex<Vec<String>>,
    /// Each one's last request that carried an idempotency key, and when it was made.
    last: Mutex<BTreeMap<Actor, (i64, Call)>>,
    calls: Mutex<u64>,
}

impl Clients {
    pub(crate) fn new(world: Arc<World>, hosts: usize) -> Self {
        let hosts = Mutex::new((0..hosts).map(|_| None).collect());
        let (shops, operators) = (Mutex::default(), Mutex::default());
        Self { world, hosts, shops, operators, last: Mutex::default(), calls: Mutex::default() }
    }

    pub(crate) fn open_shop(&self, facts: SellerFacts) {
        let slug = facts.slug.clone();
        let (keys, revoked, orders) = (Vec::new(), Vec::new(), Vec::new());
        let (subscriptions, deliveries) = (Vec::new(), Vec::new());
        let (services, exceptions) = (Vec::new(), Vec::new());
        let (payouts, adjustments, available) = (Vec::new(), Vec::new(), None);
        let shop = Shop {
            facts,
            slug,
            keys,
            revoked,
            orders,
            subscriptions,
            deliveries,
            services,
            exceptions,
            payouts,
            adjustments,
            available,
        };
        locked(&self.shops).push(shop);
    }

    pub(crate) fn hire(&self, operators: Vec<String>) {
        *locked(&self.operators) = operators;
    }

    pub(crate) fn give_keys(&self, seller: usize, keys: Vec<DeviceKey>) {
        if let Some(shop) = locked(&self.shops).get_mut(seller) {
            shop.keys = keys;
        }
    }

    /// Which host answers at this place; `None` while it is down.
    pub(crate) fn connect(&self, at: usize, host: Option<Arc<Host>>) {
        if let Some(slot) = locked(&self.hosts).get_mut(at) {
            *slot = host;
        }
    }

    pub(crate) fn host(&self, at: usize) -> Option<Arc<Host>> {
        locked(&self.hosts).get(at).cloned().flatten()
    }

    /// Asks once, of some host.
    async fn ask(&self, call: &Call, random: &mut Random) -> Reply {
        let handle = &self.world.handle;
        let id = {
            let mut calls = locked(&self.calls);
            *calls += 1;
            *calls
        };
        self.world.line(&format!("ask {id} {} {:?} {:?}", call.seller, call.verb, call.idempotency_key));
        self.world.see(&Event::Asked { id, call });
        let reply = self.send(id, call, random).await;
        self.world.line(&format!("told {id} {reply:?}"));
        self.world.see(&Event::Told { id, call, reply: &reply });
        handle.sleep_ms(1).await;
        reply
    }

    async fn send(&self, id: u64, call: &Call, random: &mut Random) -> Reply {
        let handle = &self.world.handle;
        let fate = locked(&self.world.network).fate(Link::Clients, handle.now());
        handle.sleep_ms(fate.request_ms).await;
        if fate.refused || fate.busy {
            self.world.see(&Event::Ended { id });
            return Reply::NotDone;
        }
        let at = random.index(locked(&self.hosts).len());
        let Some(host) = self.host(at) else {
            self.world.see(&Event::Ended { id });
            return Reply::NotDone;
        };
        if fate.loses_request {
            self.world.see(&Event::Ended { id });
            return Reply::Unknown;
        }
        let (answerer, awaited) = answer();
        host.serve(id, call.clone(), answerer);
        drop(host);
        let reply = handle.within(GIVE_UP_MS, awaited).await.flatten();
        handle.sleep_ms(fate.answer_ms).await;
        reply.filter(|_| !fate.loses_answer).unwrap_or(Reply::Unknown)
    }

    /// Asks, learns from the answer, and asks again under the same key while nobody knows.
    pub(crate) async fn settle(&self, call: Call, random: &mut Random) -> Reply {
        let mut reply = self.ask(&call, random).await;
        for _ in 0..REPEATS_MAX {
            let open = matches!(reply, Reply::Unknown | Reply::NotDone);
            // An adjustment's reference is its key.
            if !open || call.idempotency_key.is_none() && !matches!(call.verb, Verb::Adjust { .. }) {
                break;
            }
            self.world.handle.sleep_ms(random.pick(&[10, 1_000, 30_000], 10)).await;
            reply = self.ask(&call, random).await;
        }
        self.learn(&call, &reply);
        reply
    }

    fn learn(&self, call: &Call, reply: &Reply) {
        let Reply::Done { data, .. } = reply else { return };
        let mut shops = locked(&self.shops);
        let Some(shop) = shops.get_mut(call.seller) else { return };
        let text = |data: &Value, field: &str| data.get(field).and_then(Value::as_str).map(str::to_owned);
        match &call.verb {
            Verb::Place { .. } => {
                if let (Some(id), Some(token)) = (text(data, "orderId"), text(data, "accessToken")) {
                    shop.orders.push(KnownOrder { id, token, old: Vec::new() });
                }
            }
            Verb::RotateToken { order } => {
                let known = shop.orders.iter_mut().find(|known| known.id == *order);
                if let (Some(known), Some(token)) = (known, text(data, "accessToken")) {
                    known.goes_by(token);
                }
            }
            Verb::List => {
                for order in data.get("orders").and_then(Value::as_array).into_iter().flatten() {
                    let (Some(id), Some(token)) = (text(order, "id"), text(order, "accessToken")) else { continue };
                    match shop.orders.iter_mut().find(|known| known.id == id) {
                        Some(known) => known.goes_by(token),
                        None => shop.orders.push(KnownOrder { id, token, old: Vec::new() }),
                    }
                }
            }
            Verb::PutStorefront { slug, .. } => shop.slug.clone_from(slug),
            Verb::Subscribe { .. } => shop.subscriptions.extend(text(data, "id")),
            Verb::Deliveries => {
                let mut listed: Vec<_> = data.as_array().into_iter().flatten().collect();
                listed.retain(|delivery| text(delivery, "status").as_deref() != Some("pending"));
                listed.sort_by_key(|delivery| text(delivery, "status").as_deref() != Some("failed"));
                shop.deliveries = listed.into_iter().filter_map(|delivery| text(delivery, "id")).collect();
            }
            Verb::AddService { .. } => shop.services.extend(text(data, "id")),
            Verb::Exceptions => {
                let mut listed: Vec<_> = data.as_array().into_iter().flatten().collect();
                listed.sort_by_key(|exception| text(exception, "status").as_deref() != Some("open"));
                shop.exceptions = listed.into_iter().filter_map(|exception| text(exception, "id")).collect();
            }
            Verb::RequestPayout { .. } => {
                let id = text(data, "id").filter(|id| !shop.payouts.contains(id));
                shop.payouts.extend(id);
            }
            Verb::Payouts => {
                let listed = data.as_array().into_iter().flatten().rev().filter_map(|payout| text(payout, "id"));
                shop.payouts = listed.collect();
            }
            Verb::PayoutBalance => shop.available = data.get("available").and_then(Value::as_i64),
            Verb::Adjust { .. } => shop.adjustments.extend(text(data, "id")),
            _ => {}
        }
    }

    /// Does everything that the plan has for one actor.
    pub(crate) async fn act(&self, begin: i64, items: Vec<Item>) {
        for item in items {
            let due = begin.saturating_add(item.at);
            let pause = u64::try_from(due.saturating_sub(self.world.handle.now())).unwrap_or(0);
            self.world.handle.sleep_ms(pause).await;
            let mut random = Random::new(item.salt);
            self.perform(&item, &mut random).await;
        }
    }

    async fn perform(&self, item: &Item, random: &mut Random) {
        if let (Actor::Admin, Act::RevokeKey { device }) = (item.actor, &item.act) {
            self.replace_key(device / DEVICES, device % DEVICES, random).await;
            return;
        }
        if item.act == Act::AddKeyAtRest {
            self.world.line("secrets at rest have a new key");
            self.world.sealer.rotate();
            self.world.see(&Event::KeyAdded);
            return;
        }
        if let (Actor::Buyer { seller, .. }, Act::HostedPage { session, how }) = (item.actor, &item.act) {
            let account = locked(&self.shops).get(seller).map(|shop| shop.facts.account);
            if let Some(account) = account {
                visit_hosted_page(&self.world, account, *session, *how);
            }
            return;
        }
        if let (Actor::Device { seller, device }, Some(look)) = (item.actor, first_look(&item.act)) {
            let bearer = {
                let shops = locked(&self.shops);
                shops.get(seller).and_then(|shop| shop.keys.get(device)).map(|key| key.key.clone())
            };
            self.settle(Call { seller, bearer, idempotency_key: None, verb: look }, random).await;
        }
        let now = self.world.handle.now();
        let again = || {
            let (asked_at, call) = locked(&self.last).get(&item.actor).cloned()?;
            let counts = now - asked_at < AGAIN_WITHIN_MS || !matches!(call.verb, Verb::RequestPayout { .. });
            counts.then_some(call)
        };
        let call = if item.act == Act::Again { again() } else { self.call(item, random) };
        let Some(call) = call else { return };
        if call.idempotency_key.is_some() && item.act != Act::Again {
            locked(&self.last).insert(item.actor, (now, call.clone()));
        }
        if matches!(item.act, Act::PayOnline { twice: true, .. }) {
            let mut other = Random::new(random.next());
            both(self.press(call.clone(), random), self.press(call, &mut other)).await;
        } else {
            self.press(call, random).await;
        }
    }

    /// Asks, and presses once more what did not work if it is one of the buttons of online payment.
    async fn press(&self, call: Call, random: &mut Random) {
        let is_button = matches!(call.verb, Verb::SwitchPayment { .. } | Verb::Pay { .. });
        for _ in 0..PRESSES_MAX {
            let done = match self.settle(call.clone(), random).await {
                Reply::Done { .. } | Reply::Bytes(_) => true,
                Reply::Refused(code) => code != "PLUGIPAY_ERROR",
                Reply::NotDone | Reply::Unknown => false,
            };
            if done || !is_button {
                return;
            }
            self.world.handle.sleep_ms(random.pick(&[100, 5_000, 130_000], 100)).await;
        }
    }

    /// A device gets a new key, and its old one is revoked.
    async fn replace_key(&self, seller: usize, device: usize, random: &mut Random) {
        let account = {
            let shops = locked(&self.shops);
            let Some(shop) = shops.get(seller) else { return };
            shop.facts.account.to_string()
        };
        let call = |verb| Call { seller, bearer: None, idempotency_key: None, verb };
        let issued = self.settle(call(Verb::IssueKey { account: account.clone() }), random).await;
        let Reply::Done { data, .. } = issued else { return };
        let text = |field: &str| data.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let new = DeviceKey { id: text("id"), key: text("key") };
        let old = {
            let mut shops = locked(&self.shops);
            let key = shops.get_mut(seller).and_then(|shop| shop.keys.get_mut(device));
            let Some(key) = key else { return };
            std::mem::replace(key, new)
        };
        let revoked = self.settle(call(Verb::RevokeKey { account, id: old.id }), random).await;
        if let (Reply::Done { .. } | Reply::Unknown, Some(shop)) = (revoked, locked(&self.shops).get_mut(seller)) {
            shop.revoked.push(old.key);
        }
    }

    /// The request that an entry of the plan stands for; `None` if what it needs is not there.
    fn call(&self, item: &Item, random: &mut Random) -> Option<Call> {
        let shops = locked(&self.shops);
        let (seller, device) = match item.actor {
            Actor::Device { seller, device } => (seller, Some(device)),
            Actor::Buyer { seller, .. } => (seller, None),
            Actor::Admin | Actor::Operator { .. } => match item.act {
                Act::SetTier { seller, .. }
                | Act::Rotate { seller }
                | Act::RequestPayout { seller, .. }
                | Act::MovePayout { seller, .. }
                | Act::Adjust { seller, .. } => (seller, None),
                Act::RetryParked | Act::RetryGivenUp | Act::VerifyBooks | Act::Reseal | Act::ForgetKeys => (0, None),
                _ => return None,
            },
        };
        let shop = shops.get(seller)?;
        let order = |place: &usize| match *place {
            LATEST => shop.orders.last(),
            place => shop.orders.get(place.checked_rem(shop.orders.len())?),
        };
        // Some buyers go by the link that they have, though there is another one.
        let token = |place: &usize, random: &mut Random| {
            let known = order(place)?;
            let old = known.old.get(random.index(known.old.len())).filter(|_| random.per_mille(500));
            Some(old.unwrap_or(&known.token).clone())
        };
        let subscription = |place: &usize| shop.subscriptions.get(place.checked_rem(shop.subscriptions.len())?);
        let number = item.salt;
        let mut idempotency_key = None;
        let keyed = |key: &Option<u8>| key.map(|key| format!("key-{key}"));
        let by = if device.is_some() { "" } else { "op-" };
        // The same key for all, or one that nobody else has.
        let own = |key: &Option<u8>| match key {
            None => None,
            Some(0) => Some(format!("{by}key")),
            Some(_) => Some(format!("{by}{:x}", item.salt)),
        };
        let payout = |place: &usize| match *place {
            LATEST => shop.payouts.last(),
            place => shop.payouts.get(place.checked_rem(shop.payouts.len())?),
        };
        let verb = match &item.act {
            // At the name that nobody else can take meanwhile.
            Act::Place => Verb::Place {
                slug: shop.facts.slug.clone(),
                buyer: format!("Buyer {number}"),
                email: format!("buyer-{seller}-{number}@example.com"),
            },
            Act::Claim { order: place } => Verb::Claim { token: token(place, random)? },
            Act::Upload { order: place, image } => {
                Verb::Upload { token: token(place, random)?, bytes: image_bytes(seller, *image) }
            }
            Act::View { order: place } => Verb::View { token: token(place, random)? },
            Act::Visit => Verb::Visit { slug: shop.slug.clone() },
            Act::Confirm { order: place, key, note } => {
                idempotency_key = keyed(key);
                let note = (*note > 0).then(|| format!("note {note}"));
                Verb::Confirm { order: order(place)?.id.clone(), note }
            }
            Act::Patch { order: place, status, quote, key } => {
                idempotency_key = keyed(key);
                let status = status.filter(|status| STATUSES.contains(status));
                Verb::Patch { order: order(place)?.id.clone(), status, quote: *quote }
            }
            Act::Read { order: place } => Verb::Read { order: order(place)?.id.clone() },
            Act::RotateToken { order: place, key } => {
                idempotency_key = keyed(key);
                Verb::RotateToken { order: order(place)?.id.clone() }
            }
            Act::List => Verb::List,
            Act::Receipt { order: place } => Verb::Receipt { order: order(place)?.id.clone() },
            Act::Trespass { order: place } => {
                let other = shops.get(seller.checked_add(1)?.checked_rem(shops.len())?)?;
                if other.facts.account == shop.facts.account {
                    return None;
                }
                if let (Some(payout), true) = (other.payouts.first().cloned(), random.per_mille(400)) {
                    return Some(Call {
                        seller,
                        bearer: Some(shop.keys.get(device?)?.key.clone()),
                        idempotency_key: None,
                        verb: if random.per_mille(500) {
                            Verb::Payout { payout }
                        } else {
                            Verb::CancelPayout { payout }
                        },
                    });
                }
                let foreign = other.orders.get(place.checked_rem(other.orders.len())?)?.id.clone();
                match random.below(4) {
                    0 => Verb::Read { order: foreign },
                    1 => Verb::Receipt { order: foreign },
                    2 => Verb::RotateToken { order: foreign },
                    _ => Verb::Confirm { order: foreign, note: None },
                }
            }
            Act::PutStorefront { variant, contended, hide_branding, published } => {
                // A name that several want, or one of one's own.
                let slug = if *contended { "wanted".to_owned() } else { shop.facts.slug.clone() };
                let (hide_branding, published) = (*hide_branding, *published);
                Verb::PutStorefront { slug, variant: *variant, hide_branding, published }
            }
            Act::GetStorefront => Verb::GetStorefront,
            Act::Reprice { price } => Verb::Reprice { service: shop.facts.service.clone(), price: *price },
            Act::AddService => Verb::AddService { slug: format!("extra-{}", number % 4) },
            Act::DropService => {
                let last = shop.services.get(random.index(shop.services.len()))?;
                Verb::DropService { service: last.clone() }
            }
            Act::Subscribe { hook, filter } => {
                Verb::Subscribe { url: hook_url(seller, *hook), events: filters(*filter) }
            }
            Act::Pause { subscription: place, active } => {
                Verb::Pause { subscription: subscription(place)?.clone(), active: *active }
            }
            Act::Unsubscribe { subscription: place } => {
                Verb::Unsubscribe { subscription: subscription(place)?.clone() }
            }
            Act::RotateSecret { subscription: place } => {
                Verb::RotateSecret { subscription: subscription(place)?.clone() }
            }
            Act::Deliveries => Verb::Deliveries,
            Act::Redeliver { delivery: place } => {
                let delivery = shop.deliveries.get(place.checked_rem(shop.deliveries.len())?)?.clone();
                Verb::Redeliver { delivery }
            }
            Act::RetryGivenUp => Verb::RetryGivenUp,
            Act::AddKey => Verb::AddKey { name: format!("key {number}") },
            Act::SwitchPayment { on } => Verb::SwitchPayment { on: *on },
            Act::SwitchMarketing { on } => Verb::SwitchMarketing { on: *on },
            Act::PayOnline { order: place, .. } => Verb::Pay { token: token(place, random)? },
            Act::Balance => Verb::Balance,
            Act::Entries => Verb::Entries,
            Act::Exceptions => Verb::Exceptions,
            Act::Resolve { exception: place } => {
                let exception = shop.exceptions.get(place.checked_rem(shop.exceptions.len())?)?.clone();
                let adjustment = shop.adjustments.last().filter(|_| random.per_mille(500)).cloned();
                Verb::Resolve { exception, note: format!("looked after {number}"), adjustment }
            }
            Act::RequestPayout { share, bank, key, .. } => {
                idempotency_key = own(key);
                let account = shop.facts.account.to_string();
                let share = |available: i64| available.saturating_mul(i64::from(*share)) / 1_000;
                let amount = shop.available.map_or(SOME_AMOUNT, share).max(1);
                Verb::RequestPayout { account, amount, bank: *bank, note: format!("payout {:x}", item.salt) }
            }
            Act::CancelPayout { payout: place, key } => {
                idempotency_key = own(key);
                Verb::CancelPayout { payout: payout(place)?.clone() }
            }
            Act::PatchBankAccount { variant, whole, key } => {
                idempotency_key = own(key);
                Verb::PatchBankAccount { variant: *variant, whole: *whole }
            }
            Act::BankAccount => Verb::BankAccount,
            Act::Payouts => Verb::Payouts,
            Act::Payout { payout: place } => Verb::Payout { payout: payout(place)?.clone() },
            Act::PayoutBalance => Verb::PayoutBalance,
            Act::MovePayout { payout: place, step, text, key, .. } => {
                idempotency_key = own(key);
                let text = text.map(|text| format!("transfer {text}"));
                Verb::MovePayout { payout: payout(place)?.clone(), step: *step, text }
            }
            Act::Adjust { amount, reference, .. } => {
                let (account, reference) = (shop.facts.account.to_string(), format!("ref-{reference}"));
                Verb::Adjust { account, amount: *amount, reference }
            }
            Act::VerifyBooks => Verb::VerifyBooks,
            Act::Rotate { .. } => Verb::Rotate { account: shop.facts.account.to_string() },
            Act::RetryParked => Verb::RetryParked,
            Act::Reseal => Verb::Reseal,
            Act::ForgetKeys => Verb::ForgetKeys,
            Act::SetTier { seller, tier } => {
                let account = shops.get(*seller)?.facts.account.to_string();
                Verb::SetTier { account, tier: TIERS.get(*tier).copied()? }
            }
            Act::Again | Act::RevokeKey { .. } | Act::HostedPage { .. } | Act::AddKeyAtRest => return None,
        };
        let bearer = match (device, item.actor) {
            (None, Actor::Operator { operator }) => Some(locked(&self.operators).get(operator)?.clone()),
            (None, _) => None,
            (Some(device), _) => {
                // Now and then somebody still has a key that was revoked.
                let old = shop.revoked.last().filter(|_| random.per_mille(250)).cloned();
                Some(match old {
                    Some(old) => old,
                    None => shop.keys.get(device)?.key.clone(),
                })
            }
        };
        Some(Call { seller, bearer, idempotency_key, verb })
    }

    /// Looks at everything there is, as its owners see it. Asked when the world has healed.
    pub(crate) async fn look_around(&self) {
        let mut random = Random::new(7);
        let count = locked(&self.shops).len();
        for seller in 0..count {
            let bearer = {
                let shops = locked(&self.shops);
                shops.get(seller).and_then(|shop| shop.keys.first()).map(|key| key.key.clone())
            };
            let call = |verb| Call { seller, bearer: bearer.clone(), idempotency_key: None, verb };
            self.settle(call(Verb::List), &mut random).await;
            let (orders, slug) = {
                let shops = locked(&self.shops);
                let Some(shop) = shops.get(seller) else { continue };
                (shop.orders.clone(), shop.slug.clone())
            };
            for KnownOrder { id, token, old } in orders {
                self.settle(call(Verb::Read { order: id.clone() }), &mut random).await;
                for token in old.into_iter().chain([token]) {
                    let view = Call { bearer: None, ..call(Verb::View { token }) };
                    self.settle(view, &mut random).await;
                }
                self.settle(call(Verb::Receipt { order: id }), &mut random).await;
            }
            let reads = [Verb::GetStorefront, Verb::Services, Verb::Subscriptions, Verb::Deliveries];
            let money = [Verb::Balance, Verb::Entries, Verb::Exceptions, Verb::PayoutBalance, Verb::Payouts];
            for verb in reads.into_iter().chain(money).chain([Verb::BankAccount]) {
                self.settle(call(verb), &mut random).await;
            }
            self.settle(Call { bearer: None, ..call(Verb::Visit { slug }) }, &mut random).await;
        }
    }
}

/// What a seller looks at before such an act.
const fn first_look(act: &Act) -> Option<Verb> {
    match act {
        Act::RequestPayout { .. } => Some(Verb::PayoutBalance),
        Act::Resolve { .. } => Some(Verb::Exceptions),
        Act::Redeliver { .. } => Some(Verb::Deliveries),
        _ => None,
    }
}

/// Both at the same time.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let (mut first, mut second) = (false, false);
    std::future::poll_fn(|context| {
        first = first || one.as_mut().poll(context).is_ready();
        second = second || other.as_mut().poll(context).is_ready();
        if first && second { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn filters(which: usize) -> Vec<&'static str> {
    match which {
        0 => vec!["*"],
        1 => vec!["serront.order.payment_confirmed.v1"],
        2 => vec!["serront.order.*"],
        _ => vec!["serront.billing.subscribed.v1", "serront.order.created.v1"],
    }
}

/// A receipt that tells whose it is.
pub(crate) fn image_bytes(seller: usize, image: u32) -> Vec<u8> {
    commented(ImageType::Jpeg, format!("seller {seller} image {image}").as_bytes())
}
