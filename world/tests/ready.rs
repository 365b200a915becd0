//! When the service manager hears that the gateway is ready, and what it hears until then.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod desk;
mod support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use desk::{Day, Desk, NEVER, gateway_command, start_gateway, start_sim_with};
use lab::gateway::FEEDS_WAIT;
use lab::netns::Lab;
use support::is_root;

const LINE: &str = "239.77.0.1:26400";

/// A gateway that listens and never trades.
fn listening() -> String {
    format!(
        "[feed.itch]\nlines = [{{ address = \"{LINE}\", interface = \"feed0\" }}]\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 1\nnotional_max_dollars = 1\ncollar_bps = 1\n\
         gross_exposure_max_dollars = 1\nnet_exposure_max_dollars = 1\nloss_max_dollars = 1\n\
         position_max = 1\nopen_orders_max = 1\norders_per_second_max = 1\n\
         [strategy.ears]\nkind = \"probe\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [strategy.ears.parameters]\nevery = 1000000000\n"
    )
}

/// Listens as systemd does, until it hears these words; READY before them is wrong.
fn hears(systemd: &UnixDatagram, words: &str) -> String {
    loop {
        let mut bytes = [0; 512];
        let len = systemd.recv(&mut bytes).expect("systemd hears something");
        let heard = String::from_utf8_lossy(&bytes[..len]).into_owned();
        if heard.contains(words) {
            return heard;
        }
        assert!(!heard.contains("READY=1"), "{heard}");
    }
}

#[test]
fn gateway_is_ready_once_its_feed_is_up_and_names_one_that_stays_silent() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let sim = "address = \"10.77.2.1:12000\"\n[account.demo]\npassword = \"demo\"\n";
    let _sim = start_sim_with(&lab, &desk, sim);
    let config = desk.write("tickgate.toml", &listening());
    let path = desk.path("notify");
    let systemd = UnixDatagram::bind(&path).expect("a socket");
    let patience = Some(Duration::from_secs(20));
    systemd.set_read_timeout(patience).expect("set");
    let command = |wait_ms: &str| {
        let mut command = gateway_command(&lab, &config);
        command.env("NOTIFY_SOCKET", &path).env(FEEDS_WAIT, wait_ms);
        command
    };
    // Far longer than this test: it is the feed's first packets that make it ready.
    let mut gateway = start_gateway(command("600000"));
    hears(
        &systemd,
        "STATUS=feeds up: 0 of 1 (itch: silent); sessions open: 1 of 1",
    );
    let day = Day {
        line: LINE,
        seed: 5,
        messages: 300,
        rate: "5000",
        cpu: None,
    };
    let mut sender = day.send(&lab, &desk);
    let heard = hears(&systemd, "READY=1");
    let up = "STATUS=feeds up: 1 of 1; sessions open: 1 of 1";
    assert!(heard.contains(up), "{heard}");
    sender.end();
    gateway.end();
    // The market is closed: it is ready all the same, later, and says which feed it lacks.
    while systemd.recv(&mut [0; 512]).is_ok_and(|len| len > 0) {
        systemd
            .set_read_timeout(Some(Duration::from_millis(10)))
            .expect("set");
    }
    systemd.set_read_timeout(patience).expect("set");
    let mut gateway = start_gateway(command("1000"));
    let heard = hears(&systemd, "READY=1");
    let silent = "STATUS=feeds up: 0 of 1 (itch: silent); sessions open: 1 of 1";
    assert!(heard.contains(silent), "{heard}");
    gateway
        .await_line("ready without every feed", Duration::from_secs(5), &NEVER)
        .expect("the log names it");
    gateway.end();
}
