//! Files that buyers upload as receipts, as phones, apps, browsers and attackers write them: one for each class of
//! file, with the expected result.
//!
//! The folder `receipts` has six small pictures that every browser shows; everything else is derived from them here. A
//! host's tests upload each [`Specimen`], and may compare the result with a browser's: [`Specimen::disagrees`] gives
//! the reason for the few files about which a browser and this library disagree.
#![allow(clippy::expect_used, reason = "test support: a picture that is not as expected ends the test")]

use serront_core::primitives::image::{ImageFault, ImageType, RECEIPT_PIXELS_MAX};

/// A JPEG with one scan.
pub const BASELINE_JPEG: &[u8] = include_bytes!("receipts/baseline.jpg");
/// A JPEG with several scans.
pub const PROGRESSIVE_JPEG: &[u8] = include_bytes!("receipts/progressive.jpg");
/// A PNG.
pub const PNG: &[u8] = include_bytes!("receipts/picture.png");
/// A lossy WebP in the simple container.
pub const LOSSY_WEBP: &[u8] = include_bytes!("receipts/lossy.webp");
/// A lossless WebP in the simple container.
pub const LOSSLESS_WEBP: &[u8] = include_bytes!("receipts/lossless.webp");
/// A GIF.
pub const GIF: &[u8] = include_bytes!("receipts/picture.gif");

/// A partial receipt proves nothing: the buyer must upload the whole picture.
const HALF: &str = "a browser shows the part that is there";
/// The stored file is completed, so that browsers show it.
const ENDED: &str = "a browser shows nothing of it without its end; the stored file has one";
/// The stored file states its true size, so that browsers show it.
const CORRECTED: &str = "a browser shows nothing of a picture that states a wrong size; the stored file is corrected";

/// A file and its expected result.
#[derive(Debug, Clone)]
pub struct Specimen {
    /// Description.
    pub name: String,
    /// Its bytes, as uploaded.
    pub file: Vec<u8>,
    /// The bytes to store, or the reason of the refusal.
    pub outcome: Result<(ImageType, Vec<u8>), ImageFault>,
    /// Why the browser's result differs from this library's; `None` if the two agree.
    pub disagrees: Option<&'static str>,
}

/// A file from which this picture is stored.
fn taken(name: impl Into<String>, kind: ImageType, file: Vec<u8>, stored: &[u8]) -> Specimen {
    Specimen { name: name.into(), file, outcome: Ok((kind, stored.to_vec())), disagrees: None }
}

/// A file that is stored unchanged.
fn whole(name: &str, kind: ImageType, file: Vec<u8>) -> Specimen {
    let stored = file.clone();
    taken(name, kind, file, &stored)
}

fn refused(name: &str, file: Vec<u8>, fault: ImageFault) -> Specimen {
    Specimen { name: name.to_owned(), file, outcome: Err(fault), disagrees: None }
}

impl Specimen {
    fn disagreeing(self, reason: &'static str) -> Self {
        Self { disagrees: Some(reason), ..self }
    }
}

/// Every specimen.
#[must_use]
pub fn specimens() -> Vec<Specimen> {
    let mut all = trailers();
    all.extend([jpegs(), pngs(), webps(), gifs(), others()].into_iter().flatten());
    all
}

/// An archive that contains only a name.
fn archive() -> Vec<u8> {
    let name = b"a.txt";
    let local = [&b"PK\x03\x04\x14\0\0\0\0\0"[..], &[0; 16], &[5, 0, 0, 0], name].concat();
    let central = [&b"PK\x01\x02\x14\0\x14\0\0\0\0\0"[..], &[0; 16], &[5, 0], &[0; 16], name].concat();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &length(&central), &length(&local), &[0, 0]].concat();
    [local, central, end].concat()
}

/// The beginning of a motion photo's video.
fn video() -> Vec<u8> {
    [&b"\0\0\0\x18ftypmp42\0\0\0\0isommp42\0\0\x02\0mdat"[..], &[0x21; 504]].concat()
}

/// The trailer of Samsung's gallery: its entries and their table.
fn samsung() -> Vec<u8> {
    let entry = b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1764259200000";
    let table = b"SEFH\x6b\0\0\0\x01\0\0\0\0\0\x01\x0a\x23\0\0\0\x23\0\0\0\x18\0\0\0SEFT";
    [&entry[..], table].concat()
}

