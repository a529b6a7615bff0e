//! Rules for secrets: they flow only where they are not published, unless the step says so.

use super::checker::Checker;
use super::codes;
use super::input::{TextSite, is_private};
use super::reference::{Place, User};
use super::template::escape_of;
use crate::base::{Diagnostic, Diagnostics, Span};
use crate::language::Reference;
use crate::model::{Escape, Step, Ty};

impl<'a> Checker<'a> {
    /// Whether the value of a reference is, or holds, a secret.
    pub(super) fn is_secret(&self, reference: &Reference, ty: &Ty) -> bool {
        let all_params = reference.root() == "params" && reference.path.len() == 1;
        holds_secret(ty)
            || (all_params
                && self
                    .runbook
                    .params
                    .values()
                    .any(|p| holds_secret(&p.ty.value)))
    }

    /// A secret in a template: it may stand in a private place, and where `secrets:` of the step allows it.
    /// `inspected`: a helper would look at the value.
    pub(super) fn check_secret(
        &mut self,
        reference: &Reference,
        inspected: bool,
        site: &TextSite<'_>,
        user: User,
        span: Span,
        diags: &mut Diagnostics,
    ) {
        if inspected {
            diags.push(
                Diagnostic::error(
                    codes::SECRET_LOOKED_AT,
                    format!("a helper looks at the secret `{reference}`, whose value is not there yet"),
                )
                .at(self.source(), span, "a secret")
                .help("secrets are put in just before the action is called; only `json`, `sh` and `default` can be used on them"),
            );
            return;
        }
        // Nothing is known of the inputs of an unknown action, which is said already.
        let unknown = site.name().is_empty()
            && user.step.is_some()
            && !matches!(user.place, Place::After | Place::List);
        if is_private(site.schema) || unknown {
            return;
        }
        let step = user.step.map(|at| self.step(at));
        let name = match reference.path.as_slice() {
            [root, name, ..] if root == "params" || root == "secrets" => Some(name),
            _ => None,
        };
        if let (Some(step), Some(name)) = (step, name)
            && step.secrets.iter().any(|permit| permit.value == *name)
        {
            self.permits_used.insert(name.clone());
            return;
        }
        let (place, why) = published(site, user);
        let finding = Diagnostic::error(
            codes::SECRET_PUBLISHED,
            format!("the secret `{reference}` would be published in {place}: {why}"),
        )
        .at(self.source(), span, "a secret");
        diags.push(finding.help(self.instead(reference, step, name, site)));
    }

    /// What to write instead.
    fn instead(
        &self,
        reference: &Reference,
        step: Option<&Step>,
        name: Option<&String>,
        site: &TextSite<'_>,
    ) -> String {
        let Some(step) = step else {
            return "take it out; a runbook's outputs are shown and kept".to_owned();
        };
        if step.action.runbook().is_some() {
            return "give it to a parameter that the other runbook declares with `type: secret`"
                .to_owned();
        }
        let Some(name) = name else {
            return "take the secret out of the output or list that this refers to, and name it here itself"
                .to_owned();
        };
        let permit = format!("if it may be seen here, say so on this step: `secrets: [{name}]`");
        if escape_of(site.schema) == Escape::Shell || site.name().starts_with("argv") {
            let variable = name
                .to_uppercase()
                .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            return format!(
                "give it as a variable, and write ${variable}: `environment: {{ {variable}: \"{{{{ {reference} }}}}\" }}`; {permit}"
            );
        }
        format!("take it out; {permit}")
    }

    /// Every name under `secrets:` of the step is needed.
    pub(super) fn check_permits(&mut self, step: &'a Step, diags: &mut Diagnostics) {
        let used = std::mem::take(&mut self.permits_used);
        if !step.template {
            return;
        }
        for name in &step.secrets {
            let params = &self.runbook.params;
            let is_param = params
                .get(&name.value)
                .is_some_and(|p| holds_secret(&p.ty.value));
            let exists = is_param
                || self
                    .environment
                    .is_none_or(|environment| environment.secrets.contains_key(&name.value));
            // A name that does not exist is reported as such.
            if !exists || used.contains(&name.value) {
                continue;
            }
            diags.push(
                Diagnostic::warning(
                    codes::IDLE_PERMIT,
                    format!(
                        "this step puts `{}` nowhere where it would be published",
                        name.value
                    ),
                )
                .at(self.source(), name.span, "not needed")
                .help("take the name out, so that nothing is allowed that is not meant"),
            );
        }
    }
}

