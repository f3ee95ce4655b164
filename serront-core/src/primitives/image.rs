//! Parses the structure of the four image formats without decoding pixels.
//!
//! Each parser reads the file once, in linear time. It finds where the picture ends and how many pixels its headers
//! claim:
//!
//! ```text
//! FF D8 … scan … FF D9 │ a trailer, a video, an archive
//! └──── kept ─────────┘ └─ cut off
//! ```
//!
//! The parsers skip what decoders skip, stop where decoders stop, and ignore the content of metadata. They refuse a
//! picture without the data needed to show it, and drop an incomplete part after that data.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Most pixels that a receipt's headers may claim. Viewers allocate memory for them, and a few bytes can claim
/// billions. Phones take pictures of 12 to 108 megapixels.
pub const RECEIPT_PIXELS_MAX: u64 = 120_000_000;

/// A picture found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The picture's length in the file, in bytes from the start.
    kept: usize,
    /// Bytes to append so that the picture ends as its format requires; empty if nothing is missing.
    ending: Vec<u8>,
    /// The correct size for the RIFF header; `None` if the header is right, and for other formats.
    riff_size: Option<u32>,
    /// Pixels that a decoder would allocate: those of the largest picture in the file.
    pub(crate) pixels: u64,
}

impl Found {
    /// The picture's size in bytes, with its ending.
    pub(crate) fn length(&self) -> usize {
        self.kept.saturating_add(self.ending.len())
    }

    /// Extracts the picture from the file that it was found in.
    pub(crate) fn extract<'b>(&self, file: Cow<'b, [u8]>) -> Cow<'b, [u8]> {
        if self.ending.is_empty() && self.riff_size.is_none() {
            return match file {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..self.kept).unwrap_or(bytes)),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(self.kept);
                    Cow::Owned(bytes)
                }
            };
        }
        let mut bytes = match file {
            Cow::Borrowed(bytes) => {
                let mut copy = Vec::with_capacity(self.length());
                copy.extend_from_slice(bytes.get(..self.kept).unwrap_or(bytes));
                copy
            }
            Cow::Owned(mut bytes) => {
                bytes.truncate(self.kept);
                // A receipt may have 5 MiB, and `extend_from_slice` alone could double the capacity.
                bytes.reserve_exact(self.ending.len());
                bytes
            }
        };
        bytes.extend_from_slice(&self.ending);
        if let (Some(size), Some(place)) = (self.riff_size, bytes.get_mut(4..8)) {
            place.copy_from_slice(&size.to_le_bytes());
        }
        Cow::Owned(bytes)
    }
}

/// The image type by the first bytes.
pub(crate) fn kind_of(bytes: &[u8]) -> Result<ImageType, ImageFault> {
    let kind = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        ImageType::Png
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        ImageType::Jpeg
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        ImageType::Webp
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        ImageType::Gif
    } else {
        return Err(other_kind(bytes));
    };
    // Two formats are recognised by bytes after the start, so a file can be an image and one of them.
    let is_tape_archive = bytes.get(257..262) == Some(b"ustar");
    if is_tape_archive || bytes.get(4..8) == Some(b"ftyp") {
        return Err(ImageFault::TwoKinds);
    }
    Ok(kind)
}

