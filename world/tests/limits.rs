//! Limits from outside: what an operator sets while the gateway trades, and a halted symbol. Whether an order went is
//! what the exchange has, never what the gateway says.

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
use std::time::Duration;

use desk::{
    Day, Desk, NEVER, account_at_exchange, ctl, gateway_command, start_gateway, start_sim_with,
    until,
};
use lab::netns::Lab;
use lab::process::Process;
use serde_json::{Value, json};
use support::{is_root, stderr, tool};

const RISK: &str = "[session.ouch.risk]\norder_qty_max = 10000\nnotional_max_dollars = 1000000\n\
     collar_bps = 500\ngross_exposure_max_dollars = 1000000000\nnet_exposure_max_dollars = 1000000000\n\
     loss_max_dollars = 1000000000\nposition_max = 100000\nopen_orders_max = 1000\n\
     orders_per_second_max = 10000\n";

/// What it hears: slow enough for an operator to act meanwhile.
const DAY: Day<'_> = Day {
    line: "239.77.0.1:26400",
    seed: 5,
    messages: 300_000,
    rate: "2000",
    cpu: None,
};

/// A gateway with a journal that quotes what it hears on the laboratory's first network.
fn config(desk: &Desk) -> String {
    let (state, socket) = (desk.path("state"), desk.path("gateway.sock"));
    fs::create_dir_all(&state).expect("a folder");
    format!(
        "[host]\nstate_dir = \"{}\"\n[control]\nsocket = \"{}\"\n\
         [feed.itch]\nlines = [{{ address = \"239.77.0.1:26400\", interface = \"feed0\" }}]\n\
         stale_ms = 60000\n\
         [session.ouch]\naddress = \"10.77.2.1:12000\"\nusername = \"demo\"\npassword = \"demo\"\n{RISK}\
         [strategy.quotes]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
         [telemetry]\ntable = false\n",
        state.display(),
        socket.display(),
    )
}

fn sim(desk: &Desk, more: &str) -> String {
    format!(
        "control = \"{}\"\naddress = \"10.77.2.1:12000\"\n{more}[account.demo]\npassword = \"demo\"\n",
        desk.path("control").display()
    )
}

/// What it answers; its exit status.
fn asked(desk: &Desk, arguments: &[&str]) -> (Value, i32) {
    let socket = desk.path("gateway.sock");
    let output = ctl(&socket, &[&["--json"], arguments].concat());
    let status = output.status.code().expect("it ends");
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    (answer, status)
}

fn limits(desk: &Desk) -> Value {
    asked(desk, &["limits"]).0["limits"][0].clone()
}

/// New orders and replaces that the exchange has had, whatever it made of them.
fn had_at_exchange(desk: &Desk) -> u64 {
    let account = account_at_exchange(desk, "demo").expect("it answers");
    let counts = ["orders_accepted", "orders_replaced", "orders_rejected"];
    let count = |name: &str| account[name].as_u64().expect("a number");
    counts.into_iter().map(count).sum()
}

