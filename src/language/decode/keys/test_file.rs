//! Keys of test files.

use super::spec::{ObjectSpec, Rules, Shape as S, key};
use crate::language::test_file::TestOutcome;

/// A test file.
pub(in crate::language) static TEST: ObjectSpec = ObjectSpec {
    what: "a test file",
    open: false,
    rules: Rules::None,
    keys: &[
        key("test", S::Format, "v1", "The format; always the first key").required(),
        key(
            "runbook",
            S::Name,
            "service-restart",
            "The runbook that is tested",
        )
        .required(),
        key(
            "environment",
            S::Name,
            "local",
            "The environment whose services and variables are used; default: the one of the command",
        ),
        key(
            "cases",
            S::NonEmptyList(&S::Object(&CASE)),
            "[{ name: works, expect: { outcome: succeeded } }]",
            "Runs, each with what must come of it",
        )
        .required(),
        key(
            "sweeps",
            S::Object(&SWEEPS),
            "{ faults: true }",
            "Sweeps that are run for every case without being asked for",
        ),
    ],
};

/// `sweeps`.
pub(in crate::language) static SWEEPS: ObjectSpec = ObjectSpec {
    what: "`sweeps`",
    open: false,
    rules: Rules::None,
    keys: &[
        key("faults", S::Bool, "true", "As `--fault-sweep`").default("false"),
        key("repeats", S::Bool, "true", "As `--repeat-sweep`").default("false"),
    ],
};

/// A case.
pub(in crate::language) static CASE: ObjectSpec = ObjectSpec {
    what: "a case",
    open: false,
    rules: Rules::None,
    keys: &[
        key("name", S::Text, "restarts it and proves it healthy", "What the case shows; different for each case of a file").required(),
        key(
            "params",
            S::MapOf(&S::Identifier, &S::Any),
            "{ service: api }",
            "Values for the runbook's parameters",
        ),
        key(
            "votes",
            S::List(&S::Object(&VOTE)),
            "[{ gate: go, vote: approve, by: ana, after: 5m }]",
            "Votes at gates; a gate without a vote waits until it lapses",
        ),
        key(
            "steps",
            S::MapOf(&S::StepPath, &REPLIES),
            "{ before: { outputs: { running: true } } }",
            "What the actions of steps give, call by call; a step that is not named succeeds",
        ),
        key(
            "probes",
            S::MapOf(&S::StepPath, &REPLIES),
            "{ restart: { outputs: { healthy: true } } }",
            "What the probes of `unless` give",
        ),
        key(
            "undo",
            S::MapOf(&S::StepPath, &REPLIES),
            "{ restart: { fails: error } }",
            "What the undoing of steps gives",
        ),
        key(
            "cancel",
            S::Object(&CANCEL),
            "{ before: restart }",
            "When somebody cancels the run",
        ),
        key(
            "real",
            S::Bool,
            "true",
            "Whether `--repeat-sweep` performs this case with the real handlers, in a temporary state directory",
        )
        .default("false"),
        key(
            "varies",
            S::MapOf(&S::StepPath, &S::List(&S::Text)),
            "{ restart: [pid] }",
            "Outputs that may differ when a real handler does the same again",
        ),
        key("expect", S::Object(&EXPECT), "{ outcome: succeeded }", "What must be true of the run").required(),
    ],
};

/// One scripted result, or one for each call.
static REPLIES: S = S::Either(&S::Object(&REPLY), &S::List(&S::Object(&REPLY)));

