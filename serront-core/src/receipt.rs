//! Receipts: images that a buyer uploads as proof of a transfer, recognised by their bytes.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::UploadId;
use crate::rejection::Rejection;
use crate::time::Timestamp;

/// Most bytes that a receipt may have: 5 MiB (the published "5 MB", read generously).
pub const RECEIPT_BYTES_MAX: usize = 5 * 1024 * 1024;

/// A SHA-256 digest, shown as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest256([u8; 32]);

impl Digest256 {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that was written as 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        crate::signature::unhex(hex).map(Self)
    }
}

impl fmt::Display for Digest256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&crate::signature::hex(&self.0))
    }
}

impl fmt::Debug for Digest256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Digest256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not a SHA-256 digest"))
    }
}

/// The kinds of image that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageType {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
}

impl ImageType {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Webp, Self::Gif];

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    /// The kind of this media type; parameters and letter case do not matter.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|kind| kind.media_type().eq_ignore_ascii_case(essence))
    }

    /// Recognises an image by its bytes: the signature at its start, and the end that its format calls for, so that
    /// a file which continues as something else after the image (an archive, a page, a script) is refused.
    ///
    /// # Errors
    /// [`Rejection::UnsupportedMediaType`] if the bytes are no such image, or two kinds of file at once.
    pub fn recognise(bytes: &[u8]) -> Result<Self, Rejection> {
        let (kind, ends) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            (Self::Png, png_ends(bytes))
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            (Self::Jpeg, jpeg_ends(bytes))
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            (Self::Webp, webp_ends(bytes))
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            (Self::Gif, gif_ends(bytes))
        } else {
            return Err(Rejection::UnsupportedMediaType("the bytes must be a PNG, JPEG, WebP or GIF image"));
        };
        if ends.is_none() || carries_active_content(bytes) {
            return Err(Rejection::UnsupportedMediaType("the image must be complete, and nothing beside an image"));
        }
        Ok(kind)
    }
}

/// Markup and document signatures that another program might act on. The walk over the format's own structure already
/// refuses what follows an image; this looks into comments and metadata as well.
fn carries_active_content(bytes: &[u8]) -> bool {
    const SIGNATURES: [&[u8]; 5] = [b"<script", b"<!doctype", b"<html", b"<svg", b"%pdf-"];
    bytes.windows(9).any(|window| {
        matches!(window.first(), Some(b'<' | b'%'))
            && SIGNATURES.iter().any(|signature| {
                window.get(..signature.len()).is_some_and(|start| start.eq_ignore_ascii_case(signature))
            })
    })
}

/// Walks the chunks up to IEND, which has to be the last.
fn png_ends(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    let mut first = true;
    loop {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
        let kind = rest.get(4..8)?;
        if first && kind != b"IHDR" {
            return None;
        }
        first = false;
        let end = usize::try_from(length).ok()?.checked_add(12)?;
        let after = rest.get(end..)?;
        if kind == b"IEND" {
            return (length == 0 && after.is_empty()).then_some(());
        }
        rest = after;
    }
}

/// Walks the segments up to the end-of-image marker, which has to be last but for zero padding that some cameras add.
fn jpeg_ends(bytes: &[u8]) -> Option<()> {
    let mut at = 2_usize;
    let mut scanned = false;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        let marker = *bytes.get(at.checked_add(1)?)?;
        match marker {
            0xff => at = at.checked_add(1)?,
            0xd9 => {
                let after = bytes.get(at.checked_add(2)?..)?;
                return (scanned && after.iter().all(|byte| *byte == 0)).then_some(());
            }
            0x01 | 0xd0..=0xd7 => at = at.checked_add(2)?,
            0x00 | 0xd8 => return None,
            0x02..=0xcf | 0xda..=0xfe => {
                let length_at = at.checked_add(2)?;
                let length = u16::from_be_bytes(bytes.get(length_at..length_at.checked_add(2)?)?.try_into().ok()?);
                if length < 2 {
                    return None;
                }
                at = length_at.checked_add(usize::from(length))?;
                if marker == 0xda {
                    scanned = true;
                    at = scan_end(bytes, at)?;
                }
            }
        }
    }
}

/// Where the entropy-coded data that begins here ends: at the next marker that is neither stuffing nor a restart.
fn scan_end(bytes: &[u8], from: usize) -> Option<usize> {
    let data = bytes.get(from..)?;
    let offset = data
        .windows(2)
        .position(|pair| matches!(pair, [0xff, second] if !matches!(second, 0x00 | 0xff | 0xd0..=0xd7)))?;
    from.checked_add(offset)
}

/// The RIFF header states the file's length, padded to an even number.
fn webp_ends(bytes: &[u8]) -> Option<()> {
    let stated = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    let length = usize::try_from(stated).ok()?.checked_add(8)?;
    let chunk = bytes.get(12..16)?;
    (length == bytes.len() && length > 16 && matches!(chunk, b"VP8 " | b"VP8L" | b"VP8X")).then_some(())
}

