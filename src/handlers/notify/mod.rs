//! `notify`: tell people.

mod channel;
mod email;
mod handler;
mod smtp;
#[cfg(test)]
mod test_mail_server;
#[cfg(test)]
mod tests_of_email;

pub(super) use channel::connection;
pub(super) use handler::Notify;
