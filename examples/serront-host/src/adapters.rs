//! The adapters that this binary runs on. Only this module names them.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serront_adapters::keyfile::KeyFile;
use serront_adapters::plugipay::PlugipayClient;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_adapters::proofs::ObjectReceipts;
use serront_adapters::smtp::{MailFiles, SmtpMailer};
use serront_adapters::sqlite::{SqliteOptions, SqliteStorage};
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_adapters::webhooks::{HttpSink, Targets};
use serront_core::policy::Policy;
use serront_core::ports::{Clock, Mailer, NoKeys, Plugipay, WorkStorage};
use serront_core::service::{Commands, Environment, Failure};
use serront_host::{Ports, SessionKey};

use crate::console::Fatal;
use crate::installation;
use crate::settings::{Database, PlugipayAccess, Settings};

pub(crate) enum Engine {
    Sqlite(Arc<SqliteStorage>),
    Postgres(Arc<PostgresStorage>),
}

impl Engine {
    pub(crate) fn storage(&self) -> Arc<dyn WorkStorage> {
        match self {
            Self::Sqlite(storage) => Arc::clone(storage) as Arc<dyn WorkStorage>,
            Self::Postgres(storage) => Arc::clone(storage) as Arc<dyn WorkStorage>,
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(storage) => storage.close().await,
            Self::Postgres(storage) => storage.close().await,
        }
    }
}

/// The ports, and the engine to close at the end.
pub(crate) struct Adapters {
    pub(crate) ports: Ports,
    pub(crate) engine: Engine,
}

/// For commands that use no sealed secrets.
pub(crate) fn environment(policy: &Policy) -> Environment<'_> {
    Environment { clock: &SystemClock, ids: &RandomIds, secrets: &SystemSecrets, sealer: &NoKeys, policy }
}

