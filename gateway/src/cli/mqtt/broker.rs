//! A connection to a broker that is begun again whenever it ends, on a thread of its own.
//!
//! Path:        requests -> rumqttc -> broker; what it says -> [`Said`] -> whoever listens
//! Invariants:  each connection is a new session with a new client: what the broker has not acknowledged is said again by whoever
//!              keeps it, and by nobody else. A client of an earlier connection takes nothing that arrives.
//! Bounded by:  [`REQUESTS_MAX`] messages to the broker that are not written, the listener's own bound for what it says, and the
//!              largest packet that is taken.
//! When wrong:  a broker that refuses, is silent for twice the keep-alive, or says what no broker says, is left; the next try waits
//!              0.1 s, twice as long after each failure, 5 s at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::runtime;
use tokio::time::timeout;

/// Messages that the client has taken and not written.
pub(super) const REQUESTS_MAX: usize = 256;
/// How long a connection may take to come about, as a rule.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
const PAUSE_LEAST: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_secs(5);

/// Which broker, and as whom.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) host: String,
    pub(super) port: u16,
    /// `None`: everything goes in the clear.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) client_id: String,
    /// User and password.
    pub(super) login: Option<(String, String)>,
    pub(super) keep_alive: Duration,
    /// How long a connection may take to come about, to the broker's own word that it stands; whole seconds.
    pub(super) connect: Duration,
    /// The largest packet that is taken, bytes.
    pub(super) packet_bytes_max: u32,
    /// Messages that wait for acknowledgement at once.
    pub(super) unacknowledged_max: u16,
    /// Topic and text of what the broker tells everybody when this client is gone without a word.
    pub(super) will: Option<(String, String)>,
}

/// The password is nobody's to print.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Said {
    /// A connection stands, and this is its client.
    Up(AsyncClient),
    /// It is gone, or has not come about.
    Down(String),
    /// The client has written the next message, under this number; 0: it is not acknowledged.
    Sent(u16),
    /// The broker has this message.
    Acknowledged(u16),
    /// It will never take it: it says that whoever sent it may not, or that its topic or form is wrong.
    Refused(u16),
    /// It does not take it now.
    NotNow,
    /// A message of a topic that was subscribed.
    Message { topic: Vec<u8>, payload: Vec<u8> },
}

