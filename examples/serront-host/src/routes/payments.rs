//! Exceptions: money that arrived online but could not confirm its order. They are shown even if the module is off, since the
//! money has arrived.

use serde::Deserialize;
use serront_core::online::exception::ExceptionStatus;
use serront_core::primitives::ids::{AdjustmentId, ExceptionId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Rejection;
use serront_core::service::Resolution;

use crate::answer::{Answer, Reply};
use crate::auth::{Id, Keyed, existing};
use crate::body::Intake;
use crate::query::Query;

pub(super) async fn exceptions(caller: Keyed, query: Query) -> Reply {
    let status = query.filter("status", ExceptionStatus::parse, "must be one of all, open, resolved")?;
    let limit = Limit::parse(query.one("limit")?)?;
    let page = caller.commands().exceptions(caller.account(), status, query.one("cursor")?, limit).await?;
    Answer::list("exceptions", &page.exceptions, page.cursor)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResolutionInput {
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    adjustment_id: Option<AdjustmentId>,
}

pub(super) async fn resolve(caller: Keyed, Id(id): Id<ExceptionId>, intake: Intake) -> Reply {
    let account = caller.account();
    let input = caller.input::<ResolutionInput>(&intake).await;
    let (ResolutionInput { note, adjustment_id }, request) = existing(input, async {
        let found = caller.storage().exception(account, id, None).await?;
        found.ok_or_else(|| Rejection::NotFound("exception").into())
    })
    .await?;
    let resolution = Resolution { note: note.as_deref(), adjustment_id };
    Answer::done(&caller.commands().resolve_exception(account, id, resolution, &caller.actor(), request).await?)
}
