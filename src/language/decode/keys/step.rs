//! Keys of a step and of what stands in it.

use super::runbook::GATE_INPUT;
use super::spec::{KeySpec, ObjectSpec, Presence, Rules, Shape as S, key, later};

const TIMEOUT: KeySpec = key(
    "timeout",
    S::Duration,
    "2m",
    "Limit of one attempt; all polls of an `until` are one attempt",
);
const RETRY_KEY: KeySpec = key(
    "retry",
    S::Object(&RETRY),
    "{ attempts: 3, delay: 2s }",
    "Try the action again after a failure",
);
const USES: KeySpec = key(
    "uses",
    S::Uses,
    "service.restart",
    "The action; `runbook actions` lists them. `runbook.NAME` runs another runbook",
)
.required();
const ACTION: KeySpec = KeySpec {
    shape: S::Action,
    ..USES
};
const WITH: KeySpec = key(
    "with",
    S::With,
    "{ service: api }",
    "The inputs of the action; texts are templates",
);

/// What steps of both sorts have.
macro_rules! step_keys {
    ([$($on_failure:expr)?] $($extra:expr),*) => {
        &[
            key("id", S::Identifier, "restart", "The step's id: how others refer to it").required(),
            key("name", S::Text, "Restart the service", "One line for people"),
            USES,
            WITH,
            key("needs", S::List(&S::Identifier), "[before, healthy]", "The steps that must be over first; default: the step above; `[]` starts at once"),
            key("when", S::Condition, "params.force", "A condition (CEL); when false, the step is skipped"),
            key("for_each", S::Items, "\"{{ params.services }}\"", "One instance of the step for each item of a list, as `item` and `index`"),
            key("max_parallel", S::Int(1, 1000), "2", "How many instances of `for_each` may be at work at once").default("1"),
            key("max_failures", S::Tolerance, "10%", "How many instances of `for_each` may fail, as a number or a share, before no other is started").default("0"),
            key("unless", S::Either(&S::Condition, &S::Object(&UNLESS)), "{ uses: service.health, with: { service: api }, condition: outputs.healthy }", "A condition, or a read-only action and a condition over its `outputs`: when it holds, the step is not needed and is skipped"),
            key("until", S::Condition, "outputs.healthy", "A condition over `outputs`; the action is repeated until it holds"),
            key("every", S::Duration, "1s", "The pause between two polls of `until`").default("1s"),
            RETRY_KEY,
            TIMEOUT,
            $($on_failure,)?
            key("verify", S::Condition, "outputs.status == 200", "A condition over `outputs` that must hold after success"),
            key("outputs", S::MapOf(&S::Identifier, &S::Any), "{ url: \"{{ outputs.url }}\" }", "What the step publishes beside the action's own outputs: name → template"),
            key("effect", S::Object(&EFFECT), "{ is: read, reason: \"only lists files\" }", "What repeating the step would do, when the action's own word is wrong"),
            key("idempotency_key", S::Text, "\"{{ run.id }}\"", "What tells the other side that two calls are one; default: run and step"),
            key("environment", S::MapOf(&S::Variable, &S::Any), "{ TOKEN: \"{{ params.token }}\" }", "Variables of the program that the step starts: the place for a secret"),
            key("secrets", S::List(&S::Identifier), "[token]", "Secrets that this step may put where they are published"),
            key("template", S::Bool, "false", "`false` leaves the texts of `with` alone").default("true"),
            $($extra,)*
            later("run_on"),
            later("on_unknown"),
            later("orphans"),
        ]
    };
}

const ON_FAILURE: KeySpec = key(
    "on_failure",
    S::OneOf(&["stop", "rollback", "continue"]),
    "continue",
    "What this step's failure does to the run; default: the runbook's `on_failure`",
);

/// A step.
pub(in crate::language) static STEP: ObjectSpec = ObjectSpec {
    what: "a step",
    open: false,
    rules: Rules::Step,
    keys: step_keys![
        [ON_FAILURE] key(
            "rollback",
            S::Object(&ROLLBACK),
            "{ uses: service.start, with: { service: api } }",
            "How to undo the step, or why that is impossible"
        )
    ],
};

