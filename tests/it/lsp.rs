//! The language server, driven over its standard input and output as an editor does it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::TestEnv;

/// No answer takes longer, also on a machine under load.
const DEADLINE: Duration = Duration::from_secs(30);

/// An editor. Its server is killed when it is dropped.
struct Editor {
    child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<Value>,
    root: String,
    last_id: i64,
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Editor {
    fn start(env: &TestEnv) -> Self {
        let mut child = env
            .command()
            .args(["lsp", "--stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            loop {
                let mut length = 0;
                let mut line = String::new();
                while stdout.read_line(&mut line).expect("text") > 0 && line != "\r\n" {
                    if let Some(value) = line.strip_prefix("Content-Length: ") {
                        length = value.trim().parse().expect("a length");
                    }
                    line.clear();
                }
                if line.is_empty() {
                    return;
                }
                let mut body = vec![0; length];
                stdout.read_exact(&mut body).expect("a whole message");
                let message = serde_json::from_slice(&body).expect("JSON");
                // Nobody may be listening any more.
                let _ = sender.send(message);
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            messages,
            root: env.root().display().to_string(),
            last_id: 0,
        }
    }

    /// An editor that has introduced itself, with these abilities.
    fn ready(env: &TestEnv, capabilities: &Value) -> Self {
        let mut editor = Self::start(env);
        let result = editor.ask("initialize", json!({ "capabilities": capabilities }));
        assert_eq!(
            result["result"]["serverInfo"]["name"], "runbook",
            "{result}"
        );
        editor.tell("initialized", json!({}));
        editor
    }

    fn raw(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(text.as_bytes()).expect("written");
        stdin.flush().expect("written");
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.raw(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Sends a request and gives its whole answer.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        self.until(|message| message["id"] == id && message.get("method").is_none())
    }

    fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.messages.recv_timeout(DEADLINE).expect("a message");
            if wanted(&message) {
                return message;
            }
        }
    }

    fn uri(&self, path: &str) -> String {
        format!("file://{}/{path}", self.root)
    }

    fn open(&mut self, path: &str, text: &str) {
        let uri = self.uri(path);
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
    }

    fn change(&mut self, path: &str, version: i64, changes: Value) {
        let document = json!({ "uri": self.uri(path), "version": version });
        self.tell(
            "textDocument/didChange",
            json!({ "textDocument": document, "contentChanges": changes }),
        );
    }

    /// The findings of a file in one of its versions.
    fn findings(&self, path: &str, version: i64) -> Vec<Value> {
        let uri = self.uri(path);
        let told = self.until(|message| {
            message["method"] == "textDocument/publishDiagnostics"
                && message["params"]["uri"] == uri.as_str()
                && message["params"]["version"] == version
        });
        told["params"]["diagnostics"]
            .as_array()
            .expect("a list")
            .clone()
    }

    fn question(&mut self, what: &str, path: &str, line: u32, character: u32) -> Value {
        let params = json!({
            "textDocument": { "uri": self.uri(path) },
            "position": { "line": line, "character": character },
        });
        self.ask(&format!("textDocument/{what}"), params)["result"].take()
    }

    /// Closes the server's input and gives its exit code.
    fn end(mut self) -> Option<i32> {
        self.stdin = None;
        self.child.wait().expect("it ends").code()
    }
}

fn place(line: u32, start: u32, end: u32) -> Value {
    json!({
        "start": { "line": line, "character": start },
        "end": { "line": line, "character": end },
    })
}

/// A step that uses an unknown action, behind letters that are wide in every encoding but one.
const BROKEN: &str = "runbook: v1\nname: a\ntitle: A\nsteps:\n  - { name: \"ü𝄞\", id: x, uses: wiat, with: { duration: 1s } }\n";

fn repository() -> TestEnv {
    let env = TestEnv::with_runbook("a", BROKEN);
    env.write(
        "runbooks/environments/local.yaml",
        "environment: v1\nname: local\nvars:\n  region: eu\nservices:\n  api: { provider: process, command: [api] }\n",
    );
    env
}

#[test]
fn it_is_set_up_and_shut_down() {
    let env = repository();
    let mut editor = Editor::start(&env);
    let early = editor.ask("textDocument/hover", json!({}));
    assert_eq!(early["error"]["code"], -32002, "{early}");
    let result = editor.ask("initialize", json!({ "capabilities": {} }));
    let offered = &result["result"]["capabilities"];
    assert_eq!(offered["positionEncoding"], "utf-16");
    assert_eq!(offered["hoverProvider"], true);
    let again = editor.ask("initialize", json!({ "capabilities": {} }));
    assert_eq!(again["error"]["code"], -32600);
    editor.tell("initialized", json!({}));
    let unknown = editor.ask("textDocument/nothing", json!({}));
    assert_eq!(unknown["error"]["code"], -32601);
    let bad = editor.ask("textDocument/hover", json!({ "textDocument": 5 }));
    assert_eq!(bad["error"]["code"], -32602);
    let done = editor.ask("shutdown", Value::Null);
    assert_eq!(done["result"], Value::Null);
    let late = editor.ask("textDocument/hover", json!({}));
    assert_eq!(late["error"]["code"], -32600);
    editor.tell("exit", Value::Null);
    let code = editor.child.wait().expect("it ends").code();
    assert_eq!(code, Some(0), "without the end of its input");
}

#[test]
fn without_a_shutdown_it_fails() {
    let env = repository();
    let mut editor = Editor::ready(&env, &json!({}));
    editor.tell("exit", Value::Null);
    assert_eq!(editor.end(), Some(1));
    assert_eq!(
        Editor::ready(&env, &json!({})).end(),
        Some(1),
        "no word at all"
    );
    assert_eq!(Editor::start(&env).end(), Some(1), "not even a first one");
    let mut editor = Editor::ready(&env, &json!({}));
    editor.ask("shutdown", Value::Null);
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn findings_stand_where_they_belong_and_go_when_they_are_mended() {
    let env = repository();
    let mut editor = Editor::ready(&env, &json!({}));
    editor.open("runbooks/a.yaml", BROKEN);
    let found = editor.findings("runbooks/a.yaml", 1);
    assert_eq!(found.len(), 1, "{found:?}");
    let finding = &found[0];
    // `ü` is one unit of UTF-16, the clef two.
    assert_eq!(finding["range"], place(4, 32, 36), "{finding}");
    assert_eq!(finding["code"], "RB0501");
    assert_eq!(finding["severity"], 1);
    assert_eq!(finding["source"], "runbook");
    assert_eq!(
        finding["message"],
        "there is no action `wiat`\nhelp: did you mean `wait`?"
    );
    let page = finding["data"]["explain"].as_str().expect("a page");
    assert!(page.starts_with("# RB0501"), "{page}");

    let fixes = editor.ask(
        "textDocument/codeAction",
        json!({
            "textDocument": { "uri": editor.uri("runbooks/a.yaml") },
            "range": finding["range"],
            "context": { "diagnostics": [finding] },
        }),
    );
    let fix = &fixes["result"][0];
    assert_eq!(fix["title"], "Write `wait`", "{fixes}");
    let edit = &fix["edit"]["changes"][editor.uri("runbooks/a.yaml")][0];
    assert_eq!(edit["range"], place(4, 32, 36));

    let change = json!([{ "range": edit["range"], "text": edit["newText"] }]);
    editor.change("runbooks/a.yaml", 2, change);
    let mended = editor.findings("runbooks/a.yaml", 2);
    assert_eq!(mended, [Value::Null; 0]);

    let uri = editor.uri("runbooks/a.yaml");
    editor.tell(
        "textDocument/didClose",
        json!({ "textDocument": { "uri": uri } }),
    );
    let told = editor.until(|message| message["params"]["uri"] == uri.as_str());
    assert_eq!(told["params"]["diagnostics"], json!([]));
}

#[test]
fn columns_are_bytes_when_the_editor_can_count_them() {
    let env = repository();
    let general = json!({ "general": { "positionEncodings": ["utf-16", "utf-8"] } });
    let mut editor = Editor::ready(&env, &general);
    editor.open("runbooks/a.yaml", BROKEN);
    let found = editor.findings("runbooks/a.yaml", 1);
    assert_eq!(found[0]["range"], place(4, 35, 39));
    let hover = editor.question("hover", "runbooks/a.yaml", 4, 31);
    assert_eq!(hover["range"], place(4, 29, 33), "{hover}");
}

#[test]
fn a_finding_of_two_places_names_both() {
    let env = repository();
    let mut editor = Editor::ready(&env, &json!({}));
    editor.open(
        "runbooks/a.yaml",
        "runbook: v1\nname: a\nsteps:\n  - { id: x, uses: wait }\n  - { id: x, uses: wait }\n",
    );
    let found = editor.findings("runbooks/a.yaml", 1);
    let twice = found.iter().find(|f| !f["relatedInformation"].is_null());
    let related = &twice.expect("two places")["relatedInformation"][0];
    assert_eq!(
        related["location"]["range"]["start"]["line"], 3,
        "{found:?}"
    );
    assert_eq!(
        related["location"]["uri"],
        editor.uri("runbooks/a.yaml").as_str()
    );
}

#[test]
fn what_is_not_saved_yet_counts_and_so_does_what_others_save() {
    let env = repository();
    let watch = json!({
        "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": true } },
    });
    let mut editor = Editor::ready(&env, &watch);
    let registered = editor.until(|message| message["method"] == "client/registerCapability");
    assert!(registered["params"].to_string().contains("**/*.yaml"));
    let text =
        "runbook: v1\nname: a\nsteps:\n  - { id: x, uses: service.stop, with: { service: web } }\n";
    editor.open("runbooks/a.yaml", text);
    let codes = |found: &[Value]| -> Vec<String> {
        found
            .iter()
            .map(|f| f["code"].as_str().expect("a code").to_owned())
            .collect()
    };
    assert_eq!(codes(&editor.findings("runbooks/a.yaml", 1)), ["RB0402"]);

