//! What a step with `uses: approval` says in `with` beside its message. It is written out, no
//! template: the plan must say before the run who is asked, and for what.

use super::fields::Field;
use super::keys::{GATE, GATE_INPUT};
use super::param::{holds_template, read_declared};
use super::reader::Reader;
use super::runbook::read_risk;
use crate::base::Spanned;
use crate::language::codes;
use crate::model::{Action, GateAsk, OnExpiry, YamlValueKind};

/// The action that asks people.
const APPROVAL: &str = "approval";

/// Takes the keys of a gate out of the inputs of its action; `Some(None)` when it asks nobody, `None`
/// when a name of an input could not be read.
pub(super) fn take_gate(
    r: &mut Reader<'_>,
    action: Option<&mut Action>,
) -> Option<Option<Box<GateAsk>>> {
    let Some(action) = action.filter(|action| action.uses.value == APPROVAL) else {
        return Some(None);
    };
    let YamlValueKind::Map(with) = &mut action.with.kind else {
        return Some(Some(Box::default()));
    };
    let mut take = |name: &'static str| {
        let (key_span, value) = with.shift_remove(name)?;
        Some(Field {
            key: GATE.get(name)?,
            key_span,
            value,
        })
    };
    let risk = literal(r, take("risk")).and_then(|field| r.one_of(Some(field), read_risk));
    let on_expiry = literal(r, take("on_expiry"));
    let on_expiry = read_on_expiry(r, on_expiry);
    let inputs = match take("inputs") {
        None => Some(indexmap::IndexMap::new()),
        Some(field) => read_declared(r, field, "name of an input", &GATE_INPUT),
    };
    Some(Some(Box::new(GateAsk {
        risk,
        inputs: inputs?,
        on_expiry,
    })))
}

/// Refuses a template.
fn literal(r: &mut Reader<'_>, field: Option<Field>) -> Option<Field> {
    let field = field?;
    if !holds_template(&field.value) {
        return Some(field);
    }
    let name = field.key.name;
    r.error(
        codes::BAD_VALUE,
        format!("`{name}` of an approval is a template"),
        field.value.span,
        "must be written out",
        &format!(
            "the plan says before the run who is asked: write a word such as `{name}: {}`",
            field.key.example
        ),
    );
    None
}

pub(super) fn read_on_expiry(
    r: &mut Reader<'_>,
    field: Option<Field>,
) -> Option<Spanned<OnExpiry>> {
    r.one_of(field, |word| match word {
        "deny" => Some(OnExpiry::Deny),
        "escalate" => Some(OnExpiry::Escalate),
        "park" => Some(OnExpiry::Park),
        _ => None,
    })
}
