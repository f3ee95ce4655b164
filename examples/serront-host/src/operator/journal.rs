//! The progress of a reconciliation: a head line, then each page that it read of Plugipay's ledger as one JSON line. An
//! interrupted run continues after the last whole line.
//!
//! It is no copy of the ledger: a page holds only what is compared, and the file is removed after the comparison.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serront_core::online::reconcile::ProviderPage;
use serront_core::primitives::ids::AccountId;

const VERSION: u32 = 1;

/// The first line: whose pages follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    version: u32,
    account_id: AccountId,
    plugipay: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    /// Another process has the file locked.
    #[error("another reconciliation of this account is running")]
    Running,
    #[error("the pages that were read can't be kept in {path}")]
    File {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
}

/// An open journal, locked against other processes.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens the journal in this folder and reads the pages of an earlier run. There are none if that run compared with
    /// another Plugipay, or if `forget` is set.
    pub(super) fn open(
        folder: &Path,
        account_id: AccountId,
        plugipay: &str,
        forget: bool,
    ) -> Result<(Self, Vec<ProviderPage>), JournalError> {
        let path = folder.join(format!("{account_id}.jsonl"));
        let head = Head { version: VERSION, account_id, plugipay: plugipay.to_owned() };
        let failed = |error| JournalError::File { path: path.clone(), error };
        let file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Running),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut journal = Self { file, path: path.clone() };
        let pages = journal.begin(&head, forget).map_err(failed)?;
        Ok((journal, pages))
    }

    /// Reads the pages and cuts off an incomplete line.
    fn begin(&mut self, head: &Head, forget: bool) -> io::Result<Vec<ProviderPage>> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        if let Some((pages, length)) = read(&bytes, head).filter(|_| !forget) {
            self.cut(length)?;
            return Ok(pages);
        }
        self.cut(0)?;
        self.line(head)?;
        Ok(Vec::new())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Appends a page. It has reached the operating system when this returns, so a crash of the process does not lose it.
    pub(super) fn keep(&mut self, page: &ProviderPage) -> io::Result<()> {
        self.line(page)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Removes the journal: the comparison is done.
    pub(super) fn end(self) -> io::Result<()> {
        let Self { file, path } = self;
        if cfg!(unix) {
            // Unlocked last, so that no other run starts on a file that is being removed.
            let removed = std::fs::remove_file(&path);
            drop(file);
            return removed;
        }
        // Other systems can't remove an open file.
        drop(file);
        std::fs::remove_file(&path)
    }
}

/// Opens a file that only its owner may read.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The pages in these bytes, and the length up to their end; `None` if the head differs. Leaves out the ledger's last page,
/// which may have grown since.
fn read(bytes: &[u8], head: &Head) -> Option<(Vec<ProviderPage>, u64)> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let first = lines.next()?;
    if serde_json::from_slice::<Head>(first).ok()? != *head {
        return None;
    }
    let (mut pages, mut length) = (Vec::new(), first.len());
    for line in lines {
        match serde_json::from_slice::<ProviderPage>(line) {
            Ok(page) if page.next.is_some() => {
                pages.push(page);
                length = length.saturating_add(line.len());
            }
            Ok(_) | Err(_) => break,
        }
    }
    Some((pages, u64::try_from(length).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIPAY: &str = "https://plugipay.example";

    fn account(last: char) -> AccountId {
        format!("acc_01jtestvect0r000000000000{last}").parse().unwrap()
    }

    fn page(next: Option<&str>) -> ProviderPage {
        ProviderPage { entries: Vec::new(), next: next.map(str::to_owned) }
    }

    fn open(folder: &Path) -> (Journal, Vec<ProviderPage>) {
        Journal::open(folder, account('1'), PLUGIPAY, false).unwrap()
    }

    #[test]
    fn a_run_continues_after_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, known) = open(folder.path());
        assert_eq!(known, []);
        for next in ["a", "b"] {
            journal.keep(&page(Some(next))).unwrap();
        }
        let path = journal.path.clone();
        drop(journal);
        for torn in [&b"{\"entries\":[],\"ne"[..], b"{\"entries\":[],\"next\":\"c\"}", b"\0\0\0\n", b"\xff\n{}\n"] {
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, [&whole, torn].concat()).unwrap();
            let (journal, known) = open(folder.path());
            assert_eq!(known, [page(Some("a")), page(Some("b"))]);
            drop(journal);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "an incomplete page is cut off");
        }
        let (mut journal, _) = open(folder.path());
        journal.keep(&page(Some("c"))).unwrap();
        journal.keep(&page(None)).unwrap();
        drop(journal);
        let (journal, known) = open(folder.path());
        assert_eq!(known.len(), 3, "the last page is read again: it may have grown");
        journal.end().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn pages_of_another_comparison_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let known =
            |last, plugipay, forget| Journal::open(folder.path(), account(last), plugipay, forget).unwrap().1.len();
        let keep = || open(folder.path()).0.keep(&page(Some("a"))).unwrap();
        keep();
        assert_eq!((known('2', PLUGIPAY, false), known('1', PLUGIPAY, false)), (0, 1));
        assert_eq!((known('1', PLUGIPAY, true), known('1', PLUGIPAY, false)), (0, 0));
        keep();
        assert_eq!((known('1', "https://other.example", false), known('1', PLUGIPAY, false)), (0, 0));
        std::fs::write(folder.path().join(format!("{}.jsonl", account('1'))), "{\"version\":0}\n").unwrap();
        assert_eq!(known('1', PLUGIPAY, false), 0);
    }

    #[test]
    fn two_runs_do_not_write_into_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        let second = Journal::open(folder.path(), account('1'), PLUGIPAY, true);
        assert!(matches!(second, Err(JournalError::Running)));
        drop(first);
        open(folder.path());
    }
}
