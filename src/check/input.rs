//! The inputs of an action (`with`) against the JSON Schema that its manifest declares.

use std::borrow::Cow;
use std::sync::Arc;

use super::codes;
use super::schema::{Choice, allows, allows_null, choose, not_allowed, out_of_range, tagged};
use super::template::SECRET_HELP;
use super::texts::TextAt;
use crate::base::{
    Code, Diagnostic, Diagnostics, SourceFile, Span, Value, did_you_mean, parse_duration,
    parse_size,
};
use crate::model::{Action, Environment, Ty, YamlValue, YamlValueKind};

/// In a schema: what stands here is not published.
const PRIVATE: &str = "x-secret";

/// A text in the inputs and what is wanted there.
pub(crate) struct TextSite<'a> {
    /// The schema of the place, `null` variants removed.
    pub(crate) schema: &'a Value,
    /// The text as written.
    pub(crate) text: &'a str,
    /// Where its first byte stands in the file, when that is exact.
    pub(crate) content_offset: Option<usize>,
    /// Where it is written.
    pub(crate) span: Span,
    /// The keys that lead to it; `None` for a text that is no input.
    pub(crate) path: Option<&'a [&'a str]>,
}

impl<'a> TextSite<'a> {
    /// Its name for messages, such as `with.grace`; empty for a text that is no input.
    pub(super) fn name(&self) -> String {
        self.path.map(name).unwrap_or_default()
    }

    /// The text in its file.
    pub(super) fn at(&self, source: &'a Arc<SourceFile>) -> TextAt<'a> {
        TextAt {
            source,
            text: self.text,
            content_offset: self.content_offset,
            span: self.span,
        }
    }
}

/// What an asked text is.
pub(crate) enum TextIs {
    /// A literal, to be checked like any other.
    Literal,
    /// A template, which the asked one checked.
    Template,
}

/// Whose keys are checked, for messages.
pub(crate) enum Subject<'a> {
    /// An action of that name.
    Action(&'a str),
    /// A runbook of that name.
    Runbook(&'a str),
    /// A step itself.
    Step,
    /// The provider of a service.
    Provider {
        name: &'a str,
        /// What it is, in a few words.
        summary: &'a str,
    },
    /// A connection of that kind.
    Connection {
        kind: &'a str,
        /// What it is, in a few words.
        summary: &'a str,
    },
}

impl<'a> Subject<'a> {
    /// The inputs of an action, or the parameters of a runbook.
    pub(crate) fn of(action: &'a Action) -> Self {
        match action.runbook() {
            None => Self::Action(&action.uses.value),
            Some(name) => Self::Runbook(name),
        }
    }

    /// `` `service.restart` ``.
    fn who(&self) -> String {
        match self {
            Self::Action(name) => format!("`{name}`"),
            Self::Runbook(name) => format!("the runbook `{name}`"),
            Self::Step => "a step".to_owned(),
            Self::Provider { name, .. } => format!("the provider `{name}`"),
            Self::Connection { kind, .. } => format!("a connection of kind `{kind}`"),
        }
    }

    /// What a key is called.
    fn word(&self) -> &'static str {
        match self {
            Self::Action(_) => "input",
            Self::Runbook(_) => "parameter",
            Self::Step | Self::Provider { .. } | Self::Connection { .. } => "key",
        }
    }

    /// The next command to type.
    fn help(&self) -> String {
        match self {
            Self::Action(name) => format!("see the inputs with: runbook actions describe {name}"),
            Self::Runbook(name) => format!("see its parameters with: runbook show {name}"),
            Self::Step => "see all keys of a step with: runbook schema runbook".to_owned(),
            Self::Provider { name, summary } => format!("`{name}`: {summary}"),
            Self::Connection { kind, summary } => format!("`{kind}`: {summary}"),
        }
    }

    /// One code for every finding, instead of those of inputs.
    fn code(&self) -> Option<Code> {
        match self {
            Self::Provider { .. } => Some(codes::BAD_SERVICE),
            Self::Connection { .. } => Some(codes::BAD_CONNECTION),
            Self::Action(_) | Self::Runbook(_) | Self::Step => None,
        }
    }
}

/// Walks the inputs of one action along its schema.
pub(crate) struct InputCheck<'a, 'd> {
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) source: &'a Arc<SourceFile>,
    pub(crate) environment: Option<&'a Environment>,
    pub(crate) diags: &'d mut Diagnostics,
}

