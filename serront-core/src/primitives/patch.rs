//! Fields of a partial update.

use serde::{Deserialize, Deserializer};

/// Reads a field that may be left out, null, or given: `None`, `Some(None)`, `Some(Some(_))`.
///
/// # Errors
/// The deserializer's.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
