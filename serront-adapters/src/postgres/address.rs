//! Parses the address of one or several PostgreSQL servers, in libpq's syntax.
//!
//! ```text
//! postgres://user:password@one:5432,two:5433/database?target_session_attrs=read-write
//! postgres:///database?host=one,two&port=5432,5433
//! ```
//!
//! The driver accepts one host in an address, so each host gets its own address, which is otherwise the same.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use serront_core::ports::PortError;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// Which of several servers is wanted (`target_session_attrs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetSession {
    /// The first one that answers.
    Any,
    /// The first one that answers and accepts writes.
    ReadWrite,
}

/// A parsed address.
#[derive(Debug)]
pub(super) struct Address {
    /// At least one, in the order in which they are tried.
    pub(super) servers: Vec<PgConnectOptions>,
    pub(super) target: TargetSession,
    /// Time limit of connecting to one server.
    pub(super) connect_time_max: Option<Duration>,
}

/// Hosts and their ports, as the address writes them.
type Hosts = Vec<(String, Option<String>)>;

fn refused(what: &'static str) -> PortError {
    PortError::permanent(what)
}

const NO_ADDRESS: &str = "not an address of a PostgreSQL server";

/// Splits `user:password@one:1,two:2` before the path into the part up to `@` and the hosts.
fn authority(authority: &str) -> Result<(&str, Hosts), PortError> {
    let (user, hosts) = match authority.rfind('@') {
        Some(at) => authority.split_at_checked(at + 1).ok_or_else(|| refused(NO_ADDRESS))?,
        None => ("", authority),
    };
    let hosts = hosts
        .split(',')
        .map(|host| {
            // An IPv6 address has colons in its brackets.
            let name_ends = host.rfind(']').unwrap_or(0);
            match host.rfind(':').filter(|colon| *colon >= name_ends).and_then(|colon| host.split_at_checked(colon)) {
                Some((name, port)) => (name.to_owned(), Some(port.trim_start_matches(':').to_owned())),
                None => (host.to_owned(), None),
            }
        })
        .map(|(name, port)| (name, port.filter(|port| !port.is_empty())))
        .collect();
    Ok((user, hosts))
}

/// Separates this library's parameters from the driver's.
#[derive(Default)]
struct Parameters {
    others: Vec<(String, String)>,
    hosts: Option<Vec<String>>,
    ports: Option<Vec<String>>,
    target: Option<TargetSession>,
    connect_time_max: Option<Duration>,
}

fn parameters(url: &Url) -> Result<Parameters, PortError> {
    let list = |value: &str| Some(value.split(',').map(str::to_owned).collect());
    let mut parameters = Parameters::default();
    for (name, value) in url.query_pairs() {
        match &*name {
            "host" | "hostaddr" => parameters.hosts = list(&value),
            "port" => parameters.ports = list(&value),
            "target_session_attrs" => {
                parameters.target = Some(match &*value {
                    "any" => TargetSession::Any,
                    "read-write" | "primary" => TargetSession::ReadWrite,
                    _ => return Err(refused("target_session_attrs has to be any, read-write or primary")),
                });
            }
            "connect_timeout" => {
                let seconds: i64 =
                    value.parse().map_err(|_| refused("connect_timeout has to be a number of seconds"))?;
                // As in libpq, 0 or less is no limit.
                let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
                parameters.connect_time_max = seconds.map(Duration::from_secs);
            }
            _ => parameters.others.push((name.into_owned(), value.into_owned())),
        }
    }
    Ok(parameters)
}

