//! The address by which a request is counted: the peer's, or the client's as named by a trusted proxy.
//!
//! Anyone can write any header. So only a trusted peer's header is read, from its right end, where the last proxy wrote. The
//! first address outside of the trusted networks is the client's; the client controls everything left of it. The peer's own
//! address is used if an address on that way can't be parsed, or if two headers disagree (a proxy writes one of them and passes
//! the client's other one on). Then several clients may be counted as one, but no client as two.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks whose `Forwarded` and `X-Forwarded-For` are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that names no networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be addresses or networks such as 10.0.0.0/8 and fd00::/8, separated by commas")]
pub struct NoNetworks;

impl TrustedProxies {
    /// Parses networks (`10.0.0.0/8`) and single addresses (`::1`), separated by commas. An empty text means no trusted proxies.
    ///
    /// # Errors
    /// [`NoNetworks`] if one of them is neither.
    pub fn parse(text: &str) -> Result<Self, NoNetworks> {
        let network = |text: &str| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| NoNetworks)
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|part| network(part.trim())).collect::<Result<_, _>>().map(Self)
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: the peer's, or the one that trusted proxies name.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        let forwarded = self.farthest(headers, header::FORWARDED, forwarded_nodes);
        let x_forwarded_for = self.farthest(headers, X_FORWARDED_FOR, listed_nodes);
        let named = match (forwarded, x_forwarded_for) {
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) if one == other => one,
            (Some(_), Some(_)) | (None, None) => None,
        };
        named.unwrap_or(peer)
    }

    /// The last address that is not trusted, or the first one if all are. `None` without such a header; `Some(None)` if an
    /// address on the way can't be parsed.
    fn farthest(
        &self,
        headers: &HeaderMap,
        name: HeaderName,
        nodes: fn(&str) -> Vec<Option<IpAddr>>,
    ) -> Option<Option<IpAddr>> {
        let lines = || headers.get_all(&name).iter();
        lines().next()?;
        let walk = || {
            let mut farthest = None;
            for line in lines().rev() {
                // Bytes outside of ASCII invalidate only their own element.
                for node in nodes(&String::from_utf8_lossy(line.as_bytes())) {
                    let address = node?;
                    if !self.contain(address) {
                        return Some(address);
                    }
                    farthest = Some(address);
                }
            }
            farthest
        };
        Some(walk())
    }
}

/// The unit of counting: an IPv4 address, or the /64 network that an IPv6 customer has at least.
pub(crate) fn counted(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// The elements of one `X-Forwarded-For`, the last one first.
fn listed_nodes(line: &str) -> Vec<Option<IpAddr>> {
    line.rsplit(',').map(|node| address(node.trim())).collect()
}

/// The `for` of each element of one `Forwarded` (RFC 7239), the last one first.
fn forwarded_nodes(line: &str) -> Vec<Option<IpAddr>> {
    let node = |element: &str| {
        let pairs = rsplit(element, ';');
        let mut named = pairs.iter().filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
        });
        let (Some(value), None) = (named.next(), named.next()) else { return None };
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        address(quoted.unwrap_or(value))
    };
    rsplit(line, ',').into_iter().map(node).collect()
}

