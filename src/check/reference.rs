//! What a reference may name, in which place, and of which type its value is.

use std::sync::Arc;

use super::checker::{Checker, Part, StepAt};
use super::codes;
use crate::base::{Diagnostic, Diagnostics, Span, did_you_mean};
use crate::language::{ROOTS, Reference};
use crate::model::{
    LookupProblem, LookupProblemKind, ObjectTy, Step, Ty, Unless, YamlValue, YamlValueKind,
};

/// What every step publishes besides its outputs.
pub(crate) const STEP_FIELDS: [(&str, Ty); 4] = [
    ("outputs", Ty::Any),
    ("duration", Ty::Duration),
    ("status", Ty::String),
    ("attempts", Ty::Int),
];

/// What `run` holds.
pub(crate) const RUN_FIELDS: [(&str, Ty); 6] = [
    ("id", Ty::String),
    ("runbook", Ty::String),
    ("environment", Ty::String),
    ("actor", Ty::String),
    ("started_at", Ty::Timestamp),
    ("outcome", Ty::String),
];

/// The place that a reference stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `for_each`: there is no instance yet.
    List,
    /// The condition of an `unless` with an action: `outputs` are the action's.
    Probe,
    /// `with` or `when`: before the action.
    Before,
    /// `until`, `verify`, `outputs`: the action has run.
    After,
    /// `rollback`: the step has succeeded.
    Rollback,
    /// The runbook's `outputs`: every step has ended.
    End,
}

/// Who refers, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    /// The step; `None` for the runbook's outputs.
    pub(super) step: Option<StepAt>,
    pub(super) place: Place,
}

/// A reference from one step to another of the same list, to be held against the graph.
#[derive(Debug)]
pub(super) struct StepReference {
    pub(super) part: Part,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) span: Span,
    pub(super) text: String,
}

impl<'a> Checker<'a> {
    /// The type of a reference's value; a finding and `None` when it has none.
    pub(super) fn resolve(
        &mut self,
        reference: &Reference,
        user: User,
        span: Span,
        diags: &mut Diagnostics,
    ) -> Option<Ty> {
        if diags.is_full() {
            // Suggestions for thousands of misspelt names would take seconds.
            return None;
        }
        let found = match reference.root() {
            "params" => self.param(reference),
            "vars" => self.var(reference),
            "run" => self.run_field(reference, user),
            "steps" => self.step_field(reference, user, span),
            "outputs" => self.own_outputs(reference, user),
            "secrets" => self.secret(reference),
            "item" | "index" => self.of_loop(reference, user),
            other => Err(self.unknown_root(other, reference, user)),
        };
        match found {
            Ok(ty) => Some(ty),
            Err(finding) => {
                diags.push(finding.at(self.source(), span, "used here"));
                None
            }
        }
    }

    fn unknown_root(&self, root: &str, reference: &Reference, user: User) -> Diagnostic {
        let finding = Diagnostic::error(
            codes::UNKNOWN_NAME,
            format!("nothing is named `{root}` here"),
        );
        let rest = |prefix: &str| {
            let mut path = vec![prefix];
            path.extend(reference.path.iter().map(String::as_str));
            path.join(".")
        };
        if let Some(near) = did_you_mean(root, ROOTS) {
            return finding.help(format!("did you mean `{near}`?"));
        }
        if self.runbook.params.contains_key(root) {
            return finding.help(format!("did you mean `{}`?", rest("params")));
        }
        if self.ids.contains_key(root) {
            return finding.help(format!("did you mean `{}`?", rest("steps")));
        }
        let own = user.step.is_some_and(|at| {
            user.place == Place::After && self.output_of(self.step(at), root).is_ok()
        });
        if own {
            return finding.help(format!("did you mean `{}`?", rest("outputs")));
        }
        finding.help("a reference begins with params, vars, secrets, steps, run, outputs or item")
    }

