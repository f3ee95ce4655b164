//! When two texts that people typed count as the same, though their characters differ.
//!
//! [`compared`] is for names that must be unique: two texts that look the same on a screen are the same. [`folded`] is for a
//! search: what a person would type without an accent or a capital finds the text that has them.
//!
//! What it is not: nothing here changes what is shown. Names and notes are stored as they were typed.

use unicode_normalization::UnicodeNormalization as _;

use crate::primitives::text::is_invisible;

/// A text as it is compared with others of its kind: NFC, without invisible characters, without blanks at either end.
#[must_use]
pub fn compared(text: &str) -> String {
    let visible: String = text.chars().filter(|character| !shows_nothing(*character)).nfc().collect();
    visible.trim().to_owned()
}

/// A text as a search sees it: compatible forms made one (`ﬁ` is `fi`), without accents, capitals and invisible characters.
///
/// Marks that belong to a letter's meaning, such as the vowel signs of Devanagari, stay.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let bare = text.chars().filter(|character| !shows_nothing(*character)).nfkd().filter(|mark| !is_accent(*mark));
    // Letter by letter, so that a word's beginning is lowered as it is in the whole word.
    bare.flat_map(char::to_lowercase).nfc().collect()
}

/// The blocks of combining diacritical marks.
const fn is_accent(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// What shows nothing: invisible characters, and control characters other than line breaks and tabs.
fn shows_nothing(character: char) -> bool {
    is_invisible(character) || character.is_control() && !matches!(character, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_compares_the_same() {
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
    fn a_search_sees_no_accents_and_no_capitals() {
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
            assert_eq!(folded(&folded(text)), folded(text), "{text:?}: folding is done once");
        }
    }
}
