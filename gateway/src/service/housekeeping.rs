//! The housekeeping core: signals, notices, watchdogs, reports. It sleeps between turns.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use feed_handler::xdp::Unserved;
use rt::clock::monotonic_ns;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use super::certificate::HostWatch;
use super::declared;
use super::house::{House, SessionHouse};
use super::kill_file::KillWatch;
use super::manager::notify;
use super::progress::Progress;
use super::readiness::Readiness;
use super::receive::InterfaceWatch;
use super::reload_bell::ReloadBell;
use super::reports::ReportDesk;
use super::sandbox::Sandbox;
use super::{Core, StopHandle, pause};
use crate::order::entry::State;
use crate::order::risk::{KillCause, KillSwitch};
use crate::telemetry::{ByLabel, Count, Gathered, Kind, Report, Run, SessionReport};
use crate::trace::file::SlowFile;

/// How often it looks up: the longest that a signal waits.
pub(super) const TURN: Duration = Duration::from_millis(20);
/// Fields of systemd's journal: whose news it is, and what has happened.
const FEED: &str = "TICKGATE_FEED";
const EVENT: &str = "TICKGATE_EVENT";
/// How often queues are checked for standing still.
const QUEUE_CHECK_NS: u64 = 1_000_000_000;

/// What is said of a past that takes long.
const PAST: &str = "sessions: the exchange has told again";

/// What it looks after.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) house: House,
    pub(super) slow: SlowFile,
    pub(super) kill_watch: KillWatch,
    pub(super) desk: ReportDesk,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) readiness: Readiness,
    pub(super) reload: ReloadBell,
    pub(super) host_watch: Option<HostWatch>,
}

#[derive(Debug)]
pub(crate) struct Housekeeping {
    house: House,
    slow: SlowFile,
    kill_watch: KillWatch,
    desk: ReportDesk,
    sandbox: Arc<Sandbox>,
    /// Refused calls that were told, by number.
    refused: BTreeMap<usize, u64>,
    stop: Arc<AtomicBool>,
    report_asked: Arc<AtomicBool>,
    kill_asked: Arc<AtomicBool>,
    reload: ReloadBell,
    host_watch: Option<HostWatch>,
    /// How often systemd wants to hear from us; `None`: it does not.
    watchdog_ns: Option<u64>,
    watchdog_next_ns: u64,
    queues_next_ns: u64,
    readiness: Readiness,
    turns_before: Vec<u64>,
    warm_up: WarmUp,
    /// The exchange tells its past.
    past: Option<Progress>,
}

/// What is measured while caches, branch predictors and TCP's window fill, and shall not count.
#[derive(Debug, Default)]
struct WarmUp {
    /// How long it lasts from the first order on; 0: everything counts.
    length_ns: u64,
    first_order_ns: Option<u64>,
    /// What the histograms held at its end; `None`: it has not ended.
    before: Option<Gathered>,
}

