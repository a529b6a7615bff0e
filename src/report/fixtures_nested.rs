//! A plan with loops, sub-runbooks and `verify`, and runs of it, for the tests of this room.

use serde_json::json;

use super::fixtures::{Story, action, id, plan_of, seconds, step, template};
use crate::base::Map;
use crate::event::{EventKind, LoopInstance, Outcome, RollbackCause, RollbackResult, SkipReason};
use crate::model::{Effect, MaxFailures, SecretSource, StepOnFailure, Ty};
use crate::plan::{Expr, Plan, PlanBlock, PlanForEach, PlanRollback, PlanStep, PlanUnless};

fn each(mut step: PlanStep, items: Expr, max_parallel: u32) -> PlanStep {
    step.for_each = Some(PlanForEach {
        item: Ty::Any,
        items,
        max_parallel,
        max_failures: MaxFailures::Count(1),
    });
    step
}

fn reading(name: &str, uses: &str, needs: &[&str]) -> PlanStep {
    let mut made = step(name, uses, needs);
    made.action.effect = Effect::Read;
    made
}

/// The sub-runbook `deploy`: a step, a loop whose list is known late, its proof and its end.
fn deploy() -> PlanBlock {
    let mut put = step("put", "shell", &[]);
    put.name = Some("Put the new version in place".to_owned());
    put.action = action(
        "shell",
        Effect::Once,
        &[("script", template("./put {{ params.version }}"))],
    );
    let warm = each(
        step("warm", "http.post", &["put"]),
        template("{{ steps.put.outputs.values.hosts }}"),
        4,
    );
    PlanBlock {
        rules: Default::default(),
        runbook: "deploy".to_owned(),
        file: "runbooks/deploy.yaml".to_owned(),
        params: [("version".to_owned(), Ty::String)].into(),
        steps: vec![put, warm],
        verify: vec![reading("proof", "http.get", &[])],
        finally: vec![step("tidy", "shell", &[])],
        outputs: [(
            "hosts".to_owned(),
            template("{{ steps.put.outputs.values.hosts }}"),
        )]
        .into(),
    }
}

/// Upgrades services one after another, then deploys, then proves it.
pub(super) fn upgrade_plan() -> Plan {
    let mut restart = each(
        step("restart", "service.restart", &[]),
        Expr::Value(json!(["api", "worker", "db"])),
        2,
    );
    restart.name = Some("Restart every service".to_owned());
    restart.action = action(
        "service.restart",
        Effect::Idempotent,
        &[("service", template("{{ item }}"))],
    );
    let item = [("service", template("{{ item }}"))];
    restart.unless = Some(PlanUnless {
        probe: Some(action("service.health", Effect::Read, &item)),
        condition: "outputs.healthy".to_owned(),
    });
    restart.rollback = Some(PlanRollback::Undo {
        action: action("service.start", Effect::Idempotent, &item),
        retry: None,
        timeout: None,
    });
    restart.idempotency_key = Some(template("{{ run.id }}-{{ item }}"));
    let mut call = step("deploy", "runbook.deploy", &["restart"]);
    call.name = Some("Deploy the new version".to_owned());
    call.action.with = Expr::Map([("version".to_owned(), Expr::Value(json!("v2")))].into());
    call.block = Some(Box::new(deploy()));
    call.on_failure = StepOnFailure::Continue;
    let mut healthy = reading("healthy", "service.health", &[]);
    healthy.until = Some("outputs.healthy".to_owned());
    let mut quick = reading("verify_2", "assert", &["healthy"]);
    quick.name = Some("The API answers quickly enough".to_owned());
    quick.verify = Some("steps.healthy.outputs.latency < duration(\"2s\")".to_owned());
    let mut plan = plan_of(vec![restart, call]);
    plan.runbook.name = "upgrade".to_owned();
    plan.runbook.rto = Some(seconds(30));
    plan.verify = vec![healthy, quick];
    plan.finally = vec![step("tell", "notify", &[])];
    plan.secrets = [(
        "params.token".to_owned(),
        SecretSource::Env("API_TOKEN".to_owned()),
    )]
    .into();
    plan
}

pub(super) fn expanded(story: &mut Story, step: &str, keys: &[&str]) {
    let instances = keys
        .iter()
        .map(|key| LoopInstance {
            key: (*key).to_owned(),
            item: json!(key),
        })
        .collect();
    story.then(
        1,
        EventKind::StepExpanded {
            step: id(step),
            instances,
        },
    );
}

