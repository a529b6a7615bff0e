//! One case: run, judged, told.

use std::sync::Arc;
use std::time::Duration;

use super::driver::{Cancel, Ran, Setup, elapsed, simulate};
use super::expect::judge;
use super::static_check::check_case;
use super::steps::{PlanSteps, without_keys};
use super::story::{StoryLine, story};
use super::sweep::SweepReport;
use super::votes::votes;
use super::world::{ScriptedWorld, script_key, scripts};
use crate::base::{Diagnostic, Diagnostics, Severity, SourceFile, StepId};
use crate::check::codes;
use crate::event::{EventKind, RunEvent};
use crate::language::{TestCase, TestFile};
use crate::model::ActionCatalog;
use crate::plan::Plan;
use crate::run::{CallKind, IllegalTransition, Limits, Target};

/// A case with the plan that its parameters give.
#[derive(Debug, Clone)]
pub struct PreparedCase {
    /// The file it stands in.
    pub source: Arc<SourceFile>,
    /// The case.
    pub case: TestCase,
    /// The plan.
    pub plan: Arc<Plan>,
}

/// What came of a case.
#[derive(Debug, Clone)]
pub struct CaseResult {
    /// The file, as shown.
    pub file: String,
    /// Line of the case in the file, from 1.
    pub line: usize,
    /// The runbook.
    pub runbook: String,
    /// Name of the case.
    pub name: String,
    /// What does not hold.
    pub findings: Vec<Diagnostic>,
    /// The timeline of the run.
    pub story: Vec<StoryLine>,
    /// How many events the run has.
    pub events: usize,
    /// How long it took on the virtual clock.
    pub virtual_time: Duration,
    /// What the sweeps of the case found.
    pub sweeps: Vec<SweepReport>,
}

impl CaseResult {
    /// Whether everything holds, sweeps included.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|f| f.severity != Severity::Error)
            && self.sweeps.iter().all(|sweep| sweep.findings.is_empty())
    }
}

impl PreparedCase {
    /// A case with its plan, checked: `None` when the case has mistakes, which are among the findings.
    pub fn new(
        file: &TestFile,
        case: &TestCase,
        plan: Plan,
        catalog: &ActionCatalog,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        let errors = diags.error_count();
        check_case(&file.source, case, &plan, catalog, diags);
        (diags.error_count() == errors).then(|| Self {
            source: Arc::clone(&file.source),
            case: case.clone(),
            plan: Arc::new(plan),
        })
    }

    /// What the simulator needs to run it.
    pub(super) fn setup(&self) -> Setup {
        Setup {
            plan: Arc::clone(&self.plan),
            digest: self.plan.digest(),
            votes: votes(&self.plan, &PlanSteps::new(&self.plan), &self.case.votes),
            cancel: self.case.cancel.clone().map(|c| Cancel::Case(c.value)),
            limits: Limits::default(),
        }
    }

    /// Runs the case and judges it.
    ///
    /// # Errors
    /// [`IllegalTransition`]: a bug of the core.
    pub fn run(&self, catalog: &ActionCatalog) -> Result<CaseResult, IllegalTransition> {
        let steps = PlanSteps::new(&self.plan);
        let mut world = ScriptedWorld::new(&self.case, &steps, catalog);
        let ran = simulate(&self.setup(), &mut world, &[])?;
        let mut findings = judge(&self.source, &self.case.expect, &self.plan, &ran);
        findings.extend(self.unused_scripts(&ran));
        findings.extend(self.unused_votes(&ran));
        let failed = findings.iter().any(|f| f.severity == Severity::Error);
        if failed {
            self.add_hints(&mut findings, &ran.events);
        }
        Ok(CaseResult {
            file: self.source.path.clone(),
            line: self.source.line_column(self.case.span.start).0,
            runbook: self.plan.runbook.name.clone(),
            name: self.case.name.value.clone(),
            findings,
            story: story(&ran.events),
            events: ran.events.len(),
            virtual_time: elapsed(&ran.events),
            sweeps: Vec::new(),
        })
    }

    /// A script that nothing asks for shows that the case is not about what its author thinks.
    fn unused_scripts(&self, ran: &Ran) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let scripted = [
            (CallKind::Action, "never runs"),
            (CallKind::Probe, "is never probed"),
            (CallKind::Undo, "is never undone"),
        ];
        for (call, what) in scripted {
            for (id, (span, _)) in scripts(&self.case, call) {
                let used = ran.made.iter().any(|made| {
                    made.target.call == call && script_key(&self.case, &made.target) == Some(id)
                });
                if used {
                    continue;
                }
                let instances: Vec<&str> = ran
                    .made
                    .iter()
                    .map(|made| &made.target.step)
                    .filter(|step| without_keys(step) == without_keys(id))
                    .map(StepId::as_str)
                    .collect();
                let finding = Diagnostic::error(
                    codes::EXPECTATION_FAILED,
                    format!("what `{id}` gives is scripted, but it {what}"),
                )
                .at(&self.source, *span, "nothing asks for this");
                findings.push(match instances.is_empty() {
                    true => {
                        finding.help("take it out, or see in the timeline why its turn never comes")
                    }
                    false => finding.help(format!("these ran: {}", instances.join(", "))),
                });
            }
        }
        findings
    }

    /// A vote on a gate that never opens was meant for another one.
    fn unused_votes(&self, ran: &Ran) -> Vec<Diagnostic> {
        let opened: Vec<&StepId> = ran
            .events
            .iter()
            .filter_map(|event| match &event.event {
                EventKind::GateOpened { step, .. } => Some(step),
                _ => None,
            })
            .collect();
        let unused = self.case.votes.iter().filter(|vote| {
            let gate = &vote.gate.value;
            !opened.contains(&gate)
        });
        unused
            .map(|vote| {
                let finding = Diagnostic::error(
                    codes::EXPECTATION_FAILED,
                    format!(
                        "there is a vote on `{}`, which never opens",
                        vote.gate.value
                    ),
                )
                .at(&self.source, vote.gate.span, "nobody is asked");
                match opened.is_empty() {
                    true => finding.help("no gate opens in this case"),
                    false => {
                        let names: Vec<&str> = opened.iter().map(|id| id.as_str()).collect();
                        finding.help(format!("these opened: {}", names.join(", ")))
                    }
                }
            })
            .collect()
    }

    /// A condition over outputs that nobody scripted fails for a reason that is easily overlooked.
    fn add_hints(&self, findings: &mut [Diagnostic], events: &[RunEvent]) {
        let unscripted = events.iter().find_map(|event| {
            let EventKind::StepFailed { step, .. } = &event.event else {
                return None;
            };
            let target = Target {
                step: step.clone(),
                call: CallKind::Action,
            };
            let plan = PlanSteps::new(&self.plan);
            let known = plan.get(step)?.step;
            let condition = known.until.as_ref().or(known.verify.as_ref())?;
            script_key(&self.case, &target)
                .is_none()
                .then(|| (without_keys(step), condition.clone()))
        });
        if let (Some((step, condition)), Some(first)) = (unscripted, findings.first_mut())
            && first.help.is_none()
        {
            first.help = Some(format!(
                "`{step}` is not scripted, so its outputs have their least values and `{condition}` \
                 does not hold; add e.g. `steps: {{ {step}: {{ outputs: {{ … }} }} }}`"
            ));
        }
    }
}
