//! Reaching a server through an HTTP proxy that the environment names, and what a person sees where that fails.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::process::ServerProcess;

/// Where the server is, as only the proxy knows.
const NAME: &str = "chat.example.test:5000";

/// A proxy in this process. Its threads end with the process, or with their connections.
struct ConnectProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// One that connects all who ask to this server, or that answers so.
    fn start(server: Option<&str>, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (server, noted) = (server.map(str::to_owned), Arc::clone(&asked));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, noted) = (server.clone(), Arc::clone(&noted));
                thread::spawn(move || drop(serve(client, server.as_deref(), answer, &noted)));
            }
        });
        Self { port, asked }
    }

    /// The first lines of what it was asked.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no thread panics").clone()
    }
}

fn serve(mut client: TcpStream, server: Option<&str>, answer: &str, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1, client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    asked.lock().expect("no thread panics").extend(head.lines().next().map(str::to_owned));
    client.write_all(answer.as_bytes())?;
    let Some(server) = server else { return Ok(()) };
    let server = TcpStream::connect(server)?;
    let pipe = |mut from: TcpStream, mut to: TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (from, to) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || pipe(from, to));
    pipe(client, server);
    let _ = back.join();
    Ok(())
}

/// Runs the terminal client behind a proxy.
fn hubbub(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    for variable in ["grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy", "RUST_LOG"] {
        program.env_remove(variable);
    }
    program.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    program.output().expect("hubbub runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn programs_reach_a_server_through_a_proxy() {
    let server = ServerProcess::start(&[]);
    let proxy = ConnectProxy::start(Some(server.target()), "HTTP/1.1 200 Connection established\r\n\r\n");
    let place = format!("http://127.0.0.1:{}", proxy.port);
    for variable in ["https_proxy", "http_proxy", "grpc_proxy"] {
        let output = hubbub(&[(variable, &place)], &["--name", "ann", "send", "talk", variable, "--server", NAME]);
        assert!(output.status.success(), "{variable}: {}", said(&output));
    }
    let output = hubbub(&[("https_proxy", &place)], &["history", "talk", "--server", NAME]);
    let history = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && history.contains("grpc_proxy"), "{history}{}", said(&output));
    let asked = proxy.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(
        asked.iter().all(|line| line == "CONNECT chat.example.test:5000 HTTP/1.0"
            || line.starts_with("CONNECT chat.example.test:5000 ")),
        "{asked:?}"
    );
    // A server on this machine is reached without it.
    let output = hubbub(&[("https_proxy", &place)], &["rooms", "--server", server.target()]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(proxy.asked().len(), 4);
}

/// All of this was "no server answers: start one".
#[test]
fn what_a_proxy_refuses_is_told_with_its_reason() {
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "refuses to connect to chat.example.test:5000: \"HTTP/1.1 403 Forbidden\""),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "requires a user name and password (\"HTTP/1.1 407 Proxy Authentication Required\")",
        ),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"),
        ("", "did not answer the request for chat.example.test:5000"),
    ] {
        let proxy = ConnectProxy::start(None, answer);
        let place = format!("http://127.0.0.1:{}", proxy.port);
        let output = hubbub(&[("https_proxy", &place)], &["rooms", "--server", NAME]);
        let said = said(&output);
        eprintln!("{said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.contains("no_proxy") && said.contains("https_proxy"), "{said}");
    }
    // One that is down.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free");
    let output = hubbub(&[("http_proxy", &format!("http://{free}"))], &["rooms", "--server", NAME]);
    let said = said(&output);
    assert!(said.contains(&format!("the proxy {free} (from the variable http_proxy) can't be reached")), "{said}");
}
