//! Rule 10: secrets are in no log, error or debug output. Everything that a host could log (answers, errors, change sets,
//! due work, as `Debug` shows them) is searched for every secret there is.

use std::collections::BTreeSet;

use serront_core::change::Write;

use crate::sim::events::{Event, Invariant, Verdict, View};

#[derive(Default)]
pub(super) struct Secrets {
    known: BTreeSet<String>,
}

/// What every bank account's number begins with here, and every signature.
const TELLTALES: [&str; 2] = ["7700-0", "v1="];

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
                self.known.extend(change.writes.iter().filter_map(|write| match write {
                    Write::InsertOrder(order, _) => Some(order.access_token.reveal().to_owned()),
                    Write::RotateToken { access_token, .. } => Some(access_token.reveal().to_owned()),
                    Write::InsertSubscription(_, secret) | Write::RotateSecret { secret, .. } => {
                        Some(secret.reveal().to_owned())
                    }
                    Write::PutProvisioning(provisioning) => {
                        provisioning.state.endpoint.as_ref().map(|endpoint| endpoint.secret.reveal().to_owned())
                    }
                    _ => None,
                }));
            }
            Event::Said(text) => {
                let telltales = TELLTALES.iter().copied().chain(self.known.iter().map(String::as_str));
                if telltales.into_iter().any(|secret| text.contains(secret)) {
                    // The secret itself is in the text; that much of it tells where it comes from.
                    let beginning: String = text.chars().take(400).collect();
                    return Err(format!("a secret is in what could be logged: {beginning}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, _view: &View<'_>) -> Verdict {
        Ok(())
    }
}
