//! Mail to a mail server in this process, and into a folder.
#![cfg(feature = "smtp")]
// Helpers outside of `#[test]` functions, which clippy.toml does not reach.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use lettre::Address;
use serront_adapters::smtp::{MailFiles, MailSetupError, SmtpMailer};
use serront_core::orders::mail::{
    BuiltInTemplates, ConfirmedBy, Mail, MailMessage, MailTemplates, MailText, PaymentConfirmed, render,
};
use serront_core::orders::order::{Language, OrderNumber};
use serront_core::ports::{Mailer, PortError, PortErrorKind};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::text::EmailAddress;
use serront_testkit::golden;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const FROM: &str = "Serront <no-reply@serront.example>";
const MAIL_ID: &str = "mail_01jtestvect0r0000000000001";

fn mail_in(language: Language) -> MailMessage {
    let mail = Mail::PaymentConfirmedV1(PaymentConfirmed {
        to: EmailAddress::parse("to", "budi@example.com").unwrap(),
        buyer_name: "Budi Santoso".to_owned(),
        language,
        seller_name: "Studio Renata — 日本".to_owned(),
        number: OrderNumber(7),
        service_name: "Potret keluarga".to_owned(),
        amount: Rupiah::new(750_000).unwrap(),
        by: ConfirmedBy::Seller,
    });
    render(&BuiltInTemplates, MAIL_ID.parse().unwrap(), &mail)
}

fn named(name: &str) -> MailMessage {
    MailMessage { to_name: name.to_owned(), ..mail_in(Language::En) }
}

/// What the mail server does instead of going on.
#[derive(Clone, Copy, PartialEq)]
enum Twist {
    Answer(&'static str),
    Close,
    Silence,
}

/// At which command, or at [`CONTENT`].
type Point = (&'static str, Twist);

/// The end of the message.
const CONTENT: &str = ".";

fn twist_at(reached: &str, point: Option<Point>) -> Option<Twist> {
    point.filter(|(at, _)| *at == reached).map(|(_, twist)| twist)
}

#[derive(Debug, Default)]
struct Heard {
    commands: Vec<String>,
    content: String,
    /// The content's bytes as they came, the closing dot not included.
    raw: Vec<u8>,
}

/// One conversation with a mail server that knows just enough.
async fn serve(listener: TcpListener, point: Option<Point>) -> Heard {
    let (stream, _) = listener.accept().await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut heard = Heard::default();
    let mut in_content = false;
    writer.write_all(b"220 mail.test ESMTP\r\n").await.unwrap();
    // A client that gives up may reset the connection.
    loop {
        let mut bytes = Vec::new();
        if !matches!(reader.read_until(b'\n', &mut bytes).await, Ok(1..)) {
            return heard;
        }
        let line = String::from_utf8(bytes.clone()).unwrap();
        let line = line.strip_suffix("\r\n").unwrap_or(&line).to_owned();
        if in_content && line != CONTENT {
            heard.raw.extend(bytes);
            heard.content.push_str(line.strip_prefix('.').unwrap_or(&line));
            heard.content.push_str("\r\n");
            continue;
        }
        in_content = false;
        let verb = line.split(' ').next().unwrap().to_owned();
        if verb != CONTENT {
            heard.commands.push(line);
        }
        let answer = match twist_at(&verb, point) {
            Some(Twist::Answer(answer)) => answer,
            Some(Twist::Close) => return heard,
            Some(Twist::Silence) => continue,
            None => match verb.as_str() {
                "EHLO" => "250-mail.test\r\n250-AUTH PLAIN\r\n250 8BITMIME",
                "AUTH" => "235 welcome",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 fine",
            },
        };
        in_content = answer.starts_with("354");
        writer.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
    }
}

async fn server(point: Option<Point>) -> (u16, JoinHandle<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, tokio::spawn(serve(listener, point)))
}

async fn sent_to(point: Option<Point>, message: &MailMessage) -> (Result<(), PortError>, Heard) {
    let (port, server) = server(point).await;
    let mut mailer = SmtpMailer::new(&format!("smtp://shop:s3cret@127.0.0.1:{port}"), FROM).unwrap();
    if point.is_some_and(|(_, twist)| twist == Twist::Silence) {
        // Long enough to get that far on a busy machine.
        mailer = mailer.with_timeout(Duration::from_secs(2));
    }
    let result = mailer.send(message).await;
    (result, server.await.unwrap())
}

/// The content with its one changing line fixed.
fn normalised(content: &str) -> String {
    content
        .split_inclusive("\r\n")
        .map(|line| if line.starts_with("Date: ") { "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n" } else { line })
        .collect()
}

/// The files have plain line ends, so that no tool changes them; the messages have CR LF.
fn check_golden(name: &str, content: &str) {
    let plain = content.replace("\r\n", "\n");
    assert_eq!(plain.replace('\n', "\r\n"), content, "{name}");
    golden::check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name), &plain);
}

