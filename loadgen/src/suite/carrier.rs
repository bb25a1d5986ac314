//! What carries the connections of a run: what the plan asks for, or loudly something else.

use serde_json::{Value, json};

use crate::engine::Carrier;
use crate::scenario::Plan;
use crate::scenario::plan::Engine;

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
            let direct = match &support.direct {
                Ok(()) => "direct descriptors unless the client closes first".to_owned(),
                Err(reason) => format!("normal descriptors only: {reason}"),
            };
            Choice { carrier: Carrier::Uring(support), facts: facts(Engine::Uring, direct), warning: None }
        }
        Err(reason) => Choice {
            carrier: Carrier::Epoll,
            facts: facts(Engine::Epoll, reason.to_string()),
            warning: Some(format!("engine uring cannot be used here, all trials ran over epoll: {reason}")),
        },
    }
}
