//! Lines that fit a narrow screen: nothing is cut off, since a reviewer must see all of it.

use super::style::{Paint, Style};
use super::text::{one_line, pad, visible, width, wrap};

/// Columns of the keys of facts.
const KEY: usize = 10;

/// Text that is being written, line by line.
pub(crate) struct Page {
    out: String,
    pub(crate) style: Style,
}

impl Page {
    pub(crate) fn new(style: Style) -> Self {
        Self {
            out: String::new(),
            style,
        }
    }

    pub(crate) fn done(self) -> String {
        self.out
    }

    /// The first line of a section, with an empty line above it.
    pub(crate) fn heading(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.lines(0, 2, text, Paint::Bold);
    }

    /// A paragraph, `indent` columns from the left, wrapped.
    pub(crate) fn say(&mut self, indent: usize, text: &str, paint: Paint) {
        self.lines(indent, indent, text, paint);
    }

    /// An item of a list: what is wrapped stands two columns to the right.
    pub(crate) fn item(&mut self, indent: usize, text: &str, paint: Paint) {
        self.lines(indent, indent + 2, text, paint);
    }

    /// Text of several lines, each wrapped and as far to the right as it was.
    pub(crate) fn block(&mut self, indent: usize, text: &str, paint: Paint) {
        for line in text.trim_end().lines() {
            let own = line.chars().take_while(|c| *c == ' ').count().min(8);
            self.lines(indent + own, indent + own, line, paint);
        }
    }

    /// `key  value`, the value wrapped in a column of its own.
    pub(crate) fn fact(&mut self, key: &str, value: &str, paint: Paint) {
        let style = self.style;
        let room = style.width.saturating_sub(2 + KEY);
        let mut key = pad(key, KEY);
        for line in wrap(&one_line(value, style), room) {
            let painted = style.paint(Paint::Dim, &key);
            let line = format!("  {painted}{}", style.paint(paint, &line));
            self.out.push_str(line.trim_end());
            self.out.push('\n');
            key = " ".repeat(KEY);
        }
    }

    /// `key: value`; a value of several lines stands below its key.
    pub(crate) fn value(&mut self, indent: usize, key: &str, value: &str, paint: Paint) {
        let style = self.style;
        let value = visible(value);
        let key = one_line(key, style);
        if value.trim_end().contains('\n') {
            self.say(indent, &format!("{key}:"), Paint::Dim);
            self.block(indent + 2, &value, paint);
        } else {
            self.item(indent, &format!("{key}: {}", value.trim_end()), paint);
        }
    }

    /// A command to be copied: never broken, whatever the width; the terminal wraps it.
    pub(crate) fn command(&mut self, indent: usize, text: &str) {
        let text = one_line(text, self.style);
        let text = self.style.paint(Paint::Name, &text);
        self.out
            .push_str(&format!("{}{text}\n", " ".repeat(indent)));
    }

    fn lines(&mut self, first: usize, rest: usize, text: &str, paint: Paint) {
        let style = self.style;
        let text = one_line(text, style);
        let room = style.width.saturating_sub(rest.max(first));
        let mut indent = first;
        for line in wrap(&text, room) {
            let line = format!("{}{}", " ".repeat(indent), style.paint(paint, &line));
            debug_assert!(style.color || width(&line) <= style.width.max(rest.max(first) + 8));
            self.out.push_str(line.trim_end());
            self.out.push('\n');
            indent = rest;
        }
    }
}
