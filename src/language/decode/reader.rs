//! Readers of single values. Each says what it found, what it wants, and gives an example.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use indexmap::IndexMap;

use super::fields::{Field, Fields};
use super::keys::{ObjectSpec, Shape};
use crate::base::{
    Code, Diagnostic, Diagnostics, InvalidSshKey, SourceFile, Span, Spanned, StepId, Value,
    did_you_mean, parse_duration, parse_ssh_key,
};
use crate::language::codes;
use crate::language::yaml::first_line;
use crate::model::{YamlValue, YamlValueKind};

/// Where findings go while a file is read.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Arc<SourceFile>,
    pub(super) diags: &'a mut Diagnostics,
}

/// What was found, in words.
pub(in crate::language) fn describe(value: &YamlValue) -> String {
    match &value.kind {
        YamlValueKind::Literal(Value::Null) => "nothing".to_owned(),
        YamlValueKind::Literal(literal @ Value::Bool(_)) => format!("the boolean `{literal}`"),
        YamlValueKind::Literal(literal) => format!("the number `{literal}`"),
        YamlValueKind::Text { text, .. } => {
            let short: String = text.chars().take(40).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            format!("the text {short:?}{more}")
        }
        YamlValueKind::List(_) => "a list".to_owned(),
        YamlValueKind::Map(_) => "a map".to_owned(),
    }
}

