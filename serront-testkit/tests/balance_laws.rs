//! For every sequence of payouts, adjustments and folds, the laws of the balance hold.
//!
//! - `available` is the ledger's balance less the amount in flight; it is not negative after an accepted payout (rule
//!   4).
//! - A payout's step changes the ledger only when it is paid, and never the total.
//! - A balance is the sum of its entries, folded or not (rule 3).
//! - An adjustment counts once, even if it is repeated.
//!
//! A case runs one random script against the real service, and against a model of six integers and a list.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests, which clippy.toml does not reach")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use serront_core::decide::{AdjustmentInput, PayoutStep, Requester};
use serront_core::funds::books::{Verification, VerificationReport};
use serront_core::funds::payout::PayoutInput;
use serront_core::ports::Bookkeeping;
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Rejection;
use serront_core::primitives::tier::Tier;
use serront_core::service::{Failure, verify};
use serront_core::snapshots::{EntryFilter, PayoutKey};
use serront_core::views::PayoutView;
use serront_testkit::world::{World, host};

#[derive(Debug, Clone)]
enum Step {
    /// So much to the seller, or from the seller, under one of a few references.
    Adjust {
        amount: i64,
        reference: u8,
    },
    Request {
        amount: i64,
    },
    /// Moves one of the payouts so far.
    Move {
        which: usize,
        act: usize,
    },
    Fold {
        limit: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (-3_000_i64..5_000, 0_u8..12).prop_map(|(amount, reference)| Step::Adjust { amount, reference }),
        4 => (-1_i64..3_000).prop_map(|amount| Step::Request { amount }),
        5 => (0_usize..8, 0_usize..4).prop_map(|(which, act)| Step::Move { which, act }),
        1 => (0_u32..4).prop_map(|limit| Step::Fold { limit }),
    ]
}

#[derive(Default)]
struct Model {
    ledger: i64,
    adjustments: BTreeMap<u8, i64>,
    /// Amount and state, as the wire names it.
    payouts: Vec<(i64, &'static str)>,
}

impl Model {
    fn in_flight(&self) -> i64 {
        self.payouts.iter().filter(|(_, status)| ["pending", "in_transit"].contains(status)).map(|(sum, _)| sum).sum()
    }

    /// What each step must answer: the code of a refusal, or `ok`.
    fn apply(&mut self, step: &Step) -> &'static str {
        match *step {
            Step::Adjust { amount, reference } => match self.adjustments.get(&reference) {
                _ if amount == 0 => "VALIDATION_ERROR",
                Some(known) if *known == amount => "ok",
                Some(_) => "CONFLICT",
                None => {
                    self.adjustments.insert(reference, amount);
                    self.ledger += amount;
                    "ok"
                }
            },
            Step::Request { amount } if amount <= 0 => "VALIDATION_ERROR",
            Step::Request { amount } if amount > self.ledger - self.in_flight() => "INSUFFICIENT_BALANCE",
            Step::Request { amount } => {
                self.payouts.push((amount, "pending"));
                "ok"
            }
            Step::Move { which, .. } if which >= self.payouts.len() => "NOT_FOUND",
            Step::Move { which, act } => {
                let (amount, status) = &mut self.payouts[which];
                let to = match (*status, act) {
                    ("pending", 0) => "cancelled",
                    ("pending", 1) => "in_transit",
                    ("in_transit", 2) => "paid",
                    ("pending" | "in_transit", 3) => "failed",
                    _ => return "INVALID_TRANSITION",
                };
                *status = to;
                if to == "paid" {
                    self.ledger -= *amount;
                }
                "ok"
            }
            Step::Fold { .. } => "ok",
        }
    }

    fn shown(&self) -> Value {
        let in_flight = self.in_flight();
        json!({ "ledgerBalance": self.ledger, "pending": in_flight, "locked": in_flight,
            "available": self.ledger - in_flight, "currency": "IDR" })
    }
}

/// The code of a refusal; what is none fails the comparison with the model.
fn told<T>(result: Result<T, Failure>) -> Result<T, &'static str> {
    result.map_err(
        |failure| {
            if let Failure::Rejected(rejection) = failure { rejection.code().as_str() } else { "no refusal" }
        },
    )
}

