//! The fault sweep: everything that can go wrong in a case goes wrong in turn, and the oracle judges.

use std::collections::{BTreeMap, BTreeSet};

use super::case::PreparedCase;
use super::driver::{Cancel, End, Ran, Setup, answered, names, simulate};
use super::facts::Facts;
use super::fault::{Fault, FaultyWorld, Wrong};
use super::oracle::breaches;
use super::steps::PlanSteps;
use super::story::{StoryLine, story};
use super::stretch::stretched;
use super::votes::all_votes;
use super::world::ScriptedWorld;
use crate::base::{Map, StepId, Value};
use crate::event::{EventKind, FailureKind, Outcome, RunEvent, Vote};
use crate::model::{ActionCatalog, Effect};
use crate::plan::{Expr, Plan};
use crate::run::{CallKind, IllegalTransition, Target};

/// Most runs of one sweep of one case; a case that would need more says so.
const MAX_RUNS: usize = 20_000;

/// After so many polls of one step the next ones are no different for a crash.
pub(super) const POLLS: u32 = 4;

/// What a sweep found.
#[derive(Debug, Clone)]
pub struct SweepReport {
    /// `fault sweep` or `repeat sweep`.
    pub kind: &'static str,
    /// How many runs were made.
    pub runs: usize,
    /// What is wrong, each once.
    pub findings: Vec<SweepFinding>,
    /// How each outcome came about, by its name.
    pub outcomes: BTreeMap<String, usize>,
}

/// Something that a sweep found.
#[derive(Debug, Clone)]
pub struct SweepFinding {
    /// Short name of the rule.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
    /// What was made to go wrong, the first time that it was found.
    pub scenario: String,
    /// In how many runs it was found.
    pub times: usize,
    /// The timeline of the first.
    pub story: Vec<StoryLine>,
}

/// Collects the findings of a sweep.
pub(super) struct Sweep<'a> {
    pub(super) plan: &'a Plan,
    pub(super) steps: &'a PlanSteps<'a>,
    report: SweepReport,
    prepared: &'a PreparedCase,
    catalog: &'a ActionCatalog,
    /// Steps that fail in the case as it is written.
    expected_failures: BTreeSet<StepId>,
}

/// Performs the fault sweep of a case.
///
/// # Errors
/// [`IllegalTransition`]: a bug of the core.
pub fn fault_sweep(
    prepared: &PreparedCase,
    catalog: &ActionCatalog,
) -> Result<SweepReport, IllegalTransition> {
    let prepared = &stretched(prepared);
    let steps = PlanSteps::new(&prepared.plan);
    let mut sweep = Sweep::new("fault sweep", prepared, &steps, catalog);
    let setup = prepared.setup();
    let base = sweep.run("nothing goes wrong", &setup, &[])?;
    sweep.expected_failures = Facts::of(&base.events).failed.into_iter().collect();
    sweep.crashes("", &setup, &[], &base, 0)?;
    sweep.calls(&setup, &base)?;
    sweep.gates(&setup, &base)?;
    sweep.cancels(&setup, &base)?;
    Ok(sweep.report)
}

impl<'a> Sweep<'a> {
    pub(super) fn new(
        kind: &'static str,
        prepared: &'a PreparedCase,
        steps: &'a PlanSteps<'a>,
        catalog: &'a ActionCatalog,
    ) -> Self {
        Self {
            plan: &prepared.plan,
            steps,
            report: SweepReport {
                kind,
                runs: 0,
                findings: Vec::new(),
                outcomes: BTreeMap::new(),
            },
            prepared,
            catalog,
            expected_failures: BTreeSet::new(),
        }
    }

    pub(super) fn into_report(self) -> SweepReport {
        self.report
    }

