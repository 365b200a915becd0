//! The accounts' messages on disk, so that a restarted exchange still resumes.
//!
//! ```text
//!  <store>/<session>/<account>.soup     the messages
//!  <store>/<session>/feed               how often the exchange was started: the feed's session ends in it
//! ```
//!
//! When full:   an account whose answers find no room is cut off by the exchange ([`Exchange::save`]); it is
//!              tried again every second, and what could not be kept comes back then.
//! When wrong:  a file that does not add up keeps the exchange from starting: its clients traded on what
//!              was there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use super::Options;
use crate::exchange::Exchange;
use crate::store::Store;

/// How long an account whose file took nothing is left alone.
const RETRY_NS: u64 = 1_000_000_000;

/// Open files by account; none, if messages are not kept on disk.
#[derive(Debug, Default)]
pub(super) struct Files {
    folder: Option<PathBuf>,
    files: BTreeMap<String, Messages>,
    is_synced: bool,
}

/// One account's file.
#[derive(Debug)]
struct Messages {
    file: File,
    /// Bytes of whole records.
    whole_bytes: u64,
    /// It took nothing: when it is tried again.
    retry_ns: Option<u64>,
}

impl Files {
    /// Opens the folder and reads what an earlier run left.
    pub(super) fn open(options: &Options) -> Result<(Self, Vec<(String, Store)>), String> {
        let Some(folder) = options
            .store
            .as_ref()
            .map(|folder| folder.join(&options.exchange.session))
        else {
            return Ok((Self::default(), Vec::new()));
        };
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (mut files, mut stores) = (BTreeMap::new(), Vec::new());
        for name in options.exchange.accounts.keys() {
            let path = folder.join(format!("{name}.soup"));
            let told = |error| format!("{}: {error}", path.display());
            let bytes = if path.exists() {
                fs::read(&path).map_err(told)?
            } else {
                Vec::new()
            };
            let back = Store::restore(options.exchange.store_max, &bytes).map_err(|damage| {
                format!(
                    "{}: {damage}; put a sound copy in its place, or move it away: the account then \
                     begins anew, and its clients must too",
                    path.display()
                )
            })?;
            let file = File::options()
                .append(true)
                .create(true)
                .open(&path)
                .map_err(told)?;
            let (store, whole_bytes) = (back.store, back.whole_bytes as u64);
            if back.torn_bytes > 0 {
                // Nobody has seen them: what is not whole in the file is not sent.
                log::warn!(
                    "account {name}: {} bytes of an unfinished record are cut off",
                    back.torn_bytes
                );
                file.set_len(whole_bytes).map_err(told)?;
            }
            let messages = Messages {
                file,
                whole_bytes,
                retry_ns: None,
            };
            files.insert(name.clone(), messages);
            if store.count() > 0 {
                log::info!(
                    "account {name}: {} messages of an earlier run",
                    store.count()
                );
            }
            // Also one without a message: its file may have its head already.
            stores.push((name.clone(), store));
        }
        Ok((
            Self {
                folder: Some(folder),
                files,
                is_synced: options.is_synced,
            },
            stores,
        ))
    }

    /// The feed's session of this run: the configured name, and from the second start of a day on with the
    /// number of the start at its end, as sequence numbers begin anew.
    pub(super) fn feed_session(&mut self, options: &Options) -> Result<String, String> {
        let name = options
            .exchange
            .feed
            .as_ref()
            .map_or("", |feed| &feed.session);
        let Some(folder) = &self.folder else {
            return Ok(name.to_owned());
        };
        let path = folder.join("feed");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let starts = text.trim().parse::<u32>().unwrap_or(0) + 1;
        fs::write(&path, format!("{starts}\n"))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if starts == 1 {
            return Ok(name.to_owned());
        }
        let number = format!("{starts}");
        let keep = 10_usize.saturating_sub(number.len()).min(name.len());
        Ok(format!("{}{number}", name.get(..keep).unwrap_or_default()))
    }

    /// Removes everything: a fault.
    pub(super) fn forget(&self) {
        if let Some(folder) = &self.folder {
            // What is left of it is found at the next start.
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// Appends what is new.
    ///
    /// # Errors
    /// An account's answers could not be kept; the others' were.
    pub(super) fn save(&mut self, exchange: &mut Exchange, now_ns: u64) -> Result<(), Unkept> {
        let is_synced = self.is_synced;
        exchange.save(|account, bytes| {
            let Some(messages) = self.files.get_mut(account) else {
                return Ok(());
            };
            if messages.retry_ns.is_some_and(|at| now_ns < at) {
                return Err(Unkept);
            }
            let was_failing = messages.retry_ns.is_some();
            if let Err(error) = messages.append(bytes, is_synced) {
                if !was_failing {
                    log::error!(
                        "account {account}: its answers cannot be kept: {error}; its session ends and its \
                         orders are cancelled"
                    );
                }
                messages.retry_ns = Some(now_ns + RETRY_NS);
                return Err(Unkept);
            }
            if messages.retry_ns.take().is_some() {
                log::info!("account {account}: its answers are kept again");
            }
            Ok(())
        })
    }
}

/// Answers could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unkept;

impl Messages {
    /// ENOSPC, EDQUOT and EFBIG are a disk or file that is full, EIO one that is broken.
    fn append(&mut self, bytes: &[u8], is_synced: bool) -> std::io::Result<()> {
        if self.retry_ns.is_some() {
            // What was written of it the last time must not stand before what is written now.
            self.file.set_len(self.whole_bytes)?;
        }
        self.file.write_all(bytes)?;
        if is_synced {
            self.file.sync_data()?;
        }
        self.whole_bytes += bytes.len() as u64;
        Ok(())
    }
}
