//! Keys of environments.

use super::spec::{ObjectSpec, Rules, Shape as S, key};

/// An environment file.
pub(in crate::language) static ENVIRONMENT: ObjectSpec = ObjectSpec {
    what: "an environment",
    open: false,
    rules: Rules::None,
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
            "secrets",
            S::MapOf(&S::Identifier, &S::Source),
            "{ db_password: \"env:DB_PASSWORD\" }",
            "Where secrets are to be had, for `{{ secrets.name }}`",
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
    rules: Rules::Service,
    keys: &[key("provider", S::Text, "process", "What keeps it running").required()],
};

/// A connection; its kind's handlers judge the other keys.
pub(in crate::language) static CONNECTION: ObjectSpec = ObjectSpec {
    what: "a connection",
    open: true,
    rules: Rules::Connection,
    keys: &[key(
        "kind",
        S::OneOf(&["mongodb", "redis", "kafka", "http", "docker", "notify"]),
        "redis",
        "What answers there",
    )
    .required()],
};
