//! The settings, from the command line and the environment (wire contract, section 5).
//!
//! Every setting is a flag, before or after the subcommand, and an environment variable. The flag wins; an empty variable counts
//! as unset. The help does not show values that may contain a password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serront_core::policy::Policy;
use serront_host::{Limits, TrustedProxies};
use url::Url;

pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
const CONNECTIONS_MAX_DEFAULT: u32 = 2_048;
/// The default time in seconds that a start waits for a locked database.
const DATABASE_WAIT_SECONDS_DEFAULT: u32 = 60;
const PLUGIPAY_DEFAULT: &str = "https://plugipay.com";

#[derive(Clone, Default, Args)]
pub(crate) struct Settings {
    /// Address and port to listen on; port 0 picks a free one [default: 127.0.0.1:8080].
    #[arg(long, global = true, env = "SERRONT_LISTEN")]
    listen: Option<String>,
    /// The address at which buyers and sellers reach this host [default: http:// and the listen address].
    #[arg(long, global = true, env = "SERRONT_PUBLIC_URL")]
    public_url: Option<String>,
    /// The database, sqlite:// or postgres:// [default: sqlite://<data dir>/serront.db].
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The PostgreSQL schema [default: serront].
    #[arg(long, global = true, env = "SERRONT_DATABASE_SCHEMA")]
    database_schema: Option<String>,
    /// Seconds that a start waits while another process has the database locked [default: 60].
    #[arg(long, global = true, env = "SERRONT_DATABASE_WAIT_SECONDS")]
    database_wait_seconds: Option<String>,
    /// The folder of database, proofs and mail, unless they are set separately [default: ./serront-data].
    #[arg(long, global = true, env = "SERRONT_DATA_DIR")]
    data_dir: Option<String>,
    /// The file with the keys that seal secrets in the database; all hosts on it need the same file
    /// [default: <data dir>/secrets.key].
    #[arg(long, global = true, env = "SERRONT_SECRETS_KEY")]
    secrets_key: Option<String>,
    /// The folder of receipts [default: file:<data dir>/proofs].
    #[arg(long, global = true, env = "SERRONT_PROOFS", hide_env_values = true)]
    proofs: Option<String>,
    /// The mail server: smtps://[user:password@]host[:port], or smtp://…[?tls=none|opportunistic|required]; with a user,
    /// STARTTLS is required unless tls is given [default: none, each mail is written to <data dir>/mail].
    #[arg(long, global = true, env = "SERRONT_SMTP_URL", hide_env_values = true)]
    smtp: Option<String>,
    /// A PEM file with the certificate of the mail server's authority [default: only the system's authorities].
    #[arg(long, global = true, env = "SERRONT_SMTP_CA")]
    smtp_ca: Option<String>,
    /// The sender of mails, as "Name <address>" [default: Serront <no-reply@localhost>].
    #[arg(long, global = true, env = "SERRONT_MAIL_FROM")]
    mail_from: Option<String>,
    /// The address of Plugipay [default: https://plugipay.com].
    #[arg(long, global = true, env = "PLUGIPAY_BASE_URL", hide_env_values = true)]
    plugipay_url: Option<String>,
    /// The platform's key id at Plugipay [default: none, the payment module answers NOT_CONFIGURED].
    #[arg(long, global = true, env = "PLUGIPAY_KEY_ID", hide_env_values = true)]
    plugipay_key_id: Option<String>,
    /// The platform's secret at Plugipay. All users of the machine can see arguments: prefer the variable.
    #[arg(long, global = true, env = "PLUGIPAY_SECRET", hide_env_values = true)]
    plugipay_secret: Option<String>,
    /// Milliseconds after which an open session is first checked at Plugipay; later checks double the time [default: 60000].
    #[arg(long, global = true, env = "SERRONT_JANITOR_FIRST_POLL_MS")]
    janitor_first_poll_ms: Option<String>,
    /// Requests a minute of one client address to one public route pattern; 0 for no limit [default: 120].
    #[arg(long, global = true, env = "SERRONT_PUBLIC_RATE_PER_MINUTE")]
    public_rate_per_minute: Option<String>,
    /// The networks of proxies whose Forwarded and X-Forwarded-For are trusted, separated by commas [default: none].
    #[arg(long, global = true, env = "SERRONT_TRUSTED_PROXIES")]
    trusted_proxies: Option<String>,
    /// Maximum of open connections; further ones wait until others end [default: 2048].
    #[arg(long, global = true, env = "SERRONT_CONNECTIONS_MAX")]
    connections_max: Option<String>,
    /// Development mode: allows webhooks to plain-http and loopback addresses.
    #[arg(
        long,
        global = true,
        env = "SERRONT_DEV",
        value_name = "true|false",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = switch
    )]
    dev: Option<bool>,
}

