//! Keys of a runbook, outside its steps.

use super::spec::{ITEM_TYPES, ObjectSpec, Rules, Shape as S, key, later};
use super::step::{FINALLY_STEP, STEP, VERIFY_CONDITION, VERIFY_STEP};

/// A runbook file.
pub(in crate::language) static RUNBOOK: ObjectSpec = ObjectSpec {
    what: "a runbook",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "runbook",
            S::Format,
            "v1",
            "The format; always the first key",
        )
        .required(),
        key(
            "name",
            S::Name,
            "service-restart",
            "The file's name without `.yaml`",
        )
        .required(),
        key("title", S::Text, "Restart a service", "One line for people"),
        key(
            "description",
            S::Text,
            "What it does and when to use it",
            "Markdown for people",
        ),
        key("owner", S::Text, "platform-team", "The team that keeps it"),
        key(
            "severity",
            S::OneOf(&["P0", "P1", "P2", "P3"]),
            "P2",
            "The incident severity that it answers",
        ),
        key(
            "risk",
            S::OneOf(&["low", "medium", "high"]),
            "medium",
            "Which approval the policy asks for",
        )
        .default("low"),
        key(
            "reviewed",
            S::Date,
            "2026-11-01",
            "The day of the last review",
        ),
        key(
            "objectives",
            S::Object(&OBJECTIVES),
            "{ rto: 5m, rpo: 1h }",
            "Recovery objectives, measured in every run",
        ),
        key(
            "params",
            S::MapOf(&S::Identifier, &S::Object(&PARAM)),
            "{ grace: { type: duration, default: 10s } }",
            "Parameters, given with `--param name=value`",
        ),
        key(
            "on_failure",
            S::OneOf(&["rollback", "stop"]),
            "rollback",
            "What a failed run does",
        )
        .default("rollback"),
        key(
            "on_cancel",
            S::OneOf(&["stop", "rollback"]),
            "stop",
            "What a cancelled run does",
        )
        .default("stop"),
        key(
            "timeout",
            S::Duration,
            "15m",
            "Limit of all steps together; `finally` is not counted",
        ),
        key(
            "steps",
            S::NonEmptyList(&S::Object(&STEP)),
            "[{ id: pause, uses: wait }]",
            "What is done, from top to bottom",
        )
        .required(),
        key(
            "verify",
            S::List(&S::Either(
                &S::Object(&VERIFY_STEP),
                &S::Object(&VERIFY_CONDITION),
            )),
            "[{ condition: steps.healthy.outputs.healthy }]",
            "Read-only steps and conditions that prove the recovery when all steps have ended",
        ),
        key(
            "finally",
            S::List(&S::Object(&FINALLY_STEP)),
            "[{ id: tell, uses: notify }]",
            "Steps that run at the end whatever happened",
        ),
        key(
            "outputs",
            S::MapOf(&S::Identifier, &S::Any),
            "{ pid: \"{{ steps.restart.outputs.pid }}\" }",
            "What the run publishes: name → template",
        ),
        later("concurrency"),
        later("orphans"),
        later("on_unknown"),
    ],
};

/// `objectives`.
pub(in crate::language) static OBJECTIVES: ObjectSpec = ObjectSpec {
    what: "`objectives`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "rto",
            S::Duration,
            "5m",
            "Recovery time objective: how long it may take",
        ),
        key(
            "rpo",
            S::Duration,
            "1h",
            "Recovery point objective: how much data may be lost",
        ),
    ],
};

/// What parameters and inputs of approvals have, with the types that they may have.
macro_rules! param_keys {
    ($types:expr) => {
        &[
            key("type", $types, "string", "The type of the value").required(),
            key(
                "values",
                S::NonEmptyList(&S::Text),
                "[small, large]",
                "The permitted values (`enum` only)",
            ),
            key(
                "items",
                S::OneOf(ITEM_TYPES),
                "string",
                "The type of the items (`list` and `map` only)",
            ),
            key(
                "default",
                S::Any,
                "10s",
                "The value when none is given; a literal (of a secret: its source). Without it the parameter is required",
            ),
            key(
                "description",
                S::Text,
                "Service to restart",
                "One line for people",
            ),
            key(
                "pattern",
                S::Text,
                "\"[a-z]+\"",
                "A regular expression that the whole text must match (`string` only)",
            ),
            key(
                "min",
                S::Bound,
                "1s",
                "Smallest permitted value (`int`, `float`, `duration`, `size`)",
            ),
            key(
                "max",
                S::Bound,
                "1h",
                "Largest permitted value (`int`, `float`, `duration`, `size`)",
            ),
        ]
    };
}

/// A parameter.
pub(in crate::language) static PARAM: ObjectSpec = ObjectSpec {
    what: "a parameter",
    open: false,
    rules: Rules::Param,
    keys: param_keys!(S::Type),
};

/// Something that an approver fills in.
pub(in crate::language) static GATE_INPUT: ObjectSpec = ObjectSpec {
    what: "an input of an approval",
    open: false,
    rules: Rules::Param,
    keys: param_keys!(S::InputType),
};
