//! The codes of this room and their pages.

use crate::base::{Code, CodePage};
use crate::language::codes as language;

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        $(#[doc = concat!($code, ": ", $title, ".")]
        pub const $name: Code = Code($code);)*

        /// Every code of this room with its page.
        pub const CODES: &[CodePage] = &[$(CodePage {
            code: $name,
            title: $title,
            page: include_str!(concat!("../../docs/errors/", $code, ".md")),
        }),*];
    };
}

codes! {
    TEMPLATE_SYNTAX = "RB0201", "a template cannot be read";
    CONDITION_SYNTAX = "RB0202", "a condition cannot be read";
    UNKNOWN_NAME = "RB0203", "a reference begins with an unknown name";
    UNDECLARED_PARAM = "RB0204", "a parameter is not declared";
    UNKNOWN_VAR = "RB0205", "the environment has no such variable";
    UNKNOWN_STEP = "RB0206", "a reference names an unknown step";
    UNKNOWN_OUTPUT = "RB0207", "a step has no such output";
    NOT_BEFORE = "RB0208", "a reference to a step that does not come before";
    OWN_STEP = "RB0209", "a step refers to itself";
    NOT_HERE = "RB0210", "a name that has no value in this place";
    NOT_A_CONDITION = "RB0211", "a condition that does not give true or false";
    RAW_IN_SHELL = "RB0212", "a value goes into a shell script without quoting";
    QUOTED_IN_SHELL = "RB0213", "a template stands inside shell quotes";
    UNLIKE_VALUES = "RB0214", "a comparison of unlike values";
    CONSTANT_CONDITION = "RB0215", "a condition that is always true or never";
    UNREACHABLE = "RB0216", "a step that can never run";
    UNKNOWN_FUNCTION = "RB0220", "a function or helper that does not exist";
    WRONG_ARGUMENTS = "RB0221", "a function or helper with the wrong values";
    BAD_PATTERN = "RB0222", "a regular expression that cannot be read";
    BAD_LITERAL = "RB0223", "a duration, time or size that cannot be read";
    BAD_OPERANDS = "RB0224", "values that cannot be reckoned with each other";
    NO_ITEMS = "RB0225", "a loop over something without items";
    UNKNOWN_NEED = "RB0301", "a step needs an unknown step";
    NEEDS_ITSELF = "RB0302", "a step needs itself";
    CYCLE = "RB0303", "steps need each other in a circle";
    IDLE_GATE = "RB0304", "nothing waits for an approval";
    NOT_A_LIST = "RB0308", "a loop over something that is no list";
    TOO_MANY_INSTANCES = "RB0309", "a loop over too many items";
    UNKNOWN_RUNBOOK = "RB0310", "there is no such runbook";
    CALLS_ITSELF = "RB0311", "a runbook runs itself";
    TOO_DEEP = "RB0312", "runbooks run each other too deep";
    TOO_MANY_STEPS = "RB0313", "a plan has too many steps";
    VERIFY_CHANGES = "RB0314", "a step of verify changes something";
    PROBE_CHANGES = "RB0315", "the action of unless changes something";
    NO_VARIABLES = "RB0316", "environment on a step that starts no program";
    VARIABLE_TWICE = "RB0317", "a variable is given twice";
    UNKNOWN_SECRET = "RB0318", "there is no such secret";
    ASKS_IN_FINALLY = "RB0319", "an approval under `finally`";
    MAY_BE_SKIPPED = "RB0330", "an output of a step that may be skipped";
    MAY_HAVE_FAILED = "RB0331", "an output of a step whose failure is tolerated";
    NO_UNDO = "RB0332", "a change that a rollback would not undo";
    NO_GATE = "RB0333", "nobody is asked before the point of no return";
    REDUNDANT_NEED = "RB0334", "a need that follows from another";
    GATE_WITHOUT_END = "RB0335", "an approval that waits for ever";
    MAY_NOT_HAVE_RUN = "RB0336", "an output used under `finally` that may be missing";
    NO_EFFECT_IN_FINALLY = "RB0337", "a key that has no effect under `finally`";
    UNUSED_PARAM = "RB0401", "a parameter is never used";
    UNKNOWN_SERVICE = "RB0402", "the environment has no such service";
    UNKNOWN_CONNECTION = "RB0403", "the environment has no such connection";
    MISSING_PARAM = "RB0404", "a required parameter has no value";
    UNKNOWN_PARAM = "RB0405", "a value for a parameter that does not exist";
    BAD_PARAM_VALUE = "RB0406", "a value that its parameter does not permit";
    UNKNOWN_PROVIDER = "RB0407", "a service has an unknown provider";
    BAD_SERVICE = "RB0408", "a service's keys are not what its provider wants";
    UNKNOWN_PERSON = "RB0409", "a policy names an unknown person or role";
    STALE_REVIEW = "RB0410", "the last review was too long ago";
    NEVER_REVIEWED = "RB0411", "nothing says when the runbook was reviewed";
    REVIEWED_LATER = "RB0412", "a review in the future";
    SHADOWED_NAME = "RB0413", "one name for two things";
    NO_OBJECTIVE = "RB0414", "an outage without a time to recover";
    BAD_CONNECTION = "RB0415", "a connection's keys are not what its kind wants";
    UNKNOWN_ACTION = "RB0501", "an unknown action";
    UNKNOWN_INPUT = "RB0502", "an action has no such input";
    MISSING_INPUT = "RB0503", "an action lacks an input";
    WRONG_TYPE = "RB0504", "an input has the wrong type";
    VALUE_NOT_ALLOWED = "RB0505", "an input has a value that is not allowed";
    UNTIL_NEEDS_TIMEOUT = "RB0506", "polling without an end";
    NOT_FOR_APPROVALS = "RB0507", "a key that an approval cannot have";
    LONGER_THAN_RUN = "RB0508", "a step that may take longer than the whole run";
    RETRY_ONCE = "RB0509", "a retry of what must happen at most once";
    POLL_ONCE = "RB0510", "polling with an action that must happen at most once";
    POLLED_ONCE = "RB0511", "polling that looks only once";
    SECRET_PUBLISHED = "RB0601", "a secret would be published";
    SECRET_LOOKED_AT = "RB0602", "a secret is looked at where it has no value yet";
    IDLE_PERMIT = "RB0603", "a permission for a secret that is not needed";
    MIXED_SECRET = "RB0604", "a secret is only a part of a text of the environment";
    TEST_UNKNOWN_NAME = "RB0701", "a test names an unknown runbook or environment";
    TEST_UNKNOWN_STEP = "RB0702", "a test names an unknown step";
    TEST_BAD_OUTPUT = "RB0703", "a scripted output that its action never gives";
    TEST_CANNOT_HAPPEN = "RB0704", "a test expects what can never happen";
    TEST_BAD_PARAMS = "RB0705", "a case whose parameters give no plan";
    EXPECTATION_FAILED = "RB0706", "an expectation of a case does not hold";
    UNMET_QUORUM = "RB0801", "a quorum that nobody can meet";
    ONLY_THE_STARTER = "RB0802", "a gate that only its starter could pass";
    NEEDS_SOMEBODY = "RB0803", "an approval that hangs on one person";
    EMPTY_ROLE = "RB0804", "a role without members";
    NO_KEY = "RB0805", "a person without a key where votes are signed";
    POLICY_ENVIRONMENT = "RB0806", "the policy names an unknown environment";
    UNKNOWN_CHANNEL = "RB0807", "an escalation to a channel that is not there";
    LATE_LEVEL = "RB0808", "an escalation that takes longer than the question stands";
    FREEZE_ORDER = "RB0809", "a freeze that ends before it begins";
    PAST_FREEZE = "RB0810", "a freeze that is over";
    NEVER_OPEN = "RB0811", "windows that never open";
    NO_CHAIN = "RB0812", "an escalation to nobody";
    NO_RISK_TABLE = "RB0813", "a protected environment without any rule";
    OWN_REVIEW = "RB0814", "an emergency that its own people review";
    SHARED_KEY = "RB0815", "one key of two people";
    NO_POLICY = "RB0830", "a protected environment without a policy";
    NO_RULE = "RB0831", "the policy has no rule for a risk";
    GATE_AT_ROOT = "RB0832", "a change that no gate certainly holds back";
}

/// The page of a code, of this room or of `language`; `None` for an unknown code.
pub fn explain(code: &str) -> Option<&'static CodePage> {
    language::CODES
        .iter()
        .chain(CODES)
        .find(|page| page.code.0.eq_ignore_ascii_case(code.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_whole() {
        for page in CODES {
            let code = page.code;
            assert!(
                page.page
                    .starts_with(&format!("# {code}: {}\n", page.title)),
                "{code} must begin with its title"
            );
            for part in ["## Wrong\n", "## Right\n", "## Why\n"] {
                assert!(page.page.contains(part), "{code} lacks {part}");
            }
        }
        let mut codes: Vec<_> = CODES.iter().map(|p| p.code).collect();
        codes.dedup();
        assert_eq!(codes.len(), CODES.len());
        assert!(codes.is_sorted());
    }

    #[test]
    fn pages_are_found_in_any_case() {
        assert_eq!(explain(" rb0303 ").map(|p| p.code), Some(CYCLE));
        assert_eq!(explain("RB0101").map(|p| p.code.0), Some("RB0101"));
        assert!(explain("RB9999").is_none());
    }
}
