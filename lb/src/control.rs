//! The control thread: health checks, administration, and reloads of the configuration.
//!
//! A reload is a [`Difference`] that is applied in an order in which no client is ever without a server:
//! servers that are added are checked first, then the workers take on the new groups, and only then are
//! the checks of removed servers ended. One reload at a time; a worker is waited for, but not for ever.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::config::{Config, Difference, Unchangeable};
use crate::health::Checks;
use crate::operate::admin;
use crate::run::Ready;
use crate::worker::{Groups, Phase, Shared};

/// How long the workers may take to go by new groups: each is asked between two turns of its event loop.
const ADOPT_WAIT: Duration = Duration::from_secs(5);

/// Why a reload was refused; the running configuration stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It asks for what only a restart can change.
    #[error(transparent)]
    Unchangeable(#[from] Unchangeable),
    /// The load balancer drains or has ended.
    #[error("the load balancer is ending; expected a reload before the drain")]
    Ending,
}

/// A configuration that somebody wants to be the running one.
pub(crate) struct ReloadRequest {
    pub(crate) wanted: Config,
    pub(crate) answer: oneshot::Sender<Result<Difference, ReloadError>>,
}

/// What the control thread is started with.
pub(crate) struct Control {
    pub(crate) admin: Option<TcpListener>,
    pub(crate) reloader: Reloader,
    pub(crate) requests: mpsc::Receiver<ReloadRequest>,
}

impl Control {
    /// Runs until everything ends.
    pub(crate) fn run(self, ready: Ready<()>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        let Self { admin, mut reloader, mut requests } = self;
        runtime.block_on(async {
            let mut phase = reloader.phase.clone();
            let mut checks = Checks::default();
            reloader.shared.groups().iter().for_each(|group| checks.start(group));
            if let Some(listener) = admin {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::task::spawn_local(admin::serve(listener, Arc::clone(&reloader.shared), phase.clone()));
            }
            ready(());
            let reloads = async {
                while let Some(ReloadRequest { wanted, answer }) = requests.recv().await {
                    let result = reloader.reload(wanted, &mut checks).await;
                    // Whoever asked may have gone; what was done stands.
                    let _ = answer.send(result);
                }
                std::future::pending().await
            };
            tokio::select! {
                // A closed channel means that the owner is gone.
                _ = phase.wait_for(|phase| *phase == Phase::Ended) => {}
                () = reloads => {}
            }
            Ok(())
        })
    }
}

/// What makes a configuration the running one.
pub(crate) struct Reloader {
    pub(crate) running: Config,
    /// How many cores the process could run on when it was started: the workers it has if nobody said.
    pub(crate) cores: usize,
    pub(crate) shared: Arc<Shared>,
    /// One message from each worker that has taken on new groups.
    pub(crate) adoptions: mpsc::Receiver<()>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Reloader {
    async fn reload(&mut self, wanted: Config, checks: &mut Checks) -> Result<Difference, ReloadError> {
        if *self.phase.borrow() != Phase::Running {
            return Err(ReloadError::Ending);
        }
        let difference = self.running.difference(&wanted.resolved(self.cores))?;
        if difference.is_empty() {
            return Ok(difference);
        }
        let running = self.shared.groups();
        let mut groups = running.to_vec();
        for change in &difference.groups {
            let group = &mut groups[change.group];
            *group = Arc::new(group.changed_to(Arc::clone(&change.wanted), self.shared.workers));
        }
        let changed = difference.groups.iter().map(|change| (&*running[change.group], &*groups[change.group]));
        checks.add(changed).await;
        let groups: Groups = groups.into();
        self.publish(Arc::clone(&groups)).await;
        checks.forget(&groups);
        self.running = self.running.with(&difference);
        Ok(difference)
    }

    /// Gives the groups to the workers and waits until they go by them.
    async fn publish(&mut self, groups: Groups) {
        // What came too late for the last reload.
        while self.adoptions.try_recv().is_ok() {}
        self.shared.groups.send_replace(groups);
        let all = async {
            for _ in 0..self.shared.workers {
                // It fails when the workers have ended: there is nobody to wait for.
                if self.adoptions.recv().await.is_none() {
                    return;
                }
            }
        };
        if timeout(ADOPT_WAIT, all).await.is_err() && *self.phase.borrow() == Phase::Running {
            tracing::warn!("not every worker goes by the reloaded configuration yet, {ADOPT_WAIT:?} after it was told");
        }
    }
}
