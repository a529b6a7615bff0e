//! Rule: what stands inside `{{#each}}` and `{{#with}}` is a part of what the block is over.

use super::codes;
use super::texts::TextAt;
use crate::base::{Diagnostic, Diagnostics, did_you_mean};
use crate::language::{Inside, Template, TextPlaces};
use crate::model::{LookupProblemKind, Ty};

/// `types` are those of the template's references, `None` where a finding was made already.
pub(super) fn check(
    template: &Template,
    types: &[Option<Ty>],
    places: &TextPlaces<'_>,
    at: TextAt<'_>,
    diags: &mut Diagnostics,
) {
    for item in template.items() {
        let Some(Some(ty)) = types.get(item.reference) else {
            continue;
        };
        let Err(finding) = walk(ty, &item.path) else {
            continue;
        };
        diags.push(finding.at(at.source, places.of(&item.range), "used here"));
        if diags.is_full() {
            return;
        }
    }
}

fn walk(ty: &Ty, path: &[Inside]) -> Result<(), Diagnostic> {
    const ANY: &Ty = &Ty::Any;
    let mut ty = ty;
    for (at, step) in path.iter().enumerate() {
        let name = match step {
            Inside::Item => {
                ty = match ty {
                    Ty::List(item) | Ty::Map(item) => item,
                    Ty::Any | Ty::Object(_) => ANY,
                    // Said once, at the loop itself.
                    _ if at + 1 < path.len() => return Ok(()),
                    other => {
                        return Err(Diagnostic::error(
                            codes::NO_ITEMS,
                            format!("`{{{{#each}}}}` wants a list or a map, but this is {other}"),
                        )
                        .help("for the lines of a text, write `{{#each (lines ...)}}`"));
                    }
                };
                continue;
            }
            Inside::Field(name) => name,
        };
        ty = match ty.lookup(std::slice::from_ref(name)) {
            Ok(inside) => inside,
            Err(problem) => {
                return Err(match problem.kind {
                    LookupProblemKind::UnknownKey(known) => {
                        let finding = Diagnostic::error(
                            codes::UNKNOWN_OUTPUT,
                            format!("an item here has no `{name}`"),
                        );
                        match did_you_mean(name, known.iter().map(String::as_str)) {
                            Some(near) => finding.help(format!("did you mean `{near}`?")),
                            None => finding.help(format!("it has {}", known.join(", "))),
                        }
                    }
                    LookupProblemKind::NotAnIndex => Diagnostic::error(
                        codes::UNKNOWN_OUTPUT,
                        format!("this is a list; `{name}` is no number of an item"),
                    ),
                    LookupProblemKind::NothingInside(ty) => Diagnostic::error(
                        codes::UNKNOWN_OUTPUT,
                        format!("this is of type {ty}; there is no `{name}` inside"),
                    )
                    .help("write `this` for the item itself"),
                });
            }
        };
    }
    Ok(())
}
