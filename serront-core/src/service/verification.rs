//! Verifying the books.

use crate::funds::books::{Verification, VerificationReport};
use crate::ports::{Bookkeeping, PortError};
use crate::primitives::ids::AccountId;

/// Verifies the books of one account, or of all if `account_id` is `None`. `verification` reports the progress while
/// this runs.
///
/// # Errors
/// The storage's failure. Verifying changes nothing, so it can simply be repeated.
pub async fn verify<S: Bookkeeping + ?Sized>(
    storage: &S,
    account_id: Option<AccountId>,
    verification: &Verification,
) -> Result<VerificationReport, PortError> {
    storage.books(account_id, verification).await?;
    Ok(verification.report())
}
