//! `demo`: a host in a temporary folder with a seeded seller, pages to click through, and a tour to paste into a second terminal.
//!
//! The process also runs a webhook receiver that is subscribed for the seller, checks each signature and prints each event, and
//! a sandbox of Plugipay where buyers pay. Everything uses the same service, router and HTTP as `serve`.

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
use serront_core::orders::order::{Language, OrderInput, PricingType, WorkStatus};
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

use crate::console::{Fatal, say};
use crate::process;
use crate::settings::{LISTEN_DEFAULT, PlugipayAccess, Settings};

/// A sample receipt; the picture says that it is a sample.
const RECEIPT: &[u8] = include_bytes!("../assets/sample-receipt.png");
const SLUG: &str = "studio-renata";
/// The platform's key at the sandbox, which ends with this process.
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
    say(&tour(&running.address, &receiver, sandbox.url(), folder.path(), &receipt, &seeded))?;
    let ended = running.until_signal().await;
    sandbox.stop().await;
    ended
}

/// The address of the settings, or the default one, or a free port if the default is taken.
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

/// Starts the receiver and returns its address.
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

/// Checks a signature like a receiver: signs the same bytes at the header's time and compares. (A real receiver compares in
/// constant time and refuses old times; this one only shows that the scheme works.)
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

/// Creates a seller with a storefront, a service of each kind of pricing, and an order in each state.
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
        "Serront's demo listens on {address} (all its data is in {folder}, and is deleted when it ends).

Open in a browser, for the five-minute tour (Indonesian first; the switch to English is at the top):

  {address}/s/{SLUG}
      The storefront, as buyers see it: place an order.
  {address}/o/{unpaid_token}
      Budi's order, which is unpaid: upload {receipt}, and report the payment.
  {address}/o/{online_token}
      Rina's order: pay online, at the Plugipay sandbox.
  {address}/dashboard
      The seller's dashboard. Sign in with {key}
      Confirm Budi's payment; see the balance from Rina's payment; request a payout.
  {address}/operator
      The operator's page. Sign in with {operator}
      Move the payout from pending to paid.

The same with curl: the seller is {account}. Paste these into another terminal, from top to bottom:

# The seller's orders, one in each state.
curl -s {auth} {address}/api/v1/orders
# Budi's view of his unpaid order, with the bank accounts to pay to.
curl -s {address}/api/v1/public/orders/{unpaid_token}
# Budi uploads his receipt and reports that he has paid.
curl -s -X PUT -H 'Content-Type: image/png' --data-binary '@{receipt}' {address}/api/v1/public/orders/{unpaid_token}/proof
curl -s -X POST {address}/api/v1/public/orders/{unpaid_token}/claim-payment
# The seller lists the orders that buyers report as paid, and downloads the receipt.
curl -s {auth} '{address}/api/v1/orders?paymentStatus=payment_claimed'
curl -s {auth} -o '{folder}/downloaded.png' {address}/api/v1/orders/{unpaid_id}/proof
# The seller has seen the money and confirms. A second time answers 409.
curl -s -X POST {auth} {address}/api/v1/orders/{unpaid_id}/confirm-payment
curl -s -X POST {auth} {address}/api/v1/orders/{unpaid_id}/confirm-payment
# Budi's mail (and the mail of the order that was confirmed before).
cat '{folder}'/mail/*.eml
# The delivery log's entry for the webhook that the seller's system received (also printed below).
curl -s {auth} '{address}/api/v1/webhook-subscriptions/deliveries?limit=1'
# After the confirmation, the buyer's view no longer shows bank accounts.
curl -s {address}/api/v1/public/orders/{confirmed_token}
# Sari's order is reported as paid and has a receipt: the same steps work for it.
curl -s {auth} {address}/api/v1/orders/{claimed_id}

# The payment module is on, so Rina can pay online. Pressing \"pay online\" again returns the same session.
curl -s {address}/api/v1/public/orders/{online_token}
curl -s -X POST {address}/api/v1/public/orders/{online_token}/pay
# Plugipay's payment page (here the sandbox, {sandbox}). Open it in a browser and pay there, or press the button with curl:
# {hosted}
curl -s -d method=qris {hosted}/pay; sleep 1
# Plugipay has sent a notification: the order is confirmed, with a mail and a webhook, and the ledger has the amount less the fee.
curl -s {auth} {address}/api/v1/orders/{online_id}
curl -s {auth} {address}/api/v1/ledger/balance
curl -s {auth} {address}/api/v1/ledger/entries
# Money that arrived but could not confirm its order is listed here for the seller to resolve; there is none yet.
curl -s {auth} {address}/api/v1/payments/exceptions

# The seller requests a payout; it is in flight until it is paid.
PAYOUT=$(curl -s -X POST {auth} -d '{{\"amount\": 500000, \"bankName\": \"BCA\", \"bankAccountNumber\": \"123-456-7890\", \"bankAccountHolder\": \"Renata Wijaya\"}}' {address}/api/v1/payouts | grep -o 'po_[0-9a-z]*'); echo $PAYOUT
curl -s {auth} {address}/api/v1/payouts/balance
# An operator transfers it manually and marks it with an operator's key. The seller's key gets 403.
curl -s -X POST {auth} {address}/api/v1/payouts/$PAYOUT/mark-in-transit
curl -s -X POST {operators} -d '{{\"reference\": \"T-1\"}}' {address}/api/v1/payouts/$PAYOUT/mark-in-transit
curl -s -X POST {operators} {address}/api/v1/payouts/$PAYOUT/mark-paid
# Now it is posted and deducted from the balance. Then the whole ledger as CSV.
curl -s {auth} {address}/api/v1/payouts/balance
curl -s {auth} '{address}/api/v1/ledger/entries?code=payout'
curl -s {auth} {address}/api/v1/ledger/entries.csv

# With the module off, balances are hidden, and open sessions still settle. Switched on again, everything is shown.
curl -s -X PATCH {auth} -d '{{\"payment\": false}}' {address}/api/v1/modules
curl -s {auth} {address}/api/v1/ledger/balance
curl -s -X PATCH {auth} -d '{{\"payment\": true}}' {address}/api/v1/modules

Below, the seller's system ({receiver}) prints each webhook that it receives. Ctrl-C ends the demo.
"
    )
}
