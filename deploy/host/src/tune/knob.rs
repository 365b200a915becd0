//! One thing that can be set while a host runs, and how it is read and turned.
//!
//! In a copied tree a knob does what the kernel would: a choice moves its brackets, a swap area leaves its table, a card's answer
//! is changed where it is kept.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

use crate::asked::{Asked, KEPT};
use crate::{Card, Coalescing, Tree, kernel};

/// What can be turned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// A file that says its value.
    File(String),
    /// A file that lists what there is, and has the chosen word in brackets.
    Choice(String),
    /// A swap area.
    Swap(String),
    /// A card joins frames.
    Lro(String),
    /// The kernel joins frames of an interface.
    Gro(String),
    /// How long a card holds interrupts back.
    Coalescing(String),
}

impl Knob {
    /// Where it stands; `None`: it is not there.
    #[must_use]
    pub fn read(&self, tree: &Tree) -> Option<Value> {
        match self {
            Self::File(path) => Some(Value::Text(raw(tree, path)?)),
            Self::Choice(path) => {
                let text = raw(tree, path)?;
                let (_, rest) = text.split_once('[')?;
                let (word, _) = rest.split_once(']')?;
                Some(Value::Text(word.to_owned()))
            }
            Self::Swap(device) => {
                let table = raw(tree, SWAPS)?;
                let mut lines = table.lines().skip(1);
                let line = lines.find(|line| device_of(line) == Some(device.as_str()));
                Some(line.map_or(Value::Off, |line| Value::Text(line.to_owned())))
            }
            Self::Lro(name) => card(tree, name).lro.map(Value::switch),
            Self::Gro(name) => card(tree, name).gro.map(Value::switch),
            Self::Coalescing(name) => card(tree, name).coalescing.map(Value::Waits),
        }
    }

    /// Turns it.
    ///
    /// # Errors
    /// What the kernel says: `EIO` of an interrupt that it manages itself, `EOPNOTSUPP` of a driver that cannot.
    pub(super) fn turn(&self, tree: &Tree, to: &Value) -> io::Result<()> {
        match (self, to) {
            (Self::File(path), Value::Text(text)) => std::fs::write(tree.path(path), text),
            (Self::Choice(path), Value::Text(word)) => choose(tree, path, word),
            (Self::Swap(device), _) => swap(tree, device, to),
            (Self::Lro(name), _) if tree.is_live() => kernel::set_lro(name, to.is_on()),
            (Self::Gro(name), _) if tree.is_live() => kernel::set_gro(name, to.is_on()),
            (Self::Coalescing(name), Value::Waits(it)) if tree.is_live() => {
                kernel::set_coalescing(name, *it)
            }
            (Self::Lro(name), _) => keep(tree, name, |card| card.lro = Some(to.is_on())),
            (Self::Gro(name), _) => keep(tree, name, |card| card.gro = Some(to.is_on())),
            (Self::Coalescing(name), Value::Waits(it)) => {
                keep(tree, name, |card| card.coalescing = Some(*it))
            }
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Choice(path) => f.write_str(path),
            Self::Swap(device) => write!(f, "swap on {device}"),
            Self::Lro(name) => write!(f, "{name}: LRO"),
            Self::Gro(name) => write!(f, "{name}: GRO"),
            Self::Coalescing(name) => write!(f, "{name}: coalescing"),
        }
    }
}

/// Where a knob stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// What a file says, to the byte; of swap, its line in the table.
    Text(String),
    /// On.
    On,
    /// Off.
    Off,
    /// How long interrupts are held back.
    Waits(Coalescing),
}

impl Value {
    fn switch(is_on: bool) -> Self {
        if is_on { Self::On } else { Self::Off }
    }

    fn is_on(&self) -> bool {
        *self == Self::On
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text.trim()),
            Self::On => f.write_str("on"),
            Self::Off => f.write_str("off"),
            Self::Waits(it) => {
                let by = if it.is_adaptive_rx { ", adaptive" } else { "" };
                write!(f, "{} µs{by}", it.rx_us)
            }
        }
    }
}

const SWAPS: &str = "/proc/swaps";

fn raw(tree: &Tree, path: &str) -> Option<String> {
    std::fs::read_to_string(tree.path(path)).ok()
}

fn card(tree: &Tree, interface: &str) -> Card {
    let name = interface.to_owned();
    let mut asked = Asked::of(tree, std::iter::once(&name));
    asked.cards.remove(interface).unwrap_or_default()
}

/// Changes what a copied tree keeps of a card.
fn keep(tree: &Tree, interface: &str, change: impl FnOnce(&mut Card)) -> io::Result<()> {
    let none = std::iter::empty();
    let mut asked = Asked::of(tree, none);
    let card = asked.cards.get_mut(interface);
    change(card.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?);
    std::fs::write(tree.path(KEPT), serde_json::to_string(&asked)?)
}

fn choose(tree: &Tree, path: &str, word: &str) -> io::Result<()> {
    if tree.is_live() {
        return std::fs::write(tree.path(path), word);
    }
    let text = std::fs::read_to_string(tree.path(path))?;
    let plain = text.replace(['[', ']'], "");
    std::fs::write(
        tree.path(path),
        plain.replacen(word, &format!("[{word}]"), 1),
    )
}

fn device_of(line: &str) -> Option<&str> {
    line.split_ascii_whitespace().next()
}

fn swap(tree: &Tree, device: &str, to: &Value) -> io::Result<()> {
    let line = match to {
        Value::Text(line) => Some(line),
        _ => None,
    };
    if tree.is_live() {
        let Some(line) = line else {
            return kernel::swap_off(device);
        };
        let priority = line.split_ascii_whitespace().next_back();
        return kernel::swap_on(device, priority.and_then(|it| it.parse().ok()));
    }
    let table = std::fs::read_to_string(tree.path(SWAPS))?;
    let (head, areas) = table.split_once('\n').unwrap_or((&table, ""));
    let areas = areas.split_inclusive('\n');
    let others: String = areas
        .filter(|line| device_of(line) != Some(device))
        .collect();
    // Areas leave from the first on, and come back from the last on.
    let line = line.map(|line| format!("{line}\n")).unwrap_or_default();
    std::fs::write(tree.path(SWAPS), format!("{head}\n{line}{others}"))
}
