//! Loops, sub-runbooks and `verify` in every display.

use std::io::Write;
use std::sync::{Arc, Mutex};

use indicatif::{InMemoryTerm, ProgressDrawTarget};

use super::fixtures::{Story, id, plan_of, record, step};
use super::fixtures_nested::{expanded, rolled_back, success, tolerated, under_way, upgrade_plan};
use super::text::width;
use super::{
    Places, RunStatusView, RunView, Style, Timeline, ViewOptions, graph_dot, graph_mermaid,
    graph_svg, graph_text, next_command, plan_text, report_markdown, status_json, status_text,
    summary,
};
use crate::base::{Digest, StepId};
use crate::event::{EventKind, Outcome, Progress, RollbackCause, RollbackResult};
use crate::model::MaxFailures;
use crate::plan::{Plan, PlanForEach};

fn places() -> Places {
    Places {
        prefix: "01KA".to_owned(),
        audit: None,
        logs: Some(".runbook/logs/01KA".to_owned()),
    }
}

fn options(height: usize) -> ViewOptions {
    ViewOptions {
        style: Style::plain(80),
        height,
        quiet: false,
        places: places(),
    }
}

fn on_screen(plan: &Plan, story: &Story, rows: u16) -> String {
    let term = InMemoryTerm::new(rows, 80);
    let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
    let mut view = RunView::live(plan, options(usize::from(rows)), target);
    for event in &story.events {
        view.on(&Progress::Event(Arc::new(event.clone())), event.at)
            .expect("drawn");
    }
    let later = story.now().plus(std::time::Duration::from_millis(400));
    view.tick(later).expect("drawn");
    term.contents()
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn as_log(plan: &Plan, story: &Story) -> String {
    let buffer = Buffer::default();
    let mut view = RunView::plain(plan, options(24), Box::new(buffer.clone()));
    for event in &story.events {
        view.on(&Progress::Event(Arc::new(event.clone())), event.at)
            .expect("written");
    }
    view.finish(story.now()).expect("written");
    String::from_utf8(buffer.0.lock().expect("not poisoned").clone()).expect("UTF-8")
}

#[test]
fn the_plan_is_nested() {
    let text = plan_text(
        &upgrade_plan(),
        &Digest::of_bytes(b"plan"),
        Style::plain(80),
    );
    assert!(text.lines().all(|line| width(line) <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn drawings_show_what_is_called_below_what_calls_it() {
    let plan = upgrade_plan();
    insta::assert_snapshot!("dot", graph_dot(&plan));
    insta::assert_snapshot!("mermaid", graph_mermaid(&plan));
    insta::assert_snapshot!("unicode", graph_text(&plan, Style::plain(80)));
    let svg = graph_svg(&plan);
    for words in [
        "deploy = runbook deploy",
        "for each of 3",
        "verify, when",
        ": finally",
    ] {
        assert!(svg.contains(words), "{words} in {svg}");
    }
    assert!(!svg.contains("NaN"));
}

#[test]
fn a_loop_under_way_counts_and_names_what_runs() {
    insta::assert_snapshot!(on_screen(&upgrade_plan(), &under_way(), 24));
}

#[test]
fn what_is_over_is_one_line_on_a_screen_and_all_of_it_in_a_log() {
    let plan = upgrade_plan();
    insta::assert_snapshot!("screen", on_screen(&plan, &success(9_000), 40));
    insta::assert_snapshot!("screen_tolerated", on_screen(&plan, &tolerated(), 40));
    insta::assert_snapshot!("screen_failed", on_screen(&plan, &rolled_back(), 40));
    insta::assert_snapshot!("log", as_log(&plan, &success(9_000)));
    insta::assert_snapshot!("log_failed", as_log(&plan, &rolled_back()));
}

#[test]
fn summaries_tell_the_proof_and_the_recovery() {
    let plan = upgrade_plan();
    let of = |story: &Story| {
        let timeline = Timeline::of(&plan, &story.events);
        summary(&plan, &timeline, &places(), Style::plain(80))
    };
    insta::assert_snapshot!("summary", of(&success(9_000)));
    insta::assert_snapshot!("summary_tolerated", of(&tolerated()));
    insta::assert_snapshot!("summary_rolled_back", of(&rolled_back()));
    let late = of(&success(91_000));
    assert!(
        late.contains("recovered in 1m31s; objective 30s MISSED by 1m1s"),
        "{late}"
    );
}

#[test]
fn the_report_and_the_status_are_nested() {
    let plan = upgrade_plan();
    let story = success(9_000);
    insta::assert_snapshot!(
        "markdown",
        report_markdown(&record(&story), &plan, &story.events)
    );
    let timeline = Timeline::of(&plan, &story.events);
    let run = record(&story);
    let view = RunStatusView {
        run: &run,
        plan: &plan,
        timeline: &timeline,
        state: None,
        places: &places(),
        now: story.now(),
        alive: &|_| true,
    };
    insta::assert_snapshot!("status", status_text(&view, Style::plain(80)));
    let json = status_json(&view);
    assert_eq!(json["recovery_ms"], 9_000);
    assert_eq!(json["rto_ms"], 30_000);
    assert_eq!(json["steps"][0]["kind"], "loop");
    assert_eq!(json["steps"][1]["id"], "restart[api]");
    assert_eq!(json["steps"][1]["parent"], "restart");
    assert_eq!(json["steps"][2]["status"], "already_so");
    assert_eq!(json["steps"][2]["skip_condition"], "outputs.healthy");
}

/// A loop of a thousand, `running` of them at once, every hundredth of them failed.
fn thousand(running: usize) -> (Plan, Story) {
    let mut fan = step("fan", "shell", &[]);
    let keys: Vec<String> = (0..1_000).map(|i| format!("host-{i}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    fan.for_each = Some(PlanForEach {
        item: crate::model::Ty::Any,
        items: crate::plan::Expr::Value(serde_json::json!(keys)),
        max_parallel: 50,
        max_failures: MaxFailures::Percent(10),
    });
    let mut story = Story::begin();
    expanded(&mut story, "fan", &names);
    for (i, key) in names.iter().enumerate().take(900) {
        let instance = format!("fan[{key}]");
        story.started(&instance, 1);
        match i % 30 {
            _ if i + running >= 900 => {}
            29 => {
                story.failed(&instance, 1, 1);
            }
            _ => {
                story.succeeded(&instance, 1, 1);
            }
        }
    }
    (plan_of(vec![fan]), story)
}

#[test]
fn a_thousand_instances_stay_readable() {
    let (plan, story) = thousand(50);
    let screen = on_screen(&plan, &story, 24);
    assert!(
        screen.contains("822/1000 done, 28 failed, 50 running"),
        "{screen}"
    );
    assert!(screen.contains("more under way"), "{screen}");
    assert!(screen.lines().count() <= 24, "{screen}");
    let small = on_screen(&plan, &story, 8);
    assert!(small.contains("50 running"), "{small}");
    let text = plan_text(&plan, &Digest::of_bytes(b"plan"), Style::plain(80));
    assert!(
        text.contains("and 980 more") && text.lines().count() < 50,
        "{text}"
    );
    let timeline = Timeline::of(&plan, &story.events);
    let text = summary(&plan, &timeline, &places(), Style::plain(80));
    assert!(text.lines().count() < 60, "{text}");
    assert!(text.contains("fan") && text.contains("[host-29]"), "{text}");
    let page = report_markdown(&record(&story), &plan, &story.events);
    assert!(
        page.contains("fan\\[host-29\\]"),
        "every instance is in the report"
    );
    let log = as_log(&plan, &story);
    assert!(log.contains("1000 instances: host-0, host-1"), "{log}");
    assert!(log.contains("and 988 more"));
}

#[test]
fn rows_come_from_the_plan_at_any_depth() {
    let plan = upgrade_plan();
    let timeline = Timeline::of(&plan, &success(1).events);
    let ids: Vec<String> = timeline
        .tree()
        .iter()
        .map(|(depth, row)| format!("{depth} {}", row.id))
        .collect();
    let expected = [
        "0 restart",
        "1 restart[api]",
        "1 restart[worker]",
        "1 restart[db]",
        "0 deploy",
        "1 deploy/put",
        "1 deploy/warm",
        "2 deploy/warm[0]",
        "2 deploy/warm[1]",
        "1 deploy/proof",
        "1 deploy/tidy",
        "0 healthy",
        "0 verify_2",
        "0 tell",
    ];
    assert_eq!(ids, expected);
    let row = timeline.row(&id("restart[api]")).expect("a row");
    assert_eq!(row.undone_by.as_deref(), Some("service.start"));
    let planned = |text: &str| plan.step(&StepId::parse(text).expect("valid"));
    assert_eq!(
        planned("deploy/warm[1]").map(|step| step.action.uses.as_str()),
        Some("http.post")
    );
    assert!(planned("deploy/none").is_none() && planned("restart/put").is_none());
}

#[test]
fn a_part_whose_time_is_up_says_so() {
    let mut story = under_way();
    story
        .started("deploy", 1)
        .then(5, EventKind::StepTimedOut { step: id("deploy") });
    let log = as_log(&upgrade_plan(), &story);
    assert!(
        log.contains("its time is up; what runs of it is being ended"),
        "{log}"
    );
}

#[test]
fn the_next_command_names_the_step_that_printed_why() {
    let plan = upgrade_plan();
    let mut story = under_way();
    story
        .started("deploy", 1)
        .started("deploy/put", 1)
        .failed("deploy/put", 1, 4_000)
        .failed("deploy", 1, 1)
        .rollback(
            RollbackCause::StepFailed { step: id("deploy") },
            &["restart[db]"],
        )
        .finished(Outcome::RolledBack, RollbackResult::Complete);
    let timeline = Timeline::of(&plan, &story.events);
    let next = next_command(&timeline, "upgrade", "local", "01KA").expect("a command");
    assert_eq!(next.command, "runbook logs 01KA deploy/put");
}
