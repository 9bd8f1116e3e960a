//! `hubbub-server health`, as a container runs it.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::support::process::{ServerProcess, command};
use crate::tls::authority::Authority;
use crate::tls::{serve, text};

/// Runs the probe: its exit code, and what it prints on standard output and error.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut probe = command();
    for variable in ["HUBBUB_TLS_CERT", "HUBBUB_TLS_KEY", "HUBBUB_TLS", "HUBBUB_CA"] {
        probe.env_remove(variable);
    }
    // The machine may be busy.
    probe.env("HUBBUB_TIMEOUT", "30").arg("health").args(arguments).envs(variables.iter().copied());
    let output = probe.output().expect("hubbub-server starts");
    let printed = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code(), printed(output.stdout), printed(output.stderr))
}

/// The probe says that the server serves.
fn serves(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (code, printed, errors) = run(arguments, variables);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{arguments:?}: {printed}");
    printed
}

/// What the probe says of a server that it can't check.
fn complaint(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let (code, printed, errors) = run(arguments, variables);
    assert_eq!((code, printed.as_str()), (Some(1), ""), "{arguments:?}: {errors}");
    errors
}

#[test]
fn a_server_is_found_by_address_and_by_the_variables_that_started_it() {
    let server = ServerProcess::start(&[]);
    let target = server.target();
    let port = target.rsplit(':').next().expect("an address has a port");
    assert_eq!(serves(&[target], &[]), format!("{target}: SERVING\n"));
    assert_eq!(serves(&[], &[("HUBBUB_LISTEN", target)]), format!("{target}: SERVING\n"));
    // The wildcard is no address for clients, and a variable may name several.
    let listen = format!("0.0.0.0:{port},unix:/nonexistent");
    assert_eq!(serves(&[], &[("HUBBUB_LISTEN", &listen)]), format!("127.0.0.1:{port}: SERVING\n"));
    assert_eq!(serves(&[], &[("PORT", port)]), format!("127.0.0.1:{port}: SERVING\n"));
    let chat = "hubbub.v1.ChatService";
    assert_eq!(serves(&[target, "--service", chat], &[]), format!("{target}: {chat}: SERVING\n"));
    let said = complaint(&[target, "--service", "hubbub.v2"], &[]);
    assert!(said.contains("has no service \"hubbub.v2\""), "{said}");
    let said = complaint(&[], &[("HUBBUB_LISTEN", "127.0.0.1:0")]);
    assert!(said.contains("give the address"), "{said}");
}

/// The story: a container with everything in its configuration file was never healthy, because the probe asked at port
/// 5000.
#[test]
fn a_server_is_found_by_its_configuration_file() {
    let authority = Authority::new();
    let pair = authority.sign("server", &["chat.example.org"], |_| {});
    let server = serve(&pair, &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hubbub.toml");
    let (file, target) = (text(&file), server.target());
    let write = |tls: &str| {
        let config = format!("listen = ['{target}', 'unix:/nonexistent']\nrooms-max = 'many'\n{tls}");
        std::fs::write(file, config).expect("a file is written");
    };
    write(&format!("tls-cert = '{}'\ntls-key = '/nonexistent'\n", text(&pair.certificate)));
    assert_eq!(serves(&["--config", file], &[]), format!("{target}: SERVING\n"));
    assert_eq!(serves(&[], &[("HUBBUB_CONFIG", file)]), format!("{target}: SERVING\n"));
    // A variable overrides the file, as for the server, and the address that is given both.
    let said = complaint(&["--config", file], &[("HUBBUB_LISTEN", "unix:/nonexistent/x")]);
    assert!(said.contains("/nonexistent/x"), "{said}");
    assert_eq!(serves(&[target, "--config", file], &[]), format!("{target}: SERVING\n"));
    write("");
    let said = complaint(&["--config", file], &[]);
    assert!(said.contains("uses TLS"), "{said}");
    std::fs::write(file, "listen = 5000\n").expect("a file is written");
    let (code, _, errors) = run(&["--config", file], &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("hubbub.toml:1: listen: "), "{errors}");
}

#[test]
fn a_unix_socket_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("unix:{}", folder.path().join("hubbub.sock").display());
    let mut server = command();
    server.args(["--ephemeral", "--listen", &address]);
    let server = ServerProcess::listening(server);
    assert_eq!(serves(&[&address], &[]), format!("{address}: SERVING\n"));
    // A socket has no TLS, also if the server has it elsewhere.
    assert_eq!(serves(&[], &[("HUBBUB_LISTEN", &address), ("HUBBUB_TLS", "1")]), format!("{address}: SERVING\n"));
    drop(server);
    let said = complaint(&[&address], &[]);
    assert!(said.contains("no server listens on the socket") || said.contains("no socket at"), "{said}");
}

