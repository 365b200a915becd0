//! `tickgate mqtt`: tells a broker how a running gateway is, what it measures, and what becomes of its orders; takes commands that are
//! signed.
//!
//! A process of its own beside the gateway: it asks at the control socket as `tickgate ctl` does, and reads the journal. No byte of
//! MQTT or TLS reaches the one that trades, and nothing here can hold it up. docs/mqtt.md has topics, payloads and promises.

mod alerts;
mod asker;
mod broker;
pub mod commands;
mod counts;
mod events;
pub(super) mod fleet;
mod follower;
mod intervals;
mod message;
mod outbox;
mod position;
mod publisher;
mod tls;
mod topics;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rt::clock::{monotonic_ns, realtime_ns};
use signal_hook::consts::{SIGINT, SIGTERM};
use tickgate_config::Mqtt;

use super::{FAILED, WRONG_USAGE, fail, password, systemd};
use asker::{Heard, Often};
use broker::{Broker, Said};
use commands::Guard;
use follower::Follower;
use outbox::Outbox;
use position::Keeper;
use publisher::{Parts, Publisher};
use topics::Topics;

/// What may wait to be looked at: what the broker says while the journal is read.
const TOLD_MAX: usize = 1024;
/// How long what has been written to the journal may lie there.
const LOOK: Duration = Duration::from_millis(20);
/// How long the broker may take to acknowledge the last words.
const LAST_WORDS_NS: u64 = 2_000_000_000;
/// The largest packet that a broker may send here: a command with its topic.
const PACKET_BYTES_MAX: u32 = 8192;
/// The longest password of a broker.
const PASSWORD_BYTES_MAX: usize = 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Broker, topics and commands: a file of its own, explained in the mqtt.toml that comes with Tickgate.
    #[arg(long, value_name = "FILE", default_value = "/etc/tickgate/mqtt.toml")]
    config: PathBuf,
    /// Say whether the file is right, and end.
    #[arg(long)]
    check: bool,
}

/// What another thread tells the publisher.
#[derive(Debug)]
enum Told {
    Broker(Said),
    Heard(Heard),
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let shown = arguments.config.display();
    let read = match std::fs::read_to_string(&arguments.config) {
        Ok(text) => Mqtt::parse(&text),
        Err(error) => Err(vec![error.to_string()]),
    };
    let settings = match read {
        Ok(settings) => settings,
        Err(faults) => {
            for fault in &faults {
                log::error!("{shown}: {fault}");
            }
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let broker = match broker_options(&settings) {
        Ok(broker) => broker,
        Err(error) => return fail(WRONG_USAGE, &format!("{shown}: {error}")),
    };
    if arguments.check {
        // Its secrets can be read, too.
        return match commands_key(&settings) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => fail(WRONG_USAGE, &format!("{shown}: {error}")),
        };
    }
    match publish(&settings, broker) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, &error),
    }
}

fn broker_options(settings: &Mqtt) -> Result<broker::Options, String> {
    let broker = &settings.broker;
    let (host, port) = broker.host_and_port().unwrap_or_default();
    let ca_file = (!broker.ca_file.is_empty()).then(|| Path::new(&broker.ca_file));
    let tls = broker.tls.then(|| tls::config(ca_file));
    let tls = tls
        .transpose()
        .map_err(|it| format!("broker.ca_file: {it}"))?;
    let secret = password::secret(
        &broker.password_file,
        &broker.password_credential,
        PASSWORD_BYTES_MAX,
    );
    let secret = secret.map_err(|error| format!("broker.password_{error}"))?;
    if tls.is_none() && !broker.username.is_empty() {
        log::warn!("broker.tls is false: the password goes over the network in the clear");
    }
    let login = (broker.username.clone(), secret.unwrap_or_default());
    let topics = Topics::new(&settings.prefix, &settings.instance);
    Ok(broker::Options {
        host: host.to_owned(),
        port,
        tls,
        client_id: settings.client_id(),
        login: (!login.0.is_empty()).then_some(login),
        keep_alive: Duration::from_secs(broker.keep_alive_s),
        connect: broker::CONNECT,
        packet_bytes_max: PACKET_BYTES_MAX,
        unacknowledged_max: broker.unacknowledged_max,
        will: Some((topics.status(), publisher::offline(&settings.instance))),
    })
}

/// The key of commands; `None`: none are taken.
fn commands_key(settings: &Mqtt) -> Result<Option<ring::hmac::Key>, String> {
    let commands = &settings.commands;
    if !commands.enabled {
        return Ok(None);
    }
    let bytes_max = 1024;
    let secret = password::secret(&commands.key_file, &commands.key_credential, bytes_max);
    let secret = secret.map_err(|error| format!("commands.key_{error}"))?;
    let key = commands::key(&secret.unwrap_or_default());
    key.map(Some)
        .map_err(|error| format!("commands.key: {error}"))
}

