//! Who may do what: every call and command, in every mode, for every kind of client, under its own and another's name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use grpcio::{ChannelBuilder, Client, RpcStatusCode as Code};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::{self, v1};

use super::support::chatter::{Chatter, Next, environment};
use super::support::logins::{AUDIENCE, Claims, ISSUER, run, token};
use super::support::process::{ServerProcess, command};
use super::support::talker::{self, Talker, call_as, message_id, renew};

const HOUR: Duration = Duration::from_secs(3_600);
const SECRET: &[u8] = b"a secret of the tests, of at least 32 bytes";

/// The rooms: some logins may use only the first.
const BUILDS: &str = "builds";
const TEA: &str = "tea";

/// A mode of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Open,
    Accounts,
    Jwt,
    Both,
}

/// What a login may do, as the test expects it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Right {
    /// It is no login, so that everything is refused with this.
    Not(Code),
    All,
    /// Only in the room `builds`.
    Builds,
    OnlyRead,
    OnlyPost,
}

/// A client: what it presents, its name, and what it may do in each of the modes accounts and JWT.
struct Who {
    what: &'static str,
    token: Option<String>,
    name: &'static str,
    accounts: Right,
    jwt: Right,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Hello,
    Join(&'static str),
    PostOnStream(&'static str),
    PostMessage(&'static str),
    ListMessages(&'static str),
    ListMembers(&'static str),
    ListRooms,
    Tutorial,
}

const ASKS: [Ask; 12] = [
    Ask::Hello,
    Ask::Join(BUILDS),
    Ask::Join(TEA),
    Ask::PostOnStream(BUILDS),
    Ask::PostOnStream(TEA),
    Ask::PostMessage(BUILDS),
    Ask::PostMessage(TEA),
    Ask::ListMessages(BUILDS),
    Ask::ListMessages(TEA),
    Ask::ListMembers(TEA),
    Ask::ListRooms,
    Ask::Tutorial,
];

impl Who {
    fn right(&self, mode: Mode) -> Right {
        match (mode, self.accounts, self.jwt) {
            (Mode::Open, ..) => Right::All,
            (Mode::Accounts, right, _) | (Mode::Jwt, _, right) => right,
            // A banned user is known in one of them.
            (Mode::Both, banned @ Right::Not(Code::PERMISSION_DENIED), _) => banned,
            (Mode::Both, Right::Not(_), right) | (Mode::Both, right, _) => right,
        }
    }
}

/// The code that the answer must have.
fn expected(right: Right, ask: Ask, own_name: bool) -> Code {
    let refused_unless = |allowed| if allowed { Code::OK } else { Code::PERMISSION_DENIED };
    let in_room = |room| right != Right::Builds || room == BUILDS;
    let (may_read, may_post) = (right != Right::OnlyPost, right != Right::OnlyRead);
    match (right, ask) {
        (_, Ask::Tutorial) => Code::UNAUTHENTICATED,
        (Right::Not(code), _) => code,
        (_, Ask::Hello) => refused_unless(own_name),
        (_, Ask::Join(room)) => refused_unless(own_name && may_read && in_room(room)),
        // A stream posts to a room that it has joined, so it must be allowed to read it.
        (_, Ask::PostOnStream(room)) => refused_unless(own_name && may_read && may_post && in_room(room)),
        (_, Ask::PostMessage(room)) => refused_unless(own_name && may_post && in_room(room)),
        (_, Ask::ListMessages(room) | Ask::ListMembers(room)) => refused_unless(may_read && in_room(room)),
        (_, Ask::ListRooms) => refused_unless(may_read),
    }
}

/// One client of one server.
struct Asking<'a> {
    client: Client,
    target: &'a str,
    token: Option<&'a str>,
    name: &'a str,
    body: String,
    id: u128,
}

impl Asking<'_> {
    fn ask(&self, ask: Ask) -> Code {
        match ask {
            Ask::Hello => self.hello().err().unwrap_or(Code::OK),
            Ask::Join(room) => self.hello().and_then(|talker| join(talker, room)).err().unwrap_or(Code::OK),
            Ask::PostOnStream(room) => {
                let posted = self.hello().and_then(|talker| join(talker, room)).and_then(|mut talker| {
                    talker.post(room, self.id, &self.body);
                    settled(&mut talker)
                });
                posted.err().unwrap_or(Code::OK)
            }
            Ask::PostMessage(room) => {
                let request = v1::PostMessageRequest {
                    room: room.to_owned(),
                    sender: self.name.to_owned(),
                    message_id: message_id(self.id),
                    body: self.body.clone(),
                    ..Default::default()
                };
                self.call(&wire::POST_MESSAGE, &request)
            }
            Ask::ListMessages(room) => {
                let request = v1::ListMessagesRequest { room: room.to_owned(), ..Default::default() };
                self.call(&wire::LIST_MESSAGES, &request)
            }
            Ask::ListMembers(room) => {
                let request = v1::ListMembersRequest { room: room.to_owned(), ..Default::default() };
                self.call(&wire::LIST_MEMBERS, &request)
            }
            Ask::ListRooms => self.call(&wire::LIST_ROOMS, &v1::ListRoomsRequest::default()),
            Ask::Tutorial => {
                let mut chatter = Chatter::join_to_finish(&environment(), self.target, self.name);
                chatter.say(&self.body);
                chatter.half_close();
                match chatter.next() {
                    Next::Ended { code, .. } => code,
                    Next::Message { .. } => Code::OK,
                }
            }
        }
    }

    fn call<Q, P: Unpin>(&self, method: &grpcio::Method<Q, P>, request: &Q) -> Code {
        call_as(&self.client, method, request, self.token).err().map_or(Code::OK, |end| end.code)
    }

    fn hello(&self) -> Result<Talker, Code> {
        let mut talker = Talker::over(self.client.clone(), self.name, self.token);
        talker.send(vec![talker::hello(self.name)]);
        settled(&mut talker).map(|()| talker)
    }
}

fn join(mut talker: Talker, room: &str) -> Result<Talker, Code> {
    talker.send(vec![talker::join(room, None)]);
    loop {
        match next(&mut talker)? {
            Kind::CaughtUp(_) => return Ok(talker),
            Kind::Joined(_) | Kind::Presence(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Waits for the answer to a command: a welcome, or the message itself.
fn settled(talker: &mut Talker) -> Result<(), Code> {
    loop {
        match next(talker)? {
            Kind::Welcome(_) | Kind::Message(_) => return Ok(()),
            Kind::Presence(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn next(talker: &mut Talker) -> Result<Kind, Code> {
    match talker.next_within(super::support::DEADLINE).expect("an answer in time") {
        Ok(event) => match event.event.expect("a known event") {
            Kind::Rejected(rejected) => {
                assert_eq!(rejected.code.enum_value(), Ok(v1::rejected::Code::CODE_DENIED), "{}", rejected.reason);
                Err(Code::PERMISSION_DENIED)
            }
            event => Ok(event),
        },
        Err(end) => Err(end.code),
    }
}

fn server(data: &Path, mode: Mode) -> ServerProcess {
    let secret = data.join("secret");
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data).env("RUST_LOG", "trace,grpcio=off");
    if mode == Mode::Jwt || mode == Mode::Both {
        command.arg("--jwt-key").arg(&secret).args(["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE]);
    }
    let auth = match mode {
        Mode::Open => "open",
        Mode::Accounts => "accounts",
        Mode::Jwt => "jwt",
        Mode::Both => "accounts,jwt",
    };
    command.args(["--auth", auth]);
    ServerProcess::listening(command)
}

/// The data folder of a server with users, and a secret for JSON web tokens.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("secret"), SECRET).expect("the secret is written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.path().join("secret"), mode).expect("its mode is set");
    folder
}

/// All kinds of clients.
fn everybody(data: &Path) -> Vec<Who> {
    let unknown = Right::Not(Code::UNAUTHENTICATED);
    let account = |what, name, restrictions: &[&str], accounts| Who {
        what,
        token: Some(token(data, name, restrictions)),
        name,
        accounts,
        jwt: unknown,
    };
    let jwt = |what, jwt, change: &dyn Fn(&mut Claims)| {
        let mut claims = Claims::of("jo", HOUR);
        change(&mut claims);
        Who { what, token: Some(claims.sign(SECRET)), name: "jo", accounts: unknown, jwt }
    };
    let none = |what, token: Option<&str>| Who {
        what,
        token: token.map(str::to_owned),
        name: "nobody",
        accounts: unknown,
        jwt: unknown,
    };
    let mut all = vec![
        none("no token", None),
        none("a wrong token", Some("hub_0123abcd_00000000000000000000000000000000000000000000000000")),
        none("garbage", Some("\u{7e}!garbage")),
        account("member", "ann", &[], Right::All),
        account("only builds", "ci", &["--room", BUILDS], Right::Builds),
        account("only posts", "poster", &["--may", "post"], Right::OnlyPost),
        account("only reads", "reader", &["--may", "read"], Right::OnlyRead),
        account("moderator", "mo", &[], Right::All),
        account("admin", "root", &[], Right::All),
        account("revoked", "rev", &[], unknown),
        account("banned", "bad", &[], Right::Not(Code::PERMISSION_DENIED)),
        jwt("a JSON web token", Right::All, &|_| {}),
        jwt("one for builds", Right::Builds, &|claims| claims.rooms = Some(vec![BUILDS.to_owned()])),
        jwt("one to read", Right::OnlyRead, &|claims| claims.acts = Some(vec!["read".to_owned()])),
        jwt("an expired one", unknown, &|claims| claims.exp -= 2 * 3_600),
        jwt("one of a banned user", Right::Not(Code::PERMISSION_DENIED), &|claims| claims.sub = "bad".to_owned()),
    ];
    all.last_mut().expect("it is there").name = "bad";
    run(data, &["user", "role", "mo", "moderator"]);
    run(data, &["user", "role", "root", "admin"]);
    run(data, &["user", "revoke", "rev"]);
    run(data, &["user", "ban", "bad"]);
    all
}

#[test]
fn every_call_is_allowed_or_refused_as_the_matrix_says() {
    let folder = prepared();
    let everybody = everybody(folder.path());
    let (mut number, mut allowed, mut count) = (0_u128, BTreeSet::new(), 0);
    for mode in [Mode::Accounts, Mode::Jwt, Mode::Both, Mode::Open] {
        let server = server(folder.path(), mode);
        for who in &everybody {
            // Each has a connection: one that ends too many streams is closed.
            let channel = ChannelBuilder::new(environment()).use_local_subchannel_pool(true);
            let client = Client::new(channel.connect(server.target()));
            for ask in ASKS {
                for own_name in [true, false] {
                    number += 1;
                    let name = if own_name { who.name } else { "somebody-else" };
                    let asking = Asking {
                        client: client.clone(),
                        target: server.target(),
                        token: who.token.as_deref(),
                        name,
                        body: format!("message {number}"),
                        id: number,
                    };
                    let expected = match (mode, ask) {
                        (Mode::Open, _) => Code::OK,
                        _ => expected(who.right(mode), ask, own_name),
                    };
                    let found = match asking.ask(ask) {
                        // The room has no message yet.
                        Code::NOT_FOUND => Code::OK,
                        found => found,
                    };
                    assert_eq!(found, expected, "{mode:?}: {}, {ask:?}, own name: {own_name}", who.what);
                    count += 1;
                    let posts = matches!(ask, Ask::PostOnStream(_) | Ask::PostMessage(_) | Ask::Tutorial);
                    if posts && expected == Code::OK {
                        allowed.insert(asking.body);
                    }
                }
            }
        }
        no_secret_is_shown(server, folder.path(), &everybody);
    }
    assert_eq!(count, 4 * everybody.len() * ASKS.len() * 2);
    // What was refused has left no trace.
    assert_eq!(stored(folder.path()), allowed);
}

/// Tokens are in no log and in no file of the data folder.
fn no_secret_is_shown(mut server: ServerProcess, data: &Path, everybody: &[Who]) {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    let mut texts = vec![("the log".to_owned(), server.rest_of_log().join("\n").into_bytes())];
    assert!(texts[0].1.len() > 100, "there is a log");
    for entry in fs::read_dir(data).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        texts.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
    }
    for who in everybody {
        let Some(token) = &who.token else { continue };
        // The secret part: of ours what follows the id, of a JSON web token its signature.
        let is_ours = token.starts_with("hub_");
        let secret = if is_ours { token.splitn(3, '_').nth(2) } else { token.rsplit('.').next() };
        let secret = secret.expect("it has parts");
        assert!(secret.len() >= 8, "too short to be found by its text: {secret}");
        for (place, text) in &texts {
            let found = text.windows(secret.len()).position(|window| window == secret.as_bytes());
            if let Some(at) = found {
                let around = &text[at.saturating_sub(300)..at];
                panic!("the token of {} is in {place}: {}", who.what, String::from_utf8_lossy(around));
            }
        }
    }
}

/// The bodies of all messages in the log.
fn stored(data: &Path) -> BTreeSet<String> {
    let server = server(data, Mode::Open);
    let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
    let rooms = call_as(&client, &wire::LIST_ROOMS, &v1::ListRoomsRequest::default(), None).expect("the rooms");
    let mut bodies = BTreeSet::new();
    for room in rooms.rooms {
        let mut after = 0;
        loop {
            let place = Some(v1::list_messages_request::Place::AfterSeq(after));
            let request =
                v1::ListMessagesRequest { room: room.name.clone(), place, page_size: 1_000, ..Default::default() };
            let page = call_as(&client, &wire::LIST_MESSAGES, &request, None).expect("a page");
            let Some(last) = page.events.last() else { break };
            after = last.seq;
            bodies.extend(page.events.iter().map(|event| event.message().body.clone()));
        }
    }
    bodies
}

/// A login that ends, ends its live streams.
#[test]
fn a_revoked_or_banned_user_is_disconnected_within_a_second() {
    let folder = prepared();
    let data = folder.path();
    let server = server(data, Mode::Accounts);
    let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
    let tokens = ["ann", "bob", "cy"].map(|user| token(data, user, &[]));
    let mut talkers = tokens.each_ref().map(|token| {
        let mut talker = Talker::over(client.clone(), "", Some(token));
        talker.send(vec![talker::hello("")]);
        talker.next();
        talker.join_room(TEA, None);
        talker
    });
    for (index, arguments) in [(0, ["user", "revoke", "ann"]), (1, ["user", "ban", "bob"])] {
        let begun = std::time::Instant::now();
        run(data, &arguments);
        let end = loop {
            match talkers[index].next_within(Duration::from_secs(5)).expect("the stream ends") {
                Err(end) => break end,
                Ok(event) => assert!(event.has_presence(), "{event:?}"),
            }
        };
        assert_eq!(end.code, Code::UNAUTHENTICATED, "{}", end.message);
        assert!(end.message.contains("revoked"), "{}", end.message);
        println!("{arguments:?} took {:?}", begun.elapsed());
        let again = call_as(&client, &wire::LIST_ROOMS, &v1::ListRoomsRequest::default(), Some(&tokens[index]));
        assert!(again.is_err());
    }
    // The third goes on.
    talkers[2].post(TEA, 1, "still here");
    assert_eq!(talkers[2].hear().2, "still here");
}

/// A login that expires, and one that is renewed in time.
#[test]
fn a_stream_goes_on_after_its_login_is_renewed_with_the_new_rights() {
    let folder = prepared();
    let server = server(folder.path(), Mode::Jwt);
    let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
    let first = Claims::of("jo", HOUR);
    let mut talker = Talker::over(client, "jo", Some(&first.sign(SECRET)));
    talker.send(vec![talker::hello("jo")]);
    let welcome = talker.next().take_welcome();
    assert_eq!((welcome.name.as_str(), welcome.authenticated, welcome.role.as_str()), ("jo", true, "member"));
    assert_eq!(welcome.login_ends_ms, first.exp * 1_000);
    talker.join_room(TEA, None);
    talker.join_room(BUILDS, None);
    for (token, reason) in [
        (Claims::of("bob", HOUR).sign(SECRET), "another user"),
        (Claims::of("jo", HOUR).sign(b"another secret, of at least 32 bytes, too"), "not valid"),
        ("".to_owned(), "not valid"),
    ] {
        talker.send(vec![renew(&token)]);
        let rejected = talker.rejected();
        assert_eq!(rejected.code.enum_value(), Ok(v1::rejected::Code::CODE_DENIED));
        assert!(rejected.reason.contains(reason), "{}", rejected.reason);
    }
    let mut second = Claims::of("jo", 2 * HOUR);
    second.rooms = Some(vec![BUILDS.to_owned()]);
    talker.send(vec![renew(&second.sign(SECRET))]);
    let left = talker.next().take_left();
    assert_eq!(left.room, TEA);
    assert_eq!(talker.next().take_welcome().login_ends_ms, second.exp * 1_000);
    talker.post(BUILDS, 1, "green");
    assert_eq!(talker.hear().2, "green");
}
