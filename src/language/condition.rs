//! CEL conditions (<https://cel.dev>).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::{Context, Env, ExecutionError, Value as CelValue};

use super::cel_syntax::{MAX_DEPTH, RENAMED, Walk, lower_first, refuse_hostile, syntax_error};
use super::cel_types::{Typed, Typing};
use super::cel_value;
use super::scope::{ExprError, Reference, Scope};
use crate::base::{Map, Value};
use crate::model::Ty;

static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A parsed condition. Cheap to clone.
#[derive(Clone)]
pub struct Condition {
    pub(super) tree: Arc<IdedExpr>,
    pub(super) references: Arc<[Reference]>,
    pub(super) source: Arc<SourceInfo>,
    pub(super) nodes: Arc<HashMap<u64, usize>>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("references", &self.references)
            .finish_non_exhaustive()
    }
}

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    /// [`ExprError`] with the place of the mistake.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        refuse_hostile(text)?;
        let (mut tree, source) = ENV
            .parser()
            .max_recursion_depth(MAX_DEPTH as u16)
            .parse_with_source_info(text)
            .map_err(|errors| syntax_error(&errors, text))?;
        let mut walk = Walk::new(text, &source);
        walk.expression(&mut tree, 0)?;
        Ok(Self {
            references: Arc::from(walk.references),
            nodes: Arc::new(walk.nodes),
            tree: Arc::new(tree),
            source: Arc::new(source),
        })
    }

    /// What it refers to (not the variables that it binds itself).
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// What is known of its types, when those of its references are; `types` in the order of
    /// [`Condition::references`], `None` for one that is not known.
    pub fn types(&self, types: &[Option<Ty>]) -> Typed {
        let mut typing = Typing {
            text: &self.source.source,
            source: &self.source,
            references: &self.references,
            nodes: &self.nodes,
            types,
            bound: Vec::new(),
            problems: Vec::new(),
        };
        Typed {
            result: typing.of(&self.tree),
            problems: typing.problems,
        }
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// [`ExprError`] when a reference has no value, or the result is no boolean.
    pub fn holds(&self, scope: &Scope) -> Result<bool, ExprError> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        let declare = |error: cel::DeclarationError| ExprError::new(error.to_string());
        context
            .add_function(RENAMED[0].1, cel_value::duration)
            .map_err(declare)?;
        context
            .add_function(RENAMED[1].1, cel_value::bytes)
            .map_err(declare)?;
        let part: Map<String, Value> = scope.part(&self.references);
        for (root, value) in &part {
            let ty = scope.roots().get(root).map_or(&Ty::Any, |(_, ty)| ty);
            let value = cel_value::from_json(value, ty)
                .map_err(|why| ExprError::new(format!("`{root}`: {why}")))?;
            context.add_variable_from_value(root.clone(), value);
        }
        match CelValue::resolve(&self.tree, &context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(ExprError::new(format!(
                "the condition gives {}, but it must give true or false",
                cel_value::kind_name(&other)
            ))),
            Err(error) => Err(self.evaluation_error(&error, scope)),
        }
    }

    fn evaluation_error(&self, error: &ExecutionError, scope: &Scope) -> ExprError {
        let missing = |name: &str| {
            self.references
                .iter()
                .find(|r| r.path.iter().any(|s| s == name) && scope.lookup(&r.path).is_none())
        };
        let name = match error {
            ExecutionError::NoSuchKey(name) | ExecutionError::UndeclaredReference(name) => name,
            other => return ExprError::new(words(other)),
        };
        match missing(name) {
            Some(reference) => ExprError::new(super::render::no_value(&reference.to_string()))
                .at(reference.range.clone())
                .help(format!(
                    "guard it with has({reference}) if it may be absent"
                )),
            None => ExprError::new(format!("`{name}` has no value")),
        }
    }
}

