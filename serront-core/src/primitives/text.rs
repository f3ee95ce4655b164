//! Validation of typed texts (field limits of the wire contract, section 1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::primitives::macros::redacted_debug;
use crate::primitives::rejection::Invalid;

/// Longest name, title or bank detail, in characters after trimming.
pub const NAME_CHARACTERS_MAX: usize = 100;
/// Longest description, note, instruction or bio, in characters.
pub const PROSE_CHARACTERS_MAX: usize = 2_000;
/// Longest slug, in characters.
pub const SLUG_CHARACTERS_MAX: usize = 60;
/// Longest e-mail address, in bytes: RFC 5321 limits a path to 256, of which 2 are its angle brackets.
pub const EMAIL_BYTES_MAX: usize = 254;

/// Validates a name, title or bank detail: 1–100 characters after trimming, no control characters, at least one
/// visible.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn name(param: &str, raw: &str) -> Result<String, Invalid> {
    if is_blank(raw) {
        return Err(Invalid::new(param, "must not be blank"));
    }
    let trimmed = raw.trim();
    bounded(param, trimmed, NAME_CHARACTERS_MAX, char::is_control)?;
    Ok(trimmed.to_owned())
}

/// Validates free text of up to 2,000 characters; line breaks and tabs are the only control characters allowed.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn prose(param: &str, raw: &str) -> Result<String, Invalid> {
    let trimmed = raw.trim();
    bounded(param, trimmed, PROSE_CHARACTERS_MAX, |character| {
        character.is_control() && !matches!(character, '\n' | '\r' | '\t')
    })?;
    Ok(trimmed.to_owned())
}

/// Validates optional free text; a blank one counts as `None`.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn optional_prose(param: &str, raw: Option<&str>) -> Result<Option<String>, Invalid> {
    let text = raw.map(|raw| prose(param, raw)).transpose()?;
    Ok(text.filter(|text| !is_blank(text)))
}

/// Validates an optional name; a blank one counts as `None`.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn optional_name(param: &str, raw: Option<&str>) -> Result<Option<String>, Invalid> {
    raw.filter(|raw| !is_blank(raw)).map(|raw| name(param, raw)).transpose()
}

/// Whether the character is invisible: Unicode's `Default_Ignorable_Code_Point`, and the blank Braille pattern. Text
/// copied from a page or a messenger often contains such characters.
#[must_use]
pub const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether the text has no visible character.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || is_invisible(character))
}

/// The text without leading and trailing whitespace and invisible characters.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || is_invisible(character))
}

/// The text without [invisible](is_invisible) characters, for numbers and addresses. Names and prose keep them, because
/// some scripts and many emoji need them.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().filter(|character| !is_invisible(*character)).collect()
}

/// Whether the character is an invisible control of text direction. Names and prose may contain them; inside one of our
/// sentences, they could reorder the rest of the sentence. Right-to-left letters are not among them, and do not need
/// them.
#[must_use]
pub const fn turns_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn bounded(param: &str, text: &str, characters_max: usize, forbidden: impl Fn(char) -> bool) -> Result<(), Invalid> {
    if text.chars().count() > characters_max {
        return Err(Invalid::new(param, format!("must be at most {characters_max} characters")));
    }
    if text.chars().any(forbidden) {
        return Err(Invalid::new(param, "must not contain control characters"));
    }
    Ok(())
}

