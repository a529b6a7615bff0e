//! What the standard streams are connected to.

use std::io::IsTerminal as _;

use super::variables::Variables;

/// The terminal, or its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Somebody can answer a question.
    pub can_ask: bool,
    /// Standard output is a terminal.
    pub stdout: bool,
    /// Standard error is a terminal on which lines can be redrawn.
    pub live: bool,
    /// Standard output takes colours.
    pub stdout_colour: bool,
    /// Standard error takes colours.
    pub stderr_colour: bool,
    /// Columns; 100 when there is no terminal.
    pub width: u16,
    /// Lines; 24 when there is no terminal.
    pub height: u16,
}

impl Terminal {
    /// Looks at the standard streams. `no_color` is the flag of that name.
    pub fn detect(variables: &Variables, no_color: bool) -> Self {
        let stdin = std::io::stdin().is_terminal();
        let stdout = std::io::stdout().is_terminal();
        let stderr = std::io::stderr().is_terminal();
        let size = terminal_size::terminal_size();
        let colour = |terminal| takes_colour(variables, no_color, terminal);
        Self {
            can_ask: stdin && stderr,
            stdout,
            live: stderr && !variables.dumb_terminal,
            stdout_colour: colour(stdout),
            stderr_colour: colour(stderr),
            width: size.map_or(100, |(width, _)| width.0),
            height: size.map_or(24, |(_, height)| height.0),
        }
    }
}

/// The flag and `NO_COLOR` win over `CLICOLOR_FORCE`, which wins over what the stream is.
fn takes_colour(variables: &Variables, no_color: bool, terminal: bool) -> bool {
    if no_color || variables.no_color {
        return false;
    }
    variables.force_color || (terminal && !variables.dumb_terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_no_wins() {
        let plain = Variables::default();
        let no = Variables {
            no_color: true,
            force_color: true,
            ..Variables::default()
        };
        let force = Variables {
            force_color: true,
            ..Variables::default()
        };
        let dumb = Variables {
            dumb_terminal: true,
            ..Variables::default()
        };
        assert!(takes_colour(&plain, false, true));
        assert!(!takes_colour(&plain, false, false));
        assert!(!takes_colour(&plain, true, true));
        assert!(!takes_colour(&no, false, true));
        assert!(takes_colour(&force, false, false));
        assert!(!takes_colour(&force, true, true));
        assert!(!takes_colour(&dumb, false, true));
    }
}
