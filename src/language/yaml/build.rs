//! Events → tree. No recursion on the depth of the input, and it stops at the first limit.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry;
use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, Tag};

use super::limits::Limits;
use super::position::Positions;
use super::problems::{
    duplicate_key, first_line, number_problem, read_key, refuse_tab, tag_problem, too_many,
};
use super::scalar::{exact_span, resolve_plain, text_node};
use super::syntax::{check_characters, syntax_error, too_deep};
use crate::base::{Diagnostic, Diagnostics, SourceFile, Span, Value};
use crate::language::codes;
use crate::language::is_near_marker;
use crate::model::{YamlValue, YamlValueKind};

/// Reads a file into a tree; an empty file is null.
///
/// `None` means that an error was added and there is no tree. With a tree there may still be
/// errors: duplicate keys, keys that are no text, tags and ambiguous numbers are all reported in
/// one go, and the first of two equal keys is kept. Depth of the tree ≤ [`Limits::depth`], so
/// readers may recurse over it.
pub fn parse_yaml(
    source: &Arc<SourceFile>,
    limits: &Limits,
    diags: &mut Diagnostics,
) -> Option<YamlValue> {
    let result = check_characters(source, limits).and_then(|()| {
        let mut builder = Builder {
            source,
            limits,
            diags,
            positions: Positions::new(&source.text),
            soft: 0,
            stack: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            copied_bytes: 0,
            copied_nodes: 0,
            root: None,
        };
        builder.run()?;
        Ok(builder.root.unwrap_or(YamlValue {
            kind: YamlValueKind::Literal(Value::Null),
            span: Span::default(),
        }))
    });
    match result {
        Ok(root) => Some(root),
        Err(fatal) => {
            if !explained(source, &fatal, diags) {
                diags.push(*fatal);
            }
            None
        }
    }
}

/// A written text could pull in a secret that its author may not use.
fn near_marker(source: &Arc<SourceFile>, span: Span) -> Diagnostic {
    Diagnostic::error(
        codes::FORBIDDEN_CHARACTER,
        "a text holds the invisible character U+2063, which marks the places of secrets",
    )
    .at(source, first_line(&source.text, span), "in this text")
    .help("take it out; a secret is named `{{ secrets.NAME }}`")
}

/// Whether a syntax error only follows from a mistake already reported on its line.
fn explained(source: &Arc<SourceFile>, fatal: &Diagnostic, diags: &Diagnostics) -> bool {
    let Some(here) = fatal.labels.first().map(|label| label.span.start) else {
        return false;
    };
    let same_line = |other: &Diagnostic| {
        other.labels.first().is_some_and(|label| {
            let (low, high) = (here.min(label.span.start), here.max(label.span.start));
            let between = source.text.get(low..high);
            Arc::ptr_eq(&label.source, source) && between.is_some_and(|text| !text.contains('\n'))
        })
    };
    fatal.code == codes::YAML_SYNTAX && diags.iter().any(same_line)
}

type Fatal = Box<Diagnostic>;

/// A list or map that is not finished.
struct Frame {
    anchor: usize,
    /// Written with brackets, or inside such a one: there, white space has no meaning.
    flow: bool,
    start: usize,
    /// End of the last thing inside, since a block has no closing mark.
    end: usize,
    body: Body,
}

enum Body {
    List(Vec<YamlValue>),
    Map {
        entries: IndexMap<String, (Span, YamlValue)>,
        key: PendingKey,
    },
}

enum PendingKey {
    /// The next value is a key.
    Expected,
    /// The next value belongs to this key.
    Text(String, Span),
    /// The next value is dropped: its key was refused.
    Refused,
}

/// A finished value that aliases may copy.
struct Anchored {
    value: YamlValue,
    nodes: usize,
    bytes: usize,
    height: usize,
}

struct Builder<'a> {
    source: &'a Arc<SourceFile>,
    limits: &'a Limits,
    diags: &'a mut Diagnostics,
    positions: Positions<'a>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    copied_bytes: usize,
    copied_nodes: usize,
    /// How many mistakes were found that let the reading go on.
    soft: usize,
    root: Option<YamlValue>,
}

