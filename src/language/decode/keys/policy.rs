//! Keys of policies.

use super::spec::{DAYS, KeySpec, ObjectSpec, Rules, Shape as S, key};

const SELF_APPROVAL: KeySpec = key(
    "self_approval",
    S::Bool,
    "true",
    "Whether whoever started a run, or whom it was started for, may vote at its gates",
);
const EXCLUDE_AUTHOR: KeySpec = key(
    "exclude_author",
    S::Bool,
    "true",
    "Whether the vote of whoever changed the runbook last does not count",
);
const REQUIRE_SIGNATURES: KeySpec = key(
    "require_signatures",
    S::Bool,
    "true",
    "Whether votes count only when they are signed with a key of the voter",
);
const RISK_KEY: KeySpec = key(
    "risk",
    S::Object(&RISK),
    "{ medium: { role: team-lead } }",
    "Which approval each risk asks for",
);
const ENVIRONMENTS: KeySpec = key(
    "environments",
    S::List(&S::Name),
    "[production]",
    "Where it holds; default: in all protected environments",
);

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
        RISK_KEY,
        SELF_APPROVAL.default("false"),
        EXCLUDE_AUTHOR.default("false"),
        REQUIRE_SIGNATURES.default("false"),
        key(
            "environments",
            S::MapOf(&S::Name, &S::Object(&POLICY_ENVIRONMENT)),
            "{ production: { protected: true, require_signatures: true } }",
            "What is different in an environment",
        ),
        key(
            "calendar",
            S::Object(&CALENDAR),
            "{ time_zone: Europe/Berlin }",
            "What days and hours mean",
        ),
        key(
            "windows",
            S::List(&S::Object(&WINDOW)),
            "[{ name: nightly, hours: \"22:00-04:00\" }]",
            "When changes may be made; an environment with a window is changed at no other time",
        ),
        key(
            "freezes",
            S::List(&S::Object(&FREEZE)),
            "[{ name: year end, from: 2026-12-20, to: 2027-01-04 }]",
            "When no changes may be made",
        ),
        key(
            "escalation",
            S::Object(&ESCALATION),
            "{ P0: [{ role: on-call, channel: ops }] }",
            "Who is told when a gate waits, by the severity of the runbook; nobody when it has none",
        ),
        key(
            "emergency",
            S::Object(&EMERGENCY),
            "{ roles: [on-call], review: architecture-review }",
            "Who may pass all gates in an emergency, and who reviews it afterwards; default: nobody",
        ),
        key(
            "reviews",
            S::Object(&REVIEWS),
            "{ high: 90d }",
            "How often a runbook of each risk is to be looked through",
        ),
        key(
            "audit",
            S::Object(&AUDIT),
            "{ remote: ../audit.git }",
            "How the audit trail is kept",
        ),
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
            S::List(&S::SshKey),
            "[ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ada@example.com]",
            "Public keys in OpenSSH form (ed25519 or ecdsa-p256) that sign this person's votes",
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
            "{ quorum: [2 of architecture-review, 1 of dba] }",
            "What a high risk asks for",
        ),
    ],
};

/// What one risk asks for.
pub(in crate::language) static RISK_RULE: ObjectSpec = ObjectSpec {
    what: "a risk rule",
    open: false,
    rules: Rules::RiskRule,
    keys: &[
        key(
            "role",
            S::Name,
            "team-lead",
            "The role whose members may approve; not with a list as `quorum`",
        ),
        key(
            "quorum",
            S::Either(&S::Int(1, 100), &S::NonEmptyList(&S::Quorum)),
            "[2 of architecture-review, 1 of dba]",
            "How many different people of `role` must approve; or a list of which all must be met, each by other people",
        )
        .default("1"),
        key(
            "expiry",
            S::Duration,
            "24h",
            "How long the question stands; the `timeout` of the gate holds when it is less",
        ),
        key(
            "vote_expiry",
            S::Duration,
            "8h",
            "How long a vote counts; default: as long as the question stands",
        ),
        key(
            "on_expiry",
            S::OneOf(&["deny", "escalate", "park"]),
            "escalate",
            "What happens when nobody approves in time: the run ends, the rest of the escalation chain is told first, or the run is left waiting. It is never an approval",
        )
        .default("deny"),
    ],
};

/// What is different in an environment.
pub(in crate::language) static POLICY_ENVIRONMENT: ObjectSpec = ObjectSpec {
    what: "an environment of the policy",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "protected",
            S::Bool,
            "true",
            "Whether approvals are demanded here, also when the environment's own file does not say so; `false` takes no protection away",
        ),
        KeySpec {
            doc: "Rules that take the place of those of the same risk",
            ..RISK_KEY
        },
        SELF_APPROVAL,
        EXCLUDE_AUTHOR,
        REQUIRE_SIGNATURES,
    ],
};

