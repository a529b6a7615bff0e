//! A test file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::fields::{Field, Fields};
use super::head::open_file;
use super::keys::{CANCEL, CASE, DURATION, EXPECT, ObjectSpec, REPLY, SWEEPS, TEST, VOTE};
use super::reader::Reader;
use crate::base::{Diagnostic, Diagnostics, SourceFile, Span, Spanned, StepId};
use crate::event::{FailureKind, Vote};
use crate::language::codes;
use crate::language::test_file::{
    Scripts, StepList, TestCancel, TestCase, TestExpect, TestFile, TestOutcome, TestReply,
    TestSweeps, TestVote,
};
use crate::model::{YamlValue, YamlValueKind};

/// Reads a test file.
///
/// Every mistake is added to `diags`. `Some` does not mean that there is none. Ask
/// [`Diagnostics::has_errors`] before a case is run.
pub fn decode_test_file(source: &Arc<SourceFile>, diags: &mut Diagnostics) -> Option<TestFile> {
    let (mut reader, mut fields) = open_file(source, diags, "test", &TEST)?;
    let (r, f) = (&mut reader, &mut fields);
    let runbook = named(r, f.take("runbook"), "name of a runbook");
    let environment = named(r, f.take("environment"), "name of an environment");
    let cases: Vec<TestCase> = objects(r, f.take("cases"), &CASE, read_case);
    let sweeps = f.take("sweeps").map(|field| read_sweeps(r, field));
    report_equal_names(r, &cases);
    fields.done();
    Some(TestFile {
        source: Arc::clone(source),
        runbook: runbook?,
        environment,
        cases,
        sweeps: sweeps.unwrap_or_default(),
    })
}

fn named(r: &mut Reader<'_>, field: Option<Field>, what: &str) -> Option<Spanned<String>> {
    let name = r.text(field)?;
    r.name(&name, what, name.span).then_some(name)
}

/// The objects of a list; those that cannot be read are left out, their mistakes are among the findings.
fn objects<T>(
    r: &mut Reader<'_>,
    field: Option<Field>,
    spec: &'static ObjectSpec,
    read: impl Fn(&mut Reader<'_>, Fields) -> Option<T>,
) -> Vec<T> {
    let Some(field) = field else {
        return Vec::new();
    };
    let key = field.key;
    let items = r.list(Some(field)).unwrap_or_default();
    items
        .into_iter()
        .filter_map(|value| {
            let fields = Fields::open(r, value, spec, key.name, key.example)?;
            read(r, fields)
        })
        .collect()
}

fn read_sweeps(r: &mut Reader<'_>, field: Field) -> TestSweeps {
    let Some(mut f) = r.object(Some(field), &SWEEPS) else {
        return TestSweeps::default();
    };
    let sweeps = TestSweeps {
        faults: r.boolean(f.take("faults")).unwrap_or(false),
        repeats: r.boolean(f.take("repeats")).unwrap_or(false),
    };
    f.done();
    sweeps
}

fn report_equal_names(r: &mut Reader<'_>, cases: &[TestCase]) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for case in cases {
        let name = &case.name;
        if let Some(first) = seen.insert(&name.value, name.span) {
            let finding = Diagnostic::error(
                codes::BAD_VALUE,
                format!("two cases are named `{}`", name.value),
            )
            .at(r.source, name.span, "the second")
            .at(r.source, first, "the first")
            .help("give each case a name of its own: it is chosen and reported by it");
            r.diags.push(finding);
        }
    }
}

fn read_case(r: &mut Reader<'_>, mut f: Fields) -> Option<TestCase> {
    let span = f.head;
    let name = r.text(f.take("name"));
    let params = r.map_of_identifiers(f.take("params"), "name of a parameter");
    let votes = objects(r, f.take("votes"), &VOTE, read_vote);
    let steps = read_scripts(r, f.take("steps"));
    let probes = read_scripts(r, f.take("probes"));
    let undo = read_scripts(r, f.take("undo"));
    let cancel = f.take("cancel").and_then(|field| read_cancel(r, field));
    let real = r.boolean(f.take("real")).unwrap_or(false);
    let varies = read_varies(r, f.take("varies"));
    let expect = f.take("expect").and_then(|field| read_expect(r, field));
    f.done();
    Some(TestCase {
        span,
        name: name?,
        params,
        votes,
        steps,
        probes,
        undo,
        cancel,
        real,
        varies,
        expect: expect?,
    })
}

