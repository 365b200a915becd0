//! The service as its users meet it: in network namespaces, under systemd's protocol, killed, stopped,
//! wrongly configured.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod desk;
mod support;

use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use desk::{Day, Desk, NEVER, gateway_command, start_gateway, start_sim_with};
use gateway::telemetry::{Kind, Report};
use lab::netns::{Lab, Side};
use lab::process::{Process, send_signal, sibling};
use rt::clock::monotonic_ns;
use support::{has, is_root, sent_packets, shared, stderr, tool};

const SIM: &str =
    "address = \"10.77.2.1:12000\"\nfill_every = 0\n[account.demo]\npassword = \"demo\"\n";

const LIMITS: &str = "[session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\n\
                      collar_bps = 500\nposition_max = 100000\nopen_orders_max = 1000\n\
                      orders_per_second_max = 10000\ngross_exposure_max_dollars = 1000000000\n\
                      net_exposure_max_dollars = 1000000000\nloss_max_dollars = 1000000000\n";

/// A gateway that quotes, in the lab.
fn quoting(desk: &Desk) -> String {
    format!(
        "[feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         {LIMITS}[strategy.quotes]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [telemetry]\njson = \"{}\"\ntable = false\n",
        desk.path("out.json").display()
    )
}

fn start_sim(lab: &Lab, desk: &Desk) -> Process {
    let control = desk.path("control");
    let config = format!("control = \"{}\"\n{SIM}", control.display());
    start_sim_with(lab, desk, &config)
}

/// Sends a generated day and waits until all of it is sent.
fn send_day(lab: &Lab, desk: &Desk, messages: u64) {
    let day = desk.path("day.itch50");
    let options = feeds::generate::Options {
        seed: 5,
        messages,
        symbols: 10,
        live: 0,
    };
    feeds::generate::to_file(&options, &day, |_| ()).expect("written");
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-bench").expect("built"));
    command.arg("replay").arg(day);
    command.args([
        "--line",
        "239.77.0.1:26400",
        "--from",
        "10.77.1.1",
        "--rate",
        "5000",
        "--quiet",
    ]);
    let mut sender = Process::start("sender", command).expect("it starts");
    assert!(
        sender
            .wait(Duration::from_secs(60), &NEVER)
            .expect("it ends"),
        "{:?}",
        sender.said
    );
}

fn in_namespace(lab: &Lab, side: Side, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", lab.name(side)])
        .args(arguments);
    command.output().expect("ip runs")
}

