//! The table of keys: one row per key, read by the decoder and by the JSON Schemas.

use super::keys::Shape as S;
use crate::event::FailureKind;

/// The form of a value.
#[derive(Debug, Clone, Copy)]
pub(in crate::language) enum Shape {
    /// Text that is not blank.
    Text,
    /// `v1`.
    Format,
    /// `[a-z][a-z0-9_]*`: a step, parameter or output.
    Identifier,
    /// `[a-z][a-z0-9_-]*`: a runbook, environment, service or connection.
    Name,
    /// `30s`.
    Duration,
    /// `2026-11-01`.
    Date,
    /// `true` or `false`.
    Bool,
    /// A whole number in a range.
    Int(u32, u32),
    /// A number in a range.
    Number(f64, f64),
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// One of the names of failures.
    Failure,
    /// A type of a parameter.
    Type,
    /// A CEL expression; a boolean is one too.
    Condition,
    /// The name of an action.
    Uses,
    /// The inputs of the action that `uses` names.
    With,
    /// Any value.
    Any,
    /// A number, or a text such as `10s` or `64MiB`: a bound of a parameter.
    Bound,
    /// A list.
    List(&'static Shape),
    /// A list with at least one item.
    NonEmptyList(&'static Shape),
    /// A map with keys of a form and values of a form.
    MapOf(&'static Shape, &'static Shape),
    /// A map with known keys.
    Object(&'static ObjectSpec),
}

/// How a key may appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::language) enum Presence {
    /// It must.
    Required,
    /// It may.
    Optional,
    /// It belongs to the language, but not to this version of the program.
    Later,
}

/// One key of an object.
#[derive(Debug, Clone, Copy)]
pub(in crate::language) struct KeySpec {
    /// The key.
    pub(in crate::language) name: &'static str,
    /// The form of its value.
    pub(in crate::language) shape: Shape,
    /// Whether it must be there.
    pub(in crate::language) presence: Presence,
    /// A value as it is written, for errors and editors.
    pub(in crate::language) example: &'static str,
    /// What it means: one line.
    pub(in crate::language) doc: &'static str,
    /// What holds when it is absent, when that can be written as a value.
    pub(in crate::language) default: Option<&'static str>,
}

/// The keys of one kind of object.
#[derive(Debug)]
pub(in crate::language) struct ObjectSpec {
    /// With its article: `a step`.
    pub(in crate::language) what: &'static str,
    /// Its keys, in the order in which people write them.
    pub(in crate::language) keys: &'static [KeySpec],
    /// Whether other keys are permitted, because somebody else judges them.
    pub(in crate::language) open: bool,
}

impl ObjectSpec {
    /// The row of a key, unless it is a later one.
    pub(in crate::language) fn get(&self, name: &str) -> Option<&'static KeySpec> {
        self.present().find(|key| key.name == name)
    }

    /// The keys that this version knows.
    pub(in crate::language) fn present(&self) -> impl Iterator<Item = &'static KeySpec> {
        let keys = self.keys;
        keys.iter().filter(|key| key.presence != Presence::Later)
    }

    /// Whether the key belongs to a later version.
    pub(in crate::language) fn is_later(&self, name: &str) -> bool {
        self.keys
            .iter()
            .any(|key| key.name == name && key.presence == Presence::Later)
    }
}

const fn key(
    name: &'static str,
    shape: Shape,
    example: &'static str,
    doc: &'static str,
) -> KeySpec {
    KeySpec {
        name,
        shape,
        presence: Presence::Optional,
        example,
        doc,
        default: None,
    }
}

const fn later(name: &'static str) -> KeySpec {
    KeySpec {
        presence: Presence::Later,
        ..key(name, S::Any, "", "")
    }
}

impl KeySpec {
    const fn required(self) -> Self {
        Self {
            presence: Presence::Required,
            ..self
        }
    }

    const fn default(self, value: &'static str) -> Self {
        Self {
            default: Some(value),
            ..self
        }
    }
}

/// The types that `items` may name.
pub(in crate::language) const ITEM_TYPES: &[&str] = &[
    "string",
    "int",
    "float",
    "bool",
    "duration",
    "size",
    "timestamp",
    "service",
    "connection",
];

/// The types that `type` may name.
pub(in crate::language) const TYPES: &[&str] = &[
    "string",
    "int",
    "float",
    "bool",
    "duration",
    "size",
    "timestamp",
    "enum",
    "list",
    "map",
    "service",
    "connection",
];

