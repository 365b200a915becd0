//! What a user asks for: any subset of the matrix, from the command line or a TOML file.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use lab::gateway::Gateway;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// When triggers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Evenly.
    Fixed,
    /// At random times.
    Poisson,
    /// So many at once, the mean rate kept.
    Burst(u16),
    /// One, after a second in which nothing came: caches are cold, timers have let go.
    Silence,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("fixed"),
            Self::Poisson => f.write_str("poisson"),
            Self::Burst(size) => write!(f, "burst{size}"),
            Self::Silence => f.write_str("silence"),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let burst = || {
            let size = text.strip_prefix("burst")?.parse().ok()?;
            (1..=1000).contains(&size).then_some(Self::Burst(size))
        };
        match text {
            "fixed" => Ok(Self::Fixed),
            "poisson" => Ok(Self::Poisson),
            "silence" => Ok(Self::Silence),
            _ => burst().ok_or_else(|| {
                format!("\"{text}\": expected fixed, poisson, silence, or burst1 to burst1000")
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The subset: each list is one dimension. What is not given has its default.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Receivers: af_xdp (the best rung), af_xdp-generic, udp (busy polled), udp-blocking.
    #[arg(long, value_delimiter = ',')]
    pub receive: Vec<String>,
    /// Senders: io_uring (enter), io_uring-sqpoll, delegated (past the kernel's TCP, or the run fails), write.
    #[arg(long, value_delimiter = ',')]
    pub send: Vec<String>,
    /// Layouts: inline, pipeline, cores (feed and strategies on one core, order entry on another).
    #[arg(long, value_delimiter = ',')]
    pub layout: Vec<String>,
    /// When triggers come: fixed, poisson, burst1, burst10, burst25, burst100, silence.
    #[arg(long, value_delimiter = ',')]
    pub load: Vec<Load>,
    /// Packets a second.
    #[arg(long, value_delimiter = ',')]
    pub rate: Vec<f64>,
    /// Messages in a packet.
    #[arg(long, value_delimiter = ',')]
    pub pack: Vec<u16>,
    /// Packets that one turn takes from an AF_XDP socket at most.
    #[arg(long, value_delimiter = ',')]
    pub batch: Vec<u32>,
    /// Books and packet memory on huge pages: true, false.
    #[arg(long, value_delimiter = ',', value_name = "BOOL")]
    pub huge_pages: Vec<bool>,
    /// Entries of the AF_XDP receive ring.
    #[arg(long, value_delimiter = ',', value_name = "ENTRIES")]
    pub rx_ring: Vec<u32>,
    /// Entries of the ring from feed to strategy.
    #[arg(long, value_delimiter = ',', value_name = "ENTRIES")]
    pub events_ring: Vec<u32>,
    /// After how many idle µs the gateway rehearses; 0: never.
    #[arg(long, value_delimiter = ',', value_name = "US")]
    pub rehearse_us: Vec<u32>,
}

/// One of the values of a dimension, as it appears in names.
type Choice = (&'static str, String);

/// One combination: its name, and the settings that make it.
#[derive(Clone, Debug)]
pub struct Combination {
    /// "gateway", and the value of every dimension that varies.
    pub name: String,
    /// The gateway.
    pub gateway: Gateway,
    /// The load.
    pub load: Load,
    /// Packets a second.
    pub rate: f64,
    /// Messages in a packet.
    pub pack: u16,
}

impl Plan {
    /// Reads a plan from a TOML file; what the command line gives wins.
    ///
    /// # Errors
    /// The file is not there, or has a key or value that no dimension has.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(shown)?;
        let file: Self = toml::from_str(&text).with_context(shown)?;
        fn first<T>(own: Vec<T>, file: Vec<T>) -> Vec<T> {
            if own.is_empty() { file } else { own }
        }
        Ok(Self {
            receive: first(self.receive, file.receive),
            send: first(self.send, file.send),
            layout: first(self.layout, file.layout),
            load: first(self.load, file.load),
            rate: first(self.rate, file.rate),
            pack: first(self.pack, file.pack),
            batch: first(self.batch, file.batch),
            huge_pages: first(self.huge_pages, file.huge_pages),
            rx_ring: first(self.rx_ring, file.rx_ring),
            events_ring: first(self.events_ring, file.events_ring),
            rehearse_us: first(self.rehearse_us, file.rehearse_us),
        })
    }

    /// Every combination.
    ///
    /// # Errors
    /// A value that a dimension does not have.
    pub fn combinations(&self) -> Result<Vec<Combination>> {
        let texts = |values: &[String], default: &str| {
            if values.is_empty() {
                vec![default.to_owned()]
            } else {
                values.to_vec()
            }
        };
        fn numbers<T: ToString>(values: &[T]) -> Vec<String> {
            values.iter().map(ToString::to_string).collect()
        }
        let dimensions: [(&'static str, Vec<String>); 11] = [
            ("receive", texts(&self.receive, "af_xdp")),
            ("send", texts(&self.send, "io_uring")),
            ("layout", texts(&self.layout, "inline")),
            ("load", texts(&numbers(&self.load), "fixed")),
            ("rate", texts(&numbers(&self.rate), "20000")),
            ("pack", texts(&numbers(&self.pack), "1")),
            ("batch", texts(&numbers(&self.batch), "")),
            ("huge_pages", texts(&numbers(&self.huge_pages), "")),
            ("rx_ring", texts(&numbers(&self.rx_ring), "")),
            ("events_ring", texts(&numbers(&self.events_ring), "")),
            ("rehearse_us", texts(&numbers(&self.rehearse_us), "")),
        ];
        let mut all: Vec<Vec<Choice>> = vec![Vec::new()];
        for (name, values) in &dimensions {
            let with = |chosen: &Vec<Choice>| {
                values
                    .iter()
                    .map(|value| [&chosen[..], &[(*name, value.clone())]].concat())
                    .collect::<Vec<_>>()
            };
            all = all.iter().flat_map(with).collect();
        }
        let varies = |name: &str| {
            dimensions
                .iter()
                .any(|(dimension, values)| *dimension == name && values.len() > 1)
        };
        all.iter()
            .map(|choices| {
                let mut combination = combine(choices)?;
                for (dimension, value) in choices.iter().filter(|(name, _)| varies(name)) {
                    combination.name += &match *dimension {
                        "receive" | "send" | "layout" | "load" => format!(" {value}"),
                        _ => format!(" {dimension}={value}"),
                    };
                }
                Ok(combination)
            })
            .collect()
    }
}

fn combine(choices: &[Choice]) -> Result<Combination> {
    let mut combination = Combination {
        name: "gateway".to_owned(),
        gateway: Gateway::default(),
        load: Load::Fixed,
        rate: 0.0,
        pack: 1,
    };
    let mut gateway = Gateway::default();
    let set = |gateway: &mut Gateway, key: &str, value: &str| {
        // Not given: what the gateway's own configuration says.
        if !value.is_empty() {
            gateway.sets.push(format!("{key}={value}"));
        }
    };
    for (name, value) in choices {
        match *name {
            "batch" => set(&mut gateway, "feed.itch.af_xdp.batch", value),
            "huge_pages" => set(&mut gateway, "host.huge_pages", value),
            "rx_ring" => set(&mut gateway, "feed.itch.af_xdp.rx_ring", value),
            "events_ring" => set(&mut gateway, "rings.events", value),
            "rehearse_us" => set(&mut gateway, "layout.rehearse_us", value),
            "receive" => choose_receiver(&mut gateway, value)?,
            "send" => {
                gateway.submit = match value.as_str() {
                    "io_uring" => "enter",
                    "io_uring-sqpoll" => "sqpoll",
                    "delegated" => {
                        // A step down would be measured as what it is not.
                        set(&mut gateway, "session.ouch.require", "delegated");
                        "delegated"
                    }
                    "write" => "write",
                    _ => bail!(
                        "send {value}: expected io_uring, io_uring-sqpoll, delegated or write"
                    ),
                }
                .to_owned();
            }
            "layout" => match value.as_str() {
                "inline" | "pipeline" | "cores" => gateway.layout.clone_from(value),
                _ => bail!("layout {value}: expected inline, pipeline or cores"),
            },
            "load" => combination.load = value.parse().map_err(anyhow::Error::msg)?,
            "rate" => combination.rate = value.parse()?,
            "pack" => combination.pack = value.parse()?,
            _ => {}
        }
    }
    let is_blocking = gateway.sets.iter().any(|set| set.contains("udp.block_us"));
    if is_blocking && gateway.layout == "inline" {
        bail!("receive udp-blocking: orders would sleep too, expected --layout pipeline");
    }
    combination.gateway = gateway;
    if !combination.rate.is_finite() || combination.rate <= 0.0 || combination.pack == 0 {
        bail!(
            "rate {}, pack {}: both must be more than 0",
            combination.rate,
            combination.pack
        );
    }
    Ok(combination)
}

fn choose_receiver(gateway: &mut Gateway, value: &str) -> Result<()> {
    let (receive, set) = match value {
        "af_xdp" => ("af_xdp", None),
        "af_xdp-generic" => ("af_xdp", Some("feed.itch.af_xdp.mode=generic")),
        "udp" => ("udp", None),
        "udp-blocking" => ("udp", Some("feed.itch.udp.block_us=1000")),
        _ => bail!("receive {value}: expected af_xdp, af_xdp-generic, udp or udp-blocking"),
    };
    receive.clone_into(&mut gateway.receive);
    if let Some(set) = set {
        gateway.sets.push(set.to_owned());
    }
    if value == "af_xdp-generic" {
        "generic".clone_into(&mut gateway.require);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_once_named_by_what_varies() {
        let plan = Plan {
            receive: vec!["af_xdp".to_owned(), "udp".to_owned()],
            load: vec![Load::Fixed, Load::Burst(25)],
            rate: vec![1000.0],
            ..Plan::default()
        };
        let combinations = plan.combinations().unwrap();
        let names: Vec<&str> = combinations.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "gateway af_xdp fixed",
                "gateway af_xdp burst25",
                "gateway udp fixed",
                "gateway udp burst25"
            ]
        );
        assert!(combinations.iter().all(|c| (c.rate - 1000.0).abs() < 1e-9));
        assert_eq!(Plan::default().combinations().unwrap()[0].name, "gateway");
    }

    #[test]
    fn delegated_sender_that_does_not_hold_fails_the_run() {
        let plan = Plan {
            send: vec!["io_uring".to_owned(), "delegated".to_owned()],
            ..Plan::default()
        };
        let combinations = plan.combinations().unwrap();
        let [plain, delegated] = &combinations[..] else {
            panic!("two");
        };
        assert_eq!(delegated.name, "gateway delegated");
        assert_eq!(
            (&*plain.gateway.submit, &*delegated.gateway.submit),
            ("enter", "delegated")
        );
        let sets = &delegated.gateway.sets;
        assert!(sets.contains(&"session.ouch.require=delegated".to_owned()));
        assert!(plain.gateway.sets.is_empty(), "{:?}", plain.gateway.sets);
    }

    #[test]
    fn wrong_values_say_what_is_expected() {
        let wrong = Plan {
            receive: vec!["dpdk".to_owned()],
            ..Plan::default()
        };
        let error = wrong.combinations().unwrap_err().to_string();
        assert!(error.contains("receive dpdk: expected af_xdp"), "{error}");
        let wrong = Plan {
            layout: vec!["sharded".to_owned()],
            ..Plan::default()
        };
        let error = wrong.combinations().unwrap_err().to_string();
        assert_eq!(error, "layout sharded: expected inline, pipeline or cores");
        assert!("burst0".parse::<Load>().is_err());
        assert!(
            "calm"
                .parse::<Load>()
                .unwrap_err()
                .contains("expected fixed")
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "recieve = [\"udp\"]").unwrap();
        let error = Plan::default().with_file(file.path()).unwrap_err();
        assert!(format!("{error:#}").contains("recieve"), "{error:#}");
        std::fs::write(file.path(), "load = [\"burst10\"]\nrate = [5.0]").unwrap();
        let plan = Plan {
            rate: vec![7.0],
            ..Plan::default()
        };
        let plan = plan.with_file(file.path()).unwrap();
        assert_eq!((plan.load, plan.rate), (vec![Load::Burst(10)], vec![7.0]));
    }
}
