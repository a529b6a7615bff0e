//! Drawings of a plan's DAG: in the terminal, as DOT, Mermaid and SVG.

mod dot;
mod layout;
mod mermaid;
mod section;
mod svg;
mod unicode;

pub use dot::graph_dot;
pub use mermaid::graph_mermaid;
pub use svg::graph_svg;
pub use unicode::graph_text;
