//! The Stock AI Backend of the examples.

fn main() {}
