use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::{Limits, parse_yaml, source_from_bytes};
use crate::base::{Code, Diagnostic, Diagnostics, SourceFile, Span};
use crate::language::codes;
use crate::model::{YamlValue, YamlValueKind};

fn read(text: &str) -> (Option<YamlValue>, Vec<Diagnostic>, Arc<SourceFile>) {
    let source = SourceFile::new("a.yaml", text);
    let mut diags = Diagnostics::new();
    let tree = parse_yaml(&source, &Limits::default(), &mut diags);
    (tree, diags.into_sorted(), source)
}

fn good(text: &str) -> (YamlValue, Arc<SourceFile>) {
    let (tree, diags, source) = read(text);
    assert_eq!(diags, [], "{text}");
    (tree.expect("a tree"), source)
}

#[track_caller]
fn one_error(text: &str, code: Code, message: &str) -> Diagnostic {
    let (_, mut diags, _) = read(text);
    assert_eq!(diags.len(), 1, "{diags:#?}");
    let error = diags.remove(0);
    assert_eq!(error.code, code, "{}", error.message);
    assert!(error.message.contains(message), "{}", error.message);
    error
}

fn slice(source: &SourceFile, span: Span) -> &str {
    &source.text[span.start..span.end()]
}

fn get<'a>(tree: &'a YamlValue, key: &str) -> (Span, &'a YamlValue) {
    let YamlValueKind::Map(map) = &tree.kind else {
        panic!("no map: {tree:?}");
    };
    let (span, value) = map.get(key).expect(key);
    (*span, value)
}

#[test]
fn a_tree_has_values_and_places() {
    let (tree, source) = good(
        "title: Größe prüfen # ä\nüber:\n  - 'it''s'\n  - \"a\\tb\"\n  - {n: 1, \"q\": yes}\nlast: ~\n",
    );
    assert_eq!(
        tree.to_json(),
        json!({"title": "Größe prüfen", "über": ["it's", "a\tb", {"n": 1, "q": "yes"}], "last": null})
    );
    let (key, title) = get(&tree, "title");
    assert_eq!(slice(&source, key), "title");
    assert_eq!(slice(&source, title.span), "Größe prüfen");
    let (key, list) = get(&tree, "über");
    assert_eq!(slice(&source, key), "über");
    assert!(slice(&source, list.span).starts_with("- 'it''s'"));
    assert!(slice(&source, list.span).ends_with("\"q\": yes}"));
    let YamlValueKind::List(items) = &list.kind else {
        panic!("no list");
    };
    assert_eq!(slice(&source, items[0].span), "'it''s'");
    assert_eq!(slice(&source, items[2].span), "{n: 1, \"q\": yes}");
    assert_eq!(slice(&source, get(&items[2], "q").0), "\"q\"");
    assert_eq!(slice(&source, get(&tree, "last").1.span), "~");
}

#[test]
fn texts_know_where_their_letters_stand() {
    for (yaml, letters) in [
        ("ä: plain text", Some("plain text")),
        ("ä: 'single {{ x }}'", Some("single {{ x }}")),
        ("ä: \"double {{ x }}\"", Some("double {{ x }}")),
        ("ä: \"\"", Some("")),
        ("ä: |\n  one {{ x }} line\n", Some("one {{ x }} line")),
        ("ä: |-\n    strip {{ x }}\n", Some("strip {{ x }}")),
        ("ä: |\n  two\n  lines\n", None),
        ("ä: >\n  folded\n", None),
        ("ä: 'it''s'", None),
        ("ä: \"a\\\"b\"", None),
        ("ä: \"a\\u0041\"", None),
        ("ä: two\n  lines", None),
    ] {
        let (tree, source) = good(yaml);
        let YamlValueKind::Text {
            text,
            content_offset,
        } = &get(&tree, "ä").1.kind
        else {
            panic!("no text: {yaml}");
        };
        let found = content_offset.map(|at| &source.text[at..at + text.trim_end().len()]);
        assert_eq!(found, letters, "{yaml}");
    }
}

#[test]
fn line_endings_and_a_leading_byte_order_mark_are_no_matter() {
    let (tree, source) = good("\u{FEFF}a: ü\r\nb:\r\n  - c\r\n");
    assert_eq!(tree.to_json(), json!({"a": "ü", "b": ["c"]}));
    assert_eq!(slice(&source, get(&tree, "a").0), "a");
    assert_eq!(slice(&source, get(&tree, "b").0), "b");
}

#[test]
fn empty_files_are_null() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "\u{FEFF}"] {
        assert_eq!(good(text).0.to_json(), json!(null), "{text:?}");
    }
}

#[test]
fn aliases_copy_values() {
    let (tree, _) = good("a: &x {k: [1, 2]}\nb: *x\nc: &t text\nd: [*t, *t]\n");
    assert_eq!(
        tree.to_json(),
        json!({"a": {"k": [1, 2]}, "b": {"k": [1, 2]}, "c": "text", "d": ["text", "text"]})
    );
}

