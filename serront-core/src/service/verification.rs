//! Verifying the books.

use crate::funds::books::{Verification, VerificationReport};
use crate::ports::{Bookkeeping, PortError};
use crate::primitives::ids::AccountId;

/// Verifies the books of one account, or of all. How far it is, the verification can be asked meanwhile.
///
/// # Errors
/// The storage's failure; nothing was changed, and a new verification can begin.
pub async fn verify<S: Bookkeeping + ?Sized>(
    storage: &S,
    account_id: Option<AccountId>,
    verification: &Verification,
) -> Result<VerificationReport, PortError> {
    storage.books(account_id, verification).await?;
    Ok(verification.report())
}
