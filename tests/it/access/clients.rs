//! The kinds of clients, and what each may do.

use std::path::Path;

use grpcio::RpcStatusCode as Code;

use super::asks::Ask;
use super::{BUILDS, HOUR, Mode, SECRET};
use crate::support::logins::{Claims, run, token};

/// What a login may do, as the test expects it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Right {
    /// It is no login, so that everything is refused with this.
    Not(Code),
    All,
    /// Only in the room `builds`.
    Builds,
    OnlyRead,
    OnlyPost,
}

/// A client: what it presents, its name, and what it may do in each of the modes accounts and JWT.
pub struct Who {
    pub what: &'static str,
    pub token: Option<String>,
    pub name: &'static str,
    accounts: Right,
    jwt: Right,
}

impl Who {
    pub fn right(&self, mode: Mode) -> Right {
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
pub fn expected(right: Right, ask: Ask, own_name: bool) -> Code {
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

/// All kinds of clients.
pub fn everybody(data: &Path) -> Vec<Who> {
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
