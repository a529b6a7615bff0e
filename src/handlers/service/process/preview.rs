//! What a verb would do to a process as it stands now.

use std::time::Duration;

use super::config::{ProbeKind, ProcessConfig};
use super::home::Home;
use crate::base::HumanDuration;
use crate::handler::{Preview, PreviewContext, StepError};
use crate::handlers::service::provider::{Target, VerbShown};

/// Says it; the state of the process may be another when the step runs, so it is a prediction, but
/// for what only looks.
pub(super) fn preview(
    ctx: &PreviewContext,
    target: &Target,
    verb: VerbShown,
) -> Result<Preview, StepError> {
    let config = ProcessConfig::of(target)?;
    let home = Home::look(ctx, target, &config)?;
    let shown = Shown {
        name: &target.name,
        config: &config,
        home: &home,
        pid: home.pid_now()?,
    };
    Ok(match verb {
        VerbShown::Status => Preview::Exact(format!("look whether `{}` runs", target.name)),
        VerbShown::Health => shown.health(),
        VerbShown::Logs => Preview::Exact(format!("read {}", home.log().display())),
        VerbShown::Start => Preview::Predicted(match shown.pid {
            Some(pid) => format!("nothing: `{}` is up (pid {pid})", target.name),
            None => shown.start(),
        }),
        VerbShown::Stop(grace) => Preview::Predicted(match shown.pid {
            Some(pid) => shown.stop(pid, grace),
            None => format!("nothing: `{}` is down", target.name),
        }),
        VerbShown::Restart(grace) => Preview::Predicted(match shown.pid {
            Some(pid) => format!("{}\n{}", shown.stop(pid, grace), shown.start()),
            None => shown.start(),
        }),
        VerbShown::Drain(limit) => shown.drain(limit),
        VerbShown::Resume => shown.resume(),
    })
}

struct Shown<'a> {
    name: &'a str,
    config: &'a ProcessConfig,
    home: &'a Home,
    pid: Option<u32>,
}

impl Shown<'_> {
    fn argv(&self, argv: &[String]) -> String {
        let words: Vec<String> = argv
            .iter()
            .map(|word| {
                word.replace("${SERVICE_DIR}", &self.home.folder().to_string_lossy())
                    .replace("${SERVICE_NAME}", self.name)
            })
            .collect();
        shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
    }

    fn stop(&self, pid: u32, grace: Option<Duration>) -> String {
        let signal = format!("{:?}", self.config.stop_signal).to_uppercase();
        let grace = grace.map_or(self.config.grace, HumanDuration);
        format!("send {signal} to pid {pid}, and KILL if it runs {grace} later")
    }

    fn start(&self) -> String {
        let mut text = String::new();
        if let Some(prepare) = &self.config.prepare {
            text.push_str(&format!("run {} to its end\n", self.argv(prepare)));
        }
        text.push_str(&format!("start {}", self.argv(&self.config.command)));
        let mut facts = Vec::new();
        if let Some(directory) = &self.config.directory {
            facts.push(format!("in {directory}"));
        }
        if !self.config.environment.is_empty() {
            let names: Vec<&str> = self.config.environment.keys().map(String::as_str).collect();
            facts.push(format!("with {}", names.join(", ")));
        }
        if !facts.is_empty() {
            text.push_str(&format!("  ({})", facts.join("; ")));
        }
        let limit = self.config.startup_timeout;
        let until = match (&self.config.address_file, &self.config.health) {
            (Some(file), _) => Some(format!("it has written {file}")),
            (None, Some(_)) => Some("its probe is content".to_owned()),
            (None, None) => None,
        };
        if let Some(until) = until {
            text.push_str(&format!("\nwait until {until}, at most {limit}"));
        }
        text
    }

    fn health(&self) -> Preview {
        let Some(health) = &self.config.health else {
            return Preview::Unknown(format!("service `{}` has no health probe", self.name));
        };
        let probe = match health.kind() {
            Ok(ProbeKind::Http(url)) => format!("GET {url}"),
            Ok(ProbeKind::Tcp(address)) => format!("connect to {address}"),
            Ok(ProbeKind::Command(argv)) => format!("run {}", self.argv(argv)),
            Err(problem) => return Preview::Unknown(problem),
        };
        let limit = health.timeout;
        Preview::Exact(format!("probe `{}`: {probe}, at most {limit}", self.name))
    }

    fn drain(&self, limit: Duration) -> Preview {
        let Some(drain) = &self.config.drain else {
            return Preview::Unknown(format!("service `{}` has no `drain`", self.name));
        };
        Preview::Predicted(match self.pid {
            None => format!("nothing: `{}` is down", self.name),
            Some(_) => format!(
                "POST {} every {} until `{}` is 0, at most {}",
                drain.http,
                drain.interval,
                drain.in_flight,
                HumanDuration(limit)
            ),
        })
    }

    fn resume(&self) -> Preview {
        let resume = self.config.drain.as_ref().and_then(|d| d.resume.as_ref());
        match (resume, self.pid) {
            (None, _) => Preview::Unknown(format!(
                "service `{}` has no `resume` in its `drain`",
                self.name
            )),
            (Some(_), None) => Preview::Predicted(format!("nothing: `{}` is down", self.name)),
            (Some(url), Some(_)) => Preview::Predicted(format!("POST {url}")),
        }
    }
}
