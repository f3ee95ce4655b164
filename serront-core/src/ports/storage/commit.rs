//! The only write of the domain.

use crate::changes::change::Duplicate;
use crate::ports::signatures::*;

/// Why a commit did not land.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A guard no longer holds: read and decide again.
    #[error("a guard no longer holds")]
    Conflict,
    /// A name is taken: the same thing was done before, or another account holds the name.
    #[error("a name is claimed already")]
    Duplicate(Box<Duplicate>),
    /// The storage failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

part! {
    __commits!
    /// Applies change sets.
    pub trait Commits {
        /// The result of a change set. `None` if it did not land, or if its id was pruned since.
        async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError>;

        /// Applies a whole change set or nothing, and returns once it is durable.
        ///
        /// In this order:
        /// 0. Convert every time that will be compared later to the storage's clock, as [`ChangeSet::by_clock_of_storage`]
        ///    does. A resend that lands is converted by the clock at that moment.
        /// 1. Run [`ChangeSet::check`]; an inconsistent change set is a permanent [`PortError`].
        /// 2. Look up the id: a change set that landed before returns the same result again and changes nothing.
        /// 3. Test the guards: one that does not hold is a [`CommitError::Conflict`]. Exact guards hold until the commit is
        ///    done; two commits that contradict each other's exact guards never both land.
        /// 4. Release names: a name that the account does not hold is a [`CommitError::Conflict`]. Then claim names: the
        ///    first one that is taken is a [`CommitError::Duplicate`] with the outcome stored under it. A stored outcome
        ///    whose time has ended by the storage's clock does not count and is replaced.
        /// 5. Write the rows. A new order takes the account's next number: 1, 2, …, without gaps, even under races and
        ///    failures. Marked places are filled with it.
        /// 6. Insert the effects, created now and due at [`Effect::due_at`](crate::changes::effect::Effect::due_at), both by the
        ///    storage's clock.
        ///
        /// If another change set takes a name at the same moment, this one may answer [`CommitError::Duplicate`] although one
        /// of its guards fails too.
        ///
        /// A change set that fails leaves nothing behind, and does not harm those committed at the same time.
        ///
        /// # Errors
        /// [`CommitError`]. After a port error of kind *outcome unknown*, the change set may or may not have landed; the caller
        /// can send the identical one again.
        async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError>;
    }
}