/// The type that belongs to a later version.
pub(in crate::language) const LATER_TYPE: &str = "secret";

/// The prefix of `uses` that belongs to a later version.
pub(in crate::language) const LATER_USES: &str = "runbook.";

/// The names that `retry.on` may hold.
pub(in crate::language) fn failure_names() -> impl Iterator<Item = &'static str> {
    FailureKind::ALL.into_iter().map(FailureKind::as_str)
}

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
    "The action; `runbook actions` lists them",
)
.required();
const WITH: KeySpec = key(
    "with",
    S::With,
    "{ service: api }",
    "The inputs of the action; texts are templates",
);

/// A runbook file.
pub(in crate::language) static RUNBOOK: ObjectSpec = ObjectSpec {
    what: "a runbook",
    open: false,
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
        later("verify"),
        later("secrets"),
        later("orphans"),
        later("on_unknown"),
    ],
};

/// `objectives`.
pub(super) static OBJECTIVES: ObjectSpec = ObjectSpec {
    what: "`objectives`",
    open: false,
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

/// A parameter.
pub(in crate::language) static PARAM: ObjectSpec = ObjectSpec {
    what: "a parameter",
    open: false,
    keys: &[
        key("type", S::Type, "string", "The type of the value").required(),
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
            "The value when none is given; a literal. Without it the parameter is required",
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
            "[a-z]+",
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
    ],
};

/// What steps of both sorts have.
macro_rules! step_keys {
    ($($extra:expr),*) => {
        &[
            key("id", S::Identifier, "restart", "The step's id: how others refer to it").required(),
            key("name", S::Text, "Restart the service", "One line for people"),
            USES,
            WITH,
            key("needs", S::List(&S::Identifier), "[before, healthy]", "The steps that must be over first; default: the step above; `[]` starts at once"),
            key("when", S::Condition, "params.force", "A condition (CEL); when false, the step is skipped"),
            key("until", S::Condition, "outputs.healthy", "A condition over `outputs`; the action is repeated until it holds"),
            key("every", S::Duration, "1s", "The pause between two polls of `until`").default("1s"),
            RETRY_KEY,
            TIMEOUT,
            key("on_failure", S::OneOf(&["stop", "rollback", "continue"]), "continue", "What this step's failure does to the run; default: the runbook's `on_failure`"),
            key("verify", S::Condition, "outputs.status == 200", "A condition over `outputs` that must hold after success"),
            key("outputs", S::MapOf(&S::Identifier, &S::Any), "{ url: \"{{ outputs.url }}\" }", "What the step publishes beside the action's own outputs: name → template"),
            key("effect", S::Object(&EFFECT), "{ is: read, reason: \"only lists files\" }", "What repeating the step would do, when the action's own word is wrong"),
            key("template", S::Bool, "false", "`false` leaves the texts of `with` alone").default("true"),
            $($extra,)*
            later("for_each"),
            later("max_parallel"),
            later("max_failures"),
            later("unless"),
            later("idempotency_key"),
            later("secrets"),
            later("environment"),
            later("run_on"),
            later("on_unknown"),
            later("orphans"),
        ]
    };
}

/// A step.
pub(in crate::language) static STEP: ObjectSpec = ObjectSpec {
    what: "a step",
    open: false,
    keys: step_keys![key(
        "rollback",
        S::Object(&ROLLBACK),
        "{ uses: service.start, with: { service: api } }",
        "How to undo the step, or why that is impossible"
    )],
};

/// A step of `finally`.
pub(in crate::language) static FINALLY_STEP: ObjectSpec = ObjectSpec {
    what: "a `finally` step",
    open: false,
    keys: step_keys![],
};

/// `retry`.
pub(in crate::language) static RETRY: ObjectSpec = ObjectSpec {
    what: "`retry`",
    open: false,
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
    keys: &[
        KeySpec {
            presence: Presence::Optional,
            ..USES
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

/// `effect`.
pub(super) static EFFECT: ObjectSpec = ObjectSpec {
    what: "`effect`",
    open: false,
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

/// An environment file.
pub(in crate::language) static ENVIRONMENT: ObjectSpec = ObjectSpec {
    what: "an environment",
    open: false,
    keys: &[
        key(
            "environment",
            S::Format,
            "v1",
            "The format; always the first key",
        )
        .required(),
        key(
            "name",
            S::Name,
            "staging",
            "The file's name without `.yaml`",
        )
        .required(),
        key(
            "description",
            S::Text,
            "The rehearsal site",
            "One line for people",
        ),
        key(
            "protected",
            S::Bool,
            "true",
            "Whether the policy demands approvals here",
        )
        .default("false"),
        key(
            "vars",
            S::MapOf(&S::Identifier, &S::Any),
            "{ region: eu-1 }",
            "Values for `{{ vars.name }}`",
        ),
        key(
            "services",
            S::MapOf(&S::Name, &S::Object(&SERVICE)),
            "{ api: { provider: process } }",
            "What can be restarted here",
        ),
        key(
            "connections",
            S::MapOf(&S::Name, &S::Object(&CONNECTION)),
            "{ cache: { kind: redis } }",
            "Servers that can be reached from here",
        ),
    ],
};

/// A service; its provider judges the other keys.
pub(in crate::language) static SERVICE: ObjectSpec = ObjectSpec {
    what: "a service",
    open: true,
    keys: &[key("provider", S::Text, "process", "What keeps it running").required()],
};

/// A connection; its kind's handlers judge the other keys.
pub(in crate::language) static CONNECTION: ObjectSpec = ObjectSpec {
    what: "a connection",
    open: true,
    keys: &[key(
        "kind",
        S::OneOf(&["mongodb", "redis", "kafka", "http", "docker"]),
        "redis",
        "What answers there",
    )
    .required()],
};

/// A policy file.
pub(in crate::language) static POLICY: ObjectSpec = ObjectSpec {
    what: "a policy",
    open: false,
    keys: &[
        key(
            "policy",
            S::Format,
            "v1",
            "The format; always the first key",
        )
        .required(),
        key(
            "people",
            S::MapOf(&S::Name, &S::Object(&PERSON)),
            "{ ada: { name: Ada Lovelace } }",
            "People by login name",
        ),
        key(
            "roles",
            S::MapOf(&S::Name, &S::Object(&ROLE)),
            "{ team-lead: { members: [ada] } }",
            "Roles and who has them",
        ),
        key(
            "risk",
            S::Object(&RISK),
            "{ medium: { role: team-lead } }",
            "Which approval each risk asks for",
        ),
        later("emergency"),
        later("escalation"),
        later("windows"),
        later("freezes"),
        later("reviews"),
    ],
};

/// A person of the policy.
pub(super) static PERSON: ObjectSpec = ObjectSpec {
    what: "a person",
    open: false,
    keys: &[
        key("name", S::Text, "Ada Lovelace", "The full name"),
        key("contact", S::Text, "ada@example.com", "E-mail or phone"),
        key(
            "ssh_keys",
            S::List(&S::Text),
            "[\"ssh-ed25519 AAAA…\"]",
            "Public keys in OpenSSH form",
        ),
    ],
};

/// A role of the policy.
pub(super) static ROLE: ObjectSpec = ObjectSpec {
    what: "a role",
    open: false,
    keys: &[key("members", S::List(&S::Text), "[ada]", "Login names").required()],
};

/// `risk` of the policy.
pub(super) static RISK: ObjectSpec = ObjectSpec {
    what: "`risk`",
    open: false,
    keys: &[
        key(
            "low",
            S::Object(&RISK_RULE),
            "{ role: developer }",
            "What a low risk asks for",
        ),
        key(
            "medium",
            S::Object(&RISK_RULE),
            "{ role: team-lead }",
            "What a medium risk asks for",
        ),
        key(
            "high",
            S::Object(&RISK_RULE),
            "{ role: architecture-review, quorum: 2 }",
            "What a high risk asks for",
        ),
    ],
};

/// What one risk asks for.
pub(super) static RISK_RULE: ObjectSpec = ObjectSpec {
    what: "a risk rule",
    open: false,
    keys: &[
        key(
            "role",
            S::Name,
            "team-lead",
            "The role whose members may approve",
        )
        .required(),
        key(
            "quorum",
            S::Int(1, 100),
            "2",
            "How many different people must approve",
        )
        .default("1"),
        later("expiry"),
        later("self_approval"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_item_types_are_types() {
        assert!(ITEM_TYPES.iter().all(|name| TYPES.contains(name)));
    }
}
