//! A small HTTP server for tests, on a free port of loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers by path, and remembers what it was asked.
///
/// `/status/N` answers N, `/json` a JSON document, `/big` 3 MiB, `/never` not at all, `/moved` a
/// redirect to `/json`, `/echo` the whole request.
pub(in crate::handlers) struct TestServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TestServer {
    /// Plain HTTP.
    pub(in crate::handlers) async fn start() -> Self {
        Self::serve(None).await
    }

    /// TLS.
    pub(in crate::handlers) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self::serve(Some(acceptor)).await
    }

    async fn serve(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, heard) = (acceptor.clone(), Arc::clone(&heard));
                tokio::spawn(async move {
                    match acceptor {
                        None => answer(stream, &heard).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                answer(stream, &heard).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    /// `http://127.0.0.1:PORT` and a path.
    pub(in crate::handlers) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The port.
    pub(in crate::handlers) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests so far, heads and bodies.
    pub(in crate::handlers) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, heard: &Mutex<Vec<String>>) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, headers, body) = match path.split('?').next().unwrap_or_default() {
        "/json" => (
            200,
            "Content-Type: application/json\r\n",
            r#"{"a":[1,2]}"#.to_owned(),
        ),
        "/big" => (200, "", "x".repeat(3 * 1024 * 1024)),
        "/moved" => (302, "Location: /json\r\n", String::new()),
        "/echo" => (200, "", request),
        "/never" => std::future::pending().await,
        other => match other
            .strip_prefix("/status/")
            .and_then(|code| code.parse().ok())
        {
            Some(code) => (code, "", format!("status {code}\n")),
            None => (404, "", String::new()),
        },
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    // A client that stops reading a long answer is part of the tests.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let wanted: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0);
        if body.len() >= wanted {
            return Some(text.into_owned());
        }
    }
}
