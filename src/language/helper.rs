//! The helpers of templates: what they take, what they give, and their words for people.

use std::time::Duration;

use super::escape::{json_text, kind_name, shell_words};
use super::secret_marker::has_marker;
use crate::base::{Value, format_duration, parse_duration, parse_size};

/// A helper that a template may call.
#[derive(Debug)]
pub struct TemplateHelper {
    /// Its name.
    pub name: &'static str,
    /// How it is called, such as `join LIST [TEXT]`.
    pub usage: &'static str,
    /// What it gives: Markdown, one line.
    pub doc: &'static str,
    /// A template that calls it.
    pub example: &'static str,
    /// The fewest and the most values that it takes.
    pub(super) counts: (usize, usize),
    /// `None` for those of Handlebars itself, and `default`.
    pub(super) make: Option<Make>,
}

/// From values to a value; errors are sentence fragments.
pub(super) type Make = fn(&[&Value]) -> Result<Value, String>;

macro_rules! helpers {
    ($($name:literal $least:literal..$most:tt $make:expr, $usage:literal, $doc:literal, $example:literal;)*) => {
        /// Every helper.
        static TABLE: &[TemplateHelper] = &[$(TemplateHelper {
            name: $name,
            usage: $usage,
            doc: $doc,
            example: $example,
            counts: ($least, $most),
            make: $make,
        }),*];

        /// Their names.
        pub(super) const HELPERS: &[&str] = &[$($name),*];
    };
}

/// More values than any template has, for helpers that take as many as there are.
const MANY: usize = usize::MAX;

helpers! {
    "default" 2..2 None, "default VALUE FALLBACK",
        "The value, or the fallback when it is missing or null: the output of a step that was skipped, an optional parameter. A name that does not exist is still an error of `check`.",
        "{{ default steps.find.outputs.pid \"none\" }}";
    "json" 1..1 Some(json), "json VALUE",
        "The value as JSON, keys in order. In a shell place it is one quoted word; in a JSON place it stands as it is.",
        "{{ json params.services }}";
    "sh" 1..1 Some(sh), "sh VALUE",
        "The value as shell words: one for a text or number, one each for the items of a list. In a shell place they are not quoted a second time.",
        "rm -f {{ sh params.files }}";
    "join" 1..2 Some(join), "join LIST [TEXT]",
        "The items of a list as one text, with `, ` or another text between them.",
        "{{ join params.services \" \" }}";
    "lines" 1..1 Some(lines), "lines TEXT",
        "The lines of a text as a list, empty ones left out: for `{{#each}}`.",
        "{{#each (lines steps.find.outputs.stdout)}}{{ this }};{{/each}}";
    "upper" 1..1 Some(upper), "upper TEXT", "The text in capital letters.", "{{ upper params.service }}";
    "lower" 1..1 Some(lower), "lower TEXT", "The text in small letters.", "{{ lower params.service }}";
    "trim" 1..1 Some(trim), "trim TEXT", "The text without white space around it.", "{{ trim steps.find.outputs.stdout }}";
    "duration" 1..2 Some(duration), "duration VALUE [UNIT]",
        "A duration in its shortest form (`90s` is `1m30s`); with a unit (`ms`, `s`, `m`, `h`, `d`) the number of them, for programs that want `--timeout 30`.",
        "--timeout={{ duration params.grace \"s\" }}";
    "bytes" 1..2 Some(bytes), "bytes VALUE [UNIT]",
        "A size as a number of bytes; with a unit (`kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`, `TB`, `TiB`) the number of them.",
        "--memory={{ bytes params.limit \"MiB\" }}m";
    "lookup" 2..2 None, "lookup VALUE KEY", "An item of a list, or the value of a key that is known only when it runs.", "{{ lookup vars.ports params.service }}";
    "len" 1..1 None, "len VALUE", "The number of items of a list, keys of a map, or bytes of a text.", "{{ len params.services }}";
    "eq" 2..2 None, "eq A B", "Whether two values are equal; for `{{#if (eq ...)}}`.", "{{#if (eq params.service \"api\")}}the API{{/if}}";
    "ne" 2..2 None, "ne A B", "Whether they differ.", "{{#if (ne params.service \"api\")}}another{{/if}}";
    "gt" 2..2 None, "gt A B", "Whether the first number is greater.", "{{#if (gt params.count 3)}}many{{/if}}";
    "gte" 2..2 None, "gte A B", "Whether it is greater or equal.", "{{#if (gte params.count 3)}}many{{/if}}";
    "lt" 2..2 None, "lt A B", "Whether it is less.", "{{#if (lt params.count 3)}}few{{/if}}";
    "lte" 2..2 None, "lte A B", "Whether it is less or equal.", "{{#if (lte params.count 3)}}few{{/if}}";
    "and" 2..MANY None, "and A B ...", "Whether all are true.", "{{#if (and params.force params.services)}}forced{{/if}}";
    "or" 2..MANY None, "or A B ...", "Whether one is true.", "{{#if (or params.force params.services)}}go{{/if}}";
    "not" 1..1 None, "not A", "Whether it is false, empty or 0.", "{{#if (not params.force)}}gently{{/if}}";
}

