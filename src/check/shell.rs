//! Rules for templates in shell scripts: values are quoted for you, exactly once.

use std::ops::Range;

use super::codes;
use super::texts::TextAt;
use crate::base::{Diagnostic, Diagnostics};
use crate::language::{Reference, Template};

pub(super) fn check(template: &Template, at: TextAt<'_>, diags: &mut Diagnostics) {
    for range in template.raw_places() {
        diags.push(
            Diagnostic::warning(
                codes::RAW_IN_SHELL,
                "this value goes into the shell script as it is: it can run anything",
            )
            .at(at.source, at.place(Some(range)), "not quoted")
            .help("write {{ ... }} with two braces, which quotes the value as one word"),
        );
    }
    for tag in expressions(at.text) {
        let Some(inside) = quoting_at(at.text, tag.start) else {
            continue;
        };
        let inside_tag = |r: &&Reference| tag.contains(&r.range.start);
        let reference = template.references().iter().find(inside_tag);
        // A name that the template itself binds (`this`, `as |name|`) is no reference.
        let (range, name) = match reference {
            Some(reference) => (reference.range.clone(), reference.to_string()),
            None => (tag.clone(), at.text[tag.clone()].to_owned()),
        };
        diags.push(
            Diagnostic::error(
                codes::QUOTED_IN_SHELL,
                format!("`{name}` stands inside {inside}, where it would not be quoted safely"),
            )
            .at(
                at.source,
                at.place(Some(&range)),
                format!("inside {inside}"),
            )
            .help(
                "values are quoted for you: take the expression out of the quotes, \
                 e.g. \"before \"{{ ... }}\" after\"",
            ),
        );
    }
}

/// What stands between the braces of every expression that writes a quoted value: no blocks, no
/// comments, no `{{{ raw }}}`.
fn expressions(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("{{").map(|i| at + i) {
        let rest = &text[open..];
        let (raw, close) = match rest.as_bytes().get(2) {
            Some(b'{') => (true, "}}}"),
            Some(b'!') if rest.starts_with("{{!--") => (true, "--}}"),
            _ => (false, "}}"),
        };
        let Some(end) = rest.find(close).map(|i| open + i) else {
            break;
        };
        at = end + close.len();
        let inner = text[open + 2..end].trim_matches(['~', ' ', '\t', '\n', '\r']);
        let writes = !raw
            && !inner.starts_with(['#', '/', '^', '!', '&'])
            && inner.split_whitespace().next() != Some("else");
        if writes && !inner.is_empty() {
            let start = open + text[open..end].find(inner).unwrap_or(2);
            found.push(start..start + inner.len());
        }
    }
    found
}

/// In which kind of shell quoting a place of a script stands, if in any (POSIX 2.2, 2.7.4).
fn quoting_at(script: &str, place: usize) -> Option<&'static str> {
    let bytes = script.as_bytes();
    // What encloses the place, innermost last: `"` or the `)` that closes a `$(`.
    let mut stack: Vec<u8> = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut at = 0;
    while at < place {
        if !script.is_char_boundary(at) {
            at += 1;
            continue;
        }
        let rest = &script[at..];
        let quoted = stack.last() == Some(&b'"');
        match bytes[at] {
            b'\\' => at += 1,
            b'{' if rest.starts_with("{{") => {
                // The expression itself is not script.
                let end = rest.find("}}").map_or(script.len(), |i| at + i + 1);
                if end >= place {
                    break;
                }
                at = end;
            }
            b'\'' if !quoted => match script[at + 1..].find('\'') {
                Some(close) if at + 1 + close < place => at += 1 + close,
                _ => return Some("single quotes"),
            },
            b'"' if quoted => {
                stack.pop();
            }
            b'"' => stack.push(b'"'),
            b'$' if rest.starts_with("$(") => {
                stack.push(b')');
                at += 1;
            }
            b'(' if !quoted => stack.push(b')'),
            b')' if stack.last() == Some(&b')') => {
                stack.pop();
            }
            b'#' if !quoted && starts_word(bytes, at) => match rest.find('\n') {
                Some(end) if at + end < place => at += end - 1,
                _ => return Some("a comment"),
            },
            b'<' if !quoted && rest.starts_with("<<") && !rest.starts_with("<<<") => {
                waiting.extend(here_word(&rest[2..]));
                at += 1;
            }
            b'\n' if !quoted => {
                for word in std::mem::take(&mut waiting) {
                    match here_end(script, at + 1, &word) {
                        Some(end) if end <= place => at = end.saturating_sub(1),
                        _ => return Some("a here-document"),
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    (stack.last() == Some(&b'"')).then_some("double quotes")
}

fn starts_word(bytes: &[u8], at: usize) -> bool {
    at == 0
        || matches!(
            bytes[at - 1],
            b' ' | b'\t' | b'\n' | b';' | b'(' | b'&' | b'|'
        )
}

fn here_word(rest: &str) -> Option<String> {
    let word: String = rest
        .trim_start_matches('-')
        .trim_start_matches([' ', '\t'])
        .chars()
        .take_while(|c| !c.is_whitespace() && !matches!(c, ';' | '|' | '&' | '<' | '>' | ')'))
        .filter(|c| !matches!(c, '"' | '\'' | '\\'))
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Where the line after the closing word of a here-document begins.
fn here_end(script: &str, from: usize, word: &str) -> Option<usize> {
    let mut at = from;
    for line in script.get(from..)?.split_inclusive('\n') {
        at += line.len();
        if line.trim_matches(['\t', '\n', '\r']) == word {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn knows_where_a_value_would_not_be_quoted() {
        for (script, expected) in [
            ("echo @", None),
            ("echo \"@\"", Some("double quotes")),
            ("echo '@'", Some("single quotes")),
            ("echo 'a' \"b\" @", None),
            ("echo \"a\\\"@", Some("double quotes")),
            ("echo \\\"@", None),
            ("echo \"$(ls @)\"", None),
            ("echo \"$(ls \"@\")\"", Some("double quotes")),
            ("echo $(ls) @", None),
            ("echo \"it's @\"", Some("double quotes")),
            ("# it's a comment\necho @", None),
            ("# about @", Some("a comment")),
            ("echo a#b @", None),
            ("cat <<EOF\nx @\nEOF\n", Some("a here-document")),
            ("cat <<-'EOF'\nx\n\tEOF\necho @", None),
            ("cat <<< @", None),
            ("echo {{ params.it's }} @", None),
            ("echo '{{ a }}' @", None),
        ] {
            let place = script.find('@').expect("marked");
            assert_eq!(quoting_at(script, place), expected, "{script}");
        }
    }

    #[test]
    fn finds_what_writes_a_value() {
        let text = "{{ a.b }} {{{ raw }}} {{#if x}}{{~ this ~}}{{else if y}}{{/if}} {{!-- c }} --}} {{sh l}}";
        let found: Vec<&str> = expressions(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(found, ["a.b", "this", "sh l"]);
    }

    proptest! {
        #[test]
        fn any_script_is_answered(script in "([a-z '\"$()#<{}\\\\\n-]|<<E|\nE\n|é){0,60}", at in 0usize..60) {
            let place = script.char_indices().map(|(i, _)| i).nth(at).unwrap_or(script.len());
            let _ = quoting_at(&script, place);
        }
    }
}