/// Where a template stands, and who sees what is there.
fn published(site: &TextSite<'_>, user: User) -> (String, &'static str) {
    const KEPT: &str = "it is kept in the journal and shown";
    let named = format!("`{}`", site.name());
    match user.place {
        _ if user.step.is_none() => ("an output of the runbook".to_owned(), KEPT),
        Place::After if site.name().is_empty() => ("an output of the step".to_owned(), KEPT),
        Place::List => ("the list of a loop".to_owned(), KEPT),
        _ if escape_of(site.schema) == Escape::Shell || site.name().starts_with("argv") => (
            named,
            "everybody on the machine sees the arguments of a program",
        ),
        _ if escape_of(site.schema) == Escape::Url => {
            (named, "addresses are logged by everyone on their way")
        }
        _ => (named, "what stands there is shown, logged or sent on"),
    }
}

/// The finding for a condition that looks at a secret, without its place.
pub(super) fn in_condition(reference: &Reference) -> Diagnostic {
    Diagnostic::error(
        codes::SECRET_LOOKED_AT,
        format!("a condition looks at the secret `{reference}`, which has no value there"),
    )
    .help("secrets are put in just before an action is called; let the action look, and test what it gives")
}

fn holds_secret(ty: &Ty) -> bool {
    match ty {
        Ty::Secret => true,
        Ty::List(item) | Ty::Map(item) => holds_secret(item),
        Ty::Object(object) => object.fields.values().any(holds_secret),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::check::fixture::{check_text, line};

    const PARAMS: &str = "params: { token: { type: secret, default: \"env:TOKEN\" }, all: { type: list, items: string, default: [a] } }\n";

    fn findings(steps: &str) -> Vec<String> {
        let (_, found) = check_text(&format!("{PARAMS}{steps}"));
        found
            .iter()
            .map(line)
            .filter(|line| !line.starts_with("RB0401"))
            .collect()
    }

    #[test]
    fn private_places_take_secrets_and_so_do_permitted_ones() {
        for steps in [
            r#"steps: [{ id: a, uses: shell, environment: { T: "{{ params.token }}", U: "x {{ params.token }} {{ json params.token }}" }, with: { run: ./a } }]"#,
            r#"steps: [{ id: a, uses: shell, secrets: [token], with: { run: "./a {{ params.token }}" } }]"#,
            r#"steps: [{ id: a, uses: notify, secrets: [token], with: { message: "{{ params.token }}" }, outputs: { x: "{{ params.token }}" } }]"#,
            r#"steps: [{ id: a, uses: shell, environment: { T: "{{#if (not params.token)}}none{{/if}}" }, with: { run: ./a } }]"#,
        ] {
            assert_eq!(findings(steps), Vec::<String>::new(), "{steps}");
        }
    }

    #[test]
    fn everywhere_else_a_secret_is_refused_where_it_stands() {
        for (steps, code, place, words) in [
            (
                r#"steps: [{ id: a, uses: shell, with: { run: "./a {{ params.token }}" } }]"#,
                "RB0601",
                "params.token",
                "environment: { TOKEN:",
            ),
            (
                r#"steps: [{ id: a, uses: notify, with: { message: "is {{ params.token }}" } }]"#,
                "RB0601",
                "params.token",
                "secrets: [token]",
            ),
            (
                r#"steps: [{ id: a, uses: notify, with: { message: "{{ json params }}" } }]"#,
                "RB0601",
                "params",
                "would be published",
            ),
            (
                r#"steps: [{ id: a, uses: notify, with: { message: x }, outputs: { x: "{{ params.token }}" } }]"#,
                "RB0601",
                "params.token",
                "an output of the step",
            ),
            (
                r#"steps: [{ id: a, uses: notify, with: { message: x }, idempotency_key: "{{ params.token }}" }]"#,
                "RB0601",
                "params.token",
                "idempotency_key",
            ),
            (
                r#"steps: [{ id: a, uses: notify, with: { message: "{{ item }}" }, for_each: ["{{ params.token }}"] }]"#,
                "RB0601",
                "params.token",
                "the list of a loop",
            ),
            (
                r#"steps: [{ id: a, uses: notify, with: { message: x }, when: "params.token == 'x'" }]"#,
                "RB0602",
                "params.token",
                "a condition looks",
            ),
            (
                r#"steps: [{ id: a, uses: shell, with: { run: ./a }, environment: { T: "{{#if (eq params.token \"x\")}}y{{/if}}" } }]"#,
                "RB0602",
                "",
                "a helper looks",
            ),
            (
                r#"steps: [{ id: a, uses: shell, with: { run: ./a }, secrets: [token] }]"#,
                "RB0603",
                "token",
                "nowhere",
            ),
            (
                "steps: [{ id: a, uses: notify, with: { message: x } }]\noutputs: { x: \"{{ params.token }}\" }",
                "RB0601",
                "params.token",
                "an output of the runbook",
            ),
        ] {
            let found = findings(steps);
            let start = if place.is_empty() {
                code.to_owned()
            } else {
                format!("{code} {place} | ")
            };
            let said = found
                .iter()
                .any(|line| line.starts_with(&start) && line.contains(words));
            assert!(said, "{steps}\n{found:?}");
        }
    }
}
