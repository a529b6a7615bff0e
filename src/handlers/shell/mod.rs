//! `shell`: a script or a program.

mod declared;
mod handler;

pub(super) use handler::Shell;
