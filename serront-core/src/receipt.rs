//! Receipts: images that a buyer uploads as proof of a transfer, recognised by their bytes.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::UploadId;
use crate::image;
use crate::rejection::Rejection;
use crate::time::Timestamp;

/// Most bytes that a receipt may have: 5 MiB (the published "5 MB", read generously).
pub const RECEIPT_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most pixels that a receipt may claim to have. Whoever looks at it has to make room for them, and a few bytes can claim
/// billions; telephones make 12 to 50 million.
pub const RECEIPT_PIXELS_MAX: u64 = 50_000_000;

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

    /// Recognises an image by its bytes.
    ///
    /// The format's own structure is walked to its end, so that a file which continues as something else (an archive, a page,
    /// a script) is refused; comments and metadata are looked into for the same. Pixels are neither decoded nor searched; how
    /// many there are is what the headers claim.
    ///
    /// # Errors
    /// [`Rejection::UnsupportedMediaType`] if the bytes are no such image, two kinds of file at once, or more than
    /// [`RECEIPT_PIXELS_MAX`].
    pub fn recognise(bytes: &[u8]) -> Result<Self, Rejection> {
        let Some(kind) = image::kind_of(bytes) else {
            return Err(Rejection::UnsupportedMediaType("the bytes must be a PNG, JPEG, WebP or GIF image"));
        };
        if !image::is_whole(kind, bytes) || image::carries_something_else(kind, bytes) {
            return Err(Rejection::UnsupportedMediaType("the image must be complete, and nothing beside an image"));
        }
        if image::pixels_claimed(kind, bytes) > RECEIPT_PIXELS_MAX {
            return Err(Rejection::UnsupportedMediaType("the image must have at most 50 megapixels"));
        }
        Ok(kind)
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
    fn what_is_no_image_or_another_one_is_refused() {
        for (declared, bytes) in [
            ("image/png", &b""[..]),
            ("image/png", samples::JPEG),
            ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            ("image/png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            ("text/html", b"<html></html>"),
            ("image/jpeg", b"%PDF-1.7"),
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
