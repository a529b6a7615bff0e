//! Reading Handlebars: limits, references, and the rewriting that lets us escape values ourselves.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use handlebars::template::{BlockParam, HelperTemplate, Parameter, Subexpression, TemplateElement};
use handlebars::{Path, PathSeg, TemplateErrorReason};

use super::helper::{HELPERS, helper};
use super::render::{Prefix, WRITE_JSON, WRITE_RAW, WRITE_WORDS};
use super::scope::{ExprError, ExprErrorKind, ROOTS, Reference};
use crate::base::did_you_mean;

/// Most block openings in one template: Handlebars' parser takes seconds for thousands.
const MAX_BLOCKS: usize = 200;
/// Most tags in one template.
const MAX_TAGS: usize = 1_000;
/// Most opening brackets in one tag: the parser calls itself for each.
const MAX_BRACKETS: usize = 32;

/// The blocks a template may open.
const BLOCKS: [&str; 5] = ["if", "unless", "each", "with", "raw"];

/// Helpers that leave a secret's value whole: its marker remembers what is done to it, or only whether
/// there is a value matters, and a secret always has one.
const CARRY: [&str; 6] = ["json", "sh", "default", "and", "or", "not"];

/// A template's tree, ready to render, and what was found in it.
pub(super) struct Syntax {
    pub(super) tree: handlebars::Template,
    pub(super) references: Vec<Reference>,
    pub(super) items: Vec<ItemReference>,
    pub(super) raw: Vec<Range<usize>>,
    /// References whose value a helper looks at or changes, instead of carrying it on.
    pub(super) inspected: Vec<Range<usize>>,
}

/// What stands inside a block such as `{{#each params.people}}` and means a part of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemReference {
    /// The reference that the outermost block is over, by its position in the template's.
    pub reference: usize,
    /// The way from its value.
    pub path: Vec<Inside>,
    /// Where it stands in the template's text, in bytes.
    pub range: Range<usize>,
}

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// An item of a list, or a value of a map: one round of `{{#each}}`.
    Item,
    /// A field, or a number of an item.
    Field(String),
}

/// A part of a text whose expressions are all plain references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is.
    Text(String),
    /// The next reference.
    Reference,
}

/// Splits a text whose expressions are all plain references, such as `{{ params.x }}`.
/// `None` for everything else, which is left to Handlebars.
pub(super) fn plain_parts(text: &str) -> Option<(Vec<Part>, Vec<Reference>)> {
    let mut parts = Vec::new();
    let mut references = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("{{") {
        let open = at + found;
        let before = &text[at..open];
        if before.ends_with('\\') || references.len() >= MAX_TAGS {
            return None;
        }
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let inner_start = open + 2;
        let close = inner_start + text[inner_start..].find("}}")?;
        references.push(plain_reference(&text[inner_start..close], inner_start)?);
        parts.push(Part::Reference);
        at = close + 2;
        if text[at..].starts_with('}') {
            return None;
        }
    }
    if at < text.len() {
        parts.push(Part::Text(text[at..].to_owned()));
    }
    Some((parts, references))
}

