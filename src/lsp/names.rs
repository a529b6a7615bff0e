//! What expressions can name in a runbook, with types, words and places: of a file that may be half
//! written, so nothing here says that something is wrong. That is the checker's work.

use serde_json::json;

use super::project::{File, Project};
use super::tree::{self, entries, entry, get, items, text, text_at};
use crate::base::{Span, Value};
use crate::check::{RUN_FIELDS, STEP_FIELDS};
use crate::model::{Ty, YamlValue};

/// Where a name is defined.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// In the file that is edited.
    Here(Span),
    /// In another one.
    There(Box<File>, Span),
}

/// Something with a name.
#[derive(Debug, Clone)]
pub(super) struct Thing<'a> {
    /// How it is written.
    pub(super) name: String,
    /// The type of its value.
    pub(super) ty: Ty,
    /// What it is, in Markdown.
    pub(super) doc: String,
    /// Where it is defined.
    pub(super) target: Option<Target>,
    inner: Inner<'a>,
}

/// What is inside a thing.
#[derive(Debug, Clone)]
enum Inner<'a> {
    /// What its type shows, and the schema that its type came from.
    Type(Value),
    Params,
    Steps,
    Step(&'a YamlValue),
    Outputs(&'a YamlValue),
    /// What a gate asks for, as it is written.
    Inputs(&'a YamlValue),
    Vars,
    Secrets,
    Run,
}

/// A step as far as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepView<'a> {
    /// Its id.
    pub(super) id: &'a str,
    /// Where the id is written.
    pub(super) id_span: Span,
    /// All of it.
    pub(super) node: &'a YamlValue,
    /// The list that it stands in: `steps`, `verify` or `finally`.
    pub(super) list: &'static str,
}

/// The names of one runbook.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// The runbook.
    pub(super) tree: &'a YamlValue,
    /// What is around it.
    pub(super) project: Project<'a>,
    /// The step that the expression stands in, if it stands in one.
    pub(super) step: Option<&'a YamlValue>,
}

impl<'a> Names<'a> {
    /// For an expression at a path of the tree.
    pub(super) fn at(tree: &'a YamlValue, path: &[String], project: Project<'a>) -> Self {
        let in_step = path.len() >= 2 && ["steps", "verify", "finally"].contains(&path[0].as_str());
        let step = in_step.then(|| tree::at(tree, &path[..2])).flatten();
        Self {
            tree,
            project,
            step,
        }
    }

