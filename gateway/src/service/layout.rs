//! Which core runs which stage.

use crate::core_loop::{CoreOptions, Stage};
use crate::options::{Core, Options};

/// Stages of each core, and the cores.
pub(super) type Placed = (Vec<Vec<Box<dyn Stage>>>, Vec<CoreOptions>);

/// What the operator asked for.
pub(super) struct Layout {
    is_inline: bool,
    cpus: Vec<usize>,
    cores: Vec<Core>,
    priority: i32,
}

/// The layout's kind, in the configuration's words.
pub(super) fn name(options: &Options) -> &'static str {
    match (options.cores.is_empty(), options.is_inline) {
        (false, _) => "cores",
        (true, true) => "inline",
        (true, false) => "pipeline",
    }
}

/// Each core that the operator named, for the report.
pub(super) fn describe(options: &Options) -> serde_json::Value {
    let cores = options
        .cores
        .iter()
        .map(|core| serde_json::json!({ "name": core.name, "cpu": core.cpu, "runs": core.runs }));
    cores.collect()
}

impl Layout {
    pub(super) fn new(options: &Options) -> Self {
        let mut cpus = options.cpus.clone();
        let allowed = rt::cpu::allowed();
        if cpus.is_empty() && options.is_inline && allowed.len() > 1 {
            cpus.extend(allowed.last());
        }
        Self {
            is_inline: options.is_inline,
            cpus,
            cores: options.cores.clone(),
            priority: options.realtime_priority,
        }
    }

    /// # Errors
    /// A stage that no core runs, or a name without a stage.
    pub(super) fn place(&self, stages: Vec<(String, Box<dyn Stage>)>) -> Result<Placed, String> {
        if !self.cores.is_empty() {
            return self.place_on_cores(stages);
        }
        let core = |name: String, index: usize| CoreOptions {
            name,
            cpu: self.cpus.get(index).copied(),
            priority: self.priority,
        };
        if self.is_inline {
            let stages = stages.into_iter().map(|(_, stage)| stage).collect();
            return Ok((vec![stages], vec![core("inline".to_owned(), 0)]));
        }
        let (names, stages): (Vec<_>, Vec<_>) = stages.into_iter().unzip();
        let names = names.into_iter().enumerate();
        Ok((
            stages.into_iter().map(|stage| vec![stage]).collect(),
            names.map(|(at, name)| core(name, at)).collect(),
        ))
    }

    /// Stages of one core keep their order, so that what a feed says is heard in the same turn.
    fn place_on_cores(&self, stages: Vec<(String, Box<dyn Stage>)>) -> Result<Placed, String> {
        let mut placed: Vec<Vec<Box<dyn Stage>>> = self.cores.iter().map(|_| Vec::new()).collect();
        let mut count = 0;
        for (name, stage) in stages {
            let runs = |core: &Core| core.runs.contains(&name);
            let at = self.cores.iter().position(runs);
            let Some(core) = at.and_then(|at| placed.get_mut(at)) else {
                return Err(format!("layout: no core runs {name}, expected one"));
            };
            core.push(stage);
            count += 1;
        }
        let named: usize = self.cores.iter().map(|core| core.runs.len()).sum();
        if named != count {
            return Err(format!(
                "layout: cores name {named} stages and there are {count}, expected each once"
            ));
        }
        let cores = self.cores.iter().map(|core| CoreOptions {
            name: core.name.clone(),
            cpu: core.cpu,
            priority: self.priority,
        });
        Ok((placed, cores.collect()))
    }
}
