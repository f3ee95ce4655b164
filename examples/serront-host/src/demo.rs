//! `demo`: a host in a temporary folder with a seeded seller, pages to click through, and a tour to paste into a second terminal.
//!
//! It also runs a receiver of webhooks inside the process, subscribed for the seller, which checks each signature and
//! prints each event, and a sandbox of Plugipay, where the seller is provisioned and buyers pay. Everything goes through the
//! same service and router as in `serve`, and over the same HTTP.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serront_adapters::system::SystemClock;
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::{AccessToken, OperatorKey, WebhookSecret};
use serront_core::decide::{ModuleSwitches, OrderPatch};
use serront_core::funds::payout::BankAccountInput;
use serront_core::orders::instructions::BankAccount;
use serront_core::orders::order::PricingType;
use serront_core::orders::order::{Language, OrderInput, WorkStatus};
use serront_core::primitives::ids::{AccountId, OrderId};
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::shop::catalog::{PackageInput, ServiceInput};
use serront_core::shop::storefront::StorefrontInput;
use serront_core::views::CheckoutView;
use serront_core::webhooks::signature;
use serront_core::webhooks::subscription::SubscriptionInput;
use serront_host::Host;
use serront_testkit::sandbox::SandboxServer;
use tokio::net::TcpListener;

use crate::Fatal;
use crate::process::{self, say};
use crate::settings::{LISTEN_DEFAULT, PlugipayAccess, Settings};

/// What a receipt may look like; it says of itself that it is a sample.
const RECEIPT: &[u8] = include_bytes!("../assets/sample-receipt.png");

const SLUG: &str = "studio-renata";

/// The platform's key at the sandbox: it opens nothing but what ends with this process.
const PLUGIPAY_KEY_ID: &str = "demo";
const PLUGIPAY_SECRET: &str = "demo-secret";

/// Runs the demo until a signal comes.
pub(crate) async fn run(settings: &Settings) -> Result<(), Fatal> {
    let folder = tempfile::Builder::new().prefix("serront-demo-").tempdir()?;
    let receipt = folder.path().join("receipt.png");
    std::fs::write(&receipt, RECEIPT)?;
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sandbox = SandboxServer::start(loopback, Arc::new(SystemClock), PLUGIPAY_KEY_ID, PLUGIPAY_SECRET).await?;
    let plugipay = PlugipayAccess {
        url: sandbox.url().to_owned(),
        key_id: PLUGIPAY_KEY_ID.to_owned(),
        secret: PLUGIPAY_SECRET.to_owned(),
    };
    let started = process::start(&settings.embedded(folder.path(), plugipay), bind(settings).await?).await?;
    let Some(running) = started else { return Ok(()) };
    let secret = Arc::new(OnceLock::new());
    let receiver = receiver(Arc::clone(&secret)).await?;
    let seeded = seed(&running.host, &receiver, &secret).await?;
    // What was committed beside the router.
    running.host.wake();
    say(&tour(&running.address, &receiver, sandbox.url(), folder.path(), &receipt, &seeded))?;
    let ended = running.until_signal().await;
    sandbox.stop().await;
    ended
}

/// Where it was said, or the usual place, or a free port if that is taken.
async fn bind(settings: &Settings) -> std::io::Result<TcpListener> {
    if let Some(listen) = settings.listen() {
        return TcpListener::bind(listen).await;
    }
    match TcpListener::bind(LISTEN_DEFAULT).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => TcpListener::bind("127.0.0.1:0").await,
        bound => bound,
    }
}

type SharedSecret = Arc<OnceLock<WebhookSecret>>;

/// Starts the receiver and answers its address.
async fn receiver(secret: SharedSecret) -> Result<String, Fatal> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/events", listener.local_addr()?);
    let app = Router::new().route("/events", post(receive)).with_state(secret);
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok(address)
}