/// Classifies a file that does not start as one of the four formats.
fn other_kind(bytes: &[u8]) -> ImageFault {
    if bytes.is_empty() {
        return ImageFault::Empty;
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return media_container(bytes);
    }
    // PDF readers look for the header in the first kilobyte.
    let first = bytes.get(..1024).unwrap_or(bytes);
    if first.windows(5).any(|window| window == b"%PDF-") {
        return ImageFault::Pdf;
    }
    let other_images: [&[u8]; 6] =
        [b"II*\0", b"MM\0*", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ", b"\0\0\x01\0"];
    // A bitmap's reserved fields are zero.
    let is_bitmap = bytes.starts_with(b"BM") && bytes.get(6..10) == Some(&[0; 4]);
    if is_bitmap || other_images.iter().any(|beginning| bytes.starts_with(beginning)) || is_svg(first) {
        return ImageFault::OtherFormat;
    }
    ImageFault::NotAnImage
}

/// Classifies an ISO base media file by its brands: an iPhone picture, another still picture, or a video.
fn media_container(bytes: &[u8]) -> ImageFault {
    /// The compatible brands follow the major one; files usually list a handful.
    const BRANDS_END: usize = 128;
    let stated = bytes.get(..4).map_or(0, big_endian);
    let end = usize::try_from(stated).unwrap_or(BRANDS_END).min(BRANDS_END).min(bytes.len());
    let major = bytes.get(8..12).unwrap_or_default();
    let mut brands = std::iter::once(major).chain(bytes.get(16..end).unwrap_or_default().chunks_exact(4));
    if matches!(major, b"avif" | b"avis") || brands.clone().any(|brand| brand == b"avif") {
        return ImageFault::OtherFormat;
    }
    let is_heic = |brand: &[u8]| brand.starts_with(b"hei") || brand.starts_with(b"hev");
    if brands.any(|brand| is_heic(brand) || matches!(brand, b"mif1" | b"msf1")) {
        return ImageFault::Heic;
    }
    ImageFault::NotAnImage
}

/// Whether the text starts as an SVG image, optionally after a declaration or comment.
fn is_svg(first: &[u8]) -> bool {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let begins = |start: &[u8]| text.get(..start.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(start));
    let holds = |tag: &[u8]| text.windows(tag.len()).any(|window| window.eq_ignore_ascii_case(tag));
    begins(b"<svg") || (begins(b"<?xml") || begins(b"<!--") || begins(b"<!doctype svg")) && holds(b"<svg")
}

/// Finds the picture at the start of a file of this type.
pub(crate) fn find(kind: ImageType, bytes: &[u8]) -> Result<Found, ImageFault> {
    let found = match kind {
        ImageType::Png => png(bytes),
        ImageType::Jpeg => jpeg(bytes)?,
        ImageType::Webp => webp(bytes),
        ImageType::Gif => gif(bytes),
    };
    found.filter(|found| found.pixels > 0).ok_or(ImageFault::Incomplete)
}

fn area(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

/// Reads at most four bytes, highest byte first.
fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Reads at most four bytes, lowest byte first.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// PNG's last chunk, complete.
const IEND: &[u8; 12] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// A PNG chunk, which the end of the file may cut off.
struct PngChunk<'b> {
    kind: &'b [u8],
    /// `None` if the file ends within the data.
    data: Option<&'b [u8]>,
    /// The bytes that the checksum covers, and the checksum in the file; `None` if the file ends before it.
    summed: Option<(&'b [u8], u32)>,
    data_end: usize,
    end: usize,
}

impl<'b> PngChunk<'b> {
    /// Reads the chunk at this offset; `None` if there is no chunk header.
    fn at(bytes: &'b [u8], at: usize) -> Option<Self> {
        let (kind_at, data_at) = (at.checked_add(4)?, at.checked_add(8)?);
        let kind = bytes.get(kind_at..data_at).filter(|kind| kind.iter().all(u8::is_ascii_alphabetic))?;
        let data_end = data_at.checked_add(usize::try_from(big_endian(bytes.get(at..kind_at)?)).ok()?)?;
        let end = data_end.checked_add(4)?;
        let summed = bytes.get(kind_at..data_end).zip(bytes.get(data_end..end).map(big_endian));
        Some(Self { kind, data: bytes.get(data_at..data_end), summed, data_end, end })
    }

    fn has_valid_checksum(&self) -> bool {
        self.summed.is_some_and(|(summed, stated)| crc32(summed) == stated)
    }

    fn is_critical(&self) -> bool {
        self.kind.first().is_some_and(u8::is_ascii_uppercase)
    }
}

/// Reads chunks up to IEND.
///
/// Checksums must be right where decoders check them: in the header, and in a palette before the pixels. After the
/// pixels, the picture ends at the first incomplete chunk or unknown critical chunk.
fn png(bytes: &[u8]) -> Option<Found> {
    let header = PngChunk::at(bytes, 8).filter(|chunk| chunk.kind == b"IHDR" && chunk.has_valid_checksum())?;
    let sides = header.data.filter(|data| data.len() == 13)?;
    let pixels = area(big_endian(sides.get(..4)?), big_endian(sides.get(4..8)?));
    let ended = |kept, ending| Some(Found { kept, ending, riff_size: None, pixels });
    let mut has_data = false;
    let mut at = header.end;
    while let Some(chunk) = PngChunk::at(bytes, at) {
        match (chunk.kind, chunk.data) {
            (b"IEND", _) if bytes.get(at..chunk.end) == Some(IEND) && has_data => return ended(chunk.end, Vec::new()),
            // Part of the pixels is missing.
            (b"IDAT", None) => return None,
            (b"IDAT", Some(data)) => {
                has_data |= !data.is_empty();
                if chunk.summed.is_none() {
                    // The file ends after the pixels, before their checksum.
                    let sum = crc32(bytes.get(at.checked_add(4)?..chunk.data_end)?);
                    let ending = [&sum.to_be_bytes()[..], IEND].concat();
                    return if has_data { ended(chunk.data_end, ending) } else { None };
                }
            }
            (b"PLTE", _) if chunk.has_valid_checksum() || has_data && chunk.summed.is_some() => {}
            _ if chunk.is_critical() || chunk.summed.is_none() => break,
            _ => {}
        }
        at = chunk.end;
    }
    if has_data { ended(at, IEND.to_vec()) } else { None }
}

/// The checksum of PNG chunks (ISO 3309), four bits at a time.
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

/// Reads segments up to the end-of-image marker after the first scan.
///
/// A scan with data is enough to show the picture, so a missing end is accepted after it. Only decoding could tell
/// whether a scan is complete. Further pictures in the file (previews, gain maps) are not part of the picture.
fn jpeg(bytes: &[u8]) -> Result<Option<Found>, ImageFault> {
    let (mut width, mut pixels) = (0, 0);
    // Start and end of the last scan's data.
    let mut scan = None;
    let mut at = 2_usize;
    let (kept, ending): (usize, &[u8]) = loop {
        let Some((marker_at, marker)) = jpeg_marker(bytes, at, scan.is_some()) else {
            break (bytes.len(), JPEG_ENDING);
        };
        let after = marker_at.saturating_add(2);
        match marker {
            0xd9 => break (after, &[]),
            // The next picture starts.
            0xd8 => break (marker_at, JPEG_ENDING),
            0x01 | 0xd0..=0xd7 => at = after,
            // Unknown to decoders.
            0x00 | 0x02..=0xbf | 0xff => return Ok(None),
            0xc0..=0xcf | 0xda..=0xfe => {
                let Some((data, end)) = jpeg_segment(bytes, after) else {
                    break (marker_at, JPEG_ENDING);
                };
                at = end;
                let number = |from: usize| data.get(from..from.saturating_add(2)).map(big_endian);
                match marker {
                    // Frame headers; the numbers in between are tables.
                    0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xde => {
                        let (Some(height), Some(of_frame)) = (number(1), number(3)) else { return Ok(None) };
                        width = of_frame;
                        pixels = pixels.max(area(width, height));
                    }
                    // The height, for a frame header that left it open.
                    0xdc => pixels = pixels.max(area(width, number(0).unwrap_or_default())),
                    0xda if width == 0 => return Ok(None),
                    0xda => {
                        let data_end = jpeg_marker(bytes, at, true).map_or(bytes.len(), |(marker_at, _)| marker_at);
                        if data_end > at {
                            scan = Some((at, data_end));
                            at = data_end;
                        }
                    }
                    _ => {}
                }
            }
        }
    };
    let Some((scan_begin, scan_end)) = scan else { return Ok(None) };
    if holds_archive_end(bytes, scan_begin, scan_end, kept) {
        return Err(ImageFault::TwoKinds);
    }
    Ok(Some(Found { kept, ending: ending.to_vec(), riff_size: None, pixels }))
}

/// JPEG's end-of-image marker.
const JPEG_ENDING: &[u8] = b"\xff\xd9";

/// The next marker and its offset. Skips other bytes before it, as decoders do. In and after scan data (`in_scan`),
/// only markers that end a scan count.
fn jpeg_marker(bytes: &[u8], from: usize, in_scan: bool) -> Option<(usize, u8)> {
    let mut at = from;
    loop {
        at = at.checked_add(bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?)?;
        let fill = bytes.get(at..)?.iter().position(|byte| *byte != 0xff)?;
        at = at.checked_add(fill)?;
        let marker = *bytes.get(at)?;
        let is_data = if in_scan { matches!(marker, 0x00..=0xbf | 0xd0..=0xd7) } else { marker == 0x00 };
        if !is_data {
            return Some((at.checked_sub(1)?, marker));
        }
    }
}

/// The data of the segment whose length is at this offset, and the segment's end.
fn jpeg_segment(bytes: &[u8], length_at: usize) -> Option<(&[u8], usize)> {
    let data_at = length_at.checked_add(2)?;
    // A length includes its own two bytes; decoders read a smaller one as 2.
    let length = usize::try_from(big_endian(bytes.get(length_at..data_at)?)).ok()?.max(2);
    let end = length_at.checked_add(length)?;
    Some((bytes.get(data_at..end)?, end))
}

/// Whether the pixels contain the end record of a ZIP archive. Readers search for it from the end of the file, before a
/// comment of at most 65,535 bytes. Its first fields, the disk numbers, must be zero, so that ordinary pixels rarely
/// match.
fn holds_archive_end(bytes: &[u8], from: usize, to: usize, file_end: usize) -> bool {
    const RECORD: &[u8] = b"PK\x05\x06\0\0\0\0";
    const RECORD_BYTES_MAX: usize = 22 + 65_535;
    let from = from.max(file_end.saturating_sub(RECORD_BYTES_MAX));
    bytes.get(from..to).unwrap_or_default().windows(RECORD.len()).any(|window| window == RECORD)
}

/// Reads chunks up to the size that the RIFF header states.
///
/// Accepts two common errors in that size: the header counted as well, or the padding of odd chunks left out. The
/// stored picture states the correct size, because browsers do not show a picture with a wrong one.
fn webp(bytes: &[u8]) -> Option<Found> {
    let stated = little_endian(bytes.get(4..8)?);
    let limit = usize::try_from(stated).ok()?.checked_add(8)?;
    if !matches!(bytes.get(12..16)?, b"VP8 " | b"VP8L" | b"VP8X") {
        return None;
    }
    let mut picture = WebpPicture::default();
    // The end of the last complete chunk, and the start of the next, which is even.
    let (mut end, mut at) = (12_usize, 12_usize);
    let mut paddings = 0_usize;
    while at < limit {
        let last = limit.saturating_add(paddings);
        let Some(chunk) = RiffChunk::at(bytes, at).filter(|chunk| chunk.end <= last) else { break };
        picture.read_chunk(&chunk, false);
        let padding = chunk.padding();
        (end, at, paddings) = (chunk.end, chunk.end.checked_add(padding)?, paddings.checked_add(padding)?);
    }
    if !picture.has_pixels {
        return None;
    }
    let (kept, ending) = match at.checked_sub(end)? {
        1 if bytes.get(end) == Some(&0) => (at, Vec::new()),
        1 => (end, vec![0]),
        _ => (end, Vec::new()),
    };
    let size = u32::try_from(kept.checked_add(ending.len())?.checked_sub(8)?).ok()?;
    Some(Found { kept, ending, riff_size: (size != stated).then_some(size), pixels: picture.pixels })
}

/// What the chunks of a WebP say about its pictures.
#[derive(Default)]
struct WebpPicture {
    has_pixels: bool,
    /// Pixels that the largest picture claims.
    pixels: u64,
}

impl WebpPicture {
    /// Reads a picture's size from a chunk; skips unknown chunks, as the specification requires. `in_frame`: inside an
    /// animation's frame.
    fn read_chunk(&mut self, chunk: &RiffChunk<'_>, in_frame: bool) -> Option<()> {
        let data = chunk.data;
        match chunk.kind {
            b"VP8 " if data.get(3..6)? == b"\x9d\x01\x2a" => {
                // 14 bits each; the upper two are a scale.
                let side = |from: usize| Some(little_endian(data.get(from..from.checked_add(2)?)?) & 0x3fff);
                self.claim(area(side(6)?, side(8)?), true);
            }
            b"VP8L" if data.first() == Some(&0x2f) => {
                let sides = little_endian(data.get(1..5)?);
                self.claim(area((sides & 0x3fff) + 1, ((sides >> 14) & 0x3fff) + 1), true);
            }
            b"VP8X" if !in_frame => {
                let side = |from: usize| Some(little_endian(data.get(from..from.checked_add(3)?)?) + 1);
                self.claim(area(side(4)?, side(7)?), false);
            }
            // The size of a frame's picture is in the chunks inside it.
            b"ANMF" if !in_frame => {
                let mut at = 16;
                while let Some(inner) = RiffChunk::at(data, at) {
                    self.read_chunk(&inner, true);
                    at = inner.end.checked_add(inner.padding())?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn claim(&mut self, pixels: u64, has_pixels: bool) {
        self.pixels = self.pixels.max(pixels);
        self.has_pixels |= has_pixels;
    }
}

/// A chunk of a RIFF container.
struct RiffChunk<'b> {
    kind: &'b [u8],
    data: &'b [u8],
    /// The end of the data, before the padding.
    end: usize,
}

impl<'b> RiffChunk<'b> {
    /// Reads the chunk at this offset; `None` if it is incomplete.
    fn at(bytes: &'b [u8], at: usize) -> Option<Self> {
        let (length_at, data_at) = (at.checked_add(4)?, at.checked_add(8)?);
        let length = usize::try_from(little_endian(bytes.get(length_at..data_at)?)).ok()?;
        let end = data_at.checked_add(length)?;
        Some(Self { kind: bytes.get(at..length_at)?, data: bytes.get(data_at..end)?, end })
    }

    /// Bytes of padding, so that the next chunk starts at an even offset.
    fn padding(&self) -> usize {
        self.data.len() % 2
    }
}

/// Reads blocks up to the trailer. After the first picture, an incomplete or unknown block ends the file, as in
/// decoders.
fn gif(bytes: &[u8]) -> Option<Found> {
    let size = |from: usize| {
        let side = |from: usize| Some(little_endian(bytes.get(from..from.checked_add(2)?)?));
        Some(area(side(from)?, side(from.checked_add(2)?)?))
    };
    let mut pixels = size(6)?;
    let mut has_picture = false;
    let mut at = 13_usize.checked_add(color_table(*bytes.get(10)?))?;
    let (kept, ending): (usize, &[u8]) = loop {
        match gif_block(bytes, at) {
            Some(GifBlock::Trailer) => break (at.checked_add(1)?, b""),
            Some(GifBlock::Extension { end }) => at = end,
            // The picture has no data.
            Some(GifBlock::Picture { has_data: false, is_ended: false, .. }) => break (at, b"\x3b"),
            Some(GifBlock::Picture { end, has_data, is_ended }) => {
                pixels = pixels.max(size(at.checked_add(5)?)?);
                has_picture |= has_data;
                if !is_ended {
                    break (end, b"\0\x3b");
                }
                at = end;
            }
            None => break (at, b"\x3b"),
        }
    };
    has_picture.then(|| Found { kept, ending: ending.to_vec(), riff_size: None, pixels })
}

/// A block of a GIF.
enum GifBlock {
    Trailer,
    Extension {
        end: usize,
    },
    /// `is_ended`: whether the empty block that ends the data is present.
    Picture {
        end: usize,
        has_data: bool,
        is_ended: bool,
    },
}

/// Reads the block at this offset; `None` if it is incomplete or unknown.
fn gif_block(bytes: &[u8], at: usize) -> Option<GifBlock> {
    match *bytes.get(at)? {
        0x3b => Some(GifBlock::Trailer),
        0x21 => {
            let (end, is_ended) = sub_blocks(bytes, at.checked_add(2)?)?;
            is_ended.then_some(GifBlock::Extension { end })
        }
        0x2c => {
            let table = color_table(*bytes.get(at.checked_add(9)?)?);
            let data_at = at.checked_add(11)?.checked_add(table)?;
            let (end, is_ended) = sub_blocks(bytes, data_at)?;
            let data_end = if is_ended { end.checked_sub(1)? } else { end };
            Some(GifBlock::Picture { end, has_data: data_end > data_at, is_ended })
        }
        _ => None,
    }
}

/// The size of a color table, in bytes.
fn color_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 0x07) + 1) }
}

/// The end of a list of sub-blocks, and whether its empty last block is present; `None` if one is cut off.
fn sub_blocks(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    loop {
        let Some(length) = bytes.get(at) else { return (at == bytes.len()).then_some((at, false)) };
        at = at.checked_add(1)?.checked_add(usize::from(*length))?;
        if *length == 0 {
            return Some((at, true));
        }
        if at > bytes.len() {
            return None;
        }
    }
}

/// The accepted image formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each variant is the format of the same name")]
pub enum ImageType {
    Png,
    Jpeg,
    Webp,
    Gif,
}

impl ImageType {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Png, Self::Jpeg, Self::Webp, Self::Gif];

    /// The registered media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    /// Parses a media type, ignoring its parameters and letter case. Also accepts the older names `image/jpg`,
    /// `image/pjpeg` and `image/x-png`.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "image/png" | "image/x-png" => Some(Self::Png),
            "image/jpeg" | "image/jpg" | "image/pjpeg" => Some(Self::Jpeg),
            "image/webp" => Some(Self::Webp),
            "image/gif" => Some(Self::Gif),
            _ => None,
        }
    }

    /// Recognises the image at the start of a file, by its bytes.
    ///
    /// # Errors
    /// [`ImageFault`] says why the file is refused.
    pub fn recognise(bytes: &[u8]) -> Result<Self, ImageFault> {
        recognise(None, bytes).map(|(kind, _)| kind)
    }
}

