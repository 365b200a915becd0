//! One machine: booted, bounded in time, and what it reported.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::process::Process;
use rt::clock::monotonic_ns;

use crate::cards::{Card, Kind, QUEUES};
use crate::image;
use crate::links::Links;
use crate::parts::Parts;
use crate::report::Report;

/// Megabytes of a machine: its root lies in memory, and the gateway locks its books.
const MEMORY_MB: u32 = 2048;
/// XDP wants no receive offloads, and a segment that two of the machine's cards hand on has its checksum.
const NO_OFFLOADS: &str = "csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,\
                           host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off";

/// A machine is up after four seconds where the emulator has a CPU to itself. One that takes longer than this would not end its
/// proof in the time that it is given.
const UP_AT_MOST_NS: u64 = 60_000_000_000;
/// What its first process says when it is up (`init`).
const UP: &str = "init: up after ";

/// What came of a machine.
#[derive(Debug)]
pub enum Outcome {
    /// It proved what it was asked to, and reported; whether that is well is the report's to say.
    Reported(Report),
    /// It was not up in time: this host has too little of it. Nothing is proven.
    NotUp(String),
}

/// Boots a machine that proves and powers off, and returns its report. Everything is gone afterwards.
///
/// # Errors
/// It ended without one, or took longer than `at_most` once it was up; with what its console said.
pub fn run(
    parts: &Parts,
    arguments: &str,
    at_most: Duration,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let folder = tempfile::Builder::new()
        .prefix("tickgate-zero-copy-")
        .tempdir()?;
    let folder = folder.path();
    let image = image::build(parts, folder, arguments)?;
    let links = Links::lay()?;
    let [console, report] = ["console", "report.json"].map(|name| folder.join(name));
    let mut command = links.command(&parts.qemu);
    command.env("LD_LIBRARY_PATH", parts.libraries());
    for firmware in parts.firmware() {
        command.arg("-L").arg(firmware);
    }
    command
        .args(["-accel", "tcg", "-cpu", "max", "-smp", "2"])
        .args(["-m", &MEMORY_MB.to_string()])
        .args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-nodefaults",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(&parts.kernel)
        .arg("-initrd")
        .arg(&image)
        .args([
            "-append",
            "console=ttyS0 quiet panic=-1 no_timer_check nosoftlockup",
        ]);
    for serial in [&console, &report] {
        command.args(["-serial", &format!("file:{}", serial.display())]);
    }
    for (number, card) in Card::all().enumerate() {
        command.args(device(number, card));
    }
    let mut machine = Process::start("the machine", command)?;
    if !comes_up(&mut machine, &console, stop)? {
        let seconds = UP_AT_MOST_NS / 1_000_000_000;
        let why =
            format!("the machine was not up after {seconds} s: this host is short of CPU time");
        return Ok(Outcome::NotUp(why));
    }
    let ended = machine.wait(at_most, stop);
    let said = || format!("{}\n{}", machine.said.join("\n"), tail(&shown(&console)));
    match ended {
        Ok(true) => {}
        Ok(false) => bail!("the machine failed: {}", said()),
        Err(error) => return Err(error.context(said())),
    }
    let text = std::fs::read_to_string(&report).context("the machine's report")?;
    let report = serde_json::from_str(&text);
    let report = report.with_context(|| format!("the machine reported nothing: {}", said()))?;
    Ok(Outcome::Reported(report))
}

/// Waits until it is up, or has ended; `false`: neither in time.
fn comes_up(machine: &mut Process, console: &Path, stop: &AtomicBool) -> Result<bool> {
    let until = monotonic_ns() + UP_AT_MOST_NS;
    while monotonic_ns() < until {
        if stop.load(Ordering::SeqCst) {
            bail!("stopped");
        }
        if machine.has_ended()? || shown(console).contains(UP) {
            return Ok(true);
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(false)
}

/// What a console has shown.
fn shown(console: &Path) -> String {
    let shown = std::fs::read(console).unwrap_or_default();
    String::from_utf8_lossy(&shown).into_owned()
}

/// A card and its tap, as QEMU is told them.
fn device(number: usize, card: Card) -> [String; 4] {
    let platform = match card.kind {
        Kind::ZeroCopy => "on",
        // The driver's buffers are no DMA mappings then, and zero-copy asks for those.
        Kind::Copy => "off",
    };
    let vectors = 2 * QUEUES + 2;
    [
        "-netdev".to_owned(),
        format!(
            "tap,id=n{number},ifname={},script=no,downscript=no,vhost=off,queues={QUEUES}",
            card.tap()
        ),
        "-device".to_owned(),
        format!(
            "virtio-net-pci,netdev=n{number},mac={},mq=on,vectors={vectors},romfile=,disable-legacy=on,\
             iommu_platform={platform},{NO_OFFLOADS}",
            card.mac_text()
        ),
    ]
}

/// The end of what a console has shown.
fn tail(console: &str) -> String {
    const LINES: usize = 60;
    let lines: Vec<&str> = console.lines().collect();
    lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default()
        .join("\n")
}

/// What a machine is made of, where one can be run.
///
/// # Errors
/// Why none can be.
pub fn parts(unpacked: &Path) -> Result<Parts, String> {
    lacks().map_or_else(|| Parts::find(unpacked), |why| Err(why.to_owned()))
}

/// Why no machine can be run here; `None`: it can.
fn lacks() -> Option<&'static str> {
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t0"));
    if !is_root {
        return Some("needs root for a network namespace");
    }
    (!cfg!(target_arch = "x86_64")).then_some("the machine is x86-64, as its programs must be")
}
