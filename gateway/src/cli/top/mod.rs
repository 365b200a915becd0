//! `tickgate top`: a running gateway as it moves, on a terminal.
//!
//! ```text
//!  asker (two threads) ──look──> view ──> pages ──> lines ──> terminal
//!                      <──wish── view <──key── terminal
//! ```

mod asker;
mod detail;
mod line;
mod pages;
mod seen;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text;
use ratatui::widgets::Paragraph;

use super::ctl::{Whom, text_of};
use super::{FAILED, fail};
use asker::{Asker, Heard};
use line::{Line, Tone};
use view::{Key, View, Wish};

/// How long a key waits at most before what was heard is shown.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// How often the gateway is asked, ms.
    #[arg(long, value_name = "MS", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(200..=60_000))]
    every_ms: u64,
    /// Without colour, as with NO_COLOR in the environment.
    #[arg(long)]
    no_color: bool,
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let Arguments {
        whom,
        every_ms,
        no_color,
    } = arguments;
    let has_colour = !no_color && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    whom.with(|socket| {
        if !io::stdout().is_terminal() {
            return fail(
                FAILED,
                "stdout is no terminal: expected one; `tickgate ctl status` and `ctl report` are for scripts",
            );
        }
        let shown = Asker::start(socket, Duration::from_millis(every_ms)).and_then(|mut asker| {
            let shown = show(&mut asker, has_colour);
            asker.end();
            shown
        });
        match shown {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILED, &format!("the terminal: {error}")),
        }
    })
}

fn show(asker: &mut Asker, has_colour: bool) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let mut view = View::default();
    let shown = loop {
        if let Err(error) = terminal.draw(|frame| draw(&mut view, frame, has_colour)) {
            break Err(error);
        }
        match key(LOOK) {
            Ok(None) => {}
            Ok(Some(key)) => match view.on_key(key) {
                // A command that is on its way is worth the wait; a second time it is meant.
                Wish::Quit if asker.is_waiting() && !view.is_leaving => view.stay(),
                Wish::Quit => break Ok(()),
                Wish::Ask(verb) => asker.wish(verb),
                Wish::Nothing => {}
            },
            Err(error) => break Err(error),
        }
        while let Some(heard) = asker.hear() {
            match heard {
                Heard::Look(look) => view.on_look(*look),
                Heard::Said(said) => {
                    view.on_said(said.map_or_else(|error| error, |it| text_of(&it)))
                }
            }
        }
    };
    ratatui::try_restore()?;
    shown
}

/// The next key, if one comes in time.
fn key(within: Duration) -> io::Result<Option<Key>> {
    if !event::poll(within)? {
        return Ok(None);
    }
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event::read()?
    else {
        return Ok(None);
    };
    Ok(match code {
        // A terminal in raw mode sends no signal.
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char(_) if modifiers.contains(KeyModifiers::CONTROL) => None,
        // An Escape and a key right behind it come as one: what was meant first is safe to do.
        KeyCode::Char(_) if modifiers.contains(KeyModifiers::ALT) => Some(Key::Escape),
        KeyCode::Char(typed) => Some(Key::Char(typed)),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        _ => None,
    })
}

fn draw(view: &mut View, frame: &mut Frame<'_>, has_colour: bool) {
    let header = pages::header(view);
    let body = pages::body(view);
    let rows = u16::try_from(header.len()).unwrap_or(u16::MAX);
    let parts = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]);
    let [above, below] = parts.areas(frame.area());
    let room = usize::from(below.height);
    view.above = view.above.min(body.len().saturating_sub(room));
    let lines = |lines: &[Line]| -> text::Text<'static> {
        let lines = lines
            .iter()
            .map(|line| text::Line::styled(line.text.clone(), style(line.tone, has_colour)));
        lines.collect::<Vec<_>>().into()
    };
    frame.render_widget(Paragraph::new(lines(&header)), above);
    let shown = body.get(view.above..).unwrap_or_default();
    frame.render_widget(Paragraph::new(lines(shown)), below);
}

