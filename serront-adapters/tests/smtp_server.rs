//! Mail to a third party's mail server: aiosmtpd, which the test installs into the build folder. Python's mail parser
//! reads the received mails, so that a third party's code checks the headers and the parts.
#![cfg(feature = "smtp")]
// Helpers outside of `#[test]` functions, which clippy.toml does not reach.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use serront_adapters::smtp::{MailSetupError, SmtpMailer};
use serront_core::changes::effect::EffectId;
use serront_core::orders::mail::{
    BuiltInTemplates, ConfirmedBy, Mail, MailMessage, PaymentConfirmed, one_line, render,
};
use serront_core::orders::order::{Language, OrderNumber};
use serront_core::ports::{Clock, Mailer, OperatorReads, PortErrorKind};
use serront_core::primitives::ids::MailId;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::page::Limit;
use serront_core::primitives::text::EmailAddress;
use serront_core::work::dispatch::Dispatcher;
use serront_testkit::generators;
use serront_testkit::world::{World, host};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SERVER: &str = "aiosmtpd==1.4.6";
const FROM: &str = "Serront <no-reply@serront.example>";
const MAIL_ID: &str = "mail_01jtestvect0r0000000000001";

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The server's Python, made once.
fn python() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mail-server");
        let python = environment.join("bin/python");
        if !python.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        }
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", SERVER]));
        python
    })
}

/// A new authority, and its certificate for `localhost`.
struct Certificates {
    folder: TempDir,
    authority: String,
}

impl Certificates {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let openssl = |arguments: &str| {
            run(Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        openssl(&format!("req -x509 {key} -subj /CN=authority -keyout authority.key -out authority.pem"));
        openssl(&format!(
            "req -x509 {key} -subj /CN=localhost -keyout key.pem -out certificate.pem -CA authority.pem -CAkey authority.key \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ));
        let authority = fs::read_to_string(folder.path().join("authority.pem")).unwrap();
        Self { folder, authority }
    }

    fn arguments(&self) -> [String; 4] {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        ["--certificate".to_owned(), file("certificate.pem"), "--key".to_owned(), file("key.pem")]
    }
}

/// A running mail server; it ends with the test.
struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u64,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, None)
    }

