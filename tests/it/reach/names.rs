//! Host names and routes, in a network namespace whose hosts and routes the test chooses.

use std::process::{Command, Output, Stdio};

/// Runs a shell script, with the programs in variables, in a network namespace of its own, in which it may mount.
fn in_namespace(script: &str) -> Output {
    // SAFETY: geteuid has no conditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--kill-child"]);
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    for variable in ["grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy", "RUST_LOG", "PORT"] {
        command.env_remove(variable);
    }
    command.env("SERVER", env!("CARGO_BIN_EXE_hubbub-server")).env("HUBBUB", env!("CARGO_BIN_EXE_hubbub"));
    command.args(["timeout", "60", "sh", "-euc", script]).stdin(Stdio::null());
    command.output().expect("unshare is there")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A network with the addresses 192.0.2.1 and 2001:db8::1, which swallow everything, and 192.0.2.2, on which a server
/// listens.
const NETWORK: &str = r#"
    ip link set lo up
    ip link add near type veth peer name far
    ip link set near up
    ip link set far up
    ip address add 192.0.2.2/24 dev near
    ip address add 2001:db8::2/64 dev near nodad
    for dead in 192.0.2.1 2001:db8::1; do
        ip neighbour add $dead lladdr 02:00:00:00:00:01 dev near nud permanent
    done
    folder=$(mktemp -d)
    trap 'kill $server; wait $server || true; rm -r "$folder"' EXIT
    "$SERVER" --insecure --ephemeral --listen 192.0.2.2:5000 2>"$folder/log" &
    server=$!
    until grep -q 'listening on' "$folder/log"; do kill -0 $server; sleep 0.05; done
    hosts() { printf '%s\n' "$@" >"$folder/hosts"; mount --bind "$folder/hosts" /etc/hosts; }
"#;

/// A name had two addresses, the first of a machine that was gone: each attempt failed after 5 s, and none reached the
/// second.
#[test]
fn a_name_whose_first_address_is_dead_is_reached() {
    let script = r#"
        hosts '192.0.2.2 chat.example.test' '2001:db8::1 chat.example.test'
        # The resolver puts IPv6 first: the dead address must be the first one for this to show anything.
        getent ahosts chat.example.test | awk '{ print "first: " $1; exit }'
        "$HUBBUB" --name ann send talk hello --server chat.example.test:5000
        "$HUBBUB" history talk --server chat.example.test
    "#;
    let output = in_namespace(&format!("{NETWORK}{script}"));
    let text = text(&output);
    assert!(output.status.success() && text.contains("hello"), "{text}");
    assert!(text.contains("first: 2001:db8::1"), "{text}");
}

/// Each of these was "no server answers: start one".
#[test]
fn an_address_that_cannot_be_reached_says_why() {
    let script = r#"
        hosts '192.0.2.1 gone.example.test'
        for place in gone.example.test 192.0.2.2:5001 203.0.113.1 nosuch.example.test; do
            "$HUBBUB" rooms --server $place && exit 1
        done
        https_proxy=http://192.0.2.2:9 "$HUBBUB" rooms --server 192.0.2.2 && exit 1
        https_proxy=http://192.0.2.2:9 no_proxy=192.0.2.2 "$HUBBUB" rooms --server 192.0.2.2
        echo 'all was tried'
    "#;
    let output = in_namespace(&format!("{NETWORK}{script}"));
    let text = text(&output);
    assert!(output.status.success() && text.contains("all was tried"), "{text}");
    for expected in [
        "can't reach gone.example.test:5000: the host is down, or a firewall drops the connection (timed out)",
        "no server answers at 192.0.2.2:5001: start one",
        "can't reach 203.0.113.1:5000: the network has no route to it",
        "nosuch.example.test",
        "the proxy 192.0.2.2:9 (from the variable https_proxy) can't be reached",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing: {text}");
    }
}
