//! What becomes of the files that buyers upload: each specimen, and random mixtures of them (#16).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serront_core::orders::receipt::Picture;
use serront_core::primitives::image::ImageType;
use serront_core::primitives::rejection::Rejection;
use serront_testkit::receipts::specimens;

#[test]
fn each_specimen_is_stored_as_its_picture_alone_or_refused_with_its_reason() {
    let all = specimens();
    assert!(all.len() >= 40);
    let names: BTreeSet<_> = all.iter().map(|specimen| specimen.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "two have one name");
    for specimen in all {
        let outcome = match Picture::take(None, &specimen.file) {
            Ok(picture) => Ok((picture.image_type(), picture.bytes().to_vec())),
            Err(Rejection::UnsupportedMediaType(fault)) => Err(fault),
            Err(other) => panic!("{}: {other}", specimen.name),
        };
        assert!(outcome == specimen.outcome, "{}: {outcome:?}, not {:?}", specimen.name, specimen.outcome);
    }
}

/// A picture that was taken is taken again as it is: nothing more is cut off or added.
fn check(file: &[u8]) -> Result<(), TestCaseError> {
    let Ok(picture) = Picture::take(None, file) else { return Ok(()) };
    let again = Picture::take(Some(picture.image_type().media_type()), picture.bytes());
    prop_assert_eq!(again.as_ref(), Ok(&picture));
    prop_assert_eq!(ImageType::recognise(picture.bytes()), Ok(picture.image_type()));
    // An owned file becomes the same picture as a borrowed one.
    prop_assert_eq!(Picture::take(None, file.to_vec()), Ok(picture.clone()));
    // And nothing that stands behind it stays.
    let longer = [picture.bytes(), b"PK\x03\x04 an archive that ends PK\x05\x06\0\0\0\0"].concat();
    prop_assert_eq!(Picture::take(None, longer), Ok(picture));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn a_stored_picture_is_stored_as_it_is(
        one in select(specimens()),
        other in select(specimens()),
        cut in any::<Index>(),
        from in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let mut file = one.file;
        if !file.is_empty() {
            for (at, byte) in changes {
                let at = at.index(file.len());
                file[at] = byte;
            }
        }
        check(&file)?;
        // Cut off anywhere, and gone on with from anywhere in another one.
        file.truncate(cut.index(file.len() + 1));
        check(&file)?;
        file.extend_from_slice(&other.file[from.index(other.file.len() + 1)..]);
        check(&file)?;
    }
}

/// A walk that went back over what it has passed would take minutes for these.
#[test]
fn a_large_file_is_walked_in_one_go() {
    const MANY: usize = 5 * 1024 * 1024 - 1024;
    let sample = |kind: ImageType| {
        specimens().into_iter().find(|each| matches!(each.outcome, Ok((found, _)) if found == kind)).unwrap().file
    };
    let repeated = |head: &[u8], part: &[u8]| {
        let mut file = head.to_vec();
        while file.len() < MANY {
            file.extend_from_slice(part);
        }
        file
    };
    let jpeg = sample(ImageType::Jpeg);
    let gif = sample(ImageType::Gif);
    let mut webp = repeated(&sample(ImageType::Webp), b"JUNK\0\0\0\0");
    let size = u32::try_from(webp.len() - 8).unwrap();
    webp[4..8].copy_from_slice(&size.to_le_bytes());
    for file in [
        repeated(&jpeg[..20], &[0xff]),
        repeated(&jpeg[..20], b"\xff\0"),
        repeated(&jpeg[..20], b"\xff\xe5\0\x02"),
        repeated(&jpeg[..jpeg.len() - 2], b"\xff\xe5\0\x02"),
        repeated(&jpeg[..jpeg.len() - 2], b"\xff\xda\0\x02a"),
        repeated(&jpeg[..jpeg.len() - 2], b"\xff\xff\0"),
        repeated(&sample(ImageType::Png)[..33], b"\0\0\0\0tEXt\0\0\0\0"),
        repeated(&gif[..gif.len() - 1], b"\x21\xfe\x01a\0"),
        repeated(&gif[..gif.len() - 1], b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x01a\0"),
        webp,
    ] {
        check(&file).unwrap();
    }
}
