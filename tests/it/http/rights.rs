//! Logins over HTTP, for programs and for the page, and other addresses than TCP.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::json;

use super::client::Client;
use super::serve;
use super::stream::Stream;
use crate::support::logins::{run, token};
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

/// A page exchanges an invitation for a cookie, which its scripts can't read.
#[test]
fn a_page_logs_in_with_an_invitation_and_logs_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let invite = |user: &[&str]| {
        let printed = run(data, user);
        printed.split_whitespace().last().expect("a code").to_owned()
    };
    let code = invite(&["user", "add", "ann"]);
    let (_server, address) = serve(&["--auth", "accounts", "--data", data.to_str().expect("it is UTF-8")]);
    let mut client = Client::connect(&address);
    let session = |client: &mut Client, verb: &str, fields: &str, body: &str| {
        client.ask(&format!(
            "{verb} /session HTTP/1.1\nHost: localhost\nSec-Fetch-Site: same-origin\n{fields}Content-Length: {}\n\n{body}",
            body.len()
        ))
    };
    const JSON: &str = "Content-Type: application/json\n";
    assert_eq!(session(&mut client, "GET", "", "").json(), json!({"accounts": true}));
    let wrong = session(&mut client, "POST", JSON, r#"{"code":"AAAA-AAAA-AAAA-AAAA"}"#);
    assert_eq!((wrong.status, wrong.field("set-cookie")), (401, None), "{wrong:?}");
    let login = json!({"code": code, "device": "a browser"}).to_string();
    let form = session(&mut client, "POST", "Content-Type: text/plain\n", &login);
    assert_eq!(form.status, 415, "{form:?}");
    let mut client = Client::connect(&address);
    let secure = format!("{JSON}Origin: https://chat.example\n");
    let logged_in = session(&mut client, "POST", &secure, &login);
    assert_eq!(logged_in.json(), json!({"accounts": true, "name": "ann", "role": "member"}), "{logged_in:?}");
    let cookie = logged_in.field("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.starts_with("__Host-hubbub=hub_") && cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    let cookie = format!("Cookie: {}\n", cookie.split(';').next().expect("a pair"));
    // It is valid once.
    assert_eq!(session(&mut client, "POST", JSON, &login).status, 401);
    assert_eq!(session(&mut client, "GET", &cookie, "").json()["name"], json!("ann"));
    let post = |client: &mut Client, fields: &str| {
        client.call_with("PostMessage", &json!({"room": "tea", "body": "hi"}), fields).status
    };
    assert_eq!(post(&mut client, &cookie), 200);
    assert_eq!(post(&mut client, &format!("{cookie}Sec-Fetch-Site: same-origin\n")), 200);
    let mut stream =
        Stream::follow(&address, &json!({"hello": {}, "rooms": [{"room": "tea"}]}), &cookie.replace('\n', "\r\n"));
    assert_eq!(stream.wait_for("welcome")["welcome"]["name"], json!("ann"));
    stream.wait_for("caughtUp");
    let left = session(&mut client, "DELETE", &cookie, "");
    assert_eq!((left.status, left.json()), (200, json!({"accounts": true})));
    assert!(
        left.field("set-cookie").is_some_and(|cookie| cookie.starts_with("hubbub=; ") && cookie.contains("Max-Age=0"))
    );
    assert_eq!(stream.end()["error"]["code"], json!("unauthenticated"));
    assert_eq!(post(&mut client, &cookie), 401);
    assert_eq!(session(&mut client, "GET", &cookie, "").json(), json!({"accounts": true}));
    // Other sites, also those that may make calls, have no part in it.
    let other = client.ask("GET /session HTTP/1.1\nHost: localhost\nSec-Fetch-Site: same-site\n\n");
    assert_eq!(other.status, 403);
}

/// A token that somebody has already can be exchanged too; an open server needs none.
#[test]
fn a_page_may_use_a_token_or_needs_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let token = token(data, "ann", &[]);
    let (_server, address) = serve(&["--auth", "accounts", "--data", data.to_str().expect("it is UTF-8")]);
    let ask = |address: &str, body: &str| {
        Client::connect(address).ask(&format!(
            "POST /session HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {}\n\n{body}",
            body.len()
        ))
    };
    let logged_in = ask(&address, &json!({ "token": token }).to_string());
    assert_eq!(logged_in.json()["name"], json!("ann"), "{logged_in:?}");
    assert!(
        logged_in.field("set-cookie").is_some_and(
            |cookie| cookie == format!("hubbub={token}; Path=/; Max-Age=34560000; HttpOnly; SameSite=Strict")
        )
    );
    for (body, status) in [
        ("{}", 400),
        ("[]", 400),
        (r#"{"token":"a;b"}"#, 400),
        (r#"{"token":"hub_x"}"#, 401),
        (r#"{"code":"a","token":"b"}"#, 400),
    ] {
        assert_eq!(ask(&address, body).status, status, "{body}");
    }
    let (_open, address) = serve(&[]);
    let answer = Client::connect(&address).ask("GET /session HTTP/1.1\nHost: localhost\n\n");
    assert_eq!(answer.json(), json!({"accounts": false}));
}

/// The page is served to whoever follows a link to it, and may do only what its policy allows.
#[test]
fn the_page_is_served() {
    let (_server, address) = serve(&[]);
    let mut client = Client::connect(&address);
    let get = |client: &mut Client, path: &str, fields: &str| {
        client.ask(&format!("GET {path} HTTP/1.1\nHost: localhost\nSec-Fetch-Site: cross-site\n{fields}\n"))
    };
    let page = get(&mut client, "/", "");
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.field("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("trusted-types 'none'"), "{policy}");
    assert_eq!(page.field("cache-control"), Some("no-cache"));
    let tag = page.field("etag").expect("a tag").to_owned();
    assert_eq!(get(&mut client, "/", &format!("If-None-Match: {tag}\n")).status, 304);
    // Everything that it names is there.
    let text = page.text();
    let named = text.split(['"', '\'']).filter(|name| name.ends_with(".js") || name.ends_with(".css"));
    let named: Vec<_> = named.map(|name| format!("/{}", name.trim_start_matches(['.', '/']))).collect();
    assert!(!named.is_empty(), "{text}");
    for name in named {
        assert_eq!(get(&mut client, &name, "").status, 200, "{name}");
    }
    assert_eq!(client.ask("POST / HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n").status, 405);
}