impl InputCheck<'_, '_> {
    /// Checks `with`; `on_text` is asked about each text.
    pub(crate) fn run(
        &mut self,
        schema: &Value,
        with: &YamlValue,
        on_text: &mut dyn FnMut(&mut Diagnostics, TextSite<'_>) -> TextIs,
    ) {
        self.value(schema, with, &mut Vec::new(), on_text);
    }

    /// Checks one value of that name.
    pub(crate) fn run_named(
        &mut self,
        name: &str,
        schema: &Value,
        value: &YamlValue,
        on_text: &mut dyn FnMut(&mut Diagnostics, TextSite<'_>) -> TextIs,
    ) {
        self.value(schema, value, &mut vec![name], on_text);
    }

    fn value<'y>(
        &mut self,
        schema: &Value,
        value: &'y YamlValue,
        path: &mut Vec<&'y str>,
        on_text: &mut dyn FnMut(&mut Diagnostics, TextSite<'_>) -> TextIs,
    ) {
        if matches!(value.kind, YamlValueKind::Literal(Value::Null)) && allows_null(schema) {
            return;
        }
        let private = is_private(schema);
        let schema = match choose(schema, value) {
            Choice::One(schema) => schema,
            Choice::Unclear(variants) => {
                self.any_of(schema, &variants, value, path, on_text);
                return;
            }
        };
        let kept;
        let schema = if private && !is_private(schema) {
            kept = made_private(schema);
            &kept
        } else {
            schema
        };
        match &value.kind {
            YamlValueKind::Map(map) => {
                if !allows(schema, "object") {
                    self.wrong_kind(schema, value, path, "a map");
                    return;
                }
                self.map(schema, value, map, path, on_text);
            }
            YamlValueKind::List(items) => {
                if !allows(schema, "array") {
                    self.wrong_kind(schema, value, path, "a list");
                    return;
                }
                self.length(schema, items.len(), value.span, path);
                let item_schema = inside(schema, schema.get("items"));
                for item in items {
                    self.value(&item_schema, item, path, on_text);
                }
            }
            YamlValueKind::Text {
                text,
                content_offset,
            } => {
                let site = TextSite {
                    schema,
                    text,
                    content_offset: *content_offset,
                    span: value.span,
                    path: Some(path),
                };
                if let TextIs::Literal = on_text(self.diags, site) {
                    self.text(schema, text, value, path);
                }
            }
            YamlValueKind::Literal(Value::String(text)) => self.text(schema, text, value, path),
            YamlValueKind::Literal(literal) => self.scalar(schema, literal, value, path),
        }
    }

    fn map<'y>(
        &mut self,
        schema: &Value,
        value: &YamlValue,
        map: &'y indexmap::IndexMap<String, (Span, YamlValue)>,
        path: &mut Vec<&'y str>,
        on_text: &mut dyn FnMut(&mut Diagnostics, TextSite<'_>) -> TextIs,
    ) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let additional = schema.get("additionalProperties");
        for (key, (key_span, item)) in map {
            path.push(key);
            match properties.and_then(|p| p.get(key)).or(additional) {
                Some(Value::Bool(false)) => self.unknown_key(schema, key, *key_span, path),
                None if properties.is_some() => self.unknown_key(schema, key, *key_span, path),
                item_schema => {
                    self.value(&inside(schema, item_schema), item, path, on_text);
                }
            }
            path.pop();
        }
        let required = schema.get("required").and_then(Value::as_array);
        for missing in required.into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(missing) {
                let ty = properties
                    .and_then(|p| p.get(missing))
                    .map(Ty::from_schema)
                    .unwrap_or_default();
                let (who, word) = (self.subject.who(), self.subject.word());
                let place = if path.is_empty() {
                    format!("{who} needs")
                } else {
                    format!("`{}` of {who} needs", name(path))
                };
                self.diags.push(
                    Diagnostic::error(
                        self.code(codes::MISSING_INPUT),
                        format!("{place} the {word} `{missing}`"),
                    )
                    .at(
                        self.source,
                        value.span,
                        format!("`{missing}` ({ty}) is missing"),
                    )
                    .help(self.describe()),
                );
            }
        }
    }

