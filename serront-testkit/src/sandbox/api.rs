//! The answer to each call.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value, json};
use serront_core::online::plugipay::PlugipayCall;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::time::Timestamp;

use super::answers::{Done, Kept, Refusal};
use super::ledger::{self, Entry};
use super::query::{Query, decoded};
use super::sessions::{NewSession, SandboxStatus, is_web_address};
use super::state::{SandboxEndpoint, State, Workspace};
use super::switches::Route;

/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

fn body<T: DeserializeOwned>(call: &PlugipayCall) -> Result<T, Refusal> {
    serde_json::from_str(&call.body).map_err(|error| Refusal::invalid(format!("the body can't be read: {error}")))
}

/// The path's segment with the id.
fn named(call: &PlugipayCall) -> String {
    decoded(call.path.split('?').next().unwrap_or_default().split('/').nth(4).unwrap_or_default())
}

fn shown(endpoint: &SandboxEndpoint) -> Value {
    let SandboxEndpoint { id, account_id, url, events, description, created_at, .. } = endpoint;
    json!({
        "id": id, "accountId": account_id, "url": url, "events": events, "description": description, "active": true,
        "createdAt": created_at,
    })
}

/// Renders texts, numbers and times, which cannot fail.
fn rendered(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

impl State {
    /// Carries out a call, or repeats the answer kept under its key.
    pub(super) fn answer(&mut self, call: &PlugipayCall, now: Timestamp) -> Result<Done, Refusal> {
        let Some(route) = Route::of(call.method, &call.path) else { return Err(Refusal::not_found()) };
        let merchant = match (route, &call.on_behalf_of) {
            (Route::CreateWorkspace, _) => None,
            (_, None) => return Err(Refusal::invalid("a platform key must name the merchant that it calls for")),
            (_, Some(merchant)) if !self.merchants.contains(merchant) => return Err(Refusal::not_found()),
            (_, Some(merchant)) => Some(merchant.clone()),
        };
        let Some(key) = call.idempotency_key.clone() else { return self.act(route, merchant.as_deref(), call, now) };
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !key.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            return Err(Refusal::invalid("Idempotency-Key must be 1 to 255 characters from ! to ~"));
        }
        let text = format!("{} {}\n{}", call.method.as_str(), call.path, call.body);
        let request = Digest256::of(text.as_bytes());
        let name = (merchant.clone(), key);
        if let Some(kept) = self.kept.get(&name) {
            if kept.request != request {
                return Err(Refusal::new(409, "idempotency_mismatch", "this key was used with another request"));
            }
            return Ok(kept.answer.clone());
        }
        let answer = self.act(route, merchant.as_deref(), call, now)?;
        let mut kept = answer.clone();
        if let (Route::CreateEndpoint, Some(shown)) = (route, kept.data.as_object_mut()) {
            // The secret is shown only once.
            shown.remove("secret");
        }
        self.kept.insert(name, Kept { request, answer: kept });
        Ok(answer)
    }

    fn act(
        &mut self,
        route: Route,
        merchant: Option<&str>,
        call: &PlugipayCall,
        now: Timestamp,
    ) -> Result<Done, Refusal> {
        // Only provisioning has no merchant, and it does not use this value.
        let merchant = merchant.unwrap_or_default();
        match route {
            Route::CreateWorkspace => self.create_workspace(call, now),
            Route::CreateEndpoint => self.create_endpoint(merchant, call, now),
            Route::ListEndpoints => {
                let theirs = self.endpoints.values().filter(|endpoint| endpoint.account_id == merchant);
                let (page, cursor) =
                    Query::of(&call.path).page(theirs, |row| row.id.clone(), false, self.switches.page_size)?;
                let data = page.into_iter().map(shown).collect();
                Ok(Done { status: 200, data, cursor: Some(cursor) })
            }
            Route::DeleteEndpoint => {
                let id = named(call);
                if self.endpoints.get(&id).is_none_or(|endpoint| endpoint.account_id != merchant) {
                    return Err(Refusal::not_found());
                }
                self.endpoints.remove(&id);
                Ok(Done::found(json!({ "id": id, "deleted": true })))
            }
            Route::CreateSession => {
                let new: NewSession = body(call)?;
                let id = self.id("cs");
                let session = new.open(id.clone(), merchant, &self.pages_at, now)?;
                let data = rendered(&session);
                self.expiring.insert((session.expires_at, id.clone()));
                self.sessions.insert(id, session);
                Ok(Done::created(data))
            }
            Route::GetSession | Route::CancelSession => {
                let id = named(call);
                if self.sessions.get(&id).is_none_or(|session| session.account_id != merchant) {
                    return Err(Refusal::not_found());
                }
                if route == Route::CancelSession {
                    // A session that has ended stays unchanged, and the answer shows it.
                    self.end(&id, SandboxStatus::Canceled, now);
                }
                Ok(Done::found(rendered(self.sessions.get(&id))))
            }
            Route::ListEntries => {
                let query = Query::of(&call.path);
                let is_wanted = |entry: &&Entry| {
                    entry.account_id == merchant
                        && query.takes("code", &entry.posted.code)
                        && query.takes("sourceType", &entry.posted.source_type)
                        && query.takes("sourceId", &entry.posted.source_id)
                        && query.takes("txId", &entry.tx_id)
                };
                let rows = self.entries.values().filter(is_wanted);
                let (page, cursor) = query.page(rows, |row| row.id.clone(), true, self.switches.page_size)?;
                Ok(Done { status: 200, data: rendered(page), cursor: Some(cursor) })
            }
            Route::ListBalances => Ok(Done::found(ledger::balances(self.entries_of(merchant)))),
            Route::PayoutBalance => Ok(Done::found(ledger::payout_balance(self.entries_of(merchant)))),
        }
    }

    fn entries_of(&self, merchant: &str) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(move |entry| entry.account_id == merchant)
    }

    fn create_workspace(&mut self, call: &PlugipayCall, now: Timestamp) -> Result<Done, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct New {
            account_id: String,
            partner: String,
            discount_rate: Number,
            brand_name: Option<String>,
            business_email: Option<String>,
        }
        let New { account_id: ours, partner, discount_rate, brand_name, business_email } = body(call)?;
        if ours.is_empty() || partner.is_empty() {
            return Err(Refusal::invalid("accountId and partner must not be empty"));
        }
        if !discount_rate.as_f64().is_some_and(|rate| (0.0..=1.0).contains(&rate)) {
            return Err(Refusal::invalid("discountRate must be from 0 to 1"));
        }
        if let Some(there) = self.workspaces.get(&ours) {
            return Ok(Done::found(rendered(there)));
        }
        let account_id = self.id("plg");
        let workspace = Workspace {
            account_id: account_id.clone(),
            partner,
            discount_rate,
            brand_name,
            business_email,
            created_at: now,
        };
        let data = rendered(&workspace);
        self.merchants.insert(account_id);
        self.workspaces.insert(ours, workspace);
        Ok(Done::created(data))
    }

    fn create_endpoint(&mut self, merchant: &str, call: &PlugipayCall, now: Timestamp) -> Result<Done, Refusal> {
        #[derive(Deserialize)]
        struct New {
            url: String,
            events: Option<Vec<String>>,
            description: Option<String>,
        }
        let New { url, events, description } = body(call)?;
        if !is_web_address(&url) {
            return Err(Refusal::invalid("url must be an address"));
        }
        let events = events.unwrap_or_else(|| vec!["*".to_owned()]);
        if events.is_empty() || events.iter().any(|event| event.is_empty() || event.len() > KEY_BYTES_MAX) {
            return Err(Refusal::invalid("events must not be empty"));
        }
        let id = self.id("we");
        let secret = self.secret().ok_or_else(|| Refusal::new(500, "INTERNAL_ERROR", "no secret could be created"))?;
        let endpoint = SandboxEndpoint {
            id: id.clone(),
            account_id: merchant.to_owned(),
            url,
            events,
            description,
            created_at: now,
            secret,
        };
        let mut data = shown(&endpoint);
        if let Some(shown) = data.as_object_mut() {
            shown.insert("secret".to_owned(), endpoint.secret.reveal().into());
        }
        self.endpoints.insert(id, endpoint);
        Ok(Done::created(data))
    }
}
