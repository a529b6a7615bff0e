//! The reference at the cursor inside a template or a condition.

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// `{{ … }}` inside a text.
    Template,
    /// CEL.
    Condition,
}

/// A dotted path at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// The segments before the one at the cursor.
    pub(super) parents: Vec<String>,
    /// The segment at the cursor, whole.
    pub(super) name: String,
    /// Where that segment begins in the text, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
}

impl Path {
    /// All segments, the one at the cursor last.
    pub(super) fn whole(&self) -> Vec<String> {
        let mut path = self.parents.clone();
        path.push(self.name.clone());
        path
    }
}

/// Whether the cursor stands inside `{{ … }}`, closed or not.
pub(super) fn in_template(text: &str, at: usize) -> bool {
    let before = &text[..at];
    before
        .rfind("{{")
        .is_some_and(|open| !before[open + 2..].contains("}}"))
}

/// The path at a byte of a text; `None` inside the quotes of a literal.
pub(super) fn path_at(text: &str, at: usize, language: Language) -> Option<Path> {
    let begin = match language {
        Language::Template => text[..at].rfind("{{")? + 2,
        Language::Condition => 0,
    };
    let scope = &text[begin..at];
    if in_quotes(scope) {
        return None;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '@');
    let start = scope
        .char_indices()
        .rev()
        .take_while(|(_, c)| is_part(*c))
        .last()
        .map_or(at, |(index, _)| begin + index);
    let end = text[at..]
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .map_or(text.len(), |len| at + len);
    let written = &text[start..end];
    // `a[0].b`, `a.[0].b` and `a.0.b` are the same path.
    let name_start = written.rfind(['.', '[', ']']).map_or(0, |dot| dot + 1);
    let parents = written[..name_start]
        .split(['.', '[', ']'])
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect();
    Some(Path {
        parents,
        name: written[name_start..].to_owned(),
        start: start + name_start,
        end,
    })
}

fn in_quotes(text: &str) -> bool {
    let mut open = None;
    for c in text.chars() {
        match open {
            Some(quote) if quote == c => open = None,
            None if matches!(c, '"' | '\'') => open = Some(c),
            _ => {}
        }
    }
    open.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str, language: Language) -> Option<(String, String)> {
        let at = text.find('¦').expect("a cursor");
        let path = path_at(&text.replace('¦', ""), at, language)?;
        Some((path.parents.join("/"), path.name))
    }

    #[test]
    fn paths_end_with_the_segment_at_the_cursor() {
        for (text, parents, name) in [
            ("steps.¦", "steps", ""),
            ("a && steps.x.out¦puts.y > 3", "steps/x", "outputs"),
            ("steps.x.outputs[0].p¦id", "steps/x/outputs/0", "pid"),
            ("ste¦ps.x", "", "steps"),
            ("¦", "", ""),
            ("size(params.x¦)", "params", "x"),
            ("a -par¦", "", "par"),
        ] {
            let found = path(text, Language::Condition).expect("a path");
            assert_eq!(found, (parents.to_owned(), name.to_owned()), "{text:?}");
        }
        assert_eq!(path("a == \"par¦\"", Language::Condition), None);
        let found = path("x.y {{ a }} {{json steps.¦ }}", Language::Template);
        assert_eq!(found, Some(("steps".to_owned(), String::new())));
    }

    #[test]
    fn templates_are_seen_before_they_are_closed() {
        for (text, inside) in [
            ("{{ ¦", true),
            ("x {{ a }} ¦", false),
            ("x {{ a }} {{¦ b }}", true),
            ("¦{{ a }}", false),
        ] {
            let at = text.find('¦').expect("a cursor");
            assert_eq!(in_template(&text.replace('¦', ""), at), inside, "{text:?}");
        }
    }
}
