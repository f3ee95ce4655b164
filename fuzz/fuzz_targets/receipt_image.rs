//! Uploaded bytes: recognising them never panics, never takes another kind than declared, and never takes a file that
//! goes on after its image.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serront_core::receipt::{CheckedImage, ImageType};

fuzz_target!(|bytes: &[u8]| {
    let recognised = ImageType::recognise(bytes);
    for declared in ImageType::ALL {
        let checked = CheckedImage::check(declared.media_type(), bytes);
        assert_eq!(checked.is_ok(), recognised == Ok(declared));
    }
    if recognised.is_ok() {
        let longer = [bytes, b"PK\x03\x04"].concat();
        assert!(ImageType::recognise(&longer).is_err());
    }
});
