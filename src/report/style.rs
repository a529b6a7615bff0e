//! How text may look: colour, symbols, width. Always passed in, never asked of the terminal here.

use owo_colors::Style as Ansi;

/// What the reader's screen can show. Every text makes sense without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours may be written.
    pub color: bool,
    /// Whether box-drawing characters and symbols beyond ASCII may be written.
    pub unicode: bool,
    /// Width of a line in terminal columns.
    pub width: usize,
}

impl Style {
    /// Unicode without colour, for files and pipes.
    pub fn plain(width: usize) -> Self {
        Self {
            color: false,
            unicode: true,
            width,
        }
    }

    /// The text in a colour, or as it is.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let ansi = match paint {
            Paint::Plain => return text.to_owned(),
            Paint::Bold => Ansi::new().bold(),
            Paint::Dim => Ansi::new().dimmed(),
            Paint::Good => Ansi::new().green(),
            Paint::Bad => Ansi::new().red().bold(),
            Paint::Care => Ansi::new().yellow(),
            Paint::Name => Ansi::new().cyan(),
            Paint::Template => Ansi::new().magenta(),
        };
        ansi.style(text).to_string()
    }

    /// The symbol, or its ASCII stand-in.
    pub(crate) fn symbol(self, symbol: Symbol) -> &'static str {
        let (unicode, ascii) = match symbol {
            Symbol::Good => ("✓", "+"),
            Symbol::Bad => ("✗", "x"),
            Symbol::Skipped => ("↷", "-"),
            Symbol::Undone => ("↺", "<"),
            Symbol::Gate => ("◇", "?"),
            Symbol::Running => ("▶", ">"),
            Symbol::Again => ("↻", "~"),
            Symbol::Care => ("⚠", "!"),
            Symbol::Pending => ("·", "."),
            Symbol::Step => ("●", "o"),
            Symbol::Finally => ("○", "@"),
            Symbol::Dot => ("·", "-"),
            Symbol::Ellipsis => ("…", "..."),
            Symbol::LineEnd => ("⏎", "\\n"),
            Symbol::Times => ("×", "x"),
            Symbol::Cause => ("└", "`"),
            Symbol::Bar => ("│", "|"),
        };
        if self.unicode { unicode } else { ascii }
    }
}

/// What a colour says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Care,
    Name,
    Template,
}

/// Symbols with one meaning everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbol {
    Good,
    Bad,
    Skipped,
    Undone,
    Gate,
    Running,
    Again,
    Care,
    Pending,
    Step,
    Finally,
    Dot,
    Ellipsis,
    LineEnd,
    Times,
    Cause,
    Bar,
}
