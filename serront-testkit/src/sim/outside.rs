//! What lies outside the process except the storage: the mail server, the sellers' receivers, the store of receipts.

use std::sync::Arc;

use serront_core::orders::mail::MailMessage;
use serront_core::ports::prelude::*;
use serront_core::ports::{Mailer, Post, Posted, Sink, TargetError, TargetRefused};

use super::events::Event;
use super::executor::{answer, at_once};
use super::network::Fate;
use super::plan::{Link, MailServer, Receiver};
use super::world::World;
use crate::memory::locked;

/// The time limit of a sink, as its port requires.
const POST_GIVES_UP_MS: u64 = 10_000;
/// The time limit of a mailer, as its port requires.
const MAIL_GIVES_UP_MS: u64 = 20_000;
/// The time limit of a call to the store of receipts.
const RECEIPTS_GIVE_UP_MS: u64 = 10_000;

/// The URL of a seller's receiver.
pub(crate) fn hook_url(seller: usize, hook: usize) -> String {
    format!("https://seller-{seller}.example/hook/{hook}")
}

fn parse_hook(url: &str) -> Option<(usize, usize)> {
    let (seller, hook) = url.strip_prefix("https://seller-")?.split_once(".example/hook/")?;
    Some((seller.parse().ok()?, hook.parse().ok()?))
}

/// One host's connection to the mail server.
#[derive(Clone)]
pub(crate) struct SimMailer {
    pub(crate) world: Arc<World>,
}

#[async_trait]
impl Mailer for SimMailer {
    async fn send(&self, message: &MailMessage) -> Result<(), PortError> {
        let World { handle, network, .. } = &*self.world;
        let (behaves, pause) = {
            let mut network = locked(network);
            (network.mail_server(handle.now()), network.random().below(40))
        };
        handle.sleep_ms(pause).await;
        let arrives = || {
            self.world.line(&format!("mail {} to {}", message.id, message.to.as_str()));
            self.world.see(&Event::Said(&format!("{message:?}")));
            self.world.see(&Event::Mailed(message));
        };
        match behaves {
            MailServer::Well => {
                arrives();
                handle.sleep_ms(pause / 2).await;
                Ok(())
            }
            MailServer::Refusing => {
                self.world.line(&format!("mail {} is refused", message.id));
                self.world.see(&Event::MailRefused(message.id));
                Err(PortError::permanent("no such mailbox"))
            }
            MailServer::Greylisting => Err(PortError::transient("come again later")),
            MailServer::Silent => {
                arrives();
                handle.sleep_ms(MAIL_GIVES_UP_MS).await;
                Err(PortError::outcome_unknown("the mail server went silent"))
            }
            MailServer::Gone => {
                handle.sleep_ms(MAIL_GIVES_UP_MS).await;
                Err(PortError::outcome_unknown("the mail server went silent"))
            }
        }
    }
}

/// One host's connection to the receivers.
#[derive(Clone)]
pub(crate) struct SimSink {
    pub(crate) world: Arc<World>,
    /// A planted bug: a redirect counts as success.
    pub(crate) redirect_is_success: bool,
}

impl SimSink {
    async fn deliver(&self, post: &Post, seller: usize, hook: usize) -> Posted {
        let World { handle, network, .. } = &*self.world;
        let (behaves, there, back, roll) = {
            let mut network = locked(network);
            let behaves = network.receiver(seller, hook, handle.now());
            let random = network.random();
            (behaves, random.below(50), random.below(50), random.below(6))
        };
        let (status, back) = match (behaves, roll) {
            (Receiver::Well, 0) => (Some(204), back),
            (Receiver::Well, _) | (Receiver::Flaky, 0 | 1) => (Some(200), back),
            (Receiver::Slow, 0..=2) => (Some(200), 9_000 + back),
            // The post arrives, and its answer comes too late.
            (Receiver::Slow, _) => (Some(200), 15_000),
            (Receiver::Broken, _) | (Receiver::Flaky, 2) => (Some(500), back),
            (Receiver::Redirecting, _) | (Receiver::Flaky, 3) => (Some(302), back),
            (Receiver::Dead, _) | (Receiver::Flaky, _) => (None, 0),
        };
        handle.sleep_ms(there).await;
        let Some(status) = status else {
            handle.sleep_ms(POST_GIVES_UP_MS).await;
            return Posted::Failed("timed out".to_owned());
        };
        self.world.line(&format!("post {} attempt {} answered {status}", post.delivery_id, post.attempt));
        self.world.see(&Event::Posted { post, seller, status: Some(status) });
        if there + back > POST_GIVES_UP_MS {
            handle.sleep_ms(POST_GIVES_UP_MS - there).await;
            return Posted::Failed("timed out".to_owned());
        }
        handle.sleep_ms(back).await;
        if self.redirect_is_success && status == 302 { Posted::Answered(200) } else { Posted::Answered(status) }
    }
}

