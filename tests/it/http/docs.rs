//! What README.md, docs/http.md and docs/protocol.md show of HTTP: the commands are run, and so is the script for browsers.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::client::Client;
use super::serve;
use crate::support::foreign::node;
use crate::support::process::command;

/// Where the docs say that a server is.
const SHOWN: &str = "127.0.0.1:5080";

/// The blocks of a page that are in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let start = format!("```{language}\n");
    let blocks = text.split(&start).skip(1).map(|rest| rest.split("```").next().expect("a block ends").to_owned());
    blocks.collect()
}

/// Each command that posts must print a seq, and each that reads what was posted before.
#[test]
fn the_commands_for_curl_work_as_shown() {
    let mut count = 0;
    for page in ["README.md", "docs/http.md", "docs/protocol.md"] {
        let (_server, address) = serve(&[]);
        let lines: Vec<_> =
            blocks(page, "sh").iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        for shown in lines.iter().filter(|line| line.starts_with("curl ")) {
            count += 1;
            // A stream has no end of its own.
            let line = shown.replace(SHOWN, &address).replace("curl -N", "curl -N --max-time 2");
            let output =
                Command::new("/bin/sh").args(["-c", &line]).stdin(Stdio::null()).output().expect("a shell starts");
            let printed = String::from_utf8_lossy(&output.stdout);
            let expected = match shown {
                line if line.contains("PostMessage") => "{\"seq\":\"1\"",
                line if line.contains("/events") => "\nid: ",
                _ => "\"body\":\"hello",
            };
            assert!(printed.contains(expected), "{shown}: {printed}");
        }
    }
    assert!(count >= 5, "{count}");
}

/// The script that makes an `EventSource` anew after it has given up.
#[test]
fn the_script_for_browsers_follows_across_a_restart() {
    let scripts = blocks("docs/http.md", "js");
    let [script] = scripts.as_slice() else { panic!("one script: {scripts:?}") };
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("it is UTF-8");
    let address = crate::support::process::lasting_address();
    let start = || {
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--http", &address, "--data", data]);
        let mut server = crate::support::process::ServerProcess::listening(server);
        server.wait_for_log("serving HTTP on ");
        server
    };
    let post = |body: &str| {
        let request = json!({"room": "tea", "sender": "ann", "body": body});
        assert_eq!(Client::connect(&address).call("PostMessage", &request).status, 200);
    };
    let server = start();
    post("one");
    // What a browser has: a document with an address, and `EventSource`.
    let around = format!(
        "const {{ EventSource: Real }} = require('eventsource');\n\
         globalThis.EventSource = class extends Real {{ constructor(path) {{ super('http://{address}' + path); }} }};\n\
         EventSource.CLOSED = 2;\n{script}\n\
         follow('tea', event => {{ console.log(event.message.body); if (event.message.body === 'four') process.exit(0); }});\n\
         setTimeout(() => process.exit(1), 40000);\n"
    );
    let mut node = node();
    let mut browser = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
    browser.stdin.take().expect("it is piped").write_all(around.as_bytes()).expect("it is read");
    let members = || Client::connect(&address).call("ListRooms", &json!({})).json()["rooms"][0]["memberCount"].clone();
    crate::support::wait_for("a follower", || members() == json!(1));
    post("two");
    drop(server);
    let _server = start();
    post("three");
    post("four");
    let output = browser.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "two\nthree\nfour\n");
    assert!(output.status.success());
}
