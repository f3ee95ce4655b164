//! Fields of a partial update.

use serde::{Deserialize, Deserializer};

/// Deserializes an optional field and keeps apart: missing (`None`, with `#[serde(default)]`), null (`Some(None)`) and
/// a value (`Some(Some(_))`).
///
/// # Errors
/// The deserializer's.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