fn plain_reference(inner: &str, offset: usize) -> Option<Reference> {
    let path = inner.trim_matches([' ', '\t']);
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    // `list[0]` is `list.0`, as conditions write it.
    let mut segments = Vec::new();
    for part in path.split('.') {
        let (name, mut indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        segments.push(name.to_owned());
        while let Some((index, rest)) = indices.strip_prefix('[').and_then(|i| i.split_once(']')) {
            if !index.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            segments.push(index.to_owned());
            indices = rest;
        }
        if !indices.is_empty() {
            return None;
        }
    }
    let word = segments[0].as_str();
    if !segments.iter().all(|s| plain(s)) || word == "this" || word == "else" {
        return None;
    }
    let start = offset + inner.len() - inner.trim_start_matches([' ', '\t']).len();
    Some(Reference {
        path: segments,
        range: start..start + path.len(),
    })
}

/// Parses a text with expressions.
pub(super) fn parse(text: &str) -> Result<Syntax, ExprError> {
    let tags = tags(text)?;
    let mut tree = handlebars::Template::compile(text).map_err(|e| syntax_error(&e, text))?;
    let mut walk = Walk {
        places: places(text, &tags),
        references: Vec::new(),
        inspected: Vec::new(),
        items: Vec::new(),
        blocks: Vec::new(),
        last_range: 0..0,
    };
    walk.template(&mut tree, &mut Prefix::default())?;
    Ok(Syntax {
        tree,
        references: walk.references,
        inspected: walk.inspected,
        items: walk.items,
        raw: tags
            .iter()
            .filter(|t| text[t.start..].starts_with("{{{") && !text[t.start..].starts_with("{{{{"))
            .cloned()
            .collect(),
    })
}

/// The ranges of all tags, `{{` and `}}` included. Refuses what would take too long to parse.
fn tags(text: &str) -> Result<Vec<Range<usize>>, ExprError> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut blocks = 0;
    let mut at = 0;
    while let Some(next) = text[at..].find("{{") {
        let start = at + next;
        let backslashes = bytes[..start]
            .iter()
            .rev()
            .take_while(|b| **b == b'\\')
            .count();
        if backslashes == 1 {
            at = start + 2;
            continue;
        }
        let end = text[start..].find("}}").map_or(text.len(), |i| {
            let end = start + i;
            end + bytes[end..].iter().take_while(|b| **b == b'}').count()
        });
        let tag = &text[start..end];
        let comment = tag.starts_with("{{!");
        let name = tag.trim_start_matches(['{', '~']);
        if name.starts_with(['#', '^']) || tag.starts_with("{{{{") {
            blocks += 1;
        }
        let brackets = name
            .bytes()
            .filter(|b| matches!(b, b'(' | b'[' | b'{'))
            .count();
        if blocks > MAX_BLOCKS {
            return Err(ExprError::new(format!(
                "this template opens more than {MAX_BLOCKS} blocks"
            ))
            .at(start..end));
        }
        if brackets > MAX_BRACKETS && !comment {
            return Err(ExprError::new(format!(
                "this expression has more than {MAX_BRACKETS} brackets"
            ))
            .at(start..end));
        }
        found.push(start..end);
        if found.len() > MAX_TAGS {
            return Err(ExprError::new(format!(
                "this template has more than {MAX_TAGS} expressions"
            ))
            .at(start..end));
        }
        at = end.max(start + 2);
    }
    Ok(found)
}

/// Where each word of the tags stands. A reference's text is found here again, because
/// Handlebars keeps no places for paths.
fn places<'a>(text: &'a str, tags: &[Range<usize>]) -> HashMap<&'a str, VecDeque<Range<usize>>> {
    let mut places: HashMap<&str, VecDeque<Range<usize>>> = HashMap::new();
    for tag in tags {
        let mut start = tag.start;
        let mut bracket = false;
        for (offset, c) in text[tag.clone()].char_indices() {
            let at = tag.start + offset;
            match c {
                '[' => bracket = true,
                ']' => bracket = false,
                _ => {}
            }
            let part_of_word = bracket
                || c == ']'
                || c.is_alphanumeric()
                || matches!(c, '_' | '-' | '$' | ':' | '.' | '/' | '@');
            if !part_of_word {
                if start < at {
                    places
                        .entry(&text[start..at])
                        .or_default()
                        .push_back(start..at);
                }
                start = at + c.len_utf8();
            }
        }
        if start < tag.end {
            places
                .entry(&text[start..tag.end])
                .or_default()
                .push_back(start..tag.end);
        }
    }
    places
}