#[test]
fn hostile_nesting_is_refused() {
    for text in [
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "[".repeat(100_000),
        "? ".repeat(100_000),
        "a:\n".to_owned()
            + &(1..2_000)
                .map(|n| " ".repeat(n) + "a:\n")
                .collect::<String>(),
        "&a [".repeat(1_000),
        format!("{}1{}", "[".repeat(100), "]".repeat(100)),
    ] {
        one_error(&text, codes::TOO_DEEP, "more than 64 deep");
    }
    good(&format!("{}1{}", "[".repeat(64), "]".repeat(64)));
}

#[test]
fn aliases_cannot_multiply_without_bound() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 9].join(", ");
        bomb += &format!("a{level}: &a{level} [{items}]\n");
    }
    one_error(&bomb, codes::TOO_MANY_VALUES, "more than 20000 values");
    let text = "x".repeat(100_000);
    let copies = "- *a\n".repeat(1_000);
    one_error(
        &format!("- &a {text}\n{copies}"),
        codes::TOO_MANY_VALUES,
        "bytes of text",
    );
    let deep = format!("- &a {}1{}\n", "[".repeat(60), "]".repeat(60));
    good(&format!("{deep}- [[[*a]]]\n"));
    one_error(&format!("{deep}- [[[[*a]]]]\n"), codes::TOO_DEEP, "64 deep");
    one_error("a: &a [*a]", codes::BAD_ALIAS, "inside the value");
    one_error("a: *b", codes::BAD_ALIAS, "no anchor above");
}

#[test]
fn hostile_sizes_are_refused() {
    let huge = format!("a: {}", "x".repeat(10_000_000));
    one_error(&huge, codes::TOO_LARGE, "10000003 bytes; at most 8388608");
    let long = format!("a: {}", "x".repeat(2_000_000));
    one_error(
        &long,
        codes::TOO_LARGE,
        "a text has 2000000 bytes; at most 1048576",
    );
    let long = format!("a: \"{}\"", "x".repeat(2_000_000));
    one_error(&long, codes::TOO_LARGE, "a text has");
    let many = "- \n".repeat(1_000_001);
    one_error(&many, codes::TOO_MANY_VALUES, "more than 1000000 values");
    let error = source_from_bytes("a.yaml", vec![0xFF; 9 << 20], &Limits::default());
    assert_eq!(error.expect_err("too large").code, codes::TOO_LARGE);
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let limits = Limits::default();
    let error = source_from_bytes("a.yaml", b"ab: \xC3\xBC\xFFx".to_vec(), &limits);
    let error = error.expect_err("no UTF-8");
    assert_eq!(error.code, codes::NOT_UTF8);
    assert!(error.message.contains("byte 6 (0xFF)"), "{}", error.message);
    assert_eq!(
        error.labels[0]
            .source
            .line_column(error.labels[0].span.start),
        (1, 6)
    );
    let error = source_from_bytes("a.yaml", vec![0xFF, 0xFE, b'a', 0], &limits);
    let help = error.expect_err("no UTF-8").help.unwrap_or_default();
    assert!(help.contains("UTF-16"), "{help}");
    let source = source_from_bytes("a.yaml", b"a: b".to_vec(), &limits).expect("UTF-8");
    assert_eq!(source.text, "a: b");
}

#[test]
fn forbidden_characters_are_refused() {
    one_error("a: b\0c", codes::FORBIDDEN_CHARACTER, "a NUL byte");
    one_error("\0", codes::FORBIDDEN_CHARACTER, "a NUL byte");
    one_error("a: \u{7}", codes::FORBIDDEN_CHARACTER, "U+0007");
    one_error(
        "a: b\u{FEFF}c",
        codes::FORBIDDEN_CHARACTER,
        "byte order mark",
    );
}

#[test]
fn tabs_do_not_indent() {
    for text in [
        "a:\n\tb: 1\n",
        "a:\n  - b\n\t- c\n",
        "a:\n  b: 1\n\tc: 2\n",
        "\ta: 1\n",
        "steps:\n  - id: a\n  \tuses: b\n",
    ] {
        let error = one_error(text, codes::TAB_INDENT, "a tab");
        let label = &error.labels[0];
        assert_eq!(slice(&label.source, label.span), "\t", "{text:?}");
    }
}

