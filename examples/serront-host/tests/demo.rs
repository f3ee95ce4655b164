//! `demo`: the printed tour leads from the buyer's payment to the money in the ledger and to the seller's bank.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

mod support;

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first address in the tour with this end.
fn address(tour: &[String], end: &str) -> String {
    let words = tour.iter().flat_map(|line| line.split_whitespace());
    let found =
        words.map(|word| word.trim_end_matches(';')).find(|word| word.starts_with("http") && word.ends_with(end));
    found.unwrap_or_else(|| panic!("nothing ends in {end}: {tour:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_lines_lead_from_the_press_to_the_ledger_and_on_to_the_bank() {
    let mut command = support::binary();
    command.args(["demo", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut demo = Demo(command.spawn().unwrap());
    let mut printed = BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let tour: Vec<String> = printed.by_ref().take_while(|line| !line.starts_with("Below")).collect();
    // The rest of the output is read too, so that the demo does not wait for a reader.
    std::thread::spawn(move || printed.for_each(drop));

    let http = support::http();
    // Each printed page exists; those behind a session lead to the login.
    let pages: Vec<&str> =
        tour.iter().filter_map(|line| line.strip_prefix("  ").filter(|rest| rest.starts_with("http"))).collect();
    assert_eq!(pages.len(), 5, "{tour:?}");
    for page in pages {
        let shown = http.get(page).header("accept", "text/html").send().await.unwrap();
        assert_eq!(shown.status(), 200, "{page}");
        assert!(shown.text().await.unwrap().contains("<h1>"), "{page}");
    }
    let (balance, pay) = (address(&tour, "/ledger/balance"), address(&tour, "/pay"));
    let key = tour.iter().find_map(|line| line.split("Bearer ").nth(1)?.split('\'').next()).unwrap();
    let minted: Value = http.post(&pay).send().await.unwrap().json().await.unwrap();
    let hosted = minted["data"]["hostedUrl"].as_str().unwrap();
    assert!(tour.contains(&format!("# {hosted}")), "the page to open is printed");
    let page = http.get(hosted).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("<form"), "{page}");
    http.post(format!("{hosted}/pay")).body("method=qris").send().await.unwrap();

    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer: Value = http.get(&balance).bearer_auth(key).send().await.unwrap().json().await.unwrap();
        if answer["data"]["balance"] == 747_750 {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // The rest is pasted as printed.
    let pasted: Vec<&str> = tour
        .iter()
        .map(String::as_str)
        .skip_while(|line| !line.starts_with("# The seller requests a payout"))
        .collect();
    let shell = Command::new("sh").args(["-e", "-c", &pasted.join("\necho\n")]).output().unwrap();
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    let printed = String::from_utf8(shell.stdout).unwrap();
    let answers: Vec<Value> = printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let seen: Vec<String> = answers.iter().map(summary).collect();
    let expected = [
        "available 247750",
        "OPERATOR_ONLY",
        "in_transit",
        "paid",
        "available 247750",
        "entries 1",
        "payment false",
        "PAYMENT_MODULE_DISABLED",
        "payment true",
    ];
    assert_eq!(seen, expected, "{printed}");
    assert_eq!(printed.lines().filter(|line| line.starts_with("le_")).count(), 3, "{printed}");
}

/// The relevant parts of an answer.
fn summary(answer: &Value) -> String {
    let data = &answer["data"];
    let number = |name: &str, value: &Value| format!("{name} {value}");
    match (answer["error"]["code"].as_str(), data["status"].as_str(), data["entries"].as_array()) {
        (Some(code), _, _) => code.to_owned(),
        (None, Some(status), _) => status.to_owned(),
        (None, None, Some(entries)) => format!("entries {}", entries.len()),
        (None, None, None) if data["available"].is_number() => number("available", &data["available"]),
        (None, None, None) => number("payment", &data["modules"]["payment"]),
    }
}
