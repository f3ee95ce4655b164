//! The installation: one database and its receipts' store, which know each other by an id that stands in both.
//!
//! A database that does not name a receipt proves nothing if it is the wrong database. So before anything is served or swept,
//! [`meet`] compares the two ids. Where only one side has an id, or neither, it decides by what is there whether they belong
//! together:
//!
//! | database | store | what is there | then |
//! |---|---|---|---|
//! | an id | the same id | | fine |
//! | an id | another id | | refused |
//! | none | an id | | refused |
//! | either | none | receipts that this database names | the id is written |
//! | either | none | receipts, none named, and the database is empty or one is older than any orphan gets | refused |
//! | an id | none | no receipt, and the database names some | refused |
//! | either | none | anything else | the id is written |
//!
//! Database and store of a version that knew no ids are in the rows that write one, so an upgrade needs nothing. An operator
//! who knows better calls [`adopt`].
//!
//! It also holds the check of clocks: hosts compare the storage's time, so [`clock_off`] says how far a host is from it.

use std::time::Duration;

use crate::policy::Policy;
use crate::ports::{Clock, PortError, PortErrorKind, Receipts, WorkStorage};
use crate::primitives::ids::InstallationId;
use crate::primitives::time::Timestamp;
use crate::service::Environment;

/// How many of the store's receipts are looked up in the database before an id is written.
const SAMPLE: u32 = 500;

/// A database and a store of receipts that do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Strangers {
    /// Both have an id, and these differ.
    #[error(
        "the database belongs to installation {database}, and the store of receipts to installation {store}: one of the two is \
         the wrong one"
    )]
    OtherStore {
        /// The database's id.
        database: InstallationId,
        /// The store's id.
        store: InstallationId,
    },
    /// The store has an id, and the database has none: it is new, or a copy from before it had one.
    #[error(
        "the store of receipts belongs to installation {store}, and the database to none yet: it is new, or an old copy, or the \
         wrong one"
    )]
    OtherDatabase {
        /// The store's id.
        store: InstallationId,
    },
    /// The store has receipts and no id, and the database names none of them.
    #[error(
        "the store holds receipts, and the database ({}) names none of them: one of the two is the wrong one",
        of(*database)
    )]
    UnknownReceipts {
        /// The database's id, if it has one.
        database: Option<InstallationId>,
    },
    /// The database has an id and names receipts, and the store has neither.
    #[error(
        "the store of receipts is empty and belongs to no installation, and the database of installation {database} names \
         receipts: the store may be the wrong one, or not mounted"
    )]
    EmptyStore {
        /// The database's id.
        database: InstallationId,
    },
}

fn of(id: Option<InstallationId>) -> String {
    id.map_or_else(|| "of no installation yet".to_owned(), |id| format!("of installation {id}"))
}

/// Why database and store did not meet.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// They do not belong together. Nothing was written.
    #[error(transparent)]
    Strangers(#[from] Strangers),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Checks that the storage and the store of receipts belong to one installation, and writes its id where there is none yet, as
/// the table above says. Hosts that start at the same time agree on one id.
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
            // Younger ones may be orphans that were not swept yet, of a host that was stopped right after.
            let old = storage.now().await?.minus(environment.policy.retention.orphan_age.saturating_mul(2));
            if !row.has_accounts || sample.iter().any(|upload| upload.stored_at < old) {
                return Err(Strangers::UnknownReceipts { database: row.id }.into());
            }
        }
    }
    let database = begin(storage, row.id, environment).await?;
    // The database's first: if this process ends in between, the next one finds the store without an id, and goes on.
    same(database, receipts.begin_installation(database).await?)
}

/// The database's id, drawn if it has none.
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
    /// The installation that both belong to.
    pub id: InstallationId,
    /// Which one the store belonged to before.
    pub was: Option<InstallationId>,
}

/// Makes the store of receipts this database's without any check: for an operator who knows that the two belong together. Receipts that
/// the database does not name then go into quarantine like every other.
///
/// # Errors
/// A port's failure; calling again is harmless.
pub async fn adopt<S, R>(storage: &S, receipts: &R, environment: Environment<'_>) -> Result<Adopted, PortError>
where
    S: WorkStorage + ?Sized,
    R: Receipts + ?Sized,
{
    let known = storage.installation().await?.id;
    let was = match receipts.installation().await {
        Ok(was) => was,
        // Something else stands in its place, which this replaces.
        Err(error) if error.kind() == PortErrorKind::Permanent => None,
        Err(error) => return Err(error),
    };
    let id = begin(storage, known, environment).await?;
    if was != Some(id) {
        receipts.adopt(id).await?;
    }
    Ok(Adopted { id, was })
}

/// How far a host's clock is from the storage's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOff {
    /// The host's time.
    pub host: Timestamp,
    /// The storage's time.
    pub storage: Timestamp,
    /// How far the two are apart at least: what the question itself took is not counted.
    pub by: Duration,
}

impl ClockOff {
    /// Whether it is to be said.
    #[must_use]
    pub fn is_notable(&self, policy: &Policy) -> bool {
        self.by > policy.clock.skew_warned
    }

    /// Whether a host must not start like this.
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
    // The storage answered at some time between the two, so nothing in between is off.
    let host = storage.clamp(before, after.max(before));
    Ok(ClockOff { host, storage, by: storage.apart(host) })
}
