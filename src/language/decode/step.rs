//! Steps, with their retry, rollback and effect.

use std::collections::HashMap;
use std::time::Duration;

use indexmap::IndexMap;

use super::call;
use super::fields::{Field, Fields};
use super::for_each::read_for_each;
use super::gate::take_gate;
use super::keys::{EFFECT, FINALLY_STEP, RETRY, ROLLBACK, STEP, VERIFY_STEP, failure_names};
use super::reader::Reader;
use super::unless::read_unless;
use crate::base::{Diagnostic, Span, Spanned, StepId};
use crate::language::codes;
use crate::model::{
    Action, Backoff, Effect, EffectOverride, Needs, Retry, Rollback, Step, StepOnFailure,
    YamlValue, YamlValueKind,
};

/// The step ids met so far, in `steps` and `finally` together.
pub(super) type Seen = HashMap<StepId, Span>;

/// Which list a step stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Steps,
    Verify,
    Finally,
}

/// What `uses` may name in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callee {
    /// An action or a runbook.
    Any,
    /// Only an action; with the name of the place.
    Action(&'static str),
}

/// Reads a list of steps; `None` when one of them could not be read.
pub(super) fn read_steps(
    r: &mut Reader<'_>,
    field: Option<Field>,
    part: Part,
    seen: &mut Seen,
) -> Option<Vec<Step>> {
    let items = r.list(field)?;
    let mut steps = Vec::with_capacity(items.len());
    let mut good = true;
    for item in items {
        match read_step(r, item, part, seen) {
            Some(step) => steps.push(step),
            None => good = false,
        }
    }
    good.then_some(steps)
}

pub(super) fn read_step(
    r: &mut Reader<'_>,
    mut value: YamlValue,
    part: Part,
    seen: &mut Seen,
) -> Option<Step> {
    refuse_keys(r, &mut value, part);
    let spec = match part {
        Part::Steps => &STEP,
        Part::Verify => &VERIFY_STEP,
        Part::Finally => &FINALLY_STEP,
    };
    let example = "{ id: restart, uses: service.restart }";
    let mut fields = Fields::open(r, value, spec, "- ", example)?;
    let f = &mut fields;
    let span = crate::language::yaml::first_line(&r.source.text, f.span);
    let id = f.take("id").and_then(|field| r.step_id(&field.value, "id"));
    if let Some(id) = &id {
        report_duplicate(r, id, seen);
    }
    if f.place("until").is_none() {
        f.refuse(
            r,
            "every",
            "`every` has no meaning without `until`",
            "add `until:` with a condition such as `outputs.healthy`, or take `every` out",
        );
    }
    let name = r.text(f.take("name"));
    let mut action = read_action(r, f, Callee::Any);
    let gate = take_gate(r, action.as_mut());
    if let Some(runbook) = action.as_ref().and_then(Action::runbook) {
        call::refuse_keys(r, f, runbook);
    }
    let needs = read_needs(r, f.take("needs"));
    let when = r.condition(f.take("when"));
    let for_each = read_for_each(r, f);
    let unless = f.take("unless").map(|field| read_unless(r, field));
    let until = r.condition(f.take("until"));
    let every = r.duration(f.take("every"));
    let retry = f.take("retry").and_then(|field| read_retry(r, field));
    let timeout = r.duration(f.take("timeout"));
    let on_failure = match part {
        Part::Verify => None,
        Part::Steps | Part::Finally => r.one_of(f.take("on_failure"), |word| match word {
            "stop" => Some(StepOnFailure::Stop),
            "rollback" => Some(StepOnFailure::Rollback),
            "continue" => Some(StepOnFailure::Continue),
            _ => None,
        }),
    };
    let verify = r.condition(f.take("verify"));
    let rollback = match part {
        Part::Steps => f.take("rollback").and_then(|field| read_rollback(r, field)),
        Part::Verify | Part::Finally => None,
    };
    let outputs = r.values(f.take("outputs"), "name of an output");
    let effect = f.take("effect").and_then(|field| read_effect(r, field));
    let idempotency_key = read_text(r, f.take("idempotency_key"));
    let environment = read_variables(r, f.take("environment"));
    let secrets = read_secrets(r, f.take("secrets"));
    let template = r.boolean(f.take("template")).unwrap_or(true);
    fields.done();
    Some(Step {
        gate: gate?,
        span,
        id: id?,
        name,
        action: action?,
        needs: needs?,
        when,
        for_each: for_each?,
        // A step whose `unless` could not be read must not run as if it had none.
        unless: match unless {
            None => None,
            Some(unless) => Some(unless?),
        },
        idempotency_key,
        environment: environment?,
        secrets: secrets?,
        until,
        every,
        retry,
        timeout,
        on_failure,
        verify,
        rollback,
        outputs: outputs?,
        effect,
        template,
    })
}

