//! Client certificates.

use std::time::Duration;

use grpcio::ConnectivityState;
use hubbub::threads::park::block_on;

use super::authority::{Authority, Pair};
use super::{complaint, printed, serve, text};

/// The lean call stack left out the C core's filter `server-auth`, without which no call sees a certificate.
#[test]
fn a_call_over_tls_sees_the_certificate_of_its_client() {
    let (authority, users) = (Authority::new(), Authority::new());
    let server = serve(&authority.server("server"), &["--client-ca", text(&users.file), "--auth", "mtls"]);
    let ann = users.client("ann");
    let tls = ["--ca", text(&authority.file), "--cert", text(&ann.certificate), "--key", text(&ann.key)];
    fn run<'a>(tls: &[&'a str], arguments: &[&'a str]) -> Vec<&'a str> {
        [tls, arguments].concat()
    }
    printed(server.target(), &run(&tls, &["--name", "ann", "send", "tea", "hello"]));
    let history = printed(server.target(), &run(&tls, &["history", "tea", "--json"]));
    assert!(history.contains(r#""sender":"ann""#) && history.contains(r#""authenticated":true"#), "{history}");
    let said = complaint(server.target(), &run(&tls, &["--name", "bob", "send", "tea", "I am bob"]));
    assert!(said.contains("ann"), "{said}");
    let two = users.sign("two", &["ann", "bob"], |_| {});
    let tls = ["--ca", text(&authority.file), "--cert", text(&two.certificate), "--key", text(&two.key), "rooms"];
    let said = complaint(server.target(), &tls);
    assert!(said.contains("certificate"), "{said}");
}

#[test]
fn clients_without_a_valid_certificate_are_not_connected() {
    let (authority, users, others) = (Authority::new(), Authority::new(), Authority::new());
    let server = serve(&authority.server("server"), &["--client-ca", text(&users.file), "--auth", "mtls"]);
    let ca = text(&authority.file);
    let said = complaint(server.target(), &["--ca", ca, "rooms"]);
    assert!(said.contains("asks for a client certificate: give one with --cert and --key"), "{said}");
    let stranger = others.client("ann");
    let said = complaint(
        server.target(),
        &["--ca", ca, "--cert", text(&stranger.certificate), "--key", text(&stranger.key), "rooms"],
    );
    assert!(said.contains("refuses the certificate of --cert"), "{said}");
    // The client would not show an expired one.
    let expired = users.expired_client("ann");
    let tls = ["--ca", ca, "--cert", text(&expired.certificate), "--key", text(&expired.key), "rooms"];
    assert!(complaint(server.target(), &tls).contains("the certificate has expired on"));
    assert!(!connects(server.target(), &authority, &expired), "the server refuses it too");
    assert!(connects(server.target(), &authority, &users.client("ann")));
}

/// Whether the library's client connects with this certificate.
fn connects(target: &str, authority: &Authority, pair: &Pair) -> bool {
    let channel = authority.connect(target, Some(pair));
    let mut state = channel.check_connectivity_state(true);
    loop {
        match state {
            ConnectivityState::GRPC_CHANNEL_READY => return true,
            ConnectivityState::GRPC_CHANNEL_TRANSIENT_FAILURE => return false,
            _ => {}
        }
        assert!(block_on(channel.wait_for_state_change(state, Duration::from_secs(20))), "the state stays {state:?}");
        state = channel.check_connectivity_state(true);
    }
}
