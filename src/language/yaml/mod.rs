//! YAML as a tree with places: events of `saphyr-parser`, built without recursion, within limits.

mod build;
mod limits;
mod place;
mod position;
mod problems;
mod scalar;
mod syntax;

pub use build::parse_yaml;
pub use limits::Limits;
pub use place::{TextPlaces, place_in_text};
pub(in crate::language) use problems::first_line;
pub use syntax::source_from_bytes;

#[cfg(test)]
mod tests;