/// Keys that a list other than `steps` does not have, each with its message, label and help.
type Refused = (&'static str, &'static str, &'static str, &'static str);

const NOT_IN_FINALLY: &[Refused] = &[(
    "rollback",
    "a `finally` step has no `rollback`",
    "nothing is undone after `finally`",
    "take it out; what must be undone belongs into `steps`",
)];

const NOT_IN_VERIFY: &[Refused] = &[
    (
        "rollback",
        "a `verify` step has no `rollback`",
        "a step that only reads leaves nothing to undo",
        "take it out; a step that changes something belongs into `steps`",
    ),
    (
        "on_failure",
        "a `verify` step has no `on_failure`",
        "when it fails, the run has failed",
        "take it out; the runbook's `on_failure` says what follows",
    ),
];

fn refuse_keys(r: &mut Reader<'_>, value: &mut YamlValue, part: Part) {
    let YamlValueKind::Map(map) = &mut value.kind else {
        return;
    };
    let refused = match part {
        Part::Steps => return,
        Part::Verify => NOT_IN_VERIFY,
        Part::Finally => NOT_IN_FINALLY,
    };
    for (key, message, label, help) in refused {
        // Order is kept, because the first key tells where the step begins.
        if let Some((span, _)) = map.shift_remove(*key) {
            r.error(codes::KEY_CONFLICT, *message, span, label, help);
        }
    }
}

pub(super) fn report_duplicate(r: &mut Reader<'_>, id: &Spanned<StepId>, seen: &mut Seen) {
    match seen.get(&id.value) {
        None => {
            seen.insert(id.value.clone(), id.span);
        }
        Some(first) => r.diags.push(
            Diagnostic::error(
                codes::DUPLICATE_STEP,
                format!("two steps have the id `{}`", id.value),
            )
            .at(r.source, id.span, "here again")
            .at(r.source, *first, "first here")
            .help("give one of them another id; `steps`, `verify` and `finally` share their ids"),
        ),
    }
}

pub(super) fn read_action(r: &mut Reader<'_>, f: &mut Fields, callee: Callee) -> Option<Action> {
    let head = f.head;
    let uses = r.text(f.take("uses"));
    let with = match f.take("with") {
        None => Some(YamlValue {
            kind: YamlValueKind::Map(IndexMap::new()),
            span: uses.as_ref().map_or(head, |uses| uses.span),
        }),
        Some(field) => {
            let span = field.value.span;
            r.map(Some(field)).map(|map| YamlValue {
                kind: YamlValueKind::Map(map),
                span,
            })
        }
    };
    let action = Action {
        uses: uses?,
        with: with?,
    };
    if let (Callee::Action(place), Some(_)) = (callee, action.runbook()) {
        r.error(
            codes::NOT_YET,
            format!("`uses: {}` in {place} is not supported", action.uses.value),
            action.uses.span,
            "a runbook cannot stand here",
            "name an action; `runbook actions` lists them",
        );
        return None;
    }
    Some(action)
}

/// A text that keeps its place: a template.
fn read_text(r: &mut Reader<'_>, field: Option<Field>) -> Option<YamlValue> {
    let field = field?;
    let value = field.value.clone();
    r.text(Some(field)).map(|_| value)
}

/// `environment`: names of variables with their values.
fn read_variables(r: &mut Reader<'_>, field: Option<Field>) -> Option<IndexMap<String, YamlValue>> {
    let Some(field) = field else {
        return Some(IndexMap::new());
    };
    let mut good = true;
    let mut variables = IndexMap::new();
    for (name, (span, value)) in r.map(Some(field))? {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(plain)
        {
            good = false;
            r.error(
                codes::BAD_NAME,
                format!("`{name}` cannot be the name of a variable"),
                span,
                "this name",
                "use letters, digits and `_`, and start with no digit: `API_TOKEN`",
            );
        }
        variables.insert(name, value);
    }
    good.then_some(variables)
}

/// `secrets`: names.
fn read_secrets(r: &mut Reader<'_>, field: Option<Field>) -> Option<Vec<Spanned<String>>> {
    if field.is_none() {
        return Some(Vec::new());
    }
    let names = r.texts(field)?;
    let mut good = true;
    for name in &names {
        good &= r.identifier(name, "name of a secret", name.span);
    }
    good.then_some(names)
}

fn read_needs(r: &mut Reader<'_>, field: Option<Field>) -> Option<Needs> {
    let Some(field) = field else {
        return Some(Needs::Above);
    };
    if let YamlValueKind::Text { text, .. } = &field.value.kind {
        r.wrong_type(
            &field.value,
            "needs",
            "a list of step ids",
            &format!("needs: [{text}]"),
        );
        return None;
    }
    let mut ids: Vec<Spanned<String>> = Vec::new();
    let mut good = true;
    for item in r.list(Some(field))? {
        let Some(id) = r.step_id(&item, "needs") else {
            good = false;
            continue;
        };
        if ids.iter().any(|known| known.value == id.as_str()) {
            r.error(
                codes::BAD_VALUE,
                format!("`needs` names `{}` twice", id.value),
                id.span,
                "here again",
                "delete one of the two",
            );
            continue;
        }
        ids.push(id.map(|id| id.to_string()));
    }
    good.then_some(Needs::Listed(ids))
}

