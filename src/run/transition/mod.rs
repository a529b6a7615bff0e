//! How each event changes the state. An event that cannot follow is an error, never ignored.

mod apply;
mod containers;
mod failure;
mod frames;
mod gates;
mod rewind;
mod steps;
mod undo;

pub(super) use apply::millis;
