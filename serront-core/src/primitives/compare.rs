//! Normalizes typed texts for comparison and for search. Texts are stored and shown as typed, not normalized.
//!
//! [`compared`] is for names that must be unique: texts that look the same on a screen are equal. [`folded`] is for
//! search: a query without accents or capitals finds the text that has them.

use unicode_normalization::UnicodeNormalization as _;

use crate::primitives::text::is_invisible;

/// Normalizes a text for uniqueness checks: NFC, without invisible characters, trimmed.
#[must_use]
pub fn compared(text: &str) -> String {
    let visible: String = text.chars().filter(|character| !is_ignored(*character)).nfc().collect();
    visible.trim().to_owned()
}

/// Normalizes a text for search: compatibility forms decomposed (`ﬁ` is `fi`), lowercase, without accents and invisible
/// characters. Marks that change a letter's meaning, such as the vowel signs of Devanagari, are kept.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let bare = text.chars().filter(|character| !is_ignored(*character)).nfkd().filter(|mark| !is_accent(*mark));
    // By character: `str::to_lowercase` depends on the position in the word (Σ), which would break prefix matches.
    bare.flat_map(char::to_lowercase).nfc().collect()
}

/// Whether the character is in a Unicode block of combining diacritical marks.
const fn is_accent(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Invisible characters, and control characters other than line breaks and tabs.
fn is_ignored(character: char) -> bool {
    is_invisible(character) || character.is_control() && !matches!(character, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_the_same_compare_equal() {
        for (one, other) in [
            ("R\u{e9}f-1", "Re\u{301}f-1"),
            ("R-1", "\u{200b}R\u{2060}-1\u{feff}"),
            ("R-1", " R-1 \u{200e} "),
            ("\u{212b}", "\u{c5}"),
        ] {
            assert_eq!(compared(one), compared(other), "{one:?} {other:?}");
        }
        for (one, other) in [("R-1", "r-1"), ("R 1", "R1"), ("Jose", "José"), ("ﬁ", "fi")] {
            assert_ne!(compared(one), compared(other), "{one:?} {other:?}");
        }
        assert_eq!(compared("\u{200b}\u{2060} "), "");
    }

    #[test]
    fn folding_removes_accents_and_capitals() {
        for (text, expected) in [
            ("Budi SANTOSO", "budi santoso"),
            ("Jos\u{e9} Jose\u{301}", "jose jose"),
            ("ÖKO İstanbul", "oko istanbul"),
            ("Nguyễn Ｂｕｄｉ", "nguyen budi"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("Bu\u{200b}di", "budi"),
            ("日本 한국", "日本 한국"),
            ("कि", "कि"),
        ] {
            assert_eq!(folded(text), expected, "{text:?}");
        }
        for text in ["Jos\u{e9}", "İ", "Ａ\u{301}ﬁ", "ẞ", "ǅ"] {
            assert_eq!(folded(&folded(text)), folded(text), "{text:?}: folding is idempotent");
        }
    }
}