fn header_names(content: &str) -> Vec<&str> {
    let (head, _) = content.split_once("\r\n\r\n").unwrap();
    let starts = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    starts.map(|line| line.split_once(':').unwrap().0).collect()
}

const HEADERS: [&str; 8] =
    ["From", "To", "Subject", "Message-ID", "Auto-Submitted", "Date", "MIME-Version", "Content-Type"];

#[tokio::test]
async fn a_mail_reaches_the_server_as_its_golden_file_says() {
    for (language, name) in [(Language::Id, "payment_confirmed.id.eml"), (Language::En, "payment_confirmed.en.eml")] {
        let (result, heard) = sent_to(None, &mail_in(language)).await;
        result.unwrap();
        check_golden(name, &normalised(&heard.content));
        let verbs: Vec<_> = heard.commands.iter().map(|command| command.split(' ').next().unwrap()).collect();
        assert_eq!(verbs, ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]);
        assert_eq!(heard.commands[2], "MAIL FROM:<no-reply@serront.example>");
        assert_eq!(heard.commands[3], "RCPT TO:<budi@example.com>");
    }
}

#[tokio::test]
async fn a_file_holds_the_same_message() {
    let folder = tempfile::tempdir().unwrap();
    for (language, name) in [(Language::Id, "payment_confirmed.id.eml"), (Language::En, "payment_confirmed.en.eml")] {
        let folder = folder.path().join(name);
        MailFiles::new(&folder, FROM).unwrap().send(&mail_in(language)).await.unwrap();
        let written = fs::read_to_string(folder.join(format!("{MAIL_ID}.eml"))).unwrap();
        check_golden(name, &normalised(&written));
    }
}

#[tokio::test]
async fn the_same_mail_again_is_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = MailFiles::new(folder.path(), FROM).unwrap();
    let path = folder.path().join(format!("{MAIL_ID}.eml"));
    // What a writer that crashed left behind does not stand in the way.
    fs::write(folder.path().join(format!(".{MAIL_ID}.{}.0", std::process::id())), "half of a ma").unwrap();
    files.send(&mail_in(Language::Id)).await.unwrap();
    let first = fs::read(&path).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let files = files.clone();
            tokio::spawn(async move { files.send(&mail_in(Language::Id)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), first);
    let mails = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "eml"));
    assert_eq!(mails.count(), 1);
}

