//! `tickgate top` on a real terminal of 80 by 24, driven by tmux: what it shows of a running gateway, and what its keys do.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod desk;
mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use desk::{Desk, NEVER, until};
use lab::process::{Process, sibling};
use support::has;

/// A terminal of its own server, which ends with it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(desk: &Desk, command: &str) -> Self {
        let socket = desk.path("tmux");
        let terminal = Self { socket };
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            command,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(&self.socket).args(arguments);
        let output = tmux
            .env("TERM", "xterm-256color")
            .output()
            .expect("tmux runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// The screen, once it shows this.
    fn shows(&self, text: &str) -> String {
        until(text, || {
            let screen = self.tmux(&["capture-pane", "-p"]);
            screen.contains(text).then_some(screen)
        })
    }

    fn shows_no_more(&self, text: &str) {
        until(&format!("no {text}"), || {
            let screen = self.tmux(&["capture-pane", "-p"]);
            (!screen.contains(text)).then_some(())
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn top_shows_a_gateway_pauses_a_strategy_and_stops_trading_only_for_the_word() {
    if !has("tmux") {
        return;
    }
    let desk = Desk::new();
    let (state, socket) = (desk.path("state"), desk.path("control.sock"));
    std::fs::create_dir(&state).expect("a folder");
    let config = format!(
        "[host]\nlock_memory = false\nhuge_pages = false\nstate_dir = \"{}\"\n[control]\nsocket = \"{}\"\n\
         [feed.itch]\nreceive = \"udp\"\nlines = [{{ address = \"127.0.0.1:26431\", interface = \"lo\" }}]\n\
         [session.ouch]\naddress = \"127.0.0.1:1\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 100\nnotional_max_dollars = 1000\ncollar_bps = 100\nposition_max = 100\n\
         gross_exposure_max_dollars = 1000\nnet_exposure_max_dollars = 1000\nloss_max_dollars = 1000\n\
         open_orders_max = 10\norders_per_second_max = 10\n\
         [telemetry]\ntable = false\n[strategy.quotes]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n",
        state.display(),
        socket.display()
    );
    let file = desk.write("tickgate.toml", &config);
    let program = sibling("tickgate").expect("built");
    let mut command = Command::new(&program);
    command.args(["run", "--config"]).arg(&file);
    let mut gateway = Process::start("gateway", command).expect("it starts");
    gateway
        .await_line("control socket", Duration::from_secs(20), &NEVER)
        .expect("it serves");
    let top = format!(
        "{} top --every-ms 200 --socket {}; sleep 60",
        program.display(),
        socket.display()
    );
    let terminal = Terminal::start(&desk, &top);

    terminal.shows("[1 overview]");
    terminal.shows("trading: not killed");
    let screen = terminal.shows("ouch           ");
    assert!(screen.contains("itch           STALE"), "{screen}");
    for (key, text) in [
        (
            "5",
            "ouch       open_orders_max                       0 of           10    0 %",
        ),
        ("6", "TURNS/s"),
        ("7", "EVERY COUNTER THAT IS NOT 0"),
        ("3", "itch.1 "),
        ("?", "k         stop trading"),
        ("1", "tick_to_order p50, newest last:"),
    ] {
        terminal.press(&[key]);
        terminal.shows(text);
    }

    terminal.press(&["p"]);
    terminal.shows("> ouch quotes: sends");
    terminal.press(&["Enter"]);
    terminal.shows("> done: pause quotes");
    terminal.press(&["p"]);
    terminal.shows("> ouch quotes: paused");
    // A terminal takes an Escape with a key right behind it for one key.
    terminal.press(&["Escape"]);
    terminal.shows_no_more("Pause or unpause");

    terminal.press(&["k", "y", "Enter"]);
    let screen = terminal.shows("(Esc: no): y_");
    assert!(screen.contains("trading: not killed"), "{screen}");
    terminal.press(&["BSpace"]);
    terminal.press(&["k", "i", "l", "l", "Enter"]);
    terminal.shows("KILLED: all, by the operator");
    // While it is not answered, the first q asks for a second.
    terminal.shows_no_more("kill: asked");
    terminal.press(&["q"]);
    terminal.shows_no_more("KILLED");
    gateway.end();
}
