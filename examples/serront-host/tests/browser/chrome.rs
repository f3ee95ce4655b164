//! Chromium's driver as a separate process for each browser: on a free port, with a profile that is deleted at the end.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use tempfile::TempDir;
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities as _, LoggingPrefsLogLevel};

use super::browser::{PATIENCE, Visitor};

/// A running driver. It and its browser are killed on drop, even when a test fails.
pub(crate) struct Chrome {
    child: Child,
    pub(crate) url: String,
    folder: TempDir,
}

impl Chrome {
    /// Starts the installed driver on a port that it picks itself.
    pub(crate) fn start(visitor: Visitor) -> Self {
        for (command, package) in [("chromedriver", "chromium-driver"), ("chromium", "chromium")] {
            installed(command, package);
        }
        let folder = TempDir::new().unwrap();
        let mut command = Command::new("chromedriver");
        // Both write only into the folder, which is deleted. A process group ends them together.
        command.arg("--port=0").env("HOME", folder.path()).env("TMPDIR", folder.path()).process_group(0);
        // The language of the browser's controls, and the order of a day's parts.
        command.env("LANGUAGE", visitor.language.tag()).env("LC_ALL", visitor.language.locale());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = mpsc::channel();
        // Its output is read to the end, since it must not wait for a reader.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let after = line.split("started successfully on port ").nth(1);
                let port = after.and_then(|rest| rest.trim_end_matches('.').parse::<u16>().ok());
                let _ = port.map(|port| tell.send(port));
            }
        });
        // A driver that prints nothing is killed like any other.
        let mut chrome = Self { child, url: String::new(), folder };
        let port = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("chromedriver does not say its port"));
        chrome.url = format!("http://127.0.0.1:{port}");
        chrome
    }

    /// The options of a browser for this visitor.
    pub(crate) fn capabilities(&self, visitor: Visitor) -> ChromeCapabilities {
        let mut wanted = ChromeCapabilities::new();
        let profile = format!("--user-data-dir={}", self.folder.path().join("profile").display());
        let mut arguments = vec![
            "--headless=new",
            // The browser ends automatically when its driver ends.
            "--remote-debugging-pipe",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-breakpad",
            "--no-first-run",
            "--no-proxy-server",
            "--hide-scrollbars",
            // No requests to other machines.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            &profile,
        ];
        if is_root() {
            // Chromium's sandbox refuses root; only our own pages are visited.
            arguments.push("--no-sandbox");
        }
        for argument in arguments {
            wanted.add_arg(argument).unwrap();
        }
        let mut preferences = serde_json::json!({"intl.accept_languages": visitor.language.accepted()});
        if !visitor.scripts {
            preferences["profile.managed_default_content_settings.javascript"] = 2.into();
        }
        wanted.add_experimental_option("prefs", preferences).unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        wanted
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// If a command is missing, fails with what to install.
pub(crate) fn installed(command: &str, package: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder: std::path::PathBuf| is_file(&folder.join(command)));
    assert!(
        found,
        "{command} is missing: the tests in a browser need it (Debian's package {package}; .ci/run installs it)"
    );
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
}