fn read_retry(r: &mut Reader<'_>, field: Field) -> Option<Spanned<Retry>> {
    let span = field.value.span;
    let mut f = r.object(Some(field), &RETRY)?;
    let attempts = r.int(f.take("attempts"));
    let delay = r.duration(f.take("delay"));
    let backoff = r.one_of(f.take("backoff"), |word| match word {
        "constant" => Some(Backoff::Constant),
        "linear" => Some(Backoff::Linear),
        "exponential" => Some(Backoff::Exponential),
        _ => None,
    });
    let max_delay = r.duration(f.take("max_delay"));
    let jitter = r.number(f.take("jitter"));
    let on = f.take("on").and_then(|field| read_failures(r, field));
    f.done();
    let retry = Retry {
        attempts: attempts?,
        delay: delay.map_or(Duration::from_secs(1), |d| d.value),
        backoff: backoff.map_or(Backoff::default(), |b| b.value),
        max_delay: max_delay.map_or(Duration::from_secs(60), |d| d.value),
        jitter: jitter.unwrap_or(0.0),
        on: on.unwrap_or_default(),
    };
    Some(Spanned::new(retry, span))
}

fn read_failures(r: &mut Reader<'_>, field: Field) -> Option<Vec<String>> {
    let names: Vec<&str> = failure_names().collect();
    let items = r.list(Some(field))?;
    let read: Vec<_> = items
        .iter()
        .map(|item| r.word(item, "on", &names))
        .collect();
    read.into_iter().collect()
}

fn read_rollback(r: &mut Reader<'_>, field: Field) -> Option<Spanned<Rollback>> {
    let span = field.value.span;
    let mut f = r.object(Some(field), &ROLLBACK)?;
    let rollback = if f.place("irreversible").is_some() {
        read_irreversible(r, &mut f)
    } else {
        read_undo(r, &mut f)
    };
    f.done();
    rollback.map(|rollback| Spanned::new(rollback, span))
}

fn read_irreversible(r: &mut Reader<'_>, f: &mut Fields) -> Option<Rollback> {
    for name in ["uses", "with", "retry", "timeout"] {
        let message = format!("`{name}` and `irreversible` exclude each other");
        f.refuse(
            r,
            name,
            &message,
            "either say how to undo the step, or why that is impossible",
        );
    }
    let flag = f.take("irreversible")?;
    if flag.value.kind == YamlValueKind::Literal(false.into()) {
        let help = "take it out: a step with `uses` under `rollback` can be undone";
        r.bad_value(&flag, "`irreversible` can only be `true`", help);
    } else {
        r.boolean(Some(flag));
    }
    if f.place("reason").is_none() {
        r.error(
            codes::MISSING_KEY,
            "`irreversible` needs the key `reason`",
            f.head,
            "the key is missing here",
            "add e.g. `reason: mail cannot be called back`: people read it before they approve",
        );
    }
    let reason = r.text(f.take("reason"))?.value;
    Some(Rollback::Irreversible { reason })
}

fn read_undo(r: &mut Reader<'_>, f: &mut Fields) -> Option<Rollback> {
    f.refuse(
        r,
        "reason",
        "`reason` has no meaning without `irreversible: true`",
        "take it out, or write `irreversible: true`",
    );
    if f.place("uses").is_none() {
        r.error(
            codes::MISSING_KEY,
            "`rollback` needs the key `uses`",
            f.head,
            "the key is missing here",
            "add e.g. `uses: service.start`, or write `{ irreversible: true, reason: ... }`",
        );
    }
    let action = read_action(r, f, Callee::Action("`rollback`"));
    let retry = f.take("retry").and_then(|field| read_retry(r, field));
    let timeout = r.duration(f.take("timeout"));
    Some(Rollback::Undo {
        action: action?,
        retry: retry.map(|retry| retry.value),
        timeout: timeout.map(|timeout| timeout.value),
    })
}

fn read_effect(r: &mut Reader<'_>, field: Field) -> Option<Spanned<EffectOverride>> {
    let span = field.value.span;
    let mut f = r.object(Some(field), &EFFECT)?;
    let effect = r.one_of(f.take("is"), |word| match word {
        "read" => Some(Effect::Read),
        "idempotent" => Some(Effect::Idempotent),
        "once" => Some(Effect::Once),
        _ => None,
    });
    let reason = r.text(f.take("reason"));
    f.done();
    let value = EffectOverride {
        effect: effect?.value,
        reason: reason?.value,
    };
    Some(Spanned::new(value, span))
}
