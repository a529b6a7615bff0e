//! Rendering: our own writing of values into Handlebars' walk over the tree.
//!
//! Handlebars escapes the text of a value and no longer knows its kind, so every expression is
//! rewritten (see `syntax`) into a call of one of the helpers here, which see the value itself.

use std::sync::LazyLock;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable, ScopedJson, StringOutput, no_escape,
};

use super::escape::{escape_url_host, escape_url_start, escape_value, is_before_host, plain_text};
use super::helper::{Make, helpers};
use super::scope::{ExprError, Reference, Scope};
use super::syntax::Part;
use crate::base::Value;
use crate::model::Escape;

/// Writes a value, escaped for the place. The names hold a character no identifier may have.
const WRITE: &str = "!write";
/// Writes a value that stands first in the text.
const WRITE_FIRST: &str = "!first";
/// Writes a value where a URL names its host.
const WRITE_HOST: &str = "!host";
/// Writes a text that is JSON already.
pub(super) const WRITE_JSON: &str = "!json";
/// Writes a text that is shell words already.
pub(super) const WRITE_WORDS: &str = "!words";
/// Writes a text as it is.
pub(super) const WRITE_RAW: &str = "!raw";

/// One registry per kind of place, since a helper cannot be told where it is called.
static REGISTRIES: LazyLock<[Handlebars<'static>; 4]> =
    LazyLock::new(|| [Escape::None, Escape::Shell, Escape::Url, Escape::Json].map(registry));

fn registry(escape: Escape) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(no_escape);
    registry.unregister_helper("log");
    for (name, how) in [
        (WRITE, How::Escaped),
        (WRITE_FIRST, How::First),
        (WRITE_HOST, How::Host),
        (WRITE_JSON, How::Json),
        (WRITE_WORDS, How::Words),
        (WRITE_RAW, How::Raw),
    ] {
        registry.register_helper(name, Box::new(Write { escape, how }));
    }
    for helper in helpers() {
        if let Some(make) = helper.make {
            registry.register_helper(helper.name, Box::new(Convert(make)));
        }
    }
    registry.register_helper("default", Box::new(Default_));
    registry
}

/// A render that failed: the reason, and the path that had no usable value when there is one.
pub(super) struct Problem {
    message: String,
    path: Option<String>,
}

impl Problem {
    /// The error, with the place of the reference in the template's text.
    pub(super) fn with_place(self, references: &[Reference]) -> ExprError {
        let place = self.path.as_deref().and_then(|path| {
            references
                .iter()
                .find(|r| r.to_string() == path)
                .map(|r| r.range.clone())
        });
        let mut error = ExprError::new(self.message);
        error.range = place;
        error
    }
}

/// Renders a tree whose expressions were rewritten.
pub(super) fn render_tree(
    tree: &handlebars::Template,
    context: &Context,
    escape: Escape,
) -> Result<String, Problem> {
    let registry = &REGISTRIES[match escape {
        Escape::None => 0,
        Escape::Shell => 1,
        Escape::Url => 2,
        Escape::Json => 3,
    }];
    let mut out = StringOutput::new();
    tree.render(registry, context, &mut RenderContext::new(None), &mut out)
        .map_err(problem)?;
    out.into_string().map_err(|error| Problem {
        message: error.to_string(),
        path: None,
    })
}

/// Renders a text whose expressions are all plain references. A single one keeps its value's type
/// where nothing is escaped.
pub(super) fn render_parts(
    parts: &[Part],
    references: &[Reference],
    scope: &Scope,
    escape: Escape,
) -> Result<Value, ExprError> {
    let mut references = references.iter();
    let mut out = String::new();
    let mut written_before = Prefix::default();
    for part in parts {
        let reference = match (part, references.as_slice().first()) {
            (Part::Text(text), _) => {
                out.push_str(text);
                written_before.text(text);
                continue;
            }
            (Part::Reference, None) => continue,
            (Part::Reference, Some(reference)) => reference,
        };
        references.next();
        let place = reference.range.clone();
        let value = match scope.lookup(&reference.path) {
            Some(value) => value,
            None => {
                return Err(ExprError::new(no_value(&reference.to_string())).at(place));
            }
        };
        if parts.len() == 1 && escape == Escape::None {
            return Ok(value.clone());
        }
        let how = written_before.how();
        written_before.value();
        let text = written(value, how, escape).map_err(|why| {
            ExprError::new(format!("`{reference}` cannot be used here: {why}")).at(place)
        })?;
        out.push_str(&text);
    }
    Ok(Value::String(out))
}

/// What the author wrote before a place, which says how a URL is escaped there. Values do not
/// count: none may turn what follows it into a host.
#[derive(Default)]
pub(super) struct Prefix {
    written: String,
    anything: bool,
}

