//! The record of a state directory, opened for a command: store, audit trail, places.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::audit_policy::AuditPolicy;
use super::context::Context;
use super::error::{CliError, ErrorKind};
use super::output::Printer;
use crate::audit::{
    AuditSources, AuditWriter, LOOK_FOR_VOTES, LinkParts, Remote, RemoteError, RemoteLink,
    ReportRenderer, Votes, is_urgent,
};
use crate::base::{Clock, ErrorChain, RunId};
use crate::engine::{Engine, EngineParts, Surroundings, is_alive};
use crate::event::RunEvent;
use crate::handler::HandlerRegistry;
use crate::plan::Plan;
use crate::report::{Places, report_markdown};
use crate::settings::{Repository, Settings, SystemClock, current_owner, secret_access};
use crate::store::{EngineOwner, RunRecord, RunStore, SqliteStore, StateLayout};

/// How long children of a step may take to end after TERM.
const GRACE: Duration = Duration::from_secs(10);

/// Writes `report.md` for the trail.
pub(super) struct Markdown;

impl ReportRenderer for Markdown {
    fn report(&self, run: &RunRecord, plan_json: &str, events: &[RunEvent]) -> String {
        match Plan::from_json(plan_json) {
            Ok(plan) => report_markdown(run, &plan, events),
            Err(error) => format!("The plan cannot be read: {error}\n"),
        }
    }
}

/// The record, for commands that only look or leave a word.
#[derive(Clone)]
pub(super) struct Record {
    /// Where things are.
    pub(super) layout: StateLayout,
    /// The store.
    pub(super) store: Arc<dyn RunStore>,
    start: PathBuf,
    host: String,
}

impl Record {
    /// Opens the record for reading. Nothing is created.
    ///
    /// # Errors
    /// When there is no record yet, or it cannot be read.
    pub(super) fn open_to_read(settings: &Settings) -> Result<Self, CliError> {
        let layout = layout(settings)?;
        if !layout.state_db().exists() {
            return Err(
                CliError::new(ErrorKind::Usage, "no run has been recorded yet")
                    .next("runbook exec RUNBOOK"),
            );
        }
        let store = SqliteStore::open_read_only(layout.root())?;
        Ok(Self::over(settings, layout, Arc::new(store)))
    }

    /// Opens the record to leave a word in it (a vote, a cancel).
    ///
    /// # Errors
    /// When there is no record yet, or it cannot be written.
    pub(super) fn open_to_ask(settings: &Settings) -> Result<Self, CliError> {
        Self::open_to_read(settings)?;
        let layout = layout(settings)?;
        let store = SqliteStore::open(layout.root())?;
        Ok(Self::over(settings, layout, Arc::new(store)))
    }

    /// A record over a store.
    pub(super) fn over(settings: &Settings, layout: StateLayout, store: Arc<dyn RunStore>) -> Self {
        Self {
            layout,
            store,
            start: settings.start.clone(),
            host: settings.actor.host.clone(),
        }
    }

    /// Whether the process that drives a run lives, as far as this host can see.
    pub(super) fn is_alive(&self, owner: &EngineOwner) -> bool {
        is_alive(owner, &self.host)
    }

    /// The names of a run for commands and summaries.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn places(&self, run: RunId) -> Result<Places, CliError> {
        let length = self.store.prefix_len(&[run])?;
        Ok(Places {
            prefix: run.to_string().chars().take(length).collect(),
            audit: Some(self.shown(&self.layout.audit_git())),
            logs: Some(self.shown(&self.layout.run_logs(run))),
        })
    }

    /// A path as the user would type it from where the command was started.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.start)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

/// The record with all that is needed to drive runs.
pub(super) struct Recorder {
    /// The record.
    pub(super) record: Record,
    parts: EngineParts,
    audit: Arc<AuditWriter>,
    remote: Option<RemoteSide>,
    out: Printer,
}

/// The remote of the trail, and the thread that keeps it up to date.
struct RemoteSide {
    parts: LinkParts,
    link: Arc<RemoteLink>,
}

