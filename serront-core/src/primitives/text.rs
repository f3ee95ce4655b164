//! Texts that people type, validated once (field limits of the wire contract, section 1).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::primitives::rejection::Invalid;

/// Longest name, title or bank detail, in characters after trimming.
pub const NAME_CHARACTERS_MAX: usize = 100;
/// Longest description, note, instruction or bio, in characters.
pub const PROSE_CHARACTERS_MAX: usize = 2_000;
/// Longest slug, in characters.
pub const SLUG_CHARACTERS_MAX: usize = 60;
/// Longest e-mail address, in bytes as SMTP counts them (RFC 5321's path less its brackets).
pub const EMAIL_BYTES_MAX: usize = 254;

/// A name, title or bank detail: 1–100 characters after trimming, none of them a control character, and at least one that can
/// be seen.
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
    Ok(text.filter(|text| !is_blank(text)))
}

/// A name that may be left out; blank counts as left out.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn optional_name(param: &str, raw: Option<&str>) -> Result<Option<String>, Invalid> {
    raw.filter(|raw| !is_blank(raw)).map(|raw| name(param, raw)).transpose()
}

/// Whether this character shows nothing and takes no room: those that Unicode lets every program ignore
/// (`Default_Ignorable_Code_Point`), and the empty Braille pattern. They come along when text is copied from a page or a
/// messenger, and nobody sees them.
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

/// Whether nothing of this text can be seen.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || is_invisible(character))
}

/// The text without the blanks and invisible characters around it.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || is_invisible(character))
}

/// The text without its invisible characters ([`is_invisible`]): a number or an address as it looks. Names and prose keep theirs,
/// for some scripts and many emoji are written with them.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().filter(|character| !is_invisible(*character)).collect()
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
    /// Parses one address, without a display name, as the mail library takes it. Invisible characters are taken out first:
    /// they come along when an address is copied, and a mail to an address with one would not arrive.
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

/// A WhatsApp number in E.164: `+`, then 8 to 15 digits, the first not zero, and no national 0 behind the country's code.
///
/// ITU-T E.164 allows at most 15 digits and gives no lower bound; fewer than 8 belong to no mobile number. A number
/// without its `+` is refused: which country it belongs to would be a guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WhatsAppNumber(String);

impl WhatsAppNumber {
    /// Parses a number; spaces and dashes are refused, not removed. Invisible characters are removed: phones copy numbers out
    /// of contacts with marks of direction around them.
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
                "must not have the 0 of national numbers behind the country code: +62812…, not +620812…",
            ));
        }
        Ok(Self(number))
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

/// Whether this number in E.164 has the 0 that belongs in front of a number within its country, as in `+62081…`. WhatsApp
/// reaches nobody there.
///
/// It is said only where no number of the country begins with a 0 behind the code: of North America, Russia, every country
/// with a code of two digits but Italy (39), and Asia's codes of three digits. Of the other codes some keep a 0 (Ivory Coast,
/// Gabon, Congo), so they are not judged.
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

    /// Copied from a page or a messenger, texts carry characters that nobody sees (#16).
    #[test]
    fn what_nobody_sees_is_blank_in_a_name_and_gone_from_a_number_or_an_address() {
        const UNSEEN: [char; 10] = [
            '\u{200b}', '\u{200e}', '\u{202a}', '\u{202c}', '\u{2066}', '\u{2069}', '\u{feff}', '\u{ad}', '\u{2060}',
            '\u{3164}',
        ];
        for unseen in UNSEEN {
            let blank = format!(" {unseen}{unseen} ");
            assert_eq!(name("n", &blank).unwrap_err().reason, "must not be blank", "{unseen:?}");
            assert_eq!(optional_name("n", Some(&blank)).unwrap(), None, "{unseen:?}");
            assert_eq!(optional_prose("p", Some(&blank)).unwrap(), None, "{unseen:?}");
            let number = WhatsAppNumber::parse("w", &format!("{unseen}+62812{unseen}0000000{unseen}")).unwrap();
            assert_eq!(number.as_str(), "+628120000000", "{unseen:?}");
            let address = EmailAddress::parse("e", &format!("{unseen} budi@exam{unseen}ple.com {unseen}")).unwrap();
            assert_eq!(address.as_str(), "budi@example.com", "{unseen:?}");
        }
        // What shows is not touched: emoji and other scripts are written with such characters.
        for kept in ["👩\u{200d}🔧 Rina", "Kopi ☕\u{fe0f}", "می\u{200c}خواهم"] {
            assert_eq!(name("n", kept).unwrap(), kept);
        }
        let invisible =
            (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|character| is_invisible(*character));
        // 4,174 of Unicode's `Default_Ignorable_Code_Point`, and the empty Braille pattern.
        assert_eq!(invisible.count(), 4_175);
        assert!(!is_invisible('\u{a0}') && is_blank("\u{a0}\u{2028}"));
    }

    /// `+62081…` is no number: the 0 is that of calls within the country (#16).
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