/// Parses an address. Errors do not repeat its text, which may have a password.
pub(super) fn read(address: &str) -> Result<Address, PortError> {
    let no_address = || refused(NO_ADDRESS);
    let (scheme, rest) = address.split_once("://").ok_or_else(no_address)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(no_address());
    }
    let ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (before, after) = rest.split_at_checked(ends).ok_or_else(no_address)?;
    let (user, mut hosts) = authority(before)?;
    // With a placeholder host, which each server's host replaces.
    let mut plain = Url::parse(&format!("{scheme}://{user}localhost{after}")).map_err(|_| no_address())?;
    let parameters = parameters(&plain)?;
    plain.set_query(None);
    if !parameters.others.is_empty() {
        plain.query_pairs_mut().extend_pairs(&parameters.others);
    }
    if let Some(names) = parameters.hosts {
        hosts = names.into_iter().map(|name| (name, None)).collect();
    }
    if let Some(ports) = parameters.ports {
        let every = match <[String; 1]>::try_from(ports) {
            Ok([port]) => vec![port; hosts.len()],
            Err(ports) => ports,
        };
        if every.len() != hosts.len() {
            return Err(refused("an address has one port for all of its hosts, or one for each"));
        }
        for ((_, port), given) in hosts.iter_mut().zip(every) {
            *port = Some(given).filter(|port| !port.is_empty());
        }
    }
    let mut servers = Vec::with_capacity(hosts.len());
    for (name, port) in hosts {
        let name = percent_decode_str(&name).decode_utf8().map_err(|_| no_address())?;
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let mut url = plain.clone();
        if name.is_empty() {
            url.query_pairs_mut().append_pair("host", PgConnectOptions::new_without_pgpass().get_host());
        } else {
            url.query_pairs_mut().append_pair("host", name);
        }
        if let Some(port) = port {
            url.query_pairs_mut().append_pair("port", &port);
        }
        servers.push(PgConnectOptions::from_url(&url).map_err(|_| no_address())?);
    }
    // A single server is accepted in any state. Of several, the storage needs one that accepts writes.
    let target = if servers.len() > 1 { TargetSession::ReadWrite } else { TargetSession::Any };
    Ok(Address { servers, target: parameters.target.unwrap_or(target), connect_time_max: parameters.connect_time_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(address: &str) -> Vec<(String, u16)> {
        let read = read(address).unwrap();
        read.servers.iter().map(|server| (server.get_host().to_owned(), server.get_port())).collect()
    }

    /// #16: several hosts, as libpq writes them.
    #[test]
    fn an_address_names_one_server_or_several() {
        let rows: [(&str, &[(&str, u16)]); 8] = [
            ("postgres://u:p@one:5433/db", &[("one", 5433)]),
            ("postgres://u:p@one:5433,two:5434/db?target_session_attrs=read-write", &[("one", 5433), ("two", 5434)]),
            ("postgresql://u@one:1,[::1]:2,10.0.0.3:3/db", &[("one", 1), ("::1", 2), ("10.0.0.3", 3)]),
            ("postgres:///db?host=one,two&port=1,2", &[("one", 1), ("two", 2)]),
            ("postgres:///db?host=one,two&port=7", &[("one", 7), ("two", 7)]),
            ("postgres://u:a,b@c@one:1/db", &[("one", 1)]),
            ("postgres://one:1?sslmode=disable", &[("one", 1)]),
            ("postgres://u@/db?hostaddr=10.0.0.1&port=9", &[("10.0.0.1", 9)]),
        ];
        for (address, expected) in rows {
            let expected: Vec<_> = expected.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
            assert_eq!(servers(address), expected, "{address}");
        }
    }

    #[test]
    fn whatever_else_the_address_says_is_said_of_each_server() {
        let address = "postgres://me:p%40ss,word@one:1,%2Frun%2Fpg:2/the%20db?sslmode=require&options[work_mem]=8MB";
        let read = read(address).unwrap();
        for server in &read.servers {
            assert_eq!((server.get_username(), server.get_database()), ("me", Some("the db")));
            assert_eq!(server.get_options(), Some("-c work_mem=8MB"));
            assert!(matches!(server.get_ssl_mode(), sqlx::postgres::PgSslMode::Require));
        }
        assert_eq!(read.servers[0].get_socket(), None);
        assert_eq!(read.servers[1].get_socket().unwrap(), std::path::Path::new("/run/pg"));
        assert_eq!(read.servers[0].to_url_lossy().password(), Some("p%40ss%2Cword"));
    }

    #[test]
    fn the_wanted_server_and_the_time_to_connect_are_read() {
        let rows = [
            ("postgres://one/db", TargetSession::Any, None),
            ("postgres://one,two/db", TargetSession::ReadWrite, None),
            ("postgres://one,two/db?target_session_attrs=any", TargetSession::Any, None),
            ("postgres://one/db?target_session_attrs=primary&connect_timeout=7", TargetSession::ReadWrite, Some(7)),
            ("postgres://one/db?target_session_attrs=read-write&connect_timeout=0", TargetSession::ReadWrite, None),
        ];
        for (address, target, seconds) in rows {
            let read = read(address).unwrap();
            assert_eq!((read.target, read.connect_time_max), (target, seconds.map(Duration::from_secs)), "{address}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for address in [
            "",
            "one",
            "mysql://u:hunter2@one/db",
            "postgres://u:hunter2@one:port/db",
            "postgres://u:hunter2@one:1,two:2/db?port=1,2,3",
            "postgres://u:hunter2@one/db?target_session_attrs=standby",
            "postgres://u:hunter2@one/db?target_session_attrs=prefer-standby",
            "postgres://u:hunter2@one/db?connect_timeout=soon",
        ] {
            let error = read(address).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("hunter2"), "{address}");
        }
    }
}
