//! The seller's side of orders.

use serde::Serialize;
use serront_core::decide::OrderPatch;
use serront_core::orders::order::{WorkCounts, WorkStatus};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::OrderId;
use serront_core::primitives::page::Limit;
use serront_core::primitives::search::search_words;
use serront_core::snapshots::OrderFilter;
use serront_core::views::SellerOrder;

use crate::answer::{Answer, Reply};
use crate::auth::{Id, Keyed, existing};
use crate::body::Intake;
use crate::query::Query;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Orders {
    orders: Vec<SellerOrder>,
    counts: WorkCounts,
    has_more: bool,
    cursor: Option<String>,
}

pub(super) async fn list(caller: Keyed, query: Query) -> Reply {
    let filter = OrderFilter {
        status: query.filter("status", WorkStatus::parse, "must be a state of the work track, or all")?,
        payment_status: query.filter(
            "paymentStatus",
            PaymentStatus::parse,
            "must be one of all, unpaid, payment_claimed, payment_confirmed",
        )?,
        service_id: query.id("serviceId")?,
        words: query.one("q")?.map(search_words).transpose()?.unwrap_or_default(),
    };
    let limit = Limit::parse(query.one("limit")?)?;
    let page = caller.commands().orders(caller.account(), &filter, query.one("cursor")?, limit).await?;
    Answer::ok(&Orders {
        orders: page.orders,
        counts: page.counts,
        has_more: page.cursor.is_some(),
        cursor: page.cursor,
    })
}

/// An order with its messages, which are out of scope and so always empty.
#[derive(Serialize)]
struct OrderWithThread {
    #[serde(flatten)]
    order: SellerOrder,
    messages: [(); 0],
}

pub(super) async fn get(caller: Keyed, Id(id): Id<OrderId>) -> Reply {
    let order = caller.commands().order(caller.account(), id).await?;
    Answer::ok(&OrderWithThread { order, messages: [] })
}

pub(super) async fn patch(caller: Keyed, Id(id): Id<OrderId>, intake: Intake) -> Reply {
    let (commands, account) = (caller.commands(), caller.account());
    let input = caller.input::<OrderPatch>(&intake).await;
    let (patch, request) = existing(input, commands.order(account, id)).await?;
    Answer::done(&commands.patch_order(account, id, patch, &caller.actor(), request).await?)
}

pub(super) async fn confirm_payment(caller: Keyed, Id(id): Id<OrderId>, intake: Intake) -> Reply {
    let (commands, account) = (caller.commands(), caller.account());
    let request = existing(caller.no_input(&intake).await, commands.order(account, id)).await?;
    Answer::done(&commands.confirm_payment(account, id, &caller.actor(), None, request).await?)
}

pub(super) async fn rotate_token(caller: Keyed, Id(id): Id<OrderId>, intake: Intake) -> Reply {
    let (commands, account) = (caller.commands(), caller.account());
    let request = existing(caller.no_input(&intake).await, commands.order(account, id)).await?;
    Answer::done(&commands.rotate_token(account, id, &caller.actor(), request).await?)
}
