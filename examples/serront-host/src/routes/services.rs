//! The catalog.

use serront_core::catalog::ServiceInput;
use serront_core::ids::ServiceId;

use crate::answer::{Answer, Reply};
use crate::auth::{Id, Keyed, existing};
use crate::body::Intake;

pub(super) async fn list(caller: Keyed) -> Reply {
    Answer::ok(&caller.local().services(caller.account()).await?)
}

pub(super) async fn create(caller: Keyed, intake: Intake) -> Reply {
    let (input, request) = caller.input::<ServiceInput>(&intake).await?;
    Answer::created(&caller.local().create_service(caller.account(), &input, request).await?)
}

pub(super) async fn get(caller: Keyed, Id(id): Id<ServiceId>) -> Reply {
    Answer::ok(&caller.local().service(caller.account(), id).await?)
}

pub(super) async fn patch(caller: Keyed, Id(id): Id<ServiceId>, intake: Intake) -> Reply {
    let (local, account) = (caller.local(), caller.account());
    let input = caller.input::<ServiceInput>(&intake).await;
    let (input, request) = existing(input, local.service(account, id)).await?;
    Answer::done(&local.update_service(account, id, &input, request).await?)
}

pub(super) async fn delete(caller: Keyed, Id(id): Id<ServiceId>) -> Reply {
    caller.local().delete_service(caller.account(), id).await?;
    Answer::deleted()
}