fn read_vote(r: &mut Reader<'_>, mut f: Fields) -> Option<TestVote> {
    let gate = f
        .take("gate")
        .and_then(|field| step_path(r, &field.value, "gate"));
    let vote = r.one_of(f.take("vote"), |word| {
        Some(match word {
            "reject" => Vote::Reject,
            "withdraw" => Vote::Withdraw,
            "send_back" => Vote::SendBack,
            _ => Vote::Approve,
        })
    });
    let by = r.text(f.take("by"));
    let to = f
        .take("to")
        .and_then(|field| step_path(r, &field.value, "to"));
    let inputs = r.map_of_identifiers(f.take("inputs"), "name of an input");
    let after = r.duration(f.take("after"));
    let comment = r.text(f.take("comment"));
    f.done();
    Some(TestVote {
        gate: gate?,
        vote: vote.map_or(Vote::Approve, |vote| vote.value),
        by: by.map(|by| by.value),
        to,
        inputs,
        after: after.map_or(Duration::ZERO, |after| after.value),
        comment: comment.map(|comment| comment.value),
    })
}

/// A step as a run knows it: `restart`, `restart[api]`, `smoke/check`.
fn step_path(r: &mut Reader<'_>, value: &YamlValue, name: &str) -> Option<Spanned<StepId>> {
    let YamlValueKind::Text { text, .. } = &value.kind else {
        r.wrong_type(value, name, "the id of a step", &format!("{name}: restart"));
        return None;
    };
    parse_path(r, text, value.span)
}

fn parse_path(r: &mut Reader<'_>, text: &str, span: Span) -> Option<Spanned<StepId>> {
    match StepId::parse(text) {
        Ok(id) => Some(Spanned::new(id, span)),
        Err(error) => {
            r.error(
                codes::BAD_NAME,
                error.to_string(),
                span,
                "this name",
                "write the id as runs show it: `restart`, `restart[api]` or `smoke/check`",
            );
            None
        }
    }
}

fn read_scripts(r: &mut Reader<'_>, field: Option<Field>) -> Scripts {
    let mut scripts = Scripts::new();
    for (name, (span, value)) in r.map(field).unwrap_or_default() {
        let id = parse_path(r, &name, span);
        let items = match value.kind {
            YamlValueKind::List(items) => items,
            _ => vec![value],
        };
        let replies: Vec<TestReply> = items
            .into_iter()
            .filter_map(|item| {
                let fields = Fields::open(r, item, &REPLY, &name, "{ fails: error }")?;
                Some(read_reply(r, fields))
            })
            .collect();
        if let Some(id) = id {
            scripts.insert(id.value, (span, replies));
        }
    }
    scripts
}

fn read_reply(r: &mut Reader<'_>, mut f: Fields) -> TestReply {
    let span = f.span;
    let outputs_field = f.take("outputs");
    let outputs_key = outputs_field.as_ref().map(|field| field.key_span);
    let outputs_span = outputs_field.as_ref().map(|field| field.value.span);
    let outputs = r.map(outputs_field).map(|map| YamlValue {
        kind: YamlValueKind::Map(map),
        span: outputs_span.unwrap_or(span),
    });
    let fails = f.take("fails").and_then(|field| {
        let words: Vec<&str> = FailureKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let word = r.word(&field.value, "fails", &words)?;
        let kind = FailureKind::ALL.into_iter().find(|k| k.as_str() == word)?;
        Some(Spanned::new(kind, field.value.span))
    });
    let message_at = f.place("message");
    let reply = TestReply {
        span,
        message: r.text(f.take("message")).map(|text| text.value),
        times: r.int(f.take("times")),
        takes: r.duration(f.take("takes")).map(|takes| takes.value),
        outputs,
        fails,
    };
    f.done();
    let conflict = match (&reply.fails, outputs_key, message_at) {
        (Some(_), Some(at), _) => Some((at, "a call that fails has no outputs")),
        (None, _, Some(at)) => Some((at, "only a failure has a message")),
        _ => None,
    };
    if let Some((at, message)) = conflict {
        r.error(
            codes::KEY_CONFLICT,
            message,
            at,
            "this key",
            "write either `outputs`, or `fails` with a `message`",
        );
    }
    reply
}