    fn unknown_key(&mut self, schema: &Value, key: &str, span: Span, path: &[&str]) {
        let known: Vec<&str> = schema
            .get("properties")
            .and_then(Value::as_object)
            .map(|p| p.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let inside = match path {
            [] | [_] => String::new(),
            [outer @ .., _] => format!(" in `{}`", name(outer)),
        };
        let help = match (did_you_mean(key, known.iter().copied()), known.is_empty()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, true) => format!("it takes no {}s", self.subject.word()),
            (None, false) => format!("the {}s are {}", self.subject.word(), known.join(", ")),
        };
        self.diags.push(
            Diagnostic::error(
                self.code(codes::UNKNOWN_INPUT),
                format!(
                    "{} has no {} `{key}`{inside}",
                    self.subject.who(),
                    self.subject.word()
                ),
            )
            .at(
                self.source,
                span,
                format!("unknown {}", self.subject.word()),
            )
            .help(help),
        );
    }

    /// Several forms are possible: it must fit one of them without a complaint.
    fn any_of<'y>(
        &mut self,
        schema: &Value,
        variants: &[&Value],
        value: &'y YamlValue,
        path: &mut Vec<&'y str>,
        on_text: &mut dyn FnMut(&mut Diagnostics, TextSite<'_>) -> TextIs,
    ) {
        // `schemars` writes the variants of one enum as several schemas.
        if let Ty::Enum(names) = Ty::from_schema(schema) {
            let plain = serde_json::json!({ "type": "string", "enum": names });
            self.value(&plain, value, path, on_text);
            return;
        }
        if let (YamlValueKind::Map(_), Some(tags)) = (&value.kind, tagged(variants)) {
            // None of them is meant: the key that says which is missing or wrong.
            self.value(&tags, value, path, on_text);
            return;
        }
        for variant in variants {
            let mut attempt = Diagnostics::new();
            InputCheck {
                subject: self.subject,
                source: self.source,
                environment: self.environment,
                diags: &mut attempt,
            }
            .value(variant, value, path, on_text);
            if !attempt.has_errors() {
                for finding in attempt.iter() {
                    self.diags.push(finding.clone());
                }
                return;
            }
        }
        let forms: Vec<String> = variants
            .iter()
            .map(|v| Ty::from_schema(v).to_string())
            .collect();
        self.wrong(
            value.span,
            path,
            format!("fits none of its forms: {}", forms.join("; ")),
            self.describe(),
        );
    }

    fn text(&mut self, schema: &Value, text: &str, value: &YamlValue, path: &[&str]) {
        let problem = match schema.get("format").and_then(Value::as_str) {
            Some("duration") => parse_duration(text).err(),
            Some("size") => parse_size(text).err(),
            Some("timestamp" | "date-time") => text
                .parse::<crate::base::Timestamp>()
                .err()
                .map(|e| e.to_string()),
            Some("service") => return self.service(text, value.span),
            Some("connection") => return self.connection(text, value.span),
            Some("secret") => return self.no_secret(value.span, path),
            _ if !allows(schema, "string") => {
                return self.wrong_kind(schema, value, path, "text");
            }
            _ => None,
        };
        let problem = problem.or_else(|| not_allowed(schema, &Value::String(text.to_owned())));
        if let Some(problem) = problem {
            self.not_allowed(value.span, path, &problem);
            return;
        }
        self.length(schema, text.chars().count(), value.span, path);
    }

    fn scalar(&mut self, schema: &Value, literal: &Value, value: &YamlValue, path: &[&str]) {
        let (kind, fits) = match literal {
            Value::Null => ("null", allows(schema, "null")),
            Value::Bool(_) => ("true or false", allows(schema, "boolean")),
            Value::Number(n) if n.is_f64() => ("a number", allows(schema, "number")),
            _ => (
                "a number",
                allows(schema, "integer") || allows(schema, "number"),
            ),
        };
        if !fits {
            self.wrong_kind(schema, value, path, kind);
            return;
        }
        if let Some(problem) =
            not_allowed(schema, literal).or_else(|| out_of_range(schema, literal))
        {
            self.not_allowed(value.span, path, &problem);
        }
    }