impl Recorder {
    /// Opens (or creates) store and audit trail and proves that both can be written, before anything starts.
    ///
    /// # Errors
    /// When one of them cannot be written; then nothing was started.
    pub(super) fn open(
        context: &Context,
        root: &Path,
        registry: Arc<HandlerRegistry>,
    ) -> Result<Self, CliError> {
        let settings = &context.settings;
        let layout = layout(settings)?;
        let policy = Repository::at(root).policy_file();
        let policy = AuditPolicy::read(&policy)?.unwrap_or_default();
        // Before anything is made: a run that cannot be recorded as the policy wants does not start.
        let key = policy.host_key(context)?;
        settings.state_dir()?.create()?;
        let store: Arc<dyn RunStore> = Arc::new(SqliteStore::open(layout.root())?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let remote = settings.audit_remote(policy.remote.as_deref(), root);
        let remote = remote.map(|url| {
            let parts = LinkParts {
                trail: layout.audit_git(),
                remote: Remote::new(&url, false),
                host: settings.actor.host.clone(),
                key: key.clone(),
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                pause: LOOK_FOR_VOTES,
            };
            let link = Arc::new(RemoteLink::spawn(parts.clone())?);
            Ok::<_, RemoteError>(RemoteSide { parts, link })
        });
        let remote = remote.transpose()?;
        let link = remote.as_ref().map(|side| Arc::clone(&side.link));
        let audit = Arc::new(AuditWriter::spawn(
            &layout.audit_git(),
            AuditSources {
                store: Arc::clone(&store),
                logs_root: layout.logs_root(),
                renderer: Arc::new(Markdown),
                clock: Arc::clone(&clock),
                key,
                on_commit: Arc::new(move || {
                    if let Some(link) = &link {
                        link.committed();
                    }
                }),
            },
        )?);
        let follower = Arc::clone(&audit);
        let parts = EngineParts {
            store: Arc::clone(&store),
            registry,
            secrets: Arc::new(secret_access(root)),
            clock,
            root: Arc::new(root.to_path_buf()),
            layout: layout.clone(),
            owner: current_owner()?,
            actor: settings.actor.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            grace: GRACE,
            on_durable: Arc::new(move |events: &[RunEvent]| {
                follower.notify(events.iter().any(|event| is_urgent(&event.event)));
            }),
            surroundings: None,
        };
        Ok(Self {
            record: Record::over(settings, layout, store),
            parts,
            audit,
            remote,
            out: context.out,
        })
    }

    /// Brings the votes about a run that came to the remote while no process drove it.
    pub(super) fn bring_votes(&self, run: RunId) {
        let Some(side) = &self.remote else { return };
        if let Err(error) = Votes::new(side.parts.clone()).bring(run) {
            self.out.note(format_args!(
                "no votes could be fetched: {}; they are looked for again while a gate is open",
                ErrorChain::from_error(&error)
            ));
        }
    }

    /// Brings the votes about a run that come to the remote from now on.
    pub(super) fn watch(&self, run: RunId) {
        if let Some(side) = &self.remote {
            side.link.watch(run);
        }
    }

    /// An engine on this record, whose gates look at these surroundings again.
    pub(super) fn engine(&self, surroundings: Arc<dyn Surroundings>) -> Engine {
        Engine::new(EngineParts {
            surroundings: Some(surroundings),
            ..self.parts.clone()
        })
    }

    /// Brings the audit trail up to date and ends it.
    ///
    /// # Errors
    /// When the trail could not be written; the journal has everything still.
    pub(super) fn finish(self) -> Result<(), CliError> {
        let Self {
            parts,
            audit,
            remote,
            out,
            ..
        } = self;
        drop(parts);
        match Arc::into_inner(audit) {
            Some(audit) => audit.finish()?,
            None => return Err(CliError::bug("the audit trail is still in use")),
        }
        let pushed = remote.and_then(|side| Arc::into_inner(side.link));
        if let Some(Err(error)) = pushed.map(RemoteLink::finish) {
            // The run is over and on record here; the remote only lags.
            out.note(format_args!(
                "the audit trail is not pushed yet: {}; send it with: runbook audit push",
                ErrorChain::from_error(&error)
            ));
        }
        Ok(())
    }
}

/// The parts of an engine that keeps nothing: for a dry run, which may be where nothing can be written.
pub(super) fn parts_without_record(
    settings: &Settings,
    root: &Path,
    registry: Arc<HandlerRegistry>,
) -> Result<EngineParts, CliError> {
    Ok(EngineParts {
        store: Arc::new(crate::store::MemoryStore::new()),
        registry,
        secrets: Arc::new(secret_access(root)),
        clock: Arc::new(SystemClock),
        root: Arc::new(root.to_path_buf()),
        layout: layout(settings)?,
        owner: current_owner()?,
        actor: settings.actor.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        grace: GRACE,
        on_durable: Arc::new(|_| {}),
        surroundings: None,
    })
}

pub(super) fn layout(settings: &Settings) -> Result<StateLayout, CliError> {
    Ok(StateLayout::new(settings.state_dir()?.path()))
}