/// What `ip link` says of the gateway's feed interface.
fn link(lab: &Lab) -> String {
    let output = in_namespace(lab, Side::Gateway, &["ip", "-d", "link", "show", "feed0"]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn killed_gateway_leaves_no_program_and_the_kernel_hears_everything_else() {
    if !is_root() || !has("ping") {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim(&lab, &desk);
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let mut gateway = start_gateway(gateway_command(&lab, &config));
    let said = gateway.said.join("\n");
    assert!(said.contains("native-copy"), "{said}");
    assert!(link(&lab).contains("prog/xdp"), "{}", link(&lab));

    // Other protocols and ports of the same interface, while the gateway receives.
    let ping = in_namespace(
        &lab,
        Side::Exchange,
        &["ping", "-c", "3", "-i", "0.2", "10.77.1.2"],
    );
    assert!(
        ping.status.success(),
        "{}",
        String::from_utf8_lossy(&ping.stdout)
    );
    let listen = "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                  s.bind(('10.77.1.2', 26400)); s.settimeout(10); print('bound', flush=True); \
                  print(s.recv(100))";
    let mut listener = Command::new("ip")
        .args([
            "netns",
            "exec",
            lab.name(Side::Gateway),
            "python3",
            "-c",
            listen,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut said = std::io::BufReader::new(listener.stdout.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("it binds");
    let speak = "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                 s.sendto(b'hello', ('10.77.1.2', 26400))";
    let spoken = in_namespace(&lab, Side::Exchange, &["python3", "-c", speak]);
    assert!(spoken.status.success());
    line.clear();
    std::io::BufRead::read_line(&mut said, &mut line).expect("it hears");
    assert_eq!(line.trim(), "b'hello'");
    listener.wait().expect("it ends");

    gateway.signal(libc::SIGKILL);
    assert!(
        !gateway
            .wait(Duration::from_secs(5), &NEVER)
            .expect("it is gone")
    );
    assert!(!link(&lab).contains("xdp"), "{}", link(&lab));
}

#[test]
fn systemd_hears_ready_and_watchdog_and_sigterm_cancels_within_two_seconds() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim(&lab, &desk);
    let socket_path = desk.path("notify");
    let systemd = UnixDatagram::bind(&socket_path).expect("a socket");
    systemd
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    let heard = || {
        let mut buffer = [0; 512];
        let len = systemd.recv(&mut buffer).expect("systemd hears something");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    };
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let mut command = gateway_command(&lab, &config);
    command
        .env("NOTIFY_SOCKET", &socket_path)
        .env("WATCHDOG_USEC", "400000");
    let mut gateway = start_gateway(command);
    while !heard().contains("READY=1") {}
    assert!(heard().contains("WATCHDOG=1"));
    assert!(heard().contains("WATCHDOG=1"));

    send_day(&lab, &desk, 3_000);
    let start_ns = monotonic_ns();
    gateway.signal(libc::SIGTERM);
    assert!(
        gateway
            .wait(Duration::from_secs(5), &NEVER)
            .expect("it ends"),
        "{:?}",
        gateway.said
    );
    let took = Duration::from_nanos(monotonic_ns() - start_ns);
    assert!(took < Duration::from_secs(2), "{took:?}");
    let said = gateway.said.join("\n");
    assert!(said.contains("all orders cancelled"), "{said}");
    let text = std::fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let count = |name: &str| {
        report["runs"][0]["counters"]["session"]["ouch"][name]
            .as_u64()
            .expect("a counter")
    };
    eprintln!(
        "accepted {}, cancelled {}, stopped in {took:?}",
        count("accepted"),
        count("canceled")
    );
    assert!(count("accepted") >= 10);
    // Quotes of one owner meet when prices move: what did not trade with itself was cancelled.
    assert_eq!(count("accepted"), count("canceled") + count("fills"));
    while !heard().contains("STOPPING=1") {}
}

#[test]
fn two_sessions_report_each_its_own_and_their_sum() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim = format!(
        "control = \"{}\"\n{SIM}[account.other]\npassword = \"other\"\n",
        desk.path("control").display()
    );
    let _sim = start_sim_with(&lab, &desk, &sim);
    let limits = LIMITS.replace("session.ouch", "session.other");
    let config = format!(
        "{}[session.other]\naddress = \"10.77.2.1:12000\"\nusername = \"other\"\n\
         password = \"other\"\n{limits}[strategy.more]\nkind = \"quoter\"\nfeed = \"itch\"\n\
         session = \"other\"\n",
        quoting(&desk)
    );
    let mut command = gateway_command(&lab, &desk.write("tickgate.toml", &config));
    command.env("TICKGATE__TELEMETRY__HGRM_DIR", desk.path("hgrm"));
    let mut gateway = Process::start_service("gateway", command).expect("it starts");
    gateway
        .await_ready(Duration::from_secs(20), &NEVER)
        .expect("both sessions open");
    send_day(&lab, &desk, 3_000);
    gateway.signal(libc::SIGTERM);
    let is_well = gateway
        .wait(Duration::from_secs(5), &NEVER)
        .expect("it ends");
    assert!(is_well, "{:?}", gateway.said);

    let text = std::fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: Report = serde_json::from_str(&text).expect("JSON");
    let run = &report.runs[0];
    for (kind, histogram, names) in [
        (Kind::Session, "order_to_ack", ["other", "ouch"]),
        (Kind::Strategy, "published_to_picked", ["more", "quotes"]),
    ] {
        let stages = &run.stages[&kind];
        assert!(stages.keys().eq(names), "{stages:?}");
        let mut sum = rt::histogram::empty();
        for stage in stages.values() {
            let own = stage.histogram(histogram).expect("whole");
            assert!(own.len() > 10, "{}", own.len());
            sum.add(own).expect("one form");
        }
        assert_eq!(Some(sum), run.histogram(histogram));
    }
    assert!(!run.stages.contains_key(&Kind::Feed), "there is only one");
    let orders = |name| run.counter(Kind::Session, name, "orders");
    assert_eq!(
        orders("ouch").zip(orders("other")).map(|(a, b)| a + b),
        Some(run.orders)
    );
    for file in ["", "session.ouch.", "session.other."] {
        let path = desk.path("hgrm").join(format!("{file}order_to_ack.hgrm"));
        assert!(path.is_file(), "{}", path.display());
    }
}

#[test]
fn gateway_is_ready_once_its_session_is_open_and_asks_for_time_until_then() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let command = gateway_command(&lab, &config);
    let mut gateway = Process::start_service("gateway", command).expect("it starts");
    // Nobody is there to log in to: two tries come to nothing, and it is not ready.
    for expected_ms in [100, 200] {
        assert_pause(&mut gateway, expected_ms);
    }
    let refused = gateway.await_ready(Duration::from_millis(100), &NEVER);
    let text = refused.expect_err("no session is open").to_string();
    assert!(text.contains("EXTEND_TIMEOUT_USEC="), "{text}");
    let status = "STATUS=feeds up: 0 of 1 (itch: silent); sessions open: 0 of 1 (ouch: not open)";
    assert!(text.contains(status), "{text}");
    let _sim = start_sim(&lab, &desk);
    gateway
        .await_ready(Duration::from_secs(20), &NEVER)
        .expect("the session opens");
}

#[test]
fn one_core_that_stands_still_while_the_others_turn_is_not_reported_alive() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim(&lab, &desk);
    let socket_path = desk.path("notify");
    let systemd = UnixDatagram::bind(&socket_path).expect("a socket");
    // A core of its own that thinks for a second before each order, and has many to think about.
    let thinking = format!(
        "{}[layout]\nkind = \"pipeline\"\n[strategy.thinker]\nkind = \"probe\"\nfeed = \"itch\"\n\
         session = \"ouch\"\n[strategy.thinker.parameters]\nthink_ns = 1000000000\n",
        quoting(&desk)
    );
    let config = desk.write("tickgate.toml", &thinking);
    let mut command = gateway_command(&lab, &config);
    command
        .env("NOTIFY_SOCKET", &socket_path)
        .env("WATCHDOG_USEC", "200000");
    let mut gateway = start_gateway(command);
    send_day(&lab, &desk, 300);
    gateway
        .await_line(
            "core thinker has not turned",
            Duration::from_secs(10),
            &NEVER,
        )
        .expect("the core that stands still is named");
    let hears = |at_most_ms| {
        let at_most = Duration::from_millis(at_most_ms);
        systemd.set_read_timeout(Some(at_most)).expect("set");
        let mut bytes = [0; 512];
        // How the feed is may still be told, a line a second.
        while let Ok(len) = systemd.recv(&mut bytes) {
            if bytes[..len].starts_with(b"WATCHDOG=1") {
                return true;
            }
        }
        false
    };
    while hears(10) {}
    assert!(!hears(600), "systemd is told that all is well");
    gateway.end();
}

#[test]
fn cables_out_on_both_lines_are_told_and_so_is_their_return() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let groups = ["239.77.0.1:26400", "239.77.0.2:26400"];
    let lines = |interface: &str| {
        let line = |group| format!("{{ address = \"{group}\", interface = \"{interface}\" }}");
        groups.map(line).join(", ")
    };
    let published = format!(
        "[feed]\nlines = [{}]\n[flow]\nsymbols = 4\nrate = 1000\n",
        lines("10.77.1.1")
    );
    let sim = desk.write("market.toml", &format!("{SIM}{published}"));
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-sim").expect("built"));
    command.args(["run", "--config"]).arg(sim);
    let mut sim = Process::start_service("exchange", command).expect("it starts");
    sim.await_ready(Duration::from_secs(10), &NEVER)
        .expect("it listens");
    // It listens and never trades, and joins while the market goes on.
    let listening = quoting(&desk)
        .replace(
            &format!("{{ address = \"{}\", interface = \"feed0\" }}", groups[0]),
            &lines("feed0"),
        )
        .replace(
            "[strategy.quotes]\nkind = \"quoter\"",
            "[strategy.ears]\nkind = \"probe\"",
        );
    let listening = format!("{listening}[strategy.ears.parameters]\nevery = 1000000000\n");
    let config = desk.write("tickgate.toml", &listening);
    let mut gateway = start_gateway(gateway_command(&lab, &config));
    let mut tells = |what: &str| {
        let told = gateway.await_line(what, Duration::from_secs(20), &NEVER);
        told.unwrap_or_else(|error| panic!("{what}: {error}"));
    };
    for (state, told) in [
        ("down", "the feed is silent on every line; books are stale"),
        (
            "up",
            "the feed speaks again; books stay stale: messages are lost",
        ),
    ] {
        let set = in_namespace(&lab, Side::Exchange, &["ip", "link", "set", "feed0", state]);
        assert!(set.status.success(), "{}", stderr(&set));
        tells(told);
    }
    // What came before the socket was there is a gap, not a queue left out.
    let is_blamed = gateway
        .said
        .iter()
        .any(|line| line.contains("where it has no socket"));
    assert!(!is_blamed, "{:?}", gateway.said);
    gateway.end();
}

#[test]
fn exchange_that_closes_in_the_middle_is_resumed() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim = start_sim(&lab, &desk);
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let mut gateway = start_gateway(gateway_command(&lab, &config));
    send_day(&lab, &desk, 500);
    // The exchange cuts the account's connection; it keeps what it has said.
    let fault = "on = \"account\"; do = \"cut\"; at_s = 0; for_s = 1";
    let config = desk.path("sim.toml");
    let mut command = lab.command(Side::Exchange, &sibling("tickgate-sim").expect("built"));
    command.args(["ctl", "--config"]).arg(config);
    let told = command.args(["fault", fault]).output().expect("it runs");
    assert!(told.status.success(), "{}", stderr(&told));
    gateway
        .await_line("not connected", Duration::from_secs(5), &NEVER)
        .expect("the connection is cut");
    gateway
        .await_line("session open", Duration::from_secs(10), &NEVER)
        .expect("it comes back");
    drop(sim);
    let has_grown = (0..5).any(|_| next_pause_ms(&mut gateway) >= 150);
    assert!(has_grown, "pauses grow");
    gateway.end();
}