/// Opens the database, runs `act` on it, and closes it, even after a failure.
pub(crate) async fn with_storage<T>(
    settings: &Settings,
    act: impl AsyncFnOnce(&(dyn WorkStorage + 'static)) -> Result<T, Fatal>,
) -> Result<T, Fatal> {
    let engine = engine(settings).await?;
    let done = act(engine.storage().as_ref()).await;
    engine.close().await;
    done
}

/// The same for one command that uses no sealed secrets.
pub(crate) async fn with_commands<T>(
    settings: &Settings,
    act: impl AsyncFnOnce(Commands<'_, dyn WorkStorage>) -> Result<T, Failure>,
) -> Result<T, Fatal> {
    let policy = Policy::default();
    with_storage(settings, async |storage| Ok(act(Commands::new(storage, environment(&policy))).await?)).await
}

/// Opens the database and applies pending migrations.
pub(crate) async fn engine(settings: &Settings) -> Result<Engine, Fatal> {
    let wait = settings.database_wait()?;
    match settings.database()? {
        Database::Sqlite(file) => {
            if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                private_folder(folder)?;
            }
            private_file(&file)?;
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let mut options = SqliteOptions::new(&file, clock);
            options.lock_wait_max = wait;
            options.on_lock_wait =
                Some(Arc::new(move || warn_of_wait("another process has the database locked", wait)));
            Ok(Engine::Sqlite(Arc::new(SqliteStorage::open_with(options).await?)))
        }
        Database::Postgres { url, schema } => {
            let mut options = PostgresOptions::at(&url)?;
            if let Some(schema) = schema {
                options.schema = schema;
            }
            options.migration_wait_max = wait;
            options.on_migration_wait =
                Some(Arc::new(move || warn_of_wait("another process holds the lock for migrations", wait)));
            Ok(Engine::Postgres(Arc::new(PostgresStorage::open(options).await?)))
        }
    }
}

/// Logs what a start waits for, and for how long at most.
fn warn_of_wait(for_what: &str, wait: Duration) {
    tracing::warn!(for_what, seconds_max = wait.as_secs(), "waiting");
}

/// The client of Plugipay; `None` if it is not configured.
pub(crate) fn plugipay(settings: &Settings) -> Result<Option<Arc<dyn Plugipay>>, Fatal> {
    let Some(PlugipayAccess { url, key_id, secret }) = settings.plugipay()? else { return Ok(None) };
    Ok(Some(Arc::new(PlugipayClient::new(&url, &key_id, &secret, Arc::new(SystemClock))?)))
}

fn smtp(server: &str, settings: &Settings) -> Result<SmtpMailer, Fatal> {
    let sender = settings.mail_from();
    let Some(file) = settings.smtp_ca() else { return Ok(SmtpMailer::new(server, sender)?) };
    let authority = std::fs::read(file).map_err(|error| format!("--smtp-ca can't be read: {error}"))?;
    Ok(SmtpMailer::with_authority(server, sender, &authority)?)
}

/// The keys that seal secrets in the database, created on the first start. If the file is missing but sealed secrets exist, it
/// fails: new keys would hide that the old ones are lost.
pub(crate) async fn sealer(settings: &Settings, storage: &dyn WorkStorage) -> Result<Arc<KeyFile>, Fatal> {
    let file = settings.secrets_key();
    if !file.exists() {
        let is_known = storage.installation().await?.key_check.is_some();
        if is_known || Commands::new(storage, environment(&Policy::default())).has_sealed().await? {
            let what = "secrets in the database are sealed, and their keys are missing: copy the file from another host or a backup";
            return Err(format!("{}: {what}", file.display()).into());
        }
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_folder(folder)?;
        }
        KeyFile::create(&file)?;
    }
    Ok(Arc::new(KeyFile::open(file)?))
}

/// The same, but refuses keys of another installation.
pub(crate) async fn known_sealer(settings: &Settings, storage: &dyn WorkStorage) -> Result<Arc<KeyFile>, Fatal> {
    let sealer = sealer(settings, storage).await?;
    installation::check_keys(settings, storage, &sealer, environment(&Policy::default())).await?;
    Ok(sealer)
}

pub(crate) async fn open(settings: &Settings) -> Result<Adapters, Fatal> {
    let plugipay = plugipay(settings)?;
    let proofs = settings.proofs_folder()?;
    let mail = settings.data_dir().join("mail");
    for folder in [&settings.data_dir(), &mail, &proofs] {
        private_folder(folder)?;
    }
    let engine = engine(settings).await?;
    let storage = engine.storage();
    installation::check_clock(storage.as_ref(), &settings.policy()?).await?;
    let receipts = ObjectReceipts::local(proofs)?;
    installation::meet(storage.as_ref(), &receipts, environment(&Policy::default())).await?;
    let sealer = known_sealer(settings, storage.as_ref()).await?;
    let mailer: Arc<dyn Mailer> = match settings.smtp() {
        Some(server) => Arc::new(smtp(server, settings)?),
        None => Arc::new(MailFiles::new(mail, settings.mail_from())?),
    };
    let targets = if settings.dev() { Targets::Development } else { Targets::Public };
    let ports = Ports {
        storage,
        receipts: Arc::new(receipts),
        mailer,
        sink: Arc::new(HttpSink::new(targets)?),
        plugipay,
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        secrets: Arc::new(SystemSecrets),
        sealer,
    };
    Ok(Adapters { ports, engine })
}

/// The key of the pages' sessions. It is kept in the data folder, so sessions survive a restart, and hosts that share the folder
/// accept each other's.
pub(crate) fn session_key(settings: &Settings) -> Result<SessionKey, Fatal> {
    let folder = settings.data_dir();
    let file = folder.join("session.key");
    if !file.exists() {
        // The temporary file is private from its creation.
        let mut new = tempfile::NamedTempFile::new_in(&folder)?;
        new.write_all(&SessionKey::draw_bytes(&SystemSecrets)?)?;
        new.as_file().sync_all()?;
        match new.persist_noclobber(&file) {
            Ok(_) => {}
            // Another host that started at the same time was first.
            Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => {}
            Err(failed) => return Err(failed.error.into()),
        }
    }
    let bytes = std::fs::read(&file)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| "session.key in the data folder is damaged: remove it; all users must sign in again")?;
    Ok(SessionKey::from_bytes(&bytes))
}

/// Creates a folder that only its owner may enter: database, receipts and mails contain buyers' data.
pub(crate) fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Creates the database file before the engine does, readable only by its owner. The engine's other files inherit its
/// permissions.
fn private_file(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}
