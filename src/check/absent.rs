//! Rules: an output that may be missing is not used as if it were always there.

use std::collections::HashSet;

use super::checker::Part;
use super::codes;
use super::rules::Whole;
use super::uses::{Use, asks_about};
use crate::base::{Diagnostic, Diagnostics, Span};
use crate::model::{Step, StepOnFailure};

/// Why an output may be missing, and where that is written.
struct Missing {
    code: crate::base::Code,
    why: String,
    place: Span,
    label: &'static str,
}

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    let mut told: HashSet<(u8, usize, usize)> = HashSet::new();
    for used in &whole.uses {
        let key = (used.by.part as u8, used.by.index, used.of);
        if used.guarded || told.contains(&key) {
            continue;
        }
        let Some(missing) = missing(whole, used) else {
            continue;
        };
        told.insert(key);
        let of = &whole.runbook.steps[used.of];
        let source = &whole.runbook.source;
        let id = &of.id.value;
        diags.push(
            Diagnostic::warning(
                missing.code,
                format!("`{}` has no value when {}", used.text, missing.why),
            )
            .at(source, used.span, "used here")
            .at(source, missing.place, missing.label)
            .help(help(whole.step(used.by), used, id.as_str())),
        );
    }
}

fn help(by: &Step, used: &Use, id: &str) -> String {
    let fallback = if used.in_condition {
        format!("ask first whether it is there: `has(steps.{id}.outputs) && ...`")
    } else {
        format!(
            "give a value for that case: {{{{ default {} \"...\" }}}}",
            used.text
        )
    };
    if is_finally(used) || by.when.is_some() {
        fallback
    } else {
        format!(
            "{fallback}; or skip `{}` too: `when: steps.{id}.status == \"succeeded\"`",
            by.id.value
        )
    }
}

fn missing(whole: &Whole<'_>, used: &Use) -> Option<Missing> {
    let of = &whole.runbook.steps[used.of];
    let by = whole.step(used.by);
    if by
        .when
        .as_ref()
        .is_some_and(|when| asks_about(&when.value, of.id.value.as_str()))
    {
        return None;
    }
    let id = &of.id.value;
    if let Some(place) = skipped_by(of)
        && (is_finally(used) || !shares_condition(of, by))
    {
        return Some(Missing {
            code: codes::MAY_BE_SKIPPED,
            why: format!("`{id}` is skipped"),
            place,
            label: "then this step is skipped",
        });
    }
    if let Some(on_failure) = &of.on_failure
        && on_failure.value == StepOnFailure::Continue
    {
        return Some(Missing {
            code: codes::MAY_HAVE_FAILED,
            why: format!("`{id}` has failed, which is tolerated"),
            place: on_failure.span,
            label: "its failure is tolerated",
        });
    }
    is_finally(used).then(|| Missing {
        code: codes::MAY_NOT_HAVE_RUN,
        why: format!("the run ends before `{id}` has succeeded"),
        place: of.id.span,
        label: "this step may not have run",
    })
}

/// Whether it is used when the run has ended, however that was.
fn is_finally(used: &Use) -> bool {
    used.by.part == Part::Finally
}

/// What lets a step be skipped as a whole; the conditions of a loop's instances do not.
fn skipped_by(step: &Step) -> Option<Span> {
    let per_instance =
        |text: &str| step.for_each.is_some() && (text.contains("item") || text.contains("index"));
    if let Some(when) = &step.when
        && !per_instance(&when.value)
    {
        return Some(when.span);
    }
    let unless = step.unless.as_ref()?;
    step.for_each.is_none().then_some(unless.span)
}

/// Whether the user runs only if the conditions of the used step hold as well.
fn shares_condition(of: &Step, by: &Step) -> bool {
    if of.unless.is_some() {
        return false;
    }
    let (Some(of), Some(by)) = (&of.when, &by.when) else {
        return false;
    };
    let wanted = parts(&of.value);
    let given = parts(&by.value);
    wanted.iter().all(|part| given.contains(part))
}

/// The parts of a condition that are joined by `&&`, without white space; the whole if it has other
/// operators outside of brackets that could change the meaning.
fn parts(condition: &str) -> Vec<String> {
    let dense: String = condition.chars().filter(|c| !c.is_whitespace()).collect();
    let (mut depth, mut quote, mut start) = (0usize, None, 0);
    let mut found = Vec::new();
    for (at, c) in dense.char_indices() {
        match (quote, c) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '|' | '?') if depth == 0 => return vec![dense],
            (None, '&') if depth == 0 && dense[at..].starts_with("&&") => {
                found.push(dense[start..at].to_owned());
                start = at + 2;
            }
            _ => {}
        }
    }
    found.push(dense[start..].to_owned());
    found
}

/// Whether a step's need of outputs can never be met, because the other step never runs.
pub(super) fn never_has_value(whole: &Whole<'_>, used: &Use) -> bool {
    let of = &whole.runbook.steps[used.of];
    used.by.part == Part::Steps && !used.guarded && whole.always(of.when.as_ref()) == Some(false)
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn conditions_fall_into_their_parts() {
        for (text, expected) in [
            ("a && b", vec!["a", "b"]),
            ("a && (b || c)", vec!["a", "(b||c)"]),
            ("a && b || c", vec!["a&&b||c"]),
            ("x == 'a && b'", vec!["x=='a&&b'"]),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }
}
