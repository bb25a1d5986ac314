//! Which cores the generator, the DUT and the reflectors run on.
//!
//! Pure. Cores that the plan names win. Otherwise the DUT has cores of its own at the end, because
//! what disturbs it falsifies the figure; the reflectors come next, the generator has the rest. On two
//! cores that is: DUT on core 1, all the rest on core 0. On one core all share it, with a warning.

use serde::Serialize;

use super::error::TestbedError;
use crate::scenario::plan::{DutKind, TestbedPlan};

/// Which cores the roles run on, each list in ascending order.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Placement {
    /// Cores of the generator's workers.
    pub generator: Vec<usize>,
    /// Cores of the DUT; empty if the run does not start it.
    pub dut: Vec<usize>,
    /// Cores of the reflectors, which take one each in turn; empty without reflectors.
    pub reflectors: Vec<usize>,
    /// What disturbs the measurement about it.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl Placement {
    /// Places the roles of a plan on the cores that may be used.
    ///
    /// # Errors
    /// [`TestbedError::Core`] for a core in the plan that may not be used.
    pub fn choose(allowed: &[usize], plan: &TestbedPlan) -> Result<Self, TestbedError> {
        for (key, cores) in [("dut.cores", &plan.dut.cores), ("testbed.generator_cores", &plan.generator_cores)] {
            if let Some(&found) = cores.iter().find(|core| !allowed.contains(core)) {
                return Err(TestbedError::Core { key, found, allowed: allowed.to_vec() });
            }
        }
        let dut = dut_cores(allowed, plan);
        let mut rest: Vec<_> = allowed.iter().copied().filter(|core| !dut.contains(core)).collect();
        if rest.is_empty() {
            rest = allowed.to_vec();
        }
        let generator_wish = &plan.generator_cores;
        let free: Vec<_> = rest.iter().copied().filter(|core| !generator_wish.contains(core)).collect();
        let count = (plan.reflectors as usize).min(rest.len() / 2).min(free.len());
        let (generator, reflectors) = match (plan.reflectors, count) {
            (0, _) => (rest, Vec::new()),
            (_, 0) => (rest.clone(), rest),
            (_, count) => {
                let reflectors = free[free.len() - count..].to_vec();
                (rest.into_iter().filter(|core| !reflectors.contains(core)).collect(), reflectors)
            }
        };
        let generator = if generator_wish.is_empty() { generator } else { sorted(generator_wish) };
        let dut = if is_started(plan) { dut } else { Vec::new() };
        let mut warnings = warnings(&generator, &dut, &reflectors);
        let workers = wanted_cores(plan);
        if !dut.is_empty() && dut.len() < workers {
            let cores = dut.len();
            warnings
                .push(format!("the DUT's {workers} workers share {cores} core(s): it could do more with one for each"));
        }
        Ok(Self { generator, dut, reflectors, warnings })
    }

    /// A core that nobody of this testbed runs on, for one generator worker more.
    ///
    /// # Errors
    /// Why there is none, for a person.
    pub fn free_core(&self, allowed: &[usize], plan: &TestbedPlan) -> Result<usize, String> {
        if matches!(plan.dut.kind, DutKind::External { address } if address.ip().is_loopback()) {
            return Err("the DUT was not started here, and nobody knows which core it uses".to_owned());
        }
        let used =
            |core: &usize| [&self.generator, &self.dut, &self.reflectors].iter().any(|cores| cores.contains(core));
        let free = allowed.iter().copied().find(|core| !used(core));
        free.ok_or_else(|| format!("no core was free for another worker: all {} are in use", allowed.len()))
    }

    /// The cores of one reflector.
    pub(super) fn reflector(&self, number: usize) -> Vec<usize> {
        let count = self.reflectors.len().max(1);
        self.reflectors.get(number % count).map(|&core| vec![core]).unwrap_or_default()
    }
}

fn is_started(plan: &TestbedPlan) -> bool {
    matches!(plan.dut.kind, DutKind::Reference { .. } | DutKind::Command { .. } | DutKind::Kernel { .. })
}

/// The cores kept for the DUT: those of an external one on this host are not ours to set, but left
/// free all the same.
fn dut_cores(allowed: &[usize], plan: &TestbedPlan) -> Vec<usize> {
    if !plan.dut.cores.is_empty() {
        return sorted(&plan.dut.cores);
    }
    let count = wanted_cores(plan).min(allowed.len().saturating_sub(1).max(1));
    allowed[allowed.len() - count..].to_vec()
}

/// One for each worker.
fn wanted_cores(plan: &TestbedPlan) -> usize {
    match &plan.dut.kind {
        DutKind::Reference { workers, .. } => workers.get() as usize,
        DutKind::Command { workers, .. } => workers.map_or(1, |workers| workers.get() as usize),
        DutKind::External { address } if address.ip().is_loopback() => 1,
        DutKind::Kernel { .. } => 1,
        DutKind::External { .. } | DutKind::None => 0,
    }
}

fn sorted(cores: &[usize]) -> Vec<usize> {
    let mut cores = cores.to_vec();
    cores.sort_unstable();
    cores.dedup();
    cores
}