fn publish(settings: &Mqtt, broker: broker::Options) -> Result<(), String> {
    let end = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&end))
            .map_err(|error| format!("signal {signal}: {error}"))?;
    }
    let (tells, happened) = sync_channel(TOLD_MAX);
    let mut publisher = Publisher::new(parts(settings, &tells)?);
    let threads = |error: std::io::Error| format!("a thread: {error}");
    let often = Often {
        status: Duration::from_millis(settings.status_ms),
        report: Duration::from_millis(settings.report_ms),
    };
    let heard = tells.clone();
    let tell = move |it| heard.send(Told::Heard(it)).is_ok();
    asker::ask_often(PathBuf::from(&settings.socket), often, tell).map_err(threads)?;
    let (host, port) = (broker.host.clone(), broker.port);
    let tell = move |it| tells.send(Told::Broker(it)).is_ok();
    let broker = Broker::start(broker, tell).map_err(threads)?;
    log::info!("publishing {} to {host}:{port}", settings.socket);
    while !end.load(Ordering::SeqCst) {
        turn(&mut publisher, &happened);
    }
    publisher.say_offline(realtime_ns());
    broker.stop();
    let until_ns = monotonic_ns() + LAST_WORDS_NS;
    while !publisher.is_idle() && monotonic_ns() < until_ns {
        turn(&mut publisher, &happened);
    }
    publisher.disconnect();
    while !broker.is_over() && monotonic_ns() < until_ns {
        hear(&mut publisher, &happened);
    }
    publisher.keep_position(realtime_ns(), true);
    Ok(())
}

/// Hears what happened, looks at the journal, says what there is to say.
fn turn(publisher: &mut Publisher, happened: &Receiver<Told>) {
    hear(publisher, happened);
    loop {
        let has_more = publisher.follow();
        publisher.hand();
        if !has_more {
            break;
        }
        for it in happened.try_iter().take(TOLD_MAX) {
            on(publisher, it);
        }
    }
    publisher.keep_position(realtime_ns(), false);
}

fn hear(publisher: &mut Publisher, happened: &Receiver<Told>) {
    if let Ok(first) = happened.recv_timeout(LOOK) {
        on(publisher, first);
        for it in happened.try_iter().take(TOLD_MAX) {
            on(publisher, it);
        }
    }
}

fn on(publisher: &mut Publisher, told: Told) {
    match told {
        Told::Broker(said) => publisher.on_broker(said, realtime_ns()),
        Told::Heard(heard) => publisher.on_heard(heard, realtime_ns()),
    }
}

fn parts(settings: &Mqtt, tells: &SyncSender<Told>) -> Result<Parts, String> {
    let instance = settings.instance.clone();
    let commands = match commands_key(settings)? {
        None => None,
        Some(key) => {
            let tells = tells.clone();
            let tell = move |it| tells.send(Told::Heard(it)).is_ok();
            let wishes = asker::obey(PathBuf::from(&settings.socket), tell);
            let wishes = wishes.map_err(|error| format!("a thread: {error}"))?;
            let now_s = realtime_ns() / 1_000_000_000;
            let guard = Guard::new(key, &instance, settings.commands.window_s, now_s);
            Some((guard, wishes))
        }
    };
    Ok(Parts {
        topics: Topics::new(&settings.prefix, &instance),
        promises: settings.topics,
        outbox: Outbox::new(usize::from(settings.broker.unacknowledged_max)),
        journal: journal(settings)?,
        commands,
        instance,
    })
}

/// The journal, from where it was left.
fn journal(settings: &Mqtt) -> Result<Option<(Follower, Keeper)>, String> {
    if settings.journal.is_empty() {
        log::warn!("journal: none is given, so neither orders nor fills are published");
        return Ok(None);
    }
    let state = if settings.state_dir.is_empty() {
        systemd::folder("STATE_DIRECTORY")
    } else {
        Some(PathBuf::from(&settings.state_dir))
    };
    let state = state.ok_or("state_dir: expected a folder to keep the journal's position in")?;
    let keeper = Keeper::open(&state, &settings.instance);
    let keeper = keeper.map_err(|error| format!("{}: {error}", state.display()))?;
    let folder = Path::new(&settings.journal);
    let follower = Follower::open(folder, keeper.position());
    let follower = follower.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(Some((follower, keeper)))
}