fn syntax_error(error: &handlebars::TemplateError, text: &str) -> ExprError {
    let start = error
        .pos()
        .map(|(line, column)| byte_offset(text, line, column));
    let tag = start.map(|start| {
        // The parser stops behind the opening of the tag that it could not read.
        let open = text[..start]
            .rfind("{{")
            .filter(|open| !text[*open..start].contains("}}"));
        let from = open.unwrap_or(start);
        let to = text[from..].find("}}").map_or(text.len(), |i| from + i + 2);
        from..to.max(from)
    });
    let message = match error.reason() {
        TemplateErrorReason::MismatchingClosedHelper(open, close) => {
            format!("the block `{}` is closed as `{}`", bare(open), bare(close))
        }
        TemplateErrorReason::InvalidParam(param) => format!("`{param}` is no valid value"),
        _ => match tag.clone().map(|t| &text[t]) {
            Some(tag) if tag.starts_with("{{") => {
                format!("`{}` is not a template expression", short(tag))
            }
            _ => "a template block is not closed".to_owned(),
        },
    };
    let mut problem = ExprError::new(message).help(
        "if these braces belong to another program (docker, jinja), write `\\{{` for each `{{`, \
         or `template: false` on the step",
    );
    problem.range = tag;
    problem
}

/// Handlebars shows names as `Some("if")` or `Name("if")` in places; keep the name only.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace('\n', " ")
}

/// Byte offset of a one-based line and column in characters.
fn byte_offset(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    text[line_start..]
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(text.len(), |(i, _)| line_start + i)
}

/// What a block changed for the paths inside it.
struct Block {
    /// Whether bare names mean the fields of the current item.
    item: bool,
    /// Names bound by `as |name|`: the item, and its number or key.
    bound: Vec<String>,
    /// What the item is, when that can be told before it runs.
    over: Option<Over>,
}

/// A way into the value of a reference.
#[derive(Debug, Clone)]
struct Over {
    reference: usize,
    path: Vec<Inside>,
}

impl Over {
    fn into(&self, names: &[String]) -> Self {
        let mut path = self.path.clone();
        path.extend(names.iter().cloned().map(Inside::Field));
        Self {
            reference: self.reference,
            path,
        }
    }
}

struct Walk<'a> {
    places: HashMap<&'a str, VecDeque<Range<usize>>>,
    references: Vec<Reference>,
    inspected: Vec<Range<usize>>,
    items: Vec<ItemReference>,
    blocks: Vec<Block>,
    /// Where the path that was read last stands.
    last_range: Range<usize>,
}