    /// Runs with faults, and holds what comes of it to the rules.
    pub(super) fn run(
        &mut self,
        scenario: &str,
        setup: &Setup,
        faults: &[Fault],
    ) -> Result<Ran, IllegalTransition> {
        let ran = self.simulate(setup, faults, &[])?;
        let outcome = match &ran.end {
            End::Finished(outcome) => outcome.as_str(),
            End::Waiting(_) => "waiting",
            End::Interrupted(_) => "interrupted",
            End::Cut | End::Endless | End::Idle => "none",
        };
        *self.report.outcomes.entry(outcome.to_owned()).or_default() += 1;
        for breach in breaches(self.plan, &ran.events) {
            self.found(breach.rule, breach.message, scenario, &ran.events);
        }
        if matches!(ran.end, End::Endless | End::Idle) {
            let message = "the run does not come to an end".to_owned();
            self.found("end", message, scenario, &ran.events);
        }
        self.blameless_failures(scenario, faults, &ran);
        self.repeated_once(scenario, &ran);
        Ok(ran)
    }

    pub(super) fn simulate(
        &mut self,
        setup: &Setup,
        faults: &[Fault],
        earlier: &[RunEvent],
    ) -> Result<Ran, IllegalTransition> {
        self.report.runs += 1;
        let mut world = FaultyWorld {
            inner: ScriptedWorld::new(&self.prepared.case, self.steps, self.catalog),
            faults,
        };
        simulate(setup, &mut world, earlier)
    }

    fn is_full(&mut self) -> bool {
        let full = self.report.runs >= MAX_RUNS;
        if full {
            let message =
                format!("the sweep is not complete: it would need more than {MAX_RUNS} runs");
            self.found("size", message, "every run so far", &[]);
        }
        full
    }

    pub(super) fn found(
        &mut self,
        rule: &'static str,
        message: String,
        scenario: &str,
        events: &[RunEvent],
    ) {
        let known =
            |finding: &&mut SweepFinding| finding.rule == rule && finding.message == message;
        match self.report.findings.iter_mut().find(known) {
            Some(finding) => finding.times += 1,
            None => self.report.findings.push(SweepFinding {
                rule,
                message,
                scenario: scenario.to_owned(),
                times: 1,
                story: story(events),
            }),
        }
    }

    /// A step whose inputs cannot be computed when something else fails, or a `finally` that fails
    /// along with it: the runbook is not ready for what went wrong.
    fn blameless_failures(&mut self, scenario: &str, faults: &[Fault], ran: &Ran) {
        let blamed = |step: &StepId, call: CallKind| {
            faults
                .iter()
                .any(|fault| fault.target.step == *step && fault.target.call == call)
        };
        let mut found = Vec::new();
        for event in &ran.events {
            match &event.event {
                EventKind::StepFailed {
                    step,
                    attempt,
                    failure,
                    ..
                } if !self.expected_failures.contains(step) => {
                    let finally = self.steps.get(step).is_some_and(|known| known.in_finally);
                    let invalid = attempt.0 == 0 && failure.sort == FailureKind::Invalid;
                    let own = blamed(step, CallKind::Action) || blamed(step, CallKind::Probe);
                    if invalid || (finally && !own && failure.sort != FailureKind::Cancelled) {
                        let place = if finally { " of `finally`" } else { "" };
                        found.push(format!(
                            "`{step}`{place} fails because something else went wrong: {}",
                            failure.error
                        ));
                    }
                }
                EventKind::UndoFailed { step, failure, .. }
                    if !blamed(step, CallKind::Undo) && failure.sort == FailureKind::Invalid =>
                {
                    found.push(format!("`{step}` cannot be undone then: {}", failure.error));
                }
                _ => {}
            }
        }
        for message in found {
            self.found("not ready", message, scenario, &ran.events);
        }
    }

    /// What is `once` is called once in a run, whatever happens.
    fn repeated_once(&mut self, scenario: &str, ran: &Ran) {
        for (target, calls) in once_calls(
            self.steps,
            &ran.made.iter().map(|m| &m.target).collect::<Vec<_>>(),
        ) {
            if calls > 1 {
                let message = format!(
                    "{} is `once` and was called {calls} times; take its `retry` away, or say that it is \
                     `effect: {{ is: idempotent, reason: … }}`",
                    target
                );
                self.found("once", message, scenario, &ran.events);
            }
        }
    }

