//! Forms: urlencoded fields, and the multipart form of an upload.

use std::convert::Infallible;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::stream;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::orders::receipt::RECEIPT_BYTES_MAX;
use serront_core::ports::Secrets;
use serront_core::primitives::digest::{Digest256, hex};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::rejection::{Code, Invalid, Rejection};
use serront_core::primitives::text::{self, Slug};

use super::visit::Turn;
use crate::body::Intake;
use crate::log::describe;
use crate::problem::Problem;

/// Most bytes of a form. The largest, a storefront with all fields at their limits, urlencoded, is under 150 KiB.
const FORM_BYTES_MAX: usize = 256 * 1024;
/// Most fields of a form; a storefront's has some twenty. Each takes far more memory than the two bytes it may be sent as.
const FIELDS_MAX: usize = 200;
/// Most bytes around the file in a multipart form.
const ENVELOPE_BYTES_MAX: usize = 16 * 1024;
/// The field that carries the session's token.
pub(super) const TOKEN: &str = "csrf";
/// The field with the idempotency key.
pub(super) const ONCE: &str = "once";

pub(super) struct Form {
    fields: Vec<(String, String)>,
    bytes: Vec<u8>,
}

impl Form {
    pub(super) async fn read(intake: &Intake) -> Result<Self, Turn> {
        let bytes = intake.read(FORM_BYTES_MAX).await?;
        let fields: Vec<_> = url::form_urlencoded::parse(&bytes).into_owned().take(FIELDS_MAX + 1).collect();
        if fields.len() > FIELDS_MAX {
            return Err(Problem::of(Code::PayloadTooLarge, "the form has too many fields").into());
        }
        Ok(Self { fields, bytes })
    }

    /// A field as it was sent; empty if it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value.as_str())
    }

    /// An optional field, trimmed; `None` if it is blank.
    pub(super) fn optional(&self, name: &str) -> Option<String> {
        // Browsers send the line breaks of text areas as CR LF.
        Some(self.text(name).trim().replace("\r\n", "\n")).filter(|text| !text::is_blank(text))
    }

    pub(super) fn ticked(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// An amount in rupiah as people write it: `750.000`, `Rp 750.000,-` or `750000`.
    pub(super) fn amount(&self, name: &str) -> Result<i64, Invalid> {
        parse_amount(self.text(name)).ok_or_else(|| Invalid::new(name, "must be a whole number of rupiah"))
    }

    /// Whether the form carries the session's token.
    pub(super) fn carries(&self, token: &str) -> bool {
        // Digests are compared, so that the comparison's time reveals nothing about the token.
        Digest256::of(self.text(TOKEN).as_bytes()) == Digest256::of(token.as_bytes()) && !token.is_empty()
    }

    /// The idempotency key of a storefront's form. `None` if the form's page has none, as in an earlier version.
    pub(super) fn once_at(&self, slug: &Slug, path: &str) -> Result<Option<IdempotentRequest>, Turn> {
        let once = Some(self.text(ONCE)).filter(|once| !once.is_empty());
        Ok(once.map(|once| IdempotentRequest::of_shop(slug, "POST", path, once, &self.bytes)).transpose()?)
    }

    /// The idempotency key of this form.
    pub(super) fn once(&self, account: AccountId, path: &str) -> Result<Option<IdempotentRequest>, Turn> {
        Ok(Some(IdempotentRequest::new(account, "POST", path, self.text(ONCE), &self.bytes)?))
    }
}

/// An idempotency key for a form, different on each page.
pub(super) fn fresh_once(secrets: &dyn Secrets) -> Result<String, Turn> {
    Ok(hex(&secrets.draw().map_err(|error| Problem::internal(describe(&error)))?))
}

fn parse_amount(raw: &str) -> Option<i64> {
    let lowered = text::visible(raw).trim().to_lowercase();
    let digits = ["rp.", "rp", "idr"].iter().find_map(|prefix| lowered.strip_prefix(prefix)).unwrap_or(&lowered).trim();
    let digits = [",-", ",00"].iter().find_map(|end| digits.strip_suffix(end)).unwrap_or(digits);
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    if let Ok(amount) = digits.parse::<u64>() {
        return i64::try_from(amount).ok();
    }
    // Points separate groups of three digits, as usual in Indonesia; anything else would be a guess.
    let mut groups = digits.split('.');
    let first = groups.next().filter(|group| (1..=3).contains(&group.len()))?;
    let mut joined = first.to_owned();
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        joined.push_str(group);
    }
    joined.parse().ok()
}

/// The bytes of the file in this field of a multipart form. A file that is too large is refused before it is read completely.
///
/// The file's name and type are ignored: browsers derive both from the name, and the bytes are more reliable.
pub(super) async fn upload(intake: &Intake, headers: &HeaderMap, field: &str) -> Result<Vec<u8>, Problem> {
    let malformed = || Problem::from(Invalid::new(field, "must be a file of a form"));
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).map_err(|_| malformed())?;
    let bytes = intake.read(RECEIPT_BYTES_MAX + ENVELOPE_BYTES_MAX).await?;
    let whole = stream::once(async { Ok::<_, Infallible>(Bytes::from(bytes)) });
    let mut parts = multer::Multipart::new(whole, boundary);
    while let Some(part) = parts.next_field().await.map_err(|_| malformed())? {
        if part.name() != Some(field) {
            continue;
        }
        let bytes = part.bytes().await.map_err(|_| malformed())?;
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(Rejection::PayloadTooLarge { bytes_max: RECEIPT_BYTES_MAX }.into());
        }
        return Ok(bytes.into());
    }
    Err(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them_and_never_guessed() {
        for (raw, amount) in [
            ("750000", Some(750_000)),
            (" Rp 750.000 ", Some(750_000)),
            ("Rp1.250.000", Some(1_250_000)),
            ("0", Some(0)),
            ("1.5", None),
            ("750,000", None),
            ("750.00", None),
            ("7500.000", None),
            (".000", None),
            ("-1", None),
            ("+1", None),
            ("Rp. 10.000", Some(10_000)),
            // Copied from a page (#16).
            ("\u{200b}750.\u{2060}000\u{feff}", Some(750_000)),
            ("rp10.000,-", Some(10_000)),
            ("10.000,00", Some(10_000)),
            ("10.000,50", None),
            ("10,00", Some(10)),
            ("1e3", None),
            ("", None),
            ("Rp", None),
            ("9999999999999999999999", None),
        ] {
            assert_eq!(parse_amount(raw), amount, "{raw:?}");
        }
    }
}
