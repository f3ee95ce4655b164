//! The measurement runs: every scenario, both engines, and what it writes can be read.

use std::process::Command;

use serde_json::Value;

#[test]
fn every_scenario_runs_and_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("REMARKS.md"), "A remark.\n").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_measure")).args(["--quick", "--out"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let text = std::fs::read_to_string(folder.path().join("RESULTS.md")).unwrap();
    assert!(text.contains("A remark.") && !text.contains(&folder.path().display().to_string()), "{text}");
    let results: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("RESULTS.json")).unwrap()).unwrap();
    let mut seen = Vec::new();
    for scenario in results["scenarios"].as_array().unwrap() {
        for contender in scenario["contenders"].as_array().unwrap() {
            assert!(contender["per_second"].as_f64().unwrap() > 0.0, "{scenario}");
            if scenario["question"] == "confirm" || scenario["question"] == "settle" {
                assert!(contender["checked"].as_i64().unwrap() > 0, "{scenario}");
            }
        }
        seen.push((scenario["engine"].as_str().unwrap(), scenario["question"].as_str().unwrap()));
    }
    let questions = ["confirm", "page", "search", "conflicts", "depth", "settle"];
    let all: Vec<_> =
        ["postgres", "sqlite"].iter().flat_map(|engine| questions.map(|question| (*engine, question))).collect();
    assert_eq!(seen, all);

    // The targets of settling are shown: a duplicate's cost, later and at the same moment, and one merchant's throughput.
    let wanted = results["wanted"].as_array().unwrap();
    for engine in ["postgres", "sqlite"] {
        let of_settling = wanted.iter().filter(|wanted| {
            wanted["engine"] == engine && wanted["figure"].as_str().unwrap().starts_with("settling, ")
        });
        assert_eq!(of_settling.count(), 3, "{wanted:?}");
    }
    assert!(text.contains("| a duplicate costs | deltas folded |"), "{text}");
}
