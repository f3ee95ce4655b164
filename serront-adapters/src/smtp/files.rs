//! Mail as files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, process};

use async_trait::async_trait;
use serront_core::orders::mail::MailMessage;
use serront_core::ports::{Mailer, PortError};
use serront_core::primitives::ids::MailId;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::failure::{MailFailure, MailSetupError};
use super::message::{self, Sender};

/// Well below the port's limit of 20 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// More than the writers of one mail, and the files that crashes may leave of it.
const TEMPORARY_NAMES_MAX: u32 = 1_000;

/// Writes each mail to `<mail id>.eml` in a folder. An existing file is left unchanged.
#[derive(Clone)]
pub struct MailFiles {
    folder: PathBuf,
    sender: Sender,
}

impl fmt::Debug for MailFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MailFiles(…)")
    }
}

impl MailFiles {
    /// Writes mails from this sender (`Name <address>`) into this folder, which is created if it is missing.
    ///
    /// # Errors
    /// [`MailSetupError`] if the sender is invalid or the folder can't be created.
    pub fn new(folder: impl Into<PathBuf>, sender: &str) -> Result<Self, MailSetupError> {
        let folder = folder.into();
        let sender = Sender::parse(sender)?;
        fs::create_dir_all(&folder).map_err(MailSetupError::Folder)?;
        Ok(Self { folder, sender })
    }
}

#[async_trait]
impl Mailer for MailFiles {
    async fn send(&self, message: &MailMessage) -> Result<(), PortError> {
        let bytes = message::build(&self.sender, message)?.formatted();
        let (folder, id) = (self.folder.clone(), message.id);
        let written = spawn_blocking(move || write(&folder, id, &bytes));
        match timeout(TIMEOUT, written).await {
            Ok(Ok(result)) => Ok(result.map_err(MailFailure::Unwritten)?),
            // The blocking call can't be stopped, and may still succeed.
            Ok(Err(_)) | Err(_) => Err(MailFailure::WriteTimedOut.into()),
        }
    }
}

/// Writes a file atomically, and durably once this returns.
fn write(folder: &Path, id: MailId, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(format!("{id}.eml"));
    if !path.try_exists()? {
        let (temporary, mut file) = create_temporary(folder, id)?;
        let renamed = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = renamed {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
    }
    sync_folder(folder)
}

/// A new file that no other writer uses. Hidden and without `.eml`, so that it does not look like a mail.
fn create_temporary(folder: &Path, id: MailId) -> io::Result<(PathBuf, File)> {
    for number in 0..TEMPORARY_NAMES_MAX {
        let path = folder.join(format!(".{id}.{}.{number}", process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        // Other users of this machine must not read a buyer's mail.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// On other systems a folder can't be opened as a file; the rename's durability depends on the system.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
