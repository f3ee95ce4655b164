//! Plugipay for the host under test: the testkit's sandbox as an HTTP server.

use std::sync::Arc;

use serront_adapters::system::SystemClock;
use serront_core::accounts::key::WebhookSecret;
use serront_core::ports::Clock as _;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature::sign;
use serront_testkit::sandbox::{Route, Sandbox, SandboxEndpoint, SandboxServer};

pub const COMPLETED: &str = "plugipay.checkout_session.completed.v1";
pub const EXPIRED: &str = "plugipay.checkout_session.expired.v1";

const KEY_ID: &str = "platform-key";
const SECRET: &str = "platform-secret";

/// A running sandbox.
pub struct Provider {
    server: SandboxServer,
}

impl Provider {
    pub async fn start() -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = SandboxServer::start(listen, Arc::new(SystemClock), KEY_ID, SECRET).await.unwrap();
        Self { server }
    }

    /// The settings with which a host uses it.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("PLUGIPAY_BASE_URL", self.server.url().to_owned()),
            ("PLUGIPAY_KEY_ID", KEY_ID.to_owned()),
            ("PLUGIPAY_SECRET", SECRET.to_owned()),
        ]
    }

    pub fn sandbox(&self) -> &Sandbox {
        self.server.sandbox()
    }

    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The buyer pays the requested amount; the sandbox sends the notification.
    #[track_caller]
    pub fn pay(&self, session: &str) {
        assert!(self.sandbox().pay(session));
    }

    /// Every session with its state, in the order of their creation.
    pub fn sessions(&self) -> Vec<(String, String)> {
        let sessions = self.sandbox().sessions();
        sessions.into_iter().map(|session| (session.id, format!("{:?}", session.status).to_lowercase())).collect()
    }

    /// The state of a session.
    pub fn status(&self, id: &str) -> String {
        self.sessions().into_iter().find(|session| session.0 == id).unwrap().1
    }

    /// The merchant's endpoints.
    pub fn endpoints(&self, merchant: &str) -> Vec<SandboxEndpoint> {
        self.sandbox().endpoints().into_iter().filter(|endpoint| endpoint.account_id == merchant).collect()
    }

    /// The secret of the merchant's endpoint.
    pub fn secret(&self, merchant: &str) -> WebhookSecret {
        self.endpoints(merchant).pop().unwrap().secret
    }

    /// The number of requests for a workspace.
    pub fn workspaces(&self) -> u64 {
        self.sandbox().arrived(Route::CreateWorkspace)
    }
}

/// A signature of these bytes, this many seconds off.
pub fn signed(secret: &WebhookSecret, off: i64, body: &str) -> String {
    sign(secret, Timestamp::from_millis(SystemClock.now().millis() + off * 1_000), body)
}
