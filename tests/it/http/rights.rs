//! Logins over HTTP, and other addresses than TCP.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::json;

use super::client::Client;
use super::serve;
use crate::support::logins::token;
use crate::support::process::{ServerProcess, command};

#[test]
fn a_token_is_needed_where_logins_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let (all, builds) = (token(data, "ann", &[]), token(data, "ci", &["--room", "builds"]));
    let (_server, address) = serve(&["--auth", "accounts", "--data", data.to_str().expect("it is UTF-8")]);
    let mut client = Client::connect(&address);
    let mut post = |fields: &str| client.call_with("PostMessage", &json!({"room": "tea", "body": "hi"}), fields);
    let refused = post("");
    assert_eq!((refused.status, refused.field("www-authenticate")), (401, Some("Bearer")), "{refused:?}");
    assert_eq!(refused.json()["code"], json!("unauthenticated"));
    assert_eq!(post("Authorization: Basic YTpi\n").status, 401);
    assert_eq!(post(&format!("Authorization: Bearer {all}\nAuthorization: Bearer {all}\n")).status, 401);
    assert_eq!(post(&format!("Authorization: Bearer {builds}\n")).status, 403);
    assert_eq!(post(&format!("authorization: bearer {all}\n")).json()["seq"], json!("1"));
}

/// Other machines may not reach a server without TLS, over HTTP either.
#[test]
fn an_exposed_address_needs_protection() {
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--ephemeral", "--http", "0.0.0.0:0"]);
    let mut server = ServerProcess::spawn(server);
    assert!(!server.wait().success());
    let log = server.rest_of_log().join("\n");
    assert!(log.contains("0.0.0.0:0 can be reached from other machines") && log.contains("--insecure"), "{log}");
}

/// A proxy connects to a socket, and has checked the host.
#[test]
fn a_unix_socket_serves_any_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("http.sock");
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--ephemeral", "--http"]).arg(format!("unix:{}", path.display()));
    let mut server = ServerProcess::listening(server);
    server.wait_for_log("serving HTTP on ");
    let mut stream = UnixStream::connect(&path).expect("it accepts");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n").expect("it is sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("\r\n\r\nok\n"), "{text}");
}
