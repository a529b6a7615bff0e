//! What the tests of the command line share: a place of their own, and its output in one text.

mod background;
mod env;
mod output;
mod repo;

pub(crate) use background::{Background, Lifeline};
pub(crate) use env::TestEnv;
pub(crate) use output::Output;
pub(crate) use repo::{DEPLOY, job};