    /// Every call of the case fails, once and for good, and hangs; then every undo of what follows.
    fn calls(&mut self, setup: &Setup, base: &Ran) -> Result<(), IllegalTransition> {
        for fault in self.faults(base, None) {
            if self.is_full() {
                return Ok(());
            }
            let one = [fault.clone()];
            let ran = self.run(&fault.to_string(), setup, &one)?;
            if fault.wrong != Wrong::Hangs {
                let from = common(base, &ran);
                self.crashes(&format!("{fault}, and "), setup, &one, &ran, from)?;
            }
            for undo in self.faults(&ran, Some(CallKind::Undo)) {
                if undo.target == fault.target || self.is_full() {
                    continue;
                }
                let scenario = format!("{fault}, then {undo}");
                self.run(&scenario, setup, &[fault.clone(), undo])?;
            }
        }
        Ok(())
    }

    /// The faults that the calls of a run allow.
    fn faults(&self, ran: &Ran, only: Option<CallKind>) -> Vec<Fault> {
        let mut calls: BTreeMap<Target, usize> = BTreeMap::new();
        for made in &ran.made {
            if only.is_none_or(|only| made.target.call == only) {
                *calls.entry(made.target.clone()).or_default() += 1;
            }
        }
        let mut faults = Vec::new();
        for (target, count) in calls {
            for call in 0..count.min(POLLS as usize + 1) {
                for wrong in [Wrong::Once, Wrong::Always] {
                    faults.push(Fault {
                        target: target.clone(),
                        call,
                        wrong,
                    });
                }
            }
            if self.is_limited(&target) {
                faults.push(Fault {
                    target,
                    call: 0,
                    wrong: Wrong::Hangs,
                });
            }
        }
        faults
    }

    /// Whether something ends a call that hangs.
    fn is_limited(&self, target: &Target) -> bool {
        use crate::plan::PlanRollback;
        let Some(known) = self.steps.get(&target.step) else {
            return false;
        };
        match target.call {
            CallKind::Undo => matches!(
                known.step.rollback,
                Some(PlanRollback::Undo {
                    timeout: Some(_),
                    ..
                })
            ),
            // What is asked or sent for a gate ends with the gate at the latest, if that does.
            CallKind::Read(_) | CallKind::Notice(_) => false,
            _ => known.step.timeout.is_some() || (self.plan.timeout.is_some() && !known.in_finally),
        }
    }

    /// Every gate is rejected, and left without an answer.
    fn gates(&mut self, setup: &Setup, base: &Ran) -> Result<(), IllegalTransition> {
        for gate in Facts::of(&base.events).gates {
            let mut rejected = setup.clone();
            rejected.votes = all_votes(self.plan, self.steps, &setup.votes, &gate, Vote::Reject);
            self.run(&format!("`{gate}` is rejected"), &rejected, &[])?;
            let mut silent = setup.clone();
            silent.votes.retain(|vote| !names(&vote.gate.value, &gate));
            self.run(&format!("nobody votes at `{gate}`"), &silent, &[])?;
        }
        Ok(())
    }

    /// The run is cancelled before every event.
    fn cancels(&mut self, setup: &Setup, base: &Ran) -> Result<(), IllegalTransition> {
        for event in base.events.iter().skip(1) {
            if self.is_full() {
                return Ok(());
            }
            if is_late_poll(&event.event) {
                continue;
            }
            let mut cancelled = setup.clone();
            cancelled.cancel = Some(Cancel::BeforeEvent(event.seq.0));
            let step = event.event.step().map(|step| format!(" of `{step}`"));
            let scenario = format!(
                "cancelled before `{}`{}",
                event.event.name(),
                step.unwrap_or_default()
            );
            self.run(&scenario, &cancelled, &[])?;
        }
        Ok(())
    }

