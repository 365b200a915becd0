//! Packets that are kept for later: copies in memory taken at the start.
//!
//! Thread:      feed core, hot
//! Invariants:  a place belongs to exactly one of the packets in use or is free; a packet is copied
//!              once, when it is kept, and read where it lies.
//! When full:   `push` refuses; the caller decides who has to go.

/// The largest UDP payload of an Ethernet frame that is not jumbo.
pub const PACKET_LEN_MAX: usize = 1472;

/// A packet in use: which numbers it brings, and where its bytes lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The first number.
    pub(crate) seq: u64,
    /// The number after its last.
    pub(crate) end: u64,
    len: usize,
    place: usize,
}

/// Room for packets.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The first `len` are in use; the others hold the free places.
    slots: Box<[Slot]>,
    len: usize,
    places: Box<[[u8; PACKET_LEN_MAX]]>,
}

impl Kept {
    /// Takes memory for this many packets.
    pub(crate) fn new(packets_max: usize) -> Self {
        let slot = |place| Slot {
            seq: 0,
            end: 0,
            len: 0,
            place,
        };
        Self {
            slots: (0..packets_max).map(slot).collect(),
            len: 0,
            places: vec![[0; PACKET_LEN_MAX]; packets_max].into_boxed_slice(),
        }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == self.slots.len()
    }

    /// The packet of a slot in use.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        self.slots()
            .get(index)
            .and_then(|slot| self.places.get(slot.place)?.get(..slot.len))
            .unwrap_or_default()
    }

    /// Copies a packet; `false`: there is no room, or it is too long for its place.
    pub(crate) fn push(&mut self, seq: u64, end: u64, payload: &[u8]) -> bool {
        let Some(slot) = self.slots.get_mut(self.len) else {
            return false;
        };
        let place = self.places.get_mut(slot.place);
        let Some(bytes) = place.and_then(|place| place.get_mut(..payload.len())) else {
            return false;
        };
        bytes.copy_from_slice(payload);
        (slot.seq, slot.end, slot.len) = (seq, end, payload.len());
        self.len += 1;
        true
    }

    /// Frees a slot in use; the last one takes its index.
    pub(crate) fn swap_remove(&mut self, index: usize) {
        debug_assert!(index < self.len, "slot {index} of {}", self.len);
        if index < self.len {
            self.len -= 1;
            self.slots.swap(index, self.len);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_in_any_order_and_keep_their_bytes() {
        let mut kept = Kept::new(3);
        assert!(kept.push(1, 2, b"a") && kept.push(2, 4, b"bb") && kept.push(4, 5, b""));
        assert!(kept.is_full() && !kept.push(5, 6, b"d"));
        kept.swap_remove(0);
        assert!(kept.push(5, 6, b"dd"));
        let held: Vec<_> = (0..3)
            .map(|index| (kept.slots()[index].seq, kept.bytes(index).to_vec()))
            .collect();
        assert_eq!(
            held,
            [(4, b"".to_vec()), (2, b"bb".to_vec()), (5, b"dd".to_vec())]
        );
    }

    #[test]
    fn packet_longer_than_a_place_is_refused() {
        let mut kept = Kept::new(1);
        assert!(!kept.push(1, 2, &[0; PACKET_LEN_MAX + 1]));
        assert!(kept.push(1, 2, &[0; PACKET_LEN_MAX]));
    }
}
