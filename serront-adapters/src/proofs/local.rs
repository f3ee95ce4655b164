//! The local folder.

use std::fs;
use std::path::Path;

use object_store::local::LocalFileSystem;

/// The folder for receipts can't be used. The source says why.
#[derive(Debug, thiserror::Error)]
#[error("the folder for receipts can't be used")]
pub struct FolderUnusable(#[source] Box<dyn std::error::Error + Send + Sync>);

pub(super) fn open(folder: &Path) -> Result<LocalFileSystem, FolderUnusable> {
    fs::create_dir_all(folder).map_err(|error| FolderUnusable(error.into()))?;
    sync_entry(folder);
    // Off by default in `object_store`; without it an acknowledged receipt would not survive a power failure.
    LocalFileSystem::new_with_prefix(folder)
        .map(|store| store.with_fsync(true))
        .map_err(|error| FolderUnusable(error.into()))
}

/// Makes the folder's directory entry durable, as far as possible: on Windows folders can't be opened, and the parent
/// may be inaccessible.
fn sync_entry(folder: &Path) {
    let _ = fs::canonicalize(folder).and_then(|folder| match folder.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    });
}
