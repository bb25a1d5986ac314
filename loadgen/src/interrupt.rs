//! The user's wish to stop: Ctrl-C, SIGTERM or SIGHUP, once; a second one ends the process at once.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::verdict::answer::Exit;

/// Whether the user has asked to stop; cheap to clone, one state.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// Listens for signals from now on.
    ///
    /// # Errors
    /// The kernel's reason when no handler can be installed.
    pub fn listen() -> io::Result<Self> {
        let interrupt = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            // Handlers are installed here and not in the thread, so that none is missed from now on.
            let _entered = runtime.enter();
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
                .into_iter()
                .map(signal)
                .collect::<io::Result<Vec<_>>>()?
        };
        let theirs = interrupt.clone();
        thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            runtime.block_on(async {
                let [interrupted, terminated, hung_up] = signals.as_mut_slice() else { return };
                loop {
                    tokio::select! {
                        _ = interrupted.recv() => {}
                        _ = terminated.recv() => {}
                        _ = hung_up.recv() => {}
                    }
                    if theirs.is_set() {
                        // The roles end by themselves when their lifelines close.
                        std::process::exit(i32::from(Exit::Interrupted.code()));
                    }
                    theirs.set();
                }
            });
        })?;
        Ok(interrupt)
    }

    /// Asks to stop.
    pub fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether somebody asked to stop.
    pub fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until somebody asks to stop; returns whether somebody did.
    pub fn wait(&self, duration: Duration) -> bool {
        let state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(state, duration, |set| !*set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_wish_to_stop() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wait(Duration::from_millis(1)));
        let theirs = interrupt.clone();
        let setter = thread::spawn(move || theirs.set());
        assert!(interrupt.wait(Duration::from_secs(60)));
        assert!(interrupt.is_set());
        setter.join().unwrap();
    }
}
