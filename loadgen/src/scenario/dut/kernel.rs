//! A DUT that is the kernel of a namespace: routes, address translation, a bridge.
//!
//! Its setup is a list of commands without a shell, run once in the namespace. Where clients address the
//! reflectors themselves, the service is `udp://reflectors`; the protocol in it is the scenario's.

use super::REFLECTORS;
use super::reader::Reader;
use crate::scenario::error::ScenarioError;
use crate::scenario::placeholder::uses;
use crate::scenario::plan::{DutKind, Forwarding};

/// Most commands of a setup.
const SETUP_MAX: usize = 64;

impl Reader<'_> {
    pub(super) fn kernel(&self) -> Result<(DutKind, String), ScenarioError> {
        let built = [("route", Forwarding::Route), ("bridge", Forwarding::Bridge)];
        let word = self.file.forwarding.as_deref().unwrap_or("route");
        let forwarding = self.origin.choose("forwarding", word, &built, &[])?;
        let setup = self.file.setup.clone().unwrap_or_default();
        if setup.len() > SETUP_MAX {
            let message = format!("{} commands; expected at most {SETUP_MAX}, or a script", setup.len());
            return Err(self.origin.error("setup", message));
        }
        if setup.iter().any(|command| command.first().is_none_or(String::is_empty)) {
            let message = "has a command without a program; expected such as [[\"nft\", \"-f\", \"{config}\"]]";
            return Err(self.origin.error("setup", message));
        }
        let words: Vec<String> = setup.iter().flatten().cloned().collect();
        let config = self.template()?;
        let is_used = words.iter().any(|word| uses(word, "config"));
        if is_used != config.is_some() {
            let message = if is_used {
                "missing, but setup uses {config}; expected the template's file name"
            } else {
                "no command of setup uses {config}: it would have no effect"
            };
            return Err(self.origin.error("config", message));
        }
        let service = self.kernel_service()?;
        self.require_port(&service, &words, config.as_ref())?;
        let package = self.file.package.clone();
        Ok((DutKind::Kernel { forwarding, setup, config, package }, service))
    }

    /// The reflectors, or an address of the namespace.
    fn kernel_service(&self) -> Result<String, ScenarioError> {
        let Some(service) = &self.file.service else {
            let message = "missing; expected \"udp://reflectors\", or \"udp://{vip}:{port}\" for what is translated";
            return Err(self.origin.error("service", message));
        };
        match service.split_once("://") {
            Some(("http" | "tcp" | "udp", REFLECTORS)) => Ok(service.clone()),
            _ => self.local_service(),
        }
    }
}
