//! For every sequence of commands on an order and every fault, the laws of the design hold.
//!
//! - An order is confirmed at most once, with one event and one mail (rule 1).
//! - Nothing leaves before its commit, and everything committed leaves (rule 6).
//! - No public view shows bank details once the payment is confirmed, and the storefront's page never does (rule 7).
//! - A repeated idempotency key has the same answer and no second effect (rule 9).
//!
//! A case runs one random script against the real service over a storage with planned faults, and against a model. The
//! model does not use the library's types: it edits the JSON of the wire contract, by independently written rules.
//! After each step the two are compared completely.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy.toml does not reach"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::ports::{Clock, Commits, PortErrorKind, Posted};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::ChangeSetId;
use serront_core::primitives::page::Limit;
use serront_core::service::{Answer, Failure};
use serront_core::snapshots::DeliveryFilter;
use serront_core::work::installation::meet;
use serront_testkit::faults::{Call, Fault, Faults, FaultyStorage};
use serront_testkit::generators::{self, OrderCommand};
use serront_testkit::memory::{ManualClock, MemoryStorage};
use serront_testkit::world::{self, Placed, Seller, World};

const EVERYTHING: &str = "https://everything.example/hook";
const CONFIRMATIONS: &str = "https://confirmations.example/hook";
const NOTHING: &str = "https://nothing.example/hook";

/// More failed commits of one change set than the service retries.
const EXHAUSTING: usize = 5;
/// Fewer than a mail has attempts, so that none is given up.
const MAIL_FAILURES_MAX: usize = 5;

#[derive(Debug, Clone)]
struct Ask {
    command: OrderCommand,
    well_formed: bool,
}

#[derive(Debug, Clone)]
enum Step {
    /// One command, with what goes wrong with its commits.
    Ask(Ask, Vec<Fault>),
    /// Two commands at the same time.
    Together(Ask, Ask, Vec<Fault>),
    /// A step of the dispatcher.
    Dispatch { capacity: u32, mail: Option<PortErrorKind>, posts: Vec<Posted>, faults: Vec<(Call, Fault)> },
    /// Time passes.
    Wait(Duration),
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        9 => generators::order_command().prop_map(|command| Ask { command, well_formed: true }),
        1 => generators::almost_order_command().prop_map(|command| Ask { command, well_formed: false }),
    ]
}

fn failing() -> impl Strategy<Value = Fault> {
    proptest::sample::select(vec![Fault::FailBefore, Fault::LoseRequest, Fault::LoseAnswer])
}

/// Faults that the service handles without the caller noticing.
fn absorbed() -> impl Strategy<Value = Vec<Fault>> {
    prop_oneof![1 => Just(vec![]), 1 => vec(prop_oneof![3 => failing(), 1 => Just(Fault::Conflict)], 1..EXHAUSTING)]
}

fn step() -> impl Strategy<Value = Step> {
    let seconds = |list: Vec<u64>| proptest::sample::select(list).prop_map(Duration::from_secs);
    let posted = prop_oneof![
        2 => Just(Posted::Answered(200)),
        1 => proptest::sample::select(vec![302, 404, 500]).prop_map(Posted::Answered),
        1 => Just(Posted::Failed("timed out".to_owned())),
    ];
    let mail = proptest::sample::select(vec![PortErrorKind::Transient, PortErrorKind::OutcomeUnknown]);
    let calls = proptest::sample::select(vec![Call::TakeDue, Call::RecordAttempt, Call::RecordAttempt]);
    let dispatch = (1..6_u32, proptest::option::of(mail), vec(posted, 0..3), vec((calls, failing()), 0..2));
    prop_oneof![
        8 => (ask(), absorbed()).prop_map(|(ask, faults)| Step::Ask(ask, faults)),
        2 => (ask(), vec(failing(), EXHAUSTING)).prop_map(|(ask, faults)| Step::Ask(ask, faults)),
        3 => (ask(), ask(), absorbed()).prop_map(|(one, other, faults)| Step::Together(one, other, faults)),
        4 => dispatch.prop_map(|(capacity, mail, posts, faults)| Step::Dispatch { capacity, mail, posts, faults }),
        2 => seconds(vec![1, 31, 60, 301, 1_500, 7_200]).prop_map(Step::Wait),
        // Long enough for an idempotency key to be forgotten.
        1 => seconds(vec![86_399, 86_400]).prop_map(Step::Wait),
    ]
}

/// What a command answers, as its caller sees it.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    /// This view, and whether it is the answer to an earlier request.
    Done(Value, bool),
    /// This code.
    Refused(&'static str),
    /// The storage failed in this way; this change set's outcome can be read.
    Lost(PortErrorKind, ChangeSetId),
}