#[tokio::test]
async fn a_failure_says_what_to_do_next() {
    use PortErrorKind::{OutcomeUnknown, Permanent, Transient};
    let rows = [
        (("EHLO", Twist::Answer("554 go away")), Transient),
        (("AUTH", Twist::Answer("535 wrong password")), Transient),
        (("MAIL", Twist::Answer("451 later")), Transient),
        // The sender's, so the host's to mend (#8).
        (("MAIL", Twist::Answer("550 not you")), Transient),
        (("MAIL", Twist::Answer("530 authentication required")), Transient),
        (("RCPT", Twist::Answer("530 authentication required")), Transient),
        (("RCPT", Twist::Answer("451 later")), Transient),
        (("RCPT", Twist::Answer("550 no such user budi@example.com")), Permanent),
        (("DATA", Twist::Answer("451 later")), Transient),
        (("DATA", Twist::Answer("554 no")), Permanent),
        ((CONTENT, Twist::Answer("451 later")), Transient),
        ((CONTENT, Twist::Answer("550 spam")), Permanent),
        ((CONTENT, Twist::Answer("what?")), OutcomeUnknown),
        (("EHLO", Twist::Close), Transient),
        (("RCPT", Twist::Close), Transient),
        (("DATA", Twist::Close), Transient),
        ((CONTENT, Twist::Close), OutcomeUnknown),
        (("EHLO", Twist::Silence), Transient),
        (("RCPT", Twist::Silence), Transient),
        ((CONTENT, Twist::Silence), OutcomeUnknown),
    ];
    let message = mail_in(Language::Id);
    let attempts: Vec<_> = rows
        .into_iter()
        .map(|(point, kind)| {
            let message = message.clone();
            (kind, tokio::spawn(async move { sent_to(Some(point), &message).await.0 }))
        })
        .collect();
    for (number, (kind, attempt)) in attempts.into_iter().enumerate() {
        let failure = attempt.await.unwrap().unwrap_err();
        assert_eq!(failure.kind(), kind, "row {number}");
        let shown = format!("{failure} {failure:?} {}", std::error::Error::source(&failure).unwrap());
        for hidden in ["budi", "s3cret", "127.0.0.1"] {
            assert!(!shown.contains(hidden), "row {number}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_farewell_without_answer_changes_nothing() {
    for twist in [Twist::Close, Twist::Answer("451 no")] {
        sent_to(Some(("QUIT", twist)), &mail_in(Language::Id)).await.0.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_transient() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mailer = SmtpMailer::new(&format!("smtp://127.0.0.1:{port}"), FROM).unwrap();
    assert_eq!(mailer.send(&mail_in(Language::Id)).await.unwrap_err().kind(), PortErrorKind::Transient);
}

#[tokio::test]
async fn no_mail_is_sent_in_the_clear_where_starttls_is_required() {
    let (port, server) = server(None).await;
    let mailer = SmtpMailer::new(&format!("smtp://shop:s3cret@127.0.0.1:{port}?tls=required"), FROM).unwrap();
    assert_eq!(mailer.send(&mail_in(Language::Id)).await.unwrap_err().kind(), PortErrorKind::Transient);
    let commands = server.await.unwrap().commands;
    assert_eq!(commands.len(), 1, "the greeting and nothing else: {commands:?}");
}

#[tokio::test]
async fn names_and_subjects_add_no_header() {
    for name in [
        "Evil\r\nBcc: x@y.z",
        "Evil\nBcc: x@y.z",
        "Evil\rBcc: x@y.z",
        "Evil\u{85}Bcc: x@y.z\u{2028}Bcc: x@y.z",
        "\0",
        "",
        "Evil\" <x@y.z>, \"Budi",
        "Evil <x@y.z>",
        "Santoso, Budi",
        "back\\slash \\\" quote",
        "=?utf-8?b?RXZpbA==?=",
        "Renée 日本 🦀 \u{202e}gnol",
        &"日".repeat(100),
        &"long ".repeat(20),
        "<",
        "\"",
        "(comment)",
        "budi@example.com",
    ] {
        let mut message = named(name);
        let (result, heard) = sent_to(None, &message).await;
        result.unwrap();
        assert_eq!(header_names(&heard.content), HEADERS, "{name:?}");
        assert_eq!(heard.commands.iter().filter(|command| command.starts_with("RCPT")).count(), 1, "{name:?}");
        assert!(heard.content.lines().all(|line| line.len() <= 998), "{name:?}");
        message.subject = name.to_owned();
        let (result, heard) = sent_to(None, &message).await;
        result.unwrap();
        assert_eq!(header_names(&heard.content), HEADERS, "subject {name:?}");
    }
}

#[tokio::test]
async fn a_name_is_quoted_or_encoded() {
    for (name, header) in [
        ("Budi", "To: Budi <budi@example.com>"),
        ("Budi Santoso", "To: \"Budi Santoso\" <budi@example.com>"),
        ("Budi \"B\" Santoso", "To: \"Budi \\\"B\\\" Santoso\" <budi@example.com>"),
        ("Santoso, Budi", "To: =?utf-8?b?U2FudG9zbywgQnVkaQ==?= <budi@example.com>"),
        ("Renée", "To: =?utf-8?b?UmVuw6ll?= <budi@example.com>"),
        ("Evil\r\nBcc: x", "To: =?utf-8?b?RXZpbCAgQmNjOiB4?= <budi@example.com>"),
        (" ", "To: budi@example.com"),
        (".", "To: budi@example.com"),
        // The name is no place for another address, nor for words that only some programs decode.
        ("security@bank.example", "To: budi@example.com"),
        ("=?utf-8?b?RXZpbA==?=", "To: budi@example.com"),
        ("\u{202e}ramsa\u{2066}", "To: ramsa <budi@example.com>"),
    ] {
        let (_, heard) = sent_to(None, &named(name)).await;
        assert!(heard.content.contains(&format!("\r\n{header}\r\n")), "{name:?}: {}", heard.content);
    }
}

#[tokio::test]
async fn lines_of_dots_arrive_as_they_are() {
    let message = MailMessage { text: ".\n..\n.hidden\n".to_owned(), html: None, ..mail_in(Language::En) };
    let (result, heard) = sent_to(None, &message).await;
    result.unwrap();
    assert!(heard.content.contains("\r\n\r\n.\r\n..\r\n.hidden\r\n"), "{}", heard.content);
}

/// Words of a host's own, which end their lines as they like.
struct CarriageReturns;

impl MailTemplates for CarriageReturns {
    fn render(&self, _: &Mail) -> MailText {
        MailText {
            subject: "Paid\r.\r\nBcc: x@y.z".to_owned(),
            text: SMUGGLED.to_owned(),
            html: Some(format!("<p>{SMUGGLED}</p>")),
        }
    }
}

/// A mail in a mail, for a server that ends lines by a carriage return or a line feed alone.
const SMUGGLED: &str = "Hello\r.\rMAIL FROM:<x@y.z>\n.\nRCPT TO:<x@y.z>\r\n.\r\nDATA\n.\r\r\n.\r";

/// No line ends by a carriage return or a line feed alone, and a dot that begins one is escaped (#16, RUSTSEC-2026-0561).
#[tokio::test]
async fn lines_end_in_one_way_whoever_wrote_them() {
    let mail = Mail::PaymentConfirmedV1(PaymentConfirmed {
        to: EmailAddress::parse("to", "budi@example.com").unwrap(),
        buyer_name: "Budi\r.\rSantoso".to_owned(),
        language: Language::En,
        seller_name: "Studio".to_owned(),
        number: OrderNumber(7),
        service_name: "Logo".to_owned(),
        amount: Rupiah::new(750_000).unwrap(),
        by: ConfirmedBy::Seller,
    });
    let of_a_template = render(&CarriageReturns, MAIL_ID.parse().unwrap(), &mail);
    assert!(!format!("{}{}{:?}", of_a_template.subject, of_a_template.text, of_a_template.html).contains('\r'));
    // A host may also call the mailer directly.
    let html = |html: &str| Some(html.to_owned());
    let bare = MailMessage { text: SMUGGLED.to_owned(), html: html(SMUGGLED), ..mail_in(Language::En) };
    let texts = ["\r.\r", ".\r", "a\r.", "\r\r.\r\r", "\n.\n", "日\r.\r本"];
    let more = texts.map(|text| MailMessage { text: text.to_owned(), html: None, ..mail_in(Language::En) });
    let folder = tempfile::tempdir().unwrap();
    for (nth, message) in [of_a_template, bare].into_iter().chain(more).enumerate() {
        let (result, heard) = sent_to(None, &message).await;
        result.unwrap();
        let verbs: Vec<_> = heard.commands.iter().map(|command| command.split(' ').next().unwrap()).collect();
        assert_eq!(verbs, ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"], "{message:?} {nth}");
        let raw = String::from_utf8(heard.raw).unwrap();
        let lines = raw.replace("\r\n", "¶");
        assert!(!lines.contains(['\r', '\n']), "{nth}: {raw:?}");
        for line in lines.split('¶').filter(|line| line.starts_with('.')) {
            assert!(line.starts_with(".."), "{nth}: {raw:?}");
        }
        let folder = folder.path().join(nth.to_string());
        MailFiles::new(&folder, FROM).unwrap().send(&message).await.unwrap();
        let written = fs::read_to_string(folder.join(format!("{MAIL_ID}.eml"))).unwrap();
        assert!(!written.replace("\r\n", "").contains(['\r', '\n']), "{nth}: {written:?}");
    }
}

#[tokio::test]
async fn an_address_that_the_server_does_not_take_is_refused_for_good() {
    let to = EmailAddress::parse("to", "büdi@example.com").unwrap();
    let (result, heard) = sent_to(None, &MailMessage { to, ..mail_in(Language::Id) }).await;
    assert_eq!(result.unwrap_err().kind(), PortErrorKind::Permanent);
    assert!(heard.content.is_empty());
}

#[test]
fn addresses_that_the_core_accepts_are_addresses_here() {
    let long = format!("{}@{}.example.com", "l".repeat(64), "d".repeat(63));
    for address in [
        "budi@example.com",
        "a.b+c@sub.example.co.id",
        "a@b.co",
        "UPPER.Case@Example.COM",
        "o'brien@example.com",
        "under_score-dash@my-shop.example",
        "!#$%&'*+/=?^_`{|}~@example.com",
        "1234567890@example.com",
        "budi@xn--bcher-kva.example",
        "budi@bücher.example",
        "büdi@example.com",
        "\"budi.santoso\"@example.com",
        "budi@localhost",
        "budi@[192.0.2.1]",
        "budi@192.0.2.1",
        "budi@[2001:db8::1]",
        &long,
    ] {
        let accepted = EmailAddress::parse("to", address);
        assert!(accepted.is_ok(), "{address}: the core refuses it");
        assert!(accepted.unwrap().as_str().parse::<Address>().is_ok(), "{address}");
    }
}

#[test]
fn a_wrong_setting_is_told_without_secrets() {
    let wrong_server = SmtpMailer::new("smtpx://user:s3cret@mail.example", FROM).unwrap_err();
    assert!(matches!(wrong_server, MailSetupError::ServerUrl));
    assert!(!format!("{wrong_server} {wrong_server:?}").contains("s3cret"));
    assert!(matches!(SmtpMailer::new("smtp://localhost", "nobody").unwrap_err(), MailSetupError::Sender));
    assert!(matches!(MailFiles::new("/dev/null/mail", FROM).unwrap_err(), MailSetupError::Folder(_)));
    let mailer = SmtpMailer::new("smtp://user:s3cret@localhost", FROM).unwrap();
    assert_eq!(format!("{mailer:?}"), "SmtpMailer(…)");
}
