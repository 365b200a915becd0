//! A file for what is read by its name: one for each thread, written again for each input.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static FILES: AtomicU64 = AtomicU64::new(0);

/// Removed when its thread ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

thread_local! {
    static SCRATCH: Scratch = {
        // In memory where the host has a place for that.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let (process, file) = (std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
        Scratch(folder.join(format!("tickgate-boundary-{process}-{file}")))
    };
}

/// Lets `look` look at a file of these bytes.
pub(crate) fn with_file<R>(bytes: &[u8], look: impl FnOnce(&Path) -> R) -> R {
    SCRATCH.with(|Scratch(path)| {
        std::fs::write(path, bytes).expect("a place for a file");
        look(path)
    })
}
