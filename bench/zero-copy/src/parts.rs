//! What a machine is made of, unpacked from Debian packages and not installed (`deploy/unpack`): emulator, kernel, busybox.

use std::path::{Path, PathBuf};

/// Where everything lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    folder: PathBuf,
    /// The emulator's program.
    pub qemu: PathBuf,
    /// A busybox that needs no library.
    pub busybox: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The kernel's version, as its folder of modules is called.
    pub version: String,
}

/// Linux has receive and send in virtio-net's zero-copy from this version on, major and minor.
pub const VERSION_MIN: [u32; 2] = [6, 18];

impl Parts {
    /// Finds them below a folder.
    ///
    /// # Errors
    /// What is missing.
    pub fn find(folder: &Path) -> Result<Self, String> {
        // Tools run in other folders.
        let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
        let folder = folder.as_path();
        let file = |names: &[&str], package: &str| {
            let found = names
                .iter()
                .map(|name| folder.join(name))
                .find(|path| path.is_file());
            found.ok_or_else(|| format!("{package} is not unpacked below {}", folder.display()))
        };
        let qemu = file(&["usr/bin/qemu-system-x86_64"], "qemu-system-x86")?;
        let busybox = file(&["bin/busybox", "usr/bin/busybox"], "busybox-static")?;
        let newest = kernels(folder).into_iter().next_back();
        let (version, kernel) = newest.ok_or_else(|| {
            let [major, minor] = VERSION_MIN;
            let folder = folder.display();
            format!("no kernel from {major}.{minor} on is unpacked below {folder}")
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            qemu,
            busybox,
            kernel,
            version,
        })
    }

    /// Folders in which the emulator finds firmware.
    #[must_use]
    pub fn firmware(&self) -> [PathBuf; 2] {
        ["usr/share/qemu", "usr/share/seabios"].map(|name| self.folder.join(name))
    }

    /// Folders of the emulator's libraries, as the loader is told them.
    #[must_use]
    pub fn libraries(&self) -> String {
        let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
        folders
            .map(|name| self.folder.join(name).display().to_string())
            .join(":")
    }

    /// The kernel's module of this name, `.ko` or packed; `None`: it has none.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<PathBuf> {
        MODULES.iter().find_map(|modules| {
            let folder = self.folder.join(modules).join(&self.version).join("kernel");
            ["net/core", "drivers/net"].iter().find_map(|place| {
                ["ko", "ko.xz"].iter().find_map(|end| {
                    let path = folder.join(place).join(format!("{name}.{end}"));
                    path.is_file().then_some(path)
                })
            })
        })
    }
}

/// Where kernels' modules lie, in a folder for each version.
const MODULES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// Kernels that are new enough, by version, the newest last. They lie in `boot`, or beside their modules.
fn kernels(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for modules in MODULES {
        let entries = std::fs::read_dir(folder.join(modules))
            .into_iter()
            .flatten();
        for entry in entries.flatten() {
            let version = entry.file_name().to_string_lossy().into_owned();
            let places = [
                folder.join(format!("boot/vmlinuz-{version}")),
                entry.path().join("vmlinuz"),
                entry.path().join("vmlinuz.unsigned"),
            ];
            let kernel = places.into_iter().find(|path| path.is_file());
            let is_new = numbers(&version).get(..2) >= Some(&VERSION_MIN[..]);
            if let Some(kernel) = kernel.filter(|_| is_new) {
                found.push((version, kernel));
            }
        }
    }
    found.sort_by_key(|(version, _)| numbers(version));
    found
}

/// The numbers that a version begins with.
fn numbers(version: &str) -> Vec<u32> {
    let dotted = version
        .split(|c: char| c != '.' && !c.is_ascii_digit())
        .next();
    dotted
        .unwrap_or_default()
        .split('.')
        .map_while(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_kernel_that_has_it_is_taken_and_an_old_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let said = Parts::find(folder.path()).unwrap_err();
        assert!(
            said.starts_with("qemu-system-x86 is not unpacked"),
            "{said}"
        );
        let add = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        let versions = || -> Vec<String> {
            let found = kernels(folder.path()).into_iter();
            found.map(|(version, _)| version).collect()
        };
        add("boot/vmlinuz-6.1.0-30-amd64");
        add("lib/modules/6.1.0-30-amd64/kernel/drivers/net/virtio_net.ko");
        add("usr/lib/modules/7.0.9+deb13-cloud-amd64/modules.order");
        assert!(versions().is_empty());
        add("boot/vmlinuz-6.18.15+deb13-cloud-amd64");
        add("usr/lib/modules/6.18.15+deb13-cloud-amd64/modules.order");
        add("usr/lib/modules/6.18.9+deb13-cloud-amd64/vmlinuz");
        let expected = ["6.18.9+deb13-cloud-amd64", "6.18.15+deb13-cloud-amd64"];
        assert_eq!(versions(), expected);
        add("usr/lib/modules/7.0.9+deb13-cloud-amd64/vmlinuz.unsigned");
        assert_eq!(versions().last().unwrap(), "7.0.9+deb13-cloud-amd64");
    }
}
