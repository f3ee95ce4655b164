//! The real binary under test: a host in a temporary folder, subcommands next to it, and a receiver of webhooks.
#![allow(unreachable_pub, dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test support")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_adapters::sqlite::SqliteStorage;
use serront_adapters::system::SystemClock;
use serront_core::ports::WorkStorage;
use tempfile::TempDir;

pub mod sandbox;
pub mod shop;

/// How long the test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_serront-host"))
}

/// The database engine of an installation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A folder of one installation; a test can start any number of hosts on it.
pub struct Installation {
    pub folder: TempDir,
    /// Address and schema, if the database is on a server.
    server: Option<(String, String)>,
    /// Additional environment variables.
    settings: Vec<(&'static str, String)>,
}

/// Makes one test per engine of each function.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::support::Engine::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::support::Engine::Postgres).await;
            })+
        }
    };
}

/// A running host; killed at the end of the test.
pub struct Host {
    child: Child,
    pub url: String,
}

impl Installation {
    pub fn new(engine: Engine) -> Self {
        let server = (engine == Engine::Postgres)
            .then(|| (serront_testkit::postgres::server_url(), serront_testkit::postgres::fresh_schema()));
        Self { folder: TempDir::new().unwrap(), server, settings: Vec::new() }
    }

    /// On the server at this address.
    pub fn on_server(url: String) -> Self {
        let server = Some((url, serront_testkit::postgres::fresh_schema()));
        Self { folder: TempDir::new().unwrap(), server, settings: Vec::new() }
    }

    /// Another folder, on the database at this address and in this schema if it is on a server.
    pub fn on(server: Option<(String, String)>) -> Self {
        Self { folder: TempDir::new().unwrap(), server, settings: Vec::new() }
    }

    /// Address and schema, if the database is on a server.
    pub fn server(&self) -> Option<&(String, String)> {
        self.server.as_ref()
    }

    /// Runs statements on the database, bypassing the host; `@.` stands before the tables' names.
    pub async fn sql(&self, statement: &str) {
        match &self.server {
            Some((url, schema)) => {
                let sql = sqlx::AssertSqlSafe(statement.replace("@.", &format!("{schema}.")));
                let pool = sqlx::PgPool::connect(url).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                pool.close().await;
            }
            None => {
                let sql = sqlx::AssertSqlSafe(statement.replace("@.", ""));
                let file = self.path().join("serront.db");
                let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                pool.close().await;
            }
        }
    }

    /// The same with additional environment variables.
    pub fn with(mut self, settings: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.settings.extend(settings);
        self
    }

    /// The binary with this installation's environment.
    pub fn command(&self) -> Command {
        let mut command = binary();
        for variable in ["PLUGIPAY_BASE_URL", "PLUGIPAY_KEY_ID", "PLUGIPAY_SECRET", "SERRONT_PUBLIC_URL"] {
            command.env_remove(variable);
        }
        command.env("SERRONT_DATA_DIR", self.folder.path()).env("SERRONT_DEV", "true").env("SERRONT_LOG", "warn");
        if let Some((url, schema)) = &self.server {
            command.env("DATABASE_URL", url).env("SERRONT_DATABASE_SCHEMA", schema);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the host on a free port and waits until it prints the address.
    pub fn serve(&self) -> Host {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Host::started(command)
    }

    /// Runs a subcommand and returns its one line of JSON.
    pub fn admin(&self, arguments: &[&str]) -> Value {
        self.lines(arguments).pop().unwrap_or(Value::Null)
    }

    /// Runs a subcommand and returns its output, whether it succeeds or not.
    pub fn output(&self, arguments: &[&str]) -> std::process::Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs a subcommand and returns its lines of JSON.
    pub fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs a subcommand that is refused, and returns its error.
    pub fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Opens an account and returns its id and key.
    pub fn account(&self, tier: &str) -> (String, String) {
        let made = self.admin(&["account", "create", "--name", "Studio Renata", "--tier", tier]);
        (made["accountId"].as_str().unwrap().to_owned(), made["apiKey"].as_str().unwrap().to_owned())
    }

    /// The names of the mails written so far, and their texts.
    pub fn mails(&self) -> Vec<(String, String)> {
        let mut mails = Vec::new();
        for entry in std::fs::read_dir(self.folder.path().join("mail")).into_iter().flatten() {
            let path: PathBuf = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                let text = std::fs::read_to_string(&path).unwrap();
                mails.push((path.file_stem().unwrap().to_string_lossy().into_owned(), text));
            }
        }
        mails.sort();
        mails
    }

    /// The permissions of the database, and of the folders of mails and receipts.
    #[cfg(unix)]
    pub fn modes(&self) -> Vec<(PathBuf, u32)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(|path| {
                let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
                (path, mode)
            })
            .collect()
    }