/// Each format with each kind of data that phones and attackers append to a picture.
fn trailers() -> Vec<Specimen> {
    let pictures = [
        ("JPEG", ImageType::Jpeg, BASELINE_JPEG),
        ("progressive JPEG", ImageType::Jpeg, PROGRESSIVE_JPEG),
        ("PNG", ImageType::Png, PNG),
        ("lossy WebP", ImageType::Webp, LOSSY_WEBP),
        ("lossless WebP", ImageType::Webp, LOSSLESS_WEBP),
        ("GIF", ImageType::Gif, GIF),
    ];
    let behind: [(&str, Vec<u8>); 12] = [
        ("nothing", Vec::new()),
        ("a newline", b"\r\n".to_vec()),
        ("zeros", vec![0; 64]),
        ("padding", vec![0xff; 64]),
        ("Samsung's trailer", samsung()),
        ("a motion photo's video", video()),
        ("Huawei's trailer", [&video()[..], b"v2_f29                  LIVE_1234567"].concat()),
        ("vivo's trailer", b"vivo{\"version\":1,\"type\":\"portrait\"}\0\0\0\x24".to_vec()),
        ("an archive", archive()),
        ("a page", b"<!doctype html><script>alert(1)</script>".to_vec()),
        ("a PDF", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n".to_vec()),
        ("another picture", BASELINE_JPEG.to_vec()),
    ];
    let mut all = Vec::new();
    for (format, kind, picture) in pictures {
        for (what, trailer) in &behind {
            all.push(taken(format!("{format} and {what}"), kind, [picture, trailer].concat(), picture));
        }
    }
    all
}

/// The bytes before and after this position.
fn halves(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).expect("a position in the file")
}

/// The first position of these bytes.
fn place_of(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).expect("a part of the file")
}

/// The bytes without the last `by`.
fn shortened(bytes: &[u8], by: usize) -> &[u8] {
    halves(bytes, bytes.len().saturating_sub(by)).0
}

fn jpeg_segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len().saturating_add(2)).expect("a short segment");
    [&[0xff, marker][..], &length.to_be_bytes(), data].concat()
}