#[async_trait]
impl Sink for SimSink {
    async fn check_target(&self, url: &str) -> Result<(), TargetError> {
        self.world.handle.sleep_ms(2).await;
        parse_hook(url).map(|_| ()).ok_or(TargetRefused("does not resolve").into())
    }

    async fn post(&self, post: &Post) -> Posted {
        self.world.see(&Event::Said(&format!("{post:?}")));
        match parse_hook(&post.url) {
            Some((seller, hook)) => self.deliver(post, seller, hook).await,
            None => Posted::Failed("does not resolve".to_owned()),
        }
    }
}

/// One host's connection to the store of receipts.
#[derive(Clone)]
pub(crate) struct SimReceipts {
    pub(crate) world: Arc<World>,
    /// A planted bug: the list of uploads is always empty, so that nothing is ever swept.
    pub(crate) lists_nothing: bool,
    /// A planted bug: receipts in quarantine are listed regardless of their age.
    pub(crate) quarantine_cut_short: bool,
}

impl SimReceipts {
    async fn call<T: Send + 'static>(
        &self,
        work: impl Fn(&World) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let handle = &self.world.handle;
        let fate = locked(&self.world.network).fate(Link::Receipts, handle.now());
        if fate.refused || fate.busy {
            handle.sleep_ms(fate.request_ms).await;
            return Err(PortError::transient("turned away"));
        }
        let (answerer, awaited) = answer();
        let world = Arc::clone(&self.world);
        handle.spawn(None, async move {
            let Fate { request_ms, answer_ms, loses_request, loses_answer, .. } = fate;
            world.handle.sleep_ms(request_ms).await;
            if loses_request {
                return;
            }
            let result = work(&world);
            world.handle.sleep_ms(answer_ms).await;
            if !loses_answer {
                answerer.answer(result);
            }
        });
        let answered = handle.within(RECEIPTS_GIVE_UP_MS, awaited).await;
        answered.flatten().unwrap_or_else(|| Err(PortError::outcome_unknown("lost on its way")))
    }
}

#[async_trait]
impl Receipts for SimReceipts {
    async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError> {
        let bytes = bytes.to_vec();
        self.call(move |world| {
            world.line(&format!("receipt {upload_id} stored"));
            at_once(world.receipts.put(account_id, upload_id, &bytes))
        })
        .await
    }

    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError> {
        self.call(move |world| at_once(world.receipts.get(account_id, upload_id))).await
    }

    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.call(move |world| {
            world.line(&format!("receipt {upload_id} removed"));
            let removed = at_once(world.receipts.delete(account_id, upload_id));
            world.see(&Event::Removed { upload: upload_id });
            removed
        })
        .await
    }

    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError> {
        if self.lists_nothing {
            return Ok(Vec::new());
        }
        self.call(move |world| at_once(world.receipts.list(before, after, limit))).await
    }

    async fn quarantine(&self, account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Result<(), PortError> {
        self.call(move |world| {
            world.line(&format!("receipt {upload_id} put into quarantine"));
            let moved = at_once(world.receipts.quarantine(account_id, upload_id, since));
            world.see(&Event::Quarantined { upload: upload_id });
            moved
        })
        .await
    }

    async fn quarantined(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<QuarantinedReceipt>, PortError> {
        let before = if self.quarantine_cut_short { Timestamp::from_millis(i64::MAX) } else { before };
        self.call(move |world| at_once(world.receipts.quarantined(before, after, limit))).await
    }

    async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.call(move |world| {
            world.line(&format!("receipt {upload_id} taken out of quarantine"));
            at_once(world.receipts.restore(account_id, upload_id))
        })
        .await
    }

    async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.call(move |world| {
            world.line(&format!("receipt {upload_id} deleted from quarantine"));
            let removed = at_once(world.receipts.discard(account_id, upload_id));
            world.see(&Event::Discarded { upload: upload_id });
            removed
        })
        .await
    }

    async fn installation(&self) -> Result<Option<InstallationId>, PortError> {
        self.call(move |world| at_once(world.receipts.installation())).await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        self.call(move |world| at_once(world.receipts.begin_installation(id))).await
    }

    async fn adopt(&self, id: InstallationId) -> Result<(), PortError> {
        self.call(move |world| at_once(world.receipts.adopt(id))).await
    }
}
