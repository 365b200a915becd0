//! An exchange that comes back at noon without its store, under another session's name: what the morning's session has
//! executed stays in the positions of a gateway that is started again.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod desk;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use desk::{
    Day, Desk, NEVER, account_at_exchange, ctl, gateway_command, start_gateway, start_sim_with,
    until,
};
use lab::netns::Lab;
use lab::process::Process;
use rt::clock::realtime_ns;
use serde_json::Value;
use support::{is_root, stderr};

/// Shares by symbol, none where nothing is held.
type Positions = BTreeMap<String, i64>;

fn config(desk: &Desk) -> String {
    let (state, socket) = (desk.path("state"), desk.path("gateway.sock"));
    fs::create_dir_all(&state).expect("a folder");
    // A date that does not change under the test.
    let hour = realtime_ns() / 3_600_000_000_000 % 24;
    let zone = if (6..18).contains(&hour) {
        "UTC"
    } else {
        "Asia/Tokyo"
    };
    format!(
        "[host]\nstate_dir = \"{}\"\n[control]\nsocket = \"{}\"\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\n\
         stale_ms = 60000\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n\
         [session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\ncollar_bps = 500\n\
         gross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
         loss_max_dollars = 1000000000\nposition_max = 1000000\nopen_orders_max = 1000\n\
         orders_per_second_max = 10000\ntime_zone = \"{zone}\"\n\
         [strategy.quotes]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [telemetry]\njson = \"{}\"\ntable = false\n",
        state.display(),
        socket.display(),
        desk.path("out.json").display(),
    )
}

/// The exchange with nothing stored, in a session of this name.
fn exchange(lab: &Lab, desk: &Desk, session: &str) -> Process {
    let config = format!(
        "control = \"{}\"\naddress = \"10.77.2.1:12000\"\nsession = \"{session}\"\nfill_every = 7\n\
         [account.demo]\npassword = \"demo\"\n",
        desk.path("control").display()
    );
    start_sim_with(lab, desk, &config)
}

fn positions(list: &Value, shares: &str) -> Positions {
    let list = list.as_array().expect("a list").iter();
    let held = list.map(|it| {
        let symbol = it["symbol"].as_str().expect("text").trim();
        (symbol.to_owned(), it[shares].as_i64().expect("a number"))
    });
    held.filter(|(_, shares)| *shares != 0).collect()
}

fn at_exchange(desk: &Desk) -> Positions {
    let account = account_at_exchange(desk, "demo").expect("it answers");
    positions(&account["positions"], "net")
}

fn at_gateway(desk: &Desk) -> Positions {
    let output = ctl(&desk.path("gateway.sock"), &["--json", "positions"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    positions(&told["positions"]["sessions"][0]["positions"], "position")
}

fn sum(one: &Positions, other: &Positions) -> Positions {
    let mut sum = one.clone();
    for (symbol, shares) in other {
        *sum.entry(symbol.clone()).or_default() += shares;
    }
    sum.retain(|_, shares| *shares != 0);
    sum
}

fn end(mut process: Process) {
    process.signal(libc::SIGTERM);
    let has_ended = process.wait(Duration::from_secs(5), &NEVER);
    assert!(has_ended.expect("it ends"));
}

/// Executions that the run which has ended took out of the journals.
fn carried(desk: &Desk) -> u64 {
    let text = fs::read_to_string(desk.path("out.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let count = &report["runs"][0]["counters"]["session"]["ouch"]["carried"];
    count.as_u64().unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn positions_of_a_restarted_gateway_are_the_sum_of_the_sessions_of_the_day() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let file = desk.write("tickgate.toml", &config(&desk));
    let start = || start_gateway(gateway_command(&lab, &file));
    let trade = |seed| {
        let day = Day {
            line: "239.77.0.1:26400",
            seed,
            messages: 300_000,
            rate: "2000",
            cpu: None,
        };
        let _sender = day.send(&lab, &desk);
        until("positions", || (at_exchange(&desk).len() > 2).then_some(()));
    };

    let sim = exchange(&lab, &desk, "MORNING");
    let gateway = start();
    trade(5);
    end(gateway);
    let morning = at_exchange(&desk);
    end(sim);

    let sim = exchange(&lab, &desk, "NOON");
    assert_eq!(at_exchange(&desk), Positions::new(), "it has forgotten all");
    let gateway = start();
    assert_eq!(at_gateway(&desk), morning);
    trade(6);
    end(gateway);
    let executions = carried(&desk);
    assert!(executions > 2, "{executions}");
    let noon = at_exchange(&desk);

    // Again on the same session: that is told by the exchange, the morning by the journals.
    let gateway = start();
    assert_eq!(at_gateway(&desk), sum(&morning, &noon));
    eprintln!("morning {morning:?}, noon {noon:?}, {executions} executions carried");
    end(gateway);
    assert_eq!(carried(&desk), executions);
    drop(sim);
}
