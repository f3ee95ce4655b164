//! PgBouncer in front of a PostgreSQL, for tests: on a free loopback port. It ends with the process that started it.
//!
//! It uses the installed program, as the user `postgres` if the caller is root, because PgBouncer refuses to run as
//! root. It keeps PgBouncer's default settings except those that a test chooses, so that a test shows what users meet.
//!
//! For tests only: every user of this machine can connect without a password.
#![allow(clippy::expect_used, clippy::panic, reason = "test support: a failed assumption ends the test")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use crate::postgres::{command, free_port, is_root};

/// Runs until its input ends, which happens when the process that started it ends for any reason.
const SCRIPT: &str = r#"
set -eu
server_host=$1 server_port=$2 port=$3 settings=$4
PATH="$PATH:/usr/sbin"
folder=$(mktemp -d "${TMPDIR:-/tmp}/serront-pgbouncer.XXXXXX")
pid=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP
cat >"$folder/pgbouncer.ini" <<INI
[databases]
* = host=$server_host port=$server_port user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
logfile = $folder/log
$settings
INI
pgbouncer -q "$folder/pgbouncer.ini" </dev/null >/dev/null 2>&1 &
pid=$!
for _ in $(seq 100); do
    grep -q 'listening on 127.0.0.1' "$folder/log" 2>/dev/null && break
    kill -0 "$pid" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
done
echo "$folder"
cat >/dev/null
"#;

/// A running PgBouncer.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    // Dropping its input ends the pooler.
    script: Child,
}

impl Pooler {
    /// Starts a pooler in front of this server, with extra lines in its settings, for example `pool_mode = session`.
    ///
    /// # Panics
    /// If PgBouncer is not installed or does not start.
    #[must_use]
    pub fn start(server: SocketAddr, settings: &str) -> Self {
        // Another process may take the port between this check and the pooler's start.
        for _ in 0..5 {
            let port = free_port();
            let mut script = command(is_root(), "sh")
                .args(["-c", SCRIPT, "pooler"])
                .args([server.ip().to_string(), server.port().to_string(), port.to_string(), settings.to_owned()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a shell to start");
            let output = script.stdout.take().expect("the script's output");
            let mut folder = String::new();
            BufReader::new(output).read_line(&mut folder).expect("the script's answer");
            if !folder.is_empty() {
                return Self { port, script };
            }
            let _ = script.wait();
        }
        panic!("PgBouncer did not start (Debian: apt-get install pgbouncer); its log is above");
    }

    /// The URL of a database behind the pooler.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
