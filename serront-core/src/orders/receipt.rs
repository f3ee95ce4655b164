//! Receipts: images that a buyer uploads as proof of a transfer.
//!
//! ```text
//! uploaded bytes ─▶ Picture::take ─▶ the picture alone ─▶ hashed, stored, served
//!                        └─▶ ImageFault: the reason for a refusal
//! ```

use std::borrow::Cow;
use std::fmt;

use crate::primitives::digest::Digest256;
use crate::primitives::ids::UploadId;
use crate::primitives::image::{ImageType, recognise};
use crate::primitives::rejection::Rejection;
use crate::primitives::time::Timestamp;

/// Largest receipt, in bytes: 5 MiB, the generous reading of the published "5 MB".
pub const RECEIPT_BYTES_MAX: usize = 5 * 1024 * 1024;

/// The picture in an uploaded file: the bytes that are hashed, stored and served.
///
/// Guarantees:
///
/// - It starts and ends as one of the four formats requires. Data after the picture is cut off: a phone's trailer, a
///   motion photo's video, an archive, further JPEGs such as gain maps. A missing end (JPEG's EOI, PNG's IEND, GIF's
///   trailer) is added, and a wrong RIFF size of a WebP is corrected.
/// - Its headers claim at most [`RECEIPT_PIXELS_MAX`](crate::primitives::image::RECEIPT_PIXELS_MAX), and it has at most
///   [`RECEIPT_BYTES_MAX`] bytes.
/// - Taking it again returns the same bytes.
///
/// Not guaranteed:
///
/// - That a decoder can show it, because nothing is decoded: a JPEG without the second half of its pixels is accepted.
/// - That its metadata is harmless. It is kept, and may contain markup or any other bytes. So a host must serve
///   receipts such that browsers only treat them as images: with `X-Content-Type-Options: nosniff`, the recognised media
///   type, and a content security policy that forbids scripts.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture<'b> {
    image_type: ImageType,
    bytes: Cow<'b, [u8]>,
}

impl<'b> Picture<'b> {
    /// Extracts the picture from a file. A `declared` media type must match the bytes; without one, any of the four
    /// formats is accepted.
    ///
    /// # Errors
    /// [`Rejection::PayloadTooLarge`] if the whole file, or the picture with its added end, exceeds
    /// [`RECEIPT_BYTES_MAX`]; [`Rejection::UnsupportedMediaType`] for every other fault.
    pub fn take(declared: Option<&str>, file: impl Into<Cow<'b, [u8]>>) -> Result<Self, Rejection> {
        let file = file.into();
        let too_large = Rejection::PayloadTooLarge { bytes_max: RECEIPT_BYTES_MAX };
        if file.len() > RECEIPT_BYTES_MAX {
            return Err(too_large);
        }
        let (image_type, found) = recognise(declared, &file)?;
        // The added end can exceed the limit.
        if found.length() > RECEIPT_BYTES_MAX {
            return Err(too_large);
        }
        Ok(Self { image_type, bytes: found.extract(file) })
    }

    /// The format, by the bytes.
    #[must_use]
    pub const fn image_type(&self) -> ImageType {
        self.image_type
    }

    /// The picture's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The format, size and digest, for a decision.
    #[must_use]
    pub fn checked(&self) -> CheckedImage {
        // At most RECEIPT_BYTES_MAX.
        let bytes = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        CheckedImage { image_type: self.image_type, bytes, sha256: Digest256::of(&self.bytes) }
    }
}

impl fmt::Debug for Picture<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Picture({}, {} bytes)", self.image_type.media_type(), self.bytes.len())
    }
}

/// An uploaded receipt without its bytes, which the [`Receipts`](crate::ports::Receipts) port stores.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Receipt {
    /// The key of the bytes in the receipt store.
    pub upload_id: UploadId,
    pub image_type: ImageType,
    /// Size in bytes.
    pub bytes: u32,
    pub sha256: Digest256,
    pub uploaded_at: Timestamp,
}

/// What a decision knows of a [`Picture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct CheckedImage {
    pub image_type: ImageType,
    /// Size of the picture in bytes.
    pub bytes: u32,
    pub sha256: Digest256,
}

