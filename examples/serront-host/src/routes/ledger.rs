//! The seller's ledger: the legs that change the seller's balance.

use serde::Serialize;
use serront_core::page::Limit;
use serront_core::view::EntryView;

use crate::answer::{Answer, Reply};
use crate::auth::Enabled;
use crate::downloads::entry_filter;
use crate::query::Query;

pub(super) async fn balance(Enabled(caller): Enabled) -> Reply {
    Answer::ok(&caller.local().balance(caller.account()).await?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entries {
    entries: Vec<EntryView>,
    cursor: Option<String>,
    has_more: bool,
}

pub(super) async fn entries(Enabled(caller): Enabled, query: Query) -> Reply {
    let filter = entry_filter(&query)?;
    let limit = Limit::parse(query.one("limit")?)?;
    let page = caller.local().entries(caller.account(), &filter, query.one("cursor")?, limit).await?;
    Answer::ok(&Entries { entries: page.entries, has_more: page.cursor.is_some(), cursor: page.cursor })
}