impl Prefix {
    pub(super) fn text(&mut self, text: &str) {
        self.written.push_str(text);
        self.anything |= !text.is_empty();
    }

    pub(super) fn value(&mut self) {
        self.anything = true;
    }

    /// How a value is written here.
    pub(super) fn how(&self) -> How {
        if !self.anything {
            How::First
        } else if is_before_host(&self.written) {
            How::Host
        } else {
            How::Escaped
        }
    }

    /// The helper that writes so.
    pub(super) fn writer(&self) -> &'static str {
        match self.how() {
            How::First => WRITE_FIRST,
            How::Host => WRITE_HOST,
            _ => WRITE,
        }
    }
}

/// The text of a value, written in one of our ways.
fn written(value: &Value, how: How, escape: Escape) -> Result<String, String> {
    match (how, escape) {
        (How::Raw, _) | (How::Json, Escape::Json) | (How::Words, Escape::Shell) => {
            plain_text(value)
        }
        (How::First, Escape::Url) => escape_url_start(value),
        (How::Host, Escape::Url) => escape_url_host(value),
        (_, escape) => escape_value(value, escape),
    }
}

/// What is said of a path without a value.
pub(super) fn no_value(path: &str) -> String {
    format!("`{path}` has no value")
}

fn problem(error: RenderError) -> Problem {
    let path_of = |path: &Option<String>| {
        path.as_deref()
            .map(|p| p.trim_start_matches("@root.").to_owned())
    };
    match error.reason() {
        RenderErrorReason::MissingVariable(path) => {
            let path = path_of(path);
            Problem {
                message: path
                    .as_deref()
                    .map_or_else(|| "an expression has no value".to_owned(), no_value),
                path,
            }
        }
        RenderErrorReason::InvalidJsonIndex(index) => Problem {
            message: format!("a list has no item `{index}`; items are numbered from 0"),
            path: None,
        },
        RenderErrorReason::ParamNotFoundForIndex(helper, _)
        | RenderErrorReason::ParamNotFoundForName(helper, _) => Problem {
            message: format!("the helper `{helper}` lacks a value to work on"),
            path: None,
        },
        other => {
            // Our own messages quote the path first.
            let message = other.to_string();
            let path = message.split('`').nth(1).map(str::to_owned);
            Problem { message, path }
        }
    }
}

/// The ways to write a value.
#[derive(Clone, Copy)]
pub(super) enum How {
    Escaped,
    First,
    Host,
    Json,
    Words,
    Raw,
}

struct Write {
    escape: Escape,
    how: How,
}

impl HelperDef for Write {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let given = helper
            .param(0)
            .ok_or(RenderErrorReason::MissingVariable(None))?;
        if given.is_value_missing() {
            return Err(RenderError::strict_error(given.relative_path()));
        }
        let text = written(given.value(), self.how, self.escape).map_err(|why| {
            let name = given
                .relative_path()
                .map_or("a value", |p| p.trim_start_matches("@root."));
            RenderErrorReason::Other(format!("`{name}` cannot be used here: {why}"))
        })?;
        out.write(&text)?;
        Ok(())
    }
}

/// A helper from values to a value; the checker saw to their number.
struct Convert(Make);

impl HelperDef for Convert {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        if let Some(missing) = helper
            .params()
            .iter()
            .find(|given| given.is_value_missing())
        {
            return Err(RenderError::strict_error(missing.relative_path()));
        }
        let values: Vec<&Value> = helper.params().iter().map(|given| given.value()).collect();
        if values.is_empty() {
            return Err(RenderErrorReason::MissingVariable(None).into());
        }
        (self.0)(&values).map(ScopedJson::Derived).map_err(|why| {
            let path = helper.param(0).and_then(|given| given.relative_path());
            let why = match path {
                Some(path) => format!(
                    "`{}` cannot be used here: {why}",
                    path.trim_start_matches("@root.")
                ),
                None => why,
            };
            RenderErrorReason::Other(why).into()
        })
    }
}

/// `{{default value fallback}}`: the fallback when the value is missing or null.
struct Default_;

impl HelperDef for Default_ {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let (Some(value), Some(fallback)) = (helper.param(0), helper.param(1)) else {
            return Err(RenderErrorReason::Other(
                "the helper `default` wants a value and a fallback".to_owned(),
            )
            .into());
        };
        let chosen = if value.value().is_null() {
            fallback
        } else {
            value
        };
        if chosen.is_value_missing() {
            return Err(RenderError::strict_error(chosen.relative_path()));
        }
        Ok(ScopedJson::Derived(chosen.value().clone()))
    }
}
