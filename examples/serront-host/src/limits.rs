//! Rate limits: how often one client may ask what needs no key.
//!
//! Three of them, each a bucket that fills evenly over a minute: one client address at one public route pattern; one order's
//! access token over all of its routes, from whatever addresses; and one client address signing in, where successes count as
//! well, since whether a key opens something is known too late to have cost nothing. What carries a valid key and
//! Plugipay's notifications are never counted.
//!
//! Counting takes bounded memory by construction: a key is hashed, under a secret of this process, into one of [`CELLS`]
//! cells, and is counted there. With more clients than cells some share a bucket: they are slowed down together, and nothing
//! grows. Nothing is written down, so each host counts for itself, and a restart begins anew.
//!
//! A router nested in an app that does not tell the peer (`ConnectInfo`) has nobody's address to count by: there only the
//! order's limit holds. One bucket for everybody would let anybody lock all others out.

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
use serront_core::key::AccessToken;
use serront_core::ports::Clock;
use serront_core::time::Timestamp;

use crate::client_address::{TrustedProxies, counted};
use crate::problem::Problem;

/// How many buckets each limit has at most. 131,072 of them take some 7 MiB.
const CELLS: u32 = 1 << 17;
/// How many times as often as one address may ask one route, one order's routes may be asked in all: its page asks for news
/// up to 30 times a minute, in several tabs, on a telephone that changes its address, and the seller looks at it too.
const ORDER_FACTOR: u32 = 4;
/// How many times more rarely one address may sign in: people do that once a day.
const SIGN_IN_DIVISOR: u32 = 6;

/// The figures of the rate limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute of one client address to one public route pattern; 0: no limits. The other limits follow from it.
    pub public_per_minute: u32,
    /// Whose word on the client's address is believed.
    pub trusted_proxies: TrustedProxies,
}

/// 120 a minute, and nobody is trusted.
impl Default for Limits {
    fn default() -> Self {
        Self { public_per_minute: 120, trusted_proxies: TrustedProxies::default() }
    }
}

type Buckets = RateLimiter<u32, HashMapStateStore<u32>, Elapsed, NoOpMiddleware<Nanos>>;

/// Counts.
pub(crate) struct Limiter {
    trusted_proxies: TrustedProxies,
    clock: Elapsed,
    hashes: RandomState,
    /// `None`: nothing is limited.
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

    /// Counts a request, of which `order` is what [`order_of`] says.
    ///
    /// # Errors
    /// 429 with when to come again.
    pub(crate) fn admit(&self, request: &Request, order: Option<&AccessToken>) -> Result<(), Problem> {
        let (Some(kinds), Some(route)) = (&self.buckets, request.extensions().get::<MatchedPath>()) else {
            return Ok(());
        };
        let path = request.uri().path();
        let client = self.client(request);
        if is_sign_in(request.method(), path) {
            client.map_or(Ok(()), |client| self.count(&kinds.sign_ins, client))
        } else if is_public(path) {
            // The address first: who asks too often does not use up what the order's others have.
            client.map_or(Ok(()), |client| self.count(&kinds.routes, (client, route.as_str())))?;
            order.map_or(Ok(()), |token| self.count(&kinds.orders, token.hash()))
        } else {
            Ok(())
        }
    }

    /// The address that a client is counted by, if anybody tells it.
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

/// The order's access token in the path, as its route reads it: in the path as it was sent, each digit can be written in two
/// ways. What is no token opens nothing, and its address is all that is counted.
pub(crate) async fn order_of(request: &mut Request) -> Option<AccessToken> {
    let parameters = request.extract_parts::<RawPathParams>().await.ok()?;
    // The last one: an app that nests this router may have one of its own before it.
    parameters.iter().filter(|(name, _)| *name == "token").last().and_then(|(_, raw)| AccessToken::parse(raw))
}

/// The time since the host began, by the host's clock, which may be set back: then it stands until the clock goes on, so
/// that nobody is locked out for as long as it was set back.
#[derive(Clone)]
struct Elapsed {
    clock: Arc<dyn Clock>,
    /// When the clock was last asked, and how much time had passed then.
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
    fn a_clock_that_is_set_back_stands_until_it_goes_on() {
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
    fn what_needs_no_key_is_counted_and_nothing_else() {
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