fn switch(raw: &str) -> Result<bool, &'static str> {
    match raw {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// `Debug` shows no values, since some are secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Settings(…)")
    }
}

/// Plugipay's address, and the platform's credentials.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PlugipayAccess {
    pub(crate) url: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
}

/// `Debug` does not show the key.
impl fmt::Debug for PlugipayAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PlugipayAccess({})", self.url)
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    /// The address may contain a password.
    Postgres {
        url: String,
        schema: Option<String>,
    },
}

/// An invalid setting. Its text never repeats the value, which may contain a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{setting} {reason}")]
pub(crate) struct BadSetting {
    setting: &'static str,
    reason: &'static str,
}

fn given(setting: Option<&str>) -> Option<&str> {
    setting.filter(|text| !text.is_empty())
}

impl Settings {
    /// The settings of the demo: defaults in this folder and this Plugipay, regardless of the environment. Keeps only the
    /// addresses, the janitor's schedule and the limits.
    pub(crate) fn embedded(&self, folder: &Path, plugipay: PlugipayAccess) -> Self {
        Self {
            listen: self.listen.clone(),
            public_url: self.public_url.clone(),
            data_dir: Some(folder.to_string_lossy().into_owned()),
            plugipay_url: Some(plugipay.url),
            plugipay_key_id: Some(plugipay.key_id),
            plugipay_secret: Some(plugipay.secret),
            janitor_first_poll_ms: self.janitor_first_poll_ms.clone(),
            public_rate_per_minute: self.public_rate_per_minute.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            connections_max: self.connections_max.clone(),
            dev: Some(true),
            ..Self::default()
        }
    }

    /// The address to listen on, if it was set.
    pub(crate) fn listen(&self) -> Option<&str> {
        given(self.listen.as_deref())
    }

    pub(crate) fn dev(&self) -> bool {
        self.dev.unwrap_or(false)
    }

    /// The public address, without a trailing slash.
    pub(crate) fn public_url(&self) -> Result<Option<String>, BadSetting> {
        let bad =
            BadSetting { setting: "public-url", reason: "must be an http:// or https:// address without a query" };
        let Some(raw) = given(self.public_url.as_deref()) else {
            return Ok(None);
        };
        match Url::parse(raw) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() =>
            {
                Ok(Some(raw.trim_end_matches('/').to_owned()))
            }
            Ok(_) | Err(_) => Err(bad),
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        given(self.data_dir.as_deref()).unwrap_or("./serront-data").into()
    }

    pub(crate) fn secrets_key(&self) -> PathBuf {
        given(self.secrets_key.as_deref()).map_or_else(|| self.data_dir().join("secrets.key"), PathBuf::from)
    }

