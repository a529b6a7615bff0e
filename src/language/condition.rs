//! CEL conditions (<https://cel.dev>).

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Env, ExecutionError, Value as CelValue};

use super::cel_syntax::{MAX_DEPTH, RENAMED, Walk, lower_first, refuse_hostile, syntax_error};
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
    pub(super) comparisons: Arc<[Comparison]>,
    pub(super) truths: Arc<[usize]>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("references", &self.references)
            .finish_non_exhaustive()
    }
}

/// What is known of a condition's result before it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives<'a> {
    /// `true` or `false`.
    Bool,
    /// Something else, such as `a number`.
    Other(&'static str),
    /// The value of one reference.
    Reference(&'a Reference),
    /// Not known.
    Unknown,
}

/// One side of a comparison, as far as it is known before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The value of a reference, by its position in [`Condition::references`].
    Reference(usize),
    /// Something of this type.
    Of(&'static Ty),
    /// Not known.
    Unknown,
}

/// Two values that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// What stands left of the operator.
    pub left: Side,
    /// What stands right of it.
    pub right: Side,
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
            comparisons: Arc::from(walk.comparisons),
            truths: Arc::from(walk.truths),
            tree: Arc::new(tree),
        })
    }

    /// What it refers to (not the variables that it binds itself).
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// What it compares with `==`, `!=`, `<`, `<=`, `>` and `>=`.
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// The references that it uses as true or false (beside `&&`, `||`, `!`, before `?`), by position.
    pub fn truths(&self) -> &[usize] {
        &self.truths
    }

    /// What is known of its result.
    pub fn gives(&self) -> Gives<'_> {
        match &self.tree.expr {
            Expr::Call(call) => match call.func_name.as_str() {
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO
                | operators::NEGATE
                | "size"
                | "int"
                | "double"
                | "@bytes" => Gives::Other("a number or text"),
                "string" => Gives::Other("text"),
                "@duration" => Gives::Other("a duration"),
                "timestamp" => Gives::Other("a timestamp"),
                operators::INDEX => self.one_reference(),
                operators::CONDITIONAL => Gives::Unknown,
                name if name.starts_with(['_', '!', '@']) => Gives::Bool,
                "contains" | "startsWith" | "endsWith" | "matches" | "bool" => Gives::Bool,
                _ => Gives::Unknown,
            },
            Expr::Select(select) if select.test => Gives::Bool,
            Expr::Select(_) | Expr::Ident(_) => self.one_reference(),
            Expr::Literal(LiteralValue::Boolean(_)) => Gives::Bool,
            Expr::Literal(LiteralValue::String(_)) => Gives::Other("text"),
            Expr::Literal(_) => Gives::Other("a number"),
            Expr::List(_) => Gives::Other("a list"),
            Expr::Map(_) | Expr::Struct(_) => Gives::Other("a map"),
            _ => Gives::Unknown,
        }
    }

    fn one_reference(&self) -> Gives<'_> {
        match self.references.as_ref() {
            [one] => Gives::Reference(one),
            _ => Gives::Unknown,
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
            other => return ExprError::new(lower_first(&other.to_string())),
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
    fn says_why_it_cannot_be_evaluated() {
        for (text, part) in [
            ("outputs.missing > 1", "`outputs.missing` has no value"),
            ("vars.x == 1", "`vars.x` has no value"),
            (
                "outputs.count",
                "gives a number, but it must give true or false",
            ),
            ("outputs.name > 5", "no matching overload"),
            ("outputs.latency < duration(\"2 s\")", "no unit of time"),
            ("outputs.size < bytes(\"2XB\")", "no unit of size"),
            ("outputs.name.matches(\"(\")", ""),
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

    #[test]
    fn knows_what_cannot_be_a_condition() {
        let gives = |text: &str| format!("{:?}", Condition::parse(text).expect(text).gives());
        assert_eq!(gives("outputs.a > 1"), "Bool");
        assert_eq!(gives("!params.a || has(outputs.b)"), "Bool");
        assert_eq!(gives("[1].exists(x, x > 0)"), "Unknown");
        assert_eq!(gives("1 + 1"), "Other(\"a number or text\")");
        assert_eq!(gives("\"true\""), "Other(\"text\")");
        assert!(gives("outputs.a").starts_with("Reference"));
    }

    #[test]
    fn knows_what_is_compared() {
        let condition = Condition::parse(
            "!params.a && (outputs.b[0] < duration(\"1s\") || [1].exists(x, x == 2) || \"x\" != vars.c)",
        )
        .expect("parses");
        let number = |path: &str| {
            let position = |r: &Reference| r.to_string() == path;
            condition
                .references()
                .iter()
                .position(position)
                .expect(path)
        };
        let comparison = |left, right| Comparison { left, right };
        assert_eq!(
            condition.comparisons(),
            [
                comparison(
                    Side::Reference(number("outputs.b.0")),
                    Side::Of(&Ty::Duration)
                ),
                comparison(Side::Unknown, Side::Of(&Ty::Float)),
                comparison(Side::Of(&Ty::String), Side::Reference(number("vars.c"))),
            ]
        );
        assert_eq!(condition.truths(), [number("params.a")]);
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