#[test]
fn exchange_that_is_not_there_is_tried_with_growing_pauses() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let mut gateway = Process::start("gateway", gateway_command(&lab, &config)).expect("it starts");
    for expected_ms in [100, 200, 400] {
        assert_pause(&mut gateway, expected_ms);
    }
    let said = gateway.said.join("\n");
    assert!(said.contains("Connection refused"), "{said}");
    gateway.signal(libc::SIGTERM);
    assert!(
        gateway
            .wait(Duration::from_secs(2), &NEVER)
            .expect("it ends")
    );
}

/// How long the pause is that it says next.
fn next_pause_ms(gateway: &mut Process) -> u32 {
    gateway
        .await_line("next try in ", Duration::from_secs(10), &NEVER)
        .expect("it tries");
    let line = gateway.said.last().expect("just said");
    let (_, after) = line.split_once("next try in ").expect("just found");
    let pause_ms = after.split(' ').next().and_then(|ms| ms.parse().ok());
    pause_ms.expect("a number")
}

/// The next pause is this long, give or take a quarter.
fn assert_pause(gateway: &mut Process, expected_ms: u32) {
    let pause_ms = next_pause_ms(gateway);
    let is_near = pause_ms.abs_diff(expected_ms) <= expected_ms / 4;
    assert!(is_near, "{pause_ms}, expected {expected_ms}");
}

