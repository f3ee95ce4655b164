//! The clients: sellers' devices, buyers, operators and the admin. Each carries out its part of the plan, one entry
//! after the other, against a random host, and repeats a request under the same idempotency key if no answer comes.

mod calls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Poll;

use serde_json::Value;
use serront_core::primitives::image::ImageType;

use super::events::{Call, Event, Reply, SellerFacts, Verb};
use super::executor::answer;
use super::host::Host;
use super::plan::{Action, Actor, DEVICES, Item, Link};
use super::plugipay::visit_hosted_page;
use super::random::Random;
use super::world::World;
use crate::generators::commented;
use crate::memory::locked;

/// How long a client waits for an answer.
const GIVE_UP_MS: u64 = 60_000;
/// Repetitions of a request under the same key.
const REPEATS_MAX: u32 = 3;
/// A payout's request is repeated under its key only while the key is certainly kept.
const AGAIN_WITHIN_MS: i64 = 12 * 3_600_000;
/// Presses of a button that does not work.
const PRESSES_MAX: u32 = 5;

/// An order as its buyer or seller knows it.
#[derive(Debug, Clone)]
struct KnownOrder {
    id: String,
    token: String,
    /// Replaced tokens.
    old: Vec<String>,
}

impl KnownOrder {
    fn set_token(&mut self, token: String) {
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
    /// Finished deliveries, those given up first.
    deliveries: Vec<String>,
    services: Vec<String>,
    /// Open exceptions first.
    exceptions: Vec<String>,
    payouts: Vec<String>,
    adjustments: Vec<String>,
    available: Option<i64>,
}

/// What the clients know, and their connections to the hosts.
pub(crate) struct Clients {
    world: Arc<World>,
    hosts: Mutex<Vec<Option<Arc<Host>>>>,
    shops: Mutex<Vec<Shop>>,
    operators: Mutex<Vec<String>>,
    /// Each actor's last request that carried an idempotency key, and when it was sent.
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
        locked(&self.shops).push(Shop {
            facts,
            slug,
            keys: Vec::new(),
            revoked: Vec::new(),
            orders: Vec::new(),
            subscriptions: Vec::new(),
            deliveries: Vec::new(),
            services: Vec::new(),
            exceptions: Vec::new(),
            payouts: Vec::new(),
            adjustments: Vec::new(),
            available: None,
        });
    }

    pub(crate) fn hire(&self, operators: Vec<String>) {
        *locked(&self.operators) = operators;
    }

    pub(crate) fn give_keys(&self, seller: usize, keys: Vec<DeviceKey>) {
        if let Some(shop) = locked(&self.shops).get_mut(seller) {
            shop.keys = keys;
        }
    }

    /// Sets the host at this index; `None` while it is down.
    pub(crate) fn connect(&self, at: usize, host: Option<Arc<Host>>) {
        if let Some(slot) = locked(&self.hosts).get_mut(at) {
            *slot = host;
        }
    }

    pub(crate) fn host(&self, at: usize) -> Option<Arc<Host>> {
        locked(&self.hosts).get(at).cloned().flatten()
    }

    /// Sends a request once, to a random host.
    async fn request(&self, call: &Call, random: &mut Random) -> Reply {
        let handle = &self.world.handle;
        let id = {
            let mut calls = locked(&self.calls);
            *calls += 1;
            *calls
        };
        self.world.line(&format!("ask {id} {} {:?} {:?}", call.seller, call.verb, call.idempotency_key));
        self.world.see(&Event::Requested { id, call });
        let reply = self.send(id, call, random).await;
        self.world.line(&format!("told {id} {reply:?}"));
        self.world.see(&Event::Answered { id, call, reply: &reply });
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

    /// Sends a request, repeats it under the same key while its outcome is unknown, and learns from the answer.
    pub(crate) async fn settle(&self, call: Call, random: &mut Random) -> Reply {
        let mut reply = self.request(&call, random).await;
        for _ in 0..REPEATS_MAX {
            let open = matches!(reply, Reply::Unknown | Reply::NotDone);
            // An adjustment's reference is its key.
            if !open || call.idempotency_key.is_none() && !matches!(call.verb, Verb::Adjust { .. }) {
                break;
            }
            self.world.handle.sleep_ms(random.pick(&[10, 1_000, 30_000], 10)).await;
            reply = self.request(&call, random).await;
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
                    known.set_token(token);
                }
            }
            Verb::List => {
                for order in data.get("orders").and_then(Value::as_array).into_iter().flatten() {
                    let (Some(id), Some(token)) = (text(order, "id"), text(order, "accessToken")) else { continue };
                    match shop.orders.iter_mut().find(|known| known.id == id) {
                        Some(known) => known.set_token(token),
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

    /// Carries out one actor's entries of the plan.
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
        if let (Actor::Admin, Action::RevokeKey { device }) = (item.actor, &item.action) {
            self.replace_key(device / DEVICES, device % DEVICES, random).await;
            return;
        }
        if item.action == Action::AddKeyAtRest {
            self.world.line("secrets at rest have a new key");
            self.world.sealer.rotate();
            self.world.see(&Event::KeyAdded);
            return;
        }
        if let (Actor::Buyer { seller, .. }, Action::HostedPage { session, how }) = (item.actor, &item.action) {
            let account = locked(&self.shops).get(seller).map(|shop| shop.facts.account);
            if let Some(account) = account {
                visit_hosted_page(&self.world, account, *session, *how);
            }
            return;
        }
        if let (Actor::Device { seller, device }, Some(look)) = (item.actor, first_look(&item.action)) {
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
        let call = if item.action == Action::Again { again() } else { self.call(item, random) };
        let Some(call) = call else { return };
        if call.idempotency_key.is_some() && item.action != Action::Again {
            locked(&self.last).insert(item.actor, (now, call.clone()));
        }
        if matches!(item.action, Action::PayOnline { twice: true, .. }) {
            let mut other = Random::new(random.next());
            both(self.press(call.clone(), random), self.press(call, &mut other)).await;
        } else {
            self.press(call, random).await;
        }
    }

    /// Sends a request; a button of online payment that does not work is pressed again.
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

    /// Issues a new key for a device and revokes its old one.
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

    /// Reads every object as its owner. Called after the world has healed.
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

/// What a seller reads before this action.
const fn first_look(act: &Action) -> Option<Verb> {
    match act {
        Action::RequestPayout { .. } => Some(Verb::PayoutBalance),
        Action::Resolve { .. } => Some(Verb::Exceptions),
        Action::Redeliver { .. } => Some(Verb::Deliveries),
        _ => None,
    }
}

/// Runs both futures at the same time.
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

/// A receipt whose bytes name its seller and number.
pub(crate) fn image_bytes(seller: usize, image: u32) -> Vec<u8> {
    commented(ImageType::Jpeg, format!("seller {seller} image {image}").as_bytes())
}
