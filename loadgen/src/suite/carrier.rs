//! What carries the connections of a run: what the plan asks for, or loudly something else.

use host::uring::Support;
use serde_json::{Value, json};

use crate::engine::Carrier;
use crate::scenario::Plan;
use crate::scenario::plan::{CloseMode, Engine};

/// What a run uses, and what its reader has to know of it.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// For the workers.
    pub(super) carrier: Carrier,
    /// For `environment.json`: what was asked for, what was used, and on which descriptors or why not.
    pub(super) facts: Value,
    /// Whatever is not as asked for, or not as sure.
    pub(super) warning: Option<String>,
}

/// Chooses by what this kernel can do.
pub(super) fn choose(plan: &Plan) -> Choice {
    let asked = plan.load.engine;
    let facts = |used: Engine, why: String| json!({ "asked": asked.name(), "used": used.name(), "why": why });
    if asked == Engine::Epoll {
        let facts = facts(Engine::Epoll, "the default".to_owned());
        return Choice { carrier: Carrier::Epoll, facts, warning: None };
    }
    match host::uring::probe() {
        Ok(support) => {
            let descriptors = descriptors(plan.workload.close, &support);
            Choice { carrier: Carrier::Uring(support), facts: facts(Engine::Uring, descriptors), warning: None }
        }
        Err(reason) => Choice {
            carrier: Carrier::Epoll,
            facts: facts(Engine::Epoll, reason.to_string()),
            warning: Some(format!("engine uring cannot be used here, all trials ran over epoll: {reason}")),
        },
    }
}

/// On which descriptors the connections live. Rings are made for each trial, so that one that cannot
/// have what was to be had here can only be told of by a warning of its trial.
fn descriptors(close: CloseMode, support: &Support) -> String {
    match (close, &support.direct) {
        (CloseMode::ClientFin, _) => "normal descriptors, because the client closes first".to_owned(),
        (_, Ok(())) => "direct descriptors, but for workers that a warning names".to_owned(),
        (_, Err(reason)) => format!("normal descriptors only: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use host::uring::Unavailable;

    use super::*;

    #[test]
    fn the_descriptors_that_are_recorded_are_those_of_the_close() {
        let direct = Support { direct: Ok(()) };
        let old = Support { direct: Err(Unavailable::because("this kernel lacks BIND")) };
        assert!(descriptors(CloseMode::ClientFin, &direct).starts_with("normal"));
        assert!(descriptors(CloseMode::ServerFin, &direct).starts_with("direct"));
        assert!(descriptors(CloseMode::ClientRst, &direct).starts_with("direct"));
        assert!(descriptors(CloseMode::ServerFin, &old).ends_with("only: this kernel lacks BIND"));
    }
}