#[derive(Debug, Clone)]
struct KeptAnswer {
    body: String,
    until: i64,
    answer: Value,
}

/// What must be true of the order, as JSON.
#[derive(Debug, Clone)]
struct Model {
    seller: Value,
    buyer: Value,
    audit: Vec<Value>,
    events: Vec<Value>,
    mails: usize,
    receipt: Option<Vec<u8>>,
    kept: BTreeMap<(&'static str, u8), KeptAnswer>,
    writes: usize,
}

const WORK: [(&str, &str); 9] = [
    ("requested", "confirmed"),
    ("requested", "declined"),
    ("requested", "canceled"),
    ("confirmed", "in_progress"),
    ("confirmed", "canceled"),
    ("in_progress", "delivered"),
    ("in_progress", "canceled"),
    ("delivered", "completed"),
    ("delivered", "canceled"),
];

impl Model {
    fn confirmed(&self) -> bool {
        self.seller["paymentStatus"] == "payment_confirmed"
    }

    /// Only the digest's function is the library's; the model decides which bytes are digested.
    fn proof(&self) -> Value {
        self.receipt.as_ref().map_or(Value::Null, |bytes| json!(Digest256::of(bytes).to_string()))
    }

    fn set(&mut self, field: &str, value: &Value) {
        self.seller[field] = value.clone();
        self.buyer[field] = value.clone();
    }

    fn write(&mut self, now: &str) {
        self.seller["updatedAt"] = json!(now);
        self.writes += 1;
    }

    fn record(&mut self, now: &str, actor: &Value, act: Value, note: Option<&str>) {
        self.audit.push(json!({"at": now, "actor": actor, "act": act, "note": note}));
    }

    fn pay(&mut self, now: &str, actor: &Value, to: &str, note: Option<&str>) {
        let from = self.seller["paymentStatus"].clone();
        let act = json!({"kind": "payment", "from": from, "to": to, "proof_sha256": self.proof()});
        self.record(now, actor, act, note);
        self.set("paymentStatus", &json!(to));
        self.write(now);
    }

    fn event(&mut self, event_type: &str, data: Value) {
        self.events.push(json!({"type": event_type, "data": data}));
    }

