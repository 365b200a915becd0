//! A day of one market, short or long, heard twice: by a feed whose lines lose nothing, and by one with lines and servers
//! as bad as they get.
//!
//! | servers | what must be true |
//! |---|---|
//! | `Alive` | every event is that of the perfect feed, in the same order |
//! | `KeepNothing` | what both lines lost is announced before what follows; snapshots end the gaps |
//! | `Dying` | the same, and they come and go |
//!
//! In all of them (`hearing`): no hole that was not announced, no price that is wrong and not stale, and at the
//! end, on a calm network, a fresh feed whose every order stands where it stands at the exchange.

use rt::clock::{Clock, SECOND_NS};

use crate::MS;
use crate::hearing::{FeedTotals, Hearing, Ways};
use crate::servers::Fate;
use crate::venue::Venue;

const HOUR_NS: u64 = 3600 * SECOND_NS;

/// How a day's servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Servers {
    Alive,
    KeepNothing,
    Dying,
}

/// Turns of a short day, the calm ones at its ends aside.
const TURNS: u32 = 300;

/// Lives one short day.
///
/// # Panics
/// A rule is broken; the message says which. The same seed breaks it again.
#[must_use]
pub fn play_feed(seed: u64) -> FeedTotals {
    play(seed, None, |_| ())
}

/// Lives one long day: until the market has published this many messages, on lines that lose 2 % each. `on_turn`
/// hears how many there are.
///
/// # Panics
/// As [`play_feed`].
#[must_use]
pub fn play_long_feed(seed: u64, messages: u64, on_turn: impl FnMut(u64)) -> FeedTotals {
    play(seed, Some(messages), on_turn)
}

/// Lives 24 hours of a calmer market: sessions that end and begin again every few hours, an exchange that dies
/// without a word in one of four of them, and a feed handler that is started again in the middle of another.
/// `on_hour` hears of each hour.
///
/// # Panics
/// As [`play_feed`].
#[must_use]
pub fn play_24_hours(seed: u64, mut on_hour: impl FnMut(u32)) -> FeedTotals {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut now_ns = 0;
    let mut clock = Clock::manual(now_ns);
    let mut venue = Venue::sparse(random.u64(..), now_ns);
    let ways = Ways {
        gap_timeout_ns: 2 * MS,
        held_max: Some(256),
    };
    let mut feed = Hearing::new(0, &[], ways, now_ns);
    let mut sum = FeedTotals::default();
    for hour in 0..24 {
        let end_ns = u64::from(hour + 1) * HOUR_NS;
        while now_ns < end_ns {
            now_ns += random.u64(MS..100 * MS);
            clock.set_ns(now_ns);
            feed.turn(&mut venue, &clock);
        }
        match hour % 8 {
            1 | 3 => venue.end_session(now_ns),
            5 => venue.crash(now_ns),
            6 => {
                sum += feed.heard();
                feed = Hearing::new(0, &[], ways, now_ns);
            }
            _ => {}
        }
        on_hour(hour);
    }
    end_calmly(&mut venue, &mut feed, |venue, feed| {
        now_ns += 5 * MS;
        clock.set_ns(now_ns);
        feed.turn(venue, &clock);
    });
    sum += feed.heard();
    sum
}

fn play(seed: u64, messages: Option<u64>, mut on_turn: impl FnMut(u64)) -> FeedTotals {
    let servers = [Servers::Alive, Servers::KeepNothing, Servers::Dying][(seed % 3) as usize];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut now_ns = 9 * 3600 * SECOND_NS;
    let mut clock = Clock::manual(now_ns);
    let mut venue = match messages {
        None => Venue::busy(random.u64(..), now_ns),
        Some(_) => Venue::busiest(random.u64(..), now_ns),
    };
    let mut ways = Ways {
        gap_timeout_ns: [0, MS / 4, 2 * MS][random.usize(0..3)],
        held_max: None,
    };
    let mut perfect = Hearing::new(0, &[], ways, now_ns);
    ways.held_max = Some(match servers {
        Servers::Alive => 4096,
        _ => [64, 256, 4096][random.usize(0..3)],
    });
    let mut feed = Hearing::new(0, &[], ways, now_ns);
    (feed.said, perfect.said) = (Some(Vec::new()), Some(Vec::new()));
    let mut turn = |venue: &mut Venue, feed: &mut Hearing, by_ns: u64| {
        now_ns += by_ns;
        clock.set_ns(now_ns);
        feed.turn(venue, &clock);
        perfect.hear_all(venue, &clock);
        compare(servers, feed, &mut perfect);
    };
    // The session's first packets come: a feed that has not begun is stale, whatever it hears.
    for _ in 0..20 {
        turn(&mut venue, &mut feed, MS);
    }
    venue.is_calm = false;
    let mut fate = Fate {
        is_dead: false,
        keeps_nothing: servers == Servers::KeepNothing,
        lost: random.u32(0..60),
        cut: 0,
        late_ns: random.u64(0..4 * MS),
    };
    venue.fate = fate;
    for played in 0.. {
        if messages.map_or(played >= TURNS, |messages| venue.published >= messages) {
            break;
        }
        if servers == Servers::Dying && random.u8(0..40) == 0 {
            fate.is_dead = random.bool();
            fate.keeps_nothing = random.bool();
            fate.cut = random.u32(0..200);
            venue.fate = fate;
        }
        turn(&mut venue, &mut feed, random.u64(MS / 10..4 * MS));
        on_turn(venue.published);
    }
    venue.fate = Fate::default();
    end_calmly(&mut venue, &mut feed, |venue, feed| {
        turn(venue, feed, 5 * MS);
    });
    if servers == Servers::Alive {
        let (said, truth) = (feed.said.take(), perfect.said.take());
        assert_eq!(said, truth, "events of one feed alone");
        assert_eq!(feed.heard().gaps, 0);
    }
    feed.heard()
}

/// Nothing goes wrong any more: in the end the feed is whole, and its books are the exchange's.
fn end_calmly(
    venue: &mut Venue,
    feed: &mut Hearing,
    mut turn: impl FnMut(&mut Venue, &mut Hearing),
) {
    venue.is_calm = true;
    for turns in 0.. {
        assert!(turns < 3_000, "a calm feed does not become whole");
        turn(venue, feed);
        if turns > 20 && feed.is_whole(venue) {
            break;
        }
    }
    feed.compare_books(venue);
}

/// Holds what the feed has said against the perfect one, as far as both have come, and forgets it.
fn compare(servers: Servers, feed: &mut Hearing, perfect: &mut Hearing) {
    let (Some(said), Some(truth)) = (&mut feed.said, &mut perfect.said) else {
        return;
    };
    if servers != Servers::Alive {
        said.clear();
        return truth.clear();
    }
    let both = said.len().min(truth.len());
    for (said, truth) in said.drain(..both).zip(truth.drain(..both)) {
        assert_eq!(said, truth, "an event is another than the perfect feed's");
    }
}
