//! The structure of the four image formats, walked without decoding a pixel.
//!
//! Each walk goes over the whole file and hands out what it finds there beside structure: the sizes that pictures claim to
//! have, and comments and metadata, where another kind of file could hide.

use crate::receipt::ImageType;

/// What a walk finds.
enum Found<'b> {
    /// Comments or metadata.
    Metadata(&'b [u8]),
    /// How large the picture, or one of its frames, claims to be.
    Size { width: u32, height: u32 },
}

/// Whoever is told what a walk finds.
type Finder<'f> = &'f mut dyn FnMut(Found<'_>);

/// What the bytes begin as.
pub(crate) fn kind_of(bytes: &[u8]) -> Option<ImageType> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(ImageType::Png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(ImageType::Jpeg)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(ImageType::Webp)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some(ImageType::Gif)
    } else {
        None
    }
}

/// Whether the bytes are one such file from beginning to end.
pub(crate) fn is_whole(kind: ImageType, bytes: &[u8]) -> bool {
    walk(kind, bytes, &mut |_| {}).is_some()
}

/// Whether the comments and metadata hold what another program might act on, or the file's end is an archive's.
pub(crate) fn carries_something_else(kind: ImageType, bytes: &[u8]) -> bool {
    let mut found = ends_as_archive(bytes);
    walk(kind, bytes, &mut |part| {
        if let Found::Metadata(metadata) = part {
            found |= is_active(metadata);
        }
    });
    found
}

/// How many pixels a decoder would have to make room for: those of the largest picture in the file.
pub(crate) fn pixels_claimed(kind: ImageType, bytes: &[u8]) -> u64 {
    let mut claimed = 0;
    walk(kind, bytes, &mut |part| {
        if let Found::Size { width, height } = part {
            claimed = claimed.max(u64::from(width) * u64::from(height));
        }
    });
    claimed
}

fn walk(kind: ImageType, bytes: &[u8], found: Finder<'_>) -> Option<()> {
    match kind {
        ImageType::Png => png(bytes, found),
        ImageType::Jpeg => jpeg(bytes, found),
        ImageType::Webp => webp(bytes, found),
        ImageType::Gif => gif(bytes, found),
    }
}

/// Markup, documents and archives, by how they begin.
fn is_active(bytes: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 6] = [b"<script", b"<!doctype", b"<html", b"<svg", b"%pdf-", b"pk\x03\x04"];
    (0..bytes.len()).any(|at| {
        bytes.get(at).is_some_and(|first| matches!(first, b'<' | b'%' | b'P' | b'p'))
            && BEGINNINGS.iter().any(|beginning| {
                bytes.get(at..at + beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
            })
    })
}

/// An archive is read from its end: a record there, with a comment of at most 65,535 bytes after it. Its first fields, the
/// numbers of disks, are zero, which keeps pixels from being taken for one.
fn ends_as_archive(bytes: &[u8]) -> bool {
    const RECORD: &[u8] = b"PK\x05\x06\0\0\0\0";
    const RECORD_BYTES_MAX: usize = 22 + 65_535;
    let tail = bytes.get(bytes.len().saturating_sub(RECORD_BYTES_MAX)..).unwrap_or_default();
    tail.windows(RECORD.len()).any(|window| window == RECORD)
}

/// Chunks up to IEND, which has to be the last; each with a checksum that holds.
fn png(bytes: &[u8], found: Finder<'_>) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    let mut first = true;
    let mut pixels = false;
    loop {
        let length = usize::try_from(u32::from_be_bytes(rest.get(..4)?.try_into().ok()?)).ok()?;
        let kind = rest.get(4..8)?;
        let data_end = length.checked_add(8)?;
        let data = rest.get(8..data_end)?;
        let after = data_end.checked_add(4)?;
        let sum = u32::from_be_bytes(rest.get(data_end..after)?.try_into().ok()?);
        if first != (kind == b"IHDR") || sum != crc32(rest.get(4..data_end)?) {
            return None;
        }
        first = false;
        rest = rest.get(after..)?;
        match kind {
            b"IEND" => return (pixels && length == 0 && rest.is_empty()).then_some(()),
            b"IDAT" => pixels = true,
            b"IHDR" => {
                let side = |from| Some(u32::from_be_bytes(data.get(from..from + 4)?.try_into().ok()?));
                found(Found::Size { width: side(0)?, height: side(4)? });
            }
            b"PLTE" | b"fdAT" => {}
            // A critical chunk that no decoder knows.
            _ if kind.first().is_some_and(u8::is_ascii_uppercase) => return None,
            _ => found(Found::Metadata(data)),
        }
    }
}

