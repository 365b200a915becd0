//! The publisher: everything that is told of one gateway, and every command to it.
//!
//! ```text
//!  asker ──status, report──> intervals, alerts ─┐
//!  journal ──follower──> events ────────────────┼─> outbox ──client──> broker (a thread)
//!  commands <──guard── messages of the broker   <── said ──────────────┘
//! ```
//!
//! Thread:      main; the threads of asker, commands and broker tell it what happened through one bounded channel
//! Bounded by:  the outbox, and the client's requests. What does not fit is dropped and counted where the next message says it again
//!              (status, counters, totals), put off where it does not (intervals), and left in the journal (orders, fills).

use hdrhistogram::Histogram;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use serde_json::{Value, json};
use std::sync::mpsc::SyncSender;
use tickgate_config::MqttTopics;

use super::alerts::{Alerts, Change};
use super::asker::Heard;
use super::broker::Said;
use super::commands::{Command, Guard, Refusal};
use super::counts::Counts;
use super::events::Event;
use super::follower::{Follower, Step};
use super::intervals::{Intervals, Measurement, Moment, Seen, written};
use super::message::{Class, Message};
use super::outbox::Outbox;
use super::position::Keeper;
use super::topics::Topics;
use crate::control::answer::{Body, Status};
use crate::telemetry::Run;

/// Records of the journal in one turn: the broker is heard between.
const RECORDS_A_TURN: usize = 4096;
/// How often the position in the journal is kept.
const KEEP_EVERY_NS: u64 = 500_000_000;
/// How often refused commands are logged.
const COMPLAIN_EVERY_NS: u64 = 10_000_000_000;

/// What one is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) instance: String,
    pub(super) topics: Topics,
    pub(super) promises: MqttTopics,
    pub(super) outbox: Outbox,
    /// The journal, and where it is kept how far it has been told.
    pub(super) journal: Option<(Follower, Keeper)>,
    /// Who judges commands, and who does them.
    pub(super) commands: Option<(Guard, SyncSender<Command>)>,
}

/// The publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    parts: Parts,
    client: Option<AsyncClient>,
    intervals: Intervals,
    alerts: Alerts,
    counts: Counts,
    /// The gateway's status as it was told last.
    status: Option<String>,
    /// The last word has been said.
    is_over: bool,
    kept_ns: u64,
    complained_ns: Option<u64>,
}

/// What is told where nobody is there to tell it any more.
pub(super) fn offline(instance: &str) -> String {
    json!({ "instance": instance, "state": "offline" }).to_string()
}

