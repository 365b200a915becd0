//! A message to the broker: what it is of, where it goes, and what is promised of it.

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use tickgate_config::{MqttTopics, Promise};

/// What a message is of, and counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Status,
    Alerts,
    Orders,
    Fills,
    Histograms,
    Totals,
    Counters,
    Results,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) class: Class,
    pub(super) topic: String,
    pub(super) payload: String,
    /// Whether the broker acknowledges it: QoS 1.
    pub(super) is_acknowledged: bool,
    /// Whether the broker keeps it for those who come later.
    pub(super) is_retained: bool,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Alerts => "alerts",
            Self::Orders => "orders",
            Self::Fills => "fills",
            Self::Histograms => "histograms",
            Self::Totals => "totals",
            Self::Counters => "counters",
            Self::Results => "results",
        }
    }

    fn promise(self, promises: &MqttTopics) -> Promise {
        match self {
            Self::Status => promises.status,
            Self::Alerts => promises.alerts,
            Self::Orders => promises.orders,
            Self::Fills => promises.fills,
            Self::Histograms => promises.histograms,
            Self::Totals => promises.totals,
            Self::Counters => promises.counters,
            // Whoever gives a command wants to know.
            Self::Results => Promise::AtLeastOnce,
        }
    }

    /// What is so now is kept for those who come later; what happened is not.
    fn is_retained(self) -> bool {
        match self {
            Self::Status | Self::Alerts | Self::Totals | Self::Counters => true,
            Self::Orders | Self::Fills | Self::Histograms | Self::Results => false,
        }
    }
}

impl Message {
    /// One of a class; `None`: nothing of the kind is published.
    pub(super) fn of(
        class: Class,
        promises: &MqttTopics,
        topic: String,
        payload: String,
    ) -> Option<Self> {
        let promise = class.promise(promises);
        (promise != Promise::Off).then(|| Self {
            class,
            topic,
            payload,
            is_acknowledged: promise == Promise::AtLeastOnce,
            is_retained: class.is_retained(),
        })
    }

    /// Hands it to a client; whether it has room.
    pub(super) fn hand(&self, client: &AsyncClient) -> bool {
        let qos = if self.is_acknowledged {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        let payload = self.payload.clone().into_bytes();
        let taken = client.try_publish(self.topic.as_str(), qos, self.is_retained, payload);
        taken.is_ok()
    }
}