/// The checksum of PNG's chunks (ISO 3309), from a table of four bits at a time.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = [
        0x0000_0000,
        0x1db7_1064,
        0x3b6e_20c8,
        0x26d9_30ac,
        0x76dc_4190,
        0x6b6b_51f4,
        0x4db2_6158,
        0x5005_713c,
        0xedb8_8320,
        0xf00f_9344,
        0xd6d6_a3e8,
        0xcb61_b38c,
        0x9b64_c2b0,
        0x86d3_d2d4,
        0xa00a_e278,
        0xbdbd_f21c,
    ];
    let nibble = |sum: u32| (sum >> 4) ^ TABLE.get((sum & 0x0f) as usize).copied().unwrap_or_default();
    !bytes.iter().fold(!0, |sum, byte| nibble(nibble(sum ^ u32::from(*byte))))
}

/// One image, then only zeros or further images: cameras append previews and gain maps as complete JPEGs.
fn jpeg(bytes: &[u8], found: Finder<'_>) -> Option<()> {
    let mut rest = bytes;
    loop {
        rest = one_jpeg(rest, found)?;
        let padding = rest.iter().position(|byte| *byte != 0);
        match padding {
            None => return Some(()),
            Some(zeros) => rest = rest.get(zeros..)?,
        }
    }
}

