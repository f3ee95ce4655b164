//! The seller's storefront: profile, and where to pay.

use serront_core::shop::storefront::StorefrontInput;

use crate::auth::Keyed;
use crate::body::Intake;
use crate::envelope::{Answer, Reply};

pub(super) async fn get(caller: Keyed) -> Reply {
    Answer::ok(&caller.commands().storefront(caller.account()).await?)
}

pub(super) async fn put(caller: Keyed, intake: Intake) -> Reply {
    let (input, request) = caller.input::<StorefrontInput>(&intake).await?;
    Answer::done(&caller.commands().put_storefront(caller.account(), &input, request).await?)
}
