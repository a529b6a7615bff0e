//! Handlebars templates with escaping by context.

use std::ops::Range;
use std::sync::Arc;

use handlebars::Context;

use super::escape::escape_value;
use super::render::{render_parts, render_tree};
use super::scope::{ExprError, Reference, Scope};
use super::syntax::{self, Part, Syntax};
pub use super::syntax::{Inside, ItemReference};
use crate::base::Value;
use crate::model::Escape;

/// Longest template in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 64 * 1024;

/// A parsed template. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Template(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    form: Form,
    references: Vec<Reference>,
    items: Vec<ItemReference>,
    raw: Vec<Range<usize>>,
    inspected: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Form {
    /// No expression in it.
    Literal(String),
    /// References and nothing else in braces: by far the most templates, so they skip Handlebars,
    /// which takes ten times as long to parse and to render them.
    Parts(Vec<Part>),
    /// Anything else.
    Tree(handlebars::Template),
}

impl Form {
    fn plain(self, references: Vec<Reference>) -> Template {
        Template(Arc::new(Parsed {
            form: self,
            references,
            items: Vec::new(),
            raw: Vec::new(),
            inspected: Vec::new(),
        }))
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// [`ExprError`] with the place of the mistake.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        if !Self::is_in(text) {
            return Ok(Form::Literal(text.to_owned()).plain(Vec::new()));
        }
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(ExprError::new(format!(
                "this template has {} bytes; at most {MAX_TEMPLATE_BYTES} are allowed",
                text.len()
            ))
            .help("keep long texts in a file, and name the file"));
        }
        if let Some((parts, references)) = syntax::plain_parts(text) {
            return Ok(Form::Parts(parts).plain(references));
        }
        Self::parse_tree(text)
    }

    fn parse_tree(text: &str) -> Result<Self, ExprError> {
        let Syntax {
            tree,
            references,
            items,
            raw,
            inspected,
        } = syntax::parse(text)?;
        Ok(Self(Arc::new(Parsed {
            form: Form::Tree(tree),
            references,
            items,
            raw,
            inspected,
        })))
    }

    /// Whether a text has any expression in it; else it stands for itself.
    pub(crate) fn is_in(text: &str) -> bool {
        text.contains("{{")
    }

    /// What it refers to; one entry per place, inner blocks in the order of the text.
    pub fn references(&self) -> &[Reference] {
        &self.0.references
    }

    /// What stands inside `{{#each}}` and `{{#with}}` and means a part of their values, the loops
    /// themselves included.
    pub fn items(&self) -> &[ItemReference] {
        &self.0.items
    }

    /// The one reference that the whole text is, if it is one: its value keeps its type.
    pub fn whole(&self) -> Option<&Reference> {
        match &self.0.form {
            Form::Parts(parts) if matches!(parts.as_slice(), [Part::Reference]) => {
                self.0.references.first()
            }
            _ => None,
        }
    }

    /// Where `{{{ raw }}}` expressions stand, which are not escaped.
    pub fn raw_places(&self) -> &[Range<usize>] {
        &self.0.raw
    }

    /// Where references stand whose value a helper looks at (`eq`, `len`, ...): a secret has none there,
    /// only its marker.
    pub fn inspected_places(&self) -> &[Range<usize>] {
        &self.0.inspected
    }

    /// Renders it. A text that is exactly one reference keeps the value's type where nothing is escaped.
    ///
    /// # Errors
    /// [`ExprError`] when a reference has no value, or its value cannot stand in this place.
    pub fn render(&self, scope: &Scope, escape: Escape) -> Result<Value, ExprError> {
        let references = &self.0.references;
        match &self.0.form {
            Form::Literal(text) => Ok(Value::String(text.clone())),
            Form::Parts(parts) => render_parts(parts, references, scope, escape),
            Form::Tree(tree) => {
                let context = Context::from(Value::Object(scope.part(references)));
                render_tree(tree, &context, escape)
                    .map(Value::String)
                    .map_err(|problem| problem.with_place(references))
            }
        }
    }
}

