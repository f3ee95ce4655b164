//! Secrets at rest under the keys of a local file: [`KeyFile`].
//!
//! The file has one key per line, 64 hexadecimal digits each. The first key seals, all keys open. Empty lines and lines
//! that start with `#` are ignored. All hosts on one storage need the same file, shared or copied. A key's id is
//! derived from the key and prefixes each sealed secret, so that the key is found in any line.
//!
//! Secrets are sealed with XChaCha20-Poly1305 under a random nonce; the holder's name is authenticated with them.
//!
//! It does not protect against an attacker who reads both the storage and this file, so keep the file out of the
//! storage's backups. It is not a key service: the keys are in the process's memory.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serront_core::accounts::sealed::SecretHolder;
use serront_core::ports::{PortError, Sealer};
use serront_core::primitives::digest::{Digest256, hex, unhex};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Hexadecimal digits of a key's digest that form its id.
const ID_DIGITS: usize = 16;

/// The comment above the keys.
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
    /// A line is not a key.
    #[error("{path}: line {line} is no key of 64 hexadecimal digits")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
    /// The file has no key.
    #[error("{path}: there is no key in it")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system's random generator failed.
    #[error("the operating system's random generator failed: {0}")]
    Random(getrandom::Error),
    /// The key that everything was sealed under is no longer the first: nothing was removed.
    #[error("{path}: another key was added before {id} in the meantime")]
    Rotated {
        /// Which file.
        path: PathBuf,
        /// The key's id.
        id: KeyId,
    },
    /// The key that sealed a secret is not in the file.
    #[error("{path}: the key {id} is not in it")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// The key's id.
        id: String,
    },
}

/// The id of a key. It is not secret.
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
    /// The keys as last read.
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
    /// [`KeyFileError`] if the file can't be read, has an invalid line, or has no key.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeyFileError> {
        let path = path.into();
        let keys = read(&path)?;
        Ok(Self { path, keys: RwLock::new(keys) })
    }

    /// Creates the file with a first key, unless it exists. Only its owner may read it, from the first moment. Of
    /// several processes at the same time, one creates it.
    ///
    /// # Errors
    /// [`KeyFileError`] if it can't be written.
    pub fn create(path: &Path) -> Result<(), KeyFileError> {
        if path.exists() {
            return Ok(());
        }
        let fresh = written(path, &[Key::draw()?])?;
        // A hard link does not replace an existing file.
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

    /// The id of the key that seals at present.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file can't be read.
    pub fn first(&self) -> Result<KeyId, KeyFileError> {
        Ok(self.present()?.id)
    }

    /// Adds a new key before the others. It seals immediately, here and in every process that uses the file.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file can't be read or written; it is then unchanged.
    pub fn rotate(&self) -> Result<KeyId, KeyFileError> {
        let key = Key::draw()?;
        let id = key.id.clone();
        self.replace(|keys| {
            keys.insert(0, key);
            Ok(())
        })?;
        Ok(id)
    }

    /// Removes every key but the first, which must be this one, and answers the removed ids. Secrets sealed under them
    /// can no longer be opened, so reseal everything first.
    ///
    /// # Errors
    /// [`KeyFileError::Rotated`] if another key is now the first, [`KeyFileError`] if the file can't be read or
    /// written; it is then unchanged.
    pub fn forget_all_but(&self, first: &KeyId) -> Result<Vec<KeyId>, KeyFileError> {
        let forgotten = self.replace(|keys| {
            if keys.first().is_none_or(|key| key.id != *first) {
                return Err(KeyFileError::Rotated { path: self.path.clone(), id: first.clone() });
            }
            Ok(keys.split_off(1))
        })?;
        Ok(forgotten.into_iter().map(|key| key.id).collect())
    }

    /// Changes the keys under a lock, so that each process reads the changes of the one before.
    fn replace<T>(&self, change: impl FnOnce(&mut Vec<Key>) -> Result<T, KeyFileError>) -> Result<T, KeyFileError> {
        let failed = |source| KeyFileError::Io { path: self.path.clone(), source };
        // A symbolic link to the file stays a link.
        let path = std::fs::canonicalize(&self.path).map_err(failed)?;
        let _lock = locked(&path)?;
        let mut keys = read(&path)?;
        let done = change(&mut keys)?;
        let fresh = written(&path, &keys)?;
        let replaced =
            same_owner(&path, &fresh).and_then(|()| std::fs::rename(&fresh, &path)).and_then(|()| settle(&path));
        if let Err(source) = replaced {
            // The temporary file has keys. After the rename it no longer exists.
            let _ = std::fs::remove_file(&fresh);
            return Err(failed(source));
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(done)
    }

    /// The key that seals at present. Reads the file each time, because another process may have added a new first key;
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

    /// The key with this id. Reads the file again if the id is unknown, because another process may have added it.
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

/// Writes these keys to a temporary file in the same folder, and syncs it to disk.
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

/// Excludes every other process that would change this file, until it is dropped. The lock is a separate file, because
/// the file with the keys is replaced by a rename.
fn locked(path: &Path) -> Result<File, KeyFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let beside = path.with_file_name(name);
    let lock = || {
        // Read access is enough for the lock, because the file may belong to another user.
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

/// Keeps the file's permissions for its replacement, because the hosts may run as another user than the one who
/// rotates.
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

/// Syncs the file's name to disk: no secret may be sealed under a key that a crash could still remove.
fn settle(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A missing key is transient, because the key may be added to the file.
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
