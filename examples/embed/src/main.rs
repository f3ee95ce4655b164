//! Places an order, confirms its payment and sends the mail: the library embedded in a backend.
use serront_adapters::proofs::ObjectReceipts;
use serront_adapters::smtp::MailFiles;
use serront_adapters::sqlite::SqliteStorage;
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_adapters::webhooks::{HttpSink, Targets};
use serront_core::accounts::actor::Actor;
use serront_core::orders::order::Language;
use serront_core::policy::Policy;
use serront_core::ports::{Clock, NoKeys};
use serront_core::primitives::tier::Tier;
use serront_core::service::{Commands, Environment};
use serront_core::work::dispatch::Dispatcher;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?; // a real backend uses a permanent folder
    let (clock, policy) = (std::sync::Arc::new(SystemClock), Policy::default());
    let storage = SqliteStorage::open(&folder.path().join("payments.db"), clock.clone()).await?;
    let (ids, secrets, sealer) = (&RandomIds, &SystemSecrets, &NoKeys); // webhooks and online payment need a KeyFile
    let environment = Environment { clock: &*clock, ids, secrets, sealer, policy: &policy };
    let payments = Commands::new(&storage, environment);

    let (seller, _api_key) = payments.open_account("Studio", Tier::Free).await?.value;
    let profile = r#"{"slug": "studio", "displayName": "Studio", "published": true, "manualBankAccounts":
        [{"bankName": "BCA", "accountNumber": "123-456", "accountHolder": "Studio"}]}"#;
    payments.put_storefront(seller.id, &serde_json::from_str(profile)?, None).await?;
    let logo = r#"{"slug": "logo", "name": "Logo", "pricingType": "fixed", "priceIdr": 750000}"#;
    payments.create_service(seller.id, &serde_json::from_str(logo)?, None).await?;
    let order = r#"{"serviceSlug": "logo", "buyerName": "Budi", "buyerEmail": "budi@example.com"}"#;
    let placed = payments.place_order("studio", &serde_json::from_str(order)?, Language::Id, None).await?.value;
    let id = placed.order_id.ok_or("a placed order has an id")?;
    payments.confirm_payment(seller.id, id, &Actor::host("cashier 7")?, None, None).await?;

    let mailer = MailFiles::new(folder.path().join("mail"), "Studio <studio@example.com>")?;
    let (receipts, sink) = (ObjectReceipts::local(folder.path().join("proofs"))?, HttpSink::new(Targets::Public)?);
    let step = Dispatcher::new(&storage, &mailer, &sink, &receipts, environment).step(clock.now(), 64).await?;
    println!("{} confirmed, {} effect carried out", placed.number.ok_or("a number")?, step.attempted);
    Ok(())
}