    // The editor's own text of the environment has the service; the file on disk does not.
    let environment =
        "environment: v1\nname: local\nservices:\n  web: { provider: process, command: [web] }\n";
    editor.open("runbooks/environments/local.yaml", environment);
    assert_eq!(codes(&editor.findings("runbooks/a.yaml", 1)), [""; 0]);
    let jump = editor.question("definition", "runbooks/a.yaml", 3, 51);
    assert_eq!(
        jump["uri"],
        editor.uri("runbooks/environments/local.yaml").as_str()
    );
    assert_eq!(jump["range"], place(3, 2, 5));

    let uri = editor.uri("runbooks/environments/local.yaml");
    editor.tell(
        "textDocument/didClose",
        json!({ "textDocument": { "uri": uri } }),
    );
    assert_eq!(codes(&editor.findings("runbooks/a.yaml", 1)), ["RB0402"]);
    env.write("runbooks/environments/local.yaml", environment);
    editor.tell(
        "workspace/didChangeWatchedFiles",
        json!({ "changes": [{ "uri": uri, "type": 2 }] }),
    );
    assert_eq!(codes(&editor.findings("runbooks/a.yaml", 1)), [""; 0]);
}

#[test]
fn help_and_completion_work_while_a_line_is_half_written() {
    let env = repository();
    let mut editor = Editor::ready(&env, &json!({}));
    let path = "runbooks/a.yaml";
    let head = "runbook: v1\nname: a\nparams:\n  who: { type: string, default: x, description: Who }\nsteps:\n  - id: first\n    uses: service.status\n    with: { service: api }\n  - id: then\n";
    let labels = |editor: &mut Editor, version: i64, line: &str| -> Vec<String> {
        editor.change(path, version, json!([{ "text": format!("{head}{line}") }]));
        let column = u32::try_from(line.encode_utf16().count()).expect("a column");
        let items = editor.question("completion", path, 9, column);
        let items = items.as_array().expect("a list").clone();
        items
            .iter()
            .map(|i| i["label"].as_str().expect("a label").to_owned())
            .collect()
    };
    editor.open(path, head);
    for (version, (line, wanted)) in (2..).zip([
        ("    ", "uses"),
        ("    us", "uses"),
        ("    uses: serv", "service.restart"),
        ("    uses: ", "shell"),
        ("    needs: [", "first"),
        ("    when: steps.", "first"),
        ("    when: steps.first.outputs.", "healthy"),
        ("    with: { a: \"ü𝄞 {{ params.", "who"),
        ("    with: { a: \"{{ vars.", "region"),
        ("    on_failure: ", "rollback"),
    ]) {
        let found = labels(&mut editor, version, line);
        assert!(
            found.iter().any(|label| label == wanted),
            "{line:?} offers {found:?}"
        );
    }
    let line = format!("{head}    when: params.who == \"x\"\n");
    editor.change(path, 99, json!([{ "text": line }]));
    let hover = editor.question("hover", path, 9, 20);
    let words = hover["contents"]["value"].as_str().expect("Markdown");
    assert!(words.starts_with("`params.who`: string\n\nWho"), "{words}");
    let jump = editor.question("definition", path, 9, 20);
    assert_eq!(jump["range"], place(3, 2, 5));
    let outline = editor.question("documentSymbol", path, 0, 0);
    assert_eq!(outline[1]["name"], "steps", "{outline}");
    assert_eq!(outline[1]["children"][1]["name"], "then");
}

