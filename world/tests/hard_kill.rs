//! A kill that needs nobody but the order core: housekeeping and the control socket's thread are held, and
//! `tickgate ctl kill --hard` still stops trading, here and after a restart.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod desk;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use desk::{
    Day, Desk, NEVER, account_at_exchange, gateway_command, start_gateway, start_sim_with, until,
};
use lab::netns::Lab;
use lab::process::Process;
use serde_json::Value;
use support::{has, is_root, stderr};

fn ctl(socket: &Path, arguments: &[&str]) -> Output {
    desk::ctl(socket, &[&["--json"], arguments].concat())
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON")
}

fn status(socket: &Path) -> Value {
    let output = ctl(socket, &["status"]);
    assert!(output.status.success(), "{}", stderr(&output));
    lines(&output)[0]["status"].clone()
}

/// What the exchange's books have of the account.
fn at_exchange(desk: &Desk) -> Value {
    account_at_exchange(desk, "demo").expect("it answers")
}

/// The number and the name of each thread.
fn threads(process: u32) -> Vec<(u32, String)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
    let tasks = tasks.map(|task| {
        let path = task.expect("a thread").path();
        let number = path.file_name().expect("a name").to_string_lossy().parse();
        let name = fs::read_to_string(path.join("comm")).expect("a name");
        (number.expect("a number"), name.trim().to_owned())
    });
    tasks.collect()
}

/// Holds threads until it is dropped.
struct Held(Child);

impl Held {
    fn hold(threads: &[u32]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hold_threads.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args(threads.iter().map(u32::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        assert_eq!(said, "held\n");
        Self(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn config(desk: &Desk) -> String {
    let (state, socket) = (desk.path("state"), desk.path("gateway.sock"));
    format!(
        "[host]\nstate_dir = \"{}\"\n[control]\nsocket = \"{}\"\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\n\
         stale_ms = 60000\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\ncollar_bps = 500\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\n\
         position_max = 100000\nopen_orders_max = 1000\norders_per_second_max = 10000\n\
         [strategy.quotes]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [telemetry]\ntable = false\n",
        state.display(),
        socket.display(),
    )
}

fn stop(mut gateway: Process) {
    gateway.signal(libc::SIGTERM);
    let has_ended = gateway.wait(Duration::from_secs(5), &NEVER);
    assert!(has_ended.expect("it ends"));
}

#[test]
fn gateway_whose_housekeeping_and_socket_hang_is_killed_and_stays_so_after_a_restart() {
    if !is_root() || !has("python3") {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim = format!(
        "control = \"{}\"\naddress = \"10.77.2.1:12000\"\nfill_every = 7\n[account.demo]\n\
         password = \"demo\"\n",
        desk.path("control").display()
    );
    let _sim = start_sim_with(&lab, &desk, &sim);
    let (socket, state) = (desk.path("gateway.sock"), desk.path("state"));
    fs::create_dir(&state).expect("a folder");
    let config = desk.write("tickgate.toml", &config(&desk));
    let gateway = start_gateway(gateway_command(&lab, &config));
    let day = Day {
        line: "239.77.0.1:26400",
        seed: 5,
        messages: 300_000,
        rate: "2000",
        cpu: None,
    };
    let _sender = day.send(&lab, &desk);
    until("orders at the exchange", || {
        let open = at_exchange(&desk)["orders_open"].as_u64();
        open.filter(|open| *open > 2)
    });

    // The main thread keeps house; "control" serves the socket.
    let process = gateway.pid();
    let all = threads(process);
    let is_meant = |(number, name): &&(u32, String)| *number == process || name == "control";
    let meant: Vec<u32> = all
        .iter()
        .filter(is_meant)
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(meant.len(), 2, "{all:?}");
    let held = Held::hold(&meant);

    let killed = ctl(
        &socket,
        &["kill", "--hard", "--reason", "it hangs", "--wait-s", "0"],
    );
    let said = lines(&killed);
    assert_eq!(said.len(), 1, "nobody answers on the socket: {said:?}");
    assert!(stderr(&killed).contains("no answer"), "{}", stderr(&killed));
    let hard = &said[0]["hard"];
    assert_eq!(
        (&hard["scope"][0], &hard["is_alive"]),
        (&"ouch".into(), &true.into())
    );
    assert_eq!(hard["outlives_restart"], true, "{hard}");
    assert!(hard["at_s"].as_u64() > Some(1_700_000_000), "{hard}");
    until("nothing open at the exchange", || {
        (at_exchange(&desk)["orders_open"] == 0).then_some(())
    });
    let accepted = at_exchange(&desk)["orders_accepted"].clone();
    let file = fs::read_to_string(state.join("kill")).expect("the kill file");
    assert!(
        file.contains("past whoever listens") && file.contains("it hangs"),
        "{file}"
    );

    // Let go, it says the same; whoever listens can say that nothing is open.
    drop(held);
    let kill = status(&socket)["kill"].clone();
    assert_eq!(kill["scope"], serde_json::json!(["all"]), "{kill}");
    assert_eq!(kill["why"], "it hangs", "{kill}");
    let again = ctl(&socket, &["kill", "--hard"]);
    assert!(again.status.success(), "{}", stderr(&again));
    let said = lines(&again);
    assert_eq!(said[0]["hard"]["killed_before"][0], "ouch", "{said:?}");
    assert_eq!(said[1]["killed"]["is_nothing_open"], true, "{said:?}");
    stop(gateway);
    assert!(!desk.path("gateway.kill").exists());

    let gateway = start_gateway(gateway_command(&lab, &config));
    assert_eq!(status(&socket)["kill"]["why"], "it hangs");
    assert_eq!(at_exchange(&desk)["orders_accepted"], accepted);
    stop(gateway);
    let gone = ctl(&socket, &["kill", "--hard"]);
    assert_eq!(gone.status.code(), Some(1));
}