/// An error in words. Values are told by their kind alone: a map is printed in another order each time,
/// and equal runs must give equal records.
fn words(error: &ExecutionError) -> String {
    use ExecutionError as E;
    let kind = cel_value::kind_name;
    match error {
        E::UnsupportedTargetType { target } => {
            format!("{} is not what this function works on", kind(target))
        }
        E::NotSupportedAsMethod { method, target } => {
            format!("{} has no method `{method}`", kind(target))
        }
        E::UnsupportedKeyType(key) => format!("{} cannot be a key of a map", kind(key)),
        E::ValuesNotComparable(left, right) => {
            format!("{} cannot be compared with {}", kind(left), kind(right))
        }
        E::UnsupportedBinaryOperator(operator, left, right) => format!(
            "the operator `{operator}` does not go with {} and {}",
            kind(left),
            kind(right)
        ),
        E::UnsupportedIndex(index, of) => {
            format!("{} is no index of {}", kind(index), kind(of))
        }
        E::IndexOutOfBounds(_) => "a list has no item at this index".to_owned(),
        E::DivisionByZero(_) | E::RemainderByZero(_) => "a division by zero".to_owned(),
        E::Overflow(..) => "a number grows too large".to_owned(),
        E::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        other => lower_first(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectTy;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::time::Instant;

    fn object(fields: &[(&str, Ty)]) -> Ty {
        Ty::Object(ObjectTy {
            fields: fields
                .iter()
                .map(|(name, ty)| ((*name).to_owned(), ty.clone()))
                .collect::<BTreeMap<_, _>>(),
            required: Vec::new(),
            open: false,
        })
    }

    fn scope() -> Scope {
        let mut scope = Scope::new();
        scope.set(
            "outputs",
            json!({
                "latency": "1500ms", "healthy": true, "count": 3, "size": 70_000_000, "ratio": 1,
                "at": "2026-11-23T03:00:00Z", "name": "api-7", "tags": ["a", "b"],
                "parts": [{"name": "x", "lag": "3s"}], "a b": 1, "nothing": null, "big": u64::MAX
            }),
            object(&[
                ("latency", Ty::Duration),
                ("size", Ty::Size),
                ("ratio", Ty::Float),
                ("at", Ty::Timestamp),
                (
                    "parts",
                    Ty::List(Box::new(object(&[("lag", Ty::Duration)]))),
                ),
            ]),
        );
        scope.set("params", json!({"force": false}), Ty::Any);
        scope
    }

    fn holds(text: &str) -> Result<bool, String> {
        Condition::parse(text)
            .and_then(|c| c.holds(&scope()))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn compares_values_by_type() {
        for text in [
            "outputs.healthy && outputs.latency < duration(\"2s\")",
            "outputs.latency == duration(\"1.5s\") && outputs.latency < duration(\"1d\")",
            "outputs.count > 2 || params.force",
            "outputs.size > bytes(\"64MiB\")",
            "outputs.ratio > 0.5 && outputs.ratio == 1.0",
            "outputs.at < timestamp(\"2026-11-23T03:00:01Z\")",
            "outputs.at + duration(\"1d\") > timestamp(\"2026-11-24T02:00:00Z\")",
            "outputs.name.matches(\"^api-[0-9]+$\")",
            "outputs.name.startsWith(\"api\") && size(outputs.tags) == 2",
            "outputs.tags.exists(t, t == \"b\") && \"a\" in outputs.tags",
            "outputs.parts.all(p, p.lag > duration(\"2s\"))",
            "outputs[\"a b\"] == 1 && outputs.tags[1] == \"b\"",
            "!has(outputs.missing) && has(outputs.name)",
            "outputs.nothing == null",
            "params.force ? outputs.count > 5 : outputs.count == 3",
            "outputs.big > 5u",
        ] {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
        assert_eq!(holds("params.force"), Ok(false));
    }

    #[test]
    fn an_error_is_told_in_the_same_words_each_time() {
        for text in [
            "outputs % outputs",
            "outputs + outputs == outputs",
            "outputs < outputs",
            "outputs.tags[outputs] == 1",
            "{outputs: 1}.size() == 1",
        ] {
            let told: Vec<_> = (0..20).map(|_| holds(text).expect_err(text)).collect();
            assert!(told.iter().all(|one| *one == told[0]), "{text}: {told:?}");
            assert!(!told[0].contains("Map"), "{text}: {}", told[0]);
        }
    }

    #[test]
    fn says_why_it_cannot_be_evaluated() {
        for (text, part) in [
            ("outputs.missing > 1", "`outputs.missing` has no value"),
            ("vars.x == 1", "`vars.x` has no value"),
            (
                "outputs.count",
                "gives a number, but it must give true or false",
            ),
            ("outputs.name > 5", "no matching overload"),
            (
                "outputs.latency < duration(outputs.name)",
                "no unit of time",
            ),
            ("outputs.name.matches(outputs.tags[0] + \"(\")", "unclosed"),
        ] {
            let error = holds(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn lists_full_paths_with_their_places() {
        let refs = |text: &str| {
            Condition::parse(text)
                .expect(text)
                .references()
                .iter()
                .map(|r| format!("{r} @ {}", &text[r.range.clone()]))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            refs("steps.lag.outputs.total > 1000 && params.force"),
            [
                "steps.lag.outputs.total @ steps.lag.outputs.total",
                "params.force @ params.force"
            ]
        );
        assert_eq!(
            refs("\"é\" == params[\"a b\"].c && vars . x == 1"),
            ["params.a b.c @ params[\"a b\"].c", "vars.x @ vars . x"]
        );
        assert_eq!(
            refs("outputs.items.exists(i, i.name == params.name)"),
            ["outputs.items @ outputs.items", "params.name @ params.name"]
        );
        assert_eq!(
            refs("outputs.list[0].x == 1"),
            ["outputs.list.0.x @ outputs.list[0].x"]
        );
        assert_eq!(
            refs("outputs.map[params.key].x == 1"),
            ["outputs.map @ outputs.map", "params.key @ params.key"]
        );
        assert_eq!(refs("has(outputs.x) && size(outputs.y) > 0").len(), 2);
        assert_eq!(refs("{\"a\": params.x}[\"a\"] == [vars.y][0]").len(), 2);
    }

    /// What is said of the types when every reference is of the type that its name says.
    fn typed(text: &str) -> (String, Vec<String>) {
        let condition = Condition::parse(text).expect(text);
        let person = object(&[("name", Ty::String), ("age", Ty::Int)]);
        let types: Vec<Option<Ty>> = condition
            .references()
            .iter()
            .map(|r| match r.path.last().map_or("", String::as_str) {
                "text" => Some(Ty::String),
                "count" => Some(Ty::Int),
                "ratio" => Some(Ty::Float),
                "size" => Some(Ty::Size),
                "took" => Some(Ty::Duration),
                "at" => Some(Ty::Timestamp),
                "yes" => Some(Ty::Bool),
                "people" => Some(Ty::List(Box::new(person.clone()))),
                "names" => Some(Ty::List(Box::new(Ty::String))),
                _ => None,
            })
            .collect();
        let typed = condition.types(&types);
        let problems = typed
            .problems
            .iter()
            .map(|p| {
                let place = p.range.clone().map_or("?", |range| &text[range]);
                format!("{:?} {place}: {}", p.kind, p.message)
            })
            .collect();
        (typed.result.to_string(), problems)
    }

    #[test]
    fn knows_the_type_of_its_result() {
        for (text, ty) in [
            ("outputs.count > 1", "bool"),
            ("!params.yes || has(outputs.b)", "bool"),
            ("[1].exists(x, x > 0)", "bool"),
            ("p.names.filter(n, n != \"a\")", "list of any"),
            ("p.names[0]", "any"),
            ("1 + 1", "int"),
            ("p.ratio * 2.0", "float"),
            ("\"true\"", "string"),
            ("p.text + \"x\"", "string"),
            ("p.at - p.at", "duration"),
            ("p.at + duration(\"1h\")", "timestamp"),
            ("duration(\"1h\") - p.took", "duration"),
            ("size(p.names)", "int"),
            ("p.unknown + 1", "any"),
            ("p.yes ? 1 : 2", "int"),
            ("p.at.getHours(\"+01:00\")", "int"),
            ("outputs.text", "string"),
        ] {
            assert_eq!(typed(text), (ty.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn says_what_cannot_be_right_and_where() {
        for (text, problem) in [
            (
                "p.text > 5",
                "Unlike p.text: text is compared with a number",
            ),
            (
                "5 == \"a\" && p.yes",
                "Unlike 5 == \"a\": a number is compared with text",
            ),
            (
                "p.took < \"2s\"",
                "Unlike p.took: a duration is compared with text",
            ),
            (
                "p.at - p.at > 5",
                "Unlike p.at - p.at > 5: a duration is compared with a number",
            ),
            (
                "p.count in p.names",
                "Unlike p.count: a number is compared with text",
            ),
            (
                "\"a\" in p.text",
                "NotAList p.text: `in` wants a list or a map on its right, but this is string",
            ),
            (
                "p.people.all(x, x.age == \"a\")",
                "Unlike x.age == \"a\": a number is compared with text",
            ),
            (
                "p.people.all(x, x.agee > 1)",
                "NoField x.agee: there is no `agee` here; known are age, name",
            ),
            (
                "p.count.all(x, x > 1)",
                "NotAList p.count: only a list or a map has items, but this is int",
            ),
            (
                "p.count && p.yes",
                "NotBool p.count: `p.count` is of type int, but it is used as true or false",
            ),
            (
                "!p.text",
                "NotBool p.text: `p.text` is of type string, but it is used as true or false",
            ),
            (
                "p.text + 1 == \"a\"",
                "Operands p.text + 1: `+` cannot join text and a number",
            ),
            (
                "p.at + p.at > p.at",
                "Operands p.at + p.at: `+` cannot join a timestamp and a timestamp",
            ),
            (
                "p.count * 1.5 > 2.0",
                "Operands p.count * 1.5: a whole number is reckoned with one that has a fraction",
            ),
            (
                "p.count.contains(\"a\")",
                "Arguments p.count: `contains` wants text, but this is a number",
            ),
            (
                "p.text.contains(5)",
                "Arguments 5: `contains` wants text, but this is a number",
            ),
            (
                "size(p.took) > 1",
                "Arguments p.took: `size` wants text or a list or a map, but this is a duration",
            ),
            (
                "duration(p.count) > p.took",
                "Arguments p.count: `duration` wants text, but this is a number",
            ),
            (
                "p.text.getHours() > 1",
                "Arguments p.text: `getHours` wants a timestamp or a duration, but this is text",
            ),
        ] {
            assert_eq!(typed(text).1, [problem], "{text}");
        }
    }

    #[test]
    fn every_example_of_a_function_is_a_condition() {
        for function in crate::language::functions() {
            let condition = Condition::parse(function.example).expect(function.example);
            let typed = condition.types(&vec![None; condition.references().len()]);
            assert!(typed.problems.is_empty(), "{typed:?}");
            assert!(
                matches!(typed.result, Ty::Bool | Ty::Any),
                "{}",
                function.example
            );
        }
    }

    #[test]
    fn functions_give_what_they_promise() {
        for text in [
            "outputs.at - timestamp(\"2026-11-23T02:00:00Z\") == duration(\"1h\")",
            "outputs.at - duration(\"1h\") < outputs.at",
            "outputs.latency + duration(\"500ms\") == duration(\"2s\")",
            "outputs.latency - duration(\"500ms\") == duration(\"1s\")",
            "outputs.latency.getMilliseconds() == 1500",
            "outputs.at.getHours() == 3 && outputs.at.getHours(\"+02:00\") == 5",
            "outputs.at.getFullYear() == 2026 && outputs.at.getMonth() == 10",
            "outputs.at.getDayOfMonth() == 22 && outputs.at.getDayOfWeek() == 1",
            "matches(outputs.name, \"^api-[0-9]+$\") && outputs.name.matches(r\"\\d\")",
            "outputs.name.contains(\"pi\") && outputs.name.endsWith(\"7\")",
            "size(outputs.name) == 5 && outputs.tags.size() == 2 && size(outputs.parts[0]) == 2",
            "outputs.tags.filter(t, t != \"a\") == [\"b\"]",
            "outputs.tags.map(t, t + \"!\") == [\"a!\", \"b!\"]",
            "outputs.tags.exists_one(t, t == \"a\")",
            "string(outputs.count) == \"3\" && int(\"3\") == outputs.count",
            "double(outputs.count) / 2.0 == 1.5 && uint(\"3\") == 3u",
            "bool(\"true\") && type(1) == type(outputs.count) && dyn(outputs.count) == 3",
            "\"at\" in outputs && !(\"away\" in outputs)",
            "bytes(\"1KiB\") == 1024 && bytes(\"1kB\") == 1000",
        ] {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn refuses_with_a_place() {
        for (text, part, place) in [
            ("outputs.a == ", "ends too early", ""),
            ("outputs.a = 1", "not a condition", "="),
            ("outputs.a && && b", "`&&` cannot stand here", "&"),
            ("{{ params.a }}", "not a condition", "{{"),
            ("isReady(outputs.a)", "no function `isReady`", "isReady"),
            (
                "outputs.a.startswith(\"x\")",
                "no function `startswith`",
                "startswith",
            ),
            ("", "empty", ""),
            (
                "outputs.a < duration(\"2 s\")",
                "no unit of time",
                "\"2 s\"",
            ),
            ("outputs.a < bytes(\"2XB\")", "no unit of size", "\"2XB\""),
            (
                "outputs.a < timestamp(\"yesterday\")",
                "yesterday",
                "\"yesterday\"",
            ),
            ("outputs.a.matches(\"ab(c\")", "unclosed group", "("),
            (
                "outputs.a.matches(r'é[z-a]')",
                "character class range",
                "z-a",
            ),
            (
                "outputs.a.matches('a\\\\(b[')",
                "unclosed character class",
                "'a\\\\(b['",
            ),
            (
                "outputs.a.matches(\"x\", \"y\")",
                "takes one value, found 2",
                "matches",
            ),
            (
                "outputs.a.startsWith()",
                "takes one value, found 0",
                "startsWith",
            ),
            ("size()", "takes one value, found 0", "size"),
            (
                "startsWith(outputs.a, \"x\")",
                "with a dot before it",
                "startsWith",
            ),
            ("outputs.a.duration()", "in the brackets", "duration"),
            ("outputs.a.has(b)", "is not written like this", "has"),
        ] {
            let error = Condition::parse(text).expect_err(text);
            assert!(error.message.contains(part), "{text}: {error}");
            if !place.is_empty() {
                let range = error.range.clone().unwrap_or_default();
                assert_eq!(&text[range], place, "{text}: {error}");
            }
        }
    }

    #[test]
    fn hostile_conditions_are_refused_quickly_on_a_small_stack() {
        let work = || {
            let started = Instant::now();
            for text in [
                "(".repeat(100_000),
                format!("{}1{}", "(".repeat(60), ")".repeat(60)),
                format!("{}1{}", "(".repeat(2_000), ")".repeat(2_000)),
                "[".repeat(4_000),
                "!".repeat(4_000) + "a",
                "-".repeat(4_000) + "1",
                "1+".repeat(2_000) + "1 > 0",
                "a && ".repeat(800) + "a",
                "a".to_owned() + &".b".repeat(2_000),
                "f(x)".to_owned() + &".b".repeat(2_000),
                "a".to_owned() + &"[0]".repeat(1_300),
                "a?b:".repeat(1_000) + "c",
                "a".to_owned() + &".exists(x, x".repeat(60) + &")".repeat(60),
                "[[1].map(a, [2].map(b, ".repeat(20) + "1" + &"))]".repeat(20),
                "\"".to_owned() + &"a".repeat(4_000),
                "a.map(x, ".repeat(30) + "x" + &")".repeat(30),
            ] {
                if let Ok(condition) = Condition::parse(&text) {
                    let _ = condition.holds(&scope());
                }
            }
            started.elapsed()
        };
        // Worker threads have 2 MiB.
        let elapsed = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(work)
            .expect("starts")
            .join()
            .expect("does not overflow");
        assert!(elapsed.as_secs() < 30, "{elapsed:?}");
        assert!(Condition::parse(&"(".repeat(100_000)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_text_is_answered(text in "(outputs|a|[()\\[\\]{}.,:?!&|=<>+*/%\"'0-9 bxu\\\\-]|\\.\\?|has|map|in|é){0,40}") {
            if let Ok(condition) = Condition::parse(&text) {
                let _ = condition.holds(&scope());
            }
        }

        #[test]
        fn any_macro_is_answered(
            text in "((a|outputs\\.tags|\\[1, 2\\]|[.]|has|all|exists|exists_one|map|filter|size|duration|bytes|x|\"1s\")([(]|[)]|, |[.]| == |[\\[]|\\])){1,8}"
        ) {
            if let Ok(condition) = Condition::parse(&text) {
                let _ = condition.holds(&scope());
                for reference in condition.references() {
                    prop_assert!(text.get(reference.range.clone()).is_some(), "{}", text);
                }
            }
        }

        #[test]
        fn any_unicode_is_answered(text in "\\PC{0,40}") {
            let _ = Condition::parse(&text);
        }
    }
}