/// Why a file is refused as a receipt. `Display` is the API's message; pages have their own texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFault {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// A HEIC or HEIF picture, as iPhones store them. Most browsers cannot show it.
    #[error(
        "the file is an iPhone's HEIC picture; send it as JPEG: a screenshot of it, or choose Settings > Camera > \
         Formats > Most Compatible and take it again"
    )]
    Heic,
    /// A PDF.
    #[error("the file is a PDF; send a photo or a screenshot of it")]
    Pdf,
    /// An image of another format: AVIF, BMP, ICO, JPEG 2000, JPEG XL, SVG, TIFF.
    #[error("the image has another format; send it as PNG, JPEG, WebP or GIF")]
    OtherFormat,
    /// By its first bytes, the file is not an image.
    #[error("the file is not an image: it must be a PNG, JPEG, WebP or GIF")]
    NotAnImage,
    /// The same bytes are an image and a file of another kind.
    #[error("the file is an image and another kind of file at the same time")]
    TwoKinds,
    /// The file starts as an image, but a part that is needed to show it is missing or damaged.
    #[error("the image is incomplete: a part of it is missing or damaged")]
    Incomplete,
    /// The headers claim more than [`RECEIPT_PIXELS_MAX`].
    #[error("the image must have at most {} megapixels", RECEIPT_PIXELS_MAX / 1_000_000)]
    TooManyPixels,
    /// The declared media type is not an accepted one.
    #[error("the content type must be image/png, image/jpeg, image/webp or image/gif")]
    DeclaredUnknown,
    /// The bytes are an image of another type than the declared one.
    #[error("the bytes are not what the content type says")]
    DeclaredOther,
}

