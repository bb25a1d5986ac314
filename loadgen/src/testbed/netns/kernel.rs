//! A DUT that is the kernel of its namespace: it forwards, and some commands tell it what else to do.
//!
//! It is no process: it cannot die, and its CPU time is that of the interrupts of the cores that its links
//! are steered to.

use std::net::SocketAddr;

use host::namespace::Namespace;

use super::command::Once;
use crate::measure::Role;
use crate::scenario::plan::{Dut, DutKind};
use crate::testbed::dut;
use crate::testbed::error::TestbedError;
use crate::testbed::process::Context;
use crate::testbed::template;

/// The log of the commands.
const LOG: &str = "dut.log";

/// Sets the kernel of the DUT's namespace up and says where clients connect; `None` if the DUT is another one.
pub(in crate::testbed) fn start(
    context: &Context<'_>,
    dut: &Dut,
    place: &dut::Place<'_>,
    reflectors: &[(String, SocketAddr)],
) -> Result<Option<Vec<SocketAddr>>, TestbedError> {
    let DutKind::Kernel { setup, config, package, .. } = &dut.kind else { return Ok(None) };
    let Some(network) = context.network else { return Err(TestbedError::KernelWithoutNamespaces) };
    let mut values = dut::values(context, dut, place, reflectors)?;
    if let Some(config) = config {
        let path = dut::write_config(context, config, &values)?;
        values.config = Some(path.display().to_string());
    }
    for command in setup {
        let filled =
            command.iter().map(|word| template::fill("setup", word, &values)).collect::<Result<Vec<_>, _>>()?;
        let words = dut::found_program(&filled, package.as_deref())?;
        run(network.of(Role::Dut), &words, context)?;
    }
    // A router or a bridge has no address that serves: clients connect to the servers behind it.
    let through = dut.service.split_once("://").map_or(dut.service.as_str(), |(_, rest)| rest);
    if through.trim_end_matches('/') == "reflectors" {
        return Ok(Some(reflectors.iter().map(|(_, address)| *address).collect()));
    }
    Ok(Some(vec![dut::parse_service(&template::fill("service", &dut.service, &values)?)?]))
}

fn run(namespace: &Namespace, words: &[String], context: &Context<'_>) -> Result<(), TestbedError> {
    Once { namespace, words, input: "", log: &context.run_dir.join(LOG) }.run()
}