fn acts() -> [PayoutStep; 4] {
    [
        PayoutStep::Cancel,
        PayoutStep::MarkInTransit { reference: Some("T1".into()) },
        PayoutStep::MarkPaid { reference: None },
        PayoutStep::MarkFailed { failure_reason: Some("closed".into()) },
    ]
}

fn request(amount: i64) -> PayoutInput {
    PayoutInput {
        amount,
        bank_name: Some("Bank Contoh".into()),
        bank_account_number: Some("123".into()),
        bank_account_holder: Some("Renata".into()),
        ..PayoutInput::default()
    }
}

async fn play(script: Vec<Step>) {
    let world = World::new();
    let commands = world.commands();
    let account_id = commands.open_account("Renata", Tier::Starter).await.unwrap().value.0.id;
    world.switch_payment_on(account_id).await;
    let mut model = Model::default();
    let mut payouts: Vec<PayoutView> = Vec::new();
    for step in script {
        let expected = model.apply(&step);
        let before = commands.payout_balance(account_id).await.unwrap();
        let got = match step {
            Step::Adjust { amount, reference } => {
                let reference = format!("R{reference}");
                let input = AdjustmentInput { amount, reason: "refund".into(), reference };
                told(commands.adjust(account_id, &input, &host()).await).map(drop)
            }
            Step::Request { amount } => {
                let asked =
                    commands.request_payout(account_id, &request(amount), (Requester::Seller, &host()), None).await;
                told(asked).map(|answer| payouts.push(answer.value))
            }
            Step::Move { which, act } => match payouts.get_mut(which) {
                None => Err(Rejection::NotFound("payout").code().as_str()),
                Some(payout) => {
                    let key = PayoutKey::Id(account_id, payout.id);
                    let moved = told(commands.move_payout(key, &acts()[act], &host(), None).await);
                    let after = commands.payout_balance(account_id).await.unwrap();
                    if moved.as_ref().is_ok_and(|answer| answer.value.status.as_str() != "paid") {
                        assert_eq!(after.ledger_balance, before.ledger_balance, "only what is paid is posted");
                    }
                    moved.map(|answer| *payout = answer.value)
                }
            },
            Step::Fold { limit } => {
                world.storage.fold_deltas(limit).await.unwrap();
                Ok(())
            }
        };
        assert_eq!(got.map_or_else(|code| code, |()| "ok"), expected, "{step:?}");
        let shown = commands.payout_balance(account_id).await.unwrap();
        assert_eq!(serde_json::to_value(shown).unwrap(), model.shown(), "after {step:?}");
        if expected == "ok" && matches!(step, Step::Request { .. }) {
            assert!(shown.available >= 0, "an accepted payout was covered");
        }
        let statuses: Vec<_> = payouts.iter().map(|payout| payout.status.as_str()).collect();
        assert_eq!(statuses, model.payouts.iter().map(|(_, status)| *status).collect::<Vec<_>>());
    }
    let entries =
        world.commands().entries(account_id, &EntryFilter::default(), None, Limit::EXPORT).await.unwrap().entries;
    let verification = Verification::default();
    let report = verify(&*world.storage, Some(account_id), &verification).await.unwrap();
    // Each transaction has its leg on the seller's book, and one on another.
    let entries = u64::try_from(2 * entries.len()).unwrap();
    assert!(report.differences.is_empty(), "{report:?}");
    let accounts = usize::from(entries > 0 || !payouts.is_empty());
    assert_eq!(report, VerificationReport { accounts, entries, differences: Vec::new() });
    for (payout, (amount, _)) in payouts.iter().zip(&model.payouts) {
        let stored = commands.payout(PayoutKey::Any(payout.id)).await.unwrap();
        assert_eq!((&stored, stored.amount.get()), (payout, *amount));
        let trail = commands.payout_audit(account_id, payout.id).await.unwrap();
        // The trail is one path, from the request to where it stands.
        let path: Vec<_> = trail.iter().map(|step| (step.from, step.to)).collect();
        assert_eq!(path.first().map(|(from, _)| *from), Some(None));
        assert!(path.windows(2).all(|pair| Some(pair[0].1) == pair[1].0), "{path:?}");
        assert_eq!(path.last().map(|(_, to)| *to), Some(payout.status));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_of_the_balance_hold(script in vec(step(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(play(script));
    }
}