/// Walks the blocks up to the trailer, which has to be the last byte.
fn gif_ends(bytes: &[u8]) -> Option<()> {
    let mut at = 13_usize.checked_add(color_table(*bytes.get(10)?))?;
    loop {
        match *bytes.get(at)? {
            0x3b => return (at.checked_add(1)? == bytes.len()).then_some(()),
            0x21 => at = sub_blocks_end(bytes, at.checked_add(2)?)?,
            0x2c => {
                let table = color_table(*bytes.get(at.checked_add(9)?)?);
                at = sub_blocks_end(bytes, at.checked_add(11)?.checked_add(table)?)?;
            }
            _ => return None,
        }
    }
}

fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 0x07) + 1) }
}

fn sub_blocks_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at = at.checked_add(1)?.checked_add(length)?;
        if length == 0 {
            return Some(at);
        }
    }
}

/// What is known of an uploaded receipt; its bytes are in the [`Receipts`](crate::ports::Receipts) port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which upload holds the bytes.
    pub upload_id: UploadId,
    /// The kind of image, as recognised.
    pub image_type: ImageType,
    /// How many bytes.
    pub bytes: u32,
    /// Their digest.
    pub sha256: Digest256,
    /// When it was uploaded.
    pub uploaded_at: Timestamp,
}

/// A receipt whose bytes were checked, ready to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedImage {
    /// The kind of image.
    pub image_type: ImageType,
    /// How many bytes.
    pub bytes: u32,
    /// Their digest.
    pub sha256: Digest256,
}

impl CheckedImage {
    /// Checks uploaded bytes against their declared media type.
    ///
    /// # Errors
    /// [`Rejection::PayloadTooLarge`] above [`RECEIPT_BYTES_MAX`]; [`Rejection::UnsupportedMediaType`] if the declared
    /// type is not taken, the bytes are empty, are no such image, or are of another type than declared.
    pub fn check(declared: &str, bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(Rejection::PayloadTooLarge { bytes_max: RECEIPT_BYTES_MAX });
        }
        let declared = ImageType::from_media_type(declared).ok_or(Rejection::UnsupportedMediaType(
            "the content type must be image/png, image/jpeg, image/webp or image/gif",
        ))?;
        let image_type = ImageType::recognise(bytes)?;
        if image_type != declared {
            return Err(Rejection::UnsupportedMediaType("the bytes are not what the content type says"));
        }
        let count =
            u32::try_from(bytes.len()).map_err(|_| Rejection::PayloadTooLarge { bytes_max: RECEIPT_BYTES_MAX })?;
        Ok(Self { image_type, bytes: count, sha256: Digest256::of(bytes) })
    }
}

/// Small, complete images of each kind, for tests and demonstrations.
pub mod samples {
    /// One grey pixel as PNG.
    pub const PNG: &[u8] = &[
        0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
        0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0x68, 0, 0, 0, 0x82,
        0, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
    ];
    /// The frame of a JPEG with an empty scan.
    pub const JPEG: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0xff, 0xda, 0, 8, 1, 1, 0,
        0, 63, 0, 0x7f, 0xff, 0, 0xff, 0xd9,
    ];
    /// The frame of a lossless WebP.
    pub const WEBP: &[u8] = &[
        b'R', b'I', b'F', b'F', 18, 0, 0, 0, b'W', b'E', b'B', b'P', b'V', b'P', b'8', b'L', 6, 0, 0, 0, 0x2f, 0, 0, 0,
        0, 0,
    ];
    /// One pixel as GIF.
    pub const GIF: &[u8] = &[
        b'G', b'I', b'F', b'8', b'9', b'a', 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 255, 255, 255, 0x2c, 0, 0, 0, 0, 1, 0, 1,
        0, 0, 2, 2, 0x44, 1, 0, 0x3b,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Code;

    #[test]
    fn each_kind_is_recognised_and_nothing_may_follow() {
        for (kind, sample) in [
            (ImageType::Png, samples::PNG),
            (ImageType::Jpeg, samples::JPEG),
            (ImageType::Webp, samples::WEBP),
            (ImageType::Gif, samples::GIF),
        ] {
            assert_eq!(ImageType::recognise(sample), Ok(kind));
            assert_eq!(CheckedImage::check(kind.media_type(), sample).unwrap().image_type, kind);
            let two_kinds = [sample, b"PK\x03\x04an archive"].concat();
            assert!(ImageType::recognise(&two_kinds).is_err(), "{kind:?} and an archive");
            for cut in 0..sample.len() {
                assert!(ImageType::recognise(&sample[..cut]).is_err(), "{kind:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_image_or_another_one_is_refused() {
        let mut scripted = samples::GIF[..samples::GIF.len() - 1].to_vec();
        scripted.extend_from_slice(b"\x21\xfe\x08<SCRIPT>\x00\x3b");
        for (declared, bytes) in [
            ("image/png", &b""[..]),
            ("image/png", samples::JPEG),
            ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            ("image/png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            ("text/html", b"<html></html>"),
            ("image/jpeg", b"%PDF-1.7"),
            ("image/gif", &scripted),
            ("", samples::PNG),
        ] {
            let code = CheckedImage::check(declared, bytes).unwrap_err().code();
            assert_eq!(code, Code::UnsupportedMediaType, "{declared}");
        }
        let large = vec![0; RECEIPT_BYTES_MAX + 1];
        assert_eq!(CheckedImage::check("image/png", &large).unwrap_err().code(), Code::PayloadTooLarge);
        assert!(CheckedImage::check("IMAGE/PNG; charset=x", samples::PNG).is_ok());
    }
}
