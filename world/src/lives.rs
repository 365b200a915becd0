//! The lives of a gateway's session, one after the other, each killed: what the next one knows of those before it, and that
//! no number is used by two of them.

use std::collections::{BTreeMap, BTreeSet};

use gateway::journal::format::{INTENT_BYTES, record_bytes};
use gateway::journal::head::{Began, SessionNames};
use gateway::journal::past::{Past, Pasts};
use gateway::journal::reader::{Damage, ReadError};
use gateway::journal::replay::replay;
use gateway::message::intent::{OrderId, Owner};
use gateway::order::entry::{FoundOrders, LiveOrder};

use rt::clock::SECOND_NS;

use crate::{ACCOUNTS, STRATEGIES};

/// Orders whose records a killed process takes with it at most.
const UNWRITTEN_MAX: u32 = 8;
/// ns since 1970: the day on which worlds are.
const MIDNIGHT_NS: u64 = 1_699_920_000_000_000_000;

/// What a session's next life begins with.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) past: Past,
    pub(crate) found: FoundOrders,
    /// What the host's clock says when it begins: it may have been set forward or back since the life before.
    pub(crate) began: Began,
}

impl Life {
    /// What becomes of orders that the life before it left open.
    pub(crate) fn any_end(random: &mut fastrand::Rng) -> FoundOrders {
        [FoundOrders::Keep, FoundOrders::Adopt, FoundOrders::Cancel][random.usize(0..3)]
    }

    /// Any hour of a day.
    pub(crate) fn any_time(random: &mut fastrand::Rng) -> Began {
        Began {
            realtime_ns: MIDNIGHT_NS + random.u64(0..24 * 3600 * SECOND_NS),
            monotonic_ns: 0,
        }
    }

    /// The first number of the session's strategy in this place.
    pub(crate) fn first_id(&self, strategy: usize) -> u32 {
        self.past
            .next_id(Owner(u8::try_from(strategy).expect("few")))
    }
}

/// The journal of a life that is over, and where its records begin.
pub(crate) struct Remains {
    pub(crate) file: Vec<u8>,
    pub(crate) head_bytes: usize,
}

/// Numbers that a life has used, and what was live at its end.
pub(crate) struct Used {
    pub(crate) numbers: BTreeMap<u32, (u8, u32)>,
    pub(crate) ids: BTreeSet<(u8, u32)>,
    pub(crate) live: Vec<LiveOrder>,
}

/// What the lives of a session so far have left.
#[derive(Default)]
pub(crate) struct Lives {
    /// A journal each, as far as it had come to the disk when its process was killed.
    files: Vec<Vec<u8>>,
    /// Numbers of orders and replaces, and whose each is.
    numbers: BTreeMap<u32, (u8, u32)>,
    /// The strategies' own numbers.
    ids: BTreeSet<(u8, u32)>,
}

impl Lives {
    /// What the next life of this session begins with.
    pub(crate) fn next(&self, session: usize, found: FoundOrders, began: Began) -> Life {
        let mut pasts = Pasts::new(&[names_of(session)], UNWRITTEN_MAX);
        for file in &self.files {
            match replay(&file[..], &mut pasts, |_, _| ()) {
                Ok(()) => {}
                Err(ReadError::Damaged(Damage { is_torn: true, .. })) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let past = pasts.finish().remove(0);
        Life { past, found, began }
    }

    /// A life's process was killed: what its memory had of the journal is lost with it, and the last record is torn. Some of
    /// what it had handed over is in the file by its length alone: the disk has other bytes there.
    pub(crate) fn bury(&mut self, remains: Remains, random: &mut fastrand::Rng) {
        let Remains {
            mut file,
            head_bytes,
        } = remains;
        if random.bool() {
            let most = UNWRITTEN_MAX as usize * record_bytes(INTENT_BYTES);
            let lost = random.usize(0..=most).min(file.len() - head_bytes);
            let unwritten = match random.u8(0..3) {
                0 => 0..0,
                1 => 0..1,
                _ => 0..255,
            };
            let begins = file.len() - lost;
            if unwritten.is_empty() {
                file.truncate(begins);
            } else {
                let cut = random.usize(0..=lost);
                file.truncate(file.len() - cut);
                file[begins..].fill_with(|| random.u8(unwritten.clone()));
            }
        }
        self.files.push(file);
    }

    /// No number was used by two lives, and what was given back is what was sent.
    pub(crate) fn add(&mut self, used: Used) {
        for (number, of) in used.numbers {
            let before = self.numbers.insert(number, of);
            assert_eq!(before, None, "an earlier life has sent {number}");
        }
        for (owner, id) in used.ids {
            let is_new = self.ids.insert((owner, id));
            assert!(is_new, "strategy {owner} has sent {id} in an earlier life");
        }
        for order in used.live {
            let sent = self.numbers.get(&order.user_ref.0).copied();
            let desk = order.desk.map(|(Owner(owner), OrderId(id))| (owner, id));
            assert!(
                sent.is_some() && (desk.is_none() || desk == sent),
                "{order:?}: {sent:?}"
            );
        }
    }
}

/// A session, and the strategies that trade on it.
pub(crate) fn names_of(session: usize) -> SessionNames {
    let of_it = (STRATEGIES.iter().enumerate()).filter(|(_, (_, on))| *on == session);
    SessionNames {
        name: ACCOUNTS[session].to_owned(),
        strategies: of_it.map(|(at, _)| format!("strategy {at}")).collect(),
        next: 1,
        ..SessionNames::default()
    }
}
