//! What is on the screen, and what keys do: looks and keys go in, wishes come out.
//!
//! ```text
//!  look ──> Seen ──┐
//!  key ──> page, place, question ──> Wish: nothing, quit, ask the gateway
//!                  └──> pages: lines of text
//! ```

use super::seen::Seen;
use crate::cli::look::Look;
use crate::control::request::Verb;

/// What has to be typed before trading is stopped.
const KILL: &str = "kill";
/// How long a kill's answer may wait for nothing being open, ms.
const KILL_WAIT_MS: u64 = 2_000;

/// A page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Page {
    #[default]
    Overview,
    Latency,
    Feeds,
    Orders,
    Risk,
    Cores,
    Counters,
    Help,
}

impl Page {
    pub(super) const ALL: [(Self, char, &'static str); 8] = [
        (Self::Overview, '1', "overview"),
        (Self::Latency, '2', "latency"),
        (Self::Feeds, '3', "feeds"),
        (Self::Orders, '4', "orders"),
        (Self::Risk, '5', "risk"),
        (Self::Cores, '6', "cores"),
        (Self::Counters, '7', "counters"),
        (Self::Help, '?', "help"),
    ];
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    /// Whatever is asked.
    Quit,
}

/// What a key comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Quit,
    Ask(Verb),
}

/// Something that is asked before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Stop trading? What has been typed.
    Kill(String),
    /// Which strategy shall send nothing, or again? The one that is chosen, of all.
    Pause(usize),
}

/// A strategy, as it is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) session: String,
    pub(super) strategy: String,
    pub(super) is_paused: bool,
}

/// The screen.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) seen: Seen,
    pub(super) page: Page,
    /// Lines that are above the screen.
    pub(super) above: usize,
    pub(super) question: Option<Question>,
    /// What the last command came to.
    pub(super) said: Option<String>,
    /// Why nothing new is seen.
    pub(super) error: Option<String>,
    /// What is seen stands still.
    pub(super) is_frozen: bool,
    /// Somebody wants to leave while a command has no answer.
    pub(super) is_leaving: bool,
}

