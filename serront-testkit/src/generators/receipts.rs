//! Receipts: valid images, and files that must be refused.

use proptest::collection::vec;
use proptest::prelude::*;
use serront_core::orders::receipt::{CheckedImage, RECEIPT_BYTES_MAX, Receipt, samples};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::image::ImageType;

use super::{timestamp, upload_id};

/// SHA-256 digests.
pub fn digest() -> impl Strategy<Value = Digest256> {
    any::<[u8; 8]>().prop_map(|bytes| Digest256::of(&bytes))
}

/// Kinds of image.
pub fn image_type() -> impl Strategy<Value = ImageType> {
    proptest::sample::select(ImageType::ALL.to_vec())
}

/// The sample of this kind.
#[must_use]
pub const fn sample(kind: ImageType) -> &'static [u8] {
    match kind {
        ImageType::Png => samples::PNG,
        ImageType::Jpeg => samples::JPEG,
        ImageType::Webp => samples::WEBP,
        ImageType::Gif => samples::GIF,
    }
}

/// Complete images with their kind. Most carry a comment where their format allows one, so that no two have the same
/// digest.
pub fn image() -> impl Strategy<Value = (ImageType, Vec<u8>)> {
    (image_type(), vec(b'a'..=b'z', 0..40)).prop_map(|(kind, comment)| (kind, commented(kind, &comment))).boxed()
}

/// The sample of this kind with a comment of at most 255 bytes in it.
#[must_use]
pub fn commented(kind: ImageType, comment: &[u8]) -> Vec<u8> {
    let sample = sample(kind);
    let length = u8::try_from(comment.len()).unwrap_or(u8::MAX);
    let comment = comment.get(..usize::from(length)).unwrap_or_default();
    // The format's first position for a comment: after the PNG's header chunk, JPEG's first segment, or the GIF's
    // colour table.
    let (at, block) = match kind {
        ImageType::Png => {
            let body = [&b"tEXt"[..], comment].concat();
            (33, [&[0, 0, 0, length], body.as_slice(), &png_checksum(&body).to_be_bytes()].concat())
        }
        ImageType::Jpeg => (20, [&[0xff, 0xfe, 0, length.saturating_add(2)][..], comment].concat()),
        ImageType::Gif if length == 0 => (19, Vec::new()),
        ImageType::Gif => (19, [&[0x21, 0xfe, length][..], comment, &[0]].concat()),
        ImageType::Webp => (0, Vec::new()),
    };
    let (before, after) = sample.split_at_checked(at).unwrap_or((sample, &[]));
    [before, &block, after].concat()
}

/// The checksum of a PNG's chunk (ISO 3309), bit by bit.
pub(crate) fn png_checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

/// Every sample lacks pixels if it is cut before this byte.
const BEFORE_PIXELS: usize = 30;

/// Uploads that must be refused, as declared type and bytes: truncated, of two types at the same time, of another type
/// than declared, not an image, empty. [`too_large_image`] generates those that are too large.
pub fn almost_image() -> impl Strategy<Value = (String, Vec<u8>)> {
    let declared = |kind: ImageType| kind.media_type().to_owned();
    prop_oneof![
        (image(), any::<prop::sample::Index>()).prop_map(move |((kind, bytes), cut)| {
            (declared(kind), bytes.into_iter().take(cut.index(BEFORE_PIXELS)).collect())
        }),
        vec(b'a'..=b'z', 0..40).prop_map(move |comment| {
            let mut bytes = commented(ImageType::Jpeg, &comment);
            bytes.truncate(bytes.len().saturating_sub(2));
            // The pixels end as an archive.
            bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
            (declared(ImageType::Jpeg), bytes)
        }),
        image().prop_map(move |(kind, bytes)| {
            let other = if kind == ImageType::Png { ImageType::Jpeg } else { ImageType::Png };
            (declared(other), bytes)
        }),
        image().prop_map(|(_, bytes)| ("image/svg+xml".to_owned(), bytes)),
        image().prop_map(|(_, bytes)| (String::new(), bytes)),
        (
            image_type(),
            proptest::sample::select(vec![
                &b""[..],
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
                b"<!doctype html><html></html>",
                b"%PDF-1.7\n%%EOF",
                b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
                b"just text",
            ])
        )
            .prop_map(move |(kind, bytes)| (declared(kind), bytes.to_vec())),
    ]
}

/// One byte more than a receipt may have.
#[must_use]
pub fn too_large_image() -> Vec<u8> {
    let mut bytes = samples::JPEG.to_vec();
    bytes.resize(RECEIPT_BYTES_MAX.saturating_add(1), 0);
    bytes
}

/// A JPEG of this many bytes whose pixels fill it to its end, so that nothing is cut off.
#[must_use]
pub fn sized_jpeg(bytes: usize) -> Vec<u8> {
    let (pixels, end) = samples::JPEG.split_at(samples::JPEG.len().saturating_sub(2));
    let mut image = pixels.to_vec();
    image.resize(bytes.saturating_sub(end.len()).max(pixels.len()), 0);
    image.extend_from_slice(end);
    image
}

/// Images whose bytes were checked.
pub fn checked_image() -> impl Strategy<Value = CheckedImage> {
    image().prop_map(|(kind, bytes)| CheckedImage::check(kind.media_type(), &bytes).expect("a complete image"))
}

/// Metadata of uploaded receipts.
pub fn receipt() -> impl Strategy<Value = Receipt> {
    (upload_id(), checked_image(), timestamp()).prop_map(|(upload_id, image, uploaded_at)| Receipt {
        upload_id,
        image_type: image.image_type,
        bytes: image.bytes,
        sha256: image.sha256,
        uploaded_at,
    })
}
