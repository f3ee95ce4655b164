//! Golden files: what other systems and people read, compared whole.
//!
//! `UPDATE_GOLDEN=1` writes the files instead; read the diff before you commit it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support: a failed assumption ends the test")]

use std::collections::BTreeSet;
use std::path::Path;

/// Panics unless the file contains exactly this text. With `UPDATE_GOLDEN` set it writes the file first.
#[track_caller]
pub fn check(file: &Path, actual: &str) {
    let golden = std::fs::read_to_string(file).unwrap_or_default();
    if golden == actual {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, actual).unwrap();
    } else {
        panic!("{} differs (UPDATE_GOLDEN=1 writes it). It has\n{golden}\nand should have\n{actual}", file.display());
    }
}

/// Panics unless the files of the folder whose names start with `prefix` are exactly these.
#[track_caller]
pub fn check_names(folder: &Path, prefix: &str, names: &BTreeSet<String>) {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(&files.filter(|file| file.starts_with(prefix)).collect::<BTreeSet<_>>(), names);
}