    pub(crate) fn database(&self) -> Result<Database, BadSetting> {
        let bad = |reason| BadSetting { setting: "database-url", reason };
        let Some(raw) = given(self.database_url.as_deref()) else {
            return Ok(Database::Sqlite(self.data_dir().join("serront.db")));
        };
        if raw.starts_with("postgres://") || raw.starts_with("postgresql://") {
            let schema = given(self.database_schema.as_deref()).map(str::to_owned);
            return Ok(Database::Postgres { url: raw.to_owned(), schema });
        }
        let path = raw
            .strip_prefix("sqlite://")
            .or_else(|| raw.strip_prefix("sqlite:"))
            .ok_or(bad("must be sqlite://<file> or postgres://<user>@<host>/<database>"))?;
        // Other tools write this option into the same address. The host creates the file anyway.
        let path = path.strip_suffix("?mode=rwc").unwrap_or(path);
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return Err(bad("must be sqlite://<file>, without options"));
        }
        Ok(Database::Sqlite(path.into()))
    }

    pub(crate) fn proofs_folder(&self) -> Result<PathBuf, BadSetting> {
        let bad = |reason| BadSetting { setting: "proofs", reason };
        let Some(raw) = given(self.proofs.as_deref()) else {
            return Ok(self.data_dir().join("proofs"));
        };
        if raw.starts_with("s3://") {
            return Err(bad("names S3, which is not built yet: use file:<folder>"));
        }
        let path = raw.strip_prefix("file:").ok_or(bad("must be file:<folder>"))?;
        let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        if path.is_empty() { Err(bad("must be file:<folder>")) } else { Ok(path.into()) }
    }

    pub(crate) fn smtp(&self) -> Option<&str> {
        given(self.smtp.as_deref())
    }

    pub(crate) fn smtp_ca(&self) -> Option<&Path> {
        given(self.smtp_ca.as_deref()).map(Path::new)
    }

    pub(crate) fn mail_from(&self) -> &str {
        given(self.mail_from.as_deref()).unwrap_or("Serront <no-reply@localhost>")
    }

    /// Plugipay's address and credentials. `None` without credentials, even if an address is set.
    pub(crate) fn plugipay(&self) -> Result<Option<PlugipayAccess>, BadSetting> {
        let url = given(self.plugipay_url.as_deref()).unwrap_or(PLUGIPAY_DEFAULT).to_owned();
        match (given(self.plugipay_key_id.as_deref()), given(self.plugipay_secret.as_deref())) {
            (None, None) => Ok(None),
            (Some(key_id), Some(secret)) => {
                Ok(Some(PlugipayAccess { url, key_id: key_id.to_owned(), secret: secret.to_owned() }))
            }
            (Some(_), None) => {
                Err(BadSetting { setting: "plugipay-secret", reason: "must be given with --plugipay-key-id" })
            }
            (None, Some(_)) => {
                Err(BadSetting { setting: "plugipay-key-id", reason: "must be given with --plugipay-secret" })
            }
        }
    }

    /// The address of a host with these settings, if it is known without starting it.
    pub(crate) fn address_foreseen(&self) -> Result<String, BadSetting> {
        let listen = self.listen().unwrap_or(LISTEN_DEFAULT);
        match self.public_url()? {
            Some(url) => Ok(url),
            None if listen.ends_with(":0") => {
                Err(BadSetting { setting: "public-url", reason: "must be given: the host's port is unknown" })
            }
            None => Ok(format!("http://{listen}")),
        }
    }

    pub(crate) fn policy(&self) -> Result<Policy, BadSetting> {
        let bad = BadSetting {
            setting: "janitor-first-poll-ms",
            reason: "must be a whole number of milliseconds, 1 or more",
        };
        let mut policy = Policy::default();
        if let Some(raw) = given(self.janitor_first_poll_ms.as_deref()) {
            // More than 32 bits would be 49 days.
            let millis = raw.parse::<u32>().ok().filter(|millis| *millis > 0).ok_or(bad)?;
            policy.online.poll_first = Duration::from_millis(millis.into());
        }
        Ok(policy)
    }

    pub(crate) fn limits(&self) -> Result<Limits, BadSetting> {
        let mut limits = Limits::default();
        if let Some(raw) = given(self.public_rate_per_minute.as_deref()) {
            let bad = BadSetting { setting: "public-rate-per-minute", reason: "must be a whole number, 0 or more" };
            limits.public_per_minute = raw.parse().map_err(|_| bad)?;
        }
        if let Some(raw) = given(self.trusted_proxies.as_deref()) {
            let reason = "must be addresses or networks such as 10.0.0.0/8 and fd00::/8, separated by commas";
            let bad = BadSetting { setting: "trusted-proxies", reason };
            limits.trusted_proxies = TrustedProxies::parse(raw).map_err(|_| bad)?;
        }
        Ok(limits)
    }

    /// The longest wait for a locked database at the start.
    pub(crate) fn database_wait(&self) -> Result<Duration, BadSetting> {
        let bad = BadSetting { setting: "database-wait-seconds", reason: "must be a whole number, 0 or more" };
        let raw = given(self.database_wait_seconds.as_deref());
        let seconds = raw.map_or(Ok(DATABASE_WAIT_SECONDS_DEFAULT), |raw| raw.parse::<u32>().map_err(|_| bad))?;
        Ok(Duration::from_secs(seconds.into()))
    }

    pub(crate) fn connections_max(&self) -> Result<u32, BadSetting> {
        let bad = BadSetting { setting: "connections-max", reason: "must be a whole number, 1 or more" };
        match given(self.connections_max.as_deref()) {
            None => Ok(CONNECTIONS_MAX_DEFAULT),
            Some(raw) => raw.parse().ok().filter(|connections| *connections > 0).ok_or(bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::commands::CommandLine;

    fn settings(arguments: &[&str]) -> Settings {
        let all = ["serront-host"].iter().chain(arguments);
        CommandLine::try_parse_from(all).unwrap().settings
    }

    #[test]
    fn settings_stand_before_or_after_the_subcommand() {
        for arguments in [&["--dev", "--listen", "[::1]:0", "serve"][..], &["serve", "--dev=true", "--listen=[::1]:0"]]
        {
            let settings = settings(arguments);
            assert_eq!((settings.dev(), settings.listen()), (true, Some("[::1]:0")));
        }
        assert!(!settings(&["serve", "--dev=false"]).dev());
        let created = ["serront-host", "account", "create", "--name", "A", "--tier", "growth", "--data-dir", "d"];
        assert!(CommandLine::try_parse_from(created).is_ok());
        let tier = ["serront-host", "account", "set-tier", "acc_01jtestvect0r0000000000000", "gold"];
        assert!(CommandLine::try_parse_from(tier).is_err());
    }

    #[test]
    fn addresses_of_unknown_kinds_are_refused() {
        let file = |url: &str| match settings(&["serve", "--database-url", url]).database() {
            Ok(Database::Sqlite(file)) => Some(file),
            Ok(Database::Postgres { .. }) => Some(PathBuf::from("PostgreSQL")),
            Err(_) => None,
        };
        for (url, path) in [
            ("sqlite:///var/a b.db", Some("/var/a b.db")),
            ("sqlite://a.db?mode=rwc", Some("a.db")),
            ("sqlite:./a.db", Some("./a.db")),
            ("sqlite::memory:", None),
            ("sqlite://", None),
            ("sqlite://a.db?cache=shared", None),
            ("postgres://user:secret@host/db", Some("PostgreSQL")),
            ("mysql://x", None),
        ] {
            assert_eq!(file(url), path.map(PathBuf::from), "{url}");
        }
        let folder = |url: &str| settings(&["serve", "--proofs", url]).proofs_folder().ok();
        for (url, path) in [
            ("file:proofs", Some("proofs")),
            ("file:/a/b", Some("/a/b")),
            ("file:///a/b", Some("/a/b")),
            ("s3://bucket", None),
            ("proofs", None),
        ] {
            assert_eq!(folder(url), path.map(PathBuf::from), "{url}");
        }
        let bad = settings(&["serve", "--database-url", "mysql://user:secret@host/db"]).database().err().unwrap();
        assert!(!bad.to_string().contains("secret"));
        let foreseen = |arguments: &[&str]| settings(arguments).address_foreseen().ok();
        assert_eq!(foreseen(&["migrate"]).as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(foreseen(&["migrate", "--listen", "[::1]:0"]), None);
        let public = |url: &str| settings(&["serve", "--public-url", url]).public_url();
        assert_eq!(public("https://pay.example.com/x/"), Ok(Some("https://pay.example.com/x".to_owned())));
        assert!(public("pay.example.com").is_err());
    }

    #[test]
    fn plugipay_is_set_up_by_key_id_and_secret_together_and_neither_is_shown() {
        let plugipay = |arguments: &[&str]| settings(&[&["serve"], arguments].concat()).plugipay();
        assert_eq!(plugipay(&[]), Ok(None));
        assert_eq!(plugipay(&["--plugipay-url", "http://x", "--plugipay-secret="]), Ok(None));
        for half in [["--plugipay-key-id", "shown-id"], ["--plugipay-secret", "shown-secret"]] {
            let refused = plugipay(&half).unwrap_err().to_string();
            assert!(refused.starts_with("--plugipay-") && !refused.contains("shown"), "{refused}");
        }
        let both = ["serve", "--plugipay-key-id", "shown-id", "--plugipay-secret", "shown-secret"];
        let access = settings(&both).plugipay().unwrap().unwrap();
        assert_eq!((access.url.as_str(), access.secret.as_str()), ("https://plugipay.com", "shown-secret"));
        let command_line = CommandLine::try_parse_from(["serront-host"].iter().chain(&both)).unwrap();
        assert!(!format!("{access:?} {command_line:?}").contains("shown"));
    }

    #[test]
    fn the_first_check_of_a_session_can_be_set() {
        let policy = |millis: &str| settings(&["serve", "--janitor-first-poll-ms", millis]).policy();
        assert_eq!(policy("").unwrap(), Policy::default());
        assert_eq!(policy("60000").unwrap(), Policy::default());
        assert_eq!(policy("250").unwrap().online.poll_first, Duration::from_millis(250));
        for bad in ["0", "1.5", "1s", "4294967296", " "] {
            assert!(policy(bad).is_err(), "{bad}");
        }
        assert!(CommandLine::try_parse_from(["serront-host", "serve", "--janitor-first-poll-ms", "-1"]).is_err());
    }

    #[test]
    fn limits_are_whole_numbers_and_networks() {
        let limits = |arguments: &[&str]| settings(&[&["serve"], arguments].concat()).limits();
        assert_eq!(limits(&["--public-rate-per-minute=", "--trusted-proxies="]), Ok(Limits::default()));
        let set = limits(&["--public-rate-per-minute", "0", "--trusted-proxies", "10.0.0.0/8, ::1"]).unwrap();
        assert_eq!(set.public_per_minute, 0);
        assert_eq!(Ok(set.trusted_proxies), TrustedProxies::parse("10.0.0.0/8,::1"));
        for bad in [
            ["--public-rate-per-minute", "1.5"],
            ["--public-rate-per-minute", "4294967296"],
            ["--trusted-proxies", "10.0.0.0/33"],
            ["--trusted-proxies", "localhost"],
        ] {
            let refused = limits(&bad).unwrap_err().to_string();
            assert!(refused.starts_with(bad[0]), "{refused}");
        }
        let wait = |seconds: &str| settings(&["serve", "--database-wait-seconds", seconds]).database_wait().ok();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!([wait(""), wait("0"), wait("7"), wait("1.5")], [seconds(60), seconds(0), seconds(7), None]);
        let connections = |count: &str| settings(&["serve", "--connections-max", count]).connections_max().ok();
        assert_eq!([connections(""), connections("1"), connections("0")], [Some(2_048), Some(1), None]);
    }
}
