//! Which core runs which stage.

use crate::core_loop::{CoreOptions, Stage};
use crate::options::{Core, Options};

/// A stage, and whom it runs: a feed, a session, or strategies.
pub(super) struct Named {
    pub(super) names: Vec<String>,
    pub(super) stage: Box<dyn Stage>,
}

impl Named {
    pub(super) fn new(name: String, stage: Box<dyn Stage>) -> Self {
        Self {
            names: vec![name],
            stage,
        }
    }
}

/// Stages of each core, and the cores.
pub(super) type Placed = (Vec<Vec<Box<dyn Stage>>>, Vec<CoreOptions>);

/// What the operator asked for.
pub(super) struct Layout {
    is_inline: bool,
    cpus: Vec<usize>,
    cores: Vec<Core>,
    priority: i32,
    rehearse_ns: u64,
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
            rehearse_ns: options.rehearse_ns,
        }
    }

    /// Idle cores keep their ways warm.
    pub(super) fn rehearses(&self) -> bool {
        self.rehearse_ns != 0
    }

    /// The core that is to run somebody, where it runs others, too; `None`: it has one of its own, or none.
    pub(super) fn shared_core(&self, name: &str) -> Option<usize> {
        if self.cores.is_empty() {
            return self.is_inline.then_some(0);
        }
        let runs = |core: &Core| core.runs.iter().any(|it| it == name);
        self.cores.iter().position(runs)
    }

    /// # Errors
    /// A stage that no core runs, or a name without a stage.
    pub(super) fn place(&self, stages: Vec<Named>) -> Result<Placed, String> {
        if !self.cores.is_empty() {
            return self.place_on_cores(stages);
        }
        let core = |name: String, index: usize| CoreOptions {
            name,
            cpu: self.cpus.get(index).copied(),
            priority: self.priority,
            rehearse_ns: self.rehearse_ns,
        };
        if self.is_inline {
            let stages = stages.into_iter().map(|it| it.stage).collect();
            return Ok((vec![stages], vec![core("inline".to_owned(), 0)]));
        }
        let named = stages.into_iter().enumerate();
        let placed = named.map(|(at, it)| (vec![it.stage], core(it.names.join(" "), at)));
        Ok(placed.unzip())
    }

    /// Stages of one core keep their order, so that what a feed says is heard in the same turn.
    fn place_on_cores(&self, stages: Vec<Named>) -> Result<Placed, String> {
        let mut placed: Vec<Vec<Box<dyn Stage>>> = self.cores.iter().map(|_| Vec::new()).collect();
        let mut count = 0;
        for Named { names, stage } in stages {
            // Strategies that share a stage are on one core: that is why they do.
            let at = names.first().and_then(|name| self.shared_core(name));
            let Some(core) = at.and_then(|at| placed.get_mut(at)) else {
                let names = names.join(", ");
                return Err(format!("layout: no core runs {names}, expected one"));
            };
            core.push(stage);
            count += names.len();
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
            rehearse_ns: self.rehearse_ns,
        });
        Ok((placed, cores.collect()))
    }
}
