//! Rules for loops: a list to go over, not too long, whose items fit where they are used.

use super::checker::{Checker, StepAt};
use super::codes;
use super::input::{InputCheck, Subject, TextIs, TextSite};
use super::reference::{Place, User};
use super::template::{Read, common};
use crate::base::{Diagnostic, Diagnostics, Span, Value};
use crate::model::{ForEach, MAX_INSTANCES, Ty, YamlValue, YamlValueKind};

/// The loop of the step that is being checked.
pub(super) struct LoopScope<'a> {
    /// The type of `item`.
    pub(super) item: Ty,
    /// The items as they are written, when they are.
    written: &'a [YamlValue],
}

/// Most checks of written items in one file, so that a hostile one ends soon. What is beyond is
/// checked when the plan is made.
const MAX_ITEM_CHECKS: usize = 100_000;

impl<'a> Checker<'a> {
    /// Checks `for_each`, and what `item` is from now on.
    pub(super) fn enter_loop(
        &mut self,
        for_each: Option<&'a ForEach>,
        at: StepAt,
        diags: &mut Diagnostics,
    ) {
        self.item = for_each.map(|for_each| {
            let scope = self.check_for_each(&for_each.items, at, diags);
            self.item_types
                .insert(for_each.items.span, scope.item.clone());
            scope
        });
    }

    fn check_for_each(
        &mut self,
        items: &'a YamlValue,
        at: StepAt,
        diags: &mut Diagnostics,
    ) -> LoopScope<'a> {
        let user = User {
            step: Some(at),
            place: Place::List,
        };
        let (item, written) = match &items.kind {
            YamlValueKind::List(written) if written.len() > MAX_INSTANCES => {
                diags.push(too_many(written.len()).at(
                    self.source(),
                    written[MAX_INSTANCES].span,
                    "the first that is too many",
                ));
                (Ty::Any, [].as_slice())
            }
            YamlValueKind::List(written) => {
                let types = written
                    .iter()
                    .map(|item| self.check_value(item, user, diags));
                (common(types.collect()), written.as_slice())
            }
            YamlValueKind::Text {
                text,
                content_offset,
            } => {
                let site = TextSite {
                    schema: &Value::Bool(true),
                    text,
                    content_offset: *content_offset,
                    span: items.span,
                    path: Some(&["for_each"]),
                };
                (self.list_of_text(&site, user, diags), [].as_slice())
            }
            // The decoder refuses anything else.
            YamlValueKind::Literal(_) | YamlValueKind::Map(_) => (Ty::Any, [].as_slice()),
        };
        LoopScope { item, written }
    }

    /// The type of the items that a template gives.
    fn list_of_text(&mut self, site: &TextSite<'_>, user: User, diags: &mut Diagnostics) -> Ty {
        let Read::Template(template, given) = self.read_text(site, user, diags) else {
            return Ty::Any;
        };
        let Some(whole) = template.whole() else {
            diags.push(
                Diagnostic::error(
                    codes::NOT_A_LIST,
                    "`for_each` is a text here, and wants a list",
                )
                .at(self.source(), site.span, "a text with expressions in it")
                .help("write one reference alone, such as `\"{{ params.services }}\"`, or a list"),
            );
            return Ty::Any;
        };
        let span = site.at(self.source()).place(Some(&whole.range));
        match given {
            Some(Ty::List(item)) => *item,
            Some(Ty::Any) | None => Ty::Any,
            Some(other) => {
                diags.push(self.not_a_list(&other, &whole.to_string(), span));
                Ty::Any
            }
        }
    }

    fn not_a_list(&self, ty: &Ty, reference: &str, span: Span) -> Diagnostic {
        let help = match (ty, reference.strip_prefix("params.")) {
            (_, Some(name)) => {
                format!("declare it as a list: `{name}: {{ type: list, items: string }}`")
            }
            (Ty::Map(_) | Ty::Object(_), None) => {
                "a loop goes over a list; name a list inside of it".to_owned()
            }
            (Ty::String, None) => format!(
                "for one item, write a list: `[\"{{{{ {reference} }}}}\"]`; the lines that a `shell` step prints are its output `lines`"
            ),
            _ => format!("for one item, write a list: `[\"{{{{ {reference} }}}}\"]`"),
        };
        Diagnostic::error(
            codes::NOT_A_LIST,
            format!("`for_each` wants a list, but `{reference}` is of type {ty}"),
        )
        .at(self.source(), span, format!("of type {ty}"))
        .help(help)
    }

    /// An input that is exactly `item` (or a part of it) gets each of the written items: each is
    /// checked, and a finding points at the item.
    pub(super) fn check_written_items(
        &mut self,
        subject: &Subject<'_>,
        site: &TextSite<'_>,
        diags: &mut Diagnostics,
    ) {
        let Some(scope) = &self.item else { return };
        let written = scope.written;
        if written.is_empty() || !site.text.contains("item") {
            return;
        }
        let Some(path) = self.texts.known_template(site.text).and_then(|template| {
            let whole = template.whole()?;
            (whole.root() == "item").then(|| whole.path.clone())
        }) else {
            return;
        };
        for item in written {
            let Some(value) = part(item, &path[1..]) else {
                continue;
            };
            if diags.is_full() || self.item_checks >= MAX_ITEM_CHECKS {
                return;
            }
            self.item_checks += 1;
            InputCheck {
                subject,
                source: self.source(),
                environment: self.environment,
                diags,
            }
            .run_named(&site.name(), site.schema, value, &mut |_, inner| {
                // An item that is a template itself was checked where it is written.
                if inner.text.contains("{{") {
                    TextIs::Template
                } else {
                    TextIs::Literal
                }
            });
        }
    }
}

/// The finding for a loop that is too long, without its place.
pub(crate) fn too_many(count: usize) -> Diagnostic {
    Diagnostic::error(
        codes::TOO_MANY_INSTANCES,
        format!("this loop has {count} items; at most {MAX_INSTANCES} are allowed"),
    )
    .help("loop over groups of items, or let the step's own program go over them")
}

/// The part of a written value at a path, if it is written there.
fn part<'y>(value: &'y YamlValue, path: &[String]) -> Option<&'y YamlValue> {
    path.iter().try_fold(value, |value, key| match &value.kind {
        YamlValueKind::Map(map) => map.get(key).map(|(_, value)| value),
        YamlValueKind::List(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}
