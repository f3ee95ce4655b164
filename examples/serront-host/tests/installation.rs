//! Checks at the start of the real binary: database and receipts, database and keys, and the clocks of host and
//! database (#16).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use serront_core::orders::receipt::samples;
use support::{Client, Engine, Installation};

mod support;

on_both_engines!(
    the_wrong_database_touches_no_receipt,
    folder_and_database_of_an_earlier_version_go_on,
    a_host_with_other_keys_does_not_start,
);

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// The error of a host that does not start. A host that does start is killed after a while.
#[track_caller]
fn refused(mut command: Command) -> String {
    let mut child = command.args(SERVE).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(ended) => break ended,
            None if began.elapsed() > Duration::from_secs(60) => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it started");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!ended.success(), "{said}");
    said
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// Makes every file old enough for the sweeper.
fn age(folder: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(40 * 24 * 3_600);
    for path in files(folder).into_keys() {
        std::fs::File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
}

/// An installation with an order and its receipt, whose host was stopped.
struct Shop {
    installation: Installation,
    key: String,
    order: String,
}

impl Shop {
    async fn with_a_receipt(engine: Engine) -> Self {
        let installation = Installation::new(engine);
        let (_, key) = installation.account("free");
        let host = installation.serve();
        let client = Client::new(&host, &key);
        client.open_shop("studio").await;
        let (_, token) = client.order("studio").await;
        let path = format!("/api/v1/public/orders/{token}/proof");
        client.send("PUT", &path, &[("content-type", "image/png")], Some(samples::PNG.to_vec())).await.data();
        let order = client.order_ids().await.pop().unwrap();
        assert!(host.stop());
        let shop = Self { installation, key, order };
        age(&shop.proofs());
        shop
    }

    fn proofs(&self) -> PathBuf {
        self.installation.path().join("proofs")
    }

    fn id(&self) -> String {
        std::fs::read_to_string(self.proofs().join("installation")).unwrap().trim().to_owned()
    }

    /// Serves and shows the receipt.
    async fn shows_its_receipt(&self) {
        let host = self.installation.serve();
        let client = Client::new(&host, &self.key);
        let (_, bytes) = client.download(&format!("/api/v1/orders/{}/proof", self.order)).await;
        assert_eq!(bytes, samples::PNG);
        assert!(host.stop());
    }
}

/// Another installation's database, with the receipts of `shop`.
fn with_the_receipts_of(shop: &Shop, engine: Engine) -> Installation {
    Installation::new(engine).with([("SERRONT_PROOFS", format!("file:{}", shop.proofs().display()))])
}

async fn the_wrong_database_touches_no_receipt(engine: Engine) {
    let shop = Shop::with_a_receipt(engine).await;
    let before = files(&shop.proofs());
    assert_eq!(before.len(), 2, "a receipt and the id");
    // A new database, an empty one with an account, and one with another id.
    let new = with_the_receipts_of(&shop, engine);
    let used = with_the_receipts_of(&shop, engine);
    used.account("free");
    let other = Shop::with_a_receipt(engine).await;
    let other_id = other.id();
    let known = other.installation.with([("SERRONT_PROOFS", format!("file:{}", shop.proofs().display()))]);
    for (wrong, knows) in [(&new, None), (&used, None), (&known, Some(other_id))] {
        for _ in 0..2 {
            let said = refused(wrong.command());
            assert!(said.contains(&shop.id()) && said.contains("serront-host proofs adopt"), "{said}");
            assert!(knows.as_ref().is_none_or(|id| said.contains(id)), "{said}");
        }
    }
    assert_eq!(files(&shop.proofs()), before);
    shop.shows_its_receipt().await;
    assert_eq!(files(&shop.proofs()), before);

    // Adopted on purpose: the receipt, which the other database does not reference, is quarantined and not deleted.
    let adopted = known.admin(&["proofs", "adopt"]);
    assert_eq!(adopted["was"], json!(before_id(&before)));
    let host = known.serve();
    let quarantine = shop.proofs().join("quarantine");
    support::eventually("the quarantine", || quarantine.exists() && files(&quarantine).len() == 1).await;
    assert!(host.stop());
    assert_eq!(files(&quarantine).into_values().collect::<Vec<_>>(), [samples::PNG]);
    let said = refused(shop.installation.command());
    assert!(said.contains(adopted["installationId"].as_str().unwrap()), "{said}");
    // Back with the first database, it is found in quarantine.
    shop.installation.admin(&["proofs", "adopt"]);
    shop.shows_its_receipt().await;
}

fn before_id(files: &BTreeMap<PathBuf, Vec<u8>>) -> String {
    let (_, id) = files.iter().find(|(path, _)| path.ends_with("installation")).unwrap();
    String::from_utf8(id.clone()).unwrap().trim().to_owned()
}

async fn folder_and_database_of_an_earlier_version_go_on(engine: Engine) {
    let shop = Shop::with_a_receipt(engine).await;
    let id = shop.id();
    // The folder of an earlier version, without an id.
    std::fs::remove_file(shop.proofs().join("installation")).unwrap();
    let empty = with_the_receipts_of(&shop, engine);
    let before = files(&shop.proofs());
    let said = refused(empty.command());
    assert!(said.contains("names none of them") && said.contains("serront-host proofs adopt"), "{said}");
    assert_eq!(files(&shop.proofs()), before);
    shop.shows_its_receipt().await;
    assert_eq!(shop.id(), id);
    // A folder that is not mounted.
    let receipt = files(&shop.proofs()).into_keys().find(|path| !path.ends_with("installation")).unwrap();
    std::fs::remove_file(shop.proofs().join("installation")).unwrap();
    let elsewhere = shop.installation.path().join("elsewhere");
    std::fs::rename(&receipt, &elsewhere).unwrap();
    let said = refused(shop.installation.command());
    assert!(said.contains("not mounted") && said.contains(&id), "{said}");
    std::fs::rename(&elsewhere, &receipt).unwrap();
    shop.shows_its_receipt().await;
}

async fn a_host_with_other_keys_does_not_start(engine: Engine) {
    let installation = Installation::new(engine);
    installation.account("free");
    let host = installation.serve();
    let keys = installation.path().join("secrets.key");
    let other = installation.path().join("other.key");
    let start_with = |keys: &Path| -> (bool, String) {
        let mut command = installation.command();
        // A host that starts would serve forever, so this uses a subcommand that opens the same keys and ends.
        command.args(["plugipay", "rotate-secret", "acc_01jtestvect0r0000000000000"]).env("SERRONT_SECRETS_KEY", keys);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (said.contains("these keys do not open"), said)
    };
    let refused_with_others = || {
        let mut command = installation.command();
        command.env("SERRONT_SECRETS_KEY", &other);
        refused(command)
    };
    // No new keys are created, unlike on a first start, since keys exist.
    let said = refused_with_others();
    assert!(said.contains("their keys are missing") && !other.exists(), "{said}");
    std::fs::write(&other, format!("{}\n", "5a".repeat(32))).unwrap();
    let said = refused_with_others();
    assert!(said.contains("other.key: these keys do not open"), "{said}");
    assert!(start_with(&other).0);
    let copy = installation.path().join("copy.key");
    std::fs::copy(&keys, &copy).unwrap();
    assert!(!start_with(&copy).0, "a copy is as good: {}", start_with(&copy).1);
    // The keys are changed while the host runs; an earlier copy is no longer valid.
    installation.admin(&["secrets", "rotate"]);
    assert!(!start_with(&copy).0, "it still opens");
    installation.admin(&["secrets", "reseal"]);
    assert!(start_with(&copy).0);
    let forgotten: Value = installation.admin(&["secrets", "forget"]);
    assert_eq!(forgotten["forgotten"].as_array().unwrap().len(), 1);
    assert!(host.stop());
    assert!(installation.serve().stop());
}

/// A host whose clock can be changed while it runs: a preloaded library adds the seconds that a file contains to the
/// time.
#[cfg(target_os = "linux")]
mod clocks {
    use super::*;

    const SHIM: &str = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *time) {
            static int (*real)(clockid_t, struct timespec *);
            if (!real) real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
            int answer = real(clock, time);
            const char *path = getenv("CLOCK_OFF_FILE");
            if (answer == 0 && clock == CLOCK_REALTIME && path) {
                FILE *file = fopen(path, "r");
                long seconds = 0;
                if (file) {
                    if (fscanf(file, "%ld", &seconds) == 1) time->tv_sec += seconds;
                    fclose(file);
                }
            }
            return answer;
        }
    "#;

    struct Clock {
        library: PathBuf,
        file: PathBuf,
    }

    impl Clock {
        fn new(folder: &Path) -> Self {
            let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
            std::fs::write(&source, SHIM).unwrap();
            let mut compiler = Command::new("cc");
            let built = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
            assert!(built.unwrap().success());
            let clock = Self { library, file: folder.join("clock.off") };
            clock.set_off(0);
            clock
        }

        fn set_off(&self, seconds: i64) {
            // Replaced in one step, since it can be read at any moment.
            let next = self.file.with_extension("next");
            std::fs::write(&next, seconds.to_string()).unwrap();
            std::fs::rename(next, &self.file).unwrap();
        }

        fn variables(&self) -> [(&'static str, String); 2] {
            let path = |path: &Path| path.display().to_string();
            [("LD_PRELOAD", path(&self.library)), ("CLOCK_OFF_FILE", path(&self.file))]
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_whose_clock_is_off_says_so_or_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new(folder.path());
        let installation = Installation::new(Engine::Postgres).with(clock.variables());
        for seconds in [11 * 60, -11 * 60, 25 * 3_600, -25 * 3_600] {
            clock.set_off(seconds);
            let said = refused(installation.command());
            assert!(said.contains("this machine's clock is") && said.contains("correct the wrong clock"), "{said}");
        }
        for seconds in [9 * 60, -9 * 60, 35] {
            clock.set_off(seconds);
            let mut child =
                installation.command().args(SERVE).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut said = String::new();
            let mut stderr = child.stderr.take().unwrap();
            while !said.contains("this machine's clock is off the database's") {
                let mut bytes = [0; 4_096];
                let count = stderr.read(&mut bytes).unwrap();
                assert!(count > 0, "it ended: {said}");
                said.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// One host's clock is right, the other's is a day and an hour off, in either direction, while both serve.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_idempotency_key_works_once_despite_a_wrong_clock() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new(folder.path());
        let installation = Installation::new(Engine::Postgres);
        let (_, key) = installation.account("business");
        let right = installation.serve();
        let installation = installation.with(clock.variables());
        let wrong = installation.serve();
        let clients = [Client::new(&right, &key), Client::new(&wrong, &key)];
        clients[0].open_shop("studio").await;
        let make = async |client: &Client, name: &str| {
            let body = json!({"name": name, "slug": name, "pricingType": "fixed", "priceIdr": 1_000});
            let headers = [("content-type", "application/json"), ("idempotency-key", name)];
            let body = Some(serde_json::to_vec(&body).unwrap());
            client.send("POST", "/api/v1/services", &headers, body).await.data()["id"].as_str().unwrap().to_owned()
        };
        for (name, seconds) in [("fast", 25 * 3_600), ("slow", -25 * 3_600)] {
            clock.set_off(seconds);
            // First at the wrong host, then at the right one, and the other way round.
            for [first, second] in [[0, 1], [1, 0]] {
                let key = format!("{name}-{first}");
                let made = make(&clients[first], &key).await;
                for client in [second, first, second] {
                    assert_eq!(make(&clients[client], &key).await, made, "{key}");
                }
            }
        }
        // Either host carries out now what the wrong one queued.
        let (_, token) = clients[1].order("studio").await;
        assert!(!token.is_empty());
        let mails = || installation.mails().len();
        let order = clients[0].order_ids().await.pop().unwrap();
        clock.set_off(25 * 3_600);
        let confirmed = format!("/api/v1/orders/{order}/confirm-payment");
        clients[1].call("POST", &confirmed, Some(json!({}))).await.data();
        support::eventually("the mail", || mails() > 0).await;
        assert!(right.stop());
    }
}
