//! The courier: carries Plugipay's notifications to the hosts, late, lost, twice, forged or stale.

use std::sync::Arc;
use std::time::Duration;

use serront_core::primitives::time::Timestamp;

use super::clients::Clients;
use super::executor::answer;
use super::plan::Link;
use super::plugipay::Letter;
use super::world::World;
use crate::memory::locked;
use crate::sandbox::Notification;

/// How long the courier waits for a host's answer.
const GIVE_UP_MS: u64 = 20_000;
/// How long the courier sleeps if nothing is due.
const IDLE_MS: i64 = 1_800_000;

/// Carries notifications to the hosts.
pub(crate) struct Courier {
    world: Arc<World>,
    clients: Arc<Clients>,
    hosts: usize,
}

impl Courier {
    pub(crate) const fn new(world: Arc<World>, clients: Arc<Clients>, hosts: usize) -> Self {
        Self { world, clients, hosts }
    }

    pub(crate) async fn run(self: Arc<Self>) {
        let World { handle, plugipay, .. } = &*self.world;
        loop {
            for notification in plugipay.sandbox.take_notifications() {
                let courier = Arc::clone(&self);
                handle.spawn(None, async move { courier.deliver(notification).await });
            }
            let due = plugipay.sandbox.next_due().map_or(i64::MAX, Timestamp::millis);
            let pause = due.saturating_sub(handle.now()).clamp(1, IDLE_MS);
            let _ = handle.within(u64::try_from(pause).unwrap_or(1), plugipay.news.raised()).await;
        }
    }

    async fn deliver(&self, notification: Notification) {
        let World { handle, network, plugipay, .. } = &*self.world;
        let (fate, roll, held_ms, later_s) = {
            let mut network = locked(network);
            let fate = network.fate(Link::Notifications, handle.now());
            let random = network.random();
            (fate, random.below(4), random.pick(&[400_000, 2_700_000], 0), random.pick(&[30, 300, 1_800], 30))
        };
        if fate.conflict {
            self.world.line(&format!("notification {} is lost for good", notification.event_id));
            return;
        }
        if fate.refused {
            self.hand_over(&Letter::forged(&notification, roll, handle.now())).await;
        }
        let letter = Letter::genuine(&notification);
        if fate.busy {
            handle.sleep_ms(held_ms).await;
        }
        handle.sleep_ms(fate.request_ms).await;
        let taken = !fate.loses_request && self.hand_over(&letter).await;
        handle.sleep_ms(fate.answer_ms).await;
        if let Some(pause) = fate.again_after {
            handle.sleep_ms(pause).await;
            self.hand_over(&letter).await;
        }
        if !taken || fate.loses_answer {
            plugipay.sandbox.give_back(notification, Duration::from_secs(later_s));
            plugipay.news.raise();
        }
    }

    /// Delivers to a random host. Answers whether the host accepted it.
    async fn hand_over(&self, letter: &Letter) -> bool {
        let World { handle, network, .. } = &*self.world;
        let at = locked(network).random().index(self.hosts);
        let Some(host) = self.clients.host(at) else { return false };
        let (answerer, awaited) = answer();
        host.take_notification(letter.clone(), answerer);
        drop(host);
        handle.within(GIVE_UP_MS, awaited).await.flatten().unwrap_or(false)
    }
}
