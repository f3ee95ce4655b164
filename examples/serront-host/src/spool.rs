//! Collects incoming bodies on disk, so that they take little memory.
//!
//! A short body stays in memory; a longer one is written to a file without a name. When it is complete, it is read back as soon
//! as there is memory for it: all bodies that handlers work on share [`ROOM_BYTES`]. So neither many uploads nor slow ones make
//! the process grow, and a slow one reserves no memory that others wait for. All files together take at most [`DISK_BYTES`];
//! beyond that a growing body is refused.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::problem::Problem;

/// Most bytes of an incoming body in memory. Most JSON is shorter.
const HELD_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of all longer bodies in memory: four receipts at their bound, or a hundred usual ones. The stores of receipts make
/// one more copy, and a form makes two.
const ROOM_BYTES: usize = 24 * 1024 * 1024;
/// Most bytes of all files: four hundred receipts at their bound. The database may be on the same disk.
const DISK_BYTES: usize = 2 * 1024 * 1024 * 1024;
/// Longest wait for memory. Handlers take fractions of a second, so this is a queue of hundreds.
const ROOM_PATIENCE: Duration = Duration::from_secs(60);
/// Most files written or read at the same time. Each occupies a thread.
const FILES_AT_ONCE: usize = 8;

pub(crate) struct Spool {
    folder: PathBuf,
    room: Arc<Semaphore>,
    disk: Semaphore,
    files: Semaphore,
}

/// The memory reserved for one body; released on drop.
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Spool {
    pub(crate) fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            room: Arc::new(Semaphore::new(kibibytes(ROOM_BYTES))),
            disk: Semaphore::new(kibibytes(DISK_BYTES)),
            files: Semaphore::new(FILES_AT_ONCE),
        }
    }

    pub(crate) const fn begin(&self) -> Kept<'_> {
        Kept { spool: self, held: Vec::new(), file: None, disk: None, length: 0 }
    }

    /// Runs this on a thread for blocking work, so that waiting for the disk delays no other task.
    async fn on_disk<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = self.files.acquire().await.map_err(|_| Problem::internal("the spool is closed"))?;
        let done = tokio::task::spawn_blocking(act).await;
        match done {
            Ok(Ok(value)) => Ok(value),
            // Only the kind: a message may name the folder.
            Ok(Err(error)) => Err(Problem::internal(format!("a body could not be kept: {:?}", error.kind()))),
            Err(_) => Err(Problem::internal("a body could not be kept: a panic")),
        }
    }
}

/// The part of a body that has arrived.
pub(crate) struct Kept<'s> {
    spool: &'s Spool,
    held: Vec<u8>,
    file: Option<File>,
    /// KiB of disk reserved for the file.
    disk: Option<SemaphorePermit<'s>>,
    length: usize,
}

impl<'s> Kept<'s> {
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    pub(crate) async fn append(&mut self, data: Bytes) -> Result<(), Problem> {
        self.length = self.length.saturating_add(data.len());
        if self.file.is_none() && self.length <= HELD_BYTES_MAX {
            self.held.extend_from_slice(&data);
            return Ok(());
        }
        self.grow()?;
        let (file, folder, held) = (self.file.take(), self.spool.folder.clone(), std::mem::take(&mut self.held));
        let write = move || {
            let mut file = file.map_or_else(|| tempfile::tempfile_in(folder), Ok)?;
            file.write_all(&held)?;
            file.write_all(&data)?;
            Ok(file)
        };
        self.file = Some(self.spool.on_disk(write).await?);
        Ok(())
    }

    /// Reserves disk for the file's new length.
    fn grow(&mut self) -> Result<(), Problem> {
        let spool: &'s Spool = self.spool;
        let grown = kibibytes(self.length) - self.disk.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = spool.disk.try_acquire_many(u32::try_from(grown).unwrap_or(u32::MAX));
        let more = more.map_err(|_| Problem::busy("too many uploads at the moment; try again"))?;
        match &mut self.disk {
            Some(disk) => disk.merge(more),
            None => self.disk = Some(more),
        }
        Ok(())
    }