    fn param(&mut self, reference: &Reference) -> Result<Ty, Diagnostic> {
        let Some(name) = reference.path.get(1) else {
            return Ok(Ty::Any);
        };
        let Some((key, param)) = self.runbook.params.get_key_value(name) else {
            let known = self.runbook.params.keys().map(String::as_str);
            let finding = Diagnostic::error(
                codes::UNDECLARED_PARAM,
                format!("the parameter `{name}` is not declared"),
            );
            return Err(match did_you_mean(name, known) {
                Some(near) => finding.help(format!("did you mean `params.{near}`?")),
                None => finding.help(format!(
                    "declare it under `params:`, e.g. `{name}: {{ type: string }}`"
                )),
            });
        };
        self.used_params.insert(key.as_str());
        inside(&param.ty, &reference.path, 2)
    }

    fn var(&self, reference: &Reference) -> Result<Ty, Diagnostic> {
        let (Some(name), Some(environment)) = (reference.path.get(1), self.environment) else {
            return Ok(Ty::Any);
        };
        match environment.vars.get(name) {
            Some(value) => inside(&Ty::of_value(&value.to_json()), &reference.path, 2),
            None => Err(Diagnostic::error(
                codes::UNKNOWN_VAR,
                format!(
                    "the environment `{}` has no variable `{name}`",
                    environment.name.value
                ),
            )
            .help(
                match did_you_mean(name, environment.vars.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `vars.{near}`?"),
                    None => format!("add it under `vars:` in {}", environment.source.path),
                },
            )),
        }
    }

    fn secret(&mut self, reference: &Reference) -> Result<Ty, Diagnostic> {
        let Some(name) = reference.path.get(1) else {
            return Err(Diagnostic::error(
                codes::UNKNOWN_SECRET,
                "`secrets` alone is no value; name one",
            )
            .help("write `secrets.NAME`"));
        };
        if let Some(environment) = self.environment
            && !environment.secrets.contains_key(name)
        {
            let known = environment.secrets.keys().map(String::as_str);
            let finding = Diagnostic::error(
                codes::UNKNOWN_SECRET,
                format!(
                    "the environment `{}` has no secret `{name}`",
                    environment.name.value
                ),
            );
            return Err(match did_you_mean(name, known) {
                Some(near) => finding.help(format!("did you mean `secrets.{near}`?")),
                None if self.runbook.params.contains_key(name) => {
                    finding.help(format!("did you mean `params.{name}`?"))
                }
                None => finding.help(format!(
                    "add it under `secrets:` in {}",
                    environment.source.path
                )),
            });
        }
        self.used_secrets.insert(name.clone());
        inside(&Ty::Secret, &reference.path, 2)
    }

    /// `item` and `index`.
    fn of_loop(&self, reference: &Reference, user: User) -> Result<Ty, Diagnostic> {
        let root = reference.root();
        if user.place == Place::List {
            return Err(Diagnostic::error(
                codes::NOT_HERE,
                format!("`{root}` has no value in `for_each` itself"),
            )
            .help("it is an item of the list that stands here"));
        }
        let Some(scope) = self.item.as_ref().filter(|_| user.step.is_some()) else {
            return Err(Diagnostic::error(
                codes::NOT_HERE,
                format!("`{root}` has a value only in a step with `for_each`"),
            )
            .help(match user.step {
                Some(_) => "add `for_each:` to this step; another runbook gets it as a parameter",
                None => "a loop's outputs are a list: `steps.ID.outputs`",
            }));
        };
        match root {
            "item" => inside(&scope.item, &reference.path, 1),
            _ => inside(&Ty::Int, &reference.path, 1),
        }
    }

