//! Which addresses webhooks are posted to: whole ranges at their edges, and every spelling of an address.
#![cfg(feature = "webhooks")]
// Helpers outside of `#[test]` functions, which clippy.toml does not reach.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use proptest::prelude::*;
use serront_adapters::webhooks::{HttpSink, Reach, Resolve, Targets, reach};
use serront_core::ports::Sink;
use tokio::runtime::{Builder, Runtime};

/// Addresses that must never be posted to, from the registries: IANA's special-purpose and multicast addresses,
/// unassigned ones, and those that contain an IPv4 address. One per line, to compare them with the registries.
const SPECIAL_V4: [&str; 18] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "233.252.0.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

const SPECIAL_V6: [&str; 35] = [
    "::/128",
    "::1/128",
    "::/96",
    "::/8",
    "64:ff9b:1::/48",
    "100::/8",
    "100::/64",
    "100:0:0:1::/64",
    "200::/7",
    "400::/6",
    "800::/5",
    "1000::/4",
    "2001::/32",
    "2001::/23",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/3",
    "5f00::/16",
    "6000::/3",
    "8000::/3",
    "a000::/3",
    "c000::/3",
    "e000::/4",
    "f000::/5",
    "f800::/6",
    "fc00::/7",
    "fe00::/9",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// The first and the last address of each range.
fn ranges_v4() -> impl Iterator<Item = (u32, u32)> {
    SPECIAL_V4.into_iter().map(|range| {
        let (network, prefix) = range.split_once('/').unwrap();
        let first = network.parse::<Ipv4Addr>().unwrap().to_bits();
        (first, first | u32::MAX.checked_shr(prefix.parse().unwrap()).unwrap_or(0))
    })
}

fn ranges_v6() -> impl Iterator<Item = (u128, u128)> {
    SPECIAL_V6.into_iter().map(|range| {
        let (network, prefix) = range.split_once('/').unwrap();
        let first = network.parse::<Ipv6Addr>().unwrap().to_bits();
        (first, first | u128::MAX.checked_shr(prefix.parse().unwrap()).unwrap_or(0))
    })
}

/// 64:ff9b::/96 and ::ffff:0:0/96 reach as far as the IPv4 address in them.
const WRAPPING: [u128; 2] = [0x64_ff9b << 96, 0xffff << 32];

fn wrapped(bits: u128) -> Option<Ipv4Addr> {
    WRAPPING.into_iter().find(|network| bits >> 32 == network >> 32).map(|_| {
        let [.., a, b, c, d] = bits.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    })
}

fn is_special(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr| ranges_v4().any(|(first, last)| (first..=last).contains(&address.to_bits()));
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => match wrapped(address.to_bits()) {
            Some(inner) => v4(inner),
            None => ranges_v6().any(|(first, last)| (first..=last).contains(&address.to_bits())),
        },
    }
}

#[test]
fn every_range_ends_where_the_registries_say() {
    let check = |address: IpAddr| {
        assert_eq!(reach(address) != Reach::Public, is_special(address), "{address}");
    };
    for (first, last) in ranges_v4() {
        for bits in
            [first, first.wrapping_add(1), last.wrapping_sub(1), last, first.wrapping_sub(1), last.wrapping_add(1)]
        {
            check(Ipv4Addr::from_bits(bits).into());
            for network in WRAPPING {
                check(Ipv6Addr::from_bits(network | u128::from(bits)).into());
            }
        }
    }
    for (first, last) in ranges_v6() {
        for bits in
            [first, first.wrapping_add(1), last.wrapping_sub(1), last, first.wrapping_sub(1), last.wrapping_add(1)]
        {
            check(Ipv6Addr::from_bits(bits).into());
        }
    }
    for network in WRAPPING {
        let (before, after) = (network - 1, (network | u128::from(u32::MAX)) + 1);
        assert_eq!(reach(Ipv6Addr::from_bits(before).into()), Reach::Special);
        assert_eq!(reach(Ipv6Addr::from_bits(after).into()), Reach::Special);
    }
}

/// Every name is at a public address, so what is refused was refused for what it is itself.
struct Anywhere;

#[async_trait]
impl Resolve for Anywhere {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![Ipv4Addr::new(1, 1, 1, 1).into()])
    }
}

static SINK: LazyLock<HttpSink> =
    LazyLock::new(|| HttpSink::builder(Targets::Public).resolver(Arc::new(Anywhere)).build().unwrap());
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

fn accepted(host: &str) -> bool {
    RUNTIME.block_on(SINK.check_target(&format!("https://{host}/hook"))).is_ok()
}

/// The spellings of an IPv4 address that a URL may hold.
fn spellings_v4(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let bits = address.to_bits();
    let (low_two, low_three) = (bits & 0xffff, bits & 0xff_ffff);
    let dotted = address.to_string();
    let mut spellings = vec![
        format!("{bits}"),
        format!("{bits:#x}"),
        format!("0X{bits:X}"),
        format!("{bits:#014x}"),
        format!("0{bits:o}"),
        format!("000{bits:o}"),
        format!("{a}.{low_three}"),
        format!("{a}.{b}.{low_two}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.{b}.{c:#x}.{d}"),
        format!("{a:#x}.{low_three:#x}"),
        dotted.replace('.', "。"),
        dotted.replace('.', "．"),
        dotted.replace('.', "%2e"),
        dotted
            .chars()
            .map(|digit| if digit == '.' { digit } else { char::from_u32(u32::from(digit) + 0xfee0).unwrap() })
            .collect(),
        dotted.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        dotted.clone(),
    ];
    let with_dot: Vec<_> = spellings.iter().map(|spelling| format!("{spelling}.")).collect();
    spellings.extend(with_dot);
    // What the client reads as a slash, or does not read at all, ends no host early.
    spellings.push(format!("{dotted}:443"));
    spellings.push(format!("{dotted}\\@shop.example"));
    spellings.push(format!("\t{dotted}\n"));
    spellings
}

