//! The accounts' messages on disk, so that a restarted exchange still resumes.
//!
//! ```text
//!  <store>/<session>/<account>.soup     the messages
//!  <store>/<session>/feed               how often the exchange was started: the feed's session ends in it
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use crate::exchange::Exchange;
use crate::options::{Options, Sync};
use crate::store::Store;

/// Open files by account; none, if messages are not kept on disk.
#[derive(Debug, Default)]
pub(super) struct Files {
    folder: Option<PathBuf>,
    files: BTreeMap<String, File>,
    is_synced: bool,
}

impl Files {
    /// Opens the folder and reads what an earlier run left.
    pub(super) fn open(options: &Options) -> Result<(Self, Vec<(String, Store)>), String> {
        let Some(folder) = options
            .store
            .as_ref()
            .map(|folder| folder.join(&options.session))
        else {
            return Ok((Self::default(), Vec::new()));
        };
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let (mut files, mut stores) = (BTreeMap::new(), Vec::new());
        for name in options.account.keys() {
            let path = folder.join(format!("{name}.soup"));
            let told = |error| format!("{}: {error}", path.display());
            let bytes = if path.exists() {
                fs::read(&path).map_err(told)?
            } else {
                Vec::new()
            };
            let (store, whole) = Store::restore(options.store_max, &bytes);
            let file = File::options()
                .append(true)
                .create(true)
                .open(&path)
                .map_err(told)?;
            // Half a message that a crash left; nobody has seen it.
            file.set_len(whole as u64).map_err(told)?;
            files.insert(name.clone(), file);
            if store.count() > 0 {
                log::info!(
                    "account {name}: {} messages of an earlier run",
                    store.count()
                );
                stores.push((name.clone(), store));
            }
        }
        let is_synced = options.sync == Sync::Always;
        Ok((
            Self {
                folder: Some(folder),
                files,
                is_synced,
            },
            stores,
        ))
    }

    /// The feed's session of this run: the configured name, and from the second start of a day on with the
    /// number of the start at its end, as sequence numbers begin anew.
    pub(super) fn feed_session(&mut self, options: &Options) -> Result<String, String> {
        let name = options.feed.as_ref().map_or("", |feed| &feed.session);
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
    pub(super) fn save(&mut self, exchange: &mut Exchange) -> Result<(), String> {
        if self.folder.is_none() {
            return exchange.save(|_, _| Ok(()));
        }
        exchange.save(|account, bytes| {
            let Some(file) = self.files.get_mut(account) else {
                return Ok(());
            };
            let told = |error| format!("keeping messages of account {account}: {error}");
            file.write_all(bytes).map_err(told)?;
            if self.is_synced {
                file.sync_data().map_err(told)
            } else {
                Ok(())
            }
        })
    }
}
