//! Reads the paths (`crate::x::y`, `tokio::z`) that a source file names, from its tokens.
//!
//! Tokens, not text, so that comments and strings do not count; tokens, not a syntax tree, so that
//! the insides of macro calls do.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// A path as it is written, `use` groups spread out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    /// Its segments; `*` for a glob.
    pub(super) segments: Vec<String>,
    /// One-based line of its last segment.
    pub(super) line: usize,
    /// How many inline modules (`mod x { … }`) it stands in.
    pub(super) inline_depth: usize,
    /// Whether it stands in an item under `#[cfg(test)]`.
    pub(super) in_test: bool,
}

/// What a source file names.
#[derive(Debug, Default)]
pub(super) struct SourcePaths {
    /// Every path of it.
    pub(super) paths: Vec<NamedPath>,
    /// How many of its lines belong to items under `#[cfg(test)]`.
    pub(super) test_lines: usize,
    /// The files it declares by `#[cfg(test)] mod name;`.
    pub(super) test_modules: Vec<String>,
}

impl SourcePaths {
    /// Reads a source file's text.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let tokens = TokenStream::from_str(text).map_err(|error| error.to_string())?;
        let mut found = Self::default();
        found.walk(&tokens.into_iter().collect::<Vec<_>>(), 0, false);
        Ok(found)
    }

    fn walk(&mut self, tokens: &[TokenTree], depth: usize, in_test: bool) {
        let mut at = 0;
        while at < tokens.len() {
            if !in_test && is_cfg_test(tokens, at) {
                let end = item_end(tokens, at);
                self.test_item(&tokens[at..end], depth);
                at = end;
            } else if let Some(body) = inline_module(tokens, at) {
                self.walk(&children(body), depth + 1, in_test);
                at += 3;
            } else if starts_path(tokens, at) {
                at = self.path(tokens, at, &[], depth, in_test);
            } else {
                if let TokenTree::Group(group) = &tokens[at] {
                    self.walk(&children(group), depth, in_test);
                }
                at += 1;
            }
        }
    }

    fn test_item(&mut self, item: &[TokenTree], depth: usize) {
        if let (Some(first), Some(last)) = (item.first(), item.last()) {
            self.test_lines += last.span().end().line + 1 - first.span().start().line;
        }
        if let Some(at) = item.iter().position(|token| is_ident(token, "mod"))
            && let [TokenTree::Ident(name), end] = &item[at + 1..]
            && is_punct(end, ';')
        {
            self.test_modules.push(name.to_string());
        }
        self.walk(item, depth, true);
    }

    /// Reads the path that starts at `at` and gives the index after it.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        prefix: &[String],
        depth: usize,
        in_test: bool,
    ) -> usize {
        let mut segments = prefix.to_vec();
        let mut line = 0;
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(name)) => {
                    segments.push(name.to_string());
                    line = name.span().start().line;
                }
                Some(star) if is_punct(star, '*') => {
                    segments.push("*".to_owned());
                    line = star.span().start().line;
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.group(&children(group), &segments, depth, in_test);
                    return at + 1;
                }
                // The generic arguments of `Vec::<u8>::new` end what matters of a path.
                _ => break,
            }
            at += 1;
            if !is_double_colon(tokens, at) {
                break;
            }
            at += 2;
        }
        self.paths.push(NamedPath {
            segments,
            line,
            inline_depth: depth,
            in_test,
        });
        at
    }

    /// Reads the `{a, b::c}` of a `use`.
    fn group(&mut self, tokens: &[TokenTree], prefix: &[String], depth: usize, in_test: bool) {
        for entry in tokens.split(|token| is_punct(token, ',')) {
            if !entry.is_empty() {
                self.path(entry, 0, prefix, depth, in_test);
            }
        }
    }
}

fn children(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    matches!(
        tokens.get(at..at + 2),
        Some([TokenTree::Punct(first), second])
            if first.as_char() == ':' && first.spacing() == Spacing::Joint && is_punct(second, ':')
    )
}

/// A path starts at an identifier that follows neither `.` nor the `::` of a longer path.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    if !matches!(tokens[at], TokenTree::Ident(_)) {
        return false;
    }
    let continues = at >= 3
        && is_double_colon(tokens, at - 2)
        && (matches!(tokens[at - 3], TokenTree::Ident(_)) || is_punct(&tokens[at - 3], '>'));
    let is_member = at >= 1 && is_punct(&tokens[at - 1], '.');
    !continues && !is_member
}

fn inline_module(tokens: &[TokenTree], at: usize) -> Option<&Group> {
    match tokens.get(at..at + 3)? {
        [keyword, TokenTree::Ident(_), TokenTree::Group(body)] if is_ident(keyword, "mod") => {
            Some(body)
        }
        _ => None,
    }
}

fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    let Some([hash, TokenTree::Group(attribute)]) = tokens.get(at..at + 2) else {
        return false;
    };
    let inner = children(attribute);
    is_punct(hash, '#')
        && matches!(
            inner.as_slice(),
            [cfg, TokenTree::Group(condition)]
                if is_ident(cfg, "cfg") && condition.stream().to_string() == "test"
        )
}

/// The index after the item that begins (with its attributes) at `at`.
fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| {
        is_punct(token, ';')
            || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    tokens[at..]
        .iter()
        .position(ends)
        .map_or(tokens.len(), |offset| at + offset + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<String> {
        SourcePaths::read(text)
            .expect("valid tokens")
            .paths
            .iter()
            .filter(|path| path.segments.len() > 1)
            .map(|path| format!("{}:{}", path.line, path.segments.join("::")))
            .collect()
    }

    #[test]
    fn spreads_groups_and_reads_macros_and_leading_colons() {
        let text = "use crate::{a::{B, c::*},\n d as e};\nfn f() { tracing::info!(\"{}\", ::x::Y::now()); }";
        assert_eq!(
            written(text),
            [
                "1:crate::a::B",
                "1:crate::a::c::*",
                "2:crate::d",
                "3:tracing::info",
                "3:x::Y::now"
            ]
        );
    }

    #[test]
    fn comments_strings_and_members_do_not_count() {
        let text =
            "// crate::engine::X\n/// crate::engine::Y\nfn f() { \"crate::engine\"; a.b::<u8>(); }";
        assert_eq!(written(text), Vec::<String>::new());
    }

    #[test]
    fn knows_what_belongs_to_tests() {
        let text = "use a::B;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more {\n use c::D;\n}\nuse e::F;\n";
        let found = SourcePaths::read(text).expect("valid tokens");
        assert_eq!(found.test_lines, 6);
        assert_eq!(found.test_modules, ["tests"]);
        let in_test: Vec<_> = found
            .paths
            .iter()
            .filter(|path| path.segments.len() > 1)
            .map(|path| (path.segments[1].as_str(), path.in_test, path.inline_depth))
            .collect();
        assert_eq!(in_test, [("B", false, 0), ("D", true, 1), ("F", false, 0)]);
    }
}
