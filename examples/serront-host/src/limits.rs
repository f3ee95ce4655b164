//! Rate limits for requests without a key.
//!
//! There are three, each a bucket that refills evenly over a minute: one client address at one public route pattern; one order's
//! access token over all of its routes, from any address; and one client address that signs in. Successful sign-ins count too,
//! since checking the key has already cost the same work. Requests with a valid key and Plugipay's notifications are not counted.
//!
//! Memory is bounded by construction: a secret of this process hashes each client into one of [`CELLS`] cells. If there are more
//! clients than cells, some share a bucket and are slowed down together. Counts are not stored, so each host counts separately,
//! and a restart begins at zero.
//!
//! If an outer app does not provide the peer's address (`ConnectInfo`), only the order's limit applies. One bucket for all
//! clients would let any of them lock out the others.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::RequestExt as _;
use axum::extract::{ConnectInfo, MatchedPath, RawPathParams, Request};
use axum::http::Method;
use governor::clock::Clock as LimiterClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use serront_core::accounts::key::AccessToken;
use serront_core::ports::Clock;
use serront_core::primitives::time::Timestamp;

use crate::client_address::{TrustedProxies, counted};
use crate::problem::Problem;

/// Most buckets of each limit. 131,072 of them take some 7 MiB.
const CELLS: u32 = 1 << 17;
/// Requests of all clients for one order, as a multiple of one address's at one route. The order's page asks for news up to 30
/// times a minute, in several tabs, on a phone that changes its address, and the seller may open it too.
const ORDER_FACTOR: u32 = 4;
/// Sign-ins of one address, as a fraction of its requests at one route: people sign in once a day.
const SIGN_IN_DIVISOR: u32 = 6;

/// The figures of the rate limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute of one client address to one public route pattern; 0 for no limits. The other limits follow from it.
    pub public_per_minute: u32,
    /// The proxies whose headers name the client's address.
    pub trusted_proxies: TrustedProxies,
}

/// 120 a minute, and no trusted proxies.
impl Default for Limits {
    fn default() -> Self {
        Self { public_per_minute: 120, trusted_proxies: TrustedProxies::default() }
    }
}

type Buckets = RateLimiter<u32, HashMapStateStore<u32>, Elapsed, NoOpMiddleware<Nanos>>;

pub(crate) struct Limiter {
    trusted_proxies: TrustedProxies,
    clock: Elapsed,
    hashes: RandomState,
    /// `None` for no limits.
    buckets: Option<Kinds>,
}

struct Kinds {
    routes: Buckets,
    orders: Buckets,
    sign_ins: Buckets,
}

impl Limiter {
    pub(crate) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let clock = Elapsed::on(clock);
        let buckets = |per_minute| Buckets::hashmap_with_clock(Quota::per_minute(per_minute), clock.clone());
        let kinds = NonZeroU32::new(limits.public_per_minute).map(|public| Kinds {
            routes: buckets(public),
            orders: buckets(public.saturating_mul(NonZeroU32::MIN.saturating_add(ORDER_FACTOR - 1))),
            sign_ins: buckets(NonZeroU32::new(public.get() / SIGN_IN_DIVISOR).unwrap_or(NonZeroU32::MIN)),
        });
        Self { trusted_proxies: limits.trusted_proxies, clock, hashes: RandomState::new(), buckets: kinds }
    }

    /// Counts a request; `order` comes from [`order_of`].
    ///
    /// # Errors
    /// 429 with `Retry-After`.
    pub(crate) fn admit(&self, request: &Request, order: Option<&AccessToken>) -> Result<(), Problem> {
        let (Some(kinds), Some(route)) = (&self.buckets, request.extensions().get::<MatchedPath>()) else {
            return Ok(());
        };
        let path = request.uri().path();
        let client = self.client(request);
        if is_sign_in(request.method(), path) {
            client.map_or(Ok(()), |client| self.count(&kinds.sign_ins, client))
        } else if is_public(path) {
            // The address first, so that a client over its limit does not use up the order's.
            client.map_or(Ok(()), |client| self.count(&kinds.routes, (client, route.as_str())))?;
            order.map_or(Ok(()), |token| self.count(&kinds.orders, token.hash()))
        } else {
            Ok(())
        }
    }

    /// The address by which a client is counted, if it is known.
    pub(crate) fn client(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.map(|peer| counted(self.trusted_proxies.client(peer.0.ip(), request.headers())))
    }

    fn count(&self, buckets: &Buckets, key: impl Hash) -> Result<(), Problem> {
        let cell = u32::try_from(self.hashes.hash_one(key) % u64::from(CELLS)).unwrap_or_default();
        buckets.check_key(&cell).map_err(|until| {
            let pause = until.wait_time_from(self.clock.now());
            Problem::rate_limited(pause)
        })
    }
}

