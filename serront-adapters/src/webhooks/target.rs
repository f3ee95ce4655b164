//! The addresses that may be posted to. Pure: it resolves no names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serront_core::ports::TargetRefused;
use url::{Host, Url};

pub(super) const NOT_PUBLIC: TargetRefused = TargetRefused("must lead to public addresses only");
pub(super) const UNRESOLVED: TargetRefused = TargetRefused("must have a name that resolves");
const NO_URL: TargetRefused = TargetRefused("must be a URL with a host");
const NO_HTTPS: TargetRefused = TargetRefused("must begin with https://");
const NO_HTTP: TargetRefused = TargetRefused("must begin with https:// or http://");
const USERINFO: TargetRefused = TargetRefused("must not hold a user name or password");

/// The targets that the sink posts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// Public addresses, over https.
    Public,
    /// Also this machine, and also over http. For development only.
    Development,
}

/// The reach of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Routed on the internet.
    Public,
    /// This machine.
    Loopback,
    /// All others, including private networks and cloud metadata services: never a seller's system.
    Special,
}

/// IPv4 addresses that are not public: network, prefix length, reach (IANA's special-purpose registry, and one cloud's
/// address).
const SPECIAL_V4: [(Ipv4Addr, u32, Reach); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, Reach::Special),          // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8, Reach::Special),         // private
    (Ipv4Addr::new(100, 64, 0, 0), 10, Reach::Special),      // shared by carriers
    (Ipv4Addr::new(127, 0, 0, 0), 8, Reach::Loopback),       // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32, Reach::Special),   // a public address that Azure answers on every machine
    (Ipv4Addr::new(169, 254, 0, 0), 16, Reach::Special),     // link-local
    (Ipv4Addr::new(172, 16, 0, 0), 12, Reach::Special),      // private
    (Ipv4Addr::new(192, 0, 0, 0), 24, Reach::Special),       // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24, Reach::Special),       // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reach::Special),     // 6to4 relays, withdrawn
    (Ipv4Addr::new(192, 168, 0, 0), 16, Reach::Special),     // private
    (Ipv4Addr::new(198, 18, 0, 0), 15, Reach::Special),      // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reach::Special),    // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reach::Special),     // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4, Reach::Special),        // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4, Reach::Special),        // reserved
    (Ipv4Addr::new(255, 255, 255, 255), 32, Reach::Special), // broadcast
];

/// Addresses in 2000::/3, the only part of IPv6 that is routed on the internet, that are not public. Outside of it are
/// loopback, unique local, link-local, site-local, multicast, discard and every reserved range.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, with Teredo and benchmarking
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: withdrawn, and wraps any IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const MAPPED: (Ipv6Addr, u32) = (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

fn in_v4(address: Ipv4Addr, network: Ipv4Addr, prefix: u32) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= prefix
}

fn in_v6(address: Ipv6Addr, (network, prefix): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= prefix
}

/// The reach of this address.
///
/// An IPv4 address in an IPv6 one (mapped, or with NAT64's well-known prefix) has its own reach, because a public IPv4
/// receiver looks like this on a network with IPv6 only.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    SPECIAL_V4
        .into_iter()
        .find(|(network, prefix, _)| in_v4(address, *network, *prefix))
        .map_or(Reach::Public, |(_, _, reach)| reach)
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if in_v6(address, MAPPED) || in_v6(address, NAT64) {
        let [.., a, b, c, d] = address.octets();
        return reach_v4(Ipv4Addr::new(a, b, c, d));
    }
    if address.is_loopback() {
        return Reach::Loopback;
    }
    let public = in_v6(address, GLOBAL_UNICAST) && !SPECIAL_V6.into_iter().any(|network| in_v6(address, network));
    if public { Reach::Public } else { Reach::Special }
}

impl Targets {
    /// Whether a connection to this address is allowed.
    #[must_use]
    pub fn allow(self, address: IpAddr) -> bool {
        match (self, reach(address)) {
            (_, Reach::Public) | (Self::Development, Reach::Loopback) => true,
            (Self::Public, Reach::Loopback) | (_, Reach::Special) => false,
        }
    }

