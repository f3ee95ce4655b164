//! The seller's storefront: profile and payment instructions.

use serront_core::shop::storefront::StorefrontInput;

use crate::answer::{Answer, Reply};
use crate::auth::Keyed;
use crate::body::Intake;

pub(super) async fn get(caller: Keyed) -> Reply {
    Answer::ok(&caller.commands().storefront(caller.account()).await?)
}

pub(super) async fn put(caller: Keyed, intake: Intake) -> Reply {
    let (input, request) = caller.input::<StorefrontInput>(&intake).await?;
    Answer::done(&caller.commands().put_storefront(caller.account(), &input, request).await?)
}