/// Lines of the journal of these kinds, in order.
fn journaled(desk: &Desk, kinds: &[&str]) -> Vec<Value> {
    let folder = desk.path("state").join("journal");
    let mut arguments = vec!["journal", folder.to_str().expect("text"), "--json"];
    arguments.extend(kinds.iter().flat_map(|kind| ["--kind", *kind]));
    // Its end may be on its way to the disk.
    let output = tool("tickgate", &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON")
}

fn refused_for(desk: &Desk, refusal: &str) -> usize {
    let lines = journaled(desk, &["refused"]);
    lines.iter().filter(|it| it["refusal"] == refusal).count()
}

/// Nothing goes from the first that is refused for this on, while more are: what the exchange has had.
fn nothing_goes(desk: &Desk, refusal: &str) -> u64 {
    let before = until("the first that is refused", || {
        Some(refused_for(desk, refusal)).filter(|count| *count > 0)
    });
    until("an answer to all that went", || {
        let orders = asked(desk, &["orders"]).0["orders"]["orders"].clone();
        let mut orders = orders.as_array().expect("a list").iter();
        orders.all(|it| it["state"] == "open").then_some(())
    });
    let had = had_at_exchange(desk);
    until("more that are refused", || {
        (refused_for(desk, refusal) >= before + 20).then_some(())
    });
    assert_eq!(had_at_exchange(desk), had);
    had
}

fn stop(mut gateway: Process) {
    gateway.signal(libc::SIGTERM);
    let has_ended = gateway.wait(Duration::from_secs(5), &NEVER);
    assert!(has_ended.expect("it ends"));
}

#[test]
fn limits_tighten_at_once_loosen_with_the_tables_number_and_stay_tight_after_a_restart() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim_with(&lab, &desk, &sim(&desk, "fill_every = 7\n"));
    let file = desk.write("tickgate.toml", &config(&desk));
    let gateway = start_gateway(gateway_command(&lab, &file));
    let sender = DAY.send(&lab, &desk);
    until("orders", || (had_at_exchange(&desk) > 20).then_some(()));
    let table = limits(&desk);
    assert_eq!(
        (&table["number"], &table["changed"]),
        (&json!(1), &json!([]))
    );

    // Tighter than every quote: nothing more goes, from that moment on.
    let (told, status) = asked(&desk, &["limits", "set", "order_qty_max=99"]);
    assert_eq!(
        (status, &told["limited"]["is_set"]),
        (0, &json!(true)),
        "{told}"
    );
    let had = nothing_goes(&desk, "OrderQty");

    // Looser: only for who says the number of the table that he has seen.
    let looser = ["limits", "set", "--session", "ouch", "order_qty_max=500"];
    let (told, status) = asked(&desk, &looser);
    assert_eq!(
        (status, &told["limited"]["is_set"]),
        (1, &json!(false)),
        "{told}"
    );
    assert_eq!(told["limited"]["changes"][0]["is_looser"], true, "{told}");
    let (told, status) = asked(&desk, &[&looser[..], &["--confirm", "1"]].concat());
    assert_eq!(status, 2, "{told}");
    assert_eq!(limits(&desk)["order_qty_max"], 99);
    assert_eq!(had_at_exchange(&desk), had);
    let (told, status) = asked(&desk, &[&looser[..], &["--confirm", "2"]].concat());
    assert_eq!(
        (status, &told["limited"]["number"]),
        (0, &json!(3)),
        "{told}"
    );
    until("orders again", || {
        (had_at_exchange(&desk) > had).then_some(())
    });
    let (told, status) = asked(
        &desk,
        &["limits", "set", "position_max=200000", "--confirm", "3"],
    );
    assert_eq!(status, 0, "{told}");
    let table = limits(&desk);
    let keys = table["changed"].as_array().expect("a list").iter();
    let keys = keys.map(|it| json!([it["key"], it["configured"], it["in_force"], it["uid"]]));
    let keys: Vec<Value> = keys.collect();
    let expected = [
        json!(["order_qty_max", 10_000, 500, 0]),
        json!(["position_max", 100_000, 200_000, 0]),
    ];
    assert_eq!(keys, expected);
    let lines = journaled(&desk, &["limits"]);
    let said: Vec<_> = lines
        .iter()
        .map(|it| {
            json!([
                it["table"],
                it["uid"],
                it["order_qty_max"],
                it["position_max"]
            ])
        })
        .collect();
    let expected = [
        json!([2, 0, "10000>99", null]),
        json!([3, 0, "99>500", null]),
        json!([4, 0, null, "100000>200000"]),
    ];
    assert_eq!(said, expected);
    let (told, status) = asked(&desk, &["limits", "set", "order_qty_max=99"]);
    assert_eq!(status, 0, "{told}");
    stop(gateway);
    drop(sender);
    let had = had_at_exchange(&desk);

    // What is tighter than the configuration is so again; what is looser is not.
    let gateway = start_gateway(gateway_command(&lab, &file));
    let table = limits(&desk);
    assert_eq!(table["number"], 6);
    let changed = &table["changed"];
    assert_eq!(
        (&table["order_qty_max"], &table["position_max"], &changed[1]),
        (&json!(99), &json!(100_000), &Value::Null)
    );
    assert_eq!(
        (&changed[0]["key"], &changed[0]["since_s"]),
        (&json!("order_qty_max"), &Value::Null)
    );
    let shown = ctl(&desk.path("gateway.sock"), &["limits"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("an earlier run"), "{shown}");
    // Its own journal says so, so that it is known without those before it.
    let own = journaled(&desk, &["limits"]);
    let own = own.last().expect("a line");
    assert_eq!(
        (&own["table"], &own["order_qty_max"], &own["position_max"]),
        (&json!(5), &json!("10000>99"), &Value::Null)
    );
    let refused = refused_for(&desk, "OrderQty");
    let _sender = DAY.send(&lab, &desk);
    until("orders that are refused", || {
        (refused_for(&desk, "OrderQty") >= refused + 20).then_some(())
    });
    assert_eq!(had_at_exchange(&desk), had);
    stop(gateway);
}

#[test]
fn row_of_one_strategy_stops_its_orders_and_no_others() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim_with(&lab, &desk, &sim(&desk, ""));
    let rows = "[[session.ouch.risk.limit]]\nstrategy = \"others\"\nopen_orders_max = 2\n\
         [[session.ouch.risk.limit]]\nstrategy = \"quotes\"\nsymbol = \"*\"\norder_qty_max = 99\n\
         [strategy.others]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n";
    let file = desk.write("tickgate.toml", &(config(&desk) + rows));
    let gateway = start_gateway(gateway_command(&lab, &file));
    let _sender = DAY.send(&lab, &desk);
    let by = |strategy: &str, refusal: &str, row: u64| {
        let lines = journaled(&desk, &["refused"]);
        let by = |it: &&Value| {
            it["strategy"] == strategy && it["refusal"] == refusal && it["row"] == row
        };
        lines.iter().filter(by).count()
    };
    until("refusals of both rows", || {
        (by("quotes", "OrderQty", 2) > 20 && by("others", "OpenOrders", 1) > 20).then_some(())
    });
    let account = account_at_exchange(&desk, "demo").expect("it answers");
    let open = account["orders"].as_array().expect("a list");
    assert!((1..=2).contains(&open.len()), "{account}");
    let sent = journaled(&desk, &["sent"]);
    assert!(sent.iter().all(|it| it["strategy"] == "others"));
    stop(gateway);
}