    fn start_with(arguments: &[&str], certificates: Option<&Certificates>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp_server.py");
        let mut command = Command::new(python());
        command.args(["-W", "ignore"]).arg(script).args(arguments);
        command.args(certificates.into_iter().flat_map(Certificates::arguments));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, lines, port: 0 };
        server.port = server.next()["port"].as_u64().unwrap();
        server
    }

    /// What it tells next. The server lives for two minutes only, so this ends.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server ended: {line:?}"))
    }

    fn mailer(&self) -> SmtpMailer {
        SmtpMailer::new(&format!("smtp://127.0.0.1:{}", self.port), FROM).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(language: Language) -> MailMessage {
    let mail = Mail::PaymentConfirmedV1(PaymentConfirmed {
        to: EmailAddress::parse("to", "budi@example.com").unwrap(),
        buyer_name: "Budi Santoso".to_owned(),
        language,
        seller_name: "Studio Renata — 日本".to_owned(),
        number: OrderNumber(7),
        service_name: "Potret <keluarga>".to_owned(),
        amount: Rupiah::new(750_000).unwrap(),
        by: ConfirmedBy::Seller,
    });
    render(&BuiltInTemplates, MAIL_ID.parse().unwrap(), &mail)
}

async fn failure(mailer: &SmtpMailer) -> PortErrorKind {
    mailer.send(&message(Language::Id)).await.unwrap_err().kind()
}

const HEADERS: [&str; 8] =
    ["From", "To", "Subject", "Message-ID", "Auto-Submitted", "Date", "MIME-Version", "Content-Type"];

#[tokio::test]
async fn a_mail_arrives_as_text_and_html_in_both_languages() {
    let mut server = Server::start(&[]);
    for language in [Language::Id, Language::En] {
        let sent = message(language);
        server.mailer().send(&sent).await.unwrap();
        let arrived = server.next();
        assert_eq!(arrived["contentType"], "multipart/alternative");
        let part = |name: &str| arrived[name].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(part("text").trim_end(), sent.text.trim_end());
        assert_eq!(part("html").trim_end(), sent.html.unwrap().trim_end());
        assert_eq!(arrived["subject"].as_str(), Some(sent.subject.as_str()));
        assert_eq!(arrived["messageId"], format!("<{MAIL_ID}@serront.example>"));
        for (field, expected) in [
            ("names", json!(["Budi Santoso"])),
            ("addresses", json!(["budi@example.com"])),
            ("from", json!("no-reply@serront.example")),
            ("to", json!(["budi@example.com"])),
            ("headers", json!(HEADERS)),
            ("defects", json!([])),
        ] {
            assert_eq!(arrived[field], expected, "{field}");
        }
    }
}

#[tokio::test]
async fn tls_is_of_an_authority_that_was_named_and_for_the_name_that_was_asked_for() {
    let certificates = Certificates::new();
    for (arguments, scheme, query) in [(&["--wrapped"][..], "smtps", ""), (&[], "smtp", "?tls=required")] {
        let account = ["--user", "shop", "--password", "s3cr3t"];
        let mut server = Server::start_with(&[arguments, &account].concat(), Some(&certificates));
        let url = |host: &str, password: &str| format!("{scheme}://shop:{password}@{host}:{}{query}", server.port);
        let authority = certificates.authority.as_bytes();
        let mailer = |url: &str| SmtpMailer::with_authority(url, FROM, authority).unwrap();

        let (good, elsewhere, wrong) = (
            mailer(&url("localhost", "s3cr3t")),
            mailer(&url("127.0.0.1", "s3cr3t")),
            mailer(&url("localhost", "wrong")),
        );
        let stranger = SmtpMailer::new(&url("localhost", "s3cr3t"), FROM).unwrap();
        good.send(&message(Language::Id)).await.unwrap();
        let arrived = server.next();
        assert_eq!((&arrived["encrypted"], &arrived["authenticated"]), (&json!(true), &json!(true)), "{scheme}");

        // A certificate of another name, or of an unknown authority: no password is sent, and the mail waits.
        assert_eq!(failure(&stranger).await, PortErrorKind::Transient, "{scheme}");
        assert_eq!(failure(&elsewhere).await, PortErrorKind::Transient, "{scheme}");
        // The host's mistake: the mail waits until it is mended.
        assert_eq!(failure(&wrong).await, PortErrorKind::Transient, "{scheme}");
        good.send(&message(Language::En)).await.unwrap();
        assert_eq!(server.next()["subject"], "Payment of order #7 confirmed", "no other mail arrived before");
    }
    for no_authority in ["", "a file", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let refused = SmtpMailer::with_authority("smtps://localhost", FROM, no_authority.as_bytes()).unwrap_err();
        assert!(matches!(refused, MailSetupError::Authority | MailSetupError::Tls(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time_with_the_outcome_unknown() {
    let mut server = Server::start(&["--behaviour", "hang"]);
    let mailer = server.mailer().with_timeout(Duration::from_secs(3));
    let began = Instant::now();
    assert_eq!(failure(&mailer).await, PortErrorKind::OutcomeUnknown);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let first = server.next();
    server.mailer().send(&message(Language::Id)).await.unwrap();
    let again = server.next();
    assert_eq!((&first["messageId"], &first["html"]), (&again["messageId"], &again["html"]));
}

#[tokio::test]
async fn an_address_outside_ascii_reaches_a_server_that_takes_it() {
    let mut server = Server::start(&["--utf8"]);
    let to = EmailAddress::parse("to", "büdi@example.com").unwrap();
    server.mailer().send(&MailMessage { to, ..message(Language::Id) }).await.unwrap();
    assert_eq!(server.next()["to"][0], "büdi@example.com");
}

/// Attempts a world's due effects through this mailer, and answers their number.
async fn attempted(world: &World, mailer: &SmtpMailer) -> usize {
    let dispatcher = Dispatcher::new(&*world.storage, mailer, &*world.sink, &*world.receipts, world.environment());
    dispatcher.step(world.clock.now(), 16).await.unwrap().attempted
}

/// A world with one confirmed order, whose mail is due.
async fn confirmed() -> World {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    world.commands().confirm_payment(seller.account_id, placed.id, &host(), None, None).await.unwrap();
    world
}

async fn given_up(world: &World) -> Vec<EffectId> {
    let rows = world.storage.given_up(None, Limit::parse(None).unwrap()).await.unwrap().rows;
    rows.into_iter().map(|row| row.id).collect()
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_greylisted_mail_is_tried_again_and_arrives_once() {
    let (world, mut server) = (confirmed().await, Server::start(&["--behaviour", "greylist", "--times", "2"]));
    let mailer = server.mailer();
    assert_eq!(attempted(&world, &mailer).await, 1);
    assert_eq!(attempted(&world, &mailer).await, 0, "not before a minute");
    world.clock.advance(MINUTE);
    assert_eq!(attempted(&world, &mailer).await, 1);
    world.clock.advance(5 * MINUTE);
    assert_eq!(attempted(&world, &mailer).await, 1);
    let arrived = server.next();
    assert_eq!(arrived["to"][0], "budi@example.com");
    world.clock.advance(1_000 * MINUTE);
    assert_eq!((attempted(&world, &mailer).await, given_up(&world).await), (0, Vec::new()));
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_is_given_up_at_once_and_tried_again_by_hand_alone() {
    let (world, mut server) = (confirmed().await, Server::start(&["--behaviour", "refuse"]));
    let mailer = server.mailer();
    assert_eq!(attempted(&world, &mailer).await, 1);
    let [id] = <[_; 1]>::try_from(given_up(&world).await).unwrap();
    world.clock.advance(10_000 * MINUTE);
    assert_eq!(attempted(&world, &mailer).await, 0);
    let shown = format!("{:?}", world.storage.given_up(None, Limit::parse(None).unwrap()).await.unwrap().rows);
    assert!(!shown.contains("budi"), "the server's words repeat the recipient: {shown}");

    let account_id = world.storage.given_up(None, Limit::parse(None).unwrap()).await.unwrap().rows[0].account_id;
    world.commands().retry_effect(account_id, id).await.unwrap();
    assert_eq!(attempted(&world, &mailer).await, 1);
    assert_eq!(server.next()["messageId"], format!("<{id}@serront.example>"));
    assert_eq!(given_up(&world).await, []);
}

#[tokio::test]
async fn a_line_that_drops_behind_the_message_has_it_sent_again_under_the_same_id() {
    let (world, mut server) = (confirmed().await, Server::start(&["--behaviour", "drop"]));
    let mailer = server.mailer();
    assert_eq!(attempted(&world, &mailer).await, 1);
    assert_eq!(given_up(&world).await, [], "its outcome is unknown, and that is no refusal");
    world.clock.advance(MINUTE);
    assert_eq!(attempted(&world, &mailer).await, 1);
    let (first, again) = (server.next(), server.next());
    for same in ["messageId", "to", "subject", "text", "html"] {
        assert_eq!(first[same], again[same], "{same}");
    }
    world.clock.advance(1_000 * MINUTE);
    assert_eq!(attempted(&world, &mailer).await, 0);
}

/// Names made of what headers are made of.
fn hostile_name() -> impl Strategy<Value = String> {
    let pieces = [
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{2066}",
        "\"",
        "\\",
        "<",
        ">",
        "(",
        ")",
        ",",
        ";",
        ":",
        "@",
        "=?",
        "?=",
        "=?utf-8?b?RXZpbA==?=",
        "Bcc: x@y.z",
        "\r\nBcc: x@y.z\r\n",
        "\r\n\r\n",
        "\r\n.\r\n",
        " ",
        "\t",
        "é",
        "日",
        "שלום",
        "a",
        "Budi",
        "🦀",
    ];
    vec(proptest::sample::select(pieces.to_vec()), 1..30).prop_map(|pieces| pieces.concat())
}

/// Some readers see a space where a long name was folded.
fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

#[tokio::test]
async fn whatever_the_names_are_another_reader_finds_the_same_headers_and_one_recipient() {
    let mut server = Server::start(&["--utf8"]);
    let mailer = server.mailer();
    let mut runner = TestRunner::deterministic();
    let (typed, hostile, addresses) = (generators::name(), hostile_name(), generators::email_address());
    for round in 0..150 {
        let name = if round % 3 == 0 {
            typed.new_tree(&mut runner).unwrap().current()
        } else {
            hostile.new_tree(&mut runner).unwrap().current()
        };
        let to = addresses.new_tree(&mut runner).unwrap().current();
        let id: MailId = format!("mail_{round:026}").parse().unwrap();
        let sent =
            MailMessage { id, to: to.clone(), to_name: name.clone(), subject: name.clone(), ..message(Language::En) };
        mailer.send(&sent).await.unwrap_or_else(|error| panic!("{name:?} at {}: {error:?}", to.as_str()));
        let arrived = server.next();
        let context = format!("{name:?} at {}: {arrived}", to.as_str());
        assert_eq!(arrived["headers"], json!(HEADERS), "{context}");
        assert_eq!(arrived["messageId"], format!("<{id}@serront.example>"), "{context}");
        assert_eq!(arrived["to"].as_array().unwrap().len(), 1, "{context}");
        assert_eq!(arrived["addresses"], arrived["to"], "{context}");
        let line = one_line(&name);
        let is_name = line.chars().any(char::is_alphanumeric) && !line.contains('@') && !line.contains("=?");
        let shown = if is_name { &line } else { "" };
        assert_eq!(without_spaces(arrived["names"][0].as_str().unwrap()), without_spaces(shown), "{context}");
    }
}

#[tokio::test]
async fn an_address_is_one_recipient_whatever_stands_before_its_at() {
    let mut server = Server::start(&["--utf8"]);
    for address in [
        "o'brien@example.com",
        "!#$%&'*+/=?^_`{|}~@example.com",
        "\"a,b\"@example.com",
        "\"a>b\"@example.com",
        "\"a<b\"@example.com",
        "\"a:b;c\"@example.com",
        "\"a@b.example\"@example.com",
        "\"a\\\"b\"@example.com",
        "\"a\\\\\"@example.com",
        "\"(c)\"@example.com",
        "\"><x@y.z>\"@example.com",
        "budi@[192.0.2.1]",
    ] {
        let Ok(to) = EmailAddress::parse("to", address) else { continue };
        match server.mailer().send(&MailMessage { to, ..message(Language::En) }).await {
            // The provider refuses most of these. They must not be sent to another recipient.
            Err(refused) => assert_eq!(refused.kind(), PortErrorKind::Permanent, "{address}"),
            Ok(()) => {
                let arrived = server.next();
                assert_eq!(arrived["to"], json!([address]), "{arrived}");
                assert_eq!((&arrived["addresses"], &arrived["headers"]), (&arrived["to"], &json!(HEADERS)));
            }
        }
    }
}

/// Passes everything on between a client and this port, and slips answers in, in the clear, behind the server's word that TLS may
/// begin.
async fn slip_in_behind_starttls(listener: TcpListener, port: u64) {
    const SLIPPED_IN: &[u8] = b"250 localhost\r\n250 fine\r\n250 fine\r\n354 go on\r\n250 taken\r\n221 bye\r\n";
    let (client, _) = listener.accept().await.unwrap();
    let server = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 4_096];
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        let mut answer = buffer[..count].to_vec();
        if answer.starts_with(b"220 Ready to start TLS") {
            answer.extend_from_slice(SLIPPED_IN);
        }
        if to_client.write_all(&answer).await.is_err() {
            break;
        }
    }
    up.abort();
}

#[tokio::test]
async fn answers_slipped_in_before_tls_began_are_not_taken_for_the_servers() {
    let certificates = Certificates::new();
    let mut server = Server::start_with(&[], Some(&certificates));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = |port: u64| format!("smtp://localhost:{port}?tls=required");
    let mailer = |port| SmtpMailer::with_authority(&url(port), FROM, certificates.authority.as_bytes()).unwrap();
    let through = mailer(listener.local_addr().unwrap().port().into());
    let between = tokio::spawn(slip_in_behind_starttls(listener, server.port));
    assert_eq!(failure(&through).await, PortErrorKind::Transient);
    between.abort();
    mailer(server.port).send(&message(Language::En)).await.unwrap();
    assert_eq!(server.next()["subject"], "Payment of order #7 confirmed", "nothing else arrived");
}
