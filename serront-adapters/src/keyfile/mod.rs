//! Secrets at rest under the keys of a local file: [`KeyFile`].
//!
//! The file holds a key a line, 64 hexadecimal digits each; the first seals, all open. Empty lines, and those that begin with
//! `#`, are passed over. Hosts on one storage need the same file, shared or copied. A key's id is derived from it and stands
//! before what it sealed, so that it is found again in whatever line.
//!
//! Sealing is XChaCha20-Poly1305 under a random nonce; the holder's name is authenticated with it.
//!
//! What it is not: protection against whoever reads both the storage and this file, so keep it out of the storage's backups.
//! It is no agent and no key service: the keys are in the process's memory.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serront_core::accounts::sealed::SecretHolder;
use serront_core::ports::{PortError, Sealer};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::digest::{hex, unhex};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// How many hexadecimal digits of its digest tell a key apart.
const ID_DIGITS: usize = 16;

/// What is written above the keys.
const HEADING: &str = "\
# Keys that secrets at rest are sealed under, one a line. The first one seals, all of them open.
# Every host on the same database needs the same keys. Without them, the secrets in the database are lost.
";

/// Why a key file can't be used. No variant shows a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no key.
    #[error("{path}: line {line} is no key of 64 hexadecimal digits")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// There is no key.
    #[error("{path}: there is no key in it")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The system's generator failed.
    #[error("the system's generator failed: {0}")]
    Random(getrandom::Error),
    /// Another key seals by now than the one that everything was sealed under: nothing was removed.
    #[error("{path}: another key was put before {id} meanwhile")]
    Rotated {
        /// Which file.
        path: PathBuf,
        /// The key's id.
        id: KeyId,
    },
    /// The key that sealed something is not in the file.
    #[error("{path}: the key {id} is not in it")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// The key's id.
        id: String,
    },
}

/// What the key's id says: which key of several. It opens nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    bytes: [u8; KEY_BYTES],
}

impl Key {
    fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let named = [b"serront key ".as_slice(), &bytes].concat();
        Self { id: KeyId(Digest256::of(&named).to_string().chars().take(ID_DIGITS).collect()), bytes }
    }

    fn draw() -> Result<Self, KeyFileError> {
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(KeyFileError::Random)?;
        Ok(Self::new(bytes))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.bytes.into())
    }
}