fn finish(story: &mut Story, outcome: Outcome, rollback: RollbackResult, recovery: Option<u64>) {
    let begin = story.events.first().map(|event| event.at);
    let duration_ms = begin.map_or(0, |at| story.now().since(at).as_millis() as u64);
    story.then(
        0,
        EventKind::RunFinished {
            outcome,
            rollback,
            outputs: Map::new(),
            duration_ms,
            recovery_ms: recovery,
        },
    );
}

/// The services are restarted; one was so already.
fn restarts(story: &mut Story) {
    expanded(story, "restart", &["api", "worker", "db"]);
    let probe = |story: &mut Story, step: &str| {
        story.then(
            1,
            EventKind::StepProbeStarted {
                step: id(step),
                inputs: json!({}),
            },
        );
    };
    probe(story, "restart[api]");
    story.then(
        5,
        EventKind::StepProbed {
            step: id("restart[api]"),
            outputs: json!({ "healthy": false }),
        },
    );
    story.started("restart[api]", 1);
    probe(story, "restart[worker]");
    story.skipped(
        "restart[worker]",
        SkipReason::AlreadyDone {
            condition: "outputs.healthy".to_owned(),
            outputs: json!({ "healthy": true }),
        },
    );
}

/// In the middle: a loop and a sub-runbook are open.
pub(super) fn under_way() -> Story {
    let mut story = Story::begin();
    restarts(&mut story);
    story.started("restart[db]", 1);
    story
}

/// All is well, and within the objective or not.
pub(super) fn success(recovery: u64) -> Story {
    ended_well(recovery, false)
}

/// One instance failed, and that is tolerated.
pub(super) fn tolerated() -> Story {
    ended_well(9_000, true)
}

fn ended_well(recovery: u64, one_fails: bool) -> Story {
    let mut story = under_way();
    story
        .succeeded("restart[api]", 1, 1_200)
        .succeeded("restart[db]", 1, 900)
        .succeeded("restart", 1, 3)
        .started("deploy", 1)
        .started("deploy/put", 1)
        .succeeded("deploy/put", 1, 4_000);
    expanded(&mut story, "deploy/warm", &["0", "1"]);
    story.started("deploy/warm[0]", 1);
    match one_fails {
        true => story.failed("deploy/warm[0]", 1, 70),
        false => story.succeeded("deploy/warm[0]", 1, 70),
    };
    story
        .started("deploy/warm[1]", 1)
        .succeeded("deploy/warm[1]", 1, 50)
        .succeeded("deploy/warm", 1, 1)
        .started("deploy/proof", 1)
        .succeeded("deploy/proof", 1, 10)
        .started("deploy/tidy", 1)
        .succeeded("deploy/tidy", 1, 10)
        .succeeded("deploy", 1, 1)
        .started("healthy", 1)
        .succeeded("healthy", 1, 800)
        .started("verify_2", 1)
        .succeeded("verify_2", 1, 5)
        .then(1, EventKind::FinallyStarted)
        .started("tell", 1)
        .succeeded("tell", 1, 10);
    let outcome = match one_fails {
        true => Outcome::CompletedWithExceptions,
        false => Outcome::Succeeded,
    };
    finish(&mut story, outcome, RollbackResult::None, Some(recovery));
    story
}

/// A step of the sub-runbook fails, and what was done is undone.
pub(super) fn rolled_back() -> Story {
    let mut story = under_way();
    story
        .succeeded("restart[api]", 1, 1_200)
        .succeeded("restart[db]", 1, 900)
        .succeeded("restart", 1, 3)
        .started("deploy", 1)
        .started("deploy/put", 1)
        .failed("deploy/put", 1, 4_000)
        .skipped("deploy/warm", SkipReason::PartEnded)
        .failed("deploy", 1, 1)
        .rollback(
            RollbackCause::StepFailed {
                step: id("deploy/put"),
            },
            &["restart[db]", "restart[api]"],
        );
    for step in ["restart[db]", "restart[api]"] {
        story.undo_started(step).then(
            300,
            EventKind::UndoSucceeded {
                step: id(step),
                attempt: crate::base::AttemptNo::FIRST,
                outputs: json!({}),
                duration_ms: 300,
                log: None,
            },
        );
    }
    finish(
        &mut story,
        Outcome::RolledBack,
        RollbackResult::Complete,
        None,
    );
    story
}