#[test]
fn row_that_changes_while_it_trades_holds_for_its_strategy_alone_and_after_a_restart() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let _sim = start_sim_with(&lab, &desk, &sim(&desk, "fill_every = 7\n"));
    let others = "[strategy.others]\nkind = \"quoter\"\nfeed = \"itch\"\nsession = \"ouch\"\n";
    let file = desk.write("tickgate.toml", &(config(&desk) + others));
    let gateway = start_gateway(gateway_command(&lab, &file));
    let sender = DAY.send(&lab, &desk);
    let sent_by = |strategy: &str| {
        let lines = journaled(&desk, &["sent"]);
        let by = |it: &&Value| it["strategy"] == strategy && it["action"] == "enter";
        lines.iter().filter(by).count()
    };
    let refused = |strategy: &str| {
        let lines = journaled(&desk, &["refused"]);
        let by = |it: &&Value| it["strategy"] == strategy && it["refusal"] == "OrderQty";
        lines.iter().filter(by).count()
    };
    until("orders of both", || {
        (sent_by("quotes") > 5 && sent_by("others") > 5).then_some(())
    });

    let set = |more: &[&str]| {
        let row = ["limits", "set", "--strategy", "others", "--symbol", "*"];
        asked(&desk, &[&row[..], more].concat())
    };
    let (told, status) = set(&["order_qty_max=99"]);
    assert_eq!(
        (status, &told["limited"]["is_set"]),
        (0, &json!(true)),
        "{told}"
    );
    let number = told["limited"]["number"].as_u64().expect("a number");
    until("refusals", || (refused("others") > 5).then_some(()));
    let (had, goes_on) = (sent_by("others"), sent_by("quotes"));
    until("more of both", || {
        (refused("others") > 25 && sent_by("quotes") > goes_on + 5).then_some(())
    });
    assert_eq!((sent_by("others"), refused("quotes")), (had, 0));

    let (told, status) = set(&["order_qty_max=none"]);
    assert_eq!(
        (status, &told["limited"]["is_set"]),
        (1, &json!(false)),
        "{told}"
    );
    assert_eq!(sent_by("others"), had);
    let confirm = number.to_string();
    let (told, status) = set(&["order_qty_max=none", "--confirm", &confirm]);
    assert_eq!(
        (status, &told["limited"]["is_set"]),
        (0, &json!(true)),
        "{told}"
    );
    until("its orders again", || {
        (sent_by("others") > had).then_some(())
    });
    assert_eq!(set(&["order_qty_max=99"]).1, 0);
    stop(gateway);
    drop(sender);

    let gateway = start_gateway(gateway_command(&lab, &file));
    let (had, was_refused) = (sent_by("others"), refused("others"));
    let _sender = DAY.send(&lab, &desk);
    until("refusals again", || {
        (refused("others") > was_refused + 5).then_some(())
    });
    assert_eq!(sent_by("others"), had);
    stop(gateway);
    let said: Vec<Value> = journaled(&desk, &["asked"])
        .iter()
        .map(|it| json!([it["session"], it["uid"], it["asked"]]))
        .collect();
    let row = "limits set all --strategy \"others\" --symbol \"*\" \"order_qty_max\"=";
    let confirmed = format!("none --confirm {number}");
    let expected = ["99", "none", &confirmed, "99"];
    let expected = expected.map(|end| json!(["control", 0, format!("{row}{end}")]));
    assert_eq!(said, expected);
}