impl Publisher {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            client: None,
            intervals: Intervals::default(),
            alerts: Alerts::default(),
            counts: Counts::default(),
            status: None,
            is_over: false,
            kept_ns: 0,
            complained_ns: None,
        }
    }

    /// The broker's thread has said something.
    pub(super) fn on_broker(&mut self, said: Said, now_ns: u64) {
        match said {
            Said::Up(client) => self.on_up(client),
            Said::Down(why) => self.on_down(&why),
            Said::Sent(packet) => {
                let done = self.parts.outbox.on_sent(packet);
                self.counts.on_published_if(done);
            }
            Said::Acknowledged(packet) => {
                let done = self.parts.outbox.on_acknowledged(packet);
                self.counts.on_published_if(done);
            }
            Said::Refused(packet) => {
                if let Some(done) = self.parts.outbox.on_acknowledged(packet) {
                    self.counts.refused_by_broker += 1;
                    log::error!(
                        "the broker refuses {}: is its user allowed to?",
                        done.class.name()
                    );
                }
            }
            // Nothing says when it would take it: the next connection tries again.
            Said::NotNow => {
                if let Some(client) = &self.client {
                    let _ = client.try_disconnect();
                }
            }
            Said::Message { topic, payload } => self.on_message(&topic, &payload, now_ns),
        }
    }

    fn on_up(&mut self, client: AsyncClient) {
        log::info!("the broker is there");
        self.counts.connections += 1;
        if self.parts.commands.is_some() {
            let topic = self.parts.topics.command();
            // A new client has room for it.
            let _ = client.try_subscribe(topic, QoS::AtLeastOnce);
        }
        self.client = Some(client);
        // A broker that was begun anew may have forgotten what it was to keep.
        if let Some(text) = self.status.clone() {
            let topic = self.parts.topics.status();
            self.loose(Class::Status, topic, text);
        }
        for change in self.alerts.all() {
            self.alert(&change);
        }
    }

    fn on_down(&mut self, why: &str) {
        if self.client.take().is_some() {
            log::warn!("the broker is gone: {why}");
        } else if self.counts.connections_lost == 0 {
            log::warn!("no broker: {why}; trying again");
        }
        self.counts.connections_lost += 1;
        let (again, lost) = self.parts.outbox.on_down();
        self.counts.handed_again += again as u64;
        for class in lost {
            self.counts.on_dropped(class);
        }
    }

    /// What asking the gateway came to.
    pub(super) fn on_heard(&mut self, heard: Heard, now_ns: u64) {
        // Nothing comes behind the last word.
        if self.is_over {
            return;
        }
        match heard {
            Heard::Status(Ok(status)) => self.on_status(&status, now_ns),
            Heard::Status(Err(error)) => {
                self.counts.gateway_unheard += 1;
                let changes = self.alerts.on_gone(&error, now_ns);
                self.tell_alerts(&changes);
                let instance = &self.parts.instance;
                let gone = json!({
                    "instance": instance, "state": "gateway-gone", "time_ns": now_ns, "error": error,
                });
                self.tell_status(gone.to_string());
            }
            Heard::Report(Ok(both)) => self.on_report(&both.0, &both.1, now_ns),
            Heard::Report(Err(_)) => self.counts.gateway_unheard += 1,
            Heard::Done(command, done) => self.on_done(&command, *done, now_ns),
        }
    }

    fn on_status(&mut self, status: &Status, now_ns: u64) {
        let changes = self.alerts.on_status(status, now_ns);
        self.tell_alerts(&changes);
        self.intervals.on_moment(&moment(status, now_ns));
        let told = json!({
            "instance": self.parts.instance, "state": "online", "time_ns": now_ns, "run": self.intervals.run(),
            "status": status,
        });
        self.tell_status(told.to_string());
    }

    fn tell_status(&mut self, text: String) {
        self.status = Some(text.clone());
        let topic = self.parts.topics.status();
        self.loose(Class::Status, topic, text);
    }

    fn tell_alerts(&mut self, changes: &[Change]) {
        for change in changes {
            if change.is_raised {
                log::warn!("{} {}: {}", change.alert.name(), change.of, change.text);
            }
            self.alert(change);
        }
    }

    fn alert(&mut self, change: &Change) {
        let state = if change.is_raised {
            "raised"
        } else {
            "cleared"
        };
        let (alert, of, since_ns) = (change.alert.name(), &change.of, change.since_ns);
        let text = json!({
            "id": format!("{alert}/{of}/{since_ns}/{state}"), "instance": self.parts.instance, "alert": alert, "of": of,
            "state": state, "since_ns": since_ns, "text": change.text,
        });
        let topic = self.parts.topics.alert(alert, of);
        self.keep(Class::Alerts, topic, text.to_string());
    }

    fn on_report(&mut self, status: &Status, report: &Run, now_ns: u64) {
        let moment = moment(status, now_ns);
        for seen in self.intervals.on_report(report, &moment) {
            self.measured(&seen, now_ns);
        }
        let run = self.intervals.run();
        let counters = json!({
            "instance": self.parts.instance, "run": run, "time_ns": now_ns, "counters": report.counters,
        });
        let topic = self.parts.topics.counters();
        self.loose(Class::Counters, topic, counters.to_string());
        self.tell_counts(now_ns);
    }

    /// A histogram of the run so far, and of the interval; an interval that nobody takes goes on.
    fn measured(&mut self, seen: &Seen, now_ns: u64) {
        let (place, name) = (&seen.key.place, &seen.key.name);
        let began_ns = self.intervals.began_ns();
        let total = self.measurement(seen, &seen.total, began_ns, now_ns);
        let topic = self.parts.topics.total(place, name);
        self.loose(Class::Totals, topic, total);
        let is_told = match &seen.fresh {
            None => true,
            Some(fresh) => {
                let interval = self.measurement(seen, fresh, seen.start_ns, now_ns);
                let topic = self.parts.topics.histogram(place, name);
                self.loose(Class::Histograms, topic, interval)
            }
        };
        if is_told {
            self.intervals.on_told(seen, now_ns);
        }
    }

    fn measurement(
        &self,
        seen: &Seen,
        histogram: &Histogram<u64>,
        start_ns: u64,
        end_ns: u64,
    ) -> String {
        let (count, hdr) = written(histogram);
        let measurement = Measurement {
            instance: &self.parts.instance,
            run: &self.intervals.run(),
            place: &seen.key.place,
            name: &seen.key.name,
            seq: seen.seq,
            start_ns,
            end_ns,
            count,
            hdr,
        };
        // Text and numbers: nothing that JSON does not have.
        serde_json::to_string(&measurement).unwrap_or_default()
    }

    /// What this process counts of itself.
    fn tell_counts(&mut self, now_ns: u64) {
        if let Some((follower, _)) = &self.parts.journal {
            self.counts.records = follower.records;
            self.counts.journal_gaps = follower.gaps;
        }
        let text = json!({
            "instance": self.parts.instance, "time_ns": now_ns, "waiting": self.parts.outbox.len(),
            "counts": self.counts,
        });
        let topic = self.parts.topics.publisher();
        self.loose(Class::Counters, topic, text.to_string());
    }

    /// Takes out of the journal what the outbox has room for; whether there is more.
    pub(super) fn follow(&mut self) -> bool {
        let Some((follower, _)) = &mut self.parts.journal else {
            return false;
        };
        for _ in 0..RECORDS_A_TURN {
            if !self.parts.outbox.has_room() {
                return false;
            }
            match follower.step() {
                Step::End => return false,
                Step::Silent => {}
                Step::Told(event, position) => {
                    let Event {
                        class,
                        session,
                        text,
                    } = event;
                    let topic = match class {
                        Class::Fills => self.parts.topics.fills(&session),
                        _ => self.parts.topics.orders(&session),
                    };
                    if let Some(message) = Message::of(class, &self.parts.promises, topic, text) {
                        self.parts.outbox.keep_journaled(message, position);
                    }
                }
            }
        }
        true
    }

    /// Hands the client what waits.
    pub(super) fn hand(&mut self) {
        let Some(client) = &self.client else {
            return;
        };
        self.parts.outbox.hand(|message| message.hand(client));
    }

    /// Keeps how far the journal has been dealt with, now and then, or at once.
    pub(super) fn keep_position(&mut self, now_ns: u64, is_last: bool) {
        if !is_last && now_ns.saturating_sub(self.kept_ns) < KEEP_EVERY_NS {
            return;
        }
        self.kept_ns = now_ns;
        let Some((follower, keeper)) = &mut self.parts.journal else {
            return;
        };
        let earliest = self.parts.outbox.earliest().cloned();
        let position = earliest.unwrap_or_else(|| follower.position());
        if let Err(error) = keeper.keep(&position) {
            log::error!("the position in the journal cannot be kept: {error}");
        }
    }

    /// Something of the command topic.
    fn on_message(&mut self, topic: &[u8], payload: &[u8], now_ns: u64) {
        let Some((guard, wishes)) = &mut self.parts.commands else {
            return;
        };
        if topic != self.parts.topics.command().as_bytes() {
            return;
        }
        let judged = guard.judge(payload, now_ns / 1_000_000_000);
        let refused = match judged {
            Ok(command) => match wishes.try_send(command.clone()) {
                Ok(()) => {
                    let Command {
                        verb,
                        nonce,
                        reason,
                        ..
                    } = &command;
                    log::warn!("command by MQTT: {verb:?} {reason:?}, nonce {nonce:?}");
                    return;
                }
                Err(_) => {
                    self.result(&command, Err("busy: try again".to_owned()), now_ns);
                    Refusal::Busy
                }
            },
            Err(refused) => refused,
        };
        self.counts.on_refused(refused);
        let is_quiet = |at: u64| now_ns.saturating_sub(at) < COMPLAIN_EVERY_NS;
        if !self.complained_ns.is_some_and(is_quiet) {
            self.complained_ns = Some(now_ns);
            let all: u64 = self.counts.commands_refused.values().sum();
            log::warn!("command by MQTT refused: {}; {all} so far", refused.name());
        }
    }

    fn on_done(&mut self, command: &Command, done: Result<Body, String>, now_ns: u64) {
        self.counts.commands += 1;
        match &done {
            Ok(_) => log::warn!("command by MQTT, nonce {:?}: done", command.nonce),
            Err(error) => log::error!("command by MQTT, nonce {:?}: {error}", command.nonce),
        }
        self.result(command, done, now_ns);
    }

    fn result(&mut self, command: &Command, done: Result<Body, String>, now_ns: u64) {
        let mut text = json!({
            "instance": self.parts.instance, "nonce": command.nonce, "time_ns": now_ns, "is_done": done.is_ok(),
        });
        let (name, value) = match done {
            Ok(body) => ("answer", json!(body)),
            Err(error) => ("error", Value::String(error)),
        };
        if let Some(fields) = text.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
        let topic = self.parts.topics.result();
        self.keep(Class::Results, topic, text.to_string());
    }

    /// Nothing more will come from here.
    pub(super) fn say_offline(&mut self, now_ns: u64) {
        self.tell_counts(now_ns);
        self.is_over = true;
        self.status = None;
        let topic = self.parts.topics.status();
        let text = offline(&self.parts.instance);
        self.keep(Class::Status, topic, text);
        self.hand();
    }

    /// Whether everything has been said.
    pub(super) fn is_idle(&self) -> bool {
        self.parts.outbox.len() == 0 || self.client.is_none()
    }

    pub(super) fn disconnect(&self) {
        if let Some(client) = &self.client {
            let _ = client.try_disconnect();
        }
    }

    /// Tells something that must arrive.
    fn keep(&mut self, class: Class, topic: String, text: String) {
        let Some(message) = Message::of(class, &self.parts.promises, topic, text) else {
            return;
        };
        if let Err(message) = self.parts.outbox.keep(message) {
            self.counts.on_dropped(message.class);
        }
    }

    /// Tells something that the next message says again; whether the client has taken it, or nobody wants it.
    fn loose(&mut self, class: Class, topic: String, text: String) -> bool {
        let Some(message) = Message::of(class, &self.parts.promises, topic, text) else {
            return true;
        };
        let is_taken = self.client.as_ref().is_some_and(|it| message.hand(it));
        if is_taken {
            self.parts.outbox.handed_loose(class);
        } else if class != Class::Histograms {
            self.counts.on_dropped(class);
        }
        is_taken
    }
}

fn moment(status: &Status, now_ns: u64) -> Moment {
    Moment {
        pid: status.pid,
        began_ns: now_ns.saturating_sub(status.uptime_s.saturating_mul(1_000_000_000)),
    }
}
