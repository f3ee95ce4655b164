//! axe-core, which finds accessibility faults of a page: installed by npm into the build folder, like other packages of the
//! tests, and run in the page.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;

use super::chrome::installed;

/// A fault that axe found.
#[derive(Deserialize)]
pub(crate) struct Violation {
    id: String,
    impact: Option<String>,
    help: String,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    html: String,
    #[serde(rename = "failureSummary", default)]
    summary: String,
}

impl Violation {
    pub(crate) fn is_serious(&self) -> bool {
        matches!(self.impact.as_deref(), Some("serious" | "critical"))
    }

    /// The fault and its place.
    pub(crate) fn description(&self) -> String {
        let nodes =
            self.nodes.iter().map(|node| format!("\n    {}\n      {}", node.html, node.summary.replace('\n', " ")));
        format!("{} ({}): {}{}", self.id, self.impact.as_deref().unwrap_or("?"), self.help, nodes.collect::<String>())
    }
}

/// The script that returns axe's findings on the page. The driver runs it, so the page's content security policy, which forbids
/// scripts, does not apply.
pub(crate) fn script() -> &'static str {
    static SCRIPT: OnceLock<String> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let source = std::fs::read_to_string(installed_folder().join("node_modules/axe-core/axe.min.js")).unwrap();
        // Without the preload, which would fetch the style sheet by a script.
        format!(
            "{source};\nreturn axe.run(document, {{preload: false, resultTypes: ['violations']}}).then(found => found.violations);"
        )
    })
}

/// The folder with the locked versions; installs them if they are missing.
pub(crate) fn installed_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(install)
}

fn install() -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    let lock = std::fs::read(from.join("package-lock.json")).unwrap();
    let marker = folder.join("installed-lock.json");
    if std::fs::read(&marker).is_ok_and(|installed| installed == lock) {
        return folder;
    }
    installed("npm", "npm");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-timeout=60000"])
        .current_dir(&folder)
        .stdin(Stdio::null());
    let output = npm.output().unwrap();
    assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(marker, lock).unwrap();
    folder
}