/// The image type of a file, and the picture at its start.
pub(crate) fn recognise(declared: Option<&str>, bytes: &[u8]) -> Result<(ImageType, Found), ImageFault> {
    // The bytes come first: a fault found in them helps more than an unknown declared type.
    let kind = kind_of(bytes)?;
    if let Some(declared) = declared {
        let declared = ImageType::from_media_type(declared).ok_or(ImageFault::DeclaredUnknown)?;
        if declared != kind {
            return Err(ImageFault::DeclaredOther);
        }
    }
    let found = find(kind, bytes)?;
    if found.pixels > RECEIPT_PIXELS_MAX {
        return Err(ImageFault::TooManyPixels);
    }
    Ok((kind, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::receipt::{Picture, RECEIPT_BYTES_MAX, samples};
    use crate::primitives::rejection::Rejection;

    const SAMPLES: [(ImageType, &[u8]); 4] = [
        (ImageType::Png, samples::PNG),
        (ImageType::Jpeg, samples::JPEG),
        (ImageType::Webp, samples::WEBP),
        (ImageType::Gif, samples::GIF),
    ];

    /// An empty archive: an end record alone.
    const ARCHIVE: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    /// The picture in a file. Checks that taking it again changes nothing.
    fn picture(file: &[u8]) -> Result<Vec<u8>, ImageFault> {
        match Picture::take(None, file) {
            Ok(taken) => {
                let again = Picture::take(Some(taken.image_type().media_type()), taken.bytes().to_vec());
                assert_eq!(again.as_ref(), Ok(&taken));
                Ok(taken.bytes().to_vec())
            }
            Err(Rejection::UnsupportedMediaType(fault)) => Err(fault),
            Err(other) => panic!("{other}"),
        }
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

    fn riff_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let padding: &[u8] = if data.len() % 2 == 1 { b"\0" } else { b"" };
        [kind, &u32::try_from(data.len()).unwrap().to_le_bytes()[..], data, padding].concat()
    }

    /// A container of these chunks whose stated size is off by `off` bytes.
    fn riff(chunks: &[&[u8]], off: i64) -> Vec<u8> {
        let chunks = chunks.concat();
        let stated = u32::try_from(i64::try_from(chunks.len() + 4).unwrap() + off).unwrap();
        [b"RIFF", &stated.to_le_bytes()[..], b"WEBP", &chunks].concat()
    }

    fn webp_with(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        riff(&[&samples::WEBP[12..], &riff_chunk(kind, data)], 0)
    }

    fn gif_with(data: &[u8]) -> Vec<u8> {
        let (head, trailer) = samples::GIF.split_at(samples::GIF.len() - 1);
        // Split into two sub-blocks.
        let (one, other) = data.split_at(data.len() / 2);
        let block = |data: &[u8]| [&[u8::try_from(data.len()).unwrap()], data].concat();
        [head, b"\x21\xfe", &block(one), &block(other), b"\0", trailer].concat()
    }

    #[test]
    fn what_follows_a_picture_is_cut_off() {
        for (kind, sample) in SAMPLES {
            assert_eq!(ImageType::recognise(sample), Ok(kind));
            let trailers = [
                &b"\n"[..],
                b"\0",
                &[0xff; 40],
                b"PK\x03\x04an archive",
                b"<html>",
                ARCHIVE,
                samples::GIF,
                samples::JPEG,
            ];
            for trailer in trailers {
                assert_eq!(picture(&[sample, trailer].concat()).as_deref(), Ok(sample), "{kind:?} and {trailer:?}");
            }
        }
    }

    #[test]
    fn a_missing_end_is_added_and_a_missing_part_is_refused() {
        // The length from which on only the end is missing.
        for ((kind, sample), whole) in
            SAMPLES.into_iter().zip([51, 157, samples::WEBP.len() - 1, samples::GIF.len() - 2])
        {
            for cut in 0..sample.len() {
                let taken = picture(&sample[..cut]);
                if cut >= whole {
                    assert_eq!(taken.unwrap().get(..whole), sample.get(..whole), "{kind:?} cut at {cut}");
                } else {
                    let beginnings = [ImageFault::Empty, ImageFault::NotAnImage, ImageFault::Incomplete];
                    assert!(beginnings.contains(&taken.unwrap_err()), "{kind:?} cut at {cut}");
                }
            }
        }
        for ending in 1..=16 {
            let cut = &samples::PNG[..samples::PNG.len() - ending];
            assert_eq!(picture(cut).as_deref(), Ok(samples::PNG), "PNG without its last {ending}");
        }
        for ending in 1..=2 {
            let cut = &samples::GIF[..samples::GIF.len() - ending];
            assert_eq!(picture(cut).as_deref(), Ok(samples::GIF), "GIF without its last {ending}");
        }
    }

    #[test]
    fn metadata_may_hold_any_bytes() {
        type With = Box<dyn Fn(&[u8]) -> Vec<u8>>;
        let places: [(&str, With); 8] = [
            ("PNG text", Box::new(|data| png_with(b"tEXt", data))),
            ("PNG private", Box::new(|data| png_with(b"prVt", data))),
            ("JPEG comment", Box::new(|data| jpeg_with(0xfe, data))),
            ("JPEG application", Box::new(|data| jpeg_with(0xe1, data))),
            ("WebP EXIF", Box::new(|data| webp_with(b"EXIF", data))),
            ("WebP XMP", Box::new(|data| webp_with(b"XMP ", data))),
            ("WebP unknown", Box::new(|data| webp_with(b"C2PA", data))),
            ("GIF comment", Box::new(gif_with)),
        ];
        let held =
            [&b"by hand"[..], b"\0\0\xff\x3b\0", b"<script>", b"<!DOCTYPE plist", b"<svg/>", b"%PDF-1.7", ARCHIVE];
        for (place, with) in places {
            for data in held {
                let file = with(data);
                assert_eq!(picture(&file).as_deref(), Ok(&file[..]), "{place}: {data:?}");
            }
        }
    }

    #[test]
    fn a_png_ends_where_decoders_stop() {
        let (head, end) = samples::PNG.split_at(samples::PNG.len() - 12);
        for behind in [
            &b"PK\x03\x04an archive"[..],
            b"\0\0\0\x04IEND",
            &png_chunk(b"IEND", b"data"),
            &png_chunk(b"EVIL", b""),
            &png_chunk(b"tEXt", b"cut")[..10],
            &[&png_chunk(b"\x01\x02\x03\x04", b"no name"), end].concat(),
        ] {
            assert_eq!(picture(&[head, behind].concat()).as_deref(), Ok(samples::PNG), "{behind:?}");
        }
        let mut wrong_sum = png_with(b"tEXt", b"a comment");
        wrong_sum[33 + 8] ^= 1;
        assert_eq!(picture(&wrong_sum).as_deref(), Ok(&wrong_sum[..]), "of metadata");
        let mut wrong_sum = samples::PNG.to_vec();
        wrong_sum[53] ^= 1;
        assert_eq!(picture(&wrong_sum).as_deref(), Ok(&wrong_sum[..]), "of pixels: decoders show them");
    }

    #[test]
    fn pictures_that_no_decoder_shows_are_refused() {
        let png_header = |data: &[u8]| [&samples::PNG[..8], &png_chunk(b"IHDR", data), &samples::PNG[33..]].concat();
        let mut wrong_sum = samples::PNG.to_vec();
        wrong_sum[30] ^= 1;
        let mut palette = png_with(b"PLTE", b"abc");
        palette[33 + 8] ^= 1;
        let mut no_pixels = samples::WEBP.to_vec();
        no_pixels[20] = b'g';
        let frame = samples::JPEG.windows(2).position(|pair| pair == b"\xff\xc0").unwrap();
        let (before, after) = samples::JPEG.split_at(frame);
        let scan = samples::JPEG.windows(2).position(|pair| pair == b"\xff\xda").unwrap();
        for (what, file) in [
            ("PNG with an unknown critical chunk", png_with(b"EVIL", b"")),
            ("PNG with a wrong checksum", wrong_sum),
            ("PNG with a wrong checksum of its palette", palette),
            ("PNG without width", png_header(&[0, 0, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0])),
            ("PNG with a long header", png_header(&[0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0])),
            ("PNG without pixels", [&samples::PNG[..33], IEND].concat()),
            ("JPEG without a frame", [before, &after[13..]].concat()),
            ("JPEG without a scan", [&samples::JPEG[..scan], b"\xff\xd9"].concat()),
            ("JPEG without pixels", [&samples::JPEG[..scan + 10], b"\xff\xd9"].concat()),
            ("JPEG that begins twice", [&samples::JPEG[..20], samples::JPEG].concat()),
            ("JPEG with an unknown marker", jpeg_with(0x42, b"")),
            ("WebP whose pixels are none", no_pixels),
            ("WebP that begins with something else", riff(&[&riff_chunk(b"C2PA", b""), &samples::WEBP[12..]], 0)),
            ("WebP of no size", riff(&[&samples::WEBP[12..]], -22)),
            ("WebP that ends within its pixels", riff(&[&samples::WEBP[12..]], -2)),
            ("GIF without a picture", b"GIF89a\x01\0\x01\0\0\0\0\x3b".to_vec()),
        ] {
            assert_eq!(picture(&file), Err(ImageFault::Incomplete), "{what}");
        }
    }

    #[test]
    fn junk_between_the_segments_of_a_jpeg_is_skipped() {
        let (head, rest) = samples::JPEG.split_at(20);
        for junk in [&b"hello"[..], b"\0\xff\0\0", b"\xff\xff\xff", b"\xff\xd0", b"\xff\xe5\0\0", b"\xff\xe5\0\x01"] {
            let file = [head, junk, rest].concat();
            assert_eq!(picture(&file).as_deref(), Ok(&file[..]), "{junk:?}");
        }
        let (scanned, end) = samples::JPEG.split_at(samples::JPEG.len() - 2);
        for junk in [&b"\xff\x03ab"[..], b"\xff\xd3", b"\xff\xfe\0\x04ab", &[0; 9]] {
            let file = [scanned, junk, end].concat();
            assert_eq!(picture(&file).as_deref(), Ok(&file[..]), "{junk:?} behind the scan");
        }
        for cut in [&b"\xff\xfe\x40\0ab"[..], b"\xff\xc4\x40\0ab", b"\xff\xe1\x40", samples::JPEG] {
            let file = [scanned, cut].concat();
            assert_eq!(picture(&file).as_deref(), Ok(samples::JPEG), "{cut:?} behind the scan");
        }
    }

    #[test]
    fn pixels_that_are_also_an_archive_are_refused() {
        let pixels = &samples::JPEG[..samples::JPEG.len() - 2];
        for behind in [ARCHIVE.to_vec(), [ARCHIVE, &[b'x'; 1_000]].concat(), [ARCHIVE, b"\xff\xd9"].concat()] {
            assert_eq!(picture(&[pixels, &behind].concat()), Err(ImageFault::TwoKinds));
        }
        assert!(picture(&[pixels, ARCHIVE, &[b'x'; 70_000]].concat()).is_ok(), "no program looks that far");
        let mut tape = jpeg_with(0xfe, &[b' '; 400]);
        tape[257..262].copy_from_slice(b"ustar");
        assert_eq!(picture(&tape), Err(ImageFault::TwoKinds));
        let film = [b"\xff\xd8\xff\xe0ftypheic", &samples::JPEG[12..]].concat();
        assert_eq!(picture(&film), Err(ImageFault::TwoKinds));
    }

    #[test]
    fn a_webp_states_its_correct_size() {
        let canvas = riff_chunk(b"VP8X", &[0; 10]);
        let (canvas, image) = (&canvas[..], &samples::WEBP[12..]);
        let odd = riff_chunk(b"EXIF", b"abc");
        let unpadded = &odd[..11];
        let whole = riff(&[canvas, image, &odd], 0);
        for (what, file) in [
            ("as it should be", whole.clone()),
            ("the header counted", riff(&[canvas, image, &odd], 8)),
            (
                "the header counted, and a trailer",
                [riff(&[canvas, image, &odd], 8), b"PK\x03\x04an archive".to_vec()].concat(),
            ),
            ("the padding forgotten", riff(&[canvas, image, &odd], -1)),
            ("the padding forgotten, and a trailer", [riff(&[canvas, image, &odd], -1), b"\n".to_vec()].concat()),
            ("no padding", riff(&[canvas, image, unpadded], 0)),
            ("padding that is none", riff(&[canvas, image, unpadded, b"x"], 0)),
            ("four bytes more", riff(&[canvas, image, &odd, b"more"], 0)),
            ("a chunk cut off", riff(&[canvas, image, &odd, b"XMP \x40\0\0\0<x:x"], 60)),
        ] {
            assert_eq!(picture(&file).as_deref(), Ok(&whole[..]), "{what}");
        }
        let two = riff(&[canvas, image, &odd, &riff_chunk(b"XMP ", b"abc")], 0);
        let forgotten = riff(&[canvas, image, &odd, &riff_chunk(b"XMP ", b"abc")], -2);
        assert_eq!(picture(&forgotten).as_deref(), Ok(&two[..]), "the padding of two forgotten");
        let frame = [&[0; 16][..], image].concat();
        let film = riff(&[canvas, &riff_chunk(b"ANIM", &[0; 6]), &riff_chunk(b"ANMF", &frame)], 0);
        assert_eq!(picture(&film).as_deref(), Ok(&film[..]), "an animation");
        let cut = riff(&[&film[12..], b"ANMF\x40\0\0\0cut"], 0);
        assert_eq!(picture(&cut).as_deref(), Ok(&film[..]), "one whose second frame is cut off");
    }

    #[test]
    fn other_formats_are_recognised_by_their_first_bytes() {
        for (what, file, fault) in [
            ("nothing", &b""[..], ImageFault::Empty),
            ("an iPhone's picture", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ImageFault::Heic),
            ("a picture in the general brand", b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafheix", ImageFault::Heic),
            ("AVIF", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", ImageFault::OtherFormat),
            ("AVIF in the general brand", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", ImageFault::OtherFormat),
            ("a video", b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", ImageFault::NotAnImage),
            ("a PDF", b"%PDF-1.7\n%%EOF", ImageFault::Pdf),
            ("a PDF behind a line", b"\r\n%PDF-1.7\n%%EOF", ImageFault::Pdf),
            ("TIFF", b"II*\0\x08\0\0\0", ImageFault::OtherFormat),
            ("BMP", b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", ImageFault::OtherFormat),
            ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ImageFault::OtherFormat),
            ("SVG with a declaration", b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>", ImageFault::OtherFormat),
            ("a page", b"<!doctype html><html><svg/></html>", ImageFault::NotAnImage),
            ("text", b"BM is no bitmap", ImageFault::NotAnImage),
            ("an archive", b"PK\x03\x04", ImageFault::NotAnImage),
            ("another container", b"RIFF\x04\0\0\0WAVE", ImageFault::NotAnImage),
        ] {
            assert_eq!(picture(file), Err(fault), "{what}");
        }
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
            let at = samples::JPEG.windows(2).position(|pair| pair == b"\xff\xc0").unwrap();
            let mut bytes = samples::JPEG.to_vec();
            bytes[at + 5..at + 7].fill(0);
            bytes[at + 7..at + 9].copy_from_slice(&side(width).to_be_bytes());
            bytes.splice(bytes.len() - 2..bytes.len() - 2, lines);
            bytes
        };
        let webp = |kind: &[u8; 4], data: &[u8]| riff(&[&riff_chunk(kind, data), &samples::WEBP[12..]], 0);
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
        let webp_frame = |width: u32, height: u32| {
            let inner = webp_lossless(width, height);
            let frame = riff_chunk(b"ANMF", &[&[0; 16][..], &inner[12..]].concat());
            riff(&[&riff_chunk(b"VP8X", &[0; 10]), &frame], 0)
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
            ("WebP canvas", &webp_canvas),
            ("lossy WebP", &webp_lossy),
            ("lossless WebP", &webp_lossless),
            ("WebP frame", &webp_frame),
            ("GIF screen", &gif_screen),
            ("GIF picture", &gif_picture),
        ];
        for (kind, claiming) in kinds {
            // A phone's 108 megapixels, and the limit.
            for (width, height) in [(12_000, 9_000), (12_000, 10_000)] {
                assert!(picture(&claiming(width, height)).is_ok(), "{kind} of {width} × {height}");
            }
            for (width, height) in [(12_000, 10_001), (16_383, 16_383)] {
                assert_eq!(
                    picture(&claiming(width, height)),
                    Err(ImageFault::TooManyPixels),
                    "{kind} of {width} × {height}"
                );
            }
        }
        assert_eq!(picture(&png(u32::MAX, u32::MAX)), Err(ImageFault::TooManyPixels));
        assert_eq!(ImageFault::TooManyPixels.to_string(), "the image must have at most 120 megapixels");
        // A part that is cut off does not count.
        let appended = [samples::JPEG, &jpeg(16_383, 16_383)].concat();
        assert_eq!(picture(&appended).as_deref(), Ok(samples::JPEG));
    }

    #[test]
    fn an_added_end_may_make_a_file_too_large() {
        let mut bytes = samples::JPEG[..samples::JPEG.len() - 2].to_vec();
        bytes.resize(RECEIPT_BYTES_MAX - 2, 0);
        assert_eq!(Picture::take(None, &bytes[..]).unwrap().bytes().len(), RECEIPT_BYTES_MAX);
        bytes.push(0);
        assert_eq!(Picture::take(None, bytes), Err(Rejection::PayloadTooLarge { bytes_max: RECEIPT_BYTES_MAX }));
    }
}
