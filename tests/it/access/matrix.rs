//! The matrix itself, and what it leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use grpcio::RpcStatusCode as Code;
use hubbub::wire::{self, v1};

use super::asks::{ASKS, Ask, Asking};
use super::clients::{Who, everybody, expected};
use super::{BUILDS, MODES, Mode, Site, TEA};
use crate::support::logins::token;
use crate::support::process::ServerProcess;
use crate::support::talker::call_as;

#[test]
fn every_call_is_allowed_or_refused_as_the_matrix_says() {
    let site = Site::new();
    let everybody = everybody(&site);
    let (mut number, mut allowed) = (0_u128, BTreeSet::new());
    for mode in MODES {
        let server = site.serve(mode);
        for who in everybody.iter().filter(|who| mode.has("mtls") || who.certificate.is_none()) {
            // Each has a connection: one that ends too many streams is closed.
            let client = site.connect(&server, mode, who.certificate.as_ref());
            for (ask, own_name) in ASKS.into_iter().flat_map(|ask| [(ask, true), (ask, false)]) {
                number += 1;
                let name = if own_name { who.name } else { "somebody-else" };
                let (client, token, body) = (client.clone(), who.token.as_deref(), format!("message {number}"));
                let asking = Asking { client, token, name, body, id: number };
                let expected = match mode {
                    Mode::Open => Code::OK,
                    _ => expected(who.right(mode), ask, own_name),
                };
                let found = match asking.ask(ask) {
                    // The room has no message yet.
                    Code::NOT_FOUND => Code::OK,
                    found => found,
                };
                assert_eq!(found, expected, "{mode:?}: {}, {ask:?}, own name: {own_name}", who.what);
                let posts = matches!(ask, Ask::PostOnStream(_) | Ask::PostMessage(_) | Ask::Tutorial);
                if posts && expected == Code::OK {
                    allowed.insert(asking.body);
                }
            }
        }
        no_secret_is_shown(server, site.data(), &everybody);
    }
    let certified = everybody.iter().filter(|who| who.certificate.is_some()).count();
    let clients = MODES.len() * everybody.len() - 4 * certified;
    assert_eq!(number, (clients * ASKS.len() * 2) as u128);
    // What was refused has left no trace.
    assert_eq!(stored(&site), allowed);
}

/// The matrix compares status codes, and ListRooms returns OK for a login that may read only some rooms.
#[test]
fn a_list_has_only_the_rooms_that_may_be_read() {
    let site = Site::new();
    let server = site.serve(Mode::Accounts);
    let client = site.connect(&server, Mode::Accounts, None);
    let [all, some] = [&[][..], &["--room", BUILDS]].map(|restrictions| token(site.data(), "ann", restrictions));
    for room in [BUILDS, TEA] {
        let request = v1::PostMessageRequest { room: room.to_owned(), body: "hello".to_owned(), ..Default::default() };
        call_as(&client, &wire::POST_MESSAGE, &request, Some(&all)).expect("it is posted");
    }
    let names = |token| {
        let listed = call_as(&client, &wire::LIST_ROOMS, &v1::ListRoomsRequest::default(), Some(token));
        listed.expect("a list").rooms.into_iter().map(|room| room.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&all), [BUILDS, TEA]);
    assert_eq!(names(&some), [BUILDS]);
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
fn stored(site: &Site) -> BTreeSet<String> {
    let server = site.serve(Mode::Open);
    let client = site.connect(&server, Mode::Open, None);
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