/// The IPv6 addresses that hold this IPv4 address and lead to it.
fn wrappings(address: Ipv4Addr) -> [Ipv6Addr; 2] {
    WRAPPING.map(|network| Ipv6Addr::from_bits(network | u128::from(address.to_bits())))
}

/// Addresses that contain this one and are always refused: compatible, translated, local NAT64, 6to4, and Teredo as
/// server and client.
fn retired_wrappings(address: Ipv4Addr) -> [Ipv6Addr; 6] {
    let bits = u128::from(address.to_bits());
    [
        bits,
        (0xffff << 48) | bits,
        (0x64_ff9b_0001 << 80) | bits,
        (0x2002 << 112) | (bits << 80) | 1,
        (0x2001_0000 << 96) | (bits << 64) | 1,
        (0x2001_0000 << 96) | (0x0101_0101 << 64) | u128::from(!address.to_bits()),
    ]
    .map(Ipv6Addr::from_bits)
}

fn spellings_v6(address: Ipv6Addr) -> Vec<String> {
    let segments = address.segments().map(|segment| format!("{segment:04x}")).join(":");
    let shown = address.to_string();
    let mut spellings =
        vec![format!("[{segments}]"), format!("[{}]", segments.to_uppercase()), format!("[{shown}]:8443")];
    if let Some(inner) = wrapped(address.to_bits()) {
        spellings.push(format!("[{}{inner}]", if address.to_bits() >> 96 == 0 { "::ffff:" } else { "64:ff9b::" }));
    }
    spellings
}

fn special_v4() -> impl Strategy<Value = Ipv4Addr> {
    let ranges: Vec<_> = ranges_v4().collect();
    proptest::sample::select(ranges).prop_flat_map(|(first, last)| first..=last).prop_map(Ipv4Addr::from_bits)
}

fn special_v6() -> impl Strategy<Value = Ipv6Addr> {
    let ranges: Vec<_> = ranges_v6().collect();
    proptest::sample::select(ranges)
        .prop_flat_map(|(first, last)| first..=last)
        .prop_map(Ipv6Addr::from_bits)
        .prop_filter("does not contain an IPv4 address", |address| wrapped(address.to_bits()).is_none())
}

proptest! {
    #[test]
    fn no_address_in_a_special_range_passes_in_whatever_spelling(address in special_v4()) {
        for spelling in spellings_v4(address) {
            prop_assert!(!accepted(&spelling), "{spelling:?} is {address}");
        }
        for wrapped in wrappings(address).into_iter().chain(retired_wrappings(address)) {
            for spelling in spellings_v6(wrapped) {
                prop_assert!(!accepted(&spelling), "{spelling} holds {address}");
            }
        }
    }

    #[test]
    fn no_special_ipv6_address_passes_in_whatever_spelling(address in special_v6()) {
        for spelling in spellings_v6(address) {
            prop_assert!(!accepted(&spelling), "{spelling}");
        }
    }

    #[test]
    fn public_addresses_pass_in_every_spelling(bits in any::<u32>(), suffix in any::<u128>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        if !is_special(v4.into()) {
            for spelling in spellings_v4(v4) {
                prop_assert!(accepted(&spelling), "{spelling:?} is {v4}");
            }
            for spelling in wrappings(v4).into_iter().flat_map(spellings_v6) {
                prop_assert!(accepted(&spelling), "{spelling} holds {v4}");
            }
            for retired in retired_wrappings(v4) {
                prop_assert!(!accepted(&format!("[{retired}]")), "{retired} holds {v4}");
            }
        }
        // Somewhere in 2400::/6, which the registries of the regions have been given.
        let v6 = Ipv6Addr::from_bits((0x24 << 120) | (suffix >> 6));
        for spelling in spellings_v6(v6) {
            prop_assert!(accepted(&spelling), "{spelling}");
        }
    }

    /// The check and the connection see the same host, since one parser reads the address for both; here another's idea of it.
    #[test]
    fn whatever_is_accepted_is_https_without_a_user(url in "(https?|ftp|HTTPS)://([a-z]{1,5}(:[a-z]{0,3})?@)?[a-z0-9.\\[\\]:%\\\\/@-]{1,20}") {
        if RUNTIME.block_on(SINK.check_target(&url)).is_ok() {
            prop_assert!(url.to_ascii_lowercase().starts_with("https://"), "{url}");
            let authority = url.split(['/', '\\', '?', '#']).nth(2).unwrap_or_default();
            // An empty user name is none.
            prop_assert!(authority.rsplit_once('@').is_none_or(|(user, _)| user.chars().all(|c| c == ':' || c == '@')), "{url}");
        }
    }
}

#[test]
fn what_is_no_host_is_refused() {
    for host in [
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[::1%25lo]",
        "[127.0.0.1]",
        "[shop.example]",
        "[::1",
        "::1",
        "1.2.3.4.5",
        "256.1.1.1",
        "0x100000000",
        "1.2.3.0400",
        "127.0.0.1%00.shop.example",
        "shop.example%2f@127.0.0.1",
        "user@shop.example",
        "shop.example:70000",
        "shop .example",
        ".",
        "..",
    ] {
        assert!(!accepted(host), "{host:?}");
    }
    for host in [
        "shop.example",
        "shop.example.",
        "shop.example:8443",
        "bücher.example",
        "xn--bcher-kva.example",
        "SHOP.example",
    ] {
        assert!(accepted(host), "{host:?}");
    }
}
