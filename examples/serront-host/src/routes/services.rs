//! The catalog.

use serront_core::primitives::ids::ServiceId;
use serront_core::shop::catalog::ServiceInput;

use crate::answer::{Answer, Reply};
use crate::auth::{Id, Keyed, existing};
use crate::body::Intake;

pub(super) async fn list(caller: Keyed) -> Reply {
    Answer::ok(&caller.commands().services(caller.account()).await?)
}

pub(super) async fn create(caller: Keyed, intake: Intake) -> Reply {
    let (input, request) = caller.input::<ServiceInput>(&intake).await?;
    Answer::created(&caller.commands().create_service(caller.account(), &input, request).await?)
}

pub(super) async fn get(caller: Keyed, Id(id): Id<ServiceId>) -> Reply {
    Answer::ok(&caller.commands().service(caller.account(), id).await?)
}

pub(super) async fn patch(caller: Keyed, Id(id): Id<ServiceId>, intake: Intake) -> Reply {
    let (commands, account) = (caller.commands(), caller.account());
    let input = caller.input::<ServiceInput>(&intake).await;
    let (input, request) = existing(input, commands.service(account, id)).await?;
    Answer::done(&commands.update_service(account, id, &input, request).await?)
}

pub(super) async fn delete(caller: Keyed, Id(id): Id<ServiceId>) -> Reply {
    caller.commands().delete_service(caller.account(), id).await?;
    Answer::deleted()
}