impl CheckedImage {
    /// Calls [`Picture::take`] with a declared media type.
    ///
    /// # Errors
    /// Those of [`Picture::take`].
    pub fn check(declared: &str, bytes: &[u8]) -> Result<Self, Rejection> {
        Picture::take(Some(declared), bytes).map(|picture| picture.checked())
    }
}

/// Small, complete images of each format, for tests and demonstrations.
pub mod samples {
    /// One grey pixel as PNG.
    pub const PNG: &[u8] = &[
        0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
        0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0x68, 0, 0, 0, 0x82,
        0, 0x81, 0x77, 0xcd, 0x72, 0xb6, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
    ];
    /// One grey pixel as JPEG.
    pub const JPEG: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0xff, 0xdb, 0, b'C', 0,
        16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
        16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
        16, 16, 16, 16, 16, 16, 16, 16, 0xff, 0xc0, 0, 11, 8, 0, 1, 0, 1, 1, 1, 17, 0, 0xff, 0xc4, 0, 20, 0, 1, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xc4, 0, 20, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 63, 0xff, 0xd9,
    ];
    /// One grey pixel as lossless WebP.
    pub const WEBP: &[u8] = &[
        b'R', b'I', b'F', b'F', 30, 0, 0, 0, b'W', b'E', b'B', b'P', b'V', b'P', 56, b'L', 17, 0, 0, 0, 47, 0, 0, 0, 0,
        7, b'P', 0xc0, 2, 22, 0xb0, 0xff, 0x81, 0x88, 0xe8, 0x7f, 0, 0,
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
    use crate::primitives::image::ImageFault;
    use crate::primitives::rejection::Code;

    #[test]
    fn other_files_and_wrong_media_types_are_refused() {
        for (declared, bytes, fault) in [
            ("image/png", &b""[..], ImageFault::Empty),
            ("image/png", samples::JPEG, ImageFault::DeclaredOther),
            ("image/x-png", samples::JPEG, ImageFault::DeclaredOther),
            ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ImageFault::OtherFormat),
            ("image/png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ImageFault::OtherFormat),
            ("text/html", b"<html></html>", ImageFault::NotAnImage),
            ("image/heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ImageFault::Heic),
            ("image/jpeg", b"%PDF-1.7", ImageFault::Pdf),
            ("image/png", &samples::PNG[..40], ImageFault::Incomplete),
            ("", samples::PNG, ImageFault::DeclaredUnknown),
            ("application/octet-stream", samples::PNG, ImageFault::DeclaredUnknown),
            ("image/png, image/jpeg", samples::PNG, ImageFault::DeclaredUnknown),
        ] {
            let refused = CheckedImage::check(declared, bytes).unwrap_err();
            assert_eq!(refused, Rejection::UnsupportedMediaType(fault), "{declared}");
            assert_eq!(refused.code(), Code::UnsupportedMediaType);
        }
        let large = vec![0; RECEIPT_BYTES_MAX + 1];
        assert_eq!(CheckedImage::check("image/png", &large).unwrap_err().code(), Code::PayloadTooLarge);
        let trailer = [samples::PNG, &large].concat();
        assert_eq!(CheckedImage::check("image/png", &trailer).unwrap_err().code(), Code::PayloadTooLarge);
    }

    #[test]
    fn older_names_of_media_types_are_accepted() {
        for (declared, bytes) in [
            ("IMAGE/PNG; charset=x", samples::PNG),
            ("image/x-png", samples::PNG),
            ("image/jpg", samples::JPEG),
            (" image/PJPEG ", samples::JPEG),
        ] {
            assert!(CheckedImage::check(declared, bytes).is_ok(), "{declared}");
        }
    }

    #[test]
    fn only_the_picture_is_hashed() {
        let trailed = [samples::JPEG, b"a trailer"].concat();
        let checked = CheckedImage::check("image/jpeg", &trailed).unwrap();
        assert_eq!(checked, CheckedImage::check("image/jpeg", samples::JPEG).unwrap());
        assert_eq!((checked.bytes, checked.sha256), (159, Digest256::of(samples::JPEG)));
    }
}