/// A local file of keys.
pub struct KeyFile {
    path: PathBuf,
    /// As last read.
    keys: RwLock<Vec<Key>>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyFileError`] if it can't be read, holds something else, or no key.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let path = path.into();
        let keys = read(&path)?;
        Ok(Self { path, keys: RwLock::new(keys) })
    }

    /// Makes the file with a first key, unless there is one: only its owner may read it, from the first moment. Of several who
    /// do it at the same time, one makes it.
    ///
    /// # Errors
    /// [`KeyFileError`] if it can't be written.
    pub fn create(path: &Path) -> Result<(), KeyFileError> {
        if path.exists() {
            return Ok(());
        }
        let fresh = written(path, &[Key::draw()?])?;
        // A link does not replace what is there.
        let linked = std::fs::hard_link(&fresh, path);
        let removed = std::fs::remove_file(&fresh);
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other
                .and(removed)
                .and_then(|()| settle(path))
                .map_err(|source| KeyFileError::Io { path: path.to_owned(), source }),
        }
    }

    /// Which key seals at present.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file can't be read.
    pub fn first(&self) -> Result<KeyId, KeyFileError> {
        Ok(self.present()?.id)
    }

    /// Puts a new key before the others: it seals from now on, here and in whatever process has the file open.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file can't be read or written; then it is as it was.
    pub fn rotate(&self) -> Result<KeyId, KeyFileError> {
        let key = Key::draw()?;
        let id = key.id.clone();
        self.replace(|keys| {
            keys.insert(0, key);
            Ok(())
        })?;
        Ok(id)
    }

    /// Removes every key but the first, which has to be this one, and answers which. What they sealed can't be opened any more:
    /// seal everything anew under this one before.
    ///
    /// # Errors
    /// [`KeyFileError::Rotated`] if another key is the first by now, [`KeyFileError`] if the file can't be read or written;
    /// then it is as it was.
    pub fn forget_all_but(&self, first: &KeyId) -> Result<Vec<KeyId>, KeyFileError> {
        let forgotten = self.replace(|keys| {
            if keys.first().is_none_or(|key| key.id != *first) {
                return Err(KeyFileError::Rotated { path: self.path.clone(), id: first.clone() });
            }
            Ok(keys.split_off(1))
        })?;
        Ok(forgotten.into_iter().map(|key| key.id).collect())
    }

    /// Changes the keys, one process after the other: what one of them wrote, the next one reads.
    fn replace<T>(&self, change: impl FnOnce(&mut Vec<Key>) -> Result<T, KeyFileError>) -> Result<T, KeyFileError> {
        let failed = |source| KeyFileError::Io { path: self.path.clone(), source };
        // A link to the file stays a link.
        let path = std::fs::canonicalize(&self.path).map_err(failed)?;
        let _lock = locked(&path)?;
        let mut keys = read(&path)?;
        let done = change(&mut keys)?;
        let fresh = written(&path, &keys)?;
        let replaced =
            same_owner(&path, &fresh).and_then(|()| std::fs::rename(&fresh, &path)).and_then(|()| settle(&path));
        if let Err(source) = replaced {
            // It holds keys; where it was renamed it is not there any more.
            let _ = std::fs::remove_file(&fresh);
            return Err(failed(source));
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(done)
    }

    /// The key that seals at present. The file is read for it each time, for another process may have put a new one first;
    /// sealing is rare.
    fn present(&self) -> Result<Key, KeyFileError> {
        let keys = read(&self.path)?;
        let first = keys.first().cloned();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        first.ok_or_else(|| KeyFileError::Empty { path: self.path.clone() })
    }

    fn known(&self, id: &str) -> Option<Key> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find(|key| key.id.0 == id).cloned()
    }

    /// The key of this id. One that is not known may have been added meanwhile.
    fn key(&self, id: &str) -> Result<Key, KeyFileError> {
        if let Some(key) = self.known(id) {
            return Ok(key);
        }
        self.present()?;
        self.known(id).ok_or_else(|| KeyFileError::Missing { path: self.path.clone(), id: id.to_owned() })
    }
}

fn read(path: &Path) -> Result<Vec<Key>, KeyFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bytes = unhex(line).ok_or_else(|| KeyFileError::Line { path: path.to_owned(), line: number })?;
        keys.push(Key::new(bytes));
    }
    if keys.is_empty() {
        return Err(KeyFileError::Empty { path: path.to_owned() });
    }
    Ok(keys)
}

/// Writes these keys to a file of its own beside this one, on the disk when it answers.
fn written(path: &Path, keys: &[Key]) -> Result<PathBuf, KeyFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", Key::draw()?.id));
    let fresh = path.with_file_name(name);
    let write = || {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh)?;
        let lines: String = keys.iter().map(|key| format!("{}\n", hex(&key.bytes))).collect();
        file.write_all(format!("{HEADING}{lines}").as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| KeyFileError::Io { path: fresh.clone(), source })?;
    Ok(fresh)
}

/// Holds off every other process that would change this file, until it is dropped. The lock is a file of its own, for the one
/// with the keys is replaced whole.
fn locked(path: &Path) -> Result<File, KeyFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let beside = path.with_file_name(name);
    let lock = || {
        // Whoever may read it may lock it: it may be another user's.
        let file = match File::open(&beside) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                File::options().write(true).create(true).truncate(false).open(&beside)?
            }
            other => other?,
        };
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|source| KeyFileError::Io { path: beside.clone(), source })
}

/// Whoever could read the file can read the one that takes its place: the hosts need not run as the user who rotates.
fn same_owner(path: &Path, fresh: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (old, new) = (std::fs::metadata(path)?, std::fs::metadata(fresh)?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            std::os::unix::fs::chown(fresh, Some(old.uid()), Some(old.gid()))?;
        }
        std::fs::set_permissions(fresh, old.permissions())?;
    }
    #[cfg(not(unix))]
    let _ = (path, fresh);
    Ok(())
}

/// Returns once the file's name is on the disk: nothing may be sealed under a key that a crash could still take away.
fn settle(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// What fails for want of a key may pass once the key is there.
fn transient(error: KeyFileError) -> PortError {
    PortError::transient(error)
}

impl Sealer for KeyFile {
    fn seal(&self, holder: SecretHolder, secret: &str) -> Result<String, PortError> {
        let key = self.present().map_err(transient)?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(PortError::transient)?;
        let holder = holder.to_string();
        let payload = Payload { msg: secret.as_bytes(), aad: holder.as_bytes() };
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| PortError::permanent("a secret that can't be sealed"))?;
        Ok(format!("{}.{}.{}", key.id, hex(&nonce), hex(&sealed)))
    }

    fn open(&self, holder: SecretHolder, sealed: &str) -> Result<String, PortError> {
        let strange = || PortError::permanent("a sealed secret that was changed, or is another row's");
        let mut parts = sealed.split('.');
        let (Some(id), Some(nonce), Some(sealed), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(strange());
        };
        let key = self.key(id).map_err(transient)?;
        let nonce: [u8; NONCE_BYTES] = unhex(nonce).ok_or_else(strange)?;
        let pairs = sealed.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().and_then(unhex::<1>));
        let bytes = pairs.map(|byte| byte.map(|[byte]| byte)).collect::<Option<Vec<u8>>>().ok_or_else(strange)?;
        let holder = holder.to_string();
        let payload = Payload { msg: &bytes, aad: holder.as_bytes() };
        let opened = key.cipher().decrypt(&XNonce::from(nonce), payload).map_err(|_| strange())?;
        String::from_utf8(opened).map_err(|_| strange())
    }

    fn is_present(&self, sealed: &str) -> Result<bool, PortError> {
        let key = self.present().map_err(transient)?;
        Ok(sealed.split('.').next() == Some(key.id.0.as_str()))
    }
}