#[test]
fn session_goes_on_at_the_backup_address_and_says_so() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim(&lab, &desk);
    let socket = desk.path("gateway.sock");
    let control = format!("[control]\nsocket = \"{}\"\n", socket.display());
    // Nobody listens at the first.
    let addresses = "address = \"10.77.2.1:12001\"\nbackup_addresses = [\"10.77.2.1:12000\"]";
    let text = quoting(&desk).replace("address = \"10.77.2.1:12000\"", addresses) + &control;
    let config = desk.write("tickgate.toml", &text);
    let gateway = start_gateway(gateway_command(&lab, &config));
    let said = gateway.said.join("\n");
    assert!(
        said.contains("not connected to 10.77.2.1:12001: Connection refused"),
        "{said}"
    );
    assert!(said.contains(" ms, at 10.77.2.1:12000"), "{said}");
    let told = desk::ctl(&socket, &["--json", "sessions"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let text = told.to_string();
    assert!(text.contains("\"address\":\"10.77.2.1:12000\""), "{text}");
}

#[test]
fn interrupted_demo_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let program = sibling("tickgate-bench").expect("built");
    let mut demo = Command::new(program)
        .arg("demo")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let names = format!("tg-{}-", demo.id());
    let listed = || {
        let output = Command::new("ip")
            .args(["netns", "list"])
            .output()
            .expect("ip runs");
        String::from_utf8_lossy(&output.stdout).contains(&names)
    };
    let until = monotonic_ns() + 60_000_000_000;
    // In the middle: the exchange has been started.
    let is_sending = || {
        let all = Command::new("pgrep")
            .args(["-P", &demo.id().to_string(), "-f", "tickgate-sim"])
            .output();
        all.is_ok_and(|output| output.status.success())
    };
    while !(listed() && is_sending()) {
        assert!(monotonic_ns() < until, "the demo does not start");
        std::thread::yield_now();
    }
    send_signal(i32::try_from(demo.id()).expect("a pid"), libc::SIGINT);
    assert!(!demo.wait().expect("it ends").success());
    assert!(!listed(), "namespaces are left behind");
}