fn is_sign_in(method: &Method, path: &str) -> bool {
    method == Method::POST && matches!(path, "/dashboard/login" | "/operator/login")
}

fn is_public(path: &str) -> bool {
    ["/api/v1/public/", "/s/", "/o/"].iter().any(|beginning| path.starts_with(beginning))
}

/// The order's access token, parsed as the route parses it: in the raw path each character could be percent-encoded. A request
/// with an invalid token is counted by its address only.
pub(crate) async fn order_of(request: &mut Request) -> Option<AccessToken> {
    let parameters = request.extract_parts::<RawPathParams>().await.ok()?;
    // The last one: an app that nests this router may add one before it.
    parameters.iter().filter(|(name, _)| *name == "token").last().and_then(|(_, raw)| AccessToken::parse(raw))
}

/// The time since the host started. If the host's clock is set back, it stands still for a moment and then continues, so that no
/// client is locked out for as long as the clock was set back.
#[derive(Clone)]
struct Elapsed {
    clock: Arc<dyn Clock>,
    /// The clock's last time, and how much time had passed by then.
    passed: Arc<Mutex<(Timestamp, Duration)>>,
}

impl Elapsed {
    fn on(clock: Arc<dyn Clock>) -> Self {
        let passed = Arc::new(Mutex::new((clock.now(), Duration::ZERO)));
        Self { clock, passed }
    }
}

impl LimiterClock for Elapsed {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let now = self.clock.now();
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = u64::try_from(now.millis().saturating_sub(passed.0.millis())).unwrap_or_default();
        *passed = (now, passed.1.saturating_add(Duration::from_millis(millis)));
        Nanos::from(passed.1)
    }
}

#[cfg(test)]
mod tests {
    use serront_testkit::memory::ManualClock;

    use super::*;

    #[test]
    fn time_stands_still_while_a_clock_is_set_back() {
        let clock = Arc::new(ManualClock::default());
        let elapsed = Elapsed::on(clock.clone());
        let passed = || elapsed.now().as_u64() / 1_000_000;
        clock.advance(Duration::from_millis(5));
        assert_eq!(passed(), 5);
        clock.set(Timestamp::from_millis(clock.now().millis() - 3_600_000));
        assert_eq!(passed(), 5);
        clock.advance(Duration::from_millis(2));
        assert_eq!(passed(), 7);
    }

    #[test]
    fn only_requests_without_a_key_are_counted() {
        for path in ["/api/v1/public/orders/x/pay", "/api/v1/public/storefront/a", "/s/a", "/o/x", "/o/x/claim"] {
            assert!(is_public(path), "{path}");
        }
        for path in ["/", "/api/v1/orders/x", "/api/v1/webhooks/plugipay", "/healthz", "/assets/1/app.js", "/dashboard"]
        {
            assert!(!is_public(path) && !is_sign_in(&Method::POST, path), "{path}");
        }
        assert!(is_sign_in(&Method::POST, "/operator/login") && !is_sign_in(&Method::GET, "/operator/login"));
    }

    #[test]
    fn memory_is_bounded_however_many_clients_there_are() {
        let limiter = Limiter::new(Limits::default(), Arc::new(ManualClock::default()));
        let kinds = limiter.buckets.as_ref().unwrap();
        for client in 0..3 * CELLS {
            let _ = limiter.count(&kinds.routes, client);
        }
        assert!(kinds.routes.len() <= CELLS as usize && kinds.routes.len() > CELLS as usize / 2);
    }
}