fn jpegs() -> Vec<Specimen> {
    const JFIF_END: usize = 20;
    let kind = ImageType::Jpeg;
    let (head, rest) = halves(BASELINE_JPEG, JFIF_END);
    let with = |bytes: &[u8]| [head, bytes, rest].concat();
    let frame = place_of(BASELINE_JPEG, b"\xff\xc0");
    let scan = place_of(BASELINE_JPEG, b"\xff\xda");
    let endless = shortened(BASELINE_JPEG, 2);
    let pixels = scan.saturating_add(14);
    let cut = halves(BASELINE_JPEG, BASELINE_JPEG.len().midpoint(pixels)).0;
    // A table between two scans.
    let first_scan = place_of(PROGRESSIVE_JPEG, b"\xff\xda");
    let after_first = halves(PROGRESSIVE_JPEG, first_scan).1;
    let table = first_scan.saturating_add(place_of(after_first, b"\xff\xc4"));
    let one_scan = halves(PROGRESSIVE_JPEG, table).0;
    let cut_in_table = halves(PROGRESSIVE_JPEG, table.saturating_add(9)).0;
    let plist =
        b"Photoshop 3.0\08BIM\x04\x25<?xml version=\"1.0\"?><!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\">";
    let gain_map = [BASELINE_JPEG, &jpeg_segment(0xe2, b"MPF\0")].concat();
    let (before_frame, from_frame) = halves(BASELINE_JPEG, frame);
    let no_frame = [before_frame, halves(from_frame, 19).1].concat();
    let mut wide = BASELINE_JPEG.to_vec();
    let sides = wide.get_mut(frame.saturating_add(5)..frame.saturating_add(9)).expect("a frame");
    sides.copy_from_slice(&[0x2f, 0, 0x2f, 0]);
    let too_many = u64::from(0x2f00_u32).pow(2) > RECEIPT_PIXELS_MAX;
    assert!(too_many, "more than the bound");
    // A JPEG whose first segment's length and name are those of a media container's first box.
    let film = [&b"\xff\xd8\xff\xe0ftypheic"[..], &[0; 26_218], rest].concat();
    vec![
        taken("JPEG without its end", kind, endless.to_vec(), BASELINE_JPEG),
        taken(
            "JPEG cut in the middle of its end",
            kind,
            shortened(BASELINE_JPEG, 1).to_vec(),
            &[endless, b"\xff\xff\xd9"].concat(),
        ),
        taken("JPEG whose pixels are cut off", kind, cut.to_vec(), &[cut, b"\xff\xd9"].concat()).disagreeing(ENDED),
        taken("JPEG without its end, and another one", kind, [endless, BASELINE_JPEG].concat(), BASELINE_JPEG),
        taken("progressive JPEG cut between two scans", kind, cut_in_table.to_vec(), &[one_scan, b"\xff\xd9"].concat())
            .disagreeing(ENDED),
        taken("JPEG and a gain map", kind, [&gain_map, BASELINE_JPEG].concat(), BASELINE_JPEG),
        whole("JPEG with junk between its segments", kind, with(b"hello\0\xff\0")),
        whole("JPEG with fill bytes", kind, with(&[0xff; 9])),
        whole("JPEG with a restart marker in its header", kind, with(b"\xff\xd0")),
        whole("JPEG with a segment of no length", kind, with(b"\xff\xe5\0\0")),
        whole("JPEG with junk behind its pixels", kind, [endless, b"\xff\x03junk\0\0", b"\xff\xd9"].concat()),
        whole("JPEG with a script in a comment", kind, with(&jpeg_segment(0xfe, b"<script>alert(1)</script>"))),
        whole("JPEG with an archive in a comment", kind, with(&jpeg_segment(0xfe, &archive()))),
        whole("JPEG with a property list of Photoshop's", kind, with(&jpeg_segment(0xed, plist))),
        whole(
            "JPEG with SVG in its metadata",
            kind,
            with(&jpeg_segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<svg/>")),
        ),
        refused("JPEG without pixels", halves(BASELINE_JPEG, scan).0.to_vec(), ImageFault::Incomplete),
        refused("JPEG without a frame", no_frame, ImageFault::Incomplete),
        refused("JPEG that begins twice", with(b"\xff\xd8"), ImageFault::Incomplete),
        refused("JPEG with an unknown marker", with(b"\xff\x03\0\x04ab"), ImageFault::Incomplete),
        refused("JPEG of 145 megapixels", wide, ImageFault::TooManyPixels)
            .disagreeing("a browser shows it smaller, and the page's script sends that"),
        refused("JPEG whose pixels are an archive", [endless, &archive()].concat(), ImageFault::TwoKinds)
            .disagreeing("a browser shows the picture; other programs open the archive"),
        refused("JPEG that begins as a media container", film, ImageFault::TwoKinds),
    ]
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    let length = u32::try_from(data.len()).expect("a short chunk");
    [&length.to_be_bytes()[..], &body, &crate::generators::png_checksum(&body).to_be_bytes()].concat()
}

/// With its last byte, a part of its checksum, changed.
fn wrong(mut chunk: Vec<u8>) -> Vec<u8> {
    if let Some(last) = chunk.last_mut() {
        *last ^= 1;
    }
    chunk
}

fn pngs() -> Vec<Specimen> {
    const HEADER_END: usize = 33;
    const END_BYTES: usize = 12;
    let kind = ImageType::Png;
    let (head, rest) = halves(PNG, HEADER_END);
    let (pixels, end) = halves(PNG, PNG.len().saturating_sub(END_BYTES));
    let data = halves(rest, rest.len().saturating_sub(END_BYTES)).0;
    let with = |chunk: &[u8]| [head, chunk, rest].concat();
    let behind = |bytes: &[u8]| [pixels, bytes].concat();
    let header = halves(PNG, 8).1;
    let wrong_header = [halves(PNG, 8).0, &wrong(halves(header, 25).0.to_vec()), rest].concat();
    let mut transparent = png_chunk(b"tRNS", &[0, 0, 0, 0, 0, 0]);
    transparent.extend_from_slice(data);
    vec![
        taken("PNG without its end", kind, pixels.to_vec(), PNG),
        taken("PNG cut in the middle of its end", kind, shortened(PNG, 5).to_vec(), PNG),
        taken("PNG cut in its last checksum", kind, shortened(PNG, END_BYTES + 2).to_vec(), PNG),
        taken("PNG without its end, and an archive", kind, behind(&archive()), PNG),
        taken("PNG whose end has a wrong checksum", kind, behind(&wrong(end.to_vec())), PNG),
        taken("PNG whose end holds something", kind, behind(&png_chunk(b"IEND", b"something")), PNG),
        taken(
            "cropped PNG with the rest of the old one",
            kind,
            [PNG, halves(data, data.len() / 2).1, end].concat(),
            PNG,
        ),
        taken(
            "PNG with an unknown critical chunk behind its pixels",
            kind,
            behind(&[&png_chunk(b"EVIL", b""), end].concat()),
            PNG,
        ),
        taken(
            "PNG with a chunk without a name behind its pixels",
            kind,
            behind(&[&png_chunk(b"\x01\x02\x03\x04", b""), end].concat()),
            PNG,
        ),
        taken(
            "PNG cut in a comment behind its pixels",
            kind,
            behind(shortened(&png_chunk(b"tEXt", b"Comment\0cut"), 9)),
            PNG,
        ),
        whole("PNG with a transparent colour", kind, [head, &transparent, end].concat()),
        whole("PNG with SVG in a text", kind, with(&png_chunk(b"tEXt", b"Source\0converted from <svg width=10>"))),
        whole("PNG with a script in a text", kind, with(&png_chunk(b"tEXt", b"Comment\0<script>alert(1)</script>"))),
        whole("PNG with XMP", kind, with(&png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<!DOCTYPE x><x:xmpmeta/>"))),
        whole("PNG with a PDF in a private chunk", kind, with(&png_chunk(b"prVt", b"%PDF-1.7\n%%EOF"))),
        whole(
            "PNG whose comment has a wrong checksum",
            kind,
            with(&wrong(png_chunk(b"tEXt", b"Comment\0made by hand"))),
        ),
        whole("PNG whose pixels have a wrong checksum", kind, [head, &wrong(data.to_vec()), end].concat()),
        refused("PNG with a wrong checksum in its header", wrong_header, ImageFault::Incomplete),
        refused("PNG with an unknown critical chunk", with(&png_chunk(b"EVIL", b"")), ImageFault::Incomplete),
        refused("PNG without pixels", [head, end].concat(), ImageFault::Incomplete),
        refused("PNG whose pixels are cut off", halves(PNG, PNG.len() / 2).0.to_vec(), ImageFault::Incomplete)
            .disagreeing(HALF),
    ]
}

fn riff_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a short chunk");
    let padding: &[u8] = if data.len().is_multiple_of(2) { b"" } else { b"\0" };
    [&kind[..], &length.to_le_bytes(), data, padding].concat()
}

/// A WebP of these chunks whose stated size is off by so much.
fn riff(chunks: &[&[u8]], off: i32) -> Vec<u8> {
    let chunks = chunks.concat();
    let size = u32::try_from(chunks.len().saturating_add(4)).expect("a short file").saturating_add_signed(off);
    [&b"RIFF"[..], &size.to_le_bytes(), b"WEBP", &chunks].concat()
}

fn webps() -> Vec<Specimen> {
    let kind = ImageType::Webp;
    let lossy = halves(LOSSY_WEBP, 12).1;
    let lossless = halves(LOSSLESS_WEBP, 12).1;
    // A canvas of 32 × 32 that announces these: 4 is XMP, 8 EXIF, 2 an animation.
    let canvas = |flags: u8| riff_chunk(b"VP8X", &[flags, 0, 0, 0, 31, 0, 0, 31, 0, 0]);
    let exif = riff_chunk(b"EXIF", b"MM\0*\0\0\0\x08\0\0\0");
    let frame =
        |image: &[u8]| riff_chunk(b"ANMF", &[&[0, 0, 0, 0, 0, 0, 31, 0, 0, 31, 0, 0, 100, 0, 0, 0], image].concat());
    let (film, first, second) = (riff_chunk(b"ANIM", &[0; 6]), frame(lossy), frame(lossless));
    let odd = riff(&[&canvas(8), lossy, &exif], 0);
    let animated = riff(&[&canvas(2), &film, &first, &second], 0);
    let one_frame = riff(&[&canvas(2), &film, &first], 0);
    let half_a_frame = riff(&[&canvas(2), &film, &first, shortened(&second, 20)], 20);
    vec![
        whole("WebP with EXIF", kind, odd.clone()),
        whole("animated WebP", kind, animated),
        whole("WebP with an unknown chunk at its end", kind, riff(&[lossy, &riff_chunk(b"C2PA", b"signed")], 0)),
        whole(
            "WebP with an unknown chunk before its pixels",
            kind,
            riff(&[&canvas(0), &riff_chunk(b"C2PA", b"signed"), lossy], 0),
        ),
        whole(
            "WebP whose XMP is named with a zero",
            kind,
            riff(&[&canvas(0), lossless, &riff_chunk(b"XMP\0", b"<x/>")], 0),
        ),
        whole("WebP with SVG in its XMP", kind, riff(&[&canvas(4), lossy, &riff_chunk(b"XMP ", b"<svg/>")], 0)),
        taken("WebP whose size counts the header", kind, riff(&[lossy], 8), LOSSY_WEBP).disagreeing(CORRECTED),
        taken(
            "WebP whose size counts the header, and an archive",
            kind,
            [riff(&[lossy], 8), vec![0; 8], archive()].concat(),
            &riff(&[lossy, &[0; 8]], 0),
        ),
        taken("WebP whose size forgets the padding", kind, riff(&[&canvas(8), lossy, &exif], -1), &odd)
            .disagreeing(CORRECTED),
        taken("WebP without its padding", kind, riff(&[&canvas(8), lossy, shortened(&exif, 1)], 0), &odd)
            .disagreeing(CORRECTED),
        taken("WebP whose size counts four bytes behind it", kind, riff(&[lossy, b"more"], 0), LOSSY_WEBP)
            .disagreeing(CORRECTED),
        taken("WebP cut in its metadata", kind, riff(&[&canvas(8), lossy, &exif, b"XMP \x40\0\0\0<x"], 62), &odd)
            .disagreeing(CORRECTED),
        taken("animated WebP cut in its second frame", kind, half_a_frame, &one_frame).disagreeing(CORRECTED),
        refused("WebP whose pixels are cut off", shortened(LOSSY_WEBP, 60).to_vec(), ImageFault::Incomplete),
        refused(
            "WebP that begins with an unknown chunk",
            riff(&[&riff_chunk(b"C2PA", b"signed"), lossy], 0),
            ImageFault::Incomplete,
        ),
        refused("WebP without pixels", riff(&[&canvas(0)], 0), ImageFault::Incomplete),
    ]
}

fn gifs() -> Vec<Specimen> {
    let kind = ImageType::Gif;
    let (pictured, trailer) = halves(GIF, GIF.len().saturating_sub(1));
    let picture = halves(pictured, place_of(GIF, b"\x2c\0\0\0\0")).1;
    let ended_by = |bytes: &[u8]| [pictured, bytes].concat();
    let mut tape = GIF.to_vec();
    tape.resize(1_024, 0);
    tape.get_mut(257..262).expect("long enough").copy_from_slice(b"ustar");
    vec![
        taken("GIF without its trailer", kind, pictured.to_vec(), GIF),
        taken("GIF without the end of its pixels", kind, shortened(GIF, 2).to_vec(), GIF),
        taken("GIF without its trailer, and an archive", kind, ended_by(&archive()), GIF),
        taken("GIF with an empty block for its trailer", kind, ended_by(b"\0\0\0\x3b"), GIF),
        taken("GIF cut in a comment behind its picture", kind, ended_by(b"\x21\xfe\x20made by"), GIF),
        taken("animated GIF cut in its second picture", kind, ended_by(shortened(picture, 20)), GIF),
        whole("animated GIF", kind, [pictured, picture, trailer].concat()),
        whole("GIF with a script in a comment", kind, ended_by(b"\x21\xfe\x08<script>\0\x3b")),
        whole("GIF with XMP", kind, ended_by(b"\x21\xff\x0bXMP DataXMP\x06<svg/>\0\x3b")),
        refused("GIF whose pixels are cut off", halves(GIF, GIF.len() / 2).0.to_vec(), ImageFault::Incomplete)
            .disagreeing(HALF),
        refused("GIF without a picture", [halves(GIF, 25).0, trailer].concat(), ImageFault::Incomplete),
        refused("GIF that is a tape archive as well", tape, ImageFault::TwoKinds)
            .disagreeing("a browser shows the picture; other programs open the archive"),
    ]
}

fn others() -> Vec<Specimen> {
    let bitmap =
        [&b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0"[..], &[0; 24], b"\xff\0\0\0"]
            .concat();
    vec![
        refused("nothing", Vec::new(), ImageFault::Empty),
        refused("an iPhone's picture", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat".to_vec(), ImageFault::Heic),
        refused(
            "the beginning of an AVIF",
            b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf".to_vec(),
            ImageFault::OtherFormat,
        ),
        refused("a bitmap", bitmap, ImageFault::OtherFormat)
            .disagreeing("a browser shows it, and the page's script sends it as JPEG"),
        refused(
            "SVG",
            b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(),
            ImageFault::OtherFormat,
        ),
        refused("a PDF", b"%PDF-1.7\n%%EOF\n".to_vec(), ImageFault::Pdf),
        refused("a page", b"<!doctype html><script>alert(1)</script>".to_vec(), ImageFault::NotAnImage),
        refused("an archive", archive(), ImageFault::NotAnImage),
        refused("a video", video(), ImageFault::NotAnImage),
        refused("text", b"Transfer Rp 750.000".to_vec(), ImageFault::NotAnImage),
    ]
}