#[test]
fn nothing_goes_in_a_symbol_that_the_exchange_halts_until_it_trades_again() {
    if !is_root() {
        return;
    }
    let (lab, desk) = (Lab::new().expect("a lab"), Desk::new());
    let market = "[feed]\nlines = [{ address = \"239.77.0.1:26400\", interface = \"10.77.1.1\" }]\n\
         [clock]\nwait_for_login_ms = 300\n[flow]\nsymbols = 1\nrate = 2000\n";
    let _sim = start_sim_with(&lab, &desk, &sim(&desk, market));
    let file = desk.write("tickgate.toml", &config(&desk));
    let gateway = start_gateway(gateway_command(&lab, &file));
    let symbol = until("an order of the only symbol", || {
        let account = account_at_exchange(&desk, "demo").expect("it answers");
        account["orders"][0]["symbol"].as_str().map(str::to_owned)
    });
    halt(&desk, "halt", &symbol);
    let (told, status) = asked(&desk, &["cancel", "all"]);
    assert_eq!(status, 0, "{told}");
    until("nothing open", || {
        let account = account_at_exchange(&desk, "demo").expect("it answers");
        (account["orders_open"] == 0).then_some(())
    });
    // It wants its quotes back with each event of the symbol, and halted again is one.
    let had = had_at_exchange(&desk);
    until("orders that are refused", || {
        halt(&desk, "halt", &symbol);
        (refused_for(&desk, "Halted") >= 4).then_some(())
    });
    assert_eq!(had_at_exchange(&desk), had);
    halt(&desk, "resume", &symbol);
    until("orders again", || {
        (had_at_exchange(&desk) > had).then_some(())
    });
    let account = account_at_exchange(&desk, "demo").expect("it answers");
    eprintln!(
        "rejected by the exchange, on their way when it halted: {}",
        account["orders_rejected"]
    );
    stop(gateway);
}

fn halt(desk: &Desk, verb: &str, symbol: &str) {
    let config = desk.path("sim.toml");
    let config = config.to_str().expect("text");
    let arguments = ["ctl", "--config", config, verb, symbol];
    let output = tool("tickgate-sim", &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
}
