//! A mail server, given as one address.

use std::net::IpAddr;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use url::Url;

use super::failure::MailSetupError;

/// How the connection is protected.
#[derive(Clone)]
pub(super) enum Protection {
    /// Not at all.
    None,
    /// STARTTLS if the server offers it.
    Opportunistic(TlsParameters),
    /// STARTTLS, or nothing is sent.
    Required(TlsParameters),
    /// TLS from the first byte.
    Wrapped(TlsParameters),
}

/// A mail server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) protection: Protection,
    pub(super) credentials: Option<Credentials>,
    pub(super) hello: ClientId,
}

impl Server {
    /// Parses `smtp[s]://[user:password@]host[:port][/hello name][?tls=…]` as the mail library does, with one
    /// difference: if a password would cross a network in plain text, STARTTLS is required unless `tls=none` is given.
    /// The authorities are trusted in addition to the system's.
    pub(super) fn parse(text: &str, authorities: &[Certificate]) -> Result<Self, MailSetupError> {
        let url = Url::parse(text).map_err(|_| MailSetupError::ServerUrl)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(MailSetupError::ServerUrl)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let credentials = credentials(&url)?;
        let mut asked = url.query_pairs();
        // A typing error must not disable TLS.
        let tls = match (asked.next(), asked.next(), url.fragment()) {
            (None, None, None) => None,
            (Some((name, value)), None, None) if name == "tls" => Some(value.into_owned()),
            _ => return Err(MailSetupError::ServerUrl),
        };
        let parameters = || {
            authorities
                .iter()
                .cloned()
                .fold(TlsParameters::builder(host.to_owned()), |builder, authority| {
                    builder.add_root_certificate(authority)
                })
                .build()
                .map_err(|error| MailSetupError::Tls(error.into()))
        };
        let (protection, port) = match (url.scheme(), tls.as_deref()) {
            ("smtps", None) => (Protection::Wrapped(parameters()?), SUBMISSIONS_PORT),
            ("smtp", Some("required")) => (Protection::Required(parameters()?), SUBMISSION_PORT),
            ("smtp", Some("opportunistic")) => (Protection::Opportunistic(parameters()?), SUBMISSION_PORT),
            ("smtp", Some("none")) => (Protection::None, SMTP_PORT),
            ("smtp", None) if credentials.is_some() && !is_loopback(host) => {
                (Protection::Required(parameters()?), SUBMISSION_PORT)
            }
            ("smtp", None) => (Protection::None, SMTP_PORT),
            _ => return Err(MailSetupError::ServerUrl),
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self { host: host.to_owned(), port: url.port().unwrap_or(port), protection, credentials, hello })
    }
}

/// The certificates of a PEM file, at least one.
pub(super) fn authority(pem: &[u8]) -> Result<Certificate, MailSetupError> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    // The mail library accepts a file without certificates.
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(MailSetupError::Authority);
    }
    Certificate::from_pem(pem).map_err(|_| MailSetupError::Authority)
}

fn credentials(url: &Url) -> Result<Option<Credentials>, MailSetupError> {
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| MailSetupError::ServerUrl)
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) if !user.is_empty() => Ok(Some(Credentials::new(decoded(user)?, decoded(password)?))),
        _ => Err(MailSetupError::ServerUrl),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(url: &str) -> Option<(&'static str, String, u16, bool)> {
        let server = Server::parse(url, &[]).ok()?;
        let protection = match server.protection {
            Protection::None => "none",
            Protection::Opportunistic(_) => "opportunistic",
            Protection::Required(_) => "required",
            Protection::Wrapped(_) => "wrapped",
        };
        Some((protection, server.host, server.port, server.credentials.is_some()))
    }

    #[test]
    fn an_address_tells_server_and_protection() {
        for (url, protection, host, port, credentials) in [
            ("smtp://mail.example", "none", "mail.example", 25, false),
            ("smtp://mail.example:2525", "none", "mail.example", 2525, false),
            ("smtp://user:pass@127.0.0.1:1025", "none", "127.0.0.1", 1025, true),
            ("smtp://user:pass@[::1]:1025", "none", "::1", 1025, true),
            ("smtp://user:pass@mail.example", "required", "mail.example", 587, true),
            ("smtp://user:pass@mail.example?tls=none", "none", "mail.example", 25, true),
            ("smtp://mail.example?tls=opportunistic", "opportunistic", "mail.example", 587, false),
            ("smtp://mail.example?tls=required", "required", "mail.example", 587, false),
            ("smtps://us%40er:p%3Ass@mail.example/shop.example", "wrapped", "mail.example", 465, true),
        ] {
            assert_eq!(summary(url), Some((protection, host.to_owned(), port, credentials)), "{url}");
        }
        for bad in [
            "",
            "mail.example",
            "http://mail.example",
            "smtp://",
            "smtp://mail.example?tls=maybe",
            "smtp://mail.example?TLS=required",
            "smtp://mail.example?starttls=required",
            "smtp://mail.example?tls=required&tls=none",
            "smtp://mail.example#tls=required",
            "smtps://mail.example?tls=none",
            "smtp://user@mail.example",
            "smtp://:password@mail.example",
        ] {
            assert_eq!(summary(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_password_may_hold_every_character() {
        let server = Server::parse("smtp://us%40er:p%3A%2Fs+s@localhost", &[]).unwrap();
        assert_eq!(server.credentials, Some(Credentials::new("us@er".to_owned(), "p:/s+s".to_owned())));
    }
}
