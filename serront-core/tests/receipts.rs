//! Receipts as phones and apps write them. A browser shows each of these pictures, and an earlier, stricter check
//! refused the files (#16).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;

use serront_core::orders::receipt::Picture;
use serront_core::primitives::image::ImageType;

/// The files, their types, and how many bytes at their end do not belong to the picture (negative: bytes that are
/// added).
const FILES: [(&str, ImageType, isize); 18] = [
    ("ff_padding_after_eoi.jpg", ImageType::Jpeg, 512),
    ("google_motion_mp4.jpg", ImageType::Jpeg, 432),
    ("huawei_live_trailer.jpg", ImageType::Jpeg, 472),
    ("iendtrail_newline.png", ImageType::Png, 1),
    ("junk_between_segments.jpg", ImageType::Jpeg, 0),
    ("missing_eoi.jpg", ImageType::Jpeg, -2),
    ("newline_after_eoi.jpg", ImageType::Jpeg, 1),
    ("oneplus_oppo_trailer.jpg", ImageType::Jpeg, 36),
    ("photoshop_apple_plist.jpg", ImageType::Jpeg, 0),
    ("riffsize_total.webp", ImageType::Webp, 0),
    ("samsung_photo_seft.jpg", ImageType::Jpeg, 67),
    ("samsung_screenshot_seft.png", ImageType::Png, 70),
    ("text_svg_source.png", ImageType::Png, 0),
    ("trailing_bytes.webp", ImageType::Webp, 2),
    ("trailing_newline.gif", ImageType::Gif, 1),
    ("unknown_chunk_end.webp", ImageType::Webp, 0),
    ("xmp_nul.webp", ImageType::Webp, 0),
    ("zeros_after_iend.png", ImageType::Png, 16),
];

#[test]
fn each_file_is_accepted_and_only_its_picture_is_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receipts");
    let count = fs::read_dir(&folder).unwrap().count();
    assert_eq!(count, FILES.len(), "every file of the folder is named here");
    for (name, kind, cut_off) in FILES {
        let file = fs::read(folder.join(name)).unwrap();
        let picture = Picture::take(None, &file).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_eq!(picture.image_type(), kind, "{name}");
        let length = file.len().checked_add_signed(-cut_off).unwrap();
        assert_eq!(picture.bytes().len(), length, "{name}");
        // Inside a picture, only the size that its container states is ever corrected.
        let from = if name == "riffsize_total.webp" { 8 } else { 0 };
        let shared = length.min(file.len());
        assert!(picture.bytes()[from..shared] == file[from..shared], "{name} is changed");
        assert_eq!(Picture::take(Some(kind.media_type()), picture.bytes()).as_ref(), Ok(&picture), "{name}");
    }
}