/// A step of `verify`.
pub(in crate::language) static VERIFY_STEP: ObjectSpec = ObjectSpec {
    what: "a `verify` step",
    open: false,
    rules: Rules::Step,
    keys: step_keys![[]],
};

/// A condition of `verify`.
pub(in crate::language) static VERIFY_CONDITION: ObjectSpec = ObjectSpec {
    what: "a condition of `verify`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "condition",
            S::Condition,
            "steps.healthy.outputs.healthy",
            "What must hold when all steps have ended",
        )
        .required(),
        key(
            "message",
            S::Text,
            "The API answers",
            "What holds, in words: one line for people",
        ),
    ],
};

/// A step of `finally`.
pub(in crate::language) static FINALLY_STEP: ObjectSpec = ObjectSpec {
    what: "a `finally` step",
    open: false,
    rules: Rules::Step,
    keys: step_keys![[ON_FAILURE]],
};

/// `with` of an approval, beside the message that its handler judges.
pub(in crate::language) static GATE: ObjectSpec = ObjectSpec {
    what: "`with` of an approval",
    open: true,
    rules: Rules::None,
    keys: &[
        key(
            "risk",
            S::OneOf(&["low", "medium", "high"]),
            "high",
            "Which rule of the policy says who may approve; default: the runbook's `risk`",
        ),
        key(
            "inputs",
            S::MapOf(&S::Identifier, &S::Object(&GATE_INPUT)),
            "{ window: { type: duration, default: 10m } }",
            "What the approver fills in, for `{{ steps.ID.outputs.inputs.NAME }}`",
        ),
        key(
            "on_expiry",
            S::OneOf(&["deny", "escalate", "park"]),
            "park",
            "What happens when nobody approves in time: the run ends, the rest of the escalation chain is told first, or the run is left waiting; default: as the policy says, else `deny`",
        ),
    ],
};

/// `retry`.
pub(in crate::language) static RETRY: ObjectSpec = ObjectSpec {
    what: "`retry`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "attempts",
            S::Int(1, 1000),
            "3",
            "How often the action is tried in all",
        )
        .required(),
        key(
            "delay",
            S::Duration,
            "2s",
            "The pause before the second attempt",
        )
        .default("1s"),
        key(
            "backoff",
            S::OneOf(&["constant", "linear", "exponential"]),
            "exponential",
            "How the pause grows",
        )
        .default("exponential"),
        key("max_delay", S::Duration, "30s", "The longest pause").default("1m"),
        key(
            "jitter",
            S::Number(0.0, 1.0),
            "0.2",
            "The share of the pause that is varied",
        )
        .default("0"),
        key(
            "on",
            S::List(&S::Failure),
            "[timeout, unavailable]",
            "Which failures are tried again; default: all that trying again can help",
        ),
    ],
};

/// `rollback`.
pub(in crate::language) static ROLLBACK: ObjectSpec = ObjectSpec {
    what: "`rollback`",
    open: false,
    rules: Rules::Rollback,
    keys: &[
        KeySpec {
            presence: Presence::Optional,
            ..ACTION
        },
        WITH,
        RETRY_KEY,
        TIMEOUT,
        key("irreversible", S::Bool, "true", "The step cannot be undone"),
        key(
            "reason",
            S::Text,
            "mail cannot be called back",
            "Why it cannot be undone",
        ),
    ],
};

/// `unless` with an action.
pub(in crate::language) static UNLESS: ObjectSpec = ObjectSpec {
    what: "`unless`",
    open: false,
    rules: Rules::Inputs,
    keys: &[
        ACTION,
        WITH,
        key(
            "condition",
            S::Condition,
            "outputs.healthy",
            "A condition over the action's `outputs`; when it holds, the step is skipped",
        )
        .required(),
    ],
};

/// `effect`.
pub(in crate::language) static EFFECT: ObjectSpec = ObjectSpec {
    what: "`effect`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "is",
            S::OneOf(&["read", "idempotent", "once"]),
            "read",
            "What repeating the step would do",
        )
        .required(),
        key(
            "reason",
            S::Text,
            "only lists files",
            "Why the action's own word is wrong here",
        )
        .required(),
    ],
};
