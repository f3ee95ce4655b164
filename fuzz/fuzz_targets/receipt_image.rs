//! Uploaded bytes: extracting the picture never panics, never accepts another type than declared, keeps no bytes after
//! the picture, and returns an extracted picture unchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serront_core::orders::receipt::{CheckedImage, Picture, RECEIPT_BYTES_MAX};
use serront_core::primitives::image::ImageType;

fuzz_target!(|bytes: &[u8]| {
    let taken = Picture::take(None, bytes);
    assert_eq!(ImageType::recognise(bytes).ok(), taken.as_ref().ok().map(Picture::image_type));
    for declared in ImageType::ALL {
        let checked = CheckedImage::check(declared.media_type(), bytes);
        assert_eq!(checked.is_ok(), taken.as_ref().is_ok_and(|picture| picture.image_type() == declared));
    }
    let Ok(picture) = taken else { return };
    assert!(picture.bytes().len() <= RECEIPT_BYTES_MAX);
    assert_eq!(Picture::take(None, picture.bytes()).as_ref(), Ok(&picture));
    assert_eq!(Picture::take(None, bytes.to_vec()).as_ref(), Ok(&picture));
    let longer = [picture.bytes(), b"PK\x05\x06\0\0\0\0 and what is left of an archive"].concat();
    assert_eq!(Picture::take(None, longer).as_ref(), Ok(&picture));
});