/// Walks the segments up to the end-of-image marker and answers what follows it.
fn one_jpeg<'b>(bytes: &'b [u8], found: Finder<'_>) -> Option<&'b [u8]> {
    if !bytes.starts_with(b"\xff\xd8\xff") {
        return None;
    }
    let mut at = 2_usize;
    let mut scanned = false;
    let mut frame_width = 0;
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        let marker = *bytes.get(at.checked_add(1)?)?;
        match marker {
            0xff => at = at.checked_add(1)?,
            0xd9 => return bytes.get(at.checked_add(2)?..).filter(|_| scanned),
            0x01 | 0xd0..=0xd7 => at = at.checked_add(2)?,
            0x00 | 0xd8 => return None,
            0x02..=0xcf | 0xda..=0xfe => {
                let length_at = at.checked_add(2)?;
                let length = u16::from_be_bytes(bytes.get(length_at..length_at.checked_add(2)?)?.try_into().ok()?);
                let end = length_at.checked_add(usize::from(length))?;
                // A length counts its own two bytes.
                let data = bytes.get(length_at.checked_add(2)?..end)?;
                let number = |from| Some(u32::from(u16::from_be_bytes(data.get(from..from + 2)?.try_into().ok()?)));
                match marker {
                    // Frames; between their numbers are tables.
                    0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xde => {
                        frame_width = number(3)?;
                        found(Found::Size { width: frame_width, height: number(1)? });
                    }
                    // The height, for a frame that left it open.
                    0xdc => found(Found::Size { width: frame_width, height: number(0)? }),
                    0xe0..=0xef | 0xfe => found(Found::Metadata(data)),
                    _ => {}
                }
                at = end;
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

/// The chunks of the RIFF container, which fill it and the file.
fn webp(bytes: &[u8], found: Finder<'_>) -> Option<()> {
    let stated = usize::try_from(u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?)).ok()?;
    let rest = bytes.get(12..)?;
    let begins = matches!(rest.get(..4)?, b"VP8 " | b"VP8L" | b"VP8X");
    let pixels = webp_chunks(rest, false, found)?;
    (begins && pixels && stated.checked_add(8)? == bytes.len()).then_some(())
}

/// Walks chunks to the end and answers whether one of them holds pixels. `frame`: inside a frame of an animation.
fn webp_chunks(mut rest: &[u8], frame: bool, found: Finder<'_>) -> Option<bool> {
    let mut pixels = false;
    while !rest.is_empty() {
        let kind = rest.get(..4)?;
        let length = usize::try_from(u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?)).ok()?;
        let data = rest.get(8..length.checked_add(8)?)?;
        match kind {
            b"VP8 " => {
                pixels |= data.get(3..6)? == b"\x9d\x01\x2a";
                // Fourteen bits each; the two above them are a scale.
                let side = |from| Some(little_endian(data.get(from..from + 2)?) & 0x3fff);
                found(Found::Size { width: side(6)?, height: side(8)? });
            }
            b"VP8L" => {
                pixels |= data.first() == Some(&0x2f);
                let sides = little_endian(data.get(1..5)?);
                found(Found::Size { width: (sides & 0x3fff) + 1, height: ((sides >> 14) & 0x3fff) + 1 });
            }
            b"ALPH" => {}
            b"VP8X" if !frame => {
                let side = |from| Some(little_endian(data.get(from..from + 3)?) + 1);
                found(Found::Size { width: side(4)?, height: side(7)? });
            }
            b"ANIM" if !frame => {}
            // A frame's own size is in the chunks inside it.
            b"ANMF" if !frame => pixels |= webp_chunks(data.get(16..)?, true, found)?,
            b"ICCP" | b"EXIF" | b"XMP " if !frame => found(Found::Metadata(data)),
            _ => return None,
        }
        // Chunks begin at even places.
        rest = rest.get(length.checked_add(8)?.checked_add(length & 1)?..)?;
    }
    Some(pixels)
}

/// At most four bytes as a number.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Blocks up to the trailer, which has to be the last byte.
fn gif(bytes: &[u8], found: Finder<'_>) -> Option<()> {
    let size = |from: usize| {
        let side = |from: usize| Some(little_endian(bytes.get(from..from.checked_add(2)?)?));
        Some(Found::Size { width: side(from)?, height: side(from.checked_add(2)?)? })
    };
    found(size(6)?);
    let mut at = 13_usize.checked_add(color_table(*bytes.get(10)?))?;
    let mut pixels = false;
    loop {
        match *bytes.get(at)? {
            0x3b => return (pixels && at.checked_add(1)? == bytes.len()).then_some(()),
            0x21 => {
                let (data, end) = sub_blocks(bytes, at.checked_add(2)?)?;
                found(Found::Metadata(&data));
                at = end;
            }
            0x2c => {
                found(size(at.checked_add(5)?)?);
                let table = color_table(*bytes.get(at.checked_add(9)?)?);
                at = sub_blocks(bytes, at.checked_add(11)?.checked_add(table)?)?.1;
                pixels = true;
            }
            _ => return None,
        }
    }
}

fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 0x07) + 1) }
}

