//! A remote's trail, read as a record: for reviewers on machines that have none of their own.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::audit_policy::AuditPolicy;
use super::context::Context;
use super::error::{CliError, ErrorKind};
use super::recorder::{Record, layout};
use crate::audit::{LOOK_FOR_VOTES, LinkParts, Remote, Votes, cast_vote, mirror, restore_store};
use crate::base::RunId;
use crate::event::SignedVote;
use crate::settings::{SystemClock, remote_from};
use crate::store::{MemoryStore, RunStore, StateLayout};

/// What the remote holds, and the way to it.
pub(super) struct RemoteRecord {
    /// The runs of its trail, and the votes that wait there once [`Self::bring`] was called.
    pub(super) record: Record,
    parts: LinkParts,
    /// Where a reviewer has no state directory: gone with the command.
    _aside: Option<TempDir>,
}

impl RemoteRecord {
    /// Fetches a remote's trail: of the URL, else of `RUNBOOK_AUDIT_REMOTE`, else of the policy.
    ///
    /// # Errors
    /// When no remote is named, it cannot be reached, or what it holds is damaged.
    pub(super) fn open(context: &Context, url: Option<&str>) -> Result<Self, CliError> {
        let url = remote_url(context, url)?;
        let settings = &context.settings;
        let (layout, aside) = place(context)?;
        let store: Arc<dyn RunStore> = Arc::new(MemoryStore::new());
        let parts = LinkParts {
            trail: mirror_path(layout.root()),
            remote: Remote::new(&url, settings.terminal.can_ask),
            host: settings.actor.host.clone(),
            key: None,
            store: Arc::clone(&store),
            clock: Arc::new(SystemClock),
            pause: LOOK_FOR_VOTES,
        };
        mirror(&parts.trail, &parts.remote)?;
        restore_store(&parts.trail, store.as_ref())?;
        Ok(Self {
            record: Record::over(settings, layout, store),
            parts,
            _aside: aside,
        })
    }

    /// Fetches the votes about a run that its host has not recorded yet.
    ///
    /// # Errors
    /// When the remote cannot be asked.
    pub(super) fn bring(&self, run: RunId) -> Result<(), CliError> {
        Votes::new(self.parts.clone()).bring(run)?;
        Ok(())
    }

    /// Sends a signed vote.
    ///
    /// # Errors
    /// When the remote does not take it.
    pub(super) fn send(&self, signed: &SignedVote) -> Result<(), CliError> {
        Ok(cast_vote(&self.parts.trail, &self.parts.remote, signed)?)
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        self.parts.remote.url()
    }
}

/// The state directory, so that little is fetched the next time; without one a folder of this command.
fn place(context: &Context) -> Result<(StateLayout, Option<TempDir>), CliError> {
    if let Ok(state) = context.settings.state_dir() {
        state.create()?;
        return Ok((layout(&context.settings)?, None));
    }
    let aside = tempfile::tempdir().map_err(|error| {
        CliError::new(ErrorKind::Failed, "cannot make a temporary folder").because(&error)
    })?;
    Ok((StateLayout::new(aside.path()), Some(aside)))
}

fn mirror_path(state: &std::path::Path) -> PathBuf {
    state.join("remote.git")
}

/// The remote that is meant.
///
/// # Errors
/// When nothing names one.
pub(super) fn remote_url(context: &Context, given: Option<&str>) -> Result<String, CliError> {
    let settings = &context.settings;
    if let Some(url) = given.filter(|url| !url.is_empty()) {
        return Ok(remote_from(url, &settings.start));
    }
    let repository = settings.repository().ok();
    let policy = match &repository {
        Some(repository) => AuditPolicy::read(&repository.policy_file())?.unwrap_or_default(),
        None => AuditPolicy::default(),
    };
    let root = repository.map_or_else(|| settings.start.clone(), |r| r.root().to_path_buf());
    settings
        .audit_remote(policy.remote.as_deref(), &root)
        .ok_or_else(|| {
            CliError::new(ErrorKind::Usage, "the audit trail has no remote")
                .next("name one: --remote=URL")
                .next("for always: `audit: { remote: URL }` in runbooks/policy.yaml")
        })
}
