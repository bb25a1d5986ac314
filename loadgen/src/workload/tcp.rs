//! TCP without a byte of payload: connect and close, or connect, hold, close.
//!
//! It shows what the DUT's accept path carries. It does not show that a connection can carry data;
//! only HTTP does.

use super::{Noticed, Operation, Step, Workload};
use crate::measure::Outcome;
use crate::scenario::plan::CloseMode;

/// The workload of one worker.
#[derive(Debug)]
pub struct Tcp {
    operation: Operation,
    close: CloseMode,
}

impl Tcp {
    /// Connections that are closed at once, or held.
    pub fn new(operation: Operation, close: CloseMode) -> Self {
        Self { operation, close }
    }
}

impl Workload for Tcp {
    type User = ();

    fn start(&mut self, (): &mut ()) -> Step {
        match self.operation {
            Operation::Held => Step::Hold,
            Operation::Connection | Operation::Transaction => Step::Close(self.close),
        }
    }

    fn request(&mut self, (): &()) -> &[u8] {
        &[]
    }

    fn received(&mut self, (): &mut (), _bytes: &[u8], _noticed: &mut Noticed) -> Step {
        // Nothing was asked for; a server that speaks first (SMTP) is not what this workload is for.
        Step::Fail(Outcome::BadResponse)
    }

    fn ended(&mut self, (): &mut (), _noticed: &mut Noticed) -> Step {
        Step::Fail(if self.operation == Operation::Held { Outcome::HoldLost } else { Outcome::ClosedEarly })
    }

    fn woken(&mut self, (): &mut ()) -> Step {
        Step::Hold
    }

    fn close(&self) -> CloseMode {
        self.close
    }

    fn detail(&self, (): &()) -> String {
        "the peer sent bytes or a FIN on a connection that carries none".to_owned()
    }

    fn instances(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}