    fn run_field(&self, reference: &Reference, user: User) -> Result<Ty, Diagnostic> {
        let Some(name) = reference.path.get(1) else {
            return Ok(Ty::Any);
        };
        let Some((_, ty)) = RUN_FIELDS.iter().find(|(field, _)| field == name) else {
            let known = RUN_FIELDS.map(|(field, _)| field);
            return Err(unknown_field("a run", name, &known));
        };
        if name == "outcome" && !user.step.is_some_and(|at| at.part == Part::Finally) {
            return Err(Diagnostic::error(
                codes::NOT_HERE,
                "`run.outcome` has a value only in `finally`, when the run has ended",
            ));
        }
        inside(ty, &reference.path, 2)
    }

    fn own_outputs(&self, reference: &Reference, user: User) -> Result<Ty, Diagnostic> {
        match (user.step, user.place) {
            (Some(at), Place::After | Place::Rollback) => {
                self.outputs_at(self.step(at), &reference.path, 1)
            }
            (Some(at), Place::Probe) => {
                let ty = match self.step(at).unless.as_ref().map(|unless| &unless.value) {
                    Some(Unless::Probe { action, .. }) => self.action_outputs(&action.uses.value),
                    _ => Arc::default(),
                };
                inside(&ty, &reference.path, 1)
            }
            _ => Err(Diagnostic::error(
                codes::NOT_HERE,
                "`outputs` has a value only in `until`, `verify`, `outputs` and `rollback` of a step",
            )
            .help("elsewhere, name the step: `steps.ID.outputs.NAME`")),
        }
    }

    fn step_field(
        &mut self,
        reference: &Reference,
        user: User,
        span: Span,
    ) -> Result<Ty, Diagnostic> {
        let Some(name) = reference.path.get(1) else {
            return Err(Diagnostic::error(
                codes::UNKNOWN_STEP,
                "`steps` alone is no value; name a step and what you want of it",
            )
            .help("write `steps.ID.outputs.NAME`"));
        };
        let Some(&to) = self.ids.get(name.as_str()) else {
            let finding =
                Diagnostic::error(codes::UNKNOWN_STEP, format!("there is no step `{name}`"));
            return Err(finding.suggest(did_you_mean(name, self.ids.keys().copied())));
        };
        self.comes_before(name, to, user, span, reference)?;
        let step = self.step(to);
        let Some(field) = reference.path.get(2) else {
            return Ok(Ty::Any);
        };
        if field == "outputs" && step.for_each.is_some() {
            return self.outputs_of_loop(step, reference);
        }
        if field == "outputs" {
            return self.outputs_at(step, &reference.path, 3);
        }
        match STEP_FIELDS.iter().find(|(known, _)| known == field) {
            Some((_, ty)) => inside(ty, &reference.path, 3),
            None if self.output_of(step, field).is_ok() => Err(Diagnostic::error(
                codes::UNKNOWN_OUTPUT,
                format!("a step has no `{field}` of its own"),
            )
            .help(format!("did you mean `steps.{name}.outputs.{field}`?"))),
            None => {
                let known = STEP_FIELDS.map(|(field, _)| field);
                Err(unknown_field("a step", field, &known))
            }
        }
    }

    /// Judges what can be judged without the graph, and notes the rest for later.
    fn comes_before(
        &mut self,
        name: &str,
        to: StepAt,
        user: User,
        span: Span,
        reference: &Reference,
    ) -> Result<(), Diagnostic> {
        let late = |why: String| {
            Err(Diagnostic::error(
                codes::NOT_BEFORE,
                format!("the step `{name}` does not come before this place"),
            )
            .help(why))
        };
        let Some(from) = user.step else {
            return if to.part == Part::Finally {
                late("the runbook's outputs may use the steps under `steps:`".to_owned())
            } else {
                Ok(())
            };
        };
        if from == to {
            let finding = Diagnostic::error(
                codes::OWN_STEP,
                format!("the step `{name}` refers to itself"),
            );
            let rest = reference.path.get(2..).unwrap_or_default().join(".");
            return Err(match user.place {
                Place::Before | Place::List | Place::Probe => {
                    finding.help("its outputs have no value before it has run")
                }
                _ => finding.help(format!("write `{rest}`")),
            });
        }
        match (from.part, to.part) {
            (Part::Finally, Part::Finally) if to.index < from.index => Ok(()),
            (Part::Finally, Part::Finally) => {
                late("steps under `finally:` run in the order they are written".to_owned())
            }
            (_, Part::Finally) => {
                late("steps under `finally:` run when all others have ended".to_owned())
            }
            (Part::Steps, Part::Verify) => {
                late("steps under `verify:` run when all of `steps:` have ended".to_owned())
            }
            (Part::Finally, _) | (Part::Verify, Part::Steps) => Ok(()),
            (part, _) => {
                self.step_references.push(StepReference {
                    part,
                    from: from.index,
                    to: to.index,
                    span,
                    text: reference.to_string(),
                });
                Ok(())
            }
        }
    }

