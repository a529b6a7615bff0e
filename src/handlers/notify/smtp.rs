//! The conversation with a mail server (RFC 5321).

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use reqwest::Url;

use super::email::{Email, Mail, Tls};
use crate::base::HumanDuration;
use crate::event::FailureKind;
use crate::handler::StepError;

/// Longest time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for all of it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server to talk to.
pub(super) struct Server<'a> {
    host: String,
    port: u16,
    tls: Tls,
    ca_file: Option<&'a str>,
    /// User name and password.
    account: Option<(&'a str, &'a str)>,
}

impl<'a> Server<'a> {
    /// From the keys of the connection.
    pub(super) fn of(email: &'a Email) -> Result<Self, StepError> {
        let invalid = |message: String| StepError::new(FailureKind::Invalid, message);
        let no_url = || {
            invalid("`smtp` is not the address of a mail server".to_owned()).hint(
                "write e.g. `smtp://mail.example.org:587`; `username` and `password` are keys of their own",
            )
        };
        let url = Url::parse(&email.smtp).map_err(|_| no_url())?;
        let plain = url.scheme() == "smtp"
            && url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none();
        let host = url.host_str().filter(|host| plain && !host.is_empty());
        let host = host.ok_or_else(no_url)?.trim_matches(['[', ']']).to_owned();
        let account = match (&email.username, &email.password) {
            (Some(user), Some(password)) => Some((user.as_str(), password.as_str())),
            (None, None) => None,
            _ => {
                return Err(invalid(
                    "`username` and `password` go together: one of them is missing".to_owned(),
                ));
            }
        };
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if account.is_some() && email.tls == Tls::None && !here {
            return Err(
                invalid(format!("the password would go to `{host}` in the clear"))
                    .hint("use `tls: starttls` or `tls: required`"),
            );
        }
        let usual = match email.tls {
            Tls::Starttls => 587,
            Tls::Required => 465,
            Tls::None => 25,
        };
        Ok(Self {
            port: url.port().unwrap_or(usual),
            host,
            tls: email.tls,
            ca_file: email.ca_file.as_deref(),
            account,
        })
    }

    /// `mail.example.org:587`.
    pub(super) fn shown(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Hands a mail over, within half a minute. Gives the recipients that the server refused, each with its
    /// answer, when it took it for others.
    ///
    /// # Errors
    /// `unavailable` when trying again later may help (RFC 5321 §4.2.1: 4yz, or no connection), `timeout`,
    /// `invalid` for a refused password or certificates that cannot be read, else `error`.
    pub(super) async fn hand_over(
        &self,
        mail: &Mail,
        root: &Path,
    ) -> Result<Vec<String>, StepError> {
        // Dropped when it takes too long, which closes the connection.
        match tokio::time::timeout(TIMEOUT, self.talk(mail, root)).await {
            Ok(result) => result,
            Err(_) => Err(StepError::new(
                FailureKind::Timeout,
                format!(
                    "the mail server {} did not answer in {}",
                    self.shown(),
                    HumanDuration(TIMEOUT)
                ),
            )
            .hint("it may have taken the mail all the same")),
        }
    }

    async fn talk(&self, mail: &Mail, root: &Path) -> Result<Vec<String>, StepError> {
        let mut connection = self.connect(root).await?;
        if let Some((user, password)) = self.account {
            let credentials = Credentials::new(user.to_owned(), password.to_owned());
            connection
                .auth(DEFAULT_MECHANISMS, &credentials)
                .await
                .map_err(|error| {
                    let failure = self.failure(&format!("does not let `{user}` in"), &error);
                    match error.is_permanent() {
                        true => StepError::new(FailureKind::Invalid, failure.to_string())
                            .hint("look at `username` and `password` of the connection"),
                        false => failure,
                    }
                })?;
        }
        let from = MailFrom::new(Some(mail.from.clone()), Vec::new());
        connection.command(from).await.map_err(|error| {
            self.failure(&format!("takes no mail from `{}`", mail.from), &error)
        })?;
        // One wrong address must not keep the mail from the others.
        let mut refused: Vec<(String, Error)> = Vec::new();
        for to in &mail.to {
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => refused.push((to.to_string(), error)),
                Err(error) => return Err(self.failure("broke off", &error)),
            }
        }
        if refused.len() == mail.to.len()
            && let Some((to, error)) = refused
                .iter()
                .find(|(_, error)| error.is_transient())
                .or(refused.first())
        {
            return Err(self.failure(&format!("refused the recipient `{to}`"), error));
        }
        connection
            .command(Data)
            .await
            .map_err(|error| self.failure("refused the mail", &error))?;
        connection
            .message(&mail.bytes)
            .await
            .map_err(|error| self.failure("refused the mail", &error))?;
        // It has the mail; how it says goodbye does not matter.
        let _ = connection.quit().await;
        Ok(refused
            .into_iter()
            .map(|(to, error)| format!("{to} ({})", answer(&error)))
            .collect())
    }

    async fn connect(&self, root: &Path) -> Result<AsyncSmtpConnection, StepError> {
        let parameters = match self.tls {
            Tls::None => None,
            Tls::Starttls | Tls::Required => Some(self.tls_parameters(root)?),
        };
        let (at_once, later) = match self.tls {
            Tls::Required => (parameters, None),
            Tls::Starttls | Tls::None => (None, parameters),
        };
        let me = ClientId::default();
        let address = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT_TIMEOUT), &me, at_once, None)
                .await
                .map_err(|error| self.failure("cannot be talked to", &error))?;
        if let Some(parameters) = later {
            if !connection.can_starttls() {
                let message = format!("the mail server {} offers no STARTTLS", self.shown());
                return Err(StepError::new(FailureKind::Error, message).hint(
                    "if it encrypts from the first byte use `tls: required`, if it need not be encrypted `tls: none`",
                ));
            }
            connection
                .starttls(parameters, &me)
                .await
                .map_err(|error| self.failure("cannot be talked to after STARTTLS", &error))?;
        }
        Ok(connection)
    }

    fn tls_parameters(&self, root: &Path) -> Result<TlsParameters, StepError> {
        let mut builder = TlsParameters::builder(self.host.clone());
        if let Some(file) = self.ca_file {
            let unreadable = |error: &(dyn std::error::Error + 'static)| {
                let message = format!("cannot read the certificates in `{file}`");
                StepError::caused(FailureKind::Invalid, message, error)
            };
            let pem = std::fs::read(root.join(file)).map_err(|error| unreadable(&error))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| unreadable(&error))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder
            .build_rustls()
            .map_err(|error| self.failure("cannot be talked to", &error))
    }

    /// `the mail server HOST:PORT <what>: <its answer>`.
    fn failure(&self, what: &str, error: &Error) -> StepError {
        let kind = if error.is_timeout() {
            FailureKind::Timeout
        } else if error.is_permanent() || error.is_tls() || error.is_client() {
            FailureKind::Error
        } else {
            FailureKind::Unavailable
        };
        let message = format!("the mail server {} {what}: {}", self.shown(), answer(error));
        let failure = StepError::new(kind, message);
        match error.status() {
            Some(_) => failure,
            None => failure.hint(format!(
                "is it up, and is `tls` as it wants it? try: nc -v {} {}",
                self.host, self.port
            )),
        }
    }
}

/// What the server said (`550 Mailbox unavailable`), or what went wrong before it could.
fn answer(error: &Error) -> String {
    match (error.status(), std::error::Error::source(error)) {
        (Some(code), Some(text)) => format!("{code} {text}"),
        (Some(code), None) => code.to_string(),
        (None, _) => error.to_string(),
    }
}
