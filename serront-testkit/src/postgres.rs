//! A private PostgreSQL for tests: a cluster of its own in a temporary folder, on a free loopback port and a socket, gone
//! when the process that started it is.
//!
//! It uses the server's own programs (`initdb`, `pg_ctl`), found on the path or where Debian puts them; as root it runs them
//! as the user `postgres`, since they refuse to run as root. [`URL_VARIABLE`] names a server to use instead.
//!
//! It is for tests: whoever is on this machine can connect without a password.
#![allow(clippy::expect_used, clippy::panic, reason = "test support: a failed assumption ends the test")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable that names a server to use instead of starting one.
pub const URL_VARIABLE: &str = "SERRONT_TEST_POSTGRES_URL";

/// Runs until its input ends, which it does when the process that started it is gone, however it went.
const SCRIPT: &str = r#"
set -eu
programs=$1 port=$2
folder=$(mktemp -d "${TMPDIR:-/tmp}/serront-postgres.XXXXXX")
finish() {
    "$programs/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP
"$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1 ||
    { cat "$folder/log" >&2; exit 1; }
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
    // Its input is the cluster's life line: dropping it ends the cluster.
    script: Child,
}

impl Cluster {
    /// Starts a cluster.
    ///
    /// # Panics
    /// If PostgreSQL's programs are not installed, or the cluster does not come up.
    #[must_use]
    pub fn start() -> Self {
        let programs = programs().expect("PostgreSQL's programs (Debian: apt-get install postgresql)");
        let as_postgres = is_root();
        // The port may be taken between our look and the server's start.
        for _ in 0..5 {
            let port = free_port();
            let mut script = command(as_postgres, "sh")
                .args(["-c", SCRIPT, "cluster"])
                .arg(&programs)
                .arg(port.to_string())
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

    /// The address over TCP, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket(&self) -> &std::path::Path {
        &self.folder
    }

    /// The port, of TCP and in the socket's name.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server in the middle of whatever it does, and starts it again: what a crash looks like to its clients.
    ///
    /// # Panics
    /// If it does not come up again.
    pub fn restart(&self) {
        self.restart_in("immediate");
    }

    /// Restarts the server in one of `pg_ctl`'s modes: `fast` ends what is under way, `immediate` is as a crash.
    ///
    /// # Panics
    /// If it does not come up again.
    pub fn restart_in(&self, mode: &str) {
        let status = command(self.as_postgres, &self.programs.join("pg_ctl").display().to_string())
            .args(["-m", mode, "-w", "-D"])
            .arg(self.folder.join("data"))
            .arg("-l")
            .arg(self.folder.join("log"))
            .arg("restart")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("pg_ctl to run");
        assert!(status.success(), "PostgreSQL did not start again");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// The URL of a server for the tests of this process: the given one, or a cluster that is started with the first call and
/// ends with the process.
///
/// # Panics
/// If there is no server and none can be started.
#[must_use]
pub fn server_url() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    std::env::var(URL_VARIABLE).unwrap_or_else(|_| CLUSTER.get_or_init(Cluster::start).url())
}

/// The name of a schema that nobody else has: by process, count and time.
#[must_use]
pub fn fresh_schema() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("t{since}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Where a program of PostgreSQL's is: `pg_dump`, `psql`.
///
/// # Panics
/// If PostgreSQL's programs are not installed.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    programs().expect("PostgreSQL's programs (Debian: apt-get install postgresql)").join(name)
}

fn command(as_postgres: bool, program: &str) -> Command {
    if !as_postgres {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    // Not a folder that the other user may be kept out of.
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

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