    /// Answers a request under a key, or lets it act and keeps what it answers.
    fn keyed(
        &mut self,
        key: Option<(&'static str, u8)>,
        body: String,
        now: i64,
        act: impl FnOnce(&mut Self) -> Result<(), &'static str>,
    ) -> Told {
        let kept = key.and_then(|key| self.kept.get(&key)).filter(|kept| kept.until > now);
        if let Some(kept) = kept {
            return if kept.body == body {
                Told::Done(kept.answer.clone(), true)
            } else {
                Told::Refused("IDEMPOTENCY_KEY_IN_USE")
            };
        }
        if let Err(code) = act(self) {
            return Told::Refused(code);
        }
        let answer = self.seller.clone();
        if let Some(key) = key {
            self.kept.insert(key, KeptAnswer { body, until: now + 86_400_000, answer: answer.clone() });
        }
        Told::Done(answer, false)
    }

    fn ask(&mut self, ask: &Ask, clock: &ManualClock) -> Told {
        let (now, millis) = (clock.now().to_string(), clock.now().millis());
        let buyer = self.audit[0]["actor"].clone();
        let seller = json!({"kind": "host", "name": "tester"});
        match &ask.command {
            OrderCommand::Upload { .. } if !ask.well_formed => Told::Refused("UNSUPPORTED_MEDIA_TYPE"),
            OrderCommand::Confirm { .. } | OrderCommand::Patch { .. } if !ask.well_formed => {
                Told::Refused("VALIDATION_ERROR")
            }
            OrderCommand::Claim | OrderCommand::Upload { .. } if self.confirmed() => {
                Told::Refused("INVALID_TRANSITION")
            }
            OrderCommand::Claim => {
                if self.seller["paymentStatus"] == "unpaid" {
                    self.pay(&now, &buyer, "payment_claimed", None);
                }
                Told::Done(self.buyer.clone(), false)
            }
            OrderCommand::Upload { bytes, .. } => {
                let replaced = self.proof();
                self.receipt = Some(bytes.clone());
                let act = json!({"kind": "receipt", "proof_sha256": self.proof(), "replaced_sha256": replaced});
                self.record(&now, &buyer, act, None);
                self.set("hasProof", &json!(true));
                self.write(&now);
                Told::Done(Value::Null, false)
            }
            OrderCommand::Confirm { note, key } => {
                self.keyed(key.map(|key| ("confirm", key)), format!("{note:?}"), millis, |model| {
                    if model.confirmed() {
                        return Err("INVALID_TRANSITION");
                    }
                    model.pay(&now, &seller, "payment_confirmed", note.as_deref());
                    model.buyer["payment"] = Value::Null;
                    model.mails += 1;
                    let order = &model.seller;
                    let data = json!({
                        "orderId": order["id"],
                        "number": order["number"],
                        "quotedPriceIdr": order["quotedPriceIdr"],
                    });
                    model.event("serront.order.payment_confirmed.v1", data);
                    Ok(())
                })
            }
            OrderCommand::Patch { patch, key } => {
                let status = patch.status.map(|status| serde_json::to_value(status).unwrap());
                self.keyed(key.map(|key| ("patch", key)), format!("{patch:?}"), millis, |model| {
                    let from = model.seller["status"].clone();
                    let goes = |to: &Value| WORK.iter().any(|(one, other)| from == **one && to == *other);
                    if patch.quoted_price_idr.is_some() && model.confirmed()
                        || status.as_ref().is_some_and(|to| !goes(to))
                    {
                        return Err("INVALID_TRANSITION");
                    }
                    if let Some(to) = patch.quoted_price_idr {
                        let act = json!({"kind": "quote", "from": model.seller["quotedPriceIdr"], "to": to});
                        model.record(&now, &seller, act, None);
                        model.set("quotedPriceIdr", &json!(to));
                    }
                    if let Some(to) = &status {
                        model.record(&now, &seller, json!({"kind": "work", "from": from, "to": to}), None);
                        model.set("status", to);
                        let (id, number) = (model.seller["id"].clone(), model.seller["number"].clone());
                        let data = json!({"orderId": id, "number": number, "from": from, "to": to});
                        model.event("serront.order.status_changed.v1", data);
                    }
                    model.write(&now);
                    Ok(())
                })
            }
        }
    }
}

/// The real thing under test.
struct Case {
    world: World<FaultyStorage<MemoryStorage>>,
    faults: Faults,
    seller: Seller,
    placed: Placed,
    mail_failures: usize,
    /// What was posted and mailed so far under each id, so that nothing changes between two attempts.
    bodies: BTreeMap<String, String>,
}

fn told<T: serde::Serialize>(result: Result<Answer<T>, Failure>) -> Told {
    match result {
        Ok(answer) => Told::Done(serde_json::to_value(answer.value).unwrap(), answer.replayed),
        Err(Failure::Rejected(rejection)) => Told::Refused(rejection.code().as_str()),
        Err(Failure::Port { error, change_set: Some(id) }) => Told::Lost(error.kind(), id),
        Err(other) => panic!("{other:?}"),
    }
}

impl Case {
    async fn begin() -> (Self, Model) {
        let clock = Arc::new(ManualClock::default());
        let storage = Arc::new(FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone()))));
        let faults = storage.faults();
        let world = World::over(storage, clock);
        // As a host does when it starts: the sweeper must not meet receipts of a store that has no installation id.
        meet(world.storage.as_ref(), world.receipts.as_ref(), world.environment()).await.unwrap();
        let seller = world.seller("studio").await;
        world.subscribe(&seller, EVERYTHING, &["*"]).await;
        world.subscribe(&seller, CONFIRMATIONS, &["serront.order.payment_confirmed.v1"]).await;
        world.subscribe(&seller, NOTHING, &["serront.billing.*"]).await;
        let placed = world.place(&seller, "Budi").await;
        let case = Self { world, faults, seller, placed, mail_failures: 0, bodies: BTreeMap::new() };
        let (order, buyer, audit) = case.views().await;
        let created = json!({
            "orderId": order["id"],
            "number": 1,
            "serviceId": order["serviceId"],
            "serviceSlug": "logo",
            "packageName": null,
            "quotedPriceIdr": 750_000,
        });
        assert_eq!(buyer["payment"]["bankAccounts"][0]["accountNumber"], "123-456 789");
        let model = Model {
            seller: order,
            buyer,
            audit,
            events: vec![json!({"type": "serront.order.created.v1", "data": created})],
            mails: 0,
            receipt: None,
            kept: BTreeMap::new(),
            writes: 0,
        };
        (case, model)
    }

    /// The order as its seller and its buyer see it, and its audit trail.
    async fn views(&self) -> (Value, Value, Vec<Value>) {
        let (commands, placed) = (self.world.commands(), &self.placed);
        let order = commands.order(placed.account_id, placed.id).await.unwrap();
        let buyer = commands.buyer_order(&placed.token).await.unwrap();
        let audit = commands.audit(placed.account_id, placed.id).await.unwrap();
        let audit = audit
            .iter()
            .map(|record| json!({"at": record.at, "actor": record.actor, "act": record.act, "note": record.note}))
            .collect();
        (serde_json::to_value(order).unwrap(), serde_json::to_value(buyer).unwrap(), audit)
    }

    async fn ask(&self, ask: &Ask) -> Told {
        let (commands, Placed { account_id, id, token, .. }) = (self.world.commands(), &self.placed);
        let request = |method, path: String, key: Option<u8>, body: String| {
            key.map(|key| {
                IdempotentRequest::new(*account_id, method, &path, &format!("key-{key}"), body.as_bytes()).unwrap()
            })
        };
        match &ask.command {
            OrderCommand::Claim => told(commands.claim_payment(token).await),
            OrderCommand::Upload { declared_type, bytes } => {
                told(self.world.receipt_uploads().upload(token, declared_type.as_str(), bytes).await)
            }
            OrderCommand::Confirm { note, key } => {
                let path = format!("/api/v1/orders/{id}/confirm-payment");
                let request = request("POST", path, *key, format!("{note:?}"));
                told(commands.confirm_payment(*account_id, *id, &world::host(), note.as_deref(), request).await)
            }
            OrderCommand::Patch { patch, key } => {
                let request = request("PATCH", format!("/api/v1/orders/{id}"), *key, format!("{patch:?}"));
                told(commands.patch_order(*account_id, *id, *patch, &world::host(), request).await)
            }
        }
    }

    /// Runs one step against both, and answers the model's next state.
    async fn play(&mut self, step: &Step, before: &Model) -> Model {
        let clock = self.world.clock.clone();
        let mut after = before.clone();
        match step {
            Step::Wait(duration) => clock.advance(*duration),
            Step::Ask(ask, faults) => {
                let expected = after.ask(ask, &clock);
                self.faults.script(Call::Commit, faults.iter().copied());
                let answer = self.ask(ask).await;
                let exhausted = faults.len() >= EXHAUSTING && after.writes > before.writes;
                if let (true, Told::Lost(kind, change_set)) = (exhausted, &answer) {
                    let landed = faults.contains(&Fault::LoseAnswer);
                    let known = !landed && !faults.contains(&Fault::LoseRequest);
                    let expected = if known { PortErrorKind::Transient } else { PortErrorKind::OutcomeUnknown };
                    assert_eq!(*kind, expected, "{faults:?}");
                    self.faults.heal();
                    let outcome = self.world.storage.outcome(self.placed.account_id, *change_set).await.unwrap();
                    assert_eq!(outcome.is_some(), landed, "{faults:?}");
                    if !landed {
                        after = before.clone();
                    }
                } else {
                    assert_eq!(answer, expected);
                    assert!(!exhausted, "the faults must have been noticed");
                }
            }
            Step::Together(one, other, faults) => {
                self.faults.script(Call::Commit, faults.iter().copied());
                let (first, second) = tokio::join!(self.ask(one), self.ask(other));
                let views = self.views().await;
                let orders = [[(one, &first), (other, &second)], [(other, &second), (one, &first)]];
                let fitting = orders.into_iter().find_map(|order| {
                    let mut model = before.clone();
                    let fits = order.into_iter().all(|(ask, answer)| model.ask(ask, &clock) == *answer);
                    let same = (&model.seller, &model.buyer, &model.audit) == (&views.0, &views.1, &views.2);
                    (fits && same).then_some(model)
                });
                after = fitting.unwrap_or_else(|| panic!("no order of the two explains {first:?} and {second:?}"));
            }
            Step::Dispatch { capacity, mail, posts, faults } => {
                if let Some(kind) = mail.filter(|_| self.mail_failures < MAIL_FAILURES_MAX) {
                    self.mail_failures += 1;
                    self.world.mailbox.fail_next(1, kind);
                }
                self.world.sink.answer_next(posts.iter().cloned());
                for (call, fault) in faults {
                    self.faults.script(*call, [*fault]);
                }
                // A step that could not take anything says so, and is simply made again.
                let _ = self.world.dispatcher().step(clock.now(), *capacity).await;
            }
        }
        self.faults.heal();
        after
    }

    /// What must hold after every step.
    async fn check(&mut self, model: &Model) {
        let (seller, buyer, audit) = self.views().await;
        assert_eq!(seller, model.seller);
        assert_eq!(buyer, model.buyer);
        assert_eq!(audit, model.audit);
        let shop = serde_json::to_string(&self.world.commands().shop(&self.seller.slug).await.unwrap()).unwrap();
        for secret in ["123-456 789", "Bank Contoh", "Renata", "Tulis nomor"] {
            assert!(!shop.contains(secret), "the storefront's page shows {secret}");
            let shown = buyer.to_string().contains(secret);
            assert_eq!(shown, !model.confirmed(), "the buyer's view and {secret}");
        }
        self.check_what_left(model);
    }

    /// Everything that left was committed, under one id, and never changed.
    fn check_what_left(&mut self, model: &Model) {
        let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
        for post in self.world.sink.posts() {
            let body: Value = serde_json::from_str(&post.body).unwrap();
            let event = json!({"type": body["type"], "data": body["data"]});
            assert!(model.events.contains(&event), "{event} was never committed");
            assert_ne!(post.url, NOTHING);
            assert_eq!(body["id"], post.event_id.to_string());
            assert_eq!(body["accountId"], self.placed.account_id.to_string());
            ids.entry(event.to_string()).or_default().insert(post.event_id.to_string());
            ids.entry(format!("{event} to {}", post.url)).or_default().insert(post.delivery_id.to_string());
            let known = self.bodies.entry(post.event_id.to_string()).or_insert_with(|| post.body.clone());
            assert_eq!(*known, post.body, "the same bytes on every attempt");
        }
        for mail in self.world.mailbox.messages() {
            assert_eq!(model.mails, 1, "a mail without a confirmation");
            ids.entry("mail".to_owned()).or_default().insert(mail.id.to_string());
            let shown = format!("{}\n{}\n{}\n{}", mail.to.as_str(), mail.to_name, mail.subject, mail.text);
            let known = self.bodies.entry(mail.id.to_string()).or_insert_with(|| shown.clone());
            assert_eq!(*known, shown, "the same mail on every attempt");
        }
        for (what, ids) in ids {
            assert_eq!(ids.len(), 1, "{what} left under {ids:?}");
        }
    }

    /// Heals everything, lets all that is due happen, and demands that all that was committed has left.
    async fn end(mut self, model: &Model) {
        self.faults.heal();
        let clock = self.world.clock.clone();
        clock.advance(self.world.policy.outbox.lease);
        loop {
            self.world.dispatch_all().await;
            let Some(due) = self.world.next_due().await else { break };
            clock.set(due);
        }
        self.check(model).await;

        let mut expected = BTreeSet::new();
        for event in &model.events {
            expected.insert((event.to_string(), EVERYTHING.to_owned()));
            if event["type"] == "serront.order.payment_confirmed.v1" {
                expected.insert((event.to_string(), CONFIRMATIONS.to_owned()));
            }
        }
        let posted: BTreeSet<_> = self
            .world
            .sink
            .posts()
            .into_iter()
            .map(|post| {
                let body: Value = serde_json::from_str(&post.body).unwrap();
                (json!({"type": body["type"], "data": body["data"]}).to_string(), post.url)
            })
            .collect();
        assert_eq!(posted, expected, "everything committed leaves");
        let mails: BTreeSet<_> = self.world.mailbox.messages().into_iter().map(|mail| mail.id).collect();
        assert_eq!(mails.len(), model.mails, "one mail for a confirmation");

        let (filter, limit) = (DeliveryFilter::default(), Limit::parse(Some("100")).unwrap());
        let (log, _) = self.world.commands().deliveries(self.placed.account_id, &filter, None, limit).await.unwrap();
        assert_eq!(log.len(), expected.len(), "one delivery for each event and subscription");
        for delivery in log {
            let over = (delivery.status.as_str(), delivery.attempts);
            assert!(matches!(over, ("succeeded", 1..) | ("failed", 6)), "{over:?}");
        }

        // What failed uploads and replaced receipts left behind goes; the receipt that is named stays.
        clock.advance(self.world.policy.retention.orphan_age + Duration::from_millis(1));
        self.world.sweeper().step(clock.now()).await.unwrap();
        let stored = self.world.receipts.uploads();
        assert_eq!(stored.len(), usize::from(model.receipt.is_some()));
        let shown = self.world.receipt_uploads().receipt(self.placed.account_id, self.placed.id).await;
        assert_eq!(shown.ok().map(|image| image.bytes), model.receipt);
    }
}

proptest! {
    // No file of regressions, because a check writes nothing. A failing script is printed, shrunk, and belongs in a
    // separate test.
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_and_faults_keeps_the_laws(script in vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut case, mut model) = Case::begin().await;
            for step in &script {
                model = case.play(step, &model).await;
                case.check(&model).await;
            }
            case.end(&model).await;
        });
    }
}
