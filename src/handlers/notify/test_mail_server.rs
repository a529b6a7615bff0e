//! A mail server in this process, for tests: `mailin`'s protocol over a loopback socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mailin::{Action, AuthMechanism, Handler, Response, Session, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How it behaves.
#[derive(Clone, Default)]
pub(super) struct Manners {
    /// Says nothing at all.
    pub(super) silent: bool,
    /// After `STARTTLS`.
    pub(super) starttls: Option<TlsAcceptor>,
    /// From the first byte.
    pub(super) tls: Option<TlsAcceptor>,
    /// The only user and password that it lets in; `mailin` refuses mails of others.
    pub(super) account: Option<(&'static str, &'static str)>,
    /// What it answers when the whole mail is there, if not `250`.
    pub(super) at_end: Option<(u16, &'static str)>,
}

/// A mail that it took.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) text: String,
}

/// Refuses recipients at `nowhere.example` for good and those at `later.example` for now.
pub(super) struct MailServer {
    pub(super) address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl MailServer {
    pub(super) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, manners.clone(), Arc::clone(&keep)));
            }
        });
        Self { address, taken }
    }

    pub(super) fn taken(&self) -> Vec<Taken> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }
}

struct Clerk {
    manners: Manners,
    mail: Taken,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Handler for Clerk {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, from: &str) -> Response {
        self.mail.from = from.to_owned();
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        match to.rsplit_once('@') {
            Some((_, "nowhere.example")) => response::NO_MAILBOX,
            Some((_, "later.example")) => {
                Response::custom(451, "4.7.1 Greylisted, try again later".to_owned())
            }
            _ => {
                self.mail.to.push(to.to_owned());
                response::OK
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mail.text.push_str(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        if let Some((code, text)) = self.manners.at_end {
            return Response::custom(code, text.to_owned());
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(self.mail.clone());
        response::OK
    }

    fn auth_plain(&mut self, _as_whom: &str, user: &str, password: &str) -> Response {
        match self.manners.account == Some((user, password)) {
            true => response::AUTH_OK,
            false => response::INVALID_CREDENTIALS,
        }
    }
}

async fn answer(stream: TcpStream, manners: Manners, taken: Arc<Mutex<Vec<Taken>>>) {
    if manners.silent {
        // Open until the other side has enough.
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(_)) = lines.next_line().await {}
        return;
    }
    let mut builder = SessionBuilder::new("mail.test");
    if manners.starttls.is_some() {
        builder.enable_start_tls();
    }
    if manners.account.is_some() {
        builder.enable_auth(AuthMechanism::Plain);
        builder.insecure_enable_plaintext_auth();
    }
    let (at_once, later) = (manners.tls.clone(), manners.starttls.clone());
    let mut session = builder.build(
        IpAddr::from([127, 0, 0, 1]),
        Clerk {
            mail: Taken::default(),
            manners,
            taken,
        },
    );
    match at_once {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                session.tls_active();
                let _ = talk(&mut session, stream, true).await;
            }
        }
        None => {
            if let Ok(Some(stream)) = talk(&mut session, stream, true).await
                && let Some(acceptor) = later
                && let Ok(stream) = acceptor.accept(stream).await
            {
                session.tls_active();
                let _ = talk(&mut session, stream, false).await;
            }
        }
    }
}

/// Gives the stream back when it is to be encrypted.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    session: &mut Session<Clerk>,
    stream: S,
    greet: bool,
) -> io::Result<Option<S>> {
    let mut stream = BufReader::new(stream);
    if greet {
        let greeting = session.greeting().buffer()?;
        stream.write_all(&greeting).await?;
    }
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await? > 0 {
        let response = session.process(&line);
        line.clear();
        if response.action != Action::NoReply {
            stream.write_all(&response.buffer()?).await?;
            stream.flush().await?;
        }
        match response.action {
            Action::Close => return Ok(None),
            Action::UpgradeTls => return Ok(Some(stream.into_inner())),
            Action::Reply | Action::NoReply => {}
        }
    }
    Ok(None)
}
