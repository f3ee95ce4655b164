//! The seller's ledger: the legs on the seller's own balance.

use serde::Serialize;
use serront_core::funds::ledger::{EntryCode, SourceType};
use serront_core::primitives::page::Limit;
use serront_core::primitives::provider::OPAQUE_BYTES_MAX;
use serront_core::primitives::rejection::Invalid;
use serront_core::snapshots::EntryFilter;
use serront_core::views::EntryView;

use crate::auth::Enabled;
use crate::envelope::{Answer, Reply};
use crate::query::Query;

pub(super) async fn balance(Enabled(caller): Enabled) -> Reply {
    Answer::ok(&caller.commands().balance(caller.account()).await?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entries {
    entries: Vec<EntryView>,
    cursor: Option<String>,
    has_more: bool,
}

pub(super) async fn entries(Enabled(caller): Enabled, query: Query) -> Reply {
    let filter = filter(&query)?;
    let limit = Limit::parse(query.one("limit")?)?;
    let page = caller.commands().entries(caller.account(), &filter, query.one("cursor")?, limit).await?;
    Answer::ok(&Entries { entries: page.entries, has_more: page.cursor.is_some(), cursor: page.cursor })
}

/// Which entries are wanted, of whatever time.
pub(super) fn filter(query: &Query) -> Result<EntryFilter, Invalid> {
    Ok(EntryFilter {
        code: query.filter("code", EntryCode::parse, "must be one of all, sale, module_fee, payout, adjustment")?,
        source_type: query.filter(
            "sourceType",
            SourceType::parse,
            "must be one of all, checkout_session, payout, adjustment",
        )?,
        source_id: query.one("sourceId")?.map(source_id).transpose()?,
        ..EntryFilter::default()
    })
}

/// Plugipay's ids are opaque, so this is all that can be said of one.
fn source_id(raw: &str) -> Result<String, Invalid> {
    let is_id = (1..=OPAQUE_BYTES_MAX).contains(&raw.len()) && raw.bytes().all(|byte| byte.is_ascii_graphic());
    if is_id { Ok(raw.to_owned()) } else { Err(Invalid::new("sourceId", "must be a well-formed id")) }
}
