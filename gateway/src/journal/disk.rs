//! Where a batch is written: by io_uring, or by plain system calls where the kernel refuses it.
//!
//! **Call `begin` with one write at a time, then `poll` until it comes back.**
//!
//! Thread:      journal core
//! When wrong:  the write comes back with its error, and with what of it is on the disk: it can be begun again.

use std::io;
use std::os::unix::fs::FileExt;

use super::uring::UringDisk;
use super::write::{Done, Write};

/// The way to the disk.
#[derive(Debug)]
pub enum Disk {
    /// By io_uring: the journal core takes records out of rings meanwhile.
    Uring(Box<UringDisk>),
    /// By system calls, for which it waits.
    Plain(Option<Done>),
}

impl Disk {
    /// By io_uring; where that is refused, by system calls, and why.
    #[must_use]
    pub fn open() -> (Self, Option<io::Error>) {
        match UringDisk::new() {
            Ok(disk) => (Self::Uring(Box::new(disk)), None),
            // ENOSYS, EPERM: the kernel has none, or a policy forbids it. ENOMEM, EMFILE: no room for one.
            Err(error) => (Self::Plain(None), Some(error)),
        }
    }

    /// Begins a write. The one before has come back.
    pub fn begin(&mut self, write: Write) {
        match self {
            Self::Uring(disk) => disk.begin(write),
            Self::Plain(done) => *done = Some(write_now(write)),
        }
    }

    /// The write that is over, if one is.
    pub fn poll(&mut self) -> Option<Done> {
        match self {
            Self::Uring(disk) => disk.poll(),
            Self::Plain(done) => done.take(),
        }
    }

    /// Whether a write is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Uring(disk) => disk.is_busy(),
            Self::Plain(done) => done.is_some(),
        }
    }
}

fn write_now(mut write: Write) -> Done {
    let result = loop {
        let (rest, at) = write.rest();
        if rest.is_empty() {
            break Ok(());
        }
        match write.file.write_at(rest, at) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => write.written += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    let result = match result {
        Ok(()) if write.is_synced => write.file.sync_data(),
        other => other,
    };
    Done { write, result }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use super::*;

    fn disks() -> Vec<Disk> {
        let mut disks = vec![Disk::Plain(None)];
        match Disk::open() {
            (disk, None) => disks.push(disk),
            (_, Some(error)) => println!("SKIPPED: io_uring is refused: {error}"),
        }
        disks
    }

    fn wait(disk: &mut Disk) -> Done {
        loop {
            if let Some(done) = disk.poll() {
                return done;
            }
            std::thread::yield_now();
        }
    }

    fn write(file: &Arc<File>, bytes: &[u8], at: u64) -> Write {
        Write {
            file: Arc::clone(file),
            bytes: bytes.to_vec(),
            at,
            written: 0,
            is_synced: true,
        }
    }

    #[test]
    fn writes_go_where_they_belong_on_every_way() {
        for mut disk in disks() {
            let file = Arc::new(tempfile::tempfile().unwrap());
            let large = vec![7; 3 << 20];
            for (bytes, at) in [
                (&b"head"[..], 0),
                (&large, 4),
                (b"", 9),
                (b"tail", 4 + (3 << 20)),
            ] {
                disk.begin(write(&file, bytes, at));
                let done = wait(&mut disk);
                assert!(done.result.is_ok() && !disk.is_busy());
                assert_eq!(done.write.written, bytes.len());
            }
            let mut found = vec![0; 8 + (3 << 20)];
            file.read_exact_at(&mut found, 0).unwrap();
            assert_eq!(found, [b"head", &large[..], b"tail"].concat());
        }
    }

    #[test]
    fn full_disk_gives_the_write_back_on_every_way() {
        for mut disk in disks() {
            let full = File::options().write(true).open("/dev/full").unwrap();
            disk.begin(write(&Arc::new(full), b"anything", 0));
            let done = wait(&mut disk);
            let errno = done.result.unwrap_err().raw_os_error();
            assert_eq!((errno, done.write.written), (Some(libc::ENOSPC), 0));
            assert_eq!(done.write.bytes, b"anything");
        }
    }
}