    /// A connection to the host's database.
    pub async fn storage(&self) -> Arc<dyn WorkStorage> {
        match &self.server {
            Some((url, schema)) => {
                let mut options = PostgresOptions::at(url).unwrap();
                options.schema.clone_from(schema);
                Arc::new(PostgresStorage::open(options).await.unwrap())
            }
            None => {
                let file = self.path().join("serront.db");
                Arc::new(SqliteStorage::open(&file, Arc::new(SystemClock)).await.unwrap())
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Host {
    /// Runs this command, which serves, and waits until it prints its address.
    pub fn started(mut command: Command) -> Self {
        Self::serving(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// A started host, once it has printed its port.
    pub fn serving(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        Self { child, url: listening["listening"].as_str().unwrap().to_owned() }
    }

    /// SIGSTOP: the host freezes.
    pub fn freeze(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    }

    /// SIGKILL: the host crashes.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM. Returns whether the host ended with status 0.
    pub fn stop(mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of one host with one key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub url: String,
    pub key: String,
}

/// A host's answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    /// The data of a success.
    #[track_caller]
    pub fn data(self) -> Value {
        assert!(self.status < 300, "{self:?}");
        assert_eq!(self.body["error"], Value::Null);
        self.body["data"].clone()
    }

    /// Status and code of a failure.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.body["data"], Value::Null, "{self:?}");
        (self.status, self.body["error"]["code"].as_str().unwrap().to_owned())
    }
}

pub fn http() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Client {
    pub fn new(host: &Host, key: &str) -> Self {
        Self { http: http(), url: host.url.clone(), key: key.to_owned() }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| serde_json::to_vec(&body).unwrap());
        self.send(method, path, &[("content-type", "application/json")], body).await
    }

    /// Repeats a list until it contains this many.
    pub async fn list_of(&self, path: &str, count: usize) -> Reply {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.call("GET", path, None).await;
            if reply.body["data"].as_array().is_some_and(|rows| rows.len() == count) {
                return reply;
            }
            assert!(Instant::now() < deadline, "not {count} at {path}: {reply:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Reply {
        let mut request =
            self.http.request(method.parse().unwrap(), format!("{}{path}", self.url)).bearer_auth(&self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        Reply { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    /// The bytes of an answer that is not JSON.
    pub async fn download(&self, path: &str) -> (HeaderMap, Vec<u8>) {
        let response = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        (response.headers().clone(), response.bytes().await.unwrap().to_vec())
    }

    /// A published storefront at this slug with a service of 750,000 rupiah.
    pub async fn open_shop(&self, slug: &str) {
        let storefront = json!({
            "slug": slug, "displayName": "Studio Renata", "whatsappNumber": "+628120000000", "published": true,
            "manualBankAccounts":
                [{"bankName": "BCA", "accountNumber": "123-456-7890", "accountHolder": "Renata"}],
            "manualInstructions": "Tulis nomor pesanan sebagai berita."
        });
        self.call("PUT", "/api/v1/storefront", Some(storefront)).await.data();
        let service = json!({"slug": "logo", "name": "Logo design", "pricingType": "fixed", "priceIdr": 750_000});
        self.call("POST", "/api/v1/services", Some(service)).await.data();
    }

    /// Places an order and returns its number and token.
    pub async fn order(&self, slug: &str) -> (u64, String) {
        let order = json!({"serviceSlug": "logo", "buyerName": "Budi", "buyerEmail": "budi@example.com"});
        let placed = self.call("POST", &format!("/api/v1/public/storefront/{slug}/order"), Some(order)).await.data();
        (placed["number"].as_u64().unwrap(), placed["accessToken"].as_str().unwrap().to_owned())
    }

    /// The ids of all orders, by number.
    pub async fn order_ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.call("GET", &format!("/api/v1/orders?limit=100{cursor}"), None).await.data();
            ids.extend(page["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()));
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        ids.reverse();
        ids
    }
}

/// A received webhook.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// A receiver of webhooks on loopback; it answers 204.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let keep = |State(kept): State<Arc<Mutex<Vec<Received>>>>, headers: HeaderMap, body: String| async move {
            kept.lock().unwrap().push(Received { headers, body });
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/hook", post(keep)).with_state(received.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// The number of requests so far, and the numbers of the open ones.
type Requests = Arc<Mutex<(u64, BTreeSet<u64>)>>;

/// Endpoints on loopback, one per path, that accept requests and never answer.
#[derive(Clone)]
pub struct Silent {
    pub url: String,
    requests: Requests,
}

/// An open request, until its sender gives up.
struct Hanging {
    number: u64,
    requests: Requests,
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.requests.lock().unwrap().1.remove(&self.number);
    }
}

impl Silent {
    pub async fn start() -> Self {
        let requests = Requests::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hang = |State(requests): State<Requests>, _: String| async move {
            let number = {
                let (count, hanging) = &mut *requests.lock().unwrap();
                *count += 1;
                hanging.insert(*count);
                *count
            };
            let _hanging = Hanging { number, requests };
            std::future::pending::<StatusCode>().await
        };
        let router = Router::new().route("/{endpoint}", post(hang)).with_state(requests.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, requests }
    }

    /// The numbers of the open requests.
    pub fn hanging(&self) -> BTreeSet<u64> {
        self.requests.lock().unwrap().1.clone()
    }
}

/// Waits until a condition holds.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let began = Instant::now();
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "{caller}: {what} did not happen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
