//! The clock of the operating system.

use std::time::Duration;

use async_trait::async_trait;
use serront_core::ports::Clock;
use serront_core::primitives::time::Timestamp;

/// The operating system's clock; waits with tokio's timer, so it needs a tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        chrono::Utc::now().into()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_tells_the_present_time() {
        let before = std::time::SystemTime::now();
        let now = SystemClock.now();
        let millis = before.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        assert!(now >= Timestamp::from_millis(i64::try_from(millis).unwrap()));
    }
}