#[test]
fn a_server_with_tls_is_checked_with_its_authority_or_its_own_environment() {
    let authority = Authority::new();
    let pair = authority.sign("server", &["chat.example.org", "*.chat.example.org"], |_| {});
    let server = serve(&pair, &[]);
    let (target, ca) = (server.target(), text(&authority.file));
    let serving = format!("{target}: SERVING\n");
    assert_eq!(serves(&[target, "--ca", ca, "--server-name", "chat.example.org"], &[]), serving);
    // The certificate is not for this address; in the server's environment, that does not matter.
    let certificate = ("HUBBUB_TLS_CERT", text(&pair.certificate));
    let own = [certificate, ("HUBBUB_TLS_KEY", text(&pair.key)), ("HUBBUB_LISTEN", target)];
    assert_eq!(serves(&[], &own), serving);
    for (arguments, expected) in [
        (&[target][..], "uses TLS"),
        (&[target, "--ca", ca][..], "is not for 127.0.0.1"),
        (&[target, "--ca", text(&Authority::new().file)][..], "not from an authority that this client trusts"),
    ] {
        let said = complaint(arguments, &[]);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    // Another server's certificate.
    let other = Authority::new().server("other");
    complaint(&[], &[("HUBBUB_TLS_CERT", text(&other.certificate)), ("HUBBUB_LISTEN", target)]);
    let plain = ServerProcess::start(&[]);
    let said = complaint(&[plain.target(), "--ca", ca], &[]);
    assert!(said.contains("does not use TLS"), "{said}");
}

#[test]
fn a_certificate_for_a_wildcard_is_enough_for_its_own_server() {
    let authority = Authority::new();
    let pair = authority.sign("server", &["*.example.org"], |_| {});
    let server = serve(&pair, &[]);
    let own = [("HUBBUB_TLS_CERT", text(&pair.certificate)), ("HUBBUB_LISTEN", server.target())];
    assert_eq!(serves(&[], &own), format!("{}: SERVING\n", server.target()));
}

#[test]
fn a_server_that_wants_a_certificate_gets_one() {
    let (authority, users) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let login = ["--client-ca", text(&users.file), "--auth", "mtls", "--data", text(folder.path())];
    let server = serve(&authority.server("server"), &login);
    let (target, ca) = (server.target(), text(&authority.file));
    let ann = users.client("ann");
    let (cert, key) = (text(&ann.certificate), text(&ann.key));
    let arguments = [target, "--ca", ca, "--cert", cert, "--key", key];
    assert_eq!(serves(&arguments, &[]), format!("{target}: SERVING\n"));
    complaint(&[target, "--ca", ca], &[]);
    let (code, _, errors) = run(&[target, "--ca", ca, "--cert", cert], &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("--cert and --key"), "{errors}");
    let (code, _, errors) = run(&[target, "--ca", ca, "--server-name", "a b"], &[]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("--server-name") && errors.contains("expected a host name"), "{errors}");
}

#[test]
fn what_is_not_a_server_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let missing = free.local_addr().expect("it has an address").to_string();
    drop(free);
    let said = complaint(&[&missing], &[]);
    assert_eq!(said, format!("hubbub-server: no server listens at {missing} (connection refused)\n"));

    let web = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = web.local_addr().expect("it has an address").to_string();
    // Ends with the process: this server is never stopped.
    thread::spawn(move || {
        for mut stream in web.incoming().flatten() {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 512]);
        }
    });
    let said = complaint(&[&address], &[]);
    assert!(said.contains("is not a chat server but a web server"), "{said}");

    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("it has an address").to_string();
    let said = complaint(&[&address, "--timeout", "300ms"], &[]);
    assert_eq!(said, format!("hubbub-server: no answer from {address} within 300ms\n"));
}
