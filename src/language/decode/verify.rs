//! The `verify` list of a runbook: steps that only read, and conditions.

use indexmap::IndexMap;

use super::fields::{Field, Fields};
use super::keys::VERIFY_CONDITION;
use super::reader::Reader;
use super::step::{Part, Seen, read_step, report_duplicate};
use crate::base::{Spanned, StepId, Value};
use crate::language::codes;
use crate::model::{Action, Needs, Step, YamlValue, YamlValueKind};

/// The action of a condition.
const ASSERT: &str = "assert";

/// Reads `verify`; `None` when an entry could not be read.
pub(super) fn read_verify(
    r: &mut Reader<'_>,
    field: Option<Field>,
    seen: &mut Seen,
) -> Option<Vec<Step>> {
    let Some(field) = field else {
        return Some(Vec::new());
    };
    let items = r.list(Some(field))?;
    let mut steps = Vec::with_capacity(items.len());
    let mut good = true;
    for (index, item) in items.into_iter().enumerate() {
        let read = if is_condition(&item) {
            read_condition(r, item, index + 1, seen)
        } else {
            read_step(r, item, Part::Verify, seen)
        };
        match read {
            Some(step) => steps.push(step),
            None => good = false,
        }
    }
    good.then_some(steps)
}

/// A step has an id or an action; everything else with a condition is one.
fn is_condition(value: &YamlValue) -> bool {
    let YamlValueKind::Map(map) = &value.kind else {
        return false;
    };
    map.contains_key("condition") && !map.contains_key("id") && !map.contains_key("uses")
}

/// A condition as a step: `assert` that succeeds, with the condition as its own `verify`.
fn read_condition(
    r: &mut Reader<'_>,
    value: YamlValue,
    number: usize,
    seen: &mut Seen,
) -> Option<Step> {
    let example = "{ condition: steps.healthy.outputs.healthy }";
    let mut f = Fields::open(r, value, &VERIFY_CONDITION, "- ", example)?;
    let span = crate::language::yaml::first_line(&r.source.text, f.span);
    let head = f.head;
    let condition = r.condition(f.take("condition"));
    let message = r.text(f.take("message"));
    f.done();
    let id = match StepId::new(&format!("verify_{number}")) {
        Ok(id) => Spanned::new(id, head),
        Err(error) => {
            r.error(codes::BAD_NAME, error.to_string(), head, "here", "");
            return None;
        }
    };
    report_duplicate(r, &id, seen);
    let yes = YamlValue {
        kind: YamlValueKind::Literal(Value::Bool(true)),
        span: head,
    };
    let with = YamlValue {
        kind: YamlValueKind::Map(IndexMap::from([("that".to_owned(), (head, yes))])),
        span: head,
    };
    Some(Step {
        gate: None,
        span,
        id,
        name: message,
        action: Action {
            uses: Spanned::new(ASSERT.to_owned(), head),
            with,
        },
        needs: Needs::Above,
        when: None,
        for_each: None,
        unless: None,
        until: None,
        every: None,
        retry: None,
        timeout: None,
        on_failure: None,
        verify: Some(condition?),
        rollback: None,
        outputs: IndexMap::new(),
        effect: None,
        idempotency_key: None,
        environment: IndexMap::new(),
        secrets: Vec::new(),
        template: true,
    })
}