    /// The engine dies after every event from one on, and the run is gone on with.
    fn crashes(
        &mut self,
        prefix: &str,
        setup: &Setup,
        faults: &[Fault],
        whole: &Ran,
        from: usize,
    ) -> Result<(), IllegalTransition> {
        for cut in from.max(1)..whole.events.len() {
            if self.is_full() {
                return Ok(());
            }
            let last = &whole.events[cut - 1].event;
            if is_late_poll(last) || is_failed_look(&whole.events[..cut]) {
                continue;
            }
            let before = whole.until(cut);
            let after = self.simulate(setup, faults, &before.events)?;
            let step = last.step().map(|step| format!(" of `{step}`"));
            let scenario = format!(
                "{prefix}the process dies after `{}`{}",
                last.name(),
                step.unwrap_or_default()
            );
            self.compare_resumed(&scenario, whole, &before, &after);
        }
        Ok(())
    }

    fn compare_resumed(&mut self, scenario: &str, whole: &Ran, before: &Ran, after: &Ran) {
        let both: Vec<&Target> = before
            .made
            .iter()
            .chain(&after.made)
            .map(|made| &made.target)
            .collect();
        let baseline: BTreeMap<Target, usize> = once_calls(
            self.steps,
            &whole.made.iter().map(|m| &m.target).collect::<Vec<_>>(),
        )
        .into_iter()
        .collect();
        for (target, calls) in once_calls(self.steps, &both) {
            if calls > baseline.get(&target).copied().unwrap_or(0) {
                let message = format!("{} is `once` and is done again after a crash", target);
                self.found("once", message, scenario, &after.events);
            }
        }
        for breach in breaches(self.plan, &after.events) {
            self.found(breach.rule, breach.message, scenario, &after.events);
        }
        // Whether a `once` step ran only a person can say; then the run must wait for that word, or
        // its undo must be reported as failed.
        let lost = open_calls(&before.events);
        if lost.iter().any(|target| is_once(self.steps, target)) {
            let told = match &after.end {
                End::Interrupted(_) => true,
                End::Finished(outcome) => *outcome == Outcome::Stuck,
                _ => false,
            };
            if !told {
                let message = "nobody is asked what became of a `once` step".to_owned();
                self.found("once", message, scenario, &after.events);
            }
            return;
        }
        if !same_end(self.plan, whole, before, after) {
            let message = format!(
                "the run ends otherwise after a crash: {} instead of {}",
                end_words(&after.end),
                end_words(&whole.end)
            );
            self.found("crash", message, scenario, &after.events);
        }
    }
}

/// The calls that are under way when the events end.
fn open_calls(events: &[RunEvent]) -> BTreeSet<Target> {
    let mut open: BTreeSet<Target> = BTreeSet::new();
    for event in events {
        let begun = match &event.event {
            EventKind::StepStarted { step, .. } | EventKind::StepPollStarted { step, .. } => {
                Some((step, CallKind::Action))
            }
            EventKind::UndoStarted { step, .. } => Some((step, CallKind::Undo)),
            other => {
                if let Some(target) = answered(other) {
                    open.remove(&target);
                }
                None
            }
        };
        open.extend(begun.map(|(step, call)| Target {
            step: step.clone(),
            call,
        }));
    }
    open
}

/// Whether a run that was cut and gone on with ended as the uninterrupted one did.
///
/// A step that was at work while the run was being ended already is not begun again after a crash,
/// so it alone may have failed instead.
pub(super) fn same_end(plan: &Plan, whole: &Ran, before: &Ran, after: &Ran) -> bool {
    let (mut one, mut other) = (result(plan, whole), result(plan, after));
    let ending = before.events.iter().any(|event| {
        matches!(
            event.event,
            EventKind::StepFailed { .. }
                | EventKind::GateRejected { .. }
                | EventKind::GateExpired { .. }
                | EventKind::CancelRequested { .. }
                | EventKind::RunTimedOut
        )
    });
    if ending {
        for target in open_calls(&before.events) {
            if target.call == CallKind::Action {
                one.forget(&target.step);
                other.forget(&target.step);
            }
        }
    }
    one == other
}