    /// The steps, in the order of the file.
    pub(super) fn steps(&self) -> Vec<StepView<'a>> {
        ["steps", "verify", "finally"]
            .into_iter()
            .flat_map(|list| {
                items(get(self.tree, list)).iter().filter_map(move |node| {
                    let (_, id) = entry(node, "id")?;
                    Some(StepView {
                        id: text(id)?,
                        id_span: id.span,
                        node,
                        list,
                    })
                })
            })
            .collect()
    }

    /// The thing at a path.
    pub(super) fn thing(&self, path: &[String]) -> Option<Thing<'a>> {
        let (name, parents) = path.split_last()?;
        // Deeper than anyone writes; each level is looked up again for the next.
        if path.len() > 16 {
            return None;
        }
        let is_index = name.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty();
        if is_index {
            return self.thing(parents).and_then(|list| item_of(&list, name));
        }
        self.members(parents)
            .into_iter()
            .find(|thing| thing.name == *name)
    }

    /// What can follow a path; the roots for an empty one.
    pub(super) fn members(&self, path: &[String]) -> Vec<Thing<'a>> {
        if path.is_empty() {
            return self.roots();
        }
        let Some(thing) = self.thing(path) else {
            return Vec::new();
        };
        match &thing.inner {
            Inner::Params => declared(get(self.tree, "params")),
            Inner::Inputs(asked) => declared(Some(asked)),
            Inner::Steps => self.step_things(),
            Inner::Step(step) => self.step_fields(step),
            Inner::Outputs(step) => self.outputs(step),
            Inner::Vars => self.of_environment("vars"),
            Inner::Secrets => self.of_environment("secrets"),
            Inner::Run => RUN_FIELDS
                .into_iter()
                .map(|(name, ty)| plain(name, ty, "of this run"))
                .collect(),
            Inner::Type(schema) => fields(&thing.ty, schema),
        }
    }

    fn roots(&self) -> Vec<Thing<'a>> {
        let root = |name: &str, doc: &str, inner| Thing {
            inner,
            ..plain(name, Ty::Any, doc)
        };
        let mut found = vec![
            root("params", "The parameters of the run", Inner::Params),
            root(
                "steps",
                "The other steps: `steps.ID.outputs.NAME`",
                Inner::Steps,
            ),
            root("vars", "The variables of the environment", Inner::Vars),
            root("secrets", "The secrets of the environment", Inner::Secrets),
            root("run", "The run itself", Inner::Run),
        ];
        if let Some(step) = self.step {
            found.push(root(
                "outputs",
                "What this step gave, in `until`, `verify`, `outputs` and `rollback`",
                Inner::Outputs(step),
            ));
            if let Some(list) = get(step, "for_each") {
                let ty = self.item_type(list);
                found.push(Thing {
                    target: entry(step, "for_each").map(|(span, _)| Target::Here(span)),
                    ..plain(
                        "item",
                        ty,
                        "The item of `for_each` that this instance is for",
                    )
                });
                found.push(plain("index", Ty::Int, "The number of the item, from 0"));
            }
        }
        found
    }

    fn item_type(&self, list: &YamlValue) -> Ty {
        let ty = match text(list) {
            Some(written) => {
                let inner = written
                    .trim()
                    .trim_start_matches("{{")
                    .trim_end_matches("}}");
                let path: Vec<String> = inner
                    .trim()
                    .split(['.', '[', ']'])
                    .filter(|segment| !segment.is_empty())
                    .map(str::to_owned)
                    .collect();
                match path.is_empty() {
                    true => Ty::Any,
                    false => {
                        // Outside the step: else the type of `item` would ask for itself.
                        let outside = Self {
                            step: None,
                            ..*self
                        };
                        outside.thing(&path).map_or(Ty::Any, |thing| thing.ty)
                    }
                }
            }
            None => Ty::of_value(&list.to_json()),
        };
        match ty {
            Ty::List(item) => *item,
            _ => Ty::Any,
        }
    }

    fn step_things(&self) -> Vec<Thing<'a>> {
        let own = self.step.and_then(|step| text_at(step, "id"));
        self.steps()
            .into_iter()
            .filter(|step| Some(step.id) != own)
            .map(|step| {
                let uses = text_at(step.node, "uses").unwrap_or("?");
                let name = text_at(step.node, "name").unwrap_or_default();
                Thing {
                    target: Some(Target::Here(step.id_span)),
                    inner: Inner::Step(step.node),
                    ..plain(step.id, Ty::Any, &format!("{name}\n\n`uses: {uses}`"))
                }
            })
            .collect()
    }

    fn step_fields(&self, step: &'a YamlValue) -> Vec<Thing<'a>> {
        STEP_FIELDS
            .into_iter()
            .map(|(name, ty)| {
                let doc = match name {
                    "outputs" => "What the step gave",
                    "duration" => "How long the step took",
                    "status" => "How the step ended",
                    _ => "How often the action was tried",
                };
                if name != "outputs" {
                    return plain(name, ty, doc);
                }
                // A loop gives the list of what its instances gave.
                let outputs = plain(name, Ty::Any, doc);
                if get(step, "for_each").is_some() {
                    let (ty, schema) = self.loop_outputs(step);
                    return Thing {
                        ty,
                        inner: Inner::Type(schema),
                        ..outputs
                    };
                }
                Thing {
                    inner: Inner::Outputs(step),
                    ..outputs
                }
            })
            .collect()
    }

    fn loop_outputs(&self, step: &YamlValue) -> (Ty, Value) {
        let schema = text_at(step, "uses")
            .and_then(|uses| self.project.catalog.get(uses))
            .map_or(Value::Null, |manifest| manifest.output.clone());
        let schema = json!({ "type": "array", "items": schema });
        (Ty::from_schema(&schema), schema)
    }

    fn outputs(&self, step: &'a YamlValue) -> Vec<Thing<'a>> {
        let uses = text_at(step, "uses").unwrap_or_default();
        let mut found: Vec<Thing<'a>> = entries(get(step, "outputs"))
            .map(|(name, span, value)| Thing {
                target: Some(Target::Here(span)),
                ..plain(name, Ty::Any, &format!("`{}`", short(value)))
            })
            .collect();
        if let Some(child) = uses.strip_prefix("runbook.") {
            if let Some(file) = self.project.runbook(child) {
                found.extend(
                    entries(get(&file.tree, "outputs")).map(|(name, span, value)| Thing {
                        target: Some(Target::There(Box::new(file.clone()), span)),
                        ..plain(name, Ty::Any, &format!("`{}`", short(value)))
                    }),
                );
            }
        } else if let Some(manifest) = self.project.catalog.get(uses) {
            found.extend(fields(&Ty::from_schema(&manifest.output), &manifest.output));
        }
        self.type_gate_inputs(step, &mut found);
        found
    }

    /// `inputs` of a gate: what it asks for, with its types.
    fn type_gate_inputs(&self, step: &'a YamlValue, found: &mut [Thing<'a>]) {
        let asked = get(step, "with").and_then(|with| get(with, "inputs"));
        let (Some(asked), Some("approval")) = (asked, text_at(step, "uses")) else {
            return;
        };
        for thing in found.iter_mut().filter(|thing| thing.name == "inputs") {
            thing.inner = Inner::Inputs(asked);
        }
    }

    fn of_environment(&self, section: &str) -> Vec<Thing<'a>> {
        let Some(file) = self.project.environment() else {
            return Vec::new();
        };
        entries(get(&file.tree, section))
            .map(|(name, span, value)| {
                let (ty, doc) = match section {
                    "secrets" => (Ty::Secret, String::new()),
                    _ => (
                        Ty::of_value(&value.to_json()),
                        format!("`{}`", short(value)),
                    ),
                };
                let place = format!("{doc}\n\nOf the environment `{}`", self.project.environment);
                Thing {
                    target: Some(Target::There(Box::new(file.clone()), span)),
                    ..plain(name, ty, place.trim_start())
                }
            })
            .collect()
    }
}