    /// The whole body in memory, with its reservation.
    pub(crate) async fn take(self) -> Result<(Vec<u8>, Option<Room>), Problem> {
        let Some(mut file) = self.file else { return Ok((self.held, None)) };
        let permits = u32::try_from(kibibytes(self.length)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.spool.room).acquire_many_owned(permits);
        let permit = match tokio::time::timeout(ROOM_PATIENCE, room).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Problem::internal("the spool is closed")),
            Err(_) => return Err(Problem::busy("too many uploads at the moment; try again")),
        };
        // Allocated here, since large allocations on many threads make each thread's heap grow.
        let mut bytes = Vec::with_capacity(self.length);
        let read = move || {
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Ok((self.spool.on_disk(read).await?, Some(Room { _permit: permit })))
    }
}

/// Rounds up.
const fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept<'s>(spool: &'s Spool, parts: &[&[u8]]) -> Kept<'s> {
        let mut kept = spool.begin();
        for part in parts {
            kept.append(Bytes::copy_from_slice(part)).await.unwrap();
        }
        kept
    }

    #[tokio::test]
    async fn what_was_kept_comes_back_whole_and_leaves_nothing_behind() {
        let folder = tempfile::TempDir::new().unwrap();
        let spool = Spool::in_folder(folder.path());
        let long = vec![7; 3 * HELD_BYTES_MAX];
        let (first, _) = long.split_at(HELD_BYTES_MAX);
        let cases: [&[&[u8]]; 5] = [&[], &[b"short"], &[first], &[first, b"x"], &[b"a", &long, b"", b"z"]];
        for parts in cases {
            let kept = kept(&spool, parts).await;
            assert_eq!((kept.len(), kept.file.is_some()), (parts.concat().len(), kept.len() > HELD_BYTES_MAX));
            assert_eq!(kept.take().await.unwrap().0, parts.concat());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(spool.room.available_permits(), kibibytes(ROOM_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_room_and_is_refused_when_there_is_none() {
        let spool = Spool::in_folder(std::env::temp_dir());
        let long = vec![7; HELD_BYTES_MAX + 1];
        let others =
            Arc::clone(&spool.room).acquire_many_owned(kibibytes(ROOM_BYTES).try_into().unwrap()).await.unwrap();
        let refused = kept(&spool, &[&long]).await.take().await.err().unwrap();
        assert_eq!(refused.code, serront_core::primitives::rejection::Code::Busy);

        let waiting = kept(&spool, &[&long]).await;
        let ((), taken) = tokio::join!(async { drop(others) }, waiting.take());
        let (bytes, room) = taken.unwrap();
        assert_eq!(bytes, long);
        assert_eq!(spool.room.available_permits(), kibibytes(ROOM_BYTES) - kibibytes(long.len()));
        drop(room);
        assert_eq!(spool.room.available_permits(), kibibytes(ROOM_BYTES));
    }

    #[tokio::test]
    async fn a_body_that_finds_no_disk_is_refused_and_gives_back_what_it_had() {
        let spool = Spool::in_folder(std::env::temp_dir());
        let others = spool.disk.acquire_many(kibibytes(DISK_BYTES - HELD_BYTES_MAX).try_into().unwrap()).await.unwrap();
        let mut body = kept(&spool, &[&[7; HELD_BYTES_MAX]]).await;
        let refused = body.append(Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(refused.code, serront_core::primitives::rejection::Code::Busy);
        drop((others, body));

        let body = kept(&spool, &[&[7; HELD_BYTES_MAX], b"x", &[7; 1023]]).await;
        assert_eq!(spool.disk.available_permits(), kibibytes(DISK_BYTES) - 17);
        body.take().await.unwrap();
        assert_eq!(spool.disk.available_permits(), kibibytes(DISK_BYTES));
    }

    #[tokio::test]
    async fn a_folder_that_can_not_be_written_to_is_our_failure() {
        let spool = Spool::in_folder("/nonexistent");
        let mut kept = spool.begin();
        let refused = kept.append(Bytes::from(vec![0; HELD_BYTES_MAX + 1])).await.unwrap_err();
        assert_eq!(refused.code, serront_core::primitives::rejection::Code::InternalError);
    }
}
