//! Rule 10: secrets are in no log, error or debug output. Everything that a host could log (answers, errors, change sets,
//! due work, as `Debug` shows them) is searched for every secret. Reusable secrets are stored sealed.

use std::collections::BTreeSet;

use serront_core::accounts::sealed::{SealedSecret, SecretHolder};
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::webhooks::subscription::Subscription;

use crate::memory::{FIRST_KEY, MemorySealer};
use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct Secrets {
    known: BTreeSet<String>,
}

/// Prefixes of every bank account's number and every signature in the simulation.
const TELLTALES: [&str; 2] = ["7700-0", "v1="];

/// The sealed secrets that a change set stores.
fn stored(change: &ChangeSet) -> Vec<(SecretHolder, &SealedSecret)> {
    let account = change.account_id;
    let mut stored = Vec::new();
    for write in &change.writes {
        match write {
            Write::InsertSubscription(Subscription { id, .. }, secret) | Write::RotateSecret { id, secret, .. } => {
                stored.push((SecretHolder::Subscription(account, *id), secret));
            }
            Write::ResealSecrets { id, secret, previous_secret, .. } => {
                let both = previous_secret.iter().chain([secret]);
                stored.extend(both.map(|secret| (SecretHolder::Subscription(account, *id), secret)));
            }
            Write::PutProvisioning(provisioning) => {
                let secrets = provisioning.state.stored_secrets();
                stored.extend(secrets.map(|secret| (SecretHolder::Endpoint(account), secret)));
            }
            _ => {}
        }
    }
    stored
}

impl Invariant for Secrets {
    fn name(&self) -> &'static str {
        "rule 10: secrets"
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        match event {
            Event::Secret(secret) => {
                self.known.insert((*secret).to_owned());
            }
            Event::Landed { change, .. } => {
                let sealer = MemorySealer::from_key(FIRST_KEY);
                for (holder, secret) in stored(change) {
                    match secret.open(&sealer, holder) {
                        Ok(opened) if !secret.as_stored().contains(&opened) => self.known.insert(opened),
                        Ok(_) | Err(_) => return Err(format!("the secret of {holder} is not sealed for it")),
                    };
                }
                self.known.extend(change.writes.iter().filter_map(|write| match write {
                    Write::InsertOrder(order, _) => Some(order.access_token.reveal().to_owned()),
                    Write::RotateToken { access_token, .. } => Some(access_token.reveal().to_owned()),
                    _ => None,
                }));
            }
            Event::Said(text) => {
                let telltales = TELLTALES.iter().copied().chain(self.known.iter().map(String::as_str));
                if telltales.into_iter().any(|secret| text.contains(secret)) {
                    // 400 characters are enough to recognize where the text comes from.
                    let beginning: String = text.chars().take(400).collect();
                    return Err(format!("a secret is in text that could be logged: {beginning}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