fn warnings(generator: &[usize], dut: &[usize], reflectors: &[usize]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, cores) in [("the generator", generator), ("a reflector", reflectors)] {
        if let Some(core) = dut.iter().find(|core| cores.contains(core)) {
            warnings.push(format!(
                "{name} shares core {core} with the DUT and takes CPU time from it: the figure is lower than the DUT's own"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::scenario::plan::{Dut, Network, Ready, ReadyCheck, Template};

    fn plan(kind: DutKind, reflectors: u32) -> TestbedPlan {
        let service = "http://127.0.0.1:{port}".to_owned();
        let dut = Dut { name: "x".into(), kind, service, cores: vec![], cpu_quota: None, file_text: String::new() };
        TestbedPlan {
            network: Network::Loopback,
            links: Default::default(),
            dut,
            reflectors,
            remote_reflectors: vec![],
            reflector_arguments: vec![],
            generator_cores: vec![],
            allow_targets: vec![],
            source_networks: vec![],
        }
    }

    fn reference(workers: u32) -> DutKind {
        let config = Template { path: PathBuf::from("lb.toml"), text: String::new() };
        DutKind::Reference { config, workers: NonZeroU32::new(workers).unwrap() }
    }

    fn placed(cores: usize, plan: &TestbedPlan) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        let allowed: Vec<_> = (0..cores).collect();
        let placement = Placement::choose(&allowed, plan).unwrap();
        (placement.generator, placement.reflectors, placement.dut)
    }

    #[test]
    fn on_two_cores_the_dut_has_the_last_one_and_the_rest_shares_the_first() {
        assert_eq!(placed(2, &plan(reference(1), 2)), (vec![0], vec![0], vec![1]));
        assert_eq!(placed(2, &plan(reference(4), 2)), (vec![0], vec![0], vec![1]));
        let warnings = |workers| Placement::choose(&[0, 1], &plan(reference(workers), 2)).unwrap().warnings;
        assert_eq!(warnings(4), ["the DUT's 4 workers share 1 core(s): it could do more with one for each"]);
        assert!(warnings(1).is_empty());
    }

    #[test]
    fn more_cores_are_dealt_out_from_the_end() {
        assert_eq!(placed(8, &plan(reference(2), 2)), (vec![0, 1, 2, 3], vec![4, 5], vec![6, 7]));
        assert_eq!(placed(4, &plan(reference(1), 2)), (vec![0, 1], vec![2], vec![3]));
        assert_eq!(placed(2, &plan(DutKind::None, 2)), (vec![0], vec![1], vec![]));
        assert_eq!(placed(3, &plan(reference(1), 0)), (vec![0, 1], vec![], vec![2]));
    }

    #[test]
    fn a_program_has_a_core_for_each_worker_it_is_told_of() {
        let command = |workers| DutKind::Command {
            start: vec!["lb".to_owned()],
            config: None,
            ready: Ready { check: ReadyCheck::Tcp("127.0.0.1:{port}".to_owned()), within: Duration::from_secs(1) },
            admin: None,
            package: None,
            workers: NonZeroU32::new(workers),
        };
        assert_eq!(placed(8, &plan(command(3), 1)), (vec![0, 1, 2, 3], vec![4], vec![5, 6, 7]));
        assert_eq!(placed(8, &plan(command(0), 1)).2, [7], "nobody knows how many it has");
    }

    #[test]
    fn a_core_is_free_only_where_the_plan_holds_the_roles_back() {
        let free = |cores: usize, plan: &TestbedPlan| {
            let allowed: Vec<_> = (0..cores).collect();
            Placement::choose(&allowed, plan).unwrap().free_core(&allowed, plan)
        };
        let mut plan = plan(reference(1), 1);
        assert_eq!(free(4, &plan), Err("no core was free for another worker: all 4 are in use".to_owned()));
        plan.generator_cores = vec![0];
        assert_eq!(free(4, &plan), Ok(1));
        (plan.dut.cores, plan.reflectors) = (vec![0], 0);
        assert_eq!(free(2, &plan), Ok(1));
        plan.dut.kind = DutKind::External { address: "127.0.0.1:80".parse().unwrap() };
        assert!(free(2, &plan).unwrap_err().contains("nobody knows which core"));
    }

    #[test]
    fn one_core_is_shared_by_all_and_that_is_said() {
        let placement = Placement::choose(&[3], &plan(reference(1), 1)).unwrap();
        assert_eq!((placement.generator, placement.reflectors, placement.dut), (vec![3], vec![3], vec![3]));
        assert!(placement.warnings.iter().any(|warning| warning.contains("core 3")));
    }

    #[test]
    fn cores_of_the_plan_win_and_must_exist() {
        let mut plan = plan(reference(1), 1);
        plan.dut.cores = vec![0];
        assert_eq!(placed(4, &plan), (vec![1, 2], vec![3], vec![0]));
        plan.generator_cores = vec![3];
        assert_eq!(placed(4, &plan), (vec![3], vec![2], vec![0]));
        plan.dut.cores = vec![9];
        let error = Placement::choose(&[0, 1], &plan).unwrap_err().to_string();
        assert!(error.contains("dut.cores") && error.contains('9') && error.contains("[0, 1]"), "{error}");
    }

    #[test]
    fn an_external_dut_on_this_host_finds_a_core_left_free() {
        let external = |text: &str| DutKind::External { address: text.parse().unwrap() };
        assert_eq!(placed(2, &plan(external("127.0.0.1:80"), 0)), (vec![0], vec![], vec![]));
        assert_eq!(placed(2, &plan(external("10.0.0.5:80"), 0)), (vec![0, 1], vec![], vec![]));
    }
}
