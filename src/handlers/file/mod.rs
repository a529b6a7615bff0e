//! `file.*`: whole files, replaced atomically.

mod copy;
mod read;
mod support;
mod write;

pub(super) use copy::Copy;
pub(super) use read::{Checksum, Read};
pub(super) use write::Write;