/// A vote.
pub(in crate::language) static VOTE: ObjectSpec = ObjectSpec {
    what: "a vote",
    open: false,
    rules: Rules::None,
    keys: &[
        key("gate", S::StepPath, "go", "The approval step").required(),
        key(
            "vote",
            S::OneOf(&["approve", "reject", "withdraw", "send_back"]),
            "approve",
            "The vote",
        )
        .default("approve"),
        key(
            "by",
            S::Text,
            "ana",
            "Who votes; where a policy says who may: verified, and without a name as many as are needed",
        )
        .default("tester"),
        key("to", S::StepPath, "prepare", "Of `send_back`: the step to start again from"),
        key(
            "inputs",
            S::MapOf(&S::Identifier, &S::Any),
            "{ window: 10m }",
            "What the gate asks to be filled in",
        ),
        key("after", S::Duration, "5m", "How long after the gate opened").default("0s"),
        key("comment", S::Text, "looked at the graphs", "Why"),
    ],
};

/// A scripted result.
pub(in crate::language) static REPLY: ObjectSpec = ObjectSpec {
    what: "a scripted result",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "outputs",
            S::MapOf(&S::Text, &S::Any),
            "{ healthy: false }",
            "Outputs of the action; those that are left out have the least value of their type",
        ),
        key(
            "fails",
            S::Failure,
            "unavailable",
            "The sort of failure that it ends with",
        ),
        key(
            "message",
            S::Text,
            "connection refused",
            "What the failure says",
        ),
        key(
            "times",
            S::Int(1, 10_000),
            "2",
            "How many calls it answers; default: one when another result follows, else all",
        ),
        key("takes", S::Duration, "3s", "How long the call takes").default("1ms"),
    ],
};

/// `cancel`.
pub(in crate::language) static CANCEL: ObjectSpec = ObjectSpec {
    what: "`cancel`",
    open: false,
    rules: Rules::None,
    keys: &[
        key("after", S::Duration, "10s", "So long after the run began"),
        key(
            "before",
            S::StepPath,
            "restart",
            "When this step is about to start",
        ),
    ],
};

/// `expect`.
pub(in crate::language) static EXPECT: ObjectSpec = ObjectSpec {
    what: "`expect`",
    open: false,
    rules: Rules::None,
    keys: &[
        key(
            "outcome",
            S::OneOf(&TestOutcome::WORDS),
            "succeeded",
            "How the run ends; `waiting`: it waits at a gate on which nobody votes",
        ),
        key(
            "exit_code",
            S::Int(0, 255),
            "0",
            "The exit code of `runbook exec`",
        ),
        key(
            "order",
            S::List(&S::StepPath),
            "[before, restart, healthy]",
            "These steps start, in this order; others may start between them",
        ),
        key(
            "skipped",
            S::List(&S::StepPath),
            "[drain]",
            "Exactly these steps are skipped by their `when` or `unless`",
        ),
        key(
            "not_run",
            S::List(&S::StepPath),
            "[restart]",
            "None of these steps starts",
        ),
        key(
            "failed",
            S::List(&S::StepPath),
            "[restart]",
            "Exactly these steps fail for good",
        ),
        key(
            "gates",
            S::List(&S::StepPath),
            "[go]",
            "Exactly these gates open, in this order",
        ),
        key(
            "undone",
            S::List(&S::StepPath),
            "[restart, drain]",
            "Exactly these steps are undone, in this order",
        ),
        key(
            "outputs",
            S::MapOf(&S::Identifier, &S::Any),
            "{ pid: 4242 }",
            "Outputs of the run",
        ),
        key(
            "that",
            S::List(&S::Condition),
            "[\"steps.restart.attempts == 2\"]",
            "Conditions over `outcome`, `exit_code`, `steps`, `outputs`, `params` and `duration`",
        ),
        key(
            "duration",
            S::Object(&DURATION),
            "{ max: 2m }",
            "How long the run takes on the virtual clock",
        ),
    ],
};

/// `duration` of `expect`.
pub(in crate::language) static DURATION: ObjectSpec = ObjectSpec {
    what: "`duration`",
    open: false,
    rules: Rules::None,
    keys: &[
        key("min", S::Duration, "1s", "At least this long"),
        key("max", S::Duration, "2m", "At most this long"),
    ],
};
