//! `http.*`: one request, one answer.

mod client;
mod failure;
mod handler;
#[cfg(test)]
pub(super) mod test_server;
#[cfg(test)]
mod tests;

pub(super) use client::{HttpClients, shared};
pub(super) use failure::request_failure;
pub(super) use handler::{Delete, Get, Head, Http, Patch, Post, Put, parse_url};
