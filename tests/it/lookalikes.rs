//! Rooms whose names look alike, and bodies and names that hide something: refused by the real server, on streams and
//! calls, also after a restart.

use grpcio::{ChannelBuilder, Client, RpcStatusCode};
use hubbub::wire::v1::rejected::Code;

use super::support::chatter::environment;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, post_message};

#[test]
fn a_room_that_looks_like_another_is_not_created() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = || {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
        ServerProcess::listening(command)
    };
    let mut server = serve();
    let mut id = 0;
    let mut post = |server: &ServerProcess, room: &str| {
        id += 1;
        let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
        post_message(&client, room, "ann", id, "hello").map_err(|end| {
            assert_eq!(end.code, RpcStatusCode::ALREADY_EXISTS, "{end:?}");
            end.message
        })
    };
    post(&server, "paypal").expect("it is a new room");
    for _ in 0..2 {
        for (room, like) in [("раураl", "paypal"), ("PayPal", "paypal"), ("lоbby", "lobby")] {
            let reason = post(&server, room).expect_err("it looks like another");
            assert!(reason.contains(&format!("looks like that of the existing room \"{like}\"")), "{reason}");
        }
        post(&server, "paypal").expect("the room itself is used on");
        post(&server, "lobby").expect("the lobby is never refused");
        // The members of a room that may not be created learn why, and the stream goes on.
        let mut bob = Talker::join(&environment(), server.target(), "bob", "PAYPAL");
        bob.post("PAYPAL", 1 << 100, "hello");
        let rejected = bob.rejected();
        assert_eq!(rejected.code.enum_value(), Ok(Code::CODE_CONFLICT));
        assert!(rejected.reason.contains("\"paypal\""), "{}", rejected.reason);
        bob.join_room("paypal", None);
        server.signal(libc::SIGTERM);
        assert!(server.wait().success());
        server = serve();
    }
}

#[test]
fn a_body_that_changes_the_text_around_it_is_rejected() {
    let server = ServerProcess::start(&[]);
    let mut ann = Talker::join(&environment(), server.target(), "ann", "tea");
    for (id, body) in ["a\u{1b}[2J", "a\rb", "\u{202e}abc", "\u{2067}abc", "a\u{9b}m"].into_iter().enumerate() {
        ann.post("tea", id as u128 + (1 << 100), body);
        let rejected = ann.rejected();
        assert_eq!(rejected.code.enum_value(), Ok(Code::CODE_INVALID), "{body:?}: {}", rejected.reason);
    }
    ann.post("tea", 1 << 101, "\u{2067}שלום\u{2069}\n\tx");
    assert_eq!(ann.hear().2, "\u{2067}שלום\u{2069}\n\tx");
}
