//! A private PostgreSQL cluster for tests, in a temporary folder, on a free loopback port and a socket. It ends with
//! the process that started it.
//!
//! It uses the server's programs (`initdb`, `pg_ctl`), found on the path or in Debian's folder. As root it runs them as
//! the user `postgres`, because they refuse to run as root. [`URL_VARIABLE`] names a server to use instead.
//!
//! For tests only: every user of this machine can connect without a password.
#![allow(clippy::expect_used, clippy::panic, reason = "test support: a failed assumption ends the test")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable that names a server to use instead of starting one.
pub const URL_VARIABLE: &str = "SERRONT_TEST_POSTGRES_URL";

/// Runs until its input ends, which happens when the process that started it ends for any reason.
const SCRIPT: &str = r#"
set -eu
programs=$1 port=$2 primary=$3
folder=$(mktemp -d "${TMPDIR:-/tmp}/serront-postgres.XXXXXX")
finish() {
    "$programs/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP
if [ -z "$primary" ]; then
    "$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1
else
    "$programs/pg_basebackup" -D "$folder/data" -R -c fast --no-sync -h 127.0.0.1 -p "$primary" -U postgres >"$folder/log" 2>&1
fi || { cat "$folder/log" >&2; exit 1; }
"$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w start >/dev/null \
    -o "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$folder -c max_connections=300" ||
    { cat "$folder/log" >&2; exit 1; }
echo "$folder"
cat >/dev/null
"#;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    as_postgres: bool,
    // Dropping its input ends the cluster.
    script: Child,
}

impl Cluster {
    /// Starts a cluster.
    ///
    /// # Panics
    /// If PostgreSQL's programs are not installed, or the cluster does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_as("")
    }

    /// Starts a read-only standby that follows this cluster.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        Self::start_as(&self.port.to_string())
    }

    fn start_as(primary: &str) -> Self {
        let programs = programs().expect("PostgreSQL's programs (Debian: apt-get install postgresql)");
        let as_postgres = is_root();
        // Another process may take the port between this check and the server's start.
        for _ in 0..5 {
            let port = free_port();
            let mut script = command(as_postgres, "sh")
                .args(["-c", SCRIPT, "cluster"])
                .arg(&programs)
                .arg(port.to_string())
                .arg(primary)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a shell to start");
            let output = script.stdout.take().expect("the script's output");
            let mut folder = String::new();
            BufReader::new(output).read_line(&mut folder).expect("the script's answer");
            if !folder.is_empty() {
                return Self { programs, folder: folder.trim_end().into(), port, as_postgres, script };
            }
            let _ = script.wait();
        }
        panic!("PostgreSQL did not start; its log is above");
    }

    /// The URL over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket(&self) -> &std::path::Path {
        &self.folder
    }

    /// The port, over TCP and in the socket's name.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server without finishing its work and starts it again, which looks like a crash to its clients.
    ///
    /// # Panics
    /// If it does not start again.
    pub fn restart(&self) {
        self.restart_in("immediate");
    }

    /// Restarts the server in one of `pg_ctl`'s modes: `fast` aborts running transactions, `immediate` is like a crash.
    ///
    /// # Panics
    /// If it does not start again.
    pub fn restart_in(&self, mode: &str) {
        self.control(&["-m", mode, "restart"]);
    }

    /// Stops the server permanently, without finishing its work.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Promotes a standby to a primary, which accepts writes.
    ///
    /// # Panics
    /// If the promotion fails.
    pub fn promote(&self) {
        self.control(&["promote"]);
    }

    /// A statement's result, as unformatted output of `psql`.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn ask(&self, sql: &str) -> String {
        let output = command(self.as_postgres, &self.programs.join("psql").display().to_string())
            .args(["-XqAt", "-d", &self.url(), "-c", sql])
            .stdin(Stdio::null())
            .output()
            .expect("psql to run");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn control(&self, arguments: &[&str]) {
        let status = command(self.as_postgres, &self.programs.join("pg_ctl").display().to_string())
            .arg("-wD")
            .arg(self.folder.join("data"))
            .arg("-l")
            .arg(self.folder.join("log"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("pg_ctl to run");
        assert!(status.success(), "pg_ctl {arguments:?} failed");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// The URL of a server for the tests of this process: the one in [`URL_VARIABLE`], or a cluster that starts with the
/// first call and ends with the process.
///
/// # Panics
/// If no server is given and none can be started.
#[must_use]
pub fn server_url() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    std::env::var(URL_VARIABLE).unwrap_or_else(|_| CLUSTER.get_or_init(Cluster::start).url())
}

/// A unique name for a schema, from process, counter and time.
#[must_use]
pub fn fresh_schema() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("t{since}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The path of a program of PostgreSQL: `pg_dump`, `psql`.
///
/// # Panics
/// If PostgreSQL's programs are not installed.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    programs().expect("PostgreSQL's programs (Debian: apt-get install postgresql)").join(name)
}

pub(crate) fn command(as_postgres: bool, program: &str) -> Command {
    if !as_postgres {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    // The other user may not have access to the current folder.
    command.current_dir("/").args(["-u", "postgres", "--", program]);
    command
}

fn programs() -> Option<PathBuf> {
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut of_debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    of_debian.sort();
    of_debian.into_iter().rev().chain(on_path).find(|folder| folder.join("initdb").exists())
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
