//! The installation: a database and its store of receipts, both of which contain the installation's id.
//!
//! If the database is the wrong one, a receipt that no payment names is no orphan. So before a host serves or sweeps,
//! [`meet`] compares the two ids. If one of them is missing, the contents decide whether the two belong together:
//!
//! | database | store | contents | result |
//! |---|---|---|---|
//! | an id | the same id | | accepted |
//! | an id | another id | | refused |
//! | none | an id | | refused |
//! | either | none | receipts, some of them named by this database | the id is written |
//! | either | none | receipts, none named; no accounts, or a receipt is older than orphans get | refused |
//! | an id | none | no receipts, but the database names some | refused |
//! | either | none | anything else | the id is written |
//!
//! A database and store of a version without ids match a row that writes the id, so an upgrade needs no step. An
//! operator who knows that the two belong together calls [`adopt`].
//!
//! [`clock_off`] compares a host's clock with the storage's, because hosts compare the storage's times.

use std::time::Duration;

use crate::policy::Policy;
use crate::ports::{Clock, PortError, PortErrorKind, Receipts, WorkStorage};
use crate::primitives::ids::InstallationId;
use crate::primitives::time::Timestamp;
use crate::service::Environment;

/// How many of the store's receipts to look up in the database before an id is written.
const SAMPLE: u32 = 500;

/// Why a database and a store of receipts do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are the ids of the database and of the store")]
pub enum Strangers {
    /// Their ids differ.
    #[error(
        "the database belongs to installation {database}, and the store of receipts to installation {store}: one of them \
         is wrong"
    )]
    OtherStore { database: InstallationId, store: InstallationId },
    /// The store has an id and the database has none: it is new, or a copy from before it had one.
    #[error(
        "the store of receipts belongs to installation {store}, and the database to none yet: it is new, an old copy, or \
         the wrong one"
    )]
    OtherDatabase { store: InstallationId },
    /// The store has receipts and no id, and the database names none of them.
    #[error("the store holds receipts, and the database ({}) names none of them: one of them is wrong", of(*database))]
    UnknownReceipts { database: Option<InstallationId> },
    /// The database has an id and names receipts, and the store has neither.
    #[error(
        "the store of receipts is empty and belongs to no installation, and the database of installation {database} \
         names receipts: the store may be the wrong one, or not mounted"
    )]
    EmptyStore { database: InstallationId },
}

fn of(id: Option<InstallationId>) -> String {
    id.map_or_else(|| "of no installation yet".to_owned(), |id| format!("of installation {id}"))
}

/// Why [`meet`] failed.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// The two do not belong together. Nothing was written.
    #[error(transparent)]
    Strangers(#[from] Strangers),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Checks that the storage and the store of receipts belong to one installation, and writes its id where it is missing,
/// as the table above says. Hosts that start concurrently agree on one id.
///
/// # Errors
/// [`MeetError`].
pub async fn meet<S, R>(storage: &S, receipts: &R, environment: Environment<'_>) -> Result<InstallationId, MeetError>
where
    S: WorkStorage + ?Sized,
    R: Receipts + ?Sized,
{
    let (row, store) = (storage.installation().await?, receipts.installation().await?);
    match (row.id, store) {
        (Some(database), Some(store)) => return same(database, store),
        (None, Some(store)) => return Err(Strangers::OtherDatabase { store }.into()),
        (_, None) => {}
    }
    let sample = receipts.list(Timestamp::from_millis(i64::MAX), None, SAMPLE).await?;
    if sample.is_empty() {
        if let Some(database) = row.id.filter(|_| row.names_receipts) {
            return Err(Strangers::EmptyStore { database }.into());
        }
    } else {
        let ids: Vec<_> = sample.iter().map(|upload| (upload.account_id, upload.upload_id)).collect();
        if storage.named_uploads(&ids).await?.is_empty() {
            // Younger ones may be orphans that were not swept before the host stopped.
            let old = storage.now().await?.minus(environment.policy.retention.orphan_age.saturating_mul(2));
            if !row.has_accounts || sample.iter().any(|upload| upload.stored_at < old) {
                return Err(Strangers::UnknownReceipts { database: row.id }.into());
            }
        }
    }
    let database = begin(storage, row.id, environment).await?;
    // The database's id is written first. If this process ends before the store's is, the next call writes it.
    same(database, receipts.begin_installation(database).await?)
}

/// The database's id. If it has none, draws and writes one.
async fn begin<S: WorkStorage + ?Sized>(
    storage: &S,
    id: Option<InstallationId>,
    environment: Environment<'_>,
) -> Result<InstallationId, PortError> {
    match id {
        Some(id) => Ok(id),
        None => {
            let drawn = environment.ids.sequence(environment.clock.now()).installation();
            storage.begin_installation(drawn).await
        }
    }
}

fn same(database: InstallationId, store: InstallationId) -> Result<InstallationId, MeetError> {
    if database == store { Ok(database) } else { Err(Strangers::OtherStore { database, store }.into()) }
}

/// What an adoption changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The installation that both now belong to.
    pub id: InstallationId,
    /// The installation that the store belonged to before; `None` if it belonged to none, or if its id was unreadable.
    pub was: Option<InstallationId>,
}

/// Assigns the store of receipts to this database without any check, for an operator who knows that the two belong
/// together. Later the sweeper moves receipts that the database does not name into quarantine.
///
/// # Errors
/// A port's failure. Repeating the call is harmless.
pub async fn adopt<S, R>(storage: &S, receipts: &R, environment: Environment<'_>) -> Result<Adopted, PortError>
where
    S: WorkStorage + ?Sized,
    R: Receipts + ?Sized,
{
    let known = storage.installation().await?.id;
    let was = match receipts.installation().await {
        Ok(was) => was,
        // The store contains something that is no id, which this replaces.
        Err(error) if error.kind() == PortErrorKind::Permanent => None,
        Err(error) => return Err(error),
    };
    let id = begin(storage, known, environment).await?;
    if was != Some(id) {
        receipts.adopt(id).await?;
    }
    Ok(Adopted { id, was })
}

/// The difference between a host's clock and the storage's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOff {
    /// The host's time.
    pub host: Timestamp,
    /// The storage's time.
    pub storage: Timestamp,
    /// The smallest possible difference: the time that the comparison itself took is left out.
    pub by: Duration,
}

impl ClockOff {
    /// Whether a host should log a warning.
    #[must_use]
    pub fn is_notable(&self, policy: &Policy) -> bool {
        self.by > policy.clock.skew_warned
    }

    /// Whether a host must not start.
    #[must_use]
    pub fn is_too_far(&self, policy: &Policy) -> bool {
        self.by > policy.clock.skew_max
    }
}

/// Compares a host's clock with the storage's.
///
/// # Errors
/// The storage's failure.
pub async fn clock_off<S: WorkStorage + ?Sized>(storage: &S, clock: &dyn Clock) -> Result<ClockOff, PortError> {
    let before = clock.now();
    let storage = storage.now().await?;
    let after = clock.now();
    // The storage read its clock between the two times, so any time between them means no difference.
    let host = storage.clamp(before, after.max(before));
    Ok(ClockOff { host, storage, by: storage.apart(host) })
}
