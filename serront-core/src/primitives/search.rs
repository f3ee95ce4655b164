//! Splits texts and search queries into words.

use crate::primitives::compare::folded;
use crate::primitives::rejection::Invalid;

/// Longest search text, in characters.
pub const SEARCH_CHARACTERS_MAX: usize = 200;

/// Words are cut after this many characters, in the text and in the query alike.
const WORD_CHARACTERS_MAX: usize = 64;

/// The words of a text, [folded]: runs of letters and digits. Engines with a word index must index exactly these.
#[must_use]
pub fn words_of(text: &str) -> Vec<String> {
    folded(text)
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_CHARACTERS_MAX).collect())
        .collect()
}

/// Whether any word of the text begins with `beginning`, which must be folded.
#[must_use]
pub fn has_word(text: &str, beginning: &str) -> bool {
    words_of(text).iter().any(|word| word.starts_with(beginning))
}

/// Splits a search text into words. The list is empty if the text has no letter or digit.
///
/// # Errors
/// [`Invalid`] naming `q` if the text has more than 200 characters or a control character.
pub fn search_words(raw: &str) -> Result<Vec<String>, Invalid> {
    if raw.chars().count() > SEARCH_CHARACTERS_MAX || raw.chars().any(char::is_control) {
        return Err(Invalid::new("q", "must be at most 200 characters, none of them a control character"));
    }
    Ok(words_of(raw))
}
