//! Exceptions: money that arrived online and could not confirm its order. Shown in every state of the module, for the money
//! has arrived all the same.

use serde::{Deserialize, Serialize};
use serront_core::exception::ExceptionStatus;
use serront_core::ids::ExceptionId;
use serront_core::page::Limit;
use serront_core::rejection::Rejection;
use serront_core::view::ExceptionView;

use crate::auth::{Id, Keyed, existing};
use crate::body::Intake;
use crate::envelope::{Answer, Reply};
use crate::query::Query;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exceptions {
    exceptions: Vec<ExceptionView>,
    cursor: Option<String>,
    has_more: bool,
}

pub(super) async fn exceptions(caller: Keyed, query: Query) -> Reply {
    let status = query.filter("status", ExceptionStatus::parse, "must be one of all, open, resolved")?;
    let limit = Limit::parse(query.one("limit")?)?;
    let page = caller.local().exceptions(caller.account(), status, query.one("cursor")?, limit).await?;
    Answer::ok(&Exceptions { exceptions: page.exceptions, has_more: page.cursor.is_some(), cursor: page.cursor })
}

#[derive(Deserialize)]
struct Resolution {
    #[serde(default)]
    note: Option<String>,
}

pub(super) async fn resolve(caller: Keyed, Id(id): Id<ExceptionId>, intake: Intake) -> Reply {
    let account = caller.account();
    let input = caller.input::<Resolution>(&intake).await;
    let (Resolution { note }, request) = existing(input, async {
        let found = caller.storage().exception(account, id, None).await?;
        found.ok_or_else(|| Rejection::NotFound("exception").into())
    })
    .await?;
    Answer::done(&caller.local().resolve_exception(account, id, note.as_deref(), request).await?)
}