#[test]
fn all_duplicate_keys_are_shown_with_both_places() {
    let (tree, diags, source) = read("a: 1\nb: {c: 1, 'c': 2}\na: 3\n");
    let found: Vec<_> = diags
        .iter()
        .map(|d| {
            (
                d.code,
                slice(&source, d.labels[0].span),
                d.labels[0].span.start,
                d.labels[1].span.start,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (codes::DUPLICATE_KEY, "'c'", 15, 9),
            (codes::DUPLICATE_KEY, "a", 23, 0)
        ]
    );
    assert_eq!(
        tree.expect("a tree").to_json(),
        json!({"a": 1, "b": {"c": 1}})
    );
}

#[test]
fn a_thousand_mistakes_end_the_reading() {
    let (tree, diags, _) = read(&"a: 1\n".repeat(1_000));
    assert_eq!((tree, diags.len()), (None, Diagnostics::MAX));
}

#[test]
fn keys_are_text() {
    one_error("1: a", codes::KEY_NOT_TEXT, "found `1`");
    one_error("true: a", codes::KEY_NOT_TEXT, "found `true`");
    one_error("~: a", codes::KEY_NOT_TEXT, "found `null`");
    one_error("? [a, b]\n: c\n", codes::KEY_NOT_TEXT, "found a list");
    good("on: a\nno: b\n\"1\": c\n");
    let error = one_error("a: {{ params.x }}", codes::KEY_NOT_TEXT, "found a map");
    assert!(error.help.unwrap_or_default().contains("must be quoted"));
    one_error(
        "a: &x {k: 1}\nb:\n  <<: *x\n",
        codes::MERGE_KEY,
        "merge key",
    );
    good("\"<<\": text\n");
}

#[test]
fn the_rest_of_yaml_is_refused_clearly() {
    one_error("a: !!int 5", codes::TAG, "tag");
    one_error("a: !secret b", codes::TAG, "`!secret`");
    one_error(
        "a: 1\n---\nb: 2\n",
        codes::MANY_DOCUMENTS,
        "more than one document",
    );
    one_error("a: 0755", codes::BAD_NUMBER, "leading zero");
    one_error("a: .inf", codes::BAD_NUMBER, "not a finite");
    one_error("a: 99999999999999999999", codes::BAD_NUMBER, "64 bits");
    for text in [
        "a: 'open",
        "a: [1, 2",
        "a: b: c",
        "a: @x",
        "a: \"\\q\"",
        "a\nb: c",
        "}",
        "a: 1\n b: 2\n",
    ] {
        let error = one_error(text, codes::YAML_SYNTAX, "not valid YAML");
        assert_eq!(error.labels.len(), 1);
    }
    let error = one_error("a: {{ params.x }}-y\n", codes::KEY_NOT_TEXT, "found a map");
    assert!(error.help.unwrap_or_default().contains("must be quoted"));
}

fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b: ",
        "- ",
        "? ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\n",
        "\n  ",
        "\n    ",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "&x ",
        "*x",
        "!t ",
        "#",
        " ",
        "\t",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "ü",
        "𝄞",
        "\r\n",
        "~",
        "1",
        "0x",
        "{{ x }}",
        "\\",
        "\u{FEFF}",
        "<<: ",
        "\u{85}",
        "\u{2028}",
        "|2\n",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn check_spans(tree: &YamlValue, source: &SourceFile) {
    assert!(source.text.get(tree.span.start..tree.span.end()).is_some());
    match &tree.kind {
        YamlValueKind::Literal(_) => {}
        YamlValueKind::Text {
            text,
            content_offset,
        } => {
            if let Some(at) = content_offset {
                let letters = text.strip_suffix('\n').unwrap_or(text);
                assert!(source.text[*at..].starts_with(letters));
            }
        }
        YamlValueKind::List(items) => items.iter().for_each(|item| check_spans(item, source)),
        YamlValueKind::Map(map) => map
            .values()
            .for_each(|(_, value)| check_spans(value, source)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn yaml_like_text_is_always_answered(text in yaml_like()) {
        let (tree, diags, source) = read(&text);
        prop_assert!(tree.is_some() || !diags.is_empty());
        if let Some(tree) = tree {
            check_spans(&tree, &source);
        }
        for diag in &diags {
            for label in &diag.labels {
                prop_assert!(source.text.get(label.span.start..label.span.end()).is_some());
            }
        }
    }

    #[test]
    fn any_bytes_are_always_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = source_from_bytes("a.yaml", bytes, &Limits::default()) {
            let mut diags = Diagnostics::new();
            let tree = parse_yaml(&source, &Limits::default(), &mut diags);
            prop_assert!(tree.is_some() || diags.has_errors());
        }
    }

    #[test]
    fn quoted_words_keep_their_place(words in prop::collection::vec("[a-zäöü€𝄞]{1,8}", 1..20)) {
        let text: String = words.iter().map(|word| format!("- '{word}' # {word}\n")).collect();
        let (tree, source) = good(&text);
        let YamlValueKind::List(items) = &tree.kind else { panic!("no list") };
        for (item, word) in items.iter().zip(&words) {
            prop_assert_eq!(slice(&source, item.span), format!("'{word}'"));
        }
    }
}
