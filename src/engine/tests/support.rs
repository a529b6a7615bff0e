//! Scripted handlers, a store that can fail, and a clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::base::{Clock, Digest, EventSeq, RunId, StepId, Timestamp};
use crate::engine::{Engine, EngineParts, RunHandle, RunOptions, Start};
use crate::event::{Actor, EventKind, FailureKind, Progress, RunEvent, RunStatus, Stream};
use crate::handler::{
    BoxFuture, HandlerRegistry, Preview, PreviewContext, StepContext, StepError, StepHandler, Stop,
};
use crate::model::{ActionManifest, Effect};
use crate::plan::Plan;
use crate::run::Limits;
use crate::secrets::{SecretAccess, VaultSettings};
use crate::store::{
    EngineOwner, FindRunError, Journal, MemoryStore, NewRun, Request, RequestKind, RunFilter,
    RunRecord, RunStore, StateLayout, StoreError,
};

#[derive(Debug, Default)]
pub(super) struct TestClock(AtomicU64);

impl Clock for TestClock {
    /// Every look at the clock is a millisecond later.
    fn now(&self) -> Timestamp {
        let millis = self.0.fetch_add(1, Ordering::SeqCst);
        Timestamp::from_unix_millis(1_800_000_000_000 + i64::try_from(millis).unwrap_or(0))
    }

    fn random(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// An action whose behaviour is in its inputs: `{do: echo | fail | panic | hang | deaf | print}`.
struct Scripted(ActionManifest);

impl StepHandler for Scripted {
    fn manifest(&self) -> &ActionManifest {
        &self.0
    }

    fn run<'a>(
        &'a self,
        ctx: StepContext,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, StepError>> {
        Box::pin(async move {
            if self.0.name == "notify" {
                let key = format!("key {}\n", ctx.idempotency_key);
                ctx.log.write(Stream::Out, key.as_bytes());
                return match input["channel"].as_str() {
                    Some("broken") => Err(StepError::new(FailureKind::Error, "no such channel")),
                    _ => Ok(json!({})),
                };
            }
            match input["do"].as_str().unwrap_or("echo") {
                "fail" => Err(StepError::new(FailureKind::Error, "scripted failure")),
                "panic" => panic!("scripted panic"),
                "hang" => {
                    ctx.stop.reached(Stop::Gently).await;
                    Err(StepError::new(FailureKind::Cancelled, "ended when asked"))
                }
                "deaf" => std::future::pending().await,
                "tell" => {
                    for byte in input["value"].as_str().unwrap_or_default().bytes() {
                        ctx.log.write(Stream::Out, &[byte]);
                    }
                    let config = ctx
                        .environment
                        .connections
                        .get("db")
                        .map(|c| c.config.clone());
                    Ok(
                        json!({ "value": input["value"], "config": config, "made": "\u{2063}[secret token]\u{2063}" }),
                    )
                }
                "complain" => Err(StepError::new(
                    FailureKind::Error,
                    format!("refused {}", input["value"]),
                )),
                "print" => {
                    ctx.log.write(Stream::Out, b"printed\n");
                    Ok(json!({ "value": 1 }))
                }
                _ => Ok(json!({ "value": input["value"] })),
            }
        })
    }

    fn preview(&self, _ctx: &PreviewContext, input: &Value) -> Preview {
        Preview::Exact(format!("would {input}"))
    }
}

fn registry() -> HandlerRegistry {
    let mut registry = HandlerRegistry::new();
    for (name, effect) in [
        ("test.read", Effect::Read),
        ("test.write", Effect::Idempotent),
        ("test.once", Effect::Once),
        ("notify", Effect::Once),
    ] {
        let manifest = ActionManifest {
            name: name.to_owned(),
            summary: String::new(),
            description: String::new(),
            effect,
            input: json!({ "type": "object" }),
            output: json!({ "type": "object" }),
            examples: vec![],
        };
        registry
            .add(Arc::new(Scripted(manifest)))
            .expect("a new name");
    }
    registry
}

/// A store whose appends fail from the given one on.
pub(super) struct Failing {
    inner: MemoryStore,
    fail_from: usize,
    appends: AtomicUsize,
}

impl Journal for Failing {
    fn append(
        &self,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if self.appends.fetch_add(1, Ordering::SeqCst) >= self.fail_from {
            return Box::pin(async { Err(StoreError::Closed) });
        }
        self.inner.append(events, status)
    }

    fn events_after(&self, run: RunId, after: EventSeq) -> Result<Vec<RunEvent>, StoreError> {
        self.inner.events_after(run, after)
    }
}

impl RunStore for Failing {
    fn create_run(
        &self,
        run: NewRun,
        first: RunEvent,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.create_run(run, first, owner)
    }
    fn import_run(
        &self,
        run: NewRun,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.import_run(run, events, status)
    }
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.inner.run(id)
    }
    fn plan_json(&self, id: RunId) -> Result<String, StoreError> {
        self.inner.plan_json(id)
    }
    fn source(&self, id: RunId) -> Result<String, StoreError> {
        self.inner.source(id)
    }
    fn find_run(&self, text: &str) -> Result<RunId, FindRunError> {
        self.inner.find_run(text)
    }
    fn prefix_len(&self, runs: &[RunId]) -> Result<usize, StoreError> {
        self.inner.prefix_len(runs)
    }
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.runs(filter)
    }
    fn add_request(
        &self,
        run: RunId,
        at: Timestamp,
        actor: Actor,
        kind: RequestKind,
    ) -> BoxFuture<'static, Result<u64, StoreError>> {
        self.inner.add_request(run, at, actor, kind)
    }
    fn requests_after(&self, run: RunId, after: u64) -> Result<Vec<Request>, StoreError> {
        self.inner.requests_after(run, after)
    }
    fn data_version(&self) -> Result<u64, StoreError> {
        self.inner.data_version()
    }
    fn claim_run(
        &self,
        run: RunId,
        owner: EngineOwner,
        replace: Option<EngineOwner>,
    ) -> BoxFuture<'static, Result<EngineOwner, StoreError>> {
        self.inner.claim_run(run, owner, replace)
    }
    fn release_run(
        &self,
        run: RunId,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.release_run(run, owner)
    }
    fn set_audited(&self, run: RunId, seq: EventSeq) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.set_audited(run, seq)
    }
    fn obligations(&self, open_only: bool) -> Result<Vec<crate::store::Obligation>, StoreError> {
        self.inner.obligations(open_only)
    }

    fn runs_to_audit(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.runs_to_audit()
    }
}

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) parts: EngineParts,
}