fn is_once(steps: &PlanSteps<'_>, target: &Target) -> bool {
    let block = steps
        .get(&target.step)
        .is_some_and(|known| known.step.block.is_some());
    !(block && target.call == CallKind::Action)
        && steps
            .action(&target.step, target.call)
            .is_some_and(|action| action.effect == Effect::Once)
}

fn once_calls(steps: &PlanSteps<'_>, targets: &[&Target]) -> Vec<(Target, usize)> {
    let mut calls: BTreeMap<&Target, usize> = BTreeMap::new();
    for &target in targets {
        if is_once(steps, target) {
            *calls.entry(target).or_default() += 1;
        }
    }
    calls
        .into_iter()
        .map(|(target, calls)| (target.clone(), calls))
        .collect()
}

fn is_late_poll(event: &EventKind) -> bool {
    matches!(event, EventKind::StepPolled { poll, .. } | EventKind::StepPollStarted { poll, .. } if *poll > POLLS)
}

/// Whether a gate could not look again and has not said so yet: after a crash it looks once more, and
/// may see something then.
fn is_failed_look(events: &[RunEvent]) -> bool {
    let told = events.iter().rev().find_map(|event| match &event.event {
        EventKind::GateVoided { .. } => Some(false),
        EventKind::GateRead {
            failure: Some(_), ..
        } => Some(true),
        _ => None,
    });
    told.unwrap_or(false)
}

fn end_words(end: &End) -> String {
    match end {
        End::Finished(outcome) => format!("`{}`", outcome.as_str()),
        End::Waiting(_) => "waiting".to_owned(),
        End::Interrupted(step) => format!("interrupted at `{step}`"),
        End::Cut | End::Endless | End::Idle => "never".to_owned(),
    }
}

/// How many events two runs begin with in common.
pub(super) fn common(one: &Ran, other: &Ran) -> usize {
    let pairs = one.events.iter().zip(&other.events);
    pairs.take_while(|(a, b)| a == b).count()
}

/// What two runs must have in common to be the same in the end.
#[derive(Debug, PartialEq)]
struct Summary {
    end: End,
    steps: BTreeMap<StepId, String>,
    undone: BTreeSet<StepId>,
    outputs: Map<String, Value>,
}

impl Summary {
    fn forget(&mut self, step: &StepId) {
        self.steps.remove(step);
        self.undone.remove(step);
    }
}

/// The result of a run, without what time alone decides.
fn result(plan: &Plan, ran: &Ran) -> Summary {
    let facts = Facts::of(&ran.events);
    let mut steps: BTreeMap<StepId, String> = BTreeMap::new();
    for event in &ran.events {
        let word = match &event.event {
            EventKind::StepSucceeded { outputs, .. } => format!("succeeded {outputs}"),
            EventKind::StepFailed { .. } => "failed".to_owned(),
            EventKind::StepSkipped { .. } => "skipped".to_owned(),
            EventKind::GateApproved { .. } => "approved".to_owned(),
            EventKind::GateRejected { .. } => "rejected".to_owned(),
            _ => continue,
        };
        if let Some(step) = event.event.step() {
            steps.insert(step.clone(), word);
        }
    }
    let mut outputs = facts
        .finished
        .map(|finish| finish.outputs)
        .unwrap_or_default();
    outputs.retain(|name, _| plan.outputs.get(name).is_some_and(|expr| !tells_time(expr)));
    Summary {
        end: ran.end.clone(),
        steps,
        undone: facts.undone.into_iter().collect(),
        outputs,
    }
}

/// Whether an output depends on when things happened.
fn tells_time(expr: &Expr) -> bool {
    expr.references().iter().any(|reference| {
        reference.root() == "run"
            || matches!(
                reference.path.get(2).map(String::as_str),
                Some("duration" | "attempts")
            )
    })
}
