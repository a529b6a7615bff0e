//! Keys of environments and policies.

use super::spec::{ObjectSpec, Rules, Shape as S, key, later};

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

/// A policy file.
pub(in crate::language) static POLICY: ObjectSpec = ObjectSpec {
    what: "a policy",
    open: false,
    rules: Rules::None,
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
pub(in crate::language) static PERSON: ObjectSpec = ObjectSpec {
    what: "a person",
    open: false,
    rules: Rules::None,
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
pub(in crate::language) static ROLE: ObjectSpec = ObjectSpec {
    what: "a role",
    open: false,
    rules: Rules::None,
    keys: &[key("members", S::List(&S::Text), "[ada]", "Login names").required()],
};

/// `risk` of the policy.
pub(in crate::language) static RISK: ObjectSpec = ObjectSpec {
    what: "`risk`",
    open: false,
    rules: Rules::None,
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
pub(in crate::language) static RISK_RULE: ObjectSpec = ObjectSpec {
    what: "a risk rule",
    open: false,
    rules: Rules::None,
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
