//! Tests of the pure core: tables of single cases, and properties against an independent oracle.

mod gates;
mod lost;
mod nested;
mod oracle;
mod parts;
mod properties;
mod rewind;
mod rewinds;
pub(super) mod sim;
mod tables;
mod voters;