/// The thread.
#[derive(Debug)]
pub(super) struct Broker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Begins; `tell` says whether somebody still listens.
    pub(super) fn start(
        options: Options,
        tell: impl Fn(Said) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("broker".to_owned())
            .spawn(move || runtime.block_on(serve(&options, &is_over, &tell)))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// No connection is begun any more. Whoever has told the client to disconnect may wait for the end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

async fn serve(options: &Options, stop: &AtomicBool, tell: &impl Fn(Said) -> bool) {
    let mut pause = PAUSE_LEAST;
    while !stop.load(Ordering::SeqCst) {
        let (client, mut connection) = AsyncClient::new(options.mqtt(), REQUESTS_MAX);
        let was_up = match live(&mut connection, &client, options, tell).await {
            Ended::Unheard => return,
            Ended::Down { was_up, why } => {
                if !tell(Said::Down(why)) {
                    return;
                }
                was_up
            }
        };
        pause = if was_up {
            PAUSE_LEAST
        } else {
            (pause * 2).min(PAUSE_MOST)
        };
        tokio::time::sleep(pause).await;
    }
}

enum Ended {
    /// Nobody listens any more.
    Unheard,
    Down {
        was_up: bool,
        why: String,
    },
}

/// One connection from its beginning to its end.
async fn live(
    connection: &mut EventLoop,
    client: &AsyncClient,
    options: &Options,
    tell: &impl Fn(Said) -> bool,
) -> Ended {
    let patience = options.keep_alive * 2 + options.connect;
    let mut was_up = false;
    loop {
        // A ping is an event, too: without any for so long a write hangs.
        let said = match timeout(patience, connection.poll()).await {
            Ok(Ok(event)) if has_alias(&event) => {
                let why = "it gives topics numbers, which nobody has allowed".to_owned();
                return Ended::Down { was_up, why };
            }
            Ok(Ok(event)) => said(event, client),
            Ok(Err(error)) => {
                let why = error.to_string();
                return Ended::Down { was_up, why };
            }
            Err(_) => {
                let why = format!("silent for {} s", patience.as_secs());
                return Ended::Down { was_up, why };
            }
        };
        let Some(said) = said else {
            continue;
        };
        was_up |= matches!(said, Said::Up(_));
        if !tell(said) {
            return Ended::Unheard;
        }
    }
}

/// Whether a message gives its topic a number. The client would keep each with its topic for as long as the connection lasts; a
/// broker that was told of no room for them has none (MQTT 5.0, 3.1.2.11.5).
fn has_alias(event: &Event) -> bool {
    let Event::Incoming(Packet::Publish(publish)) = event else {
        return false;
    };
    let properties = publish.properties.as_ref();
    properties.is_some_and(|it| it.topic_alias.is_some())
}

fn said(event: Event, client: &AsyncClient) -> Option<Said> {
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Some(Said::Up(client.clone())),
        Event::Outgoing(Outgoing::Publish(packet)) => Some(Said::Sent(packet)),
        Event::Incoming(Packet::PubAck(ack)) => Some(match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                Said::Acknowledged(ack.pkid)
            }
            PubAckReason::NotAuthorized
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PayloadFormatInvalid => Said::Refused(ack.pkid),
            _ => Said::NotNow,
        }),
        Event::Incoming(Packet::Publish(publish)) => Some(Said::Message {
            topic: publish.topic.to_vec(),
            payload: publish.payload.to_vec(),
        }),
        _ => None,
    }
}

impl Options {
    fn mqtt(&self) -> MqttOptions {
        let mut mqtt = MqttOptions::new(&self.client_id, &self.host, self.port);
        mqtt.set_keep_alive(self.keep_alive)
            .set_clean_start(true)
            .set_connection_timeout(self.connect.as_secs())
            .set_max_packet_size(Some(self.packet_bytes_max))
            .set_outgoing_inflight_upper_limit(self.unacknowledged_max);
        if let Some((user, password)) = &self.login {
            mqtt.set_credentials(user, password);
        }
        if let Some(config) = &self.tls {
            let config = TlsConfiguration::Rustls(Arc::clone(config));
            mqtt.set_transport(Transport::tls_with_config(config));
        }
        if let Some((topic, text)) = &self.will {
            let will = LastWill::new(topic, text.as_bytes(), QoS::AtLeastOnce, true, None);
            mqtt.set_last_will(will);
        }
        mqtt
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const AT_MOST: Duration = Duration::from_secs(60);

    fn connect_to(port: u16) -> (Broker, Receiver<Said>) {
        let options = Options {
            host: "127.0.0.1".to_owned(),
            port,
            tls: None,
            client_id: "tg".to_owned(),
            login: None,
            // Longer than the test: it is not what ends the connection.
            keep_alive: AT_MOST,
            connect: Duration::from_secs(1),
            packet_bytes_max: 8192,
            unacknowledged_max: 1,
            will: None,
        };
        let (said, hears) = channel();
        let broker = Broker::start(options, move |it| said.send(it).is_ok()).unwrap();
        (broker, hears)
    }

    #[test]
    fn broker_that_never_says_that_the_connection_stands_is_left_and_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (broker, hears) = connect_to(port);
        let mut held = Vec::new();
        for _ in 0..2 {
            // It takes the connection and its CONNECT, and never answers.
            held.push(listener.accept().unwrap());
            let said = hears.recv_timeout(AT_MOST).unwrap();
            assert!(matches!(said, Said::Down(_)), "{said:?}");
        }
        broker.stop();
    }
}
