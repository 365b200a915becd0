//! Who measures and counts, and what has come together so far.
//!
//! Path:        recorders and counters of hot cores -> [`Registry`] -> [`Gathered`] -> a run's report, `.hgrm`
//! Thread:      housekeeping; readers take no lock and disturb nobody

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use rt::histogram::{Reader, empty};

use super::label::{ByLabel, Kind, Label};
use super::{Run, write_hgrm};

/// One counter: name, what it means, value.
pub type Count = (&'static str, &'static str, u64);

/// A stage's counters, read when asked.
type Counts = Box<dyn Fn() -> Vec<Count> + Send>;

/// Histograms by name.
type Named = BTreeMap<&'static str, Histogram<u64>>;

/// Everything that can be asked.
#[derive(Default)]
pub struct Registry {
    histograms: Vec<(Label, Vec<(&'static str, Reader)>)>,
    counters: Vec<(Label, Counts)>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("histograms", &self.histograms)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Adds a stage's histograms.
    pub fn histograms(&mut self, label: Label, readers: Vec<(&'static str, Reader)>) {
        self.histograms.push((label, readers));
    }

    /// Adds somebody's counters.
    pub fn counters(&mut self, label: Label, counts: impl Fn() -> Vec<Count> + Send + 'static) {
        self.counters.push((label, Box::new(counts)));
    }

    /// Reads every histogram.
    #[must_use]
    pub fn gather(&self) -> Gathered {
        let mut stages: BTreeMap<Label, Named> = BTreeMap::new();
        for (label, readers) in &self.histograms {
            let stage = stages.entry(label.clone()).or_default();
            for (name, reader) in readers {
                add(stage, name, &reader.snapshot());
            }
        }
        Gathered { stages }
    }

    /// What every counter means.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<Kind, BTreeMap<String, String>> {
        let mut out: BTreeMap<Kind, BTreeMap<String, String>> = BTreeMap::new();
        for (label, counts) in &self.counters {
            let counts = counts().into_iter();
            let texts = counts.map(|(name, text, _)| (name.to_owned(), text.trim().to_owned()));
            out.entry(label.kind).or_default().extend(texts);
        }
        out
    }

    /// Reads every counter.
    #[must_use]
    pub fn count(&self) -> ByLabel<BTreeMap<String, u64>> {
        let mut out: ByLabel<BTreeMap<String, u64>> = BTreeMap::new();
        for (label, counts) in &self.counters {
            let kind = out.entry(label.kind).or_default();
            let counts = counts().into_iter();
            kind.entry(label.name.clone())
                .or_default()
                .extend(counts.map(|(name, _, value)| (name.to_owned(), value)));
        }
        out
    }
}

/// What every stage has measured.
#[derive(Debug, Default)]
pub struct Gathered {
    stages: BTreeMap<Label, Named>,
}

impl Gathered {
    /// Takes away what was measured before.
    pub fn subtract(&mut self, before: &Self) {
        for (label, earlier) in &before.stages {
            let Some(stage) = self.stages.get_mut(label) else {
                continue;
            };
            for (name, histogram) in stage {
                if let Some(earlier) = earlier.get(name) {
                    // Counts only grow, so there is always as much to take away.
                    let _ = histogram.subtract(earlier);
                }
            }
        }
    }

    /// All stages' histograms of one name, summed.
    #[must_use]
    pub fn merged(&self) -> BTreeMap<&'static str, Histogram<u64>> {
        let mut out = BTreeMap::new();
        for (name, histogram) in self.stages.values().flatten() {
            add(&mut out, name, histogram);
        }
        out
    }

    /// The stages of each kind that there is more than one of: only there does one differ from all.
    fn several(&self) -> impl Iterator<Item = (&Label, &Named)> {
        let of = |kind: Kind| self.stages.keys().filter(move |label| label.kind == kind);
        let stages = self.stages.iter();
        stages.filter(move |(label, _)| of(label.kind).count() > 1)
    }

    /// Puts it into a report: all summed, and each stage's own where there are several of its kind.
    pub fn put_into(&self, run: &mut Run) {
        for (name, histogram) in &self.merged() {
            run.set_histogram(name, histogram);
        }
        for (label, stage) in self.several() {
            let kind = run.stages.entry(label.kind).or_default();
            let measured = kind.entry(label.name.clone()).or_default();
            for (name, histogram) in stage {
                measured.set(name, histogram);
            }
        }
    }

    /// Writes each histogram as `NAME.hgrm`, and each stage's own as `KIND.STAGE.NAME.hgrm` where there are
    /// several of its kind.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_hgrm(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, histogram) in &self.merged() {
            write_hgrm(histogram, &folder.join(format!("{name}.hgrm")))?;
        }
        for (label, stage) in self.several() {
            for (name, histogram) in stage {
                let file = format!("{}.{name}.hgrm", label.file_stem());
                write_hgrm(histogram, &folder.join(file))?;
            }
        }
        Ok(())
    }
}

