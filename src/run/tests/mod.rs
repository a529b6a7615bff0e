//! Tests of the pure core: tables of single cases, and properties against an independent oracle.

mod properties;
pub(super) mod sim;
mod tables;
