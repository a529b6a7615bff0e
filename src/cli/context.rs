//! What every command is given.

use super::output::Printer;
use crate::settings::Settings;

/// What every command is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The surroundings.
    pub settings: Settings,
    /// Where text goes.
    pub out: Printer,
}
