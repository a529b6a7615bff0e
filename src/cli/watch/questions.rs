//! What a person at the terminal is asked, one question at a time.

use std::collections::VecDeque;
use std::io::{self, BufRead as _};

use tokio::sync::mpsc;

use crate::base::{Map, StepId, Value};
use crate::language::parse_param;
use crate::plan::PlanGateInput;
use crate::run::GateView;

/// What somebody says at a gate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes(Option<String>),
    No(Option<String>),
    Back { to: StepId, comment: String },
}

/// `y`, `yes`, `n`, `no`, then perhaps a comment; `b STEP COMMENT`.
pub(super) fn parse_answer(line: &str) -> Result<Answer, String> {
    let (word, rest) = first_word(line);
    let comment = (!rest.is_empty()).then(|| rest.to_owned());
    match word.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(Answer::Yes(comment)),
        "n" | "no" => Ok(Answer::No(comment)),
        "b" | "back" => {
            let (to, comment) = first_word(rest);
            if comment.is_empty() {
                return Err("say where to and why: b STEP COMMENT".to_owned());
            }
            let to = StepId::parse(to).map_err(|error| error.to_string())?;
            let comment = comment.to_owned();
            Ok(Answer::Back { to, comment })
        }
        _ => Err("that is neither yes nor no".to_owned()),
    }
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// A gate that a person is asked about.
struct Question {
    step: StepId,
    /// What it asks, unless that stands on the terminal already.
    message: Option<String>,
    inputs: Vec<(String, PlanGateInput)>,
    filling: Option<Filling>,
}

/// The approver's values, as far as they were typed.
struct Filling {
    comment: Option<String>,
    values: Map<String, Value>,
}

/// What became of a line that fills something in.
pub(super) enum Filled {
    /// The next is asked for.
    More,
    /// It has no such value.
    Refused(String),
    /// That was the last.
    All {
        comment: Option<String>,
        inputs: Map<String, Value>,
    },
}

/// The gates that a person at the terminal is asked about, one at a time.
pub(super) struct Questions {
    may_ask: bool,
    open: VecDeque<Question>,
    lines: Option<mpsc::UnboundedReceiver<String>>,
    /// A question stands on the terminal.
    pub(super) shown: Option<StepId>,
}

impl Questions {
    pub(super) fn new(may_ask: bool) -> Self {
        Self {
            may_ask,
            open: VecDeque::new(),
            lines: None,
            shown: None,
        }
    }

    pub(super) fn may_ask(&self) -> bool {
        self.may_ask
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether a question stands on the terminal.
    pub(super) fn is_asking(&self) -> bool {
        self.may_ask && !self.open.is_empty()
    }

    /// A gate opened. `untold`: what it asks does not stand on the terminal.
    pub(super) fn add(&mut self, gate: &GateView, untold: bool) {
        self.open.push_back(Question {
            step: gate.step.clone(),
            message: untold.then(|| gate.message.clone()),
            inputs: gate.inputs.clone().into_iter().collect(),
            filling: None,
        });
    }

    /// The gate that is asked about.
    pub(super) fn front(&self) -> Option<&StepId> {
        self.open.front().map(|question| &question.step)
    }

    pub(super) fn asks_for_inputs(&self) -> bool {
        let front = self.open.front();
        front.is_some_and(|question| !question.inputs.is_empty())
    }

    /// A gate is closed, or another question now.
    pub(super) fn settled(&mut self, step: &StepId) {
        self.retain(|open| open != step);
    }

    /// Only these gates are open still.
    pub(super) fn retain(&mut self, is_open: impl Fn(&StepId) -> bool) {
        let before = self.front().cloned();
        self.open.retain(|question| is_open(&question.step));
        if self.front() != before.as_ref() {
            self.shown = None;
        }
    }

    /// Nobody is asked any more; gives the gate that was asked about, or nothing.
    pub(super) fn give_up(&mut self) -> String {
        self.may_ask = false;
        self.lines = None;
        self.front().map_or_else(String::new, ToString::to_string)
    }

    pub(super) fn asked_again(&mut self) {
        self.shown = None;
    }

    /// Yes was said; what the gate asks for comes first.
    pub(super) fn begin_filling(&mut self, comment: Option<String>) {
        if let Some(question) = self.open.front_mut() {
            question.filling = Some(Filling {
                comment,
                values: Map::new(),
            });
        }
    }

    /// Takes a line as the value that is asked for; `None` when none is.
    pub(super) fn fill(&mut self, line: &str) -> Option<Filled> {
        let question = self.open.front_mut()?;
        let filling = question.filling.as_mut()?;
        let mut left = question.inputs.iter().skip(filling.values.len());
        let (name, input) = left.next()?;
        let value = match (line.trim(), &input.default) {
            ("", Some(default)) => Ok(default.clone()),
            ("", None) => Err("it has no default".to_owned()),
            (text, _) => parse_param(text, &input.ty),
        };
        match value {
            Err(why) => return Some(Filled::Refused(why)),
            Ok(value) => filling.values.insert(name.clone(), value),
        };
        if left.next().is_some() {
            return Some(Filled::More);
        }
        // If it cannot be cast, the whole question is asked again.
        let filled = question.filling.take()?;
        Some(Filled::All {
            comment: filled.comment,
            inputs: filled.values,
        })
    }

    /// The question to be shown now, once.
    pub(super) fn text(&mut self) -> Option<String> {
        if !self.may_ask {
            return None;
        }
        let question = self.open.front()?;
        let step = &question.step;
        if self.shown.as_ref() == Some(step) {
            return None;
        }
        self.shown = Some(step.clone());
        let text = match &question.filling {
            Some(filling) => {
                let (name, input) = question.inputs.get(filling.values.len())?;
                input_text(name, input)
            }
            None => {
                let message = question.message.as_deref();
                let message = message.map_or_else(String::new, |m| format!("\n  {}\n", safe(m)));
                format!(
                    "{message}  approve `{step}`? [y]es or [n]o, then a comment if you like, or [b]ack STEP COMMENT: "
                )
            }
        };
        self.lines.get_or_insert_with(read_lines);
        Some(text)
    }

    /// The next line typed; waits for ever when nobody is asked.
    pub(super) async fn answer(&mut self) -> Option<String> {
        match &mut self.lines {
            Some(lines) => lines.recv().await,
            None => std::future::pending().await,
        }
    }
}

fn input_text(name: &str, input: &PlanGateInput) -> String {
    let what = input
        .description
        .as_deref()
        .map_or_else(String::new, |d| format!(": {}", safe(d)));
    let default = match &input.default {
        None => String::new(),
        Some(Value::String(text)) => format!(" [{}]", safe(text)),
        Some(other) => format!(" [{}]", safe(&other.to_string())),
    };
    format!("  {name} ({}){what}{default}: ", input.ty)
}

fn safe(text: &str) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(safe).collect()
}