impl Walk<'_> {
    fn template(
        &mut self,
        tree: &mut handlebars::Template,
        before: &mut Prefix,
    ) -> Result<(), ExprError> {
        for element in &mut tree.elements {
            match element {
                TemplateElement::RawString(text) => before.text(text),
                TemplateElement::Comment(_) => {}
                TemplateElement::Expression(call) => {
                    self.expression(call, before.writer(), false)?;
                    before.value();
                }
                TemplateElement::HtmlExpression(call) => {
                    self.expression(call, WRITE_RAW, true)?;
                    before.value();
                }
                TemplateElement::HelperBlock(call) => {
                    self.block(call, before)?;
                    before.value();
                }
                TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
                    return Err(ExprError::new("partials (`{{> name}}`) are not supported"));
                }
                // Decorators, and whatever a later Handlebars adds.
                _ => {
                    return Err(ExprError::new(
                        "decorators (`{{* name}}`) are not supported",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Turns `{{ value }}` into a call of one of our writers on that value.
    fn expression(
        &mut self,
        call: &mut HelperTemplate,
        writer: &str,
        raw: bool,
    ) -> Result<(), ExprError> {
        let plain = call.params.is_empty() && call.hash.is_empty();
        let writer = match &call.name {
            _ if raw => WRITE_RAW,
            Parameter::Name(name) if name == "sh" => WRITE_WORDS,
            Parameter::Name(name) if name == "json" => WRITE_JSON,
            _ => writer,
        };
        let mut value = if plain {
            std::mem::replace(&mut call.name, Parameter::Name(String::new()))
        } else {
            Parameter::Subexpression(Subexpression::new(
                std::mem::replace(&mut call.name, Parameter::Name(String::new())),
                std::mem::take(&mut call.params),
                std::mem::take(&mut call.hash),
            ))
        };
        self.parameter(&mut value)?;
        call.name = Parameter::Name(writer.to_owned());
        call.params = vec![value];
        Ok(())
    }

    fn block(&mut self, call: &mut HelperTemplate, before: &mut Prefix) -> Result<(), ExprError> {
        let name = call.name.as_name().unwrap_or_default().to_owned();
        if !BLOCKS.contains(&name.as_str()) {
            let hint = did_you_mean(&name, BLOCKS).unwrap_or("if");
            let mut error = ExprError::new(format!("there is no block `{{{{#{name}}}}}`"))
                .help(format!("did you mean `{{{{#{hint}}}}}`?"));
            error.range = self.place(&name);
            return Err(error);
        }
        if name != "raw" && call.params.is_empty() {
            return Err(ExprError::new(format!(
                "the block `{{{{#{name}}}}}` wants a value"
            )));
        }
        if name != "raw" && (call.params.len() > 1 || !call.hash.is_empty()) {
            return Err(ExprError::new(format!(
                "the block `{{{{#{name}}}}}` takes one value; a helper with values stands in \
                 brackets, as in `{{{{#{name} (eq a b)}}}}`"
            ))
            .kind(ExprErrorKind::Arguments));
        }
        let mut over = None;
        for parameter in &mut call.params {
            over = self.parameter(parameter)?;
        }
        if name == "each"
            && let Some(over) = &mut over
        {
            over.path.push(Inside::Item);
            let range = self.last_range.clone();
            self.items.push(ItemReference {
                reference: over.reference,
                path: over.path.clone(),
                range,
            });
        }
        let bound: Vec<String> = match &call.block_param {
            None => Vec::new(),
            Some(BlockParam::Single(one)) => names(&[one]),
            Some(BlockParam::Pair((one, two))) => names(&[one, two]),
            Some(_) => Vec::new(),
        };
        if let Some(hidden) = bound.iter().find(|b| ROOTS.contains(&b.as_str())) {
            return Err(ExprError::new(format!(
                "`as |{hidden}|` hides `{hidden}`; choose another name"
            )));
        }
        let item = name == "each" || name == "with";
        self.blocks.push(Block { item, bound, over });
        if let Some(tree) = &mut call.template {
            self.template(tree, before)?;
        }
        self.blocks.pop();
        if let Some(tree) = &mut call.inverse {
            self.template(tree, before)?;
        }
        Ok(())
    }

    /// Reads a value; gives what it is when it is a reference.
    fn parameter(&mut self, parameter: &mut Parameter) -> Result<Option<Over>, ExprError> {
        match parameter {
            Parameter::Path(path) => self.path(path),
            Parameter::Subexpression(sub) => {
                let TemplateElement::Expression(call) = sub.element.as_mut() else {
                    return Ok(None);
                };
                let name = call.name.as_name().unwrap_or_default().to_owned();
                let Some(known) = helper(&name) else {
                    let mut error = ExprError::new(format!("there is no helper `{name}`"))
                        .kind(ExprErrorKind::UnknownFunction);
                    error.help = Some(match did_you_mean(&name, HELPERS.iter().copied()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("the helpers are {}", HELPERS.join(", ")),
                    });
                    error.range = self.place(&name);
                    return Err(error);
                };
                let (least, most) = known.counts;
                if !(least..=most).contains(&call.params.len()) || !call.hash.is_empty() {
                    let what = if call.hash.is_empty() {
                        format!("found {}", call.params.len())
                    } else {
                        "and none with a name".to_owned()
                    };
                    let many = match (least, most) {
                        (1, 1) => "one value".to_owned(),
                        (least, most) if least == most => format!("{least} values"),
                        (least, usize::MAX) => format!("at least {least} values"),
                        (least, most) => format!("{least} or {most} values"),
                    };
                    let mut error = ExprError::new(format!("`{name}` takes {many}, {what}"))
                        .kind(ExprErrorKind::Arguments)
                        .help(format!("write {{{{ {} }}}}", known.usage));
                    error.range = self.place(&name);
                    return Err(error);
                }
                // Taken, so that the next call of the same helper finds its own place.
                self.place(&name);
                let before = self.references.len();
                for parameter in &mut call.params {
                    self.parameter(parameter)?;
                }
                if !CARRY.contains(&name.as_str()) {
                    let inside = self.references[before..].iter();
                    self.inspected.extend(inside.map(|r| r.range.clone()));
                }
                Ok(None)
            }
            // Names and literals.
            _ => Ok(None),
        }
    }

    /// Notes a reference, and makes it mean the same inside `{{#each}}` as outside.
    fn path(&mut self, path: &mut Path) -> Result<Option<Over>, ExprError> {
        let items = self.blocks.iter().filter(|b| b.item).count();
        let (segments, raw) = match path {
            Path::Relative((segments, raw)) => (segments, raw.clone()),
            Path::Local((_, _, raw)) => {
                let raw = raw.clone();
                self.only_inside_item(&raw, items)?; // @index, @key, ...
                return Ok(None);
            }
        };
        let names: Vec<String> = segments
            .iter()
            .filter_map(|segment| match segment {
                PathSeg::Named(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let ups = raw.matches("../").count();
        let from_root = raw.starts_with("@root");
        let of_item = !from_root && ups < items;
        let around = || self.blocks.iter().filter(|b| b.item).rev().nth(ups);
        let Some(first) = names.first() else {
            let over = around().and_then(|block| block.over.clone());
            self.only_inside_item(&raw, items)?;
            self.last_range = self.place(&raw).unwrap_or(0..0);
            return Ok(over);
        };
        let binds = |block: &&Block| block.bound.contains(first);
        if let Some(block) = self.blocks.iter().rev().find(binds)
            && !from_root
        {
            // The second name is a number or a key, of which nothing is known.
            let over = block
                .over
                .as_ref()
                .filter(|_| block.bound.first() == Some(first))
                .map(|over| over.into(&names[1..]));
            return Ok(self.item(over, &raw));
        }
        let root = ROOTS.contains(&first.as_str());
        let said_so = raw.starts_with("this") || raw.starts_with("./");
        if of_item && (said_so || !root) {
            // A field of the current item, or of one around it.
            let over = around()
                .and_then(|block| block.over.as_ref())
                .map(|over| over.into(&names));
            return Ok(self.item(over, &raw));
        }
        let plain = raw.trim_start_matches("../");
        if root
            && !from_root
            && let Ok(absolute) = Path::parse(&format!("@root.{plain}"))
        {
            *path = absolute;
        }
        let range = self.place(&raw).unwrap_or(0..0);
        self.last_range = range.clone();
        self.references.push(Reference { path: names, range });
        Ok(Some(Over {
            reference: self.references.len() - 1,
            path: Vec::new(),
        }))
    }

    /// Notes a part of an item.
    fn item(&mut self, over: Option<Over>, raw: &str) -> Option<Over> {
        let range = self.place(raw).unwrap_or(0..0);
        self.last_range = range.clone();
        let over = over?;
        self.items.push(ItemReference {
            reference: over.reference,
            path: over.path.clone(),
            range,
        });
        Some(over)
    }

    fn only_inside_item(&mut self, raw: &str, items: usize) -> Result<(), ExprError> {
        if items > 0 {
            return Ok(());
        }
        let mut error =
            ExprError::new(format!("`{raw}` means something only inside {{{{#each}}}}"));
        error.range = self.place(raw);
        Err(error)
    }

    /// The next place where a word stands that was not given out yet.
    fn place(&mut self, word: &str) -> Option<Range<usize>> {
        let places = self.places.get_mut(word)?;
        if places.len() > 1 {
            places.pop_front()
        } else {
            places.front().cloned()
        }
    }
}

fn names(parameters: &[&Parameter]) -> Vec<String> {
    parameters
        .iter()
        .filter_map(|p| p.as_name().map(str::to_owned))
        .collect()
}
