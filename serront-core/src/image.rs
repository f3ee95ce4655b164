//! The structure of the four image formats, walked without decoding a pixel.
//!
//! Each walk goes over the whole file and hands out what is neither pixels nor structure: comments and metadata, where
//! another kind of file could hide.

use crate::receipt::ImageType;

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
    walk(kind, bytes, &mut |metadata| found |= is_active(metadata));
    found
}

fn walk(kind: ImageType, bytes: &[u8], metadata: &mut dyn FnMut(&[u8])) -> Option<()> {
    match kind {
        ImageType::Png => png(bytes, metadata),
        ImageType::Jpeg => jpeg(bytes, metadata),
        ImageType::Webp => webp(bytes, metadata),
        ImageType::Gif => gif(bytes, metadata),
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
fn png(bytes: &[u8], metadata: &mut dyn FnMut(&[u8])) -> Option<()> {
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
            b"IHDR" | b"PLTE" | b"fdAT" => {}
            // A critical chunk that no decoder knows.
            _ if kind.first().is_some_and(u8::is_ascii_uppercase) => return None,
            _ => metadata(data),
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
fn jpeg(bytes: &[u8], metadata: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut rest = bytes;
    loop {
        rest = one_jpeg(rest, metadata)?;
        let padding = rest.iter().position(|byte| *byte != 0);
        match padding {
            None => return Some(()),
            Some(zeros) => rest = rest.get(zeros..)?,
        }
    }
}

/// Walks the segments up to the end-of-image marker and answers what follows it.
fn one_jpeg<'b>(bytes: &'b [u8], metadata: &mut dyn FnMut(&[u8])) -> Option<&'b [u8]> {
    if !bytes.starts_with(b"\xff\xd8\xff") {
        return None;
    }
    let mut at = 2_usize;
    let mut scanned = false;
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
                if matches!(marker, 0xe0..=0xef | 0xfe) {
                    metadata(data);
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
fn webp(bytes: &[u8], metadata: &mut dyn FnMut(&[u8])) -> Option<()> {
    let stated = usize::try_from(u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?)).ok()?;
    let rest = bytes.get(12..)?;
    let begins = matches!(rest.get(..4)?, b"VP8 " | b"VP8L" | b"VP8X");
    let pixels = webp_chunks(rest, false, metadata)?;
    (begins && pixels && stated.checked_add(8)? == bytes.len()).then_some(())
}

/// Walks chunks to the end and answers whether one of them holds pixels. `frame`: inside a frame of an animation.
fn webp_chunks(mut rest: &[u8], frame: bool, metadata: &mut dyn FnMut(&[u8])) -> Option<bool> {
    let mut pixels = false;
    while !rest.is_empty() {
        let kind = rest.get(..4)?;
        let length = usize::try_from(u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?)).ok()?;
        let data = rest.get(8..length.checked_add(8)?)?;
        match kind {
            b"VP8 " => pixels |= data.get(3..6)? == b"\x9d\x01\x2a",
            b"VP8L" => pixels |= data.first() == Some(&0x2f),
            b"ALPH" => {}
            b"VP8X" | b"ANIM" if !frame => {}
            b"ANMF" if !frame => pixels |= webp_chunks(data.get(16..)?, true, metadata)?,
            b"ICCP" | b"EXIF" | b"XMP " if !frame => metadata(data),
            _ => return None,
        }
        // Chunks begin at even places.
        rest = rest.get(length.checked_add(8)?.checked_add(length & 1)?..)?;
    }
    Some(pixels)
}

/// Blocks up to the trailer, which has to be the last byte.
fn gif(bytes: &[u8], metadata: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut at = 13_usize.checked_add(color_table(*bytes.get(10)?))?;
    let mut pixels = false;
    loop {
        match *bytes.get(at)? {
            0x3b => return (pixels && at.checked_add(1)? == bytes.len()).then_some(()),
            0x21 => {
                let (data, end) = sub_blocks(bytes, at.checked_add(2)?)?;
                metadata(&data);
                at = end;
            }
            0x2c => {
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