impl World {
    pub(super) fn new() -> Self {
        Self::failing_from(usize::MAX)
    }

    pub(super) fn failing_from(fail_from: usize) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let parts = EngineParts {
            store: Arc::new(Failing {
                inner: MemoryStore::new(),
                fail_from,
                appends: AtomicUsize::new(0),
            }),
            registry: Arc::new(registry()),
            secrets: Arc::new(SecretAccess::new(
                dir.path().to_owned(),
                Arc::new(|name| (name == "TOKEN").then(|| "hunter2-and-more".to_owned())),
                VaultSettings::default(),
            )),
            clock: Arc::new(TestClock::default()),
            root: Arc::new(PathBuf::from(dir.path())),
            layout: StateLayout::new(dir.path().join("state")),
            owner: EngineOwner {
                host: "here".into(),
                pid: std::process::id(),
                started: crate::engine::start_time(std::process::id()).expect("alive"),
            },
            actor: Actor {
                name: "ana".into(),
                host: "here".into(),
                verified: false,
            },
            version: "0".into(),
            grace: Duration::ZERO,
            on_durable: Arc::new(|_| {}),
            surroundings: None,
        };
        Self { dir, parts }
    }

    pub(super) async fn start(&self, plan: Plan, detach: bool) -> RunHandle {
        Engine::new(self.parts.clone())
            .start(
                plan,
                "runbook: v1\n".to_owned(),
                Start::default(),
                options(detach),
            )
            .await
            .expect("starts")
    }

    pub(super) fn kinds(&self, run: RunId) -> Vec<String> {
        self.events(run)
            .iter()
            .map(|e| match e.event.step() {
                Some(step) => format!("{} {step}", e.event.name()),
                None => e.event.name().to_owned(),
            })
            .collect()
    }

    pub(super) fn events(&self, run: RunId) -> Vec<RunEvent> {
        self.parts
            .store
            .events_after(run, EventSeq(0))
            .expect("readable")
    }

    pub(super) async fn ask(&self, run: RunId, kind: RequestKind) {
        let (at, actor) = (self.parts.clock.now(), self.parts.actor.clone());
        self.parts
            .store
            .add_request(run, at, actor, kind)
            .await
            .expect("durable");
    }
}

pub(super) fn options(detach: bool) -> RunOptions {
    RunOptions {
        limits: Limits::default(),
        detach,
    }
}

pub(super) fn digest(plan: &Plan) -> Digest {
    plan.digest()
}

/// Receives progress until an event of this kind about this step arrives.
pub(super) async fn wait_for(handle: &mut RunHandle, name: &str, step: &str) -> RunEvent {
    let wanted = StepId::new(step).ok();
    while let Some(progress) = handle.progress.recv().await {
        if let Progress::Event(event) = progress
            && event.event.name() == name
            && event.event.step() == wanted.as_ref()
        {
            return RunEvent::clone(&event);
        }
    }
    panic!("`{name} {step}` never happened");
}

pub(super) fn outputs_of(events: &[RunEvent], wanted: &str) -> Value {
    events
        .iter()
        .find_map(|e| match &e.event {
            EventKind::StepSucceeded { step, outputs, .. } if step.as_str() == wanted => {
                Some(outputs.clone())
            }
            _ => None,
        })
        .unwrap_or(Value::Null)
}
