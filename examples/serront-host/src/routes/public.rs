//! Routes for buyers. The order's access token in the path is their only credential.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Method, Uri, header};
use serront_core::accounts::key::AccessToken;
use serront_core::orders::order::OrderInput;
use serront_core::orders::receipt::RECEIPT_BYTES_MAX;
use serront_core::primitives::text::Slug;

use crate::answer::{Answer, Reply};
use crate::auth::{Id, Named as _, Open, ShopSlug, existing};
use crate::body::{Intake, PUBLIC_JSON_BYTES_MAX};
use crate::language;
use crate::problem::Problem;

pub(super) async fn shop(caller: Open, Id(ShopSlug(slug)): Id<ShopSlug>) -> Reply {
    Answer::ok(&caller.commands().shop(&slug).await?)
}

pub(super) async fn place_order(
    caller: Open,
    Id(ShopSlug(slug)): Id<ShopSlug>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    intake: Intake,
) -> Reply {
    let commands = caller.commands();
    let shop = Slug::parse("slug", &slug).map_err(|_| Problem::not_found(ShopSlug::WHAT))?;
    let asked = intake.json::<OrderInput>(PUBLIC_JSON_BYTES_MAX).await.and_then(|(input, body)| {
        let request = Open::at_shop(&shop, &method, uri.path(), &headers, &body)?;
        Ok((input, request))
    });
    let (input, request) = existing(asked, commands.shop(&slug)).await?;
    Answer::created(&commands.place_order(&slug, &input, language::preferred(&headers), request).await?)
}

pub(super) async fn order(caller: Open, Id(token): Id<AccessToken>) -> Reply {
    Answer::ok(&caller.commands().buyer_order(&token).await?)
}

pub(super) async fn claim_payment(caller: Open, Id(token): Id<AccessToken>, intake: Intake) -> Reply {
    let commands = caller.commands();
    existing(intake.read(PUBLIC_JSON_BYTES_MAX).await, commands.buyer_order(&token)).await?;
    Answer::done(&commands.claim_payment(&token).await?)
}

/// The checkout session. Waits for Plugipay, unless there is an open session.
pub(super) async fn pay(caller: Open, Id(token): Id<AccessToken>, intake: Intake) -> Reply {
    existing(intake.read(PUBLIC_JSON_BYTES_MAX).await, caller.commands().buyer_order(&token)).await?;
    Answer::ok(&caller.online().pay(&token).await?)
}

pub(super) async fn put_proof(caller: Open, Id(token): Id<AccessToken>, headers: HeaderMap, intake: Intake) -> Reply {
    // Checked first, so that no upload for an unknown order is collected.
    caller.commands().buyer_order(&token).await?;
    let bytes = intake.read(RECEIPT_BYTES_MAX).await?;
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    caller.receipt_uploads().upload(&token, declared, bytes).await?;
    Answer::ok(&BTreeMap::from([("hasProof", true)]))
}