    fn length(&mut self, schema: &Value, length: usize, span: Span, path: &[&str]) {
        let limit = |key: &str| schema.get(key).and_then(Value::as_u64);
        let least = limit("minLength").or_else(|| limit("minItems"));
        let most = limit("maxLength").or_else(|| limit("maxItems"));
        if least.is_some_and(|least| (length as u64) < least) {
            self.not_allowed(
                span,
                path,
                if length == 0 {
                    "it is empty"
                } else {
                    "it is too short"
                },
            );
        } else if most.is_some_and(|most| (length as u64) > most) {
            self.not_allowed(span, path, "it is too long");
        }
    }

    fn service(&mut self, name: &str, span: Span) {
        if let Some(environment) = self.environment
            && !environment.services.contains_key(name)
        {
            self.diags.push(super::environment::unknown_service(
                environment,
                name,
                self.source,
                span,
            ));
        }
    }

    /// A secret is never written down.
    fn no_secret(&mut self, span: Span, path: &[&str]) {
        self.wrong(
            span,
            path,
            "wants secret, but this is a written text".to_owned(),
            SECRET_HELP.to_owned(),
        );
    }

    fn connection(&mut self, name: &str, span: Span) {
        if let Some(environment) = self.environment
            && !environment.connections.contains_key(name)
        {
            self.diags.push(super::environment::unknown_connection(
                environment,
                name,
                self.source,
                span,
            ));
        }
    }

    fn wrong_kind(&mut self, schema: &Value, value: &YamlValue, path: &[&str], kind: &str) {
        let wanted = Ty::from_schema(schema);
        let help = match (&value.kind, &wanted) {
            (YamlValueKind::Literal(literal), Ty::String | Ty::Enum(_)) => {
                format!("put it in quotes: \"{literal}\"")
            }
            (YamlValueKind::Literal(literal), Ty::Duration) => {
                format!("a duration has a unit: {literal}s")
            }
            (_, Ty::List(_)) => "write a list: [a, b]".to_owned(),
            _ => self.describe(),
        };
        self.wrong(
            value.span,
            path,
            format!("wants {wanted}, but this is {kind}"),
            help,
        );
    }

    fn wrong(&mut self, span: Span, path: &[&str], problem: String, help: String) {
        self.diags.push(
            Diagnostic::error(
                self.code(codes::WRONG_TYPE),
                format!("the {} `{}` {problem}", self.subject.word(), name(path)),
            )
            .at(self.source, span, "wrong type")
            .help(help),
        );
    }

    fn not_allowed(&mut self, span: Span, path: &[&str], problem: &str) {
        self.diags.push(
            Diagnostic::error(
                self.code(codes::VALUE_NOT_ALLOWED),
                format!(
                    "the {} `{}` cannot have this value: {problem}",
                    self.subject.word(),
                    name(path)
                ),
            )
            .at(self.source, span, "not allowed here")
            .help(self.describe()),
        );
    }

    fn describe(&self) -> String {
        self.subject.help()
    }

    fn code(&self, code: Code) -> Code {
        self.subject.code().unwrap_or(code)
    }
}

/// `with.retry.delay` without the `with.`; the whole map is `with`.
/// Whether a place is private: what stands there is not published, so it may be a secret.
pub(super) fn is_private(schema: &Value) -> bool {
    schema.get(PRIVATE) == Some(&Value::Bool(true))
}

/// The same schema, of a private place.
pub(super) fn made_private(schema: &Value) -> Value {
    let mut made = schema.as_object().cloned().unwrap_or_default();
    made.insert(PRIVATE.to_owned(), Value::Bool(true));
    Value::Object(made)
}

/// The schema of what is inside: of a private place, all is private.
fn inside<'s>(outer: &Value, inner: Option<&'s Value>) -> Cow<'s, Value> {
    let inner = inner.unwrap_or(&Value::Bool(true));
    if is_private(outer) && !is_private(inner) {
        Cow::Owned(made_private(inner))
    } else {
        Cow::Borrowed(inner)
    }
}

fn name(path: &[&str]) -> String {
    if path.is_empty() {
        "with".to_owned()
    } else {
        path.join(".")
    }
}