/// What days and hours mean.
pub(in crate::language) static CALENDAR: ObjectSpec = ObjectSpec {
    what: "`calendar`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "time_zone",
            S::TimeZone,
            "Europe/Berlin",
            "The time zone of all days and hours of the policy",
        )
        .default("UTC"),
        key(
            "business_days",
            S::List(&S::OneOf(DAYS)),
            "[mon, tue, wed, thu]",
            "The days on which somebody is at work",
        )
        .default("[mon, tue, wed, thu, fri]"),
        key(
            "business_hours",
            S::Hours,
            "\"08:30-16:30\"",
            "The hours of a business day",
        )
        .default("\"09:00-17:00\""),
        key(
            "holidays",
            S::List(&S::Date),
            "[2026-12-25]",
            "Days that are no business days",
        ),
    ],
};

/// A change window.
pub(in crate::language) static WINDOW: ObjectSpec = ObjectSpec {
    what: "a window",
    open: false,
    rules: Rules::None,
    keys: &[
        key("name", S::Text, "nightly", "Its name in messages").required(),
        ENVIRONMENTS,
        key(
            "days",
            S::List(&S::OneOf(DAYS)),
            "[mon, tue]",
            "The days on which it opens; default: every day",
        ),
        key(
            "hours",
            S::Hours,
            "\"22:00-04:00\"",
            "From when to when it is open; an end that is not after the beginning is on the next day",
        )
        .required(),
    ],
};

/// A time without changes.
pub(in crate::language) static FREEZE: ObjectSpec = ObjectSpec {
    what: "a freeze",
    open: false,
    rules: Rules::None,
    keys: &[
        key("name", S::Text, "year end", "Its name in messages").required(),
        ENVIRONMENTS,
        key(
            "from",
            S::Moment,
            "2026-12-20T18:00",
            "The day or the local time at which it begins",
        )
        .required(),
        key(
            "to",
            S::Moment,
            "2027-01-04",
            "The last day, which is frozen to its end, or the local time at which it ends",
        )
        .required(),
    ],
};

/// Who is told, by severity.
pub(in crate::language) static ESCALATION: ObjectSpec = ObjectSpec {
    what: "`escalation`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "P0",
            S::NonEmptyList(&S::Object(&LEVEL)),
            "[{ role: on-call, channel: ops }, { role: team-lead }]",
            "Who is told when everything is down: one level after the other",
        ),
        key(
            "P1",
            S::NonEmptyList(&S::Object(&LEVEL)),
            "[{ role: on-call, channel: ops }]",
            "Who is told when a main function is down",
        ),
        key(
            "P2",
            S::NonEmptyList(&S::Object(&LEVEL)),
            "[{ role: team-lead }]",
            "Who is told when something is degraded",
        ),
        key(
            "P3",
            S::NonEmptyList(&S::Object(&LEVEL)),
            "[{ role: team-lead, respond_within: next_business_day }]",
            "Who is told about routine work",
        ),
    ],
};

/// A level of an escalation.
pub(in crate::language) static LEVEL: ObjectSpec = ObjectSpec {
    what: "a level of an escalation",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "role",
            S::Name,
            "on-call",
            "The role whose members are told",
        )
        .required(),
        key(
            "channel",
            S::Name,
            "ops",
            "The connection of kind `notify` of the environment that the message goes to; without it the level is only on record",
        ),
        key(
            "respond_within",
            S::Either(&S::Duration, &S::OneOf(&["next_business_day"])),
            "15m",
            "How long they have before the next level is told; default: 15m of P0, 1h of P1, 4h of P2, `next_business_day` of P3",
        ),
    ],
};

/// Break-glass.
pub(in crate::language) static EMERGENCY: ObjectSpec = ObjectSpec {
    what: "`emergency`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "roles",
            S::NonEmptyList(&S::Name),
            "[on-call]",
            "The roles whose members may start an emergency run",
        )
        .required(),
        key(
            "review",
            S::Name,
            "architecture-review",
            "The role whose members review it afterwards",
        )
        .required(),
        key("review_within", S::Duration, "24h", "How long they have").default("72h"),
    ],
};

/// How often runbooks are looked through.
pub(in crate::language) static REVIEWS: ObjectSpec = ObjectSpec {
    what: "`reviews`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "low",
            S::Duration,
            "365d",
            "After how long the review of a runbook of low risk is stale",
        )
        .default("180d"),
        key(
            "medium",
            S::Duration,
            "120d",
            "After how long the review of a runbook of medium risk is stale",
        )
        .default("180d"),
        key(
            "high",
            S::Duration,
            "90d",
            "After how long the review of a runbook of high risk is stale",
        )
        .default("180d"),
    ],
};

/// How the audit trail is kept.
pub(in crate::language) static AUDIT: ObjectSpec = ObjectSpec {
    what: "`audit`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "remote",
            S::Text,
            "../audit.git",
            "The Git URL that the trail is pushed to, or a path from the repository's root",
        ),
        key(
            "signers",
            S::MapOf(&S::Name, &S::NonEmptyList(&S::SshKey)),
            "{ host1: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ] }",
            "Public keys that may sign commits of the trail, by the name of a host or person",
        ),
        key(
            "require_signatures",
            S::Bool,
            "true",
            "Whether no run is started without the key of a signer",
        )
        .default("false"),
    ],
};