/// Reads lines in a thread of its own, which nobody waits for: a read of a terminal cannot be ended.
fn read_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::base::Timestamp;
    use crate::model::{Risk, Ty};

    fn id(text: &str) -> StepId {
        StepId::new(text).expect("valid")
    }

    fn gate(step: &str, message: &str) -> GateView {
        GateView {
            step: id(step),
            message: message.to_owned(),
            expires_at: None,
            round: 1,
            risk: Risk::Low,
            opened_at: Timestamp::from_unix_millis(0),
            inputs: BTreeMap::new(),
            next_escalation: None,
            held: None,
            parked: false,
        }
    }

    fn asked(gates: &[(GateView, bool)]) -> Questions {
        let mut questions = Questions::new(true);
        questions.lines = Some(mpsc::unbounded_channel().1);
        for (gate, untold) in gates {
            questions.add(gate, *untold);
        }
        questions
    }

    #[test]
    fn answers_are_yes_no_or_back_with_a_comment() {
        let text = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("y\n", Some(Answer::Yes(None))),
            (" YES  looks good \n", Some(Answer::Yes(text("looks good")))),
            ("no not now", Some(Answer::No(text("not now")))),
            (
                "b restart  wrong node",
                Some(Answer::Back {
                    to: id("restart"),
                    comment: "wrong node".to_owned(),
                }),
            ),
            ("b restart", None),
            ("b", None),
            ("", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_answer(line).ok(), expected, "{line:?}");
        }
    }

    #[test]
    fn one_question_at_a_time_and_each_once() {
        let mut questions = asked(&[(gate("a", "go\u{1b}[2J?"), true), (gate("b", ""), false)]);
        let text = questions.text().expect("a question");
        assert!(text.contains("approve `a`") && !text.contains('\u{1b}'));
        assert_eq!(questions.text(), None);
        questions.asked_again();
        let again = questions.text().expect("a question");
        assert!(again.contains("approve `a`"), "{again}");
        questions.settled(&id("a"));
        let next = questions.text().expect("a question");
        assert!(next.contains("approve `b`"), "{next}");
        questions.retain(|_| false);
        assert!(!questions.is_asking());
    }

    #[test]
    fn what_a_gate_asks_for_is_filled_in_one_after_the_other() {
        let mut asks = gate("a", "go?");
        let input = |ty, default| PlanGateInput {
            ty,
            default,
            description: Some("How long".to_owned()),
            rule: None,
        };
        asks.inputs = [
            ("nodes".to_owned(), input(Ty::Int, None)),
            (
                "window".to_owned(),
                input(Ty::Duration, Some(Value::String("10m".to_owned()))),
            ),
        ]
        .into();
        let mut questions = asked(&[(asks, false)]);
        assert!(questions.fill("3").is_none(), "nothing is asked for yet");
        assert!(questions.asks_for_inputs());
        questions.begin_filling(Some("fine".to_owned()));
        let text = questions.text().expect("a question");
        assert_eq!(text, "  nodes (int): How long: ");
        for bad in ["", "many"] {
            assert!(matches!(questions.fill(bad), Some(Filled::Refused(_))));
        }
        assert!(matches!(questions.fill(" 3 "), Some(Filled::More)));
        questions.asked_again();
        let text = questions.text().expect("a question");
        assert_eq!(text, "  window (duration): How long [10m]: ");
        match questions.fill("") {
            Some(Filled::All { comment, inputs }) => {
                assert_eq!(comment.as_deref(), Some("fine"));
                let values = Value::Object(inputs);
                assert_eq!(values, serde_json::json!({ "nodes": 3, "window": "10m" }));
            }
            _ => panic!("that was the last"),
        }
    }

    #[test]
    fn without_a_terminal_nobody_is_asked() {
        let mut questions = Questions::new(false);
        questions.add(&gate("a", "go?"), true);
        assert!(!questions.is_asking());
        assert_eq!(questions.text(), None);
    }
}
