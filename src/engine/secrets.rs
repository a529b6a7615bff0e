//! Secrets around one call: their values are put in just before it, and taken out of what it gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{ErrorChain, Value};
use crate::event::{Failure, FailureKind};
use crate::handler::{EnvironmentView, ServiceView, StepContext, StepError, Stop};
use crate::language::{neutralise, neutralise_value, secret_names};
use crate::secrets::{SecretError, SecretKeeper};

/// The secrets of a run, as one call uses them.
#[derive(Clone)]
pub(super) struct StepSecrets(pub(super) Arc<SecretKeeper>);

impl StepSecrets {
    /// Context and inputs with the values of secrets in the place of their markers. Of the environment
    /// only the services and connections that the inputs name are filled in, so that a step reads no
    /// secret that it has nothing to do with.
    ///
    /// # Errors
    /// [`StepError`] without any value: `unavailable` when trying again may help, else `invalid`;
    /// `cancelled` when the step is to end.
    pub(super) async fn put_in(
        &self,
        mut context: StepContext,
        mut inputs: Value,
    ) -> Result<(StepContext, Value), StepError> {
        let mut names = secret_names(&inputs);
        let mut environment = None;
        if has_secrets(&context.environment) {
            let mut used = context.environment.as_ref().clone();
            keep_named(&mut used, &inputs);
            if has_secrets(&used) {
                for view in used.services.values().chain(used.connections.values()) {
                    names.extend(secret_names(&view.config));
                }
                environment = Some(used);
            }
        }
        let mut values = vec![&mut inputs];
        if let Some(used) = &mut environment {
            let (services, connections) = (&mut used.services, &mut used.connections);
            let views = services.values_mut().chain(connections.values_mut());
            values.extend(views.map(|view| &mut view.config));
        }
        let stop = context.stop.clone();
        tokio::select! {
            filled = self.0.fill(&names, &mut values) => filled.map_err(failed)?,
            () = stop.reached(Stop::Gently) => {
                return Err(StepError::new(
                    FailureKind::Cancelled,
                    "it was stopped while a secret was read; nothing was done",
                ));
            }
        }
        if let Some(used) = environment {
            let all = Arc::make_mut(&mut context.environment);
            all.services.extend(used.services);
            all.connections.extend(used.connections);
        }
        Ok((context, inputs))
    }

    /// Takes values out of what a call gave, and whatever looks like a marker: what a program prints
    /// must not pull a secret into a later step.
    pub(super) fn take_out(&self, result: &mut Result<Value, Failure>) {
        let redactor = self.0.redactor();
        match result {
            Ok(outputs) => {
                redactor.value(outputs);
                neutralise_value(outputs);
            }
            Err(failure) => {
                redactor.failure(failure);
                let ErrorChain { message, causes } = &mut failure.error;
                let texts = std::iter::once(message)
                    .chain(causes)
                    .chain(&mut failure.hint)
                    .chain(&mut failure.log_tail);
                for text in texts {
                    *text = neutralise(text).into_owned();
                }
            }
        }
    }
}

fn failed((name, error): (String, SecretError)) -> StepError {
    let sort = if error.is_temporary() {
        FailureKind::Unavailable
    } else {
        FailureKind::Invalid
    };
    let hint = error.hint();
    let failure = if name.is_empty() {
        StepError::new(sort, error.to_string())
    } else {
        let message = format!("the secret `{name}` cannot be had, so nothing was done");
        StepError::caused(sort, message, &error)
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn has_secrets(environment: &EnvironmentView) -> bool {
    let views = environment.services.values();
    views
        .chain(environment.connections.values())
        .any(|view| !secret_names(&view.config).is_empty())
}

/// Leaves only the services and connections that a text of the inputs names, and those that these name.
fn keep_named(environment: &mut EnvironmentView, inputs: &Value) {
    let mut named = BTreeSet::new();
    texts(inputs, &mut named);
    let mut looked_into = BTreeSet::new();
    loop {
        let views = environment.services.iter().chain(&environment.connections);
        let next: Vec<(String, &ServiceView)> = views
            .filter(|(name, _)| named.contains(*name) && !looked_into.contains(*name))
            .map(|(name, view)| (name.clone(), view))
            .collect();
        if next.is_empty() {
            break;
        }
        for (name, view) in next {
            texts(&view.config, &mut named);
            looked_into.insert(name);
        }
    }
    environment.services.retain(|name, _| named.contains(name));
    environment
        .connections
        .retain(|name, _| named.contains(name));
}

fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(map) => map.values().for_each(|item| texts(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
