//! Accounts, tiers, modules and credentials.

use proptest::prelude::*;
use serront_core::accounts::account::{Account, AccountState, Modules};
use serront_core::accounts::key::{AccessToken, ApiKey, KeyRecord, SecretBytes, WebhookSecret};
use serront_core::primitives::tier::Tier;

use super::{account_id, key_id, name, timestamp, version};

/// Plans.
pub fn tier() -> impl Strategy<Value = Tier> {
    proptest::sample::select(Tier::ALL.to_vec())
}

/// The modules' switches.
pub fn modules() -> impl Strategy<Value = Modules> {
    (any::<bool>(), any::<bool>()).prop_map(|(payment, marketing)| Modules { payment, marketing })
}

/// States of accounts. Modules are on only on tiers that have them.
pub fn account_state() -> impl Strategy<Value = AccountState> {
    (version(), tier(), modules(), proptest::option::of("acc_[a-z0-9]{8}")).prop_map(
        |(version, tier, modules, plugipay_account_id)| {
            let modules = if tier.terms().module_access { modules } else { Modules::default() };
            AccountState { version, tier, modules, plugipay_account_id }
        },
    )
}

/// Accounts.
pub fn account() -> impl Strategy<Value = Account> {
    (account_id(), name(), timestamp(), account_state()).prop_map(|(id, name, created_at, state)| Account {
        id,
        name,
        created_at,
        state,
    })
}

/// Random bytes for secrets.
pub fn secret_bytes() -> impl Strategy<Value = SecretBytes> {
    any::<SecretBytes>()
}

/// API keys.
pub fn api_key() -> impl Strategy<Value = ApiKey> {
    secret_bytes().prop_map(|bytes| ApiKey::from_bytes(&bytes))
}

/// Buyers' access tokens.
pub fn access_token() -> impl Strategy<Value = AccessToken> {
    secret_bytes().prop_map(|bytes| AccessToken::from_bytes(&bytes))
}

/// Webhook secrets.
pub fn webhook_secret() -> impl Strategy<Value = WebhookSecret> {
    secret_bytes().prop_map(|bytes| WebhookSecret::from_bytes(&bytes))
}

/// Texts that are not quite an API key.
pub fn almost_api_key() -> impl Strategy<Value = String> {
    (api_key(), 0..6_u8).prop_map(|(key, how)| {
        let good = key.reveal();
        match how {
            0 => String::new(),
            1 => good.to_uppercase(),
            2 => format!("{good}0"),
            3 => good.replace("sk_live_", "sk_test_"),
            4 => good.chars().take(good.len() - 1).collect(),
            _ => format!(" {good}"),
        }
    })
}

/// API keys as stored.
pub fn key_record() -> impl Strategy<Value = KeyRecord> {
    (key_id(), account_id(), name(), api_key(), timestamp(), proptest::option::of(timestamp())).prop_map(
        |(id, account_id, name, key, created_at, used)| KeyRecord {
            id,
            account_id,
            name,
            prefix: key.prefix(),
            hash: key.hash(),
            created_at,
            last_used_at: used.map(|used| used.max(created_at)),
        },
    )
}
