//! Texts that people type, validated once (field limits of the wire contract, section 1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rejection::Invalid;

/// Longest name, title or bank detail, in characters after trimming.
pub const NAME_CHARACTERS_MAX: usize = 100;
/// Longest description, note, instruction or bio, in characters.
pub const PROSE_CHARACTERS_MAX: usize = 2_000;
/// Longest slug, in characters.
pub const SLUG_CHARACTERS_MAX: usize = 60;
/// Longest e-mail address, in bytes as SMTP counts them (RFC 5321's path less its brackets).
pub const EMAIL_BYTES_MAX: usize = 254;

/// A name, title or bank detail: 1–100 characters after trimming, none of them a control character.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn name(param: &str, raw: &str) -> Result<String, Invalid> {
    let trimmed = raw.trim();
    if trimmed.is_empty() {
        return Err(Invalid::new(param, "must not be blank"));
    }
    bounded(param, trimmed, NAME_CHARACTERS_MAX, char::is_control)?;
    Ok(trimmed.to_owned())
}

/// Free text of up to 2,000 characters; line breaks and tabs are the only control characters allowed.
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

/// Free text that may be left out; blank counts as left out.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn optional_prose(param: &str, raw: Option<&str>) -> Result<Option<String>, Invalid> {
    let text = raw.map(|raw| prose(param, raw)).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// A name that may be left out; blank counts as left out.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn optional_name(param: &str, raw: Option<&str>) -> Result<Option<String>, Invalid> {
    raw.filter(|raw| !raw.trim().is_empty()).map(|raw| name(param, raw)).transpose()
}

/// Whether this is one of the invisible characters that turn the direction of the text around them. Names and prose may hold
/// them; where such a text stands within sentences of ours, they would rewrite those. Right-to-left letters are none of
/// them, and need none.
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
    /// Parses a slug; nothing is trimmed or lowered.
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

    /// The slug's text.
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

/// A buyer's e-mail address. Its `Debug` shows no part of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses one address, without a display name, as the mail library takes it.
    ///
    /// # Errors
    /// [`Invalid`] naming `param`.
    pub fn parse(param: &str, raw: &str) -> Result<Self, Invalid> {
        let trimmed = raw.trim();
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

    /// The address's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EmailAddress(…)")
    }
}

/// A WhatsApp number in E.164: `+`, then 8 to 15 digits, the first not zero.
///
/// ITU-T E.164 allows at most 15 digits and gives no lower bound; fewer than 8 belong to no mobile number. A number
/// without its `+` is refused: which country it belongs to would be a guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WhatsAppNumber(String);

impl WhatsAppNumber {
    /// Parses a number; spaces and dashes are refused, not removed.
    ///
    /// # Errors
    /// [`Invalid`] naming `param`.
    pub fn parse(param: &str, raw: &str) -> Result<Self, Invalid> {
        let fits = raw.strip_prefix('+').is_some_and(|digits| {
            (8..=15).contains(&digits.len())
                && !digits.starts_with('0')
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        if !fits {
            return Err(Invalid::new(param, "must be an E.164 number such as +628123456789"));
        }
        Ok(Self(raw.to_owned()))
    }

    /// The number with its `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address that opens a chat with this number.
    #[must_use]
    pub fn link(&self) -> String {
        format!("https://wa.me/{}", self.0.trim_start_matches('+'))
    }
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

    #[test]
    fn prose_keeps_its_lines() {
        assert_eq!(prose("p", " a\nb\t ").unwrap(), "a\nb");
        assert!(prose("p", &"x".repeat(2_000)).is_ok());
        assert!(prose("p", &"x".repeat(2_001)).is_err());
        assert!(prose("p", "a\0").is_err());
        assert_eq!(optional_prose("p", Some("  ")).unwrap(), None);
    }

    #[test]
    fn slugs_have_one_alphabet() {
        assert!(Slug::parse("slug", "studio-renata-2").is_ok());
        for bad in ["", "Studio", "a b", "a_b", "é", "a\n", &"a".repeat(61)] {
            assert!(Slug::parse("slug", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_those_the_mail_library_takes() {
        for good in ["budi@example.com", "a.b+c@sub.example.co.id"] {
            assert_eq!(EmailAddress::parse("e", good).unwrap().as_str(), good);
        }
        let long = format!("{}@example.com", "a".repeat(250));
        // 178 characters, and more bytes than a mail server takes (found by fuzzing, #8).
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
