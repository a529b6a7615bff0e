//! The Stock AI Backend of the examples: a small, real HTTP service to restart, drain and watch.
//!
//! It listens on loopback and serves `GET /health`, `GET /metrics`, `GET /api/quote/SYMBOL`,
//! `GET /work?ms=N` (slow on purpose), `POST /drain` and `POST /resume`. On TERM it finishes the
//! requests in flight and exits with 0.

mod log;
mod options;
mod state;
mod web;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tiny_http::Server;

use log::Level;
use options::{Command, Options};
use state::State;

fn main() -> ExitCode {
    match Options::from_command_line() {
        Ok(Command::Help) => {
            log::raw(options::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Serve(options)) => match serve(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                log::line(Level::Error, &message);
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            log::line(Level::Error, &format!("{error}; see stock-backend --help"));
            ExitCode::from(2)
        }
    }
}

fn serve(options: &Options) -> Result<(), String> {
    log::line(Level::Info, "starting the stock backend");
    if options.fail_start {
        return Err("the model file is damaged (--fail-start)".to_owned());
    }
    // Before the port is open, so that a TERM right after the first answer is not lost.
    let signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    let wanted = SocketAddr::from(([127, 0, 0, 1], options.port));
    let server = Server::http(wanted).map_err(|error| {
        format!("cannot listen on {wanted}: {error} (is another program using the port?)")
    })?;
    let address = server
        .server_addr()
        .to_ip()
        .ok_or("the listener has no IP address")?;
    let server = Arc::new(server);
    let state = Arc::new(State::new(!options.never_healthy));
    handle_signals(signals, options.ignore_term, &server);
    if let Some(after) = options.exit_after {
        state.fail_after(after, &server);
    }
    log::line(Level::Info, &format!("listening on http://{address}"));
    if options.log_error {
        log::line(Level::Error, "quote feed lost (--log-error)");
    }
    if let Some(path) = &options.address_file {
        write_whole(path, &format!("{address}\n"))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }

    // `recv` fails only after `unblock`, that is, when the program is to end.
    while let Ok(request) = server.recv() {
        let mut taken = state.begin();
        thread::spawn(move || web::answer(request, &mut taken));
    }
    if state.has_failed() {
        return Err("lost the database (--exit-after)".to_owned());
    }
    log::line(
        Level::Info,
        &format!("stopping, {} requests in flight", state.in_flight()),
    );
    if state.wait_until_idle(options.shutdown_timeout) {
        log::line(Level::Info, "stopped");
    } else {
        log::line(
            Level::Warn,
            &format!("stopped, {} requests were cut off", state.in_flight()),
        );
    }
    Ok(())
}

fn handle_signals(mut signals: Signals, ignore: bool, server: &Arc<Server>) {
    let server = Arc::clone(server);
    thread::spawn(move || {
        for signal in &mut signals {
            if ignore {
                log::line(
                    Level::Warn,
                    &format!("signal {signal} ignored (--ignore-term)"),
                );
            } else {
                server.unblock();
            }
        }
    });
}

/// Whoever finds the file reads a whole address: it is written beside its place and moved there.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}