    /// `steps.LOOP.outputs`: a list with the outputs of each instance that succeeded.
    fn outputs_of_loop(&self, step: &Step, reference: &Reference) -> Result<Ty, Diagnostic> {
        let Some(index) = reference.path.get(3) else {
            return Ok(Ty::List(Box::new(self.outputs_ty(step))));
        };
        if index.bytes().all(|b| b.is_ascii_digit()) {
            return self.outputs_at(step, &reference.path, 4);
        }
        // What is misspelt is said first; then how to get at it.
        self.outputs_at(step, &reference.path, 3)?;
        let id = &step.id.value;
        let rest = reference.path[3..].join(".");
        Err(Diagnostic::error(
            codes::UNKNOWN_OUTPUT,
            format!("`{id}` is a loop, so `steps.{id}.outputs` is a list; it has no `{index}`"),
        )
        .help(format!(
            "name one: `steps.{id}.outputs[0].{rest}`; or all, in a template: \
             `{{{{#each steps.{id}.outputs}}}}{{{{ {rest} }}}} {{{{/each}}}}`"
        )))
    }

    /// The type of all outputs of a step, or of one instance of a loop.
    fn outputs_ty(&self, step: &Step) -> Ty {
        let action = self.step_outputs(step);
        let mut all = match action.as_ref() {
            Ty::Object(own) => own.clone(),
            other if step.outputs.is_empty() => return other.clone(),
            _ => ObjectTy {
                open: true,
                ..ObjectTy::default()
            },
        };
        for (name, value) in &step.outputs {
            all.fields.insert(name.clone(), own_output(value, &action));
        }
        Ty::Object(all)
    }

    /// The type below the outputs of a step; `path[from..]` is what is looked for.
    fn outputs_at(&self, step: &Step, path: &[String], from: usize) -> Result<Ty, Diagnostic> {
        let Some(name) = path.get(from) else {
            return Ok(self.outputs_ty(step));
        };
        let ty = self.output_of(step, name)?;
        inside(&ty, path, from + 1)
    }

    /// The type of one output of a step: its own `outputs:`, or the action's.
    fn output_of(&self, step: &Step, name: &str) -> Result<Ty, Diagnostic> {
        let action = self.step_outputs(step);
        if let Some(own) = step.outputs.get(name) {
            return Ok(own_output(own, &action));
        }
        if let Some(declared) = self.declared_keys(step, name) {
            return Ok(declared);
        }
        let path = [name.to_owned()];
        match action.lookup(&path) {
            Ok(ty) => Ok(ty.clone()),
            Err(LookupProblem {
                kind: LookupProblemKind::UnknownKey(mut known),
                ..
            }) => {
                known.extend(step.outputs.keys().cloned());
                let finding = Diagnostic::error(
                    codes::UNKNOWN_OUTPUT,
                    format!("the step `{}` has no output `{name}`", step.id.value),
                );
                let near = did_you_mean(name, known.iter().map(String::as_str));
                Err(match near {
                    Some(near) => finding.help(format!("did you mean `{near}`?")),
                    None if known.is_empty() => finding.help(format!(
                        "`{}` has no outputs; a step's `outputs:` adds some",
                        step.action.uses.value
                    )),
                    None => finding.help(format!("its outputs are {}", known.join(", "))),
                })
            }
            Err(_) => Ok(Ty::Any),
        }
    }
}

