//! The two forms of a handler: typed for its author, erased for the registry.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::StepContext;
use super::error::StepError;
use super::preview::{Preview, PreviewContext};
use crate::base::Value;
use crate::event::FailureKind;
use crate::model::{ActionExample, ActionManifest, Effect};

/// A boxed future that may cross threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An action, erased.
pub trait StepHandler: Send + Sync {
    /// What it declares about itself.
    fn manifest(&self) -> &ActionManifest;

    /// Does it once.
    ///
    /// # Errors
    /// [`StepError`]; the step's retry policy decides what follows.
    fn run<'a>(&'a self, ctx: StepContext, input: Value)
    -> BoxFuture<'a, Result<Value, StepError>>;

    /// What it would do, without doing it.
    fn preview(&self, ctx: &PreviewContext, input: &Value) -> Preview;
}

/// An action as its author writes it. Input and output schemas are generated from the types.
///
/// Input types must carry `#[serde(deny_unknown_fields)]`, so that the schema is closed.
pub trait TypedHandler: Send + Sync + 'static {
    /// Inputs (`with`).
    type Input: DeserializeOwned + JsonSchema + Send;
    /// Outputs.
    type Output: Serialize + JsonSchema;

    /// `family.verb`.
    const NAME: &'static str;
    /// One line.
    const SUMMARY: &'static str;
    /// Paragraphs of Markdown.
    const DESCRIPTION: &'static str;
    /// What repeating it would do.
    const EFFECT: Effect;

    /// Worked examples: title and YAML of a step.
    fn examples() -> Vec<ActionExample>;

    /// Does it once.
    ///
    /// # Errors
    /// [`StepError`] in words for a tired operator.
    fn run(
        &self,
        ctx: StepContext,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, StepError>> + Send;

    /// What it would do with these inputs: the exact command or request if it can be known, else what is
    /// to be expected. Never empty; changes nothing.
    fn preview(&self, ctx: &PreviewContext, input: &Self::Input) -> Preview;
}

struct Erased<H> {
    inner: H,
    manifest: ActionManifest,
    marker: PhantomData<fn() -> H>,
}

/// Erases a typed handler for the registry.
pub fn typed<H: TypedHandler>(handler: H) -> Arc<dyn StepHandler> {
    Arc::new(Erased {
        inner: handler,
        manifest: ActionManifest {
            name: H::NAME.to_owned(),
            summary: H::SUMMARY.to_owned(),
            description: H::DESCRIPTION.to_owned(),
            effect: H::EFFECT,
            input: input_schema::<H::Input>(),
            output: schema_of::<H::Output>(false),
            examples: H::examples(),
        },
        marker: PhantomData,
    })
}

/// The JSON Schema (draft 2020-12) of what a type is read from, without `$ref`.
pub fn input_schema<T: JsonSchema>() -> Value {
    schema_of::<T>(true)
}

/// The JSON Schema of a type, sub-schemas inlined so that readers need no `$ref`.
fn schema_of<T: JsonSchema>(for_input: bool) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let settings = if for_input {
        settings.for_deserialize()
    } else {
        settings.for_serialize()
    };
    let mut value = Value::from(settings.into_generator().into_root_schema_for::<T>());
    if let Some(object) = value.as_object_mut() {
        object.remove("title");
    }
    value
}

impl<H: TypedHandler> StepHandler for Erased<H> {
    fn manifest(&self) -> &ActionManifest {
        &self.manifest
    }

    fn run<'a>(
        &'a self,
        ctx: StepContext,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, StepError>> {
        Box::pin(async move {
            let input = parse::<H>(&input)?;
            let output = self.inner.run(ctx, input).await?;
            serde_json::to_value(output).map_err(|error| {
                StepError::caused(
                    FailureKind::Error,
                    format!("`{}` gave outputs that are not JSON", H::NAME),
                    &error,
                )
            })
        })
    }

    fn preview(&self, ctx: &PreviewContext, input: &Value) -> Preview {
        match parse::<H>(input) {
            Ok(input) => self.inner.preview(ctx, &input),
            Err(error) => Preview::Unknown(error.to_string()),
        }
    }
}

fn parse<H: TypedHandler>(input: &Value) -> Result<H::Input, StepError> {
    H::Input::deserialize(input).map_err(|error| {
        StepError::new(
            FailureKind::Invalid,
            format!("`{}` cannot use its inputs: {error}", H::NAME),
        )
        .hint(format!(
            "see the inputs with: runbook actions describe {}",
            H::NAME
        ))
    })
}