/// A slug: 1–60 of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// Parses a slug, without trimming or lowercasing.
    ///
    /// # Errors
    /// [`Invalid`] naming `param`.
    pub fn parse(param: &str, raw: &str) -> Result<Self, Invalid> {
        let fits = (1..=SLUG_CHARACTERS_MAX).contains(&raw.len())
            && raw.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !fits {
            return Err(Invalid::new(param, "must be 1 to 60 of a-z, 0-9 and -"));
        }
        Ok(Self(raw.to_owned()))
    }

    /// The slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A buyer's e-mail address. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses one address without a display name, by the mail library's rules. Removes invisible characters first:
    /// copied addresses contain them, and mail to such an address would not arrive.
    ///
    /// # Errors
    /// [`Invalid`] naming `param`.
    pub fn parse(param: &str, raw: &str) -> Result<Self, Invalid> {
        let visible = visible(raw);
        let trimmed = visible.trim();
        let well_formed = trimmed.len() <= EMAIL_BYTES_MAX
            && !trimmed.chars().any(|character| character.is_control() || character.is_whitespace())
            && trimmed.rsplit_once('@').is_some_and(|(local, domain)| {
                email_address::EmailAddress::is_valid_local_part(local)
                    && email_address::EmailAddress::is_valid_domain(domain)
            });
        if !well_formed {
            return Err(Invalid::new(param, "must be an e-mail address of at most 254 bytes"));
        }
        Ok(Self(trimmed.to_owned()))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

redacted_debug!(EmailAddress);

/// A WhatsApp number in E.164: `+`, then 8 to 15 digits, the first not 0, and no national 0 after the country code.
///
/// ITU-T E.164 allows at most 15 digits and sets no lower bound; no mobile number has fewer than 8. A number without
/// `+` is refused, because its country would be a guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WhatsAppNumber(String);

impl WhatsAppNumber {
    /// Parses a number. Spaces and dashes are refused. Invisible characters are removed: phones add direction marks to
    /// numbers copied from contacts.
    ///
    /// # Errors
    /// [`Invalid`] naming `param`.
    pub fn parse(param: &str, raw: &str) -> Result<Self, Invalid> {
        let number = visible(raw);
        let fits = number.strip_prefix('+').is_some_and(|digits| {
            (8..=15).contains(&digits.len())
                && !digits.starts_with('0')
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if !fits {
            return Err(Invalid::new(param, "must be an E.164 number such as +628123456789"));
        }
        if has_national_zero(&number) {
            return Err(Invalid::new(
                param,
                "must not have the 0 of national numbers after the country code: +62812…, not +620812…",
            ));
        }
        Ok(Self(number))
    }

    /// The number with its `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL that opens a chat with this number.
    #[must_use]
    pub fn link(&self) -> String {
        format!("https://wa.me/{}", self.0.trim_start_matches('+'))
    }
}

/// Whether an E.164 number still has the leading 0 of national dialling, as in `+62081…`. Such a number is not on
/// WhatsApp.
///
/// Checks only countries where no number starts with 0 after the code: North America, Russia, all two-digit codes
/// except Italy (39), and Asia's three-digit codes. Some of the other countries keep a 0 (Ivory Coast, Gabon, Congo).
#[must_use]
pub fn has_national_zero(number: &str) -> bool {
    let Some(digits) = number.strip_prefix('+').map(str::as_bytes) else { return false };
    let code_digits = match digits {
        [b'1' | b'7', ..] => 1,
        [b'3', b'9', ..] => return false,
        [b'2', b'1'..=b'6' | b'8' | b'9', ..]
        | [b'3', b'5' | b'7' | b'8', ..]
        | [b'4', b'2', ..]
        | [b'5', b'0' | b'9', ..]
        | [b'6', b'7'..=b'9', ..] => return false,
        [b'8', b'0' | b'3' | b'7' | b'9', ..] => return false,
        [b'8', b'5' | b'8', ..] | [b'9', b'6' | b'7' | b'9', ..] => 3,
        _ => 2,
    };
    digits.get(code_digits) == Some(&b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("n", "  Kopi Susu ").unwrap(), "Kopi Susu");
        assert_eq!(name("n", &"日".repeat(100)).unwrap().chars().count(), 100);
        for bad in ["", "   ", "a\0b", "a\nb", "\u{7f}x\u{7f}", &"x".repeat(101)] {
            assert_eq!(name("n", bad).unwrap_err().param, "n", "{bad:?}");
        }
    }

    /// Texts copied from a page or a messenger contain invisible characters (#16).
    #[test]
    fn invisible_characters_are_blank_in_names_and_removed_from_numbers_and_addresses() {
        const INVISIBLE: [char; 10] = [
            '\u{200b}', '\u{200e}', '\u{202a}', '\u{202c}', '\u{2066}', '\u{2069}', '\u{feff}', '\u{ad}', '\u{2060}',
            '\u{3164}',
        ];
        for hidden in INVISIBLE {
            let blank = format!(" {hidden}{hidden} ");
            assert_eq!(name("n", &blank).unwrap_err().reason, "must not be blank", "{hidden:?}");
            assert_eq!(optional_name("n", Some(&blank)).unwrap(), None, "{hidden:?}");
            assert_eq!(optional_prose("p", Some(&blank)).unwrap(), None, "{hidden:?}");
            let number = WhatsAppNumber::parse("w", &format!("{hidden}+62812{hidden}0000000{hidden}")).unwrap();
            assert_eq!(number.as_str(), "+628120000000", "{hidden:?}");
            let address = EmailAddress::parse("e", &format!("{hidden} budi@exam{hidden}ple.com {hidden}")).unwrap();
            assert_eq!(address.as_str(), "budi@example.com", "{hidden:?}");
        }
        // Emoji and other scripts need such characters.
        for kept in ["👩\u{200d}🔧 Rina", "Kopi ☕\u{fe0f}", "می\u{200c}خواهم"] {
            assert_eq!(name("n", kept).unwrap(), kept);
        }
        let invisible =
            (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|character| is_invisible(*character));
        // 4,174 with Unicode's `Default_Ignorable_Code_Point`, and the blank Braille pattern.
        assert_eq!(invisible.count(), 4_175);
        assert!(!is_invisible('\u{a0}') && is_blank("\u{a0}\u{2028}"));
    }

    /// `+62081…` is not a number: the 0 is only dialled within the country (#16).
    #[test]
    fn whatsapp_numbers_have_no_national_zero_and_the_refusal_says_so() {
        for bad in ["+6208120000000", "+60012345678", "+440791112345", "+8550123456", "+10212555012", "+9710501234"] {
            let refusal = WhatsAppNumber::parse("w", bad).unwrap_err();
            assert!(refusal.reason.contains("the 0 of national numbers"), "{bad}");
            assert!(!refusal.to_string().contains(bad));
        }
        for good in ["+6281200000000", "+390612345678", "+2250707000000", "+24106000000", "+6590000000", "+85512345678"]
        {
            assert_eq!(WhatsAppNumber::parse("w", good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn prose_keeps_line_breaks() {
        assert_eq!(prose("p", " a\nb\t ").unwrap(), "a\nb");
        assert!(prose("p", &"x".repeat(2_000)).is_ok());
        assert!(prose("p", &"x".repeat(2_001)).is_err());
        assert!(prose("p", "a\0").is_err());
        assert_eq!(optional_prose("p", Some("  ")).unwrap(), None);
    }

    #[test]
    fn slugs_have_a_fixed_alphabet() {
        assert!(Slug::parse("slug", "studio-renata-2").is_ok());
        for bad in ["", "Studio", "a b", "a_b", "é", "a\n", &"a".repeat(61)] {
            assert!(Slug::parse("slug", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_follow_the_mail_library() {
        for good in ["budi@example.com", "a.b+c@sub.example.co.id"] {
            assert_eq!(EmailAddress::parse("e", good).unwrap().as_str(), good);
        }
        let long = format!("{}@example.com", "a".repeat(250));
        // 178 characters, but more bytes than a mail server accepts (found by fuzzing, #8).
        let wide = format!("{}.example.com@{}com", "é".repeat(30), "ééééééééé.".repeat(14));
        assert!(wide.chars().count() < EMAIL_BYTES_MAX && wide.len() > EMAIL_BYTES_MAX);
        for bad in [
            "",
            "budi",
            "budi@",
            "@example.com",
            "Budi <budi@example.com>",
            "a@b@c.d ,",
            "a\r\nBcc: x@y.z",
            &long,
            &wide,
        ] {
            assert!(EmailAddress::parse("e", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn whatsapp_numbers_are_e164_and_never_guessed() {
        let number = WhatsAppNumber::parse("w", "+628120000000").unwrap();
        assert_eq!(number.link(), "https://wa.me/628120000000");
        for bad in [
            "628120000000",
            "08120000000",
            "+0812000000",
            "+62 812",
            "+6281",
            "+1234567890123456",
            "+62812abc00",
            "++628120000",
        ] {
            assert!(WhatsAppNumber::parse("w", bad).is_err(), "{bad:?}");
        }
    }
}