#[test]
fn a_file_that_is_none_of_ours_is_left_alone() {
    let env = repository();
    let mut editor = Editor::ready(&env, &json!({}));
    editor.open("compose.yaml", "services:\n  a: {}\n");
    assert_eq!(editor.findings("compose.yaml", 1), [Value::Null; 0]);
    assert_eq!(editor.question("hover", "compose.yaml", 0, 2), Value::Null);
    assert_eq!(
        editor.question("hover", "never-opened.yaml", 0, 2),
        Value::Null
    );
    let uri = "untitled:Untitled-1";
    let text = "runbook: v1\nname: a\nsteps: 5\n";
    let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
    editor.tell("textDocument/didOpen", json!({ "textDocument": document }));
    let told = editor.until(|m| m["params"]["uri"] == uri);
    assert!(
        !told["params"]["diagnostics"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}

#[test]
fn what_is_no_message_does_not_end_the_session() {
    let env = repository();
    let mut editor = Editor::ready(&env, &json!({}));
    editor.raw("Content-Length: 3\r\n\r\n{x}");
    let told = editor.until(|message| message["method"] == "window/logMessage");
    assert!(
        told["params"]["message"]
            .as_str()
            .expect("words")
            .contains("no message")
    );
    let wrong = r#"{"id":"q","method":[1,2,3]}"#;
    editor.raw(&format!("Content-Length: {}\r\n\r\n{wrong}", wrong.len()));
    let refused = editor.until(|message| message["id"] == "q");
    assert_eq!(refused["error"]["code"], -32600);
    editor.raw("Content-Length: nine\r\n\r\n");
    editor.tell("textDocument/didOpen", json!({ "textDocument": "no" }));
    editor.tell("textDocument/didChange", json!([]));
    editor.change("runbooks/never-opened.yaml", 1, json!([{ "text": "x" }]));
    let far = place(4_000_000_000, 7, 4_000_000_000);
    editor.open("runbooks/a.yaml", BROKEN);
    editor.change("runbooks/a.yaml", 2, json!([{ "range": far, "text": "ü" }]));
    assert!(!editor.findings("runbooks/a.yaml", 2).is_empty());
    let hover = editor.question("hover", "runbooks/a.yaml", 4_000_000_000, 4_000_000_000);
    assert!(
        hover.to_string().contains("# RB0001"),
        "the file's end: {hover}"
    );
    editor.ask("shutdown", Value::Null);
    editor.tell("exit", Value::Null);
    assert_eq!(editor.end(), Some(0));
}
