//! `demo`: what it prints leads from the buyer's press to the money in the ledger.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
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

/// The first address in the tour that ends so.
fn address(tour: &[String], end: &str) -> String {
    let words = tour.iter().flat_map(|line| line.split_whitespace());
    let found =
        words.map(|word| word.trim_end_matches(';')).find(|word| word.starts_with("http") && word.ends_with(end));
    found.unwrap_or_else(|| panic!("nothing ends in {end}: {tour:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_lines_lead_from_the_press_to_the_ledger() {
    let mut command = support::binary();
    command.args(["demo", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut demo = Demo(command.spawn().unwrap());
    let mut printed = BufReader::new(demo.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let tour: Vec<String> = printed.by_ref().take_while(|line| !line.starts_with("Below")).collect();
    // What is printed on is read on, so that the demo does not wait for a reader.
    std::thread::spawn(move || printed.for_each(drop));

    let http = support::http();
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
}
