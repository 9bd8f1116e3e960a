//! The kinds of clients, and what each may do.

use grpcio::RpcStatusCode as Code;

use super::asks::Ask;
use super::{BUILDS, HOUR, Mode, SECRET, Site};
use crate::support::logins::{Claims, run, token};
use crate::tls::authority::Pair;

/// What a login may do, as the test expects it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Right {
    /// It is no login, so that everything is refused with this.
    Not(Code),
    All,
    /// What moderators may: pins and topics, too.
    Moderate,
    /// Only in the room `builds`.
    Builds,
    OnlyRead,
    OnlyPost,
}

/// A banned user is denied everything.
const DENIED: Right = Right::Not(Code::PERMISSION_DENIED);
/// A client that is not even connected.
const NOT_CONNECTED: Right = Right::Not(Code::UNAVAILABLE);

/// A client: what it presents, its name, and what it may do in each of the modes accounts, JWT and mTLS.
pub struct Who {
    pub what: &'static str,
    pub token: Option<String>,
    /// Presented only to servers that use TLS.
    pub certificate: Option<Pair>,
    pub name: &'static str,
    accounts: Right,
    jwt: Right,
    mtls: Right,
}

impl Who {
    pub fn right(&self, mode: Mode) -> Right {
        let known_in_one = match (self.accounts, self.jwt) {
            // A banned user is known in one of them.
            (DENIED, _) => DENIED,
            (Right::Not(_), right) | (right, _) => right,
        };
        match mode {
            Mode::Open => Right::All,
            Mode::Accounts => self.accounts,
            Mode::Jwt => self.jwt,
            Mode::Both => known_in_one,
            Mode::Mtls => self.mtls,
            // The certificate decides, whatever the token is.
            Mode::All if self.certificate.is_some() => self.mtls,
            Mode::All => known_in_one,
        }
    }
}

/// The code that the answer must have.
pub fn expected(right: Right, ask: Ask, own_name: bool) -> Code {
    let refused_unless = |allowed| if allowed { Code::OK } else { Code::PERMISSION_DENIED };
    let in_room = |room| right != Right::Builds || room == BUILDS;
    let (may_read, may_post) = (right != Right::OnlyPost, right != Right::OnlyRead);
    match (right, ask) {
        (Right::Not(Code::UNAVAILABLE), _) => Code::UNAVAILABLE,
        (_, Ask::Tutorial) => Code::UNAUTHENTICATED,
        (Right::Not(code), _) => code,
        (_, Ask::Hello) => refused_unless(own_name),
        (_, Ask::Join(room)) => refused_unless(own_name && may_read && in_room(room)),
        // A stream posts to a room that it has joined, so it must be allowed to read it.
        (_, Ask::PostOnStream(room)) => refused_unless(own_name && may_read && may_post && in_room(room)),
        (_, Ask::PostMessage(room)) => refused_unless(own_name && may_post && in_room(room)),
        (_, Ask::EditMessage(room) | Ask::DeleteMessage(room) | Ask::SetReaction(room)) => {
            refused_unless(own_name && may_post && in_room(room))
        }
        (_, Ask::SetPin(_) | Ask::ChangeRoom(_)) => refused_unless(own_name && right == Right::Moderate),
        (_, Ask::ListMessages(room) | Ask::ListMembers(room) | Ask::ListReactions(room)) => {
            refused_unless(may_read && in_room(room))
        }
        (_, Ask::ListRooms | Ask::Search("")) => refused_unless(may_read),
        (_, Ask::Search(room)) => refused_unless(may_read && in_room(room)),
    }
}

/// All kinds of clients.
pub fn everybody(site: &Site) -> Vec<Who> {
    let data = site.data();
    let unknown = Right::Not(Code::UNAUTHENTICATED);
    let account = |what, name, restrictions: &[&str], accounts| Who {
        what,
        token: Some(token(data, name, restrictions)),
        certificate: None,
        name,
        accounts,
        jwt: unknown,
        mtls: NOT_CONNECTED,
    };
    let jwt = |what, jwt, change: &dyn Fn(&mut Claims)| {
        let mut claims = Claims::of("jo", HOUR);
        change(&mut claims);
        let token = Some(claims.sign(SECRET));
        Who { what, token, certificate: None, name: "jo", accounts: unknown, jwt, mtls: NOT_CONNECTED }
    };
    let none = |what, token: Option<&str>| Who {
        what,
        token: token.map(str::to_owned),
        certificate: None,
        name: "nobody",
        accounts: unknown,
        jwt: unknown,
        mtls: NOT_CONNECTED,
    };
    let mut all = vec![
        none("no token", None),
        none("a wrong token", Some("hub_0123abcd_00000000000000000000000000000000000000000000000000")),
        none("garbage", Some("\u{7e}!garbage")),
        account("member", "ann", &[], Right::All),
        account("only builds", "ci", &["--room", BUILDS], Right::Builds),
        account("only posts", "poster", &["--may", "post"], Right::OnlyPost),
        account("only reads", "reader", &["--may", "read"], Right::OnlyRead),
        account("moderator", "mo", &[], Right::Moderate),
        account("admin", "root", &[], Right::Moderate),
        account("revoked", "rev", &[], unknown),
        account("banned", "bad", &[], DENIED),
        jwt("a JSON web token", Right::All, &|_| {}),
        jwt("one for builds", Right::Builds, &|claims| claims.rooms = Some(vec![BUILDS.to_owned()])),
        jwt("one to read", Right::OnlyRead, &|claims| claims.acts = Some(vec!["read".to_owned()])),
        jwt("an expired one", unknown, &|claims| claims.exp -= 2 * 3_600),
        jwt("one of a banned user", DENIED, &|claims| claims.sub = "bad".to_owned()),
    ];
    all.last_mut().expect("it is there").name = "bad";
    let with_certificate = |what, certificate, mtls| Who {
        what,
        token: None,
        certificate: Some(certificate),
        name: "ann",
        accounts: unknown,
        jwt: unknown,
        mtls,
    };
    let [ann, ci] = ["ann", "ci"].map(|name| all.iter().find(|who| who.name == name).and_then(|who| who.token.clone()));
    let users = &site.users;
    let two_names = users.sign("two", &["ann", "mo"], |_| {});
    all.extend([
        with_certificate("a certificate", users.client("ann"), Right::All),
        with_certificate("one of another authority", site.others.client("ann"), NOT_CONNECTED),
        with_certificate("an expired certificate", users.expired_client("ann"), NOT_CONNECTED),
        with_certificate("one with two names", two_names.clone(), unknown),
        Who { name: "bad", ..with_certificate("one of a banned user", users.client("bad"), DENIED) },
        // With the token of another user, which allows less; and with a valid one.
        Who { token: ci, ..with_certificate("a certificate and a token", users.client("ann"), Right::All) },
        Who { token: ann, ..with_certificate("two names and a token", two_names, unknown) },
    ]);
    run(data, &["user", "role", "mo", "moderator"]);
    run(data, &["user", "role", "root", "admin"]);
    run(data, &["user", "revoke", "rev"]);
    run(data, &["user", "ban", "bad"]);
    all
}
