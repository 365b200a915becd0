//! Packets that are kept for later, in the order of their numbers: copies in memory taken at the start.
//!
//! ```text
//!  slots   | taken out |  in use, by number  | to come |        places   bytes, in any order
//!          0          head                  head + len
//! ```
//!
//! Thread:      feed core, hot
//! Invariants:  a place belongs to exactly one of the packets in use or is free; a packet is copied
//!              once, when it is kept, and read where it lies. Packets of one number stay in the order in
//!              which they came.
//! When full:   `push` refuses; the caller decides who has to go.
//!
//! Packets behind a hole come nearly in order, so a new one goes to the end and the first goes first:
//! neither costs more where thousands are kept.

/// The largest UDP payload of an Ethernet frame that is not jumbo.
pub const PACKET_LEN_MAX: usize = 1472;

/// A packet in use: which numbers it brings, and where its bytes lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The first number.
    pub(crate) seq: u64,
    /// The number after its last.
    pub(crate) end: u64,
    len: u32,
    place: u32,
}

/// Room for packets.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Twice as many as there are places, so that what is in use is seldom moved back to the front.
    slots: Box<[Slot]>,
    head: usize,
    len: usize,
    /// The first `places.len() - len` are free.
    free: Box<[u32]>,
    places: Box<[[u8; PACKET_LEN_MAX]]>,
}

impl Kept {
    /// Takes memory for this many packets.
    ///
    /// # Panics
    /// More than `u32` counts.
    pub(crate) fn new(packets_max: usize) -> Self {
        let slot = Slot {
            seq: 0,
            end: 0,
            len: 0,
            place: 0,
        };
        let places = u32::try_from(packets_max).unwrap_or(u32::MAX);
        assert!(
            usize::try_from(places) == Ok(packets_max),
            "{packets_max} packets"
        );
        Self {
            slots: vec![slot; packets_max * 2].into_boxed_slice(),
            head: 0,
            len: 0,
            free: (0..places).collect(),
            places: vec![[0; PACKET_LEN_MAX]; packets_max].into_boxed_slice(),
        }
    }

    /// The packets in use, by number.
    pub(crate) fn slots(&self) -> &[Slot] {
        self.slots
            .get(self.head..self.head + self.len)
            .unwrap_or_default()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.places.len()
    }

    /// The packet of a slot in use.
    pub(crate) fn bytes(&self, slot: Slot) -> &[u8] {
        let place = self.places.get(slot.place as usize);
        place
            .and_then(|place| place.get(..slot.len as usize))
            .unwrap_or_default()
    }

    /// Copies a packet; `false`: there is no room, or it is too long for its place.
    pub(crate) fn push(&mut self, seq: u64, end: u64, payload: &[u8]) -> bool {
        let free = self.places.len() - self.len;
        let Some(place) = free
            .checked_sub(1)
            .and_then(|last| self.free.get(last).copied())
        else {
            return false;
        };
        let bytes = self.places.get_mut(place as usize);
        let Some(bytes) = bytes.and_then(|bytes| bytes.get_mut(..payload.len())) else {
            return false;
        };
        bytes.copy_from_slice(payload);
        if self.head + self.len == self.slots.len() {
            self.slots.copy_within(self.head.., 0);
            self.head = 0;
        }
        let later = self.slots().iter().rev().take_while(|slot| slot.seq > seq);
        let at = self.head + self.len - later.count();
        self.slots.copy_within(at..self.head + self.len, at + 1);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot {
                seq,
                end,
                len: u32::try_from(payload.len()).unwrap_or(0),
                place,
            };
        }
        self.len += 1;
        true
    }

    /// Frees the first slot in use.
    pub(crate) fn remove_first(&mut self) {
        let Some(first) = self.slots().first().copied() else {
            return;
        };
        let free = self.places.len() - self.len;
        if let Some(room) = self.free.get_mut(free) {
            *room = first.place;
        }
        self.head += 1;
        self.len -= 1;
        if self.len == 0 {
            self.head = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        // Each turn takes one out, so it ends.
        while self.len > 0 {
            self.remove_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(kept: &Kept) -> Vec<(u64, Vec<u8>)> {
        let slots = kept.slots().iter();
        slots
            .map(|slot| (slot.seq, kept.bytes(*slot).to_vec()))
            .collect()
    }

    #[test]
    fn packets_stand_by_number_whatever_order_they_came_in_and_keep_their_bytes() {
        let mut kept = Kept::new(3);
        assert!(kept.push(4, 5, b"") && kept.push(1, 2, b"a") && kept.push(2, 4, b"bb"));
        assert!(kept.is_full() && !kept.push(5, 6, b"d"));
        kept.remove_first();
        assert!(kept.push(2, 3, b"dd"));
        let expected = [(2, b"bb".to_vec()), (2, b"dd".to_vec()), (4, b"".to_vec())];
        assert_eq!(held(&kept), expected);
        kept.clear();
        assert!(held(&kept).is_empty() && kept.push(9, 10, b"n"));
    }

    #[test]
    fn places_and_slots_are_used_again_for_ever() {
        let mut kept = Kept::new(4);
        for seq in 1..=3u64 {
            assert!(kept.push(seq, seq + 1, &seq.to_be_bytes()));
        }
        for seq in 4..100u64 {
            assert!(kept.push(seq, seq + 1, &seq.to_be_bytes()));
            assert!(kept.is_full());
            let expected = (seq - 3..=seq).map(|seq| (seq, seq.to_be_bytes().to_vec()));
            assert_eq!(held(&kept), expected.collect::<Vec<_>>());
            kept.remove_first();
        }
    }

    #[test]
    fn packet_longer_than_a_place_is_refused() {
        let mut kept = Kept::new(1);
        assert!(!kept.push(1, 2, &[0; PACKET_LEN_MAX + 1]));
        assert!(kept.push(1, 2, &[0; PACKET_LEN_MAX]));
    }
}
