//! The pages' script, parsed like the browsers that people had at the beginning of 2019 (#16).

use std::path::Path;
use std::process::{Command, Output};

use super::axe;
use super::chrome::installed;

/// The parts of this script that an old browser would not understand.
fn read(file: &Path) -> Output {
    installed("node", "nodejs");
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/old-browsers.js");
    Command::new("node").arg(check).arg(axe::installed_folder()).arg(file).output().unwrap()
}

#[test]
fn browsers_from_2019_understand_the_script() {
    let output = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages/assets/app.js"));
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{found}{}", String::from_utf8_lossy(&output.stderr));
}

/// Each of these did not exist, or is a promise that fails silently.
#[test]
fn what_browsers_from_2019_do_not_understand_is_found() {
    let folder = tempfile::TempDir::new().unwrap();
    for (nth, script) in [
        "let a; a ??= 1;",
        "const a = document?.body;",
        "const a = document.title ?? 1;",
        "try { document.title; } catch { document.title = 1; }",
        "document.body.replaceChildren();",
        "\"a\".replaceAll(\"a\", \"b\");",
        "[1].at(-1);",
        "structuredClone(1);",
        "crypto.randomUUID();",
        "AbortSignal.timeout(1);",
        "Object.hasOwn({}, \"a\");",
        "/(?<=a)b/.test(\"ab\");",
        "fetch(\"/\").then((answer) => answer.text());",
        "const a = async () => { await fetch(\"/\"); };",
    ]
    .iter()
    .enumerate()
    {
        let file = folder.path().join(format!("{nth}.js"));
        std::fs::write(&file, format!("\"use strict\";\n{script}\n")).unwrap();
        let output = read(&file);
        assert_eq!(output.status.code(), Some(1), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1, "{script}");
    }
}