/// Starts a gateway on loopback and gives its status and what it said.
fn run_on_loopback(change: impl FnOnce(&str) -> String) -> (Option<i32>, String) {
    let desk = Desk::new();
    let text = format!(
        "[feed.itch]\nlines = [{{ address = \"127.0.0.1:26477\", interface = \"lo\" }}]\n\
                receive = \"udp\"\n[session.ouch]\naddress = \"127.0.0.1:1\"\nusername = \"demo\"\n\
                password = \"demo\"\n{LIMITS}[strategy.p]\nkind = \"probe\"\nfeed = \"itch\"\n\
                session = \"ouch\"\n[host]\nlock_memory = false\n"
    );
    let config = desk.write("tickgate.toml", &change(&text));
    let output = tool(
        "tickgate",
        &["run", "--config", &config.display().to_string()],
    );
    (output.status.code(), stderr(&output))
}

#[test]
fn faults_of_configuration_end_with_status_2_and_one_line() {
    let (status, said) = run_on_loopback(|text| text.replace("receive", "recieve"));
    assert_eq!((status, said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("feed.itch.recieve: unknown key"), "{said}");
    let (status, said) = run_on_loopback(|text| text.replace("\"probe\"", "\"prob\""));
    assert_eq!((status, said.lines().count()), (Some(2), 1), "{said}");
    assert!(
        said.contains("strategy.p: unknown kind \"prob\", expected \"probe\""),
        "{said}"
    );
    let output = tool(
        "tickgate",
        &["run", "--config", "/nonexistent/tickgate.toml"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nonexistent/tickgate.toml: No such file"));
    assert_eq!(tool("tickgate", &["fly"]).status.code(), Some(2));
}

#[test]
fn interface_that_does_not_exist_and_taken_port_end_with_status_1_and_one_line() {
    let (status, said) = run_on_loopback(|text| {
        text.replace("\"lo\"", "\"tg-none\"")
            .replace("receive = \"udp\"", "receive = \"af_xdp\"")
    });
    assert_eq!((status, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("interface tg-none does not exist"), "{said}");
    let holder = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = holder.local_addr().expect("bound").port().to_string();
    let (status, said) = run_on_loopback(|text| text.replace("26477", &port));
    assert_eq!(status, Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.contains(&port) && last.contains("Address already in use"),
        "{said}"
    );
}

#[test]
fn taken_port_of_the_exchange_is_told() {
    let holder = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = holder.local_addr().expect("bound");
    let desk = Desk::new();
    let config = desk.write(
        "sim.toml",
        &format!("address = \"{address}\"\n[account.a]\npassword = \"p\"\n"),
    );
    let output = tool(
        "tickgate-sim",
        &["run", "--config", &config.display().to_string()],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("Address already in use"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn required_rung_that_is_not_there_is_refused_with_the_kernels_error() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let mut command = gateway_command(&lab, &config);
    command.args(["--set", "feed.itch.af_xdp.require=zero-copy"]);
    let mut gateway = Process::start("gateway", command).expect("it starts");
    assert!(
        !gateway
            .wait(Duration::from_secs(10), &NEVER)
            .expect("it ends")
    );
    let said = gateway.said.join("\n");
    let expected = "required zero-copy, but zero-copy failed on driver veth: queue 0: Operation not \
                    supported";
    assert!(said.contains(expected), "{said}");
    assert!(!link(&lab).contains("xdp"));
}

#[test]
fn trial_passes_when_wanted_frames_arrive_and_the_kernel_hears_the_rest() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let day = Day {
        line: "239.77.0.1:26400",
        seed: 5,
        messages: 20_000,
        rate: "1000",
        cpu: None,
    };
    let _sender = day.send(&lab, &desk);
    // Heartbeats come first; the gateway is to miss the beginning of what follows them.
    let until = monotonic_ns() + 20_000_000_000;
    while sent_packets(&lab) < 50 {
        assert!(monotonic_ns() < until, "nothing is sent");
        std::thread::yield_now();
    }
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let mut command = gateway_command(&lab, &config);
    command.args(["--set", "feed.itch.af_xdp.trial_ms=10000"]);
    let mut gateway = Process::start("gateway", command).expect("it starts");
    let passed = "native-copy, trial Passed";
    gateway
        .await_line(passed, Duration::from_secs(20), &NEVER)
        .expect("it passes");
    // Who joins late is told so, and orders on what may be a wrong book are refused.
    let gap = "gap in the feed";
    gateway
        .await_line(gap, Duration::from_secs(20), &NEVER)
        .expect("it tells the gap");
    gateway.end();
}

#[test]
fn generic_mode_and_pipeline_receive_too() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim(&lab, &desk);
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let mut command = gateway_command(&lab, &config);
    command.args([
        "--set",
        "feed.itch.af_xdp.mode=generic",
        "--set",
        "layout.kind=pipeline",
    ]);
    let mut gateway = start_gateway(command);
    assert!(
        gateway.said.join("\n").contains("generic, trial"),
        "{:?}",
        gateway.said
    );
    assert!(link(&lab).contains("xdpgeneric"), "{}", link(&lab));
    send_day(&lab, &desk, 2_000);
    gateway.end();
    let text = std::fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["runs"][0]["received"], 2_000);
    assert_eq!(report["runs"][0]["lost"], 0);
}

#[test]
fn kernel_without_af_xdp_and_process_without_rights_step_down_or_refuse() {
    if !is_root() || !has("clang") || !has("setpriv") {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    // A kernel without AF_XDP, played by a library that refuses the address family.
    let source = desk.write(
        "no_xdp.c",
        "#include <errno.h>\n#include <sys/socket.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
         int socket(int d, int t, int p) { if (d == 44) { errno = EAFNOSUPPORT; return -1; }\n\
         return syscall(SYS_socket, d, t, p); }\n",
    );
    let library = desk.path("no_xdp.so");
    let built = Command::new("clang")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(built.expect("clang runs").success());
    let config = desk.write("tickgate.toml", &quoting(&desk));
    let run = |require: &str| {
        let mut command = gateway_command(&lab, &config);
        command.env("LD_PRELOAD", &library);
        command.args(["--set", &format!("feed.itch.af_xdp.require={require}")]);
        Process::start("gateway", command).expect("it starts")
    };
    let mut refused = run("generic");
    assert!(
        !refused
            .wait(Duration::from_secs(10), &NEVER)
            .expect("it ends")
    );
    let said = refused.said.join("\n");
    assert!(said.contains("Address family not supported"), "{said}");
    assert!(said.contains("CONFIG_XDP_SOCKETS"), "{said}");
    let mut stepped = run("kernel-socket");
    stepped
        .await_line("kernel sockets", Duration::from_secs(10), &NEVER)
        .expect("the last rung");
    stepped.end();

    // No rights at all.
    let mut command = Command::new("ip");
    command.args([
        "netns",
        "exec",
        lab.name(Side::Gateway),
        "setpriv",
        "--reuid",
        "65534",
    ]);
    command.args([
        "--clear-groups",
        "--bounding-set",
        "-all",
        "--inh-caps",
        "-all",
    ]);
    let copy = desk.path("tickgate");
    std::fs::copy(sibling("tickgate").expect("built"), &copy).expect("copied");
    for path in [desk.folder.path(), &copy] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("opened");
    }
    std::os::unix::fs::chown(&config, Some(65534), None).expect("given away");
    command.arg(&copy).args(["run", "--config"]).arg(&config);
    command.args(["--set", "feed.itch.af_xdp.require=generic"]);
    let mut gateway = Process::start("gateway", command).expect("it starts");
    assert!(
        !gateway
            .wait(Duration::from_secs(10), &NEVER)
            .expect("it ends")
    );
    let said = gateway.said.join("\n");
    assert!(said.contains("Operation not permitted"), "{said}");
    assert!(
        said.contains("CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW"),
        "{said}"
    );
}

#[test]
fn units_are_accepted_by_systemd() {
    if !has("systemd-analyze") {
        return;
    }
    let desk = Desk::new();
    for name in ["tickgate.service", "tickgate-sim.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../deploy/systemd")
            .join(name);
        let text = std::fs::read_to_string(&path).expect("a unit");
        // The programs are not installed on a build machine; the rest is looked at as it stands.
        let bin = sibling("tickgate").expect("built");
        let folder = bin.parent().expect("a folder").display().to_string();
        let unit = desk.write(name, &text.replace("/usr/bin", &folder));
        let output = Command::new("systemd-analyze")
            .arg("verify")
            .arg(unit)
            .output();
        let output = output.expect("it runs");
        let said = stderr(&output);
        let ours: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("tickgate"))
            .collect();
        assert!(output.status.success() && ours.is_empty(), "{said}");
    }
}

#[test]
fn doctor_tells_found_wanted_why_and_how() {
    let output = tool("tickgate", &["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in [
        "isolated CPUs",
        "huge pages",
        "clock source",
        "AF_XDP",
        "io_uring",
        "busy_poll",
    ] {
        assert!(said.contains(name), "{said}");
    }
    assert!(
        said.lines()
            .filter(|line| line.starts_with("ok") || line.starts_with("cost"))
            .count()
            >= 12
    );
    assert!(said.contains("wanted:") && said.contains("why:") && said.contains("how:"));
}

#[test]
fn check_prints_each_value_with_its_origin() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/first.toml");
    let config = config.display().to_string();
    let password = "session.ouch.password_file=\"\"";
    let arguments = [
        "check",
        "--config",
        &config,
        "--set",
        password,
        "--set",
        "rings.events=1024",
    ];
    let output = tool("tickgate", &arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(said.contains("rings.events = 1024  # --set"), "{said}");
    assert!(said.contains("rings.intents = 4096  # default"), "{said}");
    assert!(
        said.contains(&format!("strategy.quotes.kind = \"quoter\"  # {config}")),
        "{said}"
    );
}

#[test]
fn sample_day_goes_through_the_whole_house() {
    let Some(day) = shared("sample-day.itch50") else {
        return;
    };
    if !is_root() {
        return;
    }
    let show = lab::demo::Show {
        feed: Some(day),
        ..lab::demo::Show::default()
    };
    let (_, outcome) = lab::demo::demo(&show, &NEVER).expect("the demo runs");
    lab::demo::check(&outcome).expect("nothing lost");
    let feed = &outcome.run.counters[&Kind::Feed]["itch"];
    assert_eq!(outcome.run.received, 12_012);
    assert_eq!((feed["bbo_changes"], feed["trades"]), (391, 5_180));
    assert_eq!((feed["missing_ref"], feed["rejected"]), (117, 1));
}