/// Splits outside of quotes, from the right: what a proxy appended is well formed, even if the text before it is not. Addresses
/// need no escapes, so escaped quotes are not handled.
fn rsplit(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.rsplit(|character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
    .collect()
}

/// An address, with or without a port; IPv6 in brackets or bare.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|inside| inside.contains(':'));
    let parsed = bare.unwrap_or(node).parse::<IpAddr>();
    let address = parsed.or_else(|_| node.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let trusted = TrustedProxies::parse("10.0.0.0/8, 192.0.2.7, fd00::/8").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_despite_its_headers() {
        for lines in [&[][..], &[("x-forwarded-for", "203.0.113.1")], &[("forwarded", "for=203.0.113.1")]] {
            assert_eq!(client("198.51.100.1", lines), "198.51.100.1");
            assert_eq!(client("2001:db8::1", lines), "2001:db8::1");
            assert_eq!(client("192.0.2.8", lines), "192.0.2.8", "the neighbour of a trusted one");
        }
    }

    #[test]
    fn behind_trusted_proxies_the_client_is_the_last_address_that_is_not_trusted() {
        for (list, told) in [
            ("203.0.113.1", "203.0.113.1"),
            ("203.0.113.9, 203.0.113.1", "203.0.113.1"),
            ("203.0.113.9, 203.0.113.1, 10.1.2.3", "203.0.113.1"),
            ("203.0.113.1:4711, 192.0.2.7", "203.0.113.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443,fd00::2", "2001:db8::1"),
            ("::ffff:203.0.113.1", "203.0.113.1"),
            ("::ffff:10.0.0.1, 10.0.0.2", "10.0.0.1"),
            // The client's own part is not read.
            ("<script>, \", 203.0.113.1", "203.0.113.1"),
            ("caf\u{e9}, 203.0.113.1", "203.0.113.1"),
            // A client within the trusted networks.
            ("10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ] {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1", "192.0.2.7", "fd00::1"] {
                assert_eq!(client(peer, &[("x-forwarded-for", list)]), told, "{list}");
            }
        }
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "203.0.113.1, 10.1.1.1")];
        assert_eq!(client("10.0.0.1", &lines), "203.0.113.1");
        assert_eq!(client("10.0.0.1", &[lines[0], ("x-forwarded-for", "10.1.1.1")]), "203.0.113.9");
    }

    #[test]
    fn forwarded_says_the_same_in_its_own_words() {
        for (line, told) in [
            ("for=203.0.113.1", "203.0.113.1"),
            ("For=\"203.0.113.1:80\";proto=https;by=10.0.0.1", "203.0.113.1"),
            ("for=\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("for=203.0.113.9, proto=https; for=203.0.113.1 , for=10.2.2.2", "203.0.113.1"),
            ("for=\"a,for=203.0.113.9\", for=203.0.113.1", "203.0.113.1"),
            ("for=\", for=203.0.113.1", "203.0.113.1"),
            ("for=\"\\, for=\"[2001:db8::1]\", for=10.1.1.1", "2001:db8::1"),
            ("caf\u{e9};\", for=203.0.113.1;proto=https", "203.0.113.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[("forwarded", line)]), told, "{line}");
        }
        let lines = [("forwarded", "for=\""), ("forwarded", "for=203.0.113.1")];
        assert_eq!(client("10.0.0.1", &lines), "203.0.113.1");
    }

    #[test]
    fn an_unreadable_header_leaves_the_peer() {
        for (name, value) in [
            ("x-forwarded-for", ""),
            ("x-forwarded-for", "unknown"),
            ("x-forwarded-for", "203.0.113.1,"),
            ("x-forwarded-for", "203.0.113.1, unknown, 10.1.1.1"),
            ("x-forwarded-for", "203.0.113.256"),
            ("x-forwarded-for", "203.0.113.1:99999"),
            ("x-forwarded-for", "[203.0.113.1]"),
            ("forwarded", "for=unknown"),
            ("forwarded", "for=_hidden, for=10.1.1.1"),
            ("forwarded", "proto=https"),
            ("forwarded", "for=203.0.113.1;for=203.0.113.2"),
            ("forwarded", "for=\", for=10.1.1.1"),
            ("forwarded", "203.0.113.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[(name, value)]), "10.0.0.1", "{name}: {value}");
        }
    }

    #[test]
    fn two_headers_have_to_agree() {
        let both = |forwarded: &str, listed: &str| {
            client("10.0.0.1", &[("forwarded", forwarded), ("x-forwarded-for", listed)])
        };
        assert_eq!(both("for=203.0.113.1", "203.0.113.9, 203.0.113.1"), "203.0.113.1");
        assert_eq!(both("for=203.0.113.9", "203.0.113.1"), "10.0.0.1", "the client wrote one of them");
        assert_eq!(both("for=unknown", "203.0.113.1"), "10.0.0.1");
    }

    #[test]
    fn ipv6_clients_count_by_their_network() {
        let count = |address: &str| counted(address.parse().unwrap()).to_string();
        assert_eq!(count("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
        assert_eq!(count("203.0.113.1"), "203.0.113.1");
    }

    #[test]
    fn networks_are_read_or_refused() {
        for good in ["", " ", "10.0.0.0/8", "10.1.2.3/8,::1", " 127.0.0.1 , fd00::/8 ", "0.0.0.0/0"] {
            assert!(TrustedProxies::parse(good).is_ok(), "{good:?}");
        }
        for bad in [",", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/8;::1", "10.0.0.0/8,"] {
            assert_eq!(TrustedProxies::parse(bad), Err(NoNetworks), "{bad:?}");
        }
    }
}
