//! `unless`: a condition, or an action that only reads and a condition over its outputs.

use super::fields::{Field, Fields};
use super::keys::UNLESS;
use super::reader::Reader;
use super::step::{Callee, read_action};
use crate::base::Spanned;
use crate::model::{Unless, YamlValueKind};

pub(super) fn read_unless(r: &mut Reader<'_>, field: Field) -> Option<Spanned<Unless>> {
    let span = field.value.span;
    if !matches!(field.value.kind, YamlValueKind::Map(_)) {
        let condition = r.condition(Some(field))?;
        return Some(Spanned::new(Unless::Condition(condition), span));
    }
    let mut f: Fields = r.object(Some(field), &UNLESS)?;
    let action = read_action(r, &mut f, Callee::Action("`unless`"));
    let condition = r.condition(f.take("condition"));
    f.done();
    let probe = Unless::Probe {
        action: action?,
        condition: condition?,
    };
    Some(Spanned::new(probe, span))
}