/// Escapes one value for a place, for callers that build text of their own.
///
/// # Errors
/// [`ExprError`] when the value cannot stand in such a place.
pub fn escape_for(value: &Value, escape: Escape) -> Result<String, ExprError> {
    escape_value(value, escape).map_err(ExprError::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ty;
    use proptest::prelude::*;
    use serde_json::json;
    use std::time::Instant;

    fn scope() -> Scope {
        let mut scope = Scope::new();
        scope.set(
            "params",
            json!({
                "name": "a b", "lines": " a\n\nb c \n", "grace": "90s", "evil": "$(rm -rf /); 'x'", "count": 3, "force": false,
                "list": ["x", "y z"], "people": [{"name": "Ann", "params": 1}, {"name": "Bo"}],
                "map": {"b": 1, "a": "z"}, "nothing": null, "host": "h:1/x", "url": "http://127.0.0.1:80/x"
            }),
            Ty::Any,
        );
        scope.set("steps", json!({"one": {"outputs": {"pid": 7}}}), Ty::Any);
        scope
    }

    fn render(text: &str, escape: Escape) -> Result<Value, String> {
        Template::parse(text)
            .and_then(|t| t.render(&scope(), escape))
            .map_err(|e| e.to_string())
    }

    fn references(text: &str) -> Vec<(String, String)> {
        let template = Template::parse(text).expect(text);
        let mut found: Vec<_> = template
            .references()
            .iter()
            .map(|r| (r.to_string(), text[r.range.clone()].to_owned()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn values_keep_their_type_or_become_text() {
        for (text, expected) in [
            ("no expression", json!("no expression")),
            ("{{ params.list }}", json!(["x", "y z"])),
            ("{{params.count}}", json!(3)),
            ("{{ params.nothing }}", json!(null)),
            ("{{ params.list.1 }}", json!("y z")),
            ("{{ params.list[1] }}", json!("y z")),
            ("<{{ params.people[0].name }}>", json!("<Ann>")),
            ("n={{ params.count }}", json!("n=3")),
            ("{{ params.map }} ", json!(r#"{"a":"z","b":1} "#)),
            (
                "{{ params.name }}{{ steps.one.outputs.pid }}",
                json!("a b7"),
            ),
            ("{{#if params.force}}yes{{else}}no{{/if}}", json!("no")),
            ("{{#if (gt params.count 2)}}many{{/if}}", json!("many")),
            (
                "{{#each params.list}}[{{this}}|{{params.count}}|{{@index}}]{{/each}}",
                json!("[x|3|0][y z|3|1]"),
            ),
            (
                "{{#each params.people}}{{#each ../params.list}}{{../name}}{{../params.count}}{{this}} {{/each}}{{/each}}",
                json!("Ann3x Ann3y z Bo3x Bo3y z "),
            ),
            (
                "{{#each params.people as |p|}}{{p.name}},{{/each}}",
                json!("Ann,Bo,"),
            ),
            (
                "{{#each params.people}}{{name}} {{/each}}",
                json!("Ann Bo "),
            ),
            ("{{#with steps.one}}{{outputs.pid}}{{/with}}", json!("")),
            (
                "{{#with steps.one}}{{this.outputs.pid}}{{/with}}",
                json!("7"),
            ),
            ("{{default params.nothing \"-\"}}", json!("-")),
            ("{{default params.missing params.name}}", json!("a b")),
            ("{{default steps.two.outputs.pid \"none\"}}", json!("none")),
            ("{{default steps.one.outputs.pid \"none\"}}", json!("7")),
            (
                "{{default steps.two.outputs.pid (len params.list)}}",
                json!("2"),
            ),
            ("{{#if steps.two.outputs.pid}}y{{else}}n{{/if}}", json!("n")),
            (
                "{{join params.list}} {{join params.list \"+\"}}",
                json!("x, y z x+y z"),
            ),
            (
                "{{#each (lines params.lines)}}<{{this}}>{{/each}}",
                json!("< a><b c >"),
            ),
            ("{{upper params.name}}{{lower \"AB\"}}", json!("A Bab")),
            ("[{{trim params.lines}}]", json!("[a\n\nb c]")),
            (
                "{{duration params.grace}} {{duration params.grace \"s\"}} {{duration params.grace \"h\"}}",
                json!("1m30s 90 0.025"),
            ),
            (
                "{{bytes \"64MiB\"}} {{bytes 1536 \"KiB\"}} {{bytes \"2MB\" \"kB\"}}",
                json!("67108864 1.5 2000"),
            ),
            ("{{json params.list}}", json!(r#"["x","y z"]"#)),
            ("{{lookup params.list 0}}", json!("x")),
            ("\\{{.Names}} {{ params.count }}", json!("{{.Names}} 3")),
            ("{{{{raw}}}}{{.Names}}{{{{/raw}}}}", json!("{{.Names}}")),
            ("{{! a note }}x", json!("x")),
        ] {
            match render(text, Escape::None) {
                Ok(value) => assert_eq!(value, expected, "{text}"),
                // `outputs` is a root everywhere, so that a name never changes its meaning.
                Err(error) => {
                    assert!(text.contains("{{outputs.pid}}"), "{text}: {error}");
                    assert_eq!(error, "`outputs.pid` has no value");
                }
            }
        }
    }

    #[test]
    fn escapes_by_place() {
        for (text, escape, expected) in [
            ("{{ params.name }}", Escape::Shell, "'a b'"),
            (
                "echo {{ params.evil }}",
                Escape::Shell,
                r#"echo '$(rm -rf /); '"'x'""#,
            ),
            ("ls {{ sh params.list }}", Escape::Shell, "ls x 'y z'"),
            (
                "echo {{ json params.list }}",
                Escape::Shell,
                r#"echo '["x","y z"]'"#,
            ),
            (
                "curl -m {{ duration params.grace \"s\" }} {{ upper params.name }} {{ join params.list }}",
                Escape::Shell,
                "curl -m 90 'A B' 'x, y z'",
            ),
            (
                "{{ default params.nothing params.name }} {{ default params.missing \"-\" }}",
                Escape::Shell,
                "'a b' -",
            ),
            (
                "/x/{{ sh params.list }}/{{ json params.list }}",
                Escape::Url,
                "/x/x%20%27y%20z%27/%5B%22x%22%2C%22y%20z%22%5D",
            ),
            (
                r#"{"w": {{ sh params.list }}, "n": {{ duration params.grace "s" }}}"#,
                Escape::Json,
                r#"{"w": "x 'y z'", "n": 90}"#,
            ),
            (
                "{{#each params.list}}{{this}};{{/each}}",
                Escape::Shell,
                "x;'y z';",
            ),
            (
                "{{{ params.name }}} {{ params.count }}",
                Escape::Shell,
                "a b 3",
            ),
            (
                "{{ params.url }}/{{ params.name }}",
                Escape::Url,
                "http://127.0.0.1:80/x/a%20b",
            ),
            (
                "http://{{ params.host }}/{{ params.host }}",
                Escape::Url,
                "http://h:1%2Fx/h%3A1%2Fx",
            ),
            (
                "{{#if params.count}}http://{{ params.host }}{{/if}}",
                Escape::Url,
                "http://h:1%2Fx",
            ),
            (
                "/{{ params.url }}",
                Escape::Url,
                "/http%3A%2F%2F127.0.0.1%3A80%2Fx",
            ),
            ("{{ params.name }}/x", Escape::Url, "a%20b/x"),
            (
                r#"{"n": {{ params.name }}, "l": {{ json params.list }}}"#,
                Escape::Json,
                r#"{"n": "a b", "l": ["x","y z"]}"#,
            ),
        ] {
            assert_eq!(render(text, escape), Ok(json!(expected)), "{text}");
        }
    }

    #[test]
    fn says_why_it_cannot_render() {
        for (text, escape, part) in [
            (
                "{{ params.missing }}",
                Escape::None,
                "`params.missing` has no value",
            ),
            (
                "x {{ params.missing }}",
                Escape::None,
                "`params.missing` has no value",
            ),
            ("x {{ params.nothing }}", Escape::None, "it is null"),
            ("x {{ params.list }}", Escape::Shell, "{{sh ...}}"),
            (
                "{{ params.list }}",
                Escape::Shell,
                "`params.list` cannot be used here",
            ),
            (
                "{{#each params.missing}}x{{/each}}",
                Escape::None,
                "has no value",
            ),
            ("{{json params.list.a}}", Escape::None, "no item `a`"),
            (
                "{{json}}x{{json params.missing}}",
                Escape::None,
                "has no value",
            ),
            (
                "{{upper params.missing}}",
                Escape::None,
                "`params.missing` has no value",
            ),
            (
                "{{upper params.count}}",
                Escape::None,
                "`params.count` cannot be used here: `upper` wants text, found number",
            ),
            (
                "{{join params.name}}",
                Escape::None,
                "`join` wants a list, found text",
            ),
            (
                "{{join params.people}}",
                Escape::None,
                "items that are text or numbers, found map",
            ),
            ("{{duration params.name}}", Escape::None, "`a b`"),
            (
                "{{duration params.grace \"y\"}}",
                Escape::None,
                "`y` is no unit of time",
            ),
            ("{{bytes params.grace}}", Escape::None, "no unit of size"),
            (
                "{{default params.missing params.missing}}",
                Escape::None,
                "has no value",
            ),
        ] {
            let error = render(text, escape).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        let error = Template::parse("ab {{ params.missing }}")
            .and_then(|t| t.render(&scope(), Escape::None))
            .expect_err("missing");
        assert_eq!(error.range, Some(6..20));
    }

    #[test]
    fn lists_every_reference_with_its_place() {
        let refs = |text: &str| {
            references(text)
                .into_iter()
                .map(|(path, _)| path)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            refs("{{params.a}} {{ steps.b.outputs.c }}"),
            ["params.a", "steps.b.outputs.c"]
        );
        assert_eq!(
            refs("{{#if params.a}}{{vars.b}}{{else}}{{vars.c}}{{/if}}"),
            ["params.a", "vars.b", "vars.c"]
        );
        assert_eq!(
            refs(
                "{{#each params.l as |x i|}}{{x}}{{i}}{{@index}}{{this}}{{vars.d}}{{y}}{{/each}}{{x}}"
            ),
            ["params.l", "vars.d", "x"]
        );
        assert_eq!(
            refs("{{json (lookup params.a vars.k)}}"),
            ["params.a", "vars.k"]
        );
        assert_eq!(
            refs("{{{params.a}}} {{default vars.x run.id}}"),
            ["params.a", "run.id", "vars.x"]
        );
        assert_eq!(
            refs("{{#each params.l}}{{../params.x}}{{../y}}{{@root.params.z}}{{/each}}"),
            ["params.l", "params.x", "params.z", "y"]
        );
        let twice = Template::parse("{{params.a}} {{params.a}}!").expect("parses");
        assert_eq!(
            twice
                .references()
                .iter()
                .map(|r| r.range.clone())
                .collect::<Vec<_>>(),
            [2..10, 15..23]
        );
        assert!(
            Template::parse("{{ vars.x }}")
                .expect("parses")
                .whole()
                .is_some()
        );
        let raw = Template::parse("a {{{ params.x }}} {{ params.y }}").expect("parses");
        assert_eq!(raw.raw_places().first(), Some(&(2..18)));
        assert_eq!(raw.raw_places().len(), 1);
    }

    #[test]
    fn lists_what_is_a_part_of_an_item() {
        let items = |text: &str| {
            let template = Template::parse(text).expect(text);
            let item = |item: &ItemReference| {
                let way: Vec<&str> = item
                    .path
                    .iter()
                    .map(|step| match step {
                        Inside::Item => "*",
                        Inside::Field(name) => name,
                    })
                    .collect();
                let root = &template.references()[item.reference];
                format!("{} @ {root}/{}", &text[item.range.clone()], way.join("/"))
            };
            template.items().iter().map(item).collect::<Vec<_>>()
        };
        assert_eq!(
            items("{{#each params.a}}{{this}}{{name}}{{this.x.y}}{{params.z}}{{@index}}{{/each}}"),
            [
                "params.a @ params.a/*",
                "name @ params.a/*/name",
                "this.x.y @ params.a/*/x/y"
            ]
        );
        assert_eq!(
            items(
                "{{#each params.a as |p i|}}{{p.name}}{{i}}{{#each p.tags}}{{../name}}{{length}}{{/each}}{{/each}}"
            ),
            [
                "params.a @ params.a/*",
                "p.name @ params.a/*/name",
                "p.tags @ params.a/*/tags",
                "p.tags @ params.a/*/tags/*",
                "../name @ params.a/*/name",
                "length @ params.a/*/tags/*/length"
            ]
        );
        assert_eq!(
            items(
                "{{#with steps.a}}{{status}}{{else}}{{vars.x}}{{/with}}{{#each (lines vars.y)}}{{this.z}}{{/each}}"
            ),
            ["status @ steps.a/status"]
        );
    }

    #[test]
    fn every_example_of_a_helper_is_a_template() {
        for helper in crate::language::helpers() {
            let template = Template::parse(helper.example).expect(helper.example);
            assert!(!template.references().is_empty(), "{}", helper.example);
            assert!(helper.usage.starts_with(helper.name), "{}", helper.usage);
        }
    }

    #[test]
    fn refuses_with_a_place_and_a_reason() {
        for (text, part, place) in [
            (
                "docker ps --format '{{.Names}}'",
                "`{{.Names}}` is not a template expression",
                "{{.Names}}",
            ),
            ("{{#if params.x}}never closed", "not closed", ""),
            (
                "{{#if params.x}}a{{/each}}",
                "the block `if` is closed as `each`",
                "{{/each}}",
            ),
            ("{{> other}}", "partials", ""),
            ("{{#*inline \"x\"}}{{/inline}}", "decorators", ""),
            (
                "{{#foreach params.x}}{{/foreach}}",
                "there is no block `{{#foreach}}`",
                "foreach",
            ),
            ("{{uper params.x}}", "there is no helper `uper`", "uper"),
            ("{{ now \"x\" }}", "there is no helper `now`", "now"),
            (
                "{{default params.x}}",
                "`default` takes 2 values, found 1",
                "default",
            ),
            (
                "{{json params.x params.y}}",
                "`json` takes one value, found 2",
                "json",
            ),
            (
                "x {{ join params.x sep=\"-\" }}",
                "and none with a name",
                "join",
            ),
            (
                "{{#if (eq params.x)}}{{/if}}",
                "`eq` takes 2 values, found 1",
                "eq",
            ),
            ("{{#if params.x params.y}}{{/if}}", "takes one value", ""),
            (
                "{{#each params.l as |params|}}{{/each}}",
                "hides `params`",
                "",
            ),
            ("{{ this }}x", "only inside", "this"),
            ("a {{ @index }}", "only inside", "@index"),
            ("{{#if}}x{{/if}}", "wants a value", ""),
        ] {
            let error = Template::parse(text).expect_err(text);
            assert!(error.message.contains(part), "{text}: {error}");
            if !place.is_empty() {
                let range = error.range.clone().expect(text);
                assert_eq!(&text[range], place, "{text}: {error}");
            }
        }
        let help = Template::parse("{{.Names}}")
            .expect_err("go")
            .help
            .unwrap_or_default();
        assert!(
            help.contains("\\{{") && help.contains("template: false"),
            "{help}"
        );
    }

    #[test]
    fn hostile_templates_are_refused_quickly() {
        let started = Instant::now();
        for text in [
            "{{#if a}}".repeat(20_000),
            format!("{}{}", "{{#if a}}".repeat(5_000), "{{/if}}".repeat(5_000)),
            "{{#if a}}".repeat(199),
            format!(
                "{}x{}",
                "{{#if params.a}}".repeat(200),
                "{{/if}}".repeat(199)
            ),
            "{{".repeat(30_000),
            format!("{{{{ {} }}}}", "(json ".repeat(10_000)),
            format!("{{{{ json {} }}}}", "[".repeat(30_000)),
            "{{{{raw}}}}".repeat(5_000),
            format!("{{{{{}", "~".repeat(60_000)),
            "a".repeat(10_000_000) + "{{ x }}",
        ] {
            assert!(Template::parse(&text).is_err(), "{}…", &text[..20]);
        }
        // Debug builds on a busy machine are slow; a hang takes minutes.
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_text_is_answered(text in "([{}#/~!a-z .()\"'|=@*>&^\\\\\\[\\]]|\\{\\{|\\}\\}|else|if|as|each|ü){0,60}") {
            if let Ok(template) = Template::parse(&text) {
                for escape in [Escape::None, Escape::Shell, Escape::Url, Escape::Json] {
                    let _ = template.render(&scope(), escape);
                }
            }
        }

        #[test]
        fn any_unicode_is_answered(before in "\\PC{0,20}", inside in "\\PC{0,30}", after in "\\PC{0,20}") {
            for text in [
                format!("{before}{{{{{inside}}}}}{after}"),
                format!("{{{{#if {inside}}}}}{before}{{{{else}}}}{after}{{{{/if}}}}"),
                format!("{before}{{{{json ({inside}) a=\"{after}\"}}}}"),
            ] {
                if let Ok(template) = Template::parse(&text) {
                    let _ = template.render(&scope(), Escape::Shell);
                    for reference in template.references() {
                        prop_assert!(text.get(reference.range.clone()).is_some());
                    }
                }
            }
        }

        #[test]
        fn the_short_way_and_handlebars_agree(
            text in "(a b|ü|http://|/|:|\n|\\{\\{ ?(params\\.(name|count|list|list\\.1|nothing|url|missing)|steps\\.one\\.outputs\\.pid|vars\\.x|else|this) ?\\}\\}){1,6}"
        ) {
            let short = Template::parse(&text);
            let long = Template::parse_tree(&text);
            prop_assert_eq!(short.is_ok(), long.is_ok(), "{}", text);
            if let (Ok(short), Ok(long)) = (short, long) {
                prop_assert_eq!(short.references(), long.references());
                for escape in [Escape::None, Escape::Shell, Escape::Url, Escape::Json] {
                    if short.whole().is_some() && escape == Escape::None {
                        continue; // Keeps its type only the short way.
                    }
                    prop_assert_eq!(
                        short.render(&scope(), escape).map_err(|e| (e.message, e.range)),
                        long.render(&scope(), escape).map_err(|e| (e.message, e.range)),
                        "{}", text
                    );
                }
            }
        }

        #[test]
        fn text_without_braces_is_left_alone(text in "[^{]{0,80}") {
            prop_assert_eq!(render(&text, Escape::Shell), Ok(json!(text)));
        }

        #[test]
        fn a_shell_value_stays_one_word(word in "[^\0]{0,40}") {
            let mut scope = Scope::new();
            scope.set("params", json!({"word": word}), Ty::Any);
            let template = Template::parse("x {{ params.word }} y").expect("parses");
            let line = template.render(&scope, Escape::Shell).expect("renders");
            prop_assert_eq!(
                shlex::split(line.as_str().unwrap_or_default()),
                Some(vec!["x".to_owned(), word, "y".to_owned()])
            );
        }
    }
}
