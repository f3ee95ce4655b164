//! The seller's ledger: the legs that change the seller's balance.

use serront_core::primitives::page::Limit;

use crate::answer::{Answer, Reply};
use crate::auth::Enabled;
use crate::downloads::entry_filter;
use crate::query::Query;

pub(super) async fn balance(Enabled(caller): Enabled) -> Reply {
    Answer::ok(&caller.commands().balance(caller.account()).await?)
}

pub(super) async fn entries(Enabled(caller): Enabled, query: Query) -> Reply {
    let filter = entry_filter(&query)?;
    let limit = Limit::parse(query.one("limit")?)?;
    let page = caller.commands().entries(caller.account(), &filter, query.one("cursor")?, limit).await?;
    Answer::list("entries", &page.entries, page.cursor)
}