    /// Checks the syntax of a target, and its address if it has one instead of a name. The HTTP client uses the same
    /// parser, so both see the same host: `0x7f.1`, `2130706433` and `127.0.0.1.` are all 127.0.0.1.
    pub(super) fn parse(self, text: &str) -> Result<Url, TargetRefused> {
        let url = Url::parse(text).map_err(|_| NO_URL)?;
        match (self, url.scheme()) {
            (_, "https") | (Self::Development, "http") => {}
            (Self::Public, _) => return Err(NO_HTTPS),
            (Self::Development, _) => return Err(NO_HTTP),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(USERINFO);
        }
        let address = match url.host().ok_or(NO_URL)? {
            // A final dot makes a name absolute; dots alone are not a name.
            Host::Domain(name) if name.trim_end_matches('.').is_empty() => return Err(NO_URL),
            Host::Domain(_) => return Ok(url),
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
        };
        if self.allow(address) { Ok(url) } else { Err(NOT_PUBLIC) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_reach_as_far_as_the_registries_say() {
        use Reach::{Loopback, Public, Special};
        let rows = [
            (Public, "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0"),
            (Public, "169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255"),
            (Public, "192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 203.0.114.0 223.255.255.255 191.255.255.255"),
            (Public, "2606:4700:4700::1111 2a00:1450:4001::1 2400:cb00::1 2001:200::1 2001:4860:4860::8888 2003::1"),
            (Public, "::ffff:8.8.8.8 64:ff9b::8.8.8.8 3ffe:ffff::1 3fff:1000::1"),
            (Loopback, "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1"),
            (Special, "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.1"),
            (Special, "fc00::1 fd12:3456::1 fdff:ffff::1 ::ffff:10.1.2.3 64:ff9b::c0a8:101"),
            (
                Special,
                "0.0.0.0 0.255.255.255 100.64.0.0 100.127.255.255 169.254.169.254 192.0.0.1 192.0.0.170 192.0.2.1",
            ),
            (Special, "192.88.99.1 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255"),
            (Special, "240.0.0.1 255.255.255.254 255.255.255.255"),
            (Special, ":: ::7f00:1 ::8.8.8.8 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::169.254.169.254"),
            (
                Special,
                "64:ff9b:1::1 64:ff9b:1::8.8.8.8 64:ff9b:0:1::1 100::1 100:0:0:1::1 2001::1 2001:2::1 2001:10::1",
            ),
            (Special, "2001:db8::1 2002:7f00:1::1 2002:808:808::1 3fff::1 3fff:fff::1 5f00::1 fe80::1 febf::1 fec0::1"),
            (Special, "feff::1 ff02::1 ff0e::1 4000::1 8000::1 fe00::1 fbff::1"),
        ];
        for (expected, addresses) in rows {
            for address in addresses.split(' ') {
                assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn targets_have_one_form() {
        let check = |targets: Targets, url: &str| targets.parse(url).map(|_| ());
        let rows = [
            ("https://shop.example/hooks?token=1", Ok(()), Ok(())),
            ("https://shop.example./hooks", Ok(()), Ok(())),
            ("https://shop.example:8443/", Ok(()), Ok(())),
            ("HTTPS://SHOP.EXAMPLE", Ok(()), Ok(())),
            ("https://1.1.1.1/", Ok(()), Ok(())),
            ("https://[2606:4700:4700::1111]/", Ok(()), Ok(())),
            ("http://shop.example/", Err(NO_HTTPS), Ok(())),
            ("http://127.0.0.1:8080/", Err(NO_HTTPS), Ok(())),
            ("https://127.0.0.1/", Err(NOT_PUBLIC), Ok(())),
            ("https://127.0.0.1./", Err(NOT_PUBLIC), Ok(())),
            ("https://2130706433/", Err(NOT_PUBLIC), Ok(())),
            ("https://0x7f.1/", Err(NOT_PUBLIC), Ok(())),
            ("https://0177.0.0.1/", Err(NOT_PUBLIC), Ok(())),
            ("https://127.1/", Err(NOT_PUBLIC), Ok(())),
            ("https://１２７.0.0.1/", Err(NOT_PUBLIC), Ok(())),
            ("https://[::1]/", Err(NOT_PUBLIC), Ok(())),
            ("https://[::ffff:127.0.0.1]/", Err(NOT_PUBLIC), Ok(())),
            ("https://192.168.1.1/", Err(NOT_PUBLIC), Err(NOT_PUBLIC)),
            ("https://169.254.169.254/latest", Err(NOT_PUBLIC), Err(NOT_PUBLIC)),
            ("https://[::ffff:a9fe:a9fe]/", Err(NOT_PUBLIC), Err(NOT_PUBLIC)),
            ("https://0/", Err(NOT_PUBLIC), Err(NOT_PUBLIC)),
            ("https://user@shop.example/", Err(USERINFO), Err(USERINFO)),
            ("https://user:pass@shop.example/", Err(USERINFO), Err(USERINFO)),
            ("https://:pass@shop.example/", Err(USERINFO), Err(USERINFO)),
            ("ftp://shop.example/", Err(NO_HTTPS), Err(NO_HTTP)),
            ("file:///etc/passwd", Err(NO_HTTPS), Err(NO_HTTP)),
            ("https://", Err(NO_URL), Err(NO_URL)),
            ("https://./", Err(NO_URL), Err(NO_URL)),
            ("https://../", Err(NO_URL), Err(NO_URL)),
            ("shop.example", Err(NO_URL), Err(NO_URL)),
            ("https://1.2.3.256/", Err(NO_URL), Err(NO_URL)),
            ("", Err(NO_URL), Err(NO_URL)),
        ];
        for (url, public, development) in rows {
            assert_eq!(check(Targets::Public, url), public, "public: {url}");
            assert_eq!(check(Targets::Development, url), development, "development: {url}");
        }
    }
}
