//! What every command is given.

use super::output::Printer;
use crate::report::Style;
use crate::settings::Settings;

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The surroundings.
    pub settings: Settings,
    /// Where text goes.
    pub out: Printer,
}

impl Context {
    /// How data on standard output may look.
    pub fn style(&self) -> Style {
        let terminal = &self.settings.terminal;
        Style {
            color: terminal.stdout_colour,
            ..Style::plain(usize::from(terminal.width))
        }
    }

    /// How progress and findings on standard error may look.
    pub fn style_of_errors(&self) -> Style {
        let terminal = &self.settings.terminal;
        Style {
            color: terminal.stderr_colour,
            ..Style::plain(usize::from(terminal.width))
        }
    }
}
