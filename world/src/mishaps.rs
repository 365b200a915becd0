//! What befalls gateway, markets and exchange in a random step.

use gateway::order::risk::KillCause;
use rt::clock::SECOND_NS;

use crate::world::World;

/// The longest that strategies take no turn.
const SLEEPS_NS: u64 = 3 * SECOND_NS;
/// The longest that nothing comes through to the exchange and back: longer than either end waits for the other.
const PARTED_NS: u64 = 20 * SECOND_NS;

impl World {
    /// What befalls them.
    pub(crate) fn happen(&mut self) {
        let at = self.random.usize(0..2);
        match self.random.u8(0..120) {
            0 | 1 => {
                let limit = self.random.usize(0..300);
                self.cut(at, limit);
            }
            2 if self.random.bool() => {
                // Killed between any two stages.
                let stages = self.random.usize(0..8);
                self.poll(stages);
                self.start();
                // Who joins late is stale until a session begins.
                for at in 0..self.venues.len() {
                    if self.random.u8(0..4) > 0 {
                        self.venues[at].end_session(self.now_ns);
                    }
                }
            }
            3 if self.random.u8(0..4) == 0 => self.venues[at].crash(self.now_ns),
            3 => self.venues[at].end_session(self.now_ns),
            4 if self.random.bool() => self.kill.engage(KillCause::Operator),
            5..8 => self.kill.release(),
            8..10 => {
                self.lines[at].stage.transport().window = self.random.usize(0..200);
            }
            10..12 => self.open_windows(),
            12..14 => {
                let number = self.random.u64(1..200);
                self.counter.exchange.break_trade(number);
            }
            14 => self.command(at),
            15 if self.random.bool() => self.kill_exchange(),
            16 => {
                // Most are over before anybody gives up.
                let most_ns = [SECOND_NS, SECOND_NS, SECOND_NS, PARTED_NS][self.random.usize(0..4)];
                let until_ns = self.now_ns + self.random.u64(0..most_ns);
                self.lines[at].part(until_ns);
                self.partings += 1;
            }
            17..19 => {
                let desk = self.random.usize(0..self.desks.len());
                self.desks[desk].sleeps_until_ns = self.now_ns + self.random.u64(0..SLEEPS_NS);
                self.sleeps += 1;
            }
            _ => {}
        }
    }

    /// The exchange is killed, whatever it is doing: what comes in before is acted on, and perhaps never kept.
    fn kill_exchange(&mut self) {
        if self.counter.is_gone() {
            return;
        }
        for line in &mut self.lines {
            let limit = self.random.usize(0..400);
            line.lose_exchange(&mut self.counter, self.now_ns, limit);
        }
        self.counter.kill(self.now_ns, &mut self.random);
    }
}