impl Housekeeping {
    /// Takes over signals: SIGTERM and SIGINT stop, SIGUSR1 reports, SIGUSR2 turns the kill switch on, SIGHUP asks for a reload.
    pub(super) fn new(parts: Parts, warm_up_ms: u64, stop: &StopHandle) -> Result<Self, String> {
        let stop = stop.flag();
        let report_asked = Arc::new(AtomicBool::new(false));
        let kill_asked = Arc::new(AtomicBool::new(false));
        for (signal, flag) in [
            (SIGTERM, &stop),
            (SIGINT, &stop),
            (SIGUSR1, &report_asked),
            (SIGUSR2, &kill_asked),
            (SIGHUP, &parts.reload.asked()),
        ] {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|error| format!("signal {signal}: {error}"))?;
        }
        let watchdog_ns = sd_notify::watchdog_enabled()
            .and_then(|interval| u64::try_from(interval.as_nanos() / 2).ok());
        Ok(Self {
            house: parts.house,
            slow: parts.slow,
            kill_watch: parts.kill_watch,
            desk: parts.desk,
            sandbox: parts.sandbox,
            refused: BTreeMap::new(),
            stop,
            report_asked,
            kill_asked,
            reload: parts.reload,
            host_watch: parts.host_watch,
            watchdog_ns,
            watchdog_next_ns: 0,
            queues_next_ns: 0,
            readiness: parts.readiness,
            turns_before: Vec::new(),
            warm_up: WarmUp {
                length_ns: warm_up_ms * 1_000_000,
                ..WarmUp::default()
            },
            past: None,
        })
    }

    pub(super) fn is_stop_asked(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    #[expect(clippy::unused_self, reason = "a pause belongs to who keeps house")]
    pub(super) fn wait(&self) {
        pause(TURN);
    }

    pub(super) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
        let open = self.open_orders();
        log::info!("stopping, {open} open orders to cancel");
    }

    /// Orders that the sessions believe open at the exchange.
    pub(super) fn open_orders(&self) -> u32 {
        let sessions = self.house.sessions.iter();
        let health = sessions.filter_map(|session| session.view.health());
        health.map(|health| health.open_orders).sum()
    }

    /// One round of chores.
    pub(super) fn turn(&mut self, cores: &[Core]) {
        let now_ns = monotonic_ns();
        self.tell_past(now_ns);
        self.tell_notices();
        self.readiness.turn(&self.house, now_ns);
        self.tell_feeds(now_ns);
        self.keep_warm_up(now_ns);
        self.slow.turn(now_ns);
        if self.report_asked.swap(false, Ordering::SeqCst) {
            #[expect(clippy::print_stdout, reason = "the table is what SIGUSR1 asks for")]
            {
                println!("{}", self.report().table(usize::MAX));
            }
        }
        self.desk.answer(|| self.report_with_texts());
        if self.kill_asked.swap(false, Ordering::SeqCst) {
            KillSwitch::engage_all(self.house.kills.iter(), KillCause::Signal);
            log::warn!("kill switch on, asked for by SIGUSR2");
        }
        if self.reload.is_unheard() {
            log::error!("SIGHUP: nothing is reloaded: there is no control socket");
        }
        self.kill_watch.turn(&self.house.kills);
        if now_ns >= self.queues_next_ns {
            self.queues_next_ns = now_ns + QUEUE_CHECK_NS;
            self.check_queues();
            self.tell_refused();
            self.tell_lanes(now_ns);
            let drifts = self.host_watch.as_mut().map(|it| it.turn(now_ns));
            drifts.into_iter().flatten().for_each(|told| told.log());
        }
        if let Some(interval_ns) = self.watchdog_ns
            && now_ns >= self.watchdog_next_ns
        {
            self.watchdog_next_ns = now_ns + interval_ns;
            self.feed_watchdog(cores);
        }
    }

    pub(super) fn last_words(&mut self) {
        self.kill_watch.turn(&self.house.kills);
        self.slow.write_now(monotonic_ns());
        self.tell_refused();
        self.tell_notices();
        // Whatever its pause: there is no next turn.
        self.tell_feeds(u64::MAX);
    }

    /// systemd hears from us only while every hot core turns, or has ended: stopping takes turns too.
    fn feed_watchdog(&mut self, cores: &[Core]) {
        let turns: Vec<u64> = cores
            .iter()
            .map(|core| core.state.turns.load(Ordering::Relaxed))
            .collect();
        let stalled = cores.iter().zip(&turns).zip(
            self.turns_before
                .iter()
                .chain([&u64::MAX].into_iter().cycle()),
        );
        let mut is_alive = true;
        for ((core, now), before) in stalled {
            if now == before && !core.thread.is_finished() {
                log::error!("core {} has not turned since the last look", core.name);
                is_alive = false;
            }
        }
        self.turns_before = turns;
        if is_alive {
            notify(&[NotifyState::Watchdog]);
        }
    }

    fn check_queues(&mut self) {
        for InterfaceWatch {
            feed,
            watch,
            stalls,
        } in &mut self.house.watches
        {
            for queue in watch.stalled_queues() {
                *stalls += 1;
                log::error!(
                    "feed {feed}: {}: queue {queue} stands still: frames are redirected and none arrives",
                    watch.interface
                );
            }
            for Unserved { queue, frames } in watch.unserved_queues() {
                log::error!(
                    "feed {feed}: {}: {frames} packets of the feed came in on queue {queue}, where it has no \
                     socket, and are lost to it: add the queue to feed.{feed}.af_xdp.queues, or steer the feed \
                     to those (ethtool -N)",
                    watch.interface
                );
            }
        }
    }

    fn tell_refused(&mut self) {
        for line in self.sandbox.tell(&mut self.refused) {
            log::error!("{line}");
        }
    }

    fn tell_lanes(&mut self, now_ns: u64) {
        let sessions = self.house.sessions.iter_mut();
        for lane in sessions.filter_map(|session| session.lane.as_mut()) {
            for line in lane.turn(now_ns) {
                log::warn!("{line}");
            }
        }
    }

    /// How much of its past the exchange has told, to all sessions that wait for it.
    fn tell_past(&mut self, now_ns: u64) {
        let sessions = self.house.sessions.iter();
        let health = sessions.filter_map(|session| session.view.health());
        let (mut told, mut of) = (0, 0);
        for health in health.filter(|health| health.state == State::Recovering) {
            told += health.next_seq.0.saturating_sub(1);
            of += health.past_end.0.saturating_sub(1);
        }
        if of == 0 {
            self.past = None;
            return;
        }
        let past = self
            .past
            .get_or_insert_with(|| Progress::begin(PAST, "messages", now_ns));
        past.set(told, of, now_ns);
    }

    fn tell_notices(&mut self) {
        for (whose, stage, notices) in &mut self.house.notices {
            while let Some(notice) = notices.pop() {
                if let Some(past) = &mut self.past {
                    past.give_way();
                }
                let level = level(notice.is_warning());
                let fields = [(*whose, stage.as_str()), (EVENT, &event(&notice))];
                let text = format_args!("{stage}: {notice}");
                tickgate_log::tell(level, module_path!(), &fields, text);
            }
        }
    }

    fn tell_feeds(&mut self, now_ns: u64) {
        for feed in &mut self.house.feeds {
            let name = feed.name().to_owned();
            feed.turn(now_ns, |news| {
                let level = level(news.is_warning());
                let fields = [(FEED, name.as_str()), (EVENT, &event(&news))];
                let text = format_args!("{name}: {news}");
                tickgate_log::tell(level, module_path!(), &fields, text);
            });
        }
    }

    /// Everything measured and counted so far, without the warm-up's measurements.
    pub(super) fn report(&self) -> Report {
        Report::new("tickgate", vec![self.run(&self.measured())])
    }

    /// Everything counted so far, and what was gathered.
    fn run(&self, gathered: &Gathered) -> Run {
        let mut counters = self.house.registry.count();
        self.count_interfaces(&mut counters);
        let feeds = &self.house.feeds;
        let sessions = &self.house.sessions;
        let mut run = Run {
            name: "gateway".to_owned(),
            settings: self.house.settings.clone(),
            sent: None,
            received: feeds.iter().map(|feed| feed.arbiter().messages.get()).sum(),
            lost: feeds
                .iter()
                .map(|feed| feed.arbiter().messages_lost.get())
                .sum(),
            orders: sessions
                .iter()
                .map(|session| session.counters.orders.get())
                .sum(),
            acks: sessions
                .iter()
                .map(|session| session.counters.acks.get())
                .sum(),
            counters,
            sessions: self.sessions(),
            ..Run::default()
        };
        gathered.put_into(&mut run);
        run
    }

    /// The same, with what each counter means, for who has not read the code, and with the warm-up, so that what is asked again and
    /// again only grows.
    fn report_with_texts(&self) -> Report {
        let registry = &self.house.registry;
        let mut run = self.run(&registry.gather());
        run.texts = registry.texts();
        if !self.house.watches.is_empty() {
            let interfaces = [declared::of_interfaces(), declared::of_xdp_sockets()];
            for (kind, counts) in [Kind::Interface, Kind::Socket].into_iter().zip(interfaces) {
                let texts = counts
                    .into_iter()
                    .map(|(name, text, _)| (name.to_owned(), text.to_owned()));
                run.texts.entry(kind).or_default().extend(texts);
            }
        }
        Report::new("tickgate", vec![run])
    }

    /// What programs and sockets have counted: of each interface, and of each feed.
    fn count_interfaces(&self, counters: &mut ByLabel<BTreeMap<String, u64>>) {
        for InterfaceWatch {
            feed,
            watch,
            stalls,
        } in &self.house.watches
        {
            let interfaces = counters.entry(Kind::Interface).or_default();
            let of_interface = interfaces.entry(watch.interface.clone()).or_default();
            for (name, _, value) in watch.verdicts() {
                of_interface.insert(name.to_owned(), value);
            }
            let mut counts = watch.counts();
            counts.push(declared::queue_stalls(*stalls));
            add(of_interface, &counts);
            let sockets = counters.entry(Kind::Socket).or_default();
            add(sockets.entry(feed.clone()).or_default(), &counts);
        }
    }

    /// How each session is, and what its account holds.
    fn sessions(&self) -> Vec<SessionReport> {
        let report = |session: &SessionHouse| {
            SessionReport::of(&session.name, &session.view, &session.positions)
        };
        self.house.sessions.iter().map(report).collect()
    }

    /// The histograms, without what they held when the warm-up ended.
    fn measured(&self) -> Gathered {
        let mut gathered = self.house.registry.gather();
        if let Some(before) = &self.warm_up.before {
            gathered.subtract(before);
        }
        gathered
    }

    /// Notes what the histograms hold when the warm-up is over.
    fn keep_warm_up(&mut self, now_ns: u64) {
        let WarmUp { length_ns, .. } = self.warm_up;
        if length_ns == 0 || self.warm_up.before.is_some() {
            return;
        }
        let has_traded = self
            .house
            .sessions
            .iter()
            .any(|session| session.counters.orders.get() > 0);
        if has_traded {
            let since_ns = *self.warm_up.first_order_ns.get_or_insert(now_ns);
            if now_ns >= since_ns + length_ns {
                self.warm_up.before = Some(self.house.registry.gather());
            }
        }
    }

    /// Writes the histograms as HdrHistogram's files.
    pub(super) fn write_hgrm(&self, folder: &Path) -> io::Result<()> {
        self.measured().write_hgrm(folder)
    }
}

fn level(is_warning: bool) -> log::Level {
    if is_warning {
        log::Level::Warn
    } else {
        log::Level::Info
    }
}

/// What has happened, by the name of its variant: what a search in the journal goes by.
fn event(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .to_owned()
}

/// Adds to counters of the same names.
fn add(to: &mut BTreeMap<String, u64>, counts: &[Count]) {
    for (name, _, value) in counts {
        *to.entry((*name).to_owned()).or_default() += value;
    }
}