/// Parameters, or what a gate asks for, as far as they are written.
fn declared<'a>(node: Option<&'a YamlValue>) -> Vec<Thing<'a>> {
    entries(node)
        .map(|(name, span, param)| {
            let mut doc = text_at(param, "description").unwrap_or_default().to_owned();
            if let Some(default) = get(param, "default") {
                doc.push_str(&format!("\n\nDefault: `{}`", default.to_json()));
            }
            Thing {
                target: Some(Target::Here(span)),
                ..plain(name, param_type(param), &doc)
            }
        })
        .collect()
}

/// The type of a parameter, as far as it is written.
pub(super) fn param_type(param: &YamlValue) -> Ty {
    let simple =
        |name: &str| serde_json::from_value::<Ty>(json!({ "type": name })).unwrap_or(Ty::Any);
    let items_of = || Box::new(text_at(param, "items").map_or(Ty::Any, simple));
    match text_at(param, "type") {
        Some("list") => Ty::List(items_of()),
        Some("map") => Ty::Map(items_of()),
        Some("enum") => Ty::Enum(
            items(get(param, "values"))
                .iter()
                .filter_map(|value| text(value).map(str::to_owned))
                .collect(),
        ),
        Some(name) => simple(name),
        None => Ty::Any,
    }
}

fn plain<'a>(name: &str, ty: Ty, doc: &str) -> Thing<'a> {
    Thing {
        name: name.to_owned(),
        ty,
        doc: doc.trim().to_owned(),
        target: None,
        inner: Inner::Type(Value::Null),
    }
}

/// The fields of an object type, with the words of its schema.
fn fields<'a>(ty: &Ty, schema: &Value) -> Vec<Thing<'a>> {
    let Ty::Object(object) = ty else {
        return Vec::new();
    };
    object
        .fields
        .iter()
        .map(|(name, ty)| {
            let schema = tree::below(schema, name).cloned().unwrap_or_default();
            Thing {
                inner: Inner::Type(schema.clone()),
                ..plain(name, ty.clone(), tree::description(&schema))
            }
        })
        .collect()
}

fn item_of<'a>(list: &Thing<'a>, index: &str) -> Option<Thing<'a>> {
    let Ty::List(item) = &list.ty else {
        return None;
    };
    let schema = match &list.inner {
        Inner::Type(schema) => tree::below(schema, index).cloned().unwrap_or_default(),
        _ => Value::Null,
    };
    Some(Thing {
        inner: Inner::Type(schema),
        ..plain(index, item.as_ref().clone(), "An item of the list")
    })
}

/// A value in a line's length.
fn short(value: &YamlValue) -> String {
    let whole = value.to_json().to_string();
    let mut text: String = whole.chars().take(80).collect();
    if text.len() < whole.len() {
        text.push('…');
    }
    text.replace('`', "'")
}
