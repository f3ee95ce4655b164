//! Words that a search looks for.

use crate::primitives::compare::folded;
use crate::primitives::rejection::Invalid;

/// Longest search text, in characters.
pub const SEARCH_CHARACTERS_MAX: usize = 200;

/// Longest word that is told apart, in characters: more is cut, here as there.
const WORD_CHARACTERS_MAX: usize = 64;

/// The words of a text, [folded]: runs of letters and digits. An engine that indexes words indexes these.
#[must_use]
pub fn words_of(text: &str) -> Vec<String> {
    folded(text)
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_CHARACTERS_MAX).collect())
        .collect()
}

/// Whether a text has a word that begins with this one.
#[must_use]
pub fn has_word(text: &str, beginning: &str) -> bool {
    words_of(text).iter().any(|word| word.starts_with(beginning))
}

/// Splits a search text into its words. A text without a letter or a digit searches for nothing.
///
/// # Errors
/// [`Invalid`] naming `q` above 200 characters or with control characters in it.
pub fn search_words(raw: &str) -> Result<Vec<String>, Invalid> {
    if raw.chars().count() > SEARCH_CHARACTERS_MAX || raw.chars().any(char::is_control) {
        return Err(Invalid::new("q", "must be at most 200 characters, none of them a control character"));
    }
    Ok(words_of(raw))
}