impl Checker<'_> {
    /// The type of an output whose keys an input of the step lists (`"x-keys-from": INPUT` in the
    /// schema), such as the values that a script declares. `None` when the list is not known yet.
    fn declared_keys(&self, step: &Step, output: &str) -> Option<Ty> {
        let manifest = self.catalog.get(&step.action.uses.value)?;
        let schema = manifest.output.get("properties")?.get(output)?;
        let input = schema.get("x-keys-from")?.as_str()?;
        let Ty::Map(item) = Ty::from_schema(schema) else {
            return None;
        };
        let YamlValueKind::Map(with) = &step.action.with.kind else {
            return None;
        };
        let names = match with.get(input).map(|(_, value)| &value.kind) {
            None => &Vec::new(),
            Some(YamlValueKind::List(names)) => names,
            Some(_) => return None,
        };
        let fields = names
            .iter()
            .map(|name| match &name.kind {
                YamlValueKind::Text { text, .. } if !text.contains("{{") => {
                    Some((text.clone(), item.as_ref().clone()))
                }
                _ => None,
            })
            .collect::<Option<_>>()?;
        Some(Ty::Object(ObjectTy {
            fields,
            ..ObjectTy::default()
        }))
    }
}

/// The type of a template in a step's `outputs:`.
fn own_output(value: &YamlValue, action: &Ty) -> Ty {
    let YamlValueKind::Text { text, .. } = &value.kind else {
        return Ty::of_value(&value.to_json());
    };
    match crate::language::Template::parse(text) {
        Ok(template) => match template.whole() {
            Some(whole) if whole.root() == "outputs" => {
                action.lookup(&whole.path[1..]).cloned().unwrap_or_default()
            }
            Some(_) => Ty::Any,
            None => Ty::String,
        },
        Err(_) => Ty::Any,
    }
}

/// The type at `path[from..]` inside a type.
fn inside(ty: &Ty, path: &[String], from: usize) -> Result<Ty, Diagnostic> {
    let rest = path.get(from..).unwrap_or_default();
    ty.lookup(rest).cloned().map_err(|problem| {
        let at = from + problem.segment;
        let whole = path[..at].join(".");
        let name = &path[at];
        match problem.kind {
            LookupProblemKind::UnknownKey(known) => {
                let finding =
                    Diagnostic::error(codes::UNKNOWN_OUTPUT, format!("`{whole}` has no `{name}`"));
                match did_you_mean(name, known.iter().map(String::as_str)) {
                    Some(near) => finding.help(format!("did you mean `{near}`?")),
                    None if known.is_empty() => {
                        finding.help("it is empty: nothing is declared for it")
                    }
                    None => finding.help(format!("it has {}", known.join(", "))),
                }
            }
            LookupProblemKind::NotAnIndex => Diagnostic::error(
                codes::UNKNOWN_OUTPUT,
                format!("`{whole}` is a list; `{name}` is no number of an item"),
            )
            .help(format!("write e.g. `{whole}[0]`")),
            LookupProblemKind::NothingInside(ty) => Diagnostic::error(
                codes::UNKNOWN_OUTPUT,
                format!("`{whole}` is of type {ty}; there is no `{name}` inside"),
            ),
        }
    })
}

fn unknown_field(what: &str, name: &str, known: &[&str]) -> Diagnostic {
    let finding = Diagnostic::error(codes::UNKNOWN_OUTPUT, format!("{what} has no `{name}`"));
    match did_you_mean(name, known.iter().copied()) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None => finding.help(format!("it has {}", known.join(", "))),
    }
}