impl Reader<'_> {
    pub(super) fn error(
        &mut self,
        code: Code,
        message: impl Into<String>,
        span: Span,
        label: &str,
        help: &str,
    ) {
        let span = first_line(&self.source.text, span);
        self.diags.push(
            Diagnostic::error(code, message)
                .at(self.source, span, label)
                .help(help),
        );
    }

    pub(super) fn wrong_type(
        &mut self,
        value: &YamlValue,
        name: &str,
        wanted: &str,
        example: &str,
    ) {
        let found = describe(value);
        let mut help = format!("write e.g. `{example}`");
        if let YamlValueKind::Text { text, .. } = &value.kind
            && wanted == "a boolean"
            && ["yes", "on", "no", "off"].contains(&text.to_lowercase().as_str())
        {
            help = "write `true` or `false`; `yes`, `no`, `on` and `off` are texts".to_owned();
        }
        self.error(
            codes::WRONG_TYPE,
            format!("`{name}` wants {wanted}, found {found}"),
            value.span,
            &format!("this is {found}"),
            &help,
        );
    }

    fn wrong_field(&mut self, field: &Field, wanted: &str) {
        let example = format!("{}: {}", field.key.name, field.key.example);
        self.wrong_type(&field.value, field.key.name, wanted, &example);
    }

    pub(super) fn bad_value(&mut self, field: &Field, message: impl Into<String>, help: &str) {
        self.error(
            codes::BAD_VALUE,
            message,
            field.value.span,
            "this value",
            help,
        );
    }

    /// A text that is not blank.
    pub(super) fn text(&mut self, field: Option<Field>) -> Option<Spanned<String>> {
        let field = field?;
        let span = field.value.span;
        match field.value.kind {
            YamlValueKind::Text { text, .. } if !text.trim().is_empty() => {
                Some(Spanned::new(text, span))
            }
            YamlValueKind::Text { .. } => {
                let help = format!("write e.g. `{}: {}`", field.key.name, field.key.example);
                self.bad_value(&field, format!("`{}` is blank", field.key.name), &help);
                None
            }
            YamlValueKind::Literal(ref literal) if !literal.is_null() => {
                self.error(
                    codes::WRONG_TYPE,
                    format!(
                        "`{}` wants text, found {}",
                        field.key.name,
                        describe(&field.value)
                    ),
                    span,
                    "this is no text",
                    &format!(
                        "quote it to make it text: `{}: \"{literal}\"`",
                        field.key.name
                    ),
                );
                None
            }
            _ => {
                self.wrong_field(&field, "text");
                None
            }
        }
    }

    /// A step id, parameter or output name, given as a value.
    pub(super) fn step_id(&mut self, value: &YamlValue, name: &str) -> Option<Spanned<StepId>> {
        let YamlValueKind::Text { text, .. } = &value.kind else {
            self.wrong_type(value, name, "the id of a step", &format!("{name}: restart"));
            return None;
        };
        match StepId::new(text) {
            Ok(id) => Some(Spanned::new(id, value.span)),
            Err(error) => {
                self.bad_name(text, "step id", error.reason, value.span);
                None
            }
        }
    }

    /// Checks a key that is an identifier; says why it is none.
    pub(super) fn identifier(&mut self, text: &str, what: &str, span: Span) -> bool {
        let problem = StepId::problem(text);
        if let Some(reason) = problem {
            self.bad_name(text, what, reason, span);
        }
        problem.is_none()
    }

    /// Checks a name that may hold hyphens; says why it is none.
    pub(super) fn name(&mut self, text: &str, what: &str, span: Span) -> bool {
        let problem = StepId::problem(&text.replace('-', "_"));
        if let Some(reason) = problem {
            self.bad_name(text, what, reason, span);
        }
        problem.is_none()
    }

    fn bad_name(&mut self, text: &str, what: &str, reason: &str, span: Span) {
        let fixed: String = text
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let help = match StepId::problem(&fixed) {
            None => format!("write e.g. `{fixed}`"),
            Some(_) => "use lower-case letters, digits and `_`, and start with a letter".to_owned(),
        };
        self.error(
            codes::BAD_NAME,
            format!("`{text}` cannot be a {what}: {reason}"),
            span,
            "this name",
            &help,
        );
    }

    /// A duration.
    pub(super) fn duration(&mut self, field: Option<Field>) -> Option<Spanned<Duration>> {
        let field = field?;
        let span = field.value.span;
        match &field.value.kind {
            YamlValueKind::Text { text, .. } => match parse_duration(text) {
                Ok(duration) => Some(Spanned::new(duration, span)),
                Err(reason) => {
                    let name = field.key.name;
                    let help = if text.contains("{{") {
                        format!(
                            "`{name}` is a literal here; templates stand in `with` and `outputs`"
                        )
                    } else {
                        format!("write e.g. `{name}: {}`", field.key.example)
                    };
                    self.bad_value(&field, format!("`{name}` is no duration: {reason}"), &help);
                    None
                }
            },
            YamlValueKind::Literal(Value::Number(number)) => {
                self.error(
                    codes::WRONG_TYPE,
                    format!(
                        "`{}` wants a duration, found the number `{number}`",
                        field.key.name
                    ),
                    span,
                    "this has no unit",
                    &format!("write the unit: `{number}s` or `{number}m`"),
                );
                None
            }
            _ => {
                self.wrong_field(&field, "a duration");
                None
            }
        }
    }

    /// A day.
    pub(super) fn date(&mut self, field: Option<Field>) -> Option<Spanned<NaiveDate>> {
        let field = field?;
        let YamlValueKind::Text { text, .. } = &field.value.kind else {
            self.wrong_field(&field, "a date");
            return None;
        };
        // chrono would also take `2026-1-5`; the schema and people's eyes would not.
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .filter(|date| date.to_string() == *text);
        if date.is_none() {
            let message = format!("`{}` is no date: `{text}`", field.key.name);
            self.bad_value(&field, message, "write year-month-day: `2026-11-01`");
        }
        date.map(|date| Spanned::new(date, field.value.span))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, field: Option<Field>) -> Option<bool> {
        let field = field?;
        if let YamlValueKind::Literal(Value::Bool(value)) = field.value.kind {
            return Some(value);
        }
        self.wrong_field(&field, "a boolean");
        None
    }

    /// `true` or `false`, with its place.
    pub(super) fn flag(&mut self, field: Option<Field>) -> Option<Spanned<bool>> {
        let field = field?;
        let span = field.value.span;
        self.boolean(Some(field))
            .map(|value| Spanned::new(value, span))
    }

    /// A duration that is longer than nothing.
    pub(super) fn time(&mut self, field: Option<Field>) -> Option<Spanned<Duration>> {
        let field = field?;
        let name = field.key.name;
        let example = field.key.example;
        let time = self.duration(Some(field))?;
        if time.value.is_zero() {
            self.error(
                codes::BAD_VALUE,
                format!("`{name}` is no time at all"),
                time.span,
                "this value",
                &format!("write e.g. `{name}: {example}`, or take it out"),
            );
            return None;
        }
        Some(time)
    }

    /// The name of a role.
    pub(super) fn role(&mut self, field: Option<Field>) -> Option<Spanned<String>> {
        self.named_thing(field?, "name of a role")
    }

    /// A name that may hold hyphens; says why it is none.
    pub(super) fn named_thing(&mut self, field: Field, what: &str) -> Option<Spanned<String>> {
        let name = self.text(Some(field))?;
        self.name(&name, what, name.span).then_some(name)
    }

    /// A list of names that may hold hyphens, each once.
    pub(super) fn names(
        &mut self,
        field: Option<Field>,
        what: &str,
    ) -> Option<Vec<Spanned<String>>> {
        let key = field.as_ref()?.key.name;
        let names = self.texts(field)?;
        let mut good = true;
        for name in &names {
            good &= self.name(name, what, name.span);
        }
        self.distinct(&names, key);
        good.then_some(names)
    }

    /// Says which items of a list stand there twice.
    pub(super) fn distinct(&mut self, items: &[Spanned<String>], name: &str) {
        let mut seen = std::collections::HashSet::new();
        for item in items {
            if !seen.insert(item.value.as_str()) {
                self.error(
                    codes::BAD_VALUE,
                    format!("`{name}` names `{}` twice", item.value),
                    item.span,
                    "here again",
                    "delete one of the two",
                );
            }
        }
    }

    /// A list of public keys.
    pub(super) fn ssh_keys(&mut self, field: Option<Field>) -> Option<Vec<Spanned<String>>> {
        let keys = self.texts(field)?;
        let mut good = true;
        for key in &keys {
            let Err(problem) = parse_ssh_key(key) else {
                continue;
            };
            good = false;
            let help = match problem {
                InvalidSshKey::Private => {
                    "write the public key, the line of the `.pub` file; make a new key pair: this file has been read by others"
                }
                InvalidSshKey::NotAKey(_) => {
                    "write the line of the `.pub` file: `ssh-ed25519 AAAA... name`; show it with: cat ~/.ssh/id_ed25519.pub"
                }
                InvalidSshKey::UnknownKind(_) => "make one with: ssh-keygen -t ed25519",
            };
            self.error(
                codes::BAD_VALUE,
                problem.to_string(),
                key.span,
                "this key",
                help,
            );
        }
        good.then_some(keys)
    }

    /// A whole number in the range of the key's row.
    pub(super) fn int(&mut self, field: Option<Field>) -> Option<u32> {
        let field = field?;
        let Shape::Int(min, max) = field.key.shape else {
            return None;
        };
        self.int_between(field, min, max)
    }

    /// A whole number in a range.
    pub(super) fn int_between(&mut self, field: Field, min: u32, max: u32) -> Option<u32> {
        let YamlValueKind::Literal(Value::Number(number)) = &field.value.kind else {
            self.wrong_field(&field, "a whole number");
            return None;
        };
        let value = number
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (min..=max).contains(n));
        if value.is_none() {
            let message = format!(
                "`{}` is `{number}`, but must be a whole number from {min} to {max}",
                field.key.name
            );
            let help = format!("write e.g. `{}: {}`", field.key.name, field.key.example);
            self.bad_value(&field, message, &help);
        }
        value
    }

    /// A number in the range of the key's row.
    pub(super) fn number(&mut self, field: Option<Field>) -> Option<f64> {
        let field = field?;
        let Shape::Number(min, max) = field.key.shape else {
            return None;
        };
        let YamlValueKind::Literal(Value::Number(number)) = &field.value.kind else {
            self.wrong_field(&field, "a number");
            return None;
        };
        let value = number.as_f64().filter(|n| (min..=max).contains(n));
        if value.is_none() {
            let message = format!(
                "`{}` is `{number}`, but must be from {min} to {max}",
                field.key.name
            );
            let help = format!("write e.g. `{}: {}`", field.key.name, field.key.example);
            self.bad_value(&field, message, &help);
        }
        value
    }

    /// One of the words of the key's row; `read` turns it into its meaning.
    pub(super) fn one_of<T>(
        &mut self,
        field: Option<Field>,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let field = field?;
        let Shape::OneOf(words) = field.key.shape else {
            return None;
        };
        let span = field.value.span;
        let word = self.word(&field.value, field.key.name, words)?;
        read(&word).map(|value| Spanned::new(value, span))
    }

    /// One of some words.
    pub(super) fn word(&mut self, value: &YamlValue, name: &str, words: &[&str]) -> Option<String> {
        let list = words.join(", ");
        let YamlValueKind::Text { text, .. } = &value.kind else {
            let example = format!("{name}: {}", words.first().copied().unwrap_or_default());
            self.wrong_type(value, name, &format!("one of {list}"), &example);
            return None;
        };
        if words.contains(&text.as_str()) {
            return Some(text.clone());
        }
        let help = match did_you_mean(text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? Permitted: {list}"),
            None => format!("permitted: {list}"),
        };
        self.error(
            codes::BAD_VALUE,
            format!("`{name}` cannot be `{text}`"),
            value.span,
            "this value",
            &help,
        );
        None
    }

    /// A condition: text, or a boolean.
    pub(super) fn condition(&mut self, field: Option<Field>) -> Option<Spanned<String>> {
        let field = field?;
        if let YamlValueKind::Literal(Value::Bool(value)) = field.value.kind {
            return Some(Spanned::new(value.to_string(), field.value.span));
        }
        if matches!(&field.value.kind, YamlValueKind::Text { .. }) {
            return self.text(Some(field));
        }
        self.wrong_field(&field, "a condition");
        None
    }

    /// The items of a list.
    pub(super) fn list(&mut self, field: Option<Field>) -> Option<Vec<YamlValue>> {
        let field = field?;
        if let YamlValueKind::List(items) = field.value.kind {
            if items.is_empty() && matches!(field.key.shape, Shape::NonEmptyList(_)) {
                self.error(
                    codes::BAD_VALUE,
                    format!("`{}` is an empty list", field.key.name),
                    field.value.span,
                    "nothing in it",
                    &format!("write e.g. `{}: {}`", field.key.name, field.key.example),
                );
                return None;
            }
            return Some(items);
        }
        self.wrong_field(&field, "a list");
        None
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, field: Option<Field>) -> Option<Vec<Spanned<String>>> {
        let field = field?;
        let (key, key_span) = (field.key, field.key_span);
        let items = self.list(Some(field))?;
        let read: Vec<_> = items
            .into_iter()
            .map(|value| {
                self.text(Some(Field {
                    key,
                    key_span,
                    value,
                }))
            })
            .collect();
        read.into_iter().collect()
    }

    /// The entries of a map.
    pub(super) fn map(
        &mut self,
        field: Option<Field>,
    ) -> Option<IndexMap<String, (Span, YamlValue)>> {
        let field = field?;
        if let YamlValueKind::Map(map) = field.value.kind {
            return Some(map);
        }
        self.wrong_field(&field, "a map");
        None
    }

    /// A map with known keys.
    pub(super) fn object(
        &mut self,
        field: Option<Field>,
        spec: &'static ObjectSpec,
    ) -> Option<Fields> {
        let field = field?;
        Fields::open(self, field.value, spec, field.key.name, field.key.example)
    }

    /// A map of identifiers to any values, with the places of the names; empty when it is no map.
    pub(super) fn map_of_identifiers(
        &mut self,
        field: Option<Field>,
        what: &str,
    ) -> IndexMap<String, (Span, YamlValue)> {
        let map = self.map(field).unwrap_or_default();
        for (name, (span, _)) in &map {
            self.identifier(name, what, *span);
        }
        map
    }

    /// A map of identifiers to any values, such as `outputs` and `vars`. `None` when a name is refused.
    pub(super) fn values(
        &mut self,
        field: Option<Field>,
        what: &str,
    ) -> Option<IndexMap<String, YamlValue>> {
        let Some(field) = field else {
            return Some(IndexMap::new());
        };
        let map = self.map(Some(field))?;
        let mut good = true;
        let mut out = IndexMap::with_capacity(map.len());
        for (name, (span, value)) in map {
            good &= self.identifier(&name, what, span);
            out.insert(name, value);
        }
        good.then_some(out)
    }
}