fn add(into: &mut Named, name: &'static str, histogram: &Histogram<u64>) {
    let sum = into.entry(name).or_insert_with(empty);
    // Both have this project's bounds, so adding cannot fail.
    let _ = sum.add(histogram);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rt::histogram::Recorder;

    /// A registry with these stages, each with one histogram that holds these values.
    fn registry(stages: &[(Kind, &str, &'static str, &[u64])]) -> (Registry, Vec<Recorder>) {
        let mut registry = Registry::default();
        let mut recorders = Vec::new();
        for (kind, name, histogram, values) in stages {
            let mut recorder = Recorder::new();
            values.iter().for_each(|value| recorder.record(*value));
            let readers = vec![(*histogram, recorder.reader())];
            registry.histograms(Label::new(*kind, *name), readers);
            recorders.push(recorder);
        }
        (registry, recorders)
    }

    fn json(gathered: &Gathered) -> serde_json::Value {
        let mut run = Run::default();
        gathered.put_into(&mut run);
        serde_json::to_value(&run).unwrap()
    }

    #[test]
    fn two_sessions_have_each_its_own_histogram_and_sum_to_the_merged_one() {
        let (registry, _recorders) = registry(&[
            (Kind::Feed, "itch", "wire_to_seen", &[7]),
            (Kind::Session, "one", "order_to_ack", &[1_000, 1_001]),
            (Kind::Session, "two", "order_to_ack", &[90_000]),
        ]);
        let json = json(&registry.gather());
        let of = |name: &str| &json["stages"]["session"][name]["histograms"]["order_to_ack"];
        assert_eq!(
            (of("one")["count"].as_u64(), of("one")["max"].as_u64()),
            (Some(2), Some(1_001))
        );
        assert_eq!(
            (of("two")["count"].as_u64(), of("two")["min"].as_u64()),
            (Some(1), Some(89_984))
        );
        let merged = &json["histograms"]["order_to_ack"];
        assert_eq!(
            (merged["count"].as_u64(), merged["min"].as_u64()),
            (Some(3), Some(1_000))
        );
        // One feed is all feeds: it is not told twice.
        assert_eq!(json["histograms"]["wire_to_seen"]["count"], 1);
        assert!(json["stages"].get("feed").is_none(), "{json}");

        let read: Run = serde_json::from_value(json).unwrap();
        let mut sum = empty();
        for stage in read.stages[&Kind::Session].values() {
            sum.add(stage.histogram("order_to_ack").unwrap()).unwrap();
        }
        assert_eq!(sum, read.histogram("order_to_ack").unwrap());
    }

    #[test]
    fn warm_up_is_taken_from_each_stage_and_from_the_sum() {
        let (registry, mut recorders) = registry(&[
            (Kind::Session, "one", "order_to_ack", &[500; 3]),
            (Kind::Session, "two", "order_to_ack", &[500; 4]),
        ]);
        let before = registry.gather();
        recorders[1].record(600);
        let mut after = registry.gather();
        after.subtract(&before);
        let json = json(&after);
        let count =
            |name: &str| &json["stages"]["session"][name]["histograms"]["order_to_ack"]["count"];
        assert_eq!((count("one"), count("two")), (&0.into(), &1.into()));
        assert_eq!(json["histograms"]["order_to_ack"]["max"], 600);
        assert_eq!(json["histograms"]["order_to_ack"]["count"], 1);
    }

    #[test]
    fn files_are_written_for_all_and_for_each_of_several() {
        let (registry, _recorders) = registry(&[
            (Kind::Strategy, "alone", "picked_to_decided", &[1]),
            (Kind::Feed, "a", "wire_to_seen", &[1]),
            (Kind::Feed, "b/c", "wire_to_seen", &[2]),
        ]);
        let folder = tempfile::tempdir().unwrap();
        registry.gather().write_hgrm(folder.path()).unwrap();
        let files = std::fs::read_dir(folder.path()).unwrap().flatten();
        let mut files: Vec<_> = files
            .map(|file| file.file_name().into_string().unwrap())
            .collect();
        files.sort();
        let expected = [
            "feed.a.wire_to_seen.hgrm",
            "feed.b%2Fc.wire_to_seen.hgrm",
            "picked_to_decided.hgrm",
            "wire_to_seen.hgrm",
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn counters_are_told_by_kind_and_name() {
        let mut registry = Registry::default();
        registry.counters(Label::new(Kind::Feed, "x"), || vec![("packets", "", 1)]);
        registry.counters(Label::new(Kind::Socket, "x"), || vec![("packets", "", 2)]);
        let run = Run {
            counters: registry.count(),
            ..Run::default()
        };
        assert_eq!(run.counter(Kind::Feed, "x", "packets"), Some(1));
        assert_eq!(run.counter(Kind::Socket, "x", "packets"), Some(2));
        assert_eq!(run.counter(Kind::Core, "x", "packets"), None);
    }
}
