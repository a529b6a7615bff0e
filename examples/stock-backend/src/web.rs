//! The pages.

use std::thread;
use std::time::Duration;

use tiny_http::{Header, Method, Request, Response};

use crate::log::{self, Level};
use crate::state::{State, Taken};

/// Longest time a `/work` request may ask for.
const MAX_WORK: Duration = Duration::from_secs(60);

struct Page {
    status: u16,
    kind: &'static str,
    body: String,
}

impl Page {
    fn json(status: u16, body: String) -> Self {
        Self {
            status,
            kind: "application/json",
            body,
        }
    }
}

/// Answers a request.
pub(crate) fn answer(request: Request, taken: &mut Taken) {
    let page = page_for(request.method(), request.url(), taken);
    let mut response = Response::from_string(page.body).with_status_code(page.status);
    if let Ok(header) = Header::from_bytes("Content-Type", page.kind) {
        response.add_header(header);
    }
    if let Err(error) = request.respond(response) {
        log::line(Level::Warn, &format!("a client went away: {error}"));
    }
}

fn page_for(method: &Method, url: &str, taken: &mut Taken) -> Page {
    let state = taken.state();
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    match (method, path) {
        (Method::Get | Method::Head, "/health") => health(state),
        (Method::Get | Method::Head, "/metrics") => metrics(state),
        (Method::Get, "/work") => slow_work(taken, query),
        (Method::Post, "/drain") => switch_draining(state, true),
        (Method::Post, "/resume") => switch_draining(state, false),
        (Method::Get, _) => match path.strip_prefix("/api/quote/") {
            Some(symbol) => quote(symbol),
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn health(state: &State) -> Page {
    let (code, status) = match (state.is_healthy(), state.is_draining()) {
        (false, _) => (503, "starting"),
        (true, true) => (200, "draining"),
        (true, false) => (200, "ok"),
    };
    Page::json(
        code,
        format!(
            r#"{{"status":"{status}","uptime_seconds":{:.3},"pid":{},"draining":{}}}"#,
            state.uptime().as_secs_f64(),
            std::process::id(),
            state.is_draining(),
        ),
    )
}

fn metrics(state: &State) -> Page {
    let in_flight = state.in_flight();
    Page {
        status: 200,
        kind: "text/plain; version=0.0.4",
        body: format!(
            "# TYPE stock_requests_total counter\nstock_requests_total {}\n\
             # TYPE stock_requests_in_flight gauge\nstock_requests_in_flight {in_flight}\n\
             # TYPE stock_uptime_seconds gauge\nstock_uptime_seconds {:.3}\n\
             # TYPE stock_draining gauge\nstock_draining {}\n",
            state.served(),
            state.uptime().as_secs_f64(),
            u8::from(state.is_draining()),
        ),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "being slow is what this page is for"
)]
fn slow_work(taken: &mut Taken, query: &str) -> Page {
    let asked = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ms="))
        .map_or(Ok(100), str::parse);
    let Ok(millis) = asked else {
        return Page::json(400, r#"{"error":"ms must be a whole number"}"#.to_owned());
    };
    if !taken.accept_work() {
        return Page::json(503, r#"{"error":"draining"}"#.to_owned());
    }
    let time = Duration::from_millis(millis).min(MAX_WORK);
    thread::sleep(time);
    Page::json(200, format!(r#"{{"worked_ms":{}}}"#, time.as_millis()))
}

fn switch_draining(state: &State, draining: bool) -> Page {
    let (before, in_flight) = state.set_draining(draining);
    if before != draining {
        let text = if draining {
            "draining"
        } else {
            "accepting work again"
        };
        log::line(
            Level::Info,
            &format!("{text}, {in_flight} requests in flight"),
        );
    }
    Page::json(
        200,
        format!(r#"{{"draining":{draining},"in_flight":{in_flight}}}"#),
    )
}

/// A made-up price that depends on the symbol alone, so that answers can be checked.
fn quote(symbol: &str) -> Page {
    let valid = (1..=8).contains(&symbol.len()) && symbol.bytes().all(|b| b.is_ascii_uppercase());
    if !valid {
        return Page::json(
            400,
            r#"{"error":"a symbol is 1 to 8 letters A-Z"}"#.to_owned(),
        );
    }
    let cents = symbol
        .bytes()
        .fold(7_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 100_000);
    Page::json(
        200,
        format!(
            r#"{{"symbol":"{symbol}","price":{}.{:02}}}"#,
            cents / 100,
            cents % 100
        ),
    )
}

fn not_found() -> Page {
    Page::json(404, r#"{"error":"no such page"}"#.to_owned())
}