fn style(tone: Tone, has_colour: bool) -> Style {
    let style = match tone {
        Tone::Plain => return Style::new(),
        Tone::Head | Tone::Warn => Style::new().add_modifier(Modifier::BOLD),
        Tone::Bad => Style::new().add_modifier(Modifier::REVERSED),
    };
    match (tone, has_colour) {
        (Tone::Warn, true) => style.fg(Color::Yellow),
        (Tone::Bad, true) => style.fg(Color::Red),
        _ => style,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::look::Look;
    use crate::control::answer::{
        CoreRow, FeedRow, LimitsRow, OrderRow, PositionsRow, SessionRow, StrategyRow,
    };
    use crate::telemetry::{Kind, PositionReport};
    use seen::tests::look;

    fn desk(at_s: u64, orders: u64, ns: &[u64]) -> Look {
        let mut look = look(at_s, 7, 0, ns);
        let mut count = |kind, whose: &str, counter: &str, value| {
            let kinds = look.run.counters.entry(kind).or_default();
            let counters = kinds.entry(whose.to_owned()).or_default();
            counters.insert(counter.to_owned(), value);
        };
        count(Kind::Session, "ouch", "orders", orders);
        count(Kind::Session, "ouch", "rejected", orders / 10);
        count(Kind::Line, "itch.1", "packets_won", 100 * at_s);
        look.status.version = "0.1.0".to_owned();
        look.status.sessions.push(SessionRow {
            name: "ouch".to_owned(),
            state: "open".to_owned(),
            open_orders: 45,
            gross_dollars: 1_234_567,
            profit_dollars: -89,
            strategies: vec![StrategyRow {
                name: "quotes".to_owned(),
                is_paused: false,
            }],
            ..SessionRow::default()
        });
        look.status.feeds.push(FeedRow {
            name: "itch".to_owned(),
            is_fresh: true,
            symbols: 10,
            messages: 1_000 * at_s,
            ..FeedRow::default()
        });
        look.status.cores.push(CoreRow {
            name: "inline".to_owned(),
            cpu: Some(1),
            turns: 5_000_000 * at_s,
            still_ms: 0,
        });
        look.limits.push(LimitsRow {
            session: "ouch".to_owned(),
            open_orders_max: 50,
            position_max: 1_000,
            ..LimitsRow::default()
        });
        look.positions.sessions.push(PositionsRow {
            session: "ouch".to_owned(),
            positions: vec![PositionReport {
                symbol: "ZVZZT".to_owned(),
                position: -300,
                open_buy: 100,
                open_sell: 200,
            }],
        });
        look.orders.orders.push(OrderRow {
            session: "ouch".to_owned(),
            symbol: "ZVZZT".to_owned(),
            side: "buy".to_owned(),
            price: "10.0000".to_owned(),
            open: 100,
            state: "open".to_owned(),
            ..OrderRow::default()
        });
        look
    }

    /// The rows of a terminal of 80 by 24.
    fn screen(view: &mut View) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(view, frame, true)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content().chunks(80);
        let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).collect()
    }

    fn view() -> View {
        let mut view = View::default();
        view.on_look(Ok(desk(1, 100, &[])));
        view.on_look(Ok(desk(3, 500, &[1_500; 4])));
        view
    }

    #[test]
    fn overview_shows_in_80_columns_what_moves() {
        let rows = screen(&mut view());
        let expected = [
            "tickgate 0.1.0  pid 7  up 0 d 00:00:00",
            "[1 overview] 2 latency  3 feeds  4 orders  5 risk  6 cores  7 counters  ? help",
            "trading: not killed",
            "SESSION        STATE       OPEN DOUBT     GROSS $       NET $       P&L $  ORD/s",
            "ouch           open          45     0   1,234,567           0         -89    200",
        ];
        assert_eq!(rows[..5], expected);
        let has = |text: &str| rows.iter().any(|row| row.contains(text));
        assert!(has("itch           fresh         1,000"), "{rows:#?}");
        assert!(
            has("tick_to_order                      4    1,500    1,500"),
            "{rows:#?}"
        );
        assert!(has("session ouch: 40 rejected more"), "{rows:#?}");
    }

    #[test]
    fn every_page_shows_what_it_is_for() {
        let mut view = view();
        for (key, text) in [
            ('2', "since the start, ns"),
            ('3', "itch.1              100"),
            (
                '4',
                "ouch     found      ZVZZT    buy      10.0000      100        0  open",
            ),
            (
                '5',
                "ouch       open_orders_max                      45 of           50   90 %",
            ),
            (
                '5',
                "ouch       position_max (the largest)          500 of        1,000   50 %",
            ),
            (
                '5',
                "ouch           ZVZZT           -300           100           200",
            ),
            ('6', "inline           1     5,000,000"),
            (
                '7',
                "session ouch orders                                        500             200",
            ),
            ('?', "k         stop trading"),
        ] {
            view.on_key(Key::Char(key));
            let rows = screen(&mut view);
            assert!(
                rows.iter().any(|row| row.contains(text)),
                "{key}: {rows:#?}"
            );
        }
    }

    #[test]
    fn page_stops_at_its_end_and_questions_stand_above_it() {
        let mut long = desk(4, 500, &[]);
        let order = long.orders.orders[0].clone();
        long.orders.orders.resize(60, order);
        let mut view = View::default();
        view.on_look(Ok(long));
        view.on_key(Key::Char('4'));
        for _ in 0..100 {
            view.on_key(Key::PageDown);
            screen(&mut view);
        }
        assert_eq!(screen(&mut view)[23], "60 shown, 0 left off, 0 open");
        view.on_key(Key::Up);
        assert!(screen(&mut view)[23].starts_with("ouch"));
        view.on_key(Key::Char('k'));
        view.on_key(Key::Char('k'));
        let rows = screen(&mut view);
        assert!(
            rows[3].ends_with("Type kill and Enter (Esc: no): k_"),
            "{rows:#?}"
        );
        view.on_key(Key::Escape);
        view.on_key(Key::Char('p'));
        assert!(screen(&mut view).contains(&"> ouch quotes: sends".to_owned()));
        view.on_look(Err("no gateway".to_owned()));
        assert!(screen(&mut view).contains(&"NOT HEARD: no gateway".to_owned()));
    }

    #[test]
    fn no_line_is_cut_off_at_80_columns() {
        let mut view = view();
        for (page, ..) in view::Page::ALL {
            view.page = page;
            let lines = pages::header(&view).into_iter().chain(pages::body(&view));
            for line in lines {
                assert!(line.text.chars().count() <= 80, "{}", line.text);
            }
        }
    }

    #[test]
    fn terminal_of_any_size_is_drawn() {
        let mut view = view();
        for (page, ..) in view::Page::ALL {
            view.page = page;
            for size in [(1, 1), (10, 2), (200, 80)] {
                let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
                terminal
                    .draw(|frame| draw(&mut view, frame, false))
                    .unwrap();
            }
        }
    }
}