async fn receive(State(secret): State<SharedSecret>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("(missing)");
    let body = String::from_utf8_lossy(&body);
    let signature = header("serront-signature");
    let verified = if secret.get().is_some_and(|secret| signed_by(secret, signature, &body)) {
        "signature verified"
    } else {
        "SIGNATURE WRONG"
    };
    let text = format!(
        "webhook received: {} (attempt {}, {verified})\n  Serront-Event-Id: {}\n  Serront-Signature: {signature}\n  {body}\n",
        header("serront-event-type"),
        header("serront-delivery-attempt"),
        header("serront-event-id"),
    );
    match say(&text) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// As a receiver checks it: sign the same bytes at the time that the header states, and compare. (A real receiver compares
/// in constant time and refuses old times; this one only shows that the recipe fits.)
fn signed_by(secret: &WebhookSecret, header: &str, body: &str) -> bool {
    let seconds = header.strip_prefix("t=").and_then(|rest| rest.split(',').next()).and_then(|t| t.parse::<i64>().ok());
    seconds.is_some_and(|seconds| {
        signature::sign(secret, Timestamp::from_millis(seconds.saturating_mul(1_000)), body) == header
    })
}

struct Order {
    id: OrderId,
    token: AccessToken,
}

struct Seeded {
    account: AccountId,
    key: String,
    unpaid: Order,
    claimed: Order,
    confirmed: Order,
    online: Order,
    checkout: CheckoutView,
    operator: OperatorKey,
}

fn service(slug: &str, name: &str, pricing: PricingType, price: Option<i64>) -> ServiceInput {
    ServiceInput {
        slug: Some(slug.to_owned()),
        name: Some(name.to_owned()),
        pricing_type: Some(pricing),
        price_idr: price.map(Some),
        ..ServiceInput::default()
    }
}

fn package(name: &str, price_idr: i64) -> PackageInput {
    PackageInput { name: name.to_owned(), price_idr, description: None }
}

fn bank(bank_name: &str, account_number: &str) -> BankAccount {
    BankAccount {
        bank_name: bank_name.to_owned(),
        account_number: account_number.to_owned(),
        account_holder: "Renata Wijaya".to_owned(),
    }
}

async fn place(host: &Host, buyer: &str, service: &str, package: Option<&str>) -> Result<Order, Fatal> {
    let input = OrderInput {
        service_slug: service.to_owned(),
        package_name: package.map(str::to_owned),
        buyer_name: buyer.to_owned(),
        buyer_email: format!("{}@example.com", buyer.to_lowercase()),
        ..OrderInput::default()
    };
    let placed = host.commands().place_order(SLUG, &input, Language::Id, None).await?.value;
    let id = placed.order_id.ok_or("an order was placed without an id")?;
    Ok(Order { id, token: placed.access_token })
}

/// A seller with a storefront, services of each kind of pricing, and an order in each state.
async fn seed(host: &Host, receiver: &str, secret: &OnceLock<WebhookSecret>) -> Result<Seeded, Fatal> {
    let commands = host.commands();
    let (account, key) = commands.open_account("Studio Renata", Tier::Starter).await?.value;
    let storefront = StorefrontInput {
        slug: SLUG.to_owned(),
        display_name: "Studio Renata".to_owned(),
        bio: Some("Logo, undangan dan desain cetak.".to_owned()),
        whatsapp_number: Some("+628120000000".to_owned()),
        manual_bank_accounts: Some(vec![bank("BCA", "123-456-7890"), bank("Bank Mandiri", "900 00 1234567 8")]),
        manual_instructions: Some("Transfer sesuai jumlah, lalu unggah bukti transfer.".to_owned()),
        hide_branding: Some(false),
        published: Some(true),
    };
    commands.put_storefront(account.id, &storefront, None).await?;
    let packages = vec![package("Basic", 350_000), package("Premium", 900_000)];
    for input in [
        service("logo", "Desain logo", PricingType::Fixed, Some(750_000)),
        service("konsultasi", "Konsultasi desain", PricingType::Hourly, Some(200_000)),
        ServiceInput {
            packages: Some(Some(packages)),
            ..service("undangan", "Undangan pernikahan", PricingType::Package, None)
        },
    ] {
        commands.create_service(account.id, &input, None).await?;
    }
    let subscription = SubscriptionInput { url: Some(receiver.to_owned()), ..SubscriptionInput::default() };
    let subscribed = host.webhook_registration().create_subscription(account.id, &subscription, None).await?.value;
    // Set once, here.
    let _ = secret.set(subscribed.secret);

    let seller = Actor::host("demo")?;
    let unpaid = place(host, "Budi", "logo", None).await?;
    let claimed = place(host, "Sari", "undangan", Some("Premium")).await?;
    host.receipt_uploads().upload(&claimed.token, "image/png", RECEIPT).await?;
    commands.claim_payment(&claimed.token).await?;
    let confirmed = place(host, "Dewi", "undangan", Some("Basic")).await?;
    commands.claim_payment(&confirmed.token).await?;
    commands.confirm_payment(account.id, confirmed.id, &seller, None, None).await?;
    let declined = place(host, "Agus", "konsultasi", None).await?;
    let decline = OrderPatch { status: Some(WorkStatus::Declined), quoted_price_idr: None };
    commands.patch_order(account.id, declined.id, decline, &seller, None).await?;

    let payment = ModuleSwitches { payment: Some(true), marketing: None };
    host.online().switch_modules(account.id, payment, None).await?;
    let said = |text: &str| Some(Some(text.to_owned()));
    let payouts_go_to = BankAccountInput {
        bank_name: said("BCA"),
        bank_account_number: said("123-456-7890"),
        bank_account_holder: said("Renata Wijaya"),
        ..BankAccountInput::default()
    };
    commands.patch_bank_account(account.id, &payouts_go_to, None).await?;
    let online = place(host, "Rina", "logo", None).await?;
    let checkout = host.online().pay(&online.token).await?;
    let (_, operator) = commands.create_operator_key("The demo's operator").await?;
    let key = key.key.reveal().to_owned();
    Ok(Seeded { account: account.id, key, unpaid, claimed, confirmed, online, checkout, operator })
}

fn tour(address: &str, receiver: &str, sandbox: &str, folder: &Path, receipt: &Path, seeded: &Seeded) -> String {
    let Seeded { account, key, unpaid, claimed, confirmed, online, checkout, operator } = seeded;
    let (folder, receipt) = (folder.display(), receipt.display());
    let auth = format!("-H 'Authorization: Bearer {key}'");
    let operator = operator.reveal();
    let operators = format!("-H 'Authorization: Bearer {operator}'");
    let (unpaid_id, unpaid_token) = (unpaid.id, unpaid.token.reveal());
    let (claimed_id, confirmed_token) = (claimed.id, confirmed.token.reveal());
    let (online_id, online_token, hosted) = (online.id, online.token.reveal(), &checkout.hosted_url);
    format!(
        "Serront's demo listens on {address} (everything is in {folder}, and goes when it ends).

Open in a browser, for the five-minute tour (Indonesian first; the switch to English is at the top):

  {address}/s/{SLUG}
      The storefront, as buyers see it: place an order.
  {address}/o/{unpaid_token}
      Budi's order, to be paid: upload {receipt}, and say that it is paid.
  {address}/o/{online_token}
      Rina's order: pay online, at the sandbox of Plugipay.
  {address}/dashboard
      The seller's dashboard. Sign in with {key}
      Confirm Budi's payment; look at the balance that Rina's made; ask for a payout.
  {address}/operator
      The operator's page. Sign in with {operator}
      Carry the payout from pending to paid.

The same with curl: the seller is {account}. Paste these into another terminal, from top to bottom:

# The seller's orders: one in each state.
curl -s {auth} {address}/api/v1/orders
# What Budi sees of his unpaid order, with the bank accounts to pay to.
curl -s {address}/api/v1/public/orders/{unpaid_token}
# Budi uploads his receipt, and says that he has paid.
curl -s -X PUT -H 'Content-Type: image/png' --data-binary '@{receipt}' {address}/api/v1/public/orders/{unpaid_token}/proof
curl -s -X POST {address}/api/v1/public/orders/{unpaid_token}/claim-payment
# The seller lists what was claimed, and looks at the receipt.
curl -s {auth} '{address}/api/v1/orders?paymentStatus=payment_claimed'
curl -s {auth} -o '{folder}/downloaded.png' {address}/api/v1/orders/{unpaid_id}/proof
# The seller has seen the money. Again: 409.
curl -s -X POST {auth} {address}/api/v1/orders/{unpaid_id}/confirm-payment
curl -s -X POST {auth} {address}/api/v1/orders/{unpaid_id}/confirm-payment
# The one mail that Budi got (and the one of the order that was confirmed before).
cat '{folder}'/mail/*.eml
# The webhook that the seller's system got (printed below, too), as the delivery log has it.
curl -s {auth} '{address}/api/v1/webhook-subscriptions/deliveries?limit=1'
# Once confirmed, the buyer's view shows no bank account any more.
curl -s {address}/api/v1/public/orders/{confirmed_token}
# Sari's order is claimed and has a receipt: the same steps work for it.
curl -s {auth} {address}/api/v1/orders/{claimed_id}

# The payment module is on, so Rina can pay online. She presses \"pay online\"; pressed again, it is the same session.
curl -s {address}/api/v1/public/orders/{online_token}
curl -s -X POST {address}/api/v1/public/orders/{online_token}/pay
# The page that Plugipay hosts (here a sandbox, {sandbox}). Open it in a browser and pay there, or let curl press the button:
# {hosted}
curl -s -d method=qris {hosted}/pay; sleep 1
# Plugipay has told of it: the order is confirmed, with a mail and a webhook, and the money is in the ledger, less the fee.
curl -s {auth} {address}/api/v1/orders/{online_id}
curl -s {auth} {address}/api/v1/ledger/balance
curl -s {auth} {address}/api/v1/ledger/entries
# Money that arrived and could not confirm its order would be listed here, to be looked after: none so far.
curl -s {auth} {address}/api/v1/payments/exceptions

# The seller draws on it: a payout is asked for, and is in flight until it is paid.
PAYOUT=$(curl -s -X POST {auth} -d '{{\"amount\": 500000, \"bankName\": \"BCA\", \"bankAccountNumber\": \"123-456-7890\", \"bankAccountHolder\": \"Renata Wijaya\"}}' {address}/api/v1/payouts | grep -o 'po_[0-9a-z]*'); echo $PAYOUT
curl -s {auth} {address}/api/v1/payouts/balance
# An operator transfers it by hand, and says so with a key of an operator's own. The seller's key may not: 403.
curl -s -X POST {auth} {address}/api/v1/payouts/$PAYOUT/mark-in-transit
curl -s -X POST {operators} -d '{{\"reference\": \"T-1\"}}' {address}/api/v1/payouts/$PAYOUT/mark-in-transit
curl -s -X POST {operators} {address}/api/v1/payouts/$PAYOUT/mark-paid
# Now it is posted, and gone from the balance. And the whole ledger as a CSV.
curl -s {auth} {address}/api/v1/payouts/balance
curl -s {auth} '{address}/api/v1/ledger/entries?code=payout'
curl -s {auth} {address}/api/v1/ledger/entries.csv

# With the module off, money is not shown, and what was minted still settles. On again, everything is there.
curl -s -X PATCH {auth} -d '{{\"payment\": false}}' {address}/api/v1/modules
curl -s {auth} {address}/api/v1/ledger/balance
curl -s -X PATCH {auth} -d '{{\"payment\": true}}' {address}/api/v1/modules

Below, the seller's system ({receiver}) prints each webhook that it receives. Ctrl-C ends the demo.
"
    )
}