impl View {
    /// The gateway was asked.
    pub(super) fn on_look(&mut self, look: Result<Look, String>) {
        match look {
            Ok(look) if !self.is_frozen => {
                self.error = None;
                self.seen.look(look);
            }
            Ok(look) => {
                self.error = None;
                self.seen.look_at_kill(&look);
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// What the gateway said to a command.
    pub(super) fn on_said(&mut self, said: String) {
        self.said = Some(said);
        self.is_leaving = false;
    }

    /// A command has no answer yet.
    pub(super) fn stay(&mut self) {
        self.is_leaving = true;
        self.said = Some("a command has no answer yet: q again leaves all the same".to_owned());
    }

    /// Every strategy.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let sessions = self.seen.now.status.sessions.iter();
        let all = sessions.flat_map(|session| {
            session.strategies.iter().map(|strategy| Choice {
                session: session.name.clone(),
                strategy: strategy.name.clone(),
                is_paused: strategy.is_paused,
            })
        });
        all.collect()
    }

    /// A key was pressed.
    pub(super) fn on_key(&mut self, key: Key) -> Wish {
        if key == Key::Quit {
            return Wish::Quit;
        }
        match self.question.take() {
            Some(Question::Kill(typed)) => self.on_kill_key(typed, key),
            Some(Question::Pause(at)) => self.on_pause_key(at, key),
            None => self.on_page_key(key),
        }
    }

    fn on_kill_key(&mut self, mut typed: String, key: Key) -> Wish {
        match key {
            Key::Escape => return Wish::Nothing,
            Key::Enter if typed == KILL => {
                self.said = Some("kill: asked".to_owned());
                return Wish::Ask(Verb::Kill {
                    reason: "tickgate top".to_owned(),
                    wait_ms: KILL_WAIT_MS,
                });
            }
            Key::Char(typed_now) if typed.len() < 2 * KILL.len() => typed.push(typed_now),
            Key::Backspace => drop(typed.pop()),
            _ => {}
        }
        self.question = Some(Question::Kill(typed));
        Wish::Nothing
    }

    fn on_pause_key(&mut self, at: usize, key: Key) -> Wish {
        let choices = self.choices();
        let at = match key {
            Key::Escape => return Wish::Nothing,
            Key::Up => at.saturating_sub(1),
            Key::Down => (at + 1).min(choices.len().saturating_sub(1)),
            Key::Enter => {
                let Some(Choice {
                    strategy,
                    is_paused,
                    ..
                }) = choices.into_iter().nth(at)
                else {
                    return Wish::Nothing;
                };
                return Wish::Ask(if is_paused {
                    Verb::Unpause { strategy }
                } else {
                    Verb::Pause { strategy }
                });
            }
            _ => at,
        };
        self.question = Some(Question::Pause(at));
        Wish::Nothing
    }

    fn on_page_key(&mut self, key: Key) -> Wish {
        match key {
            Key::Char('q') | Key::Quit => return Wish::Quit,
            Key::Char('k') => self.question = Some(Question::Kill(String::new())),
            Key::Char('p') => self.question = Some(Question::Pause(0)),
            Key::Char(' ') => self.is_frozen = !self.is_frozen,
            Key::Char(typed) => {
                let found = Page::ALL.into_iter().find(|(_, key, _)| *key == typed);
                if let Some((page, ..)) = found {
                    (self.page, self.above) = (page, 0);
                }
            }
            Key::Up => self.above = self.above.saturating_sub(1),
            Key::Down => self.above += 1,
            Key::PageUp => self.above = self.above.saturating_sub(10),
            Key::PageDown => self.above += 10,
            Key::Escape => self.said = None,
            Key::Enter | Key::Backspace => {}
        }
        Wish::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::look;
    use super::*;
    use crate::control::answer::{SessionRow, StrategyRow};

    fn view() -> View {
        let mut view = View::default();
        let mut seen = look(1, 1, 0, &[]);
        let strategy = |name: &str, is_paused| StrategyRow {
            name: name.to_owned(),
            is_paused,
        };
        seen.status.sessions.push(SessionRow {
            name: "ouch".to_owned(),
            strategies: vec![strategy("quotes", false), strategy("probe", true)],
            ..SessionRow::default()
        });
        view.on_look(Ok(seen));
        view
    }

    fn press(view: &mut View, keys: &str) -> Wish {
        let mut wish = Wish::Nothing;
        for key in keys.chars() {
            wish = view.on_key(match key {
                '\n' => Key::Enter,
                '\x1b' => Key::Escape,
                '\x08' => Key::Backspace,
                'v' => Key::Down,
                '^' => Key::Up,
                other => Key::Char(other),
            });
        }
        wish
    }

    #[test]
    fn trading_is_stopped_only_where_the_word_is_typed() {
        let mut view = view();
        for keys in ["k\n", "ky\n", "kkil\n", "kkillx\n", "k\x1b\n"] {
            assert_eq!(press(&mut view, keys), Wish::Nothing, "{keys:?}");
            press(&mut view, "\x1b");
        }
        let Wish::Ask(Verb::Kill { reason, .. }) = press(&mut view, "kkilm\x08l\n") else {
            panic!("it is typed right");
        };
        assert_eq!((reason.as_str(), view.question), ("tickgate top", None));
    }

    #[test]
    fn strategy_that_is_chosen_is_paused_or_unpaused() {
        let mut view = view();
        let pause = Verb::Pause {
            strategy: "quotes".to_owned(),
        };
        assert_eq!(press(&mut view, "p\n"), Wish::Ask(pause));
        let unpause = Verb::Unpause {
            strategy: "probe".to_owned(),
        };
        assert_eq!(press(&mut view, "pvvv^v\n"), Wish::Ask(unpause));
        assert_eq!(press(&mut view, "pv\x1b\n"), Wish::Nothing);
        view.seen = Seen::default();
        assert_eq!(press(&mut view, "pv\n"), Wish::Nothing, "there is none");
    }

    #[test]
    fn keys_turn_pages_freeze_and_end() {
        let mut view = view();
        press(&mut view, "4vv");
        assert_eq!((view.page, view.above), (Page::Orders, 2));
        press(&mut view, "7");
        assert_eq!((view.page, view.above), (Page::Counters, 0));
        press(&mut view, " ");
        view.on_look(Ok(look(9, 1, 0, &[])));
        assert_eq!(view.seen.now.at_ns, 1_000_000_000, "it stands still");
        assert_eq!(press(&mut view, "q"), Wish::Quit);
        view.on_look(Err("nobody is there".to_owned()));
        assert!(view.error.is_some());
        view.on_look(Ok(look(9, 1, 0, &[])));
        assert_eq!(view.error, None);
    }
}