/// The data of sub-blocks, joined, and where they end.
fn sub_blocks(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    loop {
        let length = usize::from(*bytes.get(at)?);
        let from = at.checked_add(1)?;
        at = from.checked_add(length)?;
        if length == 0 {
            return Some((data, at));
        }
        data.extend_from_slice(bytes.get(from..at)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::samples;

    /// An archive that holds nothing: a record at its end.
    const ARCHIVE: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    fn taken(bytes: &[u8]) -> bool {
        ImageType::recognise(bytes).is_ok()
    }

    fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [&kind[..], data].concat();
        [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    }

    fn png_with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let (head, rest) = samples::PNG.split_at(33);
        [head, &png_chunk(kind, data), rest].concat()
    }

    fn jpeg_with(marker: u8, data: &[u8]) -> Vec<u8> {
        let (head, rest) = samples::JPEG.split_at(20);
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [head, &[0xff, marker], &length, data, rest].concat()
    }

    fn webp_with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        let padding: &[u8] = if data.len() % 2 == 1 { b"\0" } else { b"" };
        let mut bytes = [samples::WEBP, kind, &length, data, padding].concat();
        let stated = u32::try_from(bytes.len() - 8).unwrap().to_le_bytes();
        bytes[4..8].copy_from_slice(&stated);
        bytes
    }

    fn gif_with(data: &[u8]) -> Vec<u8> {
        let (head, trailer) = samples::GIF.split_at(samples::GIF.len() - 1);
        // Cut in the middle, as sub-blocks may be.
        let (one, other) = data.split_at(data.len() / 2);
        let block = |data: &[u8]| [&[u8::try_from(data.len()).unwrap()], data].concat();
        [head, b"\x21\xfe", &block(one), &block(other), b"\0", trailer].concat()
    }

    #[test]
    fn each_kind_is_recognised_and_nothing_may_follow() {
        for (kind, sample) in [
            (ImageType::Png, samples::PNG),
            (ImageType::Jpeg, samples::JPEG),
            (ImageType::Webp, samples::WEBP),
            (ImageType::Gif, samples::GIF),
        ] {
            assert_eq!(ImageType::recognise(sample), Ok(kind));
            for other in [&b"PK\x03\x04an archive"[..], b"<html>", b"MZ", ARCHIVE, samples::GIF] {
                assert!(!taken(&[sample, other].concat()), "{kind:?} and {other:?}");
            }
            for cut in 0..sample.len() {
                assert!(!taken(&sample[..cut]), "{kind:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn metadata_is_taken_and_what_hides_in_it_is_not() {
        type With = Box<dyn Fn(&[u8]) -> Vec<u8>>;
        let places: [(&str, With); 7] = [
            ("PNG text", Box::new(|data| png_with(b"tEXt", data))),
            ("PNG private", Box::new(|data| png_with(b"prVt", data))),
            ("JPEG comment", Box::new(|data| jpeg_with(0xfe, data))),
            ("JPEG application", Box::new(|data| jpeg_with(0xe1, data))),
            ("WebP EXIF", Box::new(|data| webp_with(b"EXIF", data))),
            ("WebP XMP", Box::new(|data| webp_with(b"XMP ", data))),
            ("GIF comment", Box::new(gif_with)),
        ];
        for (place, with) in places {
            for harmless in [&b"Made by hand"[..], b"<x:xmpmeta>", b"\0\0\xff\x3b\0", b"PK"] {
                assert!(taken(&with(harmless)), "{place}: {harmless:?}");
            }
            for other in [&b"a <ScRiPt> b"[..], b"<!doctype html>", b"<svg/>", b"%PDF-1.7", b"PK\x03\x04", ARCHIVE] {
                assert!(!taken(&with(other)), "{place}: {other:?}");
            }
        }
    }

    #[test]
    fn what_no_decoder_would_take_is_refused() {
        assert!(!taken(&png_with(b"EVIL", b"")), "an unknown critical chunk");
        let mut bytes = samples::PNG.to_vec();
        bytes[30] ^= 1;
        assert!(!taken(&bytes), "a wrong checksum");
        assert!(!taken(&[&samples::PNG[..33], &png_chunk(b"IEND", b"")].concat()), "no pixels");
        assert!(!taken(&webp_with(b"JUNK", b"garbage")), "an unknown chunk");
        let mut bytes = samples::WEBP.to_vec();
        bytes[20] = b'g';
        assert!(!taken(&bytes), "a chunk of pixels that are none");
        assert!(!taken(b"GIF89a\x01\0\x01\0\0\0\0\x3b"), "no picture");
    }

    #[test]
    fn an_image_that_claims_too_many_pixels_is_refused_by_its_header() {
        type Claiming<'c> = &'c dyn Fn(u32, u32) -> Vec<u8>;
        let png = |width: u32, height: u32| {
            let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
            [&samples::PNG[..8], &png_chunk(b"IHDR", &head), &samples::PNG[33..]].concat()
        };
        let side = |side: u32| u16::try_from(side).unwrap();
        let frame = |height: u32, width: u32| {
            [&[8][..], &side(height).to_be_bytes(), &side(width).to_be_bytes(), &[1, 1, 0x11, 0]].concat()
        };
        let jpeg = |width, height| jpeg_with(0xc2, &frame(height, width));
        let jpeg_left_open = |width, height: u32| {
            let lines = [&[0xff, 0xdc, 0, 4][..], &side(height).to_be_bytes()].concat();
            let mut bytes = jpeg_with(0xc0, &frame(0, width));
            bytes.splice(bytes.len() - 2..bytes.len() - 2, lines);
            bytes
        };
        let jpeg_appended = |width, height| [samples::JPEG, &jpeg(width, height)].concat();
        let webp = |kind: &[u8; 4], data: &[u8]| {
            let length = u32::try_from(data.len()).unwrap().to_le_bytes();
            let pixels = &samples::WEBP[12..];
            let mut bytes = [&samples::WEBP[..12], kind, &length, data, pixels].concat();
            let stated = u32::try_from(bytes.len() - 8).unwrap().to_le_bytes();
            bytes[4..8].copy_from_slice(&stated);
            bytes
        };
        let webp_canvas = |width: u32, height: u32| {
            let sides = [&(width - 1).to_le_bytes()[..3], &(height - 1).to_le_bytes()[..3]].concat();
            webp(b"VP8X", &[&[0; 4][..], &sides].concat())
        };
        let webp_lossy = |width: u32, height: u32| {
            let sides = [side(width).to_le_bytes(), side(height).to_le_bytes()].concat();
            webp(b"VP8 ", &[b"\0\0\0\x9d\x01\x2a", &sides[..]].concat())
        };
        let webp_lossless = |width: u32, height: u32| {
            let sides = ((width - 1) | (height - 1) << 14).to_le_bytes();
            webp(b"VP8L", &[&[0x2f][..], &sides, &[0]].concat())
        };
        let gif_at = |at: usize, width: u32, height: u32| {
            let mut bytes = samples::GIF.to_vec();
            bytes[at..at + 2].copy_from_slice(&side(width).to_le_bytes());
            bytes[at + 2..at + 4].copy_from_slice(&side(height).to_le_bytes());
            bytes
        };
        let gif_screen = |width, height| gif_at(6, width, height);
        let gif_picture = |width, height| gif_at(24, width, height);
        let kinds: [(&str, Claiming<'_>); 9] = [
            ("PNG", &png),
            ("JPEG", &jpeg),
            ("JPEG that leaves its height open", &jpeg_left_open),
            ("JPEG behind another", &jpeg_appended),
            ("WebP canvas", &webp_canvas),
            ("lossy WebP", &webp_lossy),
            ("lossless WebP", &webp_lossless),
            ("GIF screen", &gif_screen),
            ("GIF picture", &gif_picture),
        ];
        for (kind, claiming) in kinds {
            assert!(taken(&claiming(10_000, 5_000)), "{kind} of 50 megapixels");
            for (width, height) in [(10_000, 5_001), (16_383, 16_383)] {
                let refused = ImageType::recognise(&claiming(width, height)).unwrap_err();
                assert_eq!(
                    refused.to_string(),
                    "the image must have at most 50 megapixels",
                    "{kind} of {width} × {height}"
                );
            }
        }
        assert!(!taken(&png(u32::MAX, u32::MAX)));
    }

    #[test]
    fn pixels_are_not_searched() {
        let data: Vec<u8> = [&b"<svg %PDF- <script"[..], &[0; 100]].concat();
        let (head, rest) = samples::PNG.split_at(33);
        assert!(taken(&[head, &png_chunk(b"IDAT", &data), rest].concat()));
        let (head, end) = samples::JPEG.split_at(samples::JPEG.len() - 2);
        assert!(taken(&[head, &data, end].concat()));
    }

    #[test]
    fn a_camera_may_append_further_images() {
        let several = [samples::JPEG, &[0, 0, 0], samples::JPEG, samples::JPEG, &[0]].concat();
        assert_eq!(ImageType::recognise(&several), Ok(ImageType::Jpeg));
        assert!(!taken(&[samples::JPEG, &jpeg_with(0xfe, b"<script>")].concat()), "in the second one, too");
    }
}
