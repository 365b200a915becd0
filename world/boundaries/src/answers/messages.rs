//! Answers of an exchange that are nearly right, and scripts of them to begin with.

/// Lengths of the answers by kind, with the length of the appendage where that must be there.
const LENGTHS: [(u8, usize); 12] = [
    (b'A', 64),
    (b'U', 68),
    (b'C', 18),
    (b'D', 32),
    (b'E', 36),
    (b'B', 36),
    (b'J', 29),
    (b'P', 13),
    (b'I', 13),
    (b'M', 18),
    (b'X', 27),
    (b'Q', 13),
];

/// A message of a kind, about an order that there may be, with its numbers where they belong.
pub(crate) fn answer(record: &[u8; 16], next: u32) -> Vec<u8> {
    let [
        _,
        which,
        old,
        qty,
        price,
        side,
        longer,
        noise,
        at,
        trade,
        ..,
    ] = *record;
    let (kind, len) = LENGTHS[usize::from(which) % LENGTHS.len()];
    let user_ref = next.saturating_sub(u32::from(old & 15)).to_be_bytes();
    let qty = u32::from(qty).to_be_bytes();
    let side = if side & 1 == 0 { b'B' } else { b'S' };
    let mut out = vec![kind];
    out.extend(7_u64.to_be_bytes());
    out.extend(user_ref);
    match kind {
        b'A' => out.extend([&[side][..], &qty, b"A       "].concat()),
        b'U' => {
            out.extend(next.saturating_sub(u32::from(old >> 4)).to_be_bytes());
            out.extend([&[side][..], &qty, b"A       "].concat());
        }
        b'M' => out.extend([&[side][..], &qty].concat()),
        b'Q' | b'B' => {}
        _ => out.extend(qty),
    }
    if matches!(kind, b'A' | b'U' | b'E') {
        out.extend((1_000_000 + u64::from(price)).to_be_bytes());
    }
    // Few trades, so that one is said again, and undone.
    let trade = u64::from(trade & 7).to_be_bytes();
    match kind {
        b'E' => out.extend([&b"R"[..], &trade].concat()),
        b'B' => out.extend(trade),
        _ => {}
    }
    out.resize(len, 0);
    if longer & 15 == 1 {
        out.resize(out.len() + usize::from(longer >> 4), noise);
    }
    if longer & 15 == 2 {
        out.truncate(out.len() - usize::from(longer >> 4).min(out.len()));
    }
    if longer & 15 == 3
        && let Some(byte) = out.get_mut(usize::from(at))
    {
        *byte = noise;
    }
    out
}

/// What to begin with: any scripts, an order's life, and one that has no answer.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let step = |fields: &[u8], rest: &[(usize, u8)]| {
        let mut record = [0; 16];
        record[..fields.len()].copy_from_slice(fields);
        record[15] = u8::MAX;
        rest.iter().for_each(|(at, byte)| record[*at] = *byte);
        record
    };
    let enter = |qty| step(&[0, 0, 0, qty, 0, 0], &[]);
    // By their places in `LENGTHS`.
    let [accepted, executed, broken, query] = [0, 4, 5, 11];
    let answer = |which, trade, qty| step(&[5, which, 1, qty], &[(9, trade)]);
    let lives = [
        enter(100),
        answer(accepted, 0, 100),
        answer(executed, 1, 40),
        answer(executed, 1, 40),
        answer(executed, 2, 30),
        answer(broken, 1, 0),
        answer(broken, 1, 0),
        enter(50),
    ];
    let wait = |what, shift: u8| step(&[15 | shift << 4, what, 1], &[]);
    let doubts = [
        enter(100),
        wait(120, 12),
        wait(1, 0),
        answer(query, 0, 0),
        wait(255, 15),
        wait(255, 15),
    ];
    let silence = [enter(100), wait(120, 14), wait(255, 15)];
    let mut seeds = crate::scripts();
    seeds.extend([lives.concat(), doubts.concat(), silence.concat()]);
    seeds
}