/// The helpers of templates, for documents and editors.
pub fn helpers() -> &'static [TemplateHelper] {
    TABLE
}

/// The helper of a name.
pub(super) fn helper(name: &str) -> Option<&'static TemplateHelper> {
    TABLE.iter().find(|helper| helper.name == name)
}

fn json(values: &[&Value]) -> Result<Value, String> {
    Ok(Value::String(json_text(values[0])))
}

fn sh(values: &[&Value]) -> Result<Value, String> {
    shell_words(values[0]).map(Value::String)
}

fn join(values: &[&Value]) -> Result<Value, String> {
    let Value::Array(items) = values[0] else {
        return Err(wants("join", "a list", values[0]));
    };
    let between = values
        .get(1)
        .map_or(Ok(", "), |text| text_of("join", text))?;
    let items = items.iter().map(|item| match item {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(item.to_string()),
        other => Err(format!(
            "`join` wants items that are text or numbers, found {}",
            kind_name(other)
        )),
    });
    let items: Vec<String> = items.collect::<Result<_, _>>()?;
    Ok(Value::String(items.join(between)))
}

fn lines(values: &[&Value]) -> Result<Value, String> {
    let lines = text_of("lines", values[0])?.lines();
    Ok(lines.filter(|line| !line.trim().is_empty()).collect())
}

fn upper(values: &[&Value]) -> Result<Value, String> {
    Ok(Value::String(text_of("upper", values[0])?.to_uppercase()))
}

fn lower(values: &[&Value]) -> Result<Value, String> {
    Ok(Value::String(text_of("lower", values[0])?.to_lowercase()))
}

fn trim(values: &[&Value]) -> Result<Value, String> {
    Ok(Value::from(text_of("trim", values[0])?.trim()))
}

fn duration(values: &[&Value]) -> Result<Value, String> {
    let length = parse_duration(text_of("duration", values[0])?)?;
    let Some(unit) = values.get(1) else {
        return Ok(Value::String(format_duration(length)));
    };
    let unit = text_of("duration", unit)?;
    let one = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        "d" => Duration::from_secs(86_400),
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m, h or d")),
    };
    Ok(share(length.as_nanos(), one.as_nanos()))
}

fn bytes(values: &[&Value]) -> Result<Value, String> {
    let size = match values[0] {
        Value::Number(number) => number
            .as_u64()
            .ok_or_else(|| format!("`{number}` is no number of bytes"))?,
        other => parse_size(text_of("bytes", other)?)?,
    };
    let Some(unit) = values.get(1) else {
        return Ok(Value::from(size));
    };
    let one = parse_size(&format!("1{}", text_of("bytes", unit)?))?;
    Ok(share(size.into(), one.into()))
}

/// How many of one are in another: a whole number when it is one.
fn share(of: u128, one: u128) -> Value {
    match u64::try_from(of / one) {
        Ok(whole) if of.is_multiple_of(one) => Value::from(whole),
        _ => Value::from(of as f64 / one as f64),
    }
}

/// A text that may be read. What stands for a secret may not: its value is put in later.
fn text_of<'v>(helper: &str, value: &'v Value) -> Result<&'v str, String> {
    match value.as_str() {
        Some(text) if has_marker(text) => Err(format!("`{helper}` cannot look into a secret")),
        Some(text) => Ok(text),
        None => Err(wants(helper, "text", value)),
    }
}

fn wants(helper: &str, wanted: &str, found: &Value) -> String {
    format!("`{helper}` wants {wanted}, found {}", kind_name(found))
}
