//! The machine's root: an initramfs of busybox, the kernel's modules, this project's programs and their libraries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use lab::process::sibling;

use crate::parts::Parts;

/// What runs inside, of this project.
const PROGRAMS: [&str; 4] = [
    "tickgate",
    "tickgate-sim",
    "tickgate-lab",
    "tickgate-zero-copy",
];
/// The cards' driver, and what it needs, in the order in which they are loaded.
const MODULES: [&str; 3] = ["failover", "net_failover", "virtio_net"];
/// The exchange's time zone, by which the gateway tells trading hours (Debian's tzdata).
const ZONE: &str = "/usr/share/zoneinfo/America/New_York";
/// Where `ip` may lie.
const IP: [&str; 3] = ["/bin/ip", "/sbin/ip", "/usr/sbin/ip"];

/// Builds it as `initramfs` in a folder; `arguments` is what the proof inside is told.
///
/// # Errors
/// A program is not built, or what a tool says.
pub fn build(parts: &Parts, folder: &Path, arguments: &str) -> Result<PathBuf> {
    let root = folder.join("root");
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin)?;
    std::fs::create_dir_all(root.join("modules"))?;
    copy(&parts.busybox, &bin.join("busybox"))?;
    let mut programs = Vec::new();
    for name in PROGRAMS {
        let from = sibling(name)?;
        strip(&from, &bin.join(name))?;
        programs.push(from);
    }
    let ip = IP.iter().map(PathBuf::from).find(|path| path.is_file());
    let ip = ip.context("there is no ip: Debian's iproute2")?;
    copy(&ip, &bin.join("ip"))?;
    programs.push(ip);
    for library in libraries(&programs)? {
        let inside = library.strip_prefix("/").unwrap_or(&library);
        copy(&library, &root.join(inside))?;
    }
    let zone = Path::new(ZONE);
    copy(zone, &root.join(zone.strip_prefix("/").unwrap_or(zone)))?;
    for name in MODULES {
        if let Some(module) = parts.module(name) {
            unpack(
                parts,
                &module,
                &root.join("modules").join(format!("{name}.ko")),
            )?;
        }
    }
    std::fs::write(root.join("arguments"), arguments)?;
    let init = root.join("init");
    std::fs::write(&init, include_str!("init"))?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755))?;
    let image = folder.join("initramfs");
    let script = format!(
        "cd {root:?} && {busybox:?} find . | {busybox:?} cpio -o -H newc >{image:?}",
        busybox = parts.busybox
    );
    output(Command::new("sh").args(["-c", &script]))?;
    Ok(image)
}

/// Without symbols, or whole where nothing can take them off.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let stripped = Command::new("strip").arg("-o").arg(to).arg(from).status();
    if stripped.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

fn unpack(parts: &Parts, module: &Path, to: &Path) -> Result<()> {
    if module.extension().is_some_and(|end| end == "ko") {
        return copy(module, to);
    }
    let bytes = output(Command::new(&parts.busybox).arg("xzcat").arg(module))?;
    std::fs::write(to, bytes)?;
    Ok(())
}

/// Every library that the loader finds for these programs, and the loader itself.
fn libraries(programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for program in programs {
        let said = output(Command::new("ldd").arg(program))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let words = said.split_ascii_whitespace();
        all.extend(
            words
                .filter(|word| word.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    Ok(all)
}

/// What a command wrote, which must go well.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}