impl Builder<'_> {
    fn run(&mut self) -> Result<(), Fatal> {
        let source = self.source;
        let mut documents = 0;
        for event in Parser::new_from_str(&source.text) {
            let (event, marks) = event.map_err(|error| {
                let at = self.positions.byte(*error.marker());
                syntax_error(source, at, error.info(), self.limits)
            })?;
            if let Event::DocumentStart(_) = event {
                documents += 1;
                if documents > 1 {
                    let span = self.span(marks);
                    return Err(Diagnostic::error(
                        codes::MANY_DOCUMENTS,
                        "the file holds more than one document",
                    )
                    .at(source, span, "the second document starts here")
                    .help("move it into a file of its own, or delete the `---` line")
                    .into());
                }
            }
            self.event(event, marks)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, marks: Marks) -> Result<(), Fatal> {
        match event {
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), marks)?;
                self.open(anchor, marks, Body::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), marks)?;
                let body = Body::Map {
                    entries: IndexMap::new(),
                    key: PendingKey::Expected,
                };
                self.open(anchor, marks, body)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(marks),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), marks)?;
                if is_near_marker(&text) {
                    self.soft(near_marker(self.source, self.span(marks)))?;
                }
                let value = self.scalar(text.into_owned(), style, marks)?;
                self.finish(value, anchor, style == ScalarStyle::Plain)
            }
            Event::Alias(anchor) => self.alias(anchor, marks),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn span(&self, marks: Marks) -> Span {
        Span::between(
            self.positions.byte(marks.start),
            self.positions.byte(marks.end),
        )
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, marks: Marks) -> Result<(), Fatal> {
        let Some(tag) = tag else { return Ok(()) };
        let span = first_line(&self.source.text, self.span(marks));
        self.soft(tag_problem(self.source, &tag.to_string(), span))
    }

    /// Notes a mistake and goes on, but not for ever.
    fn soft(&mut self, problem: Diagnostic) -> Result<(), Fatal> {
        self.soft += 1;
        if self.soft >= Diagnostics::MAX {
            return Err(problem.into());
        }
        self.diags.push(problem);
        Ok(())
    }

    fn open(&mut self, anchor: usize, marks: Marks, body: Body) -> Result<(), Fatal> {
        let span = self.span(marks);
        if self.stack.len() >= self.limits.depth {
            let span = first_line(&self.source.text, span);
            return Err(too_deep(self.source, span, self.limits).into());
        }
        self.count(1, span)?;
        let bracket = self.source.text[..span.end()].ends_with(['{', '[']);
        self.stack.push(Frame {
            anchor,
            flow: self.stack.last().is_some_and(|frame| frame.flow) || (bracket && span.len > 0),
            start: span.start,
            end: span.end(),
            body,
        });
        Ok(())
    }

    fn close(&mut self, marks: Marks) -> Result<(), Fatal> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        // Only flow style has a closing mark; the end of a block is the end of what it holds.
        let closing = self.span(marks);
        let end = if closing.len > 0 && closing.start >= frame.end {
            closing.end()
        } else {
            frame.end
        };
        let kind = match frame.body {
            Body::List(items) => YamlValueKind::List(items),
            Body::Map { entries, .. } => YamlValueKind::Map(entries),
        };
        let value = YamlValue {
            kind,
            span: Span::between(frame.start, end),
        };
        self.finish(value, frame.anchor, false)
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        marks: Marks,
    ) -> Result<YamlValue, Fatal> {
        let source = self.source;
        let span = exact_span(&source.text, self.span(marks), style);
        self.count(1, span)?;
        if text.len() > self.limits.scalar_bytes {
            return Err(Diagnostic::error(
                codes::TOO_LARGE,
                format!(
                    "a text has {} bytes; at most {} are read",
                    text.len(),
                    self.limits.scalar_bytes
                ),
            )
            .at(
                source,
                Span {
                    start: span.start,
                    len: 1,
                },
                "this text",
            )
            .help("move it into a file of its own")
            .into());
        }
        let kind = match (style, resolve_plain(&text)) {
            (ScalarStyle::Plain, Ok(Some(value))) => YamlValueKind::Literal(value),
            (ScalarStyle::Plain, Err(problem)) => {
                self.soft(number_problem(source, &text, span, problem))?;
                YamlValueKind::Literal(Value::Null)
            }
            _ => text_node(&source.text, text, style, span),
        };
        Ok(YamlValue { kind, span })
    }

    fn alias(&mut self, anchor: usize, marks: Marks) -> Result<(), Fatal> {
        let span = self.span(marks);
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::error(
                codes::BAD_ALIAS,
                "the alias stands inside the value that it refers to",
            )
            .at(self.source, span, "this would never end")
            .help("write the value out")
            .into());
        };
        if self.stack.len() + anchored.height > self.limits.depth {
            return Err(too_deep(self.source, span, self.limits).into());
        }
        let (nodes, bytes) = (anchored.nodes, anchored.bytes);
        // Counted before it is copied: that is what stops an alias bomb.
        self.count_copy(nodes, bytes, span)?;
        let Some(value) = self.anchors.get(&anchor).map(|a| a.value.clone()) else {
            return Ok(());
        };
        if let Some(frame) = self.stack.last_mut() {
            frame.end = frame.end.max(span.end());
        }
        self.place(value, false)
    }

    /// Keeps a copy for aliases, then puts the value where it belongs.
    fn finish(&mut self, value: YamlValue, anchor: usize, plain: bool) -> Result<(), Fatal> {
        if let Some(frame) = self.stack.last_mut() {
            frame.end = frame.end.max(value.span.end());
        }
        if anchor > 0 {
            let (nodes, bytes, height) = measure(&value);
            // Anchors inside anchors copy the inner value again and again, so copies count.
            self.count_copy(nodes, bytes, value.span)?;
            let anchored = Anchored {
                value: value.clone(),
                nodes,
                bytes,
                height,
            };
            self.anchors.insert(anchor, anchored);
        }
        self.place(value, plain)
    }

    fn place(&mut self, value: YamlValue, plain: bool) -> Result<(), Fatal> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        let named =
            matches!(&frame.body, Body::Map { key, .. } if !matches!(key, PendingKey::Expected));
        if !frame.flow && !named {
            refuse_tab(self.source, value.span)?;
        }
        let (entries, key) = match &mut frame.body {
            Body::List(items) => {
                items.push(value);
                return Ok(());
            }
            Body::Map { entries, key } => (entries, key),
        };
        let problem = match std::mem::replace(key, PendingKey::Expected) {
            PendingKey::Expected => match read_key(self.source, value, plain) {
                Ok((name, span)) => {
                    *key = PendingKey::Text(name, span);
                    return Ok(());
                }
                Err(problem) => {
                    *key = PendingKey::Refused;
                    *problem
                }
            },
            PendingKey::Refused => return Ok(()),
            PendingKey::Text(name, span) => match entries.entry(name) {
                Entry::Vacant(slot) => {
                    slot.insert((span, value));
                    return Ok(());
                }
                Entry::Occupied(slot) => duplicate_key(self.source, slot.key(), slot.get().0, span),
            },
        };
        self.soft(problem)
    }

    fn count(&mut self, nodes: usize, at: Span) -> Result<(), Fatal> {
        self.nodes += nodes;
        if self.nodes <= self.limits.nodes {
            return Ok(());
        }
        let message = format!("the file holds more than {} values", self.limits.nodes);
        Err(too_many(self.source, message, at, "split the file").into())
    }

    fn count_copy(&mut self, nodes: usize, bytes: usize, at: Span) -> Result<(), Fatal> {
        self.copied_nodes += nodes;
        self.copied_bytes += bytes;
        let Limits {
            copied_nodes,
            copied_bytes,
            ..
        } = *self.limits;
        let message = if self.copied_nodes > copied_nodes {
            format!("anchors and aliases copy more than {copied_nodes} values")
        } else if self.copied_bytes > copied_bytes {
            format!("anchors and aliases copy more than {copied_bytes} bytes of text")
        } else {
            return self.count(nodes, at);
        };
        Err(too_many(self.source, message, at, "use fewer anchors and aliases").into())
    }
}

/// Values, bytes of text, and depth of a tree; its depth is bounded, so recursion is safe.
fn measure(value: &YamlValue) -> (usize, usize, usize) {
    let fold = |(nodes, bytes, height): (usize, usize, usize), child: &YamlValue| {
        let (n, b, h) = measure(child);
        (nodes + n, bytes + b, height.max(h))
    };
    let (nodes, bytes, height) = match &value.kind {
        YamlValueKind::Literal(_) => return (1, 0, 0),
        YamlValueKind::Text { text, .. } => return (1, text.len(), 0),
        YamlValueKind::List(items) => items.iter().fold((1, 0, 0), fold),
        YamlValueKind::Map(map) => {
            let keys = map.keys().map(String::len).sum();
            map.values().map(|(_, v)| v).fold((1, keys, 0), fold)
        }
    };
    (nodes, bytes, height + 1)
}
