//! A batch on its way to a file by io_uring, so that the journal core empties rings meanwhile.
//!
//! Thread:      journal core
//! Invariants:  one operation is under way at a time; its bytes and its file are held here until its completion is
//!              read. Dropped before that, they are never freed: the kernel may still read them.
//! System calls: `io_uring_enter`: to submit, for each operation; completions are read from memory.
//! When wrong:  what the kernel answers ends the write: ENOSPC, EDQUOT, EFBIG: no room; EIO and others: the device.

#![allow(
    unsafe_code,
    reason = "io_uring submissions name memory that the kernel reads"
)]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, squeue, types};

use super::write::{Done, Write};

/// One operation at a time; the kernel wants a power of two.
const RING_ENTRIES: u32 = 2;

/// The way to a file by io_uring.
pub struct UringDisk {
    ring: IoUring,
    under_way: Option<Write>,
    /// The write is done, and the device is asked to keep it.
    is_syncing: bool,
    /// A failure that has no completion to tell it.
    failed: Option<io::Error>,
}

impl std::fmt::Debug for UringDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UringDisk")
            .field("under_way", &self.under_way.is_some())
            .finish_non_exhaustive()
    }
}

impl UringDisk {
    /// Makes the ring.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(RING_ENTRIES)?,
            under_way: None,
            is_syncing: false,
            failed: None,
        })
    }

    /// Whether a write is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins a write. The one before has come back.
    pub fn begin(&mut self, write: Write) {
        debug_assert!(self.under_way.is_none(), "one write at a time");
        self.under_way = Some(write);
        self.go_on();
    }

    /// The write that is over, if one is.
    pub fn poll(&mut self) -> Option<Done> {
        if let Some(error) = self.failed.take() {
            return self.end(Err(error));
        }
        let completion = self.ring.completion().next()?;
        match usize::try_from(completion.result()) {
            Err(_) => {
                let errno = -completion.result();
                if matches!(errno, libc::EINTR | libc::EAGAIN) {
                    self.go_on();
                    return None;
                }
                self.end(Err(io::Error::from_raw_os_error(errno)))
            }
            Ok(_) if self.is_syncing => self.end(Ok(())),
            Ok(len) => {
                let write = self.under_way.as_mut()?;
                if len == 0 && !write.rest().0.is_empty() {
                    return self.end(Err(io::ErrorKind::WriteZero.into()));
                }
                write.written += len;
                if write.rest().0.is_empty() && !write.is_synced {
                    return self.end(Ok(()));
                }
                self.go_on();
                None
            }
        }
    }

    /// Submits what comes next of the write: the rest of its bytes, then what keeps them.
    fn go_on(&mut self) {
        let Some(write) = &self.under_way else { return };
        let file = types::Fd(write.file.as_raw_fd());
        let (rest, at) = write.rest();
        self.is_syncing = rest.is_empty();
        let entry = if self.is_syncing {
            let flags = types::FsyncFlags::DATASYNC;
            opcode::Fsync::new(file).flags(flags).build()
        } else {
            let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            opcode::Write::new(file, rest.as_ptr(), len)
                .offset(at)
                .build()
        };
        if let Err(error) = self.submit(&entry) {
            self.failed = Some(error);
        }
    }

    fn submit(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the entry names bytes and a file of `under_way`, which is kept until the completion has been read,
        // and is leaked if this is dropped before.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| io::Error::from_raw_os_error(libc::ENOBUFS))?;
        loop {
            match self.ring.submit() {
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                // EAGAIN, EBUSY: no memory for now. The entry stays, and must not be submitted later, when the bytes
                // that it names are gone: a new ring forgets it.
                Err(error) => {
                    self.ring = IoUring::new(RING_ENTRIES)?;
                    return Err(error);
                }
            }
        }
    }

    fn end(&mut self, result: io::Result<()>) -> Option<Done> {
        let write = self.under_way.take()?;
        self.is_syncing = false;
        Some(Done { write, result })
    }
}

impl Drop for UringDisk {
    fn drop(&mut self) {
        std::mem::forget(self.under_way.take());
    }
}
