//! The engine with scripted handlers: what is durable when, and how a driving ends.

mod driving;
mod dry;
mod gates;
mod secrets;
mod support;