fn read_cancel(r: &mut Reader<'_>, field: Field) -> Option<Spanned<TestCancel>> {
    let span = field.key_span;
    let mut f = r.object(Some(field), &CANCEL)?;
    let after = r.duration(f.take("after"));
    let before = f
        .take("before")
        .and_then(|field| step_path(r, &field.value, "before"));
    f.done();
    match (after, before) {
        (Some(after), None) => Some(Spanned::new(TestCancel::After(after.value), span)),
        (None, Some(step)) => Some(Spanned::new(TestCancel::Before(step.value), step.span)),
        (Some(_), Some(_)) => {
            r.error(
                codes::KEY_CONFLICT,
                "a run is cancelled once",
                span,
                "has both `after` and `before`",
                "write one of them",
            );
            None
        }
        (None, None) => {
            if !r.diags.has_errors() {
                r.error(
                    codes::MISSING_KEY,
                    "`cancel` needs `after` or `before`",
                    span,
                    "a key is missing here",
                    "write e.g. `cancel: { before: restart }`",
                );
            }
            None
        }
    }
}

fn read_varies(
    r: &mut Reader<'_>,
    field: Option<Field>,
) -> IndexMap<StepId, (Span, Vec<Spanned<String>>)> {
    let Some(field) = field else {
        return IndexMap::new();
    };
    let key = field.key;
    let mut out = IndexMap::new();
    for (name, (span, value)) in r.map(Some(field)).unwrap_or_default() {
        let id = parse_path(r, &name, span);
        let names = r.texts(Some(Field {
            key,
            key_span: span,
            value,
        }));
        if let (Some(id), Some(names)) = (id, names) {
            out.insert(id.value, (span, names));
        }
    }
    out
}

fn read_expect(r: &mut Reader<'_>, field: Field) -> Option<TestExpect> {
    let span = field.key_span;
    let mut f = r.object(Some(field), &EXPECT)?;
    let outcome = r.one_of(f.take("outcome"), TestOutcome::from_word);
    let exit_code = f.take("exit_code").and_then(|field| {
        let at = field.value.span;
        r.int(Some(field)).map(|code| Spanned::new(code, at))
    });
    let mut steps = |r: &mut Reader<'_>, name: &str| f.take(name).and_then(|at| step_list(r, at));
    let (order, skipped, not_run) = (steps(r, "order"), steps(r, "skipped"), steps(r, "not_run"));
    let (failed, gates, undone) = (steps(r, "failed"), steps(r, "gates"), steps(r, "undone"));
    let outputs = r.map_of_identifiers(f.take("outputs"), "name of an output");
    let that = read_conditions(r, f.take("that"));
    let (mut min, mut max) = (None, None);
    if let Some(mut d) = f
        .take("duration")
        .and_then(|at| r.object(Some(at), &DURATION))
    {
        min = r.duration(d.take("min"));
        max = r.duration(d.take("max"));
        d.done();
    }
    f.done();
    Some(TestExpect {
        span,
        outcome,
        exit_code,
        order,
        skipped,
        not_run,
        failed,
        gates,
        undone,
        outputs,
        that,
        min,
        max,
    })
}

fn step_list(r: &mut Reader<'_>, field: Field) -> Option<StepList> {
    let (name, span) = (field.key.name, field.key_span);
    let items = r.list(Some(field))?;
    let steps = items
        .iter()
        .filter_map(|value| step_path(r, value, name))
        .collect();
    Some(Spanned::new(steps, span))
}

fn read_conditions(r: &mut Reader<'_>, field: Option<Field>) -> Vec<Spanned<String>> {
    let Some(field) = field else {
        return Vec::new();
    };
    let (key, key_span) = (field.key, field.key_span);
    let items = r.list(Some(field)).unwrap_or_default();
    items
        .into_iter()
        .filter_map(|value| {
            r.condition(Some(Field {
                key,
                key_span,
                value,
            }))
        })
        .collect()
}
