//! The key file: a sealed secret opens for its row only, under any of the keys; and the errors of a missing, wrong or
//! broken file.
#![cfg(all(feature = "keyfile", unix))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use serront_adapters::keyfile::{KeyFile, KeyFileError};
use serront_core::accounts::sealed::SecretHolder;
use serront_core::ports::{PortErrorKind, Sealer as _};
use tempfile::TempDir;

const SECRET: &str = "whsec_0123456789abcdef";

fn holder(digit: char) -> SecretHolder {
    SecretHolder::Endpoint(format!("acc_01jtestvect0r000000000000{digit}").parse().unwrap())
}

fn fresh() -> (TempDir, PathBuf, KeyFile) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secrets.key");
    KeyFile::create(&path).unwrap();
    let keys = KeyFile::open(&path).unwrap();
    (folder, path, keys)
}

/// The whole chain of an error, as a log would show it.
fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(|error| format!("{error} {error:?} ")).collect()
}

#[test]
fn a_key_file_is_made_once_for_its_owner_alone() {
    let (folder, path, _) = fresh();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let made = std::fs::read(&path).unwrap();
    KeyFile::create(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), made);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");

    let path = folder.path().join("at-once.key");
    let opened: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| KeyFile::create(&path).unwrap())).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let one = KeyFile::open(&path).unwrap();
        (0..2).map(|_| one.seal(holder('0'), SECRET).unwrap()).collect()
    });
    assert_eq!(opened[0].split('.').next(), opened[1].split('.').next(), "one key");
}

#[test]
fn what_is_sealed_opens_for_its_holder_and_as_it_was() {
    let (_folder, _, keys) = fresh();
    let sealed = keys.seal(holder('0'), SECRET).unwrap();
    assert_ne!(keys.seal(holder('0'), SECRET).unwrap(), sealed);
    assert!(!sealed.contains(SECRET) && sealed.is_ascii());
    assert_eq!(keys.open(holder('0'), &sealed).unwrap(), SECRET);
    assert!(keys.is_present(&sealed).unwrap());
    assert_eq!(keys.open(holder('1'), &sealed).unwrap_err().kind(), PortErrorKind::Permanent, "moved to another row");
    for at in (0..sealed.len()).filter(|at| sealed.as_bytes()[*at] != b'.') {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        assert!(keys.open(holder('0'), &String::from_utf8(bytes).unwrap()).is_err(), "changed at {at}");
    }
    for strange in [
        "",
        ".",
        "..",
        "x.y.z",
        sealed.get(..sealed.len() - 1).unwrap(),
        &format!("{sealed}.00"),
        &sealed.to_uppercase(),
    ] {
        assert!(keys.open(holder('0'), strange).is_err(), "{strange}");
    }
}

#[test]
fn another_process_learns_of_a_rotation_and_old_keys_open_until_they_are_forgotten() {
    let (_folder, path, serving) = fresh();
    let old = serving.seal(holder('0'), SECRET).unwrap();
    let command = KeyFile::open(&path).unwrap();
    let id = command.rotate().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let new = command.seal(holder('0'), SECRET).unwrap();
    assert!(new.starts_with(&id.to_string()));
    assert_eq!(serving.open(holder('0'), &new).unwrap(), SECRET, "the file is read again for an unknown key");
    assert!(serving.seal(holder('0'), SECRET).unwrap().starts_with(&id.to_string()), "and before each sealing");
    assert_eq!((serving.is_present(&old).unwrap(), serving.is_present(&new).unwrap()), (false, true));
    assert_eq!(serving.open(holder('0'), &old).unwrap(), SECRET);

    assert_eq!(command.forget_all_but(&id).unwrap().len(), 1);
    assert_eq!(command.forget_all_but(&id).unwrap(), []);
    let later = KeyFile::open(&path).unwrap();
    assert_eq!(later.open(holder('0'), &new).unwrap(), SECRET);
    let error = later.open(holder('0'), &old).unwrap_err();
    assert_eq!(error.kind(), PortErrorKind::Transient, "the key may come back");
    assert!(told(&error).contains("is not in it") && told(&error).contains("secrets.key"), "{}", told(&error));
}

/// A resealing pass names the key that was first at that time (#8).
#[test]
fn nothing_is_forgotten_for_a_key_that_is_no_longer_the_first() {
    let (_folder, path, keys) = fresh();
    let sealed_under = keys.first().unwrap();
    let sealed = keys.seal(holder('0'), SECRET).unwrap();
    let id = KeyFile::open(&path).unwrap().rotate().unwrap();
    assert!(matches!(keys.forget_all_but(&sealed_under), Err(KeyFileError::Rotated { .. })));
    assert_eq!((keys.first().unwrap(), keys.open(holder('0'), &sealed).unwrap()), (id, SECRET.to_owned()));
}

#[test]
fn rotations_at_once_lose_no_key() {
    let (_folder, path, keys) = fresh();
    let mut ids = std::thread::scope(|scope| {
        let rotate = || (0..8).map(|_| KeyFile::open(&path).unwrap().rotate().unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(rotate)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut kept = keys.forget_all_but(&keys.first().unwrap()).unwrap();
    assert_eq!(kept.len(), 32, "with the first of all, and but for the last");
    kept.push(keys.first().unwrap());
    ids.retain(|id| !kept.contains(id));
    assert_eq!(ids, []);
}

/// Hosts may run as another user than the operator's, and find the file by a link.
#[test]
fn a_rotated_file_keeps_its_owner_its_mode_and_the_link_to_it() {
    let (folder, path, _) = fresh();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may change a file's owner; for other users the file keeps its owner.
    let _ = std::os::unix::fs::chown(&path, Some(65_534), Some(65_534));
    let facts = || {
        let seen = std::fs::metadata(&path).unwrap();
        (seen.uid(), seen.gid(), seen.mode())
    };
    let before = facts();
    let link = folder.path().join("link.key");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let keys = KeyFile::open(&link).unwrap();
    let id = keys.rotate().unwrap();
    keys.forget_all_but(&id).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!((facts(), KeyFile::open(&path).unwrap().first().unwrap()), (before, id));
}

#[test]
fn a_missing_or_broken_file_is_told_without_its_keys() {
    let (_folder, path, keys) = fresh();
    let sealed = keys.seal(holder('0'), SECRET).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let key = text.lines().last().unwrap().to_owned();
    assert!(!format!("{keys:?}").contains(&key));

    std::fs::remove_file(&path).unwrap();
    assert_eq!(keys.open(holder('0'), &sealed).unwrap(), SECRET, "keys that were read stay");
    assert_eq!(keys.seal(holder('0'), SECRET).unwrap_err().kind(), PortErrorKind::Transient);
    assert!(KeyFile::open(&path).is_err());

    for (broken, what) in
        [("", "no key in it"), (&format!("# x\n\n{key}0\n"), "line 3 is no key"), ("# only this", "no key in it")]
    {
        std::fs::write(&path, broken).unwrap();
        let error = told(&KeyFile::open(&path).unwrap_err());
        assert!(error.contains(what) && !error.contains(&key), "{error}");
        assert!(!told(&keys.seal(holder('0'), SECRET).unwrap_err()).contains(&key));
        assert!(keys.rotate().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), broken, "left as it is");
    }
    std::fs::write(&path, format!("  {key}  \r\n")).unwrap();
    assert_eq!(KeyFile::open(&path).unwrap().open(holder('0'), &sealed).unwrap(), SECRET);
}
