//! What the contract says of each call: who may make it, what repeating it does, and how it is refused.

use grpcio::RpcStatusCode as Code;
use hubbub::limits::{EMOJIS_MAX, PINS_MAX, REACTORS_NAMED_MAX};
use hubbub::server::Server;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::list_messages_request::Place;
use hubbub::wire::v1::{self, command, rejected};

use super::calls::{Act, Caller};
use crate::support::chatter::environment;
use crate::support::logins::{connect, run, serve, token};
use crate::support::process::ServerProcess;
use crate::support::talker::{End, Talker, message_id, post_message};
use crate::support::{start, target};

const ROOM: &str = "garden";

fn caller(server: &Server, name: &str) -> Caller {
    Caller::new(&Talker::connect(&environment(), &target(server), name).client, ROOM, name)
}

/// A call was refused with this code, and a text that has these words.
pub fn refused(result: Result<u64, End>, code: Code, words: &[&str]) {
    let end = result.expect_err("it is refused");
    assert!(end.code == code && words.iter().all(|word| end.message.contains(word)), "{words:?}: {end:?}");
}

/// Each call sets a state: repeated, it changes nothing, and gets the response of the first.
#[test]
fn a_repeated_change_gets_the_same_answer() {
    let server = start();
    let (ann, bob) = (caller(&server, "ann"), caller(&server, "bob"));
    assert_eq!(ann.post(1, "tea?"), Ok(1));
    // The first text is that of the message itself.
    assert_eq!(ann.edit(1, "tea?"), Ok(1));
    assert_eq!([ann.edit(1, "cake?"), ann.edit(1, "cake?")], [Ok(2), Ok(2)]);
    assert_eq!([bob.react(1, "+1"), bob.react(1, "+1")], [Ok(3), Ok(3)]);
    // Back to an earlier text is another change.
    assert_eq!(ann.edit(1, "tea?"), Ok(4));
    assert_eq!([bob.unreact(1, "+1"), bob.unreact(1, "+1"), bob.unreact(1, "-1")], [Ok(5), Ok(5), Ok(5)]);
    assert_eq!([bob.unpin(1), bob.pin(1), bob.pin(1)], [Ok(0), Ok(6), Ok(6)]);
    assert_eq!([bob.unpin(1), bob.unpin(1)], [Ok(7), Ok(0)]);
    assert_eq!([bob.topic(""), bob.topic("tea"), bob.topic("tea")], [Ok(0), Ok(8), Ok(8)]);
    assert_eq!([bob.topic(""), bob.topic("")], [Ok(9), Ok(9)]);
    assert_eq!([ann.delete(1), ann.delete(1), bob.delete(1)], [Ok(10), Ok(10), Ok(10)]);
    assert_eq!(ann.page(None, 1).expect("a page").head_seq, 10);
    let message = ann.message(1);
    assert_eq!((message.changed_seq, message.edited_seq, message.body.as_str()), (10, 0, ""));
    for result in [ann.edit(1, "x"), ann.react(1, "+1"), ann.unreact(1, "+1"), ann.pin(1)] {
        refused(result, Code::FAILED_PRECONDITION, &["message 1 was deleted"]);
    }
}

/// Pages had all events of the log, and counted them as messages.
#[test]
fn a_page_has_messages_only() {
    let server = start();
    let ann = caller(&server, "ann");
    assert_eq!(
        [ann.post(1, "one"), ann.edit(1, "two"), ann.react(1, "+1"), ann.post(2, "three")],
        [1, 2, 3, 4].map(Ok)
    );
    assert_eq!([ann.pin(1), ann.topic("tea"), ann.post(3, "four"), ann.delete(4)], [5, 6, 7, 8].map(Ok));
    let seqs = |place, size| {
        let events = ann.page(place, size).expect("a page").events;
        assert!(events.iter().all(|event| event.has_message()), "{events:?}");
        events.into_iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!([seqs(None, 2), seqs(None, 9)], [vec![4, 7], vec![1, 4, 7]]);
    assert_eq!([seqs(Some(Place::AfterSeq(1)), 1), seqs(Some(Place::AfterSeq(4)), 2)], [vec![4], vec![7]]);
    assert_eq!([seqs(Some(Place::BeforeSeq(7)), 1), seqs(Some(Place::BeforeSeq(4)), 2)], [vec![4], vec![1]]);
    assert_eq!([seqs(Some(Place::AfterSeq(7)), 2), seqs(Some(Place::BeforeSeq(1)), 2)], [[0; 0]; 2]);
}

#[test]
fn an_edit_of_an_outdated_text_is_aborted() {
    let server = start();
    let ann = caller(&server, "ann");
    let edit = |body: &str, seen| ann.act(&Act::Edit { message: 1, body: body.to_owned(), seen: Some(seen) });
    ann.post(1, "one").expect("it is stored");
    assert_eq!(edit("two", 0), Ok(2));
    refused(edit("three", 0), Code::ABORTED, &["message 1 has another text since event 2", "read it again"]);
    refused(edit("three", 7), Code::ABORTED, &["since event 2"]);
    // The text is as requested already: the response to an edit was lost, for example.
    assert_eq!(edit("two", 0), Ok(2));
    assert_eq!((edit("three", 2), ann.message(1).edited_seq), (Ok(3), 3));
    // A reaction is another version of the message, but not of its text.
    assert_eq!((ann.react(1, "+1"), edit("four", 3)), (Ok(4), Ok(5)));
}

#[test]
fn a_change_in_another_epoch_is_refused() {
    let server = start();
    let mut ann = caller(&server, "ann");
    ann.post(1, "one").expect("it is stored");
    let epoch = ann.page(None, 1).expect("a page").epoch;
    ann.epoch = epoch + 1;
    for result in [ann.edit(1, "x"), ann.delete(1), ann.react(1, "+1"), ann.unreact(1, "+1"), ann.pin(1), ann.unpin(1)]
    {
        refused(result, Code::FAILED_PRECONDITION, &["another epoch", "join the room again"]);
    }
    ann.epoch = epoch;
    assert_eq!([ann.edit(1, "x"), ann.react(1, "+1"), ann.pin(1), ann.delete(1)], [Ok(2), Ok(3), Ok(4), Ok(5)]);
}

/// A message names the first 20 of those who reacted. When one of them takes the reaction back, the next one is named.
#[test]
fn all_who_reacted_are_counted_and_the_first_are_named() {
    const COUNT: usize = 45;
    let server = start();
    let ann = caller(&server, "ann");
    ann.post(1, "one").expect("it is stored");
    let mut names: Vec<String> = (0..COUNT).map(|n| format!("user{n}")).collect();
    for name in &names {
        ann.named(name).react(1, "+1").expect("it is stored");
    }
    let check = |names: &[String]| {
        let [reaction] = ann.message(1).reactions.try_into().expect("one emoji");
        let named: Vec<_> = reaction.people.into_iter().map(|person| person.name).collect();
        assert_eq!((reaction.count as usize, &named[..]), (names.len(), &names[..REACTORS_NAMED_MAX.min(names.len())]));
        for size in [1, 7, 45, 1_000] {
            assert_eq!(ann.reactors(1, "+1", size).expect("all of them"), names);
        }
    };
    check(&names);
    // One who is named, one who is not, and the last who is named.
    for at in [2, 30, REACTORS_NAMED_MAX - 1] {
        let name = names.remove(at);
        ann.named(&name).unreact(1, "+1").expect("it is stored");
        check(&names);
    }
    // Who reacts again is the last.
    let again = names.remove(0);
    ann.named(&again).unreact(1, "+1").expect("it is stored");
    ann.named(&again).react(1, "+1").expect("it is stored");
    names.push(again);
    check(&names);
    while let Some(name) = names.pop() {
        ann.named(&name).unreact(1, "+1").expect("it is stored");
        if !names.is_empty() {
            check(&names);
        }
    }
    assert_eq!(ann.message(1).reactions.len(), 0);
    assert_eq!(ann.reactors(1, "+1", 10).expect("all of them"), [""; 0]);
    ann.react(1, "+1").expect("it is stored");
    ann.delete(1).expect("it is deleted");
    assert_eq!(ann.reactors(1, "+1", 10).expect("all of them"), [""; 0]);
}

#[test]
fn a_message_has_a_maximum_of_emojis_and_a_room_of_pins() {
    let server = start();
    let ann = caller(&server, "ann");
    let count = PINS_MAX as u64 + 1;
    (1..=count).for_each(|n| assert_eq!(ann.post(n.into(), &n.to_string()), Ok(n)));
    (0..EMOJIS_MAX as u64).for_each(|n| assert_eq!(ann.react(1, &format!("e{n}")), Ok(count + 1 + n)));
    refused(ann.react(1, "one-more"), Code::FAILED_PRECONDITION, &["20 different emojis", "use one of those"]);
    let bob = ann.named("bob");
    bob.react(1, "e3").expect("it is there already");
    // An emoji that nobody uses any more makes place.
    ann.unreact(1, "e0").expect("it is stored");
    refused(
        bob.unreact(1, "one-more").and_then(|_| bob.react(1, "x")).and_then(|_| bob.react(1, "y")),
        Code::FAILED_PRECONDITION,
        &["maximum"],
    );
    let emojis: Vec<_> = ann.message(1).reactions.iter().map(|reaction| reaction.emoji.clone()).collect();
    assert_eq!((emojis.len(), emojis[0].as_str(), emojis[19].as_str()), (EMOJIS_MAX, "e1", "x"));

    for n in 1..count {
        ann.pin(n).expect("it is pinned");
    }
    refused(ann.pin(count), Code::FAILED_PRECONDITION, &["50 messages are pinned", "unpin one first"]);
    // A deleted message is not pinned any more.
    ann.delete(7).expect("it is deleted");
    ann.pin(count).expect("there is place");
    let (joined, _) = Talker::hello(&environment(), &target(&server), "bob").join_room(ROOM, None);
    let expected: Vec<u64> = (1..=count).filter(|n| *n != 7).collect();
    assert_eq!(joined.pinned_seqs, expected);
}

#[test]
fn a_message_that_was_deleted_is_not_stored_again() {
    let server = start();
    let ann = caller(&server, "ann");
    ann.post(1, "secret").expect("it is stored");
    ann.delete(1).expect("it is deleted");
    let again = post_message(&ann.client, ROOM, "ann", 1, "secret").expect("it is answered");
    assert_eq!((again.seq, again.was_stored), (1, true));
    let mut talker = Talker::join(&environment(), &target(&server), "ann", ROOM);
    talker.post(ROOM, 1, "secret");
    assert!(matches!(talker.next().event, Some(Kind::Posted(posted)) if posted.message_seq == 1));
    let page = ann.page(None, 10).expect("a page");
    assert_eq!((page.head_seq, page.events.len(), page.events[0].message().body.as_str()), (2, 1, ""));
    // The same of a message that has another text by now.
    ann.post(2, "first").expect("it is stored");
    ann.edit(3, "second").expect("it is edited");
    assert_eq!((ann.post(2, "first"), ann.message(3).body.as_str()), (Ok(3), "second"));
}

#[test]
fn a_reply_needs_a_message() {
    let server = start();
    let ann = caller(&server, "ann");
    let reply = |id, reply_to| ann.act(&Act::Post { id, body: "yes".to_owned(), reply_to });
    ann.post(1, "tea?").expect("it is stored");
    assert_eq!((reply(2, 1), ann.message(2).reply_to_seq), (Ok(2), 1));
    // Neither to itself, nor to one that comes later.
    for missing in [3, 4, u64::MAX] {
        refused(reply(9, missing), Code::NOT_FOUND, &[&format!("no message {missing}")]);
    }
    let mut talker = Talker::join(&environment(), &target(&server), "ann", ROOM);
    for missing in [3, u64::MAX] {
        let post = v1::Post {
            room: ROOM.to_owned(),
            message_id: message_id(9),
            body: "yes".to_owned(),
            reply_to_seq: missing,
            ..Default::default()
        };
        talker.send(vec![v1::Command { command: Some(command::Command::Post(post)), ..Default::default() }]);
        let rejected = talker.rejected();
        assert_eq!(rejected.code.enum_value(), Ok(rejected::Code::CODE_INVALID), "{rejected:?}");
        assert!(rejected.reason.contains(&format!("no message {missing}")), "{rejected:?}");
    }
    // One may reply to a message that was deleted: somebody may have read it.
    ann.delete(1).expect("it is deleted");
    assert_eq!(reply(3, 1), Ok(4));
}

#[test]
fn on_an_open_server_everybody_changes_the_own_messages_only() {
    let server = start();
    let (ann, bob) = (caller(&server, "ann"), caller(&server, "bob"));
    ann.post(1, "tea?").expect("it is stored");
    for result in [bob.edit(1, "no tea"), bob.delete(1)] {
        refused(result, Code::PERMISSION_DENIED, &["message 1 is another sender's"]);
    }
    assert_eq!([bob.react(1, "+1"), bob.pin(1), bob.topic("tea")], [Ok(2), Ok(3), Ok(4)]);
    assert_eq!(ann.message(1).body, "tea?");
}

/// A name that somebody claims is not the user of that name, whatever both may do.
#[test]
fn on_a_server_with_accounts_a_claim_is_not_the_user_and_moderators_may_more() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let data = folder.path();
    let stop = |mut server: ServerProcess| {
        server.signal(libc::SIGTERM);
        assert_eq!(server.wait().code(), Some(0));
    };
    // Before the server had accounts, somebody claimed to be ann.
    let server = serve(data, &[]);
    let claim = Caller::new(&connect(&server), ROOM, "ann");
    assert_eq!([claim.post(1, "claimed"), claim.react(1, "+1")], [Ok(1), Ok(2)]);
    stop(server);

    let [ann, bob, mo] = ["ann", "bob", "mo"].map(|user| (user, token(data, user, &[])));
    let readers = token(data, "reader", &["--may", "read"]);
    let elsewhere = token(data, "ci", &["--room", "builds"]);
    run(data, &["user", "role", "mo", "moderator"]);
    let server = serve(data, &["--auth", "accounts"]);
    let client = connect(&server);
    let [ann, bob, mo] = [ann, bob, mo].map(|(name, token)| Caller::new(&client, ROOM, name).with_token(&token));
    assert_eq!([ann.post(2, "logged in"), bob.post(1, "bob's"), ann.react(1, "+1")], [Ok(3), Ok(4), Ok(5)]);
    let [reaction] = ann.message(1).reactions.try_into().expect("one emoji");
    let people: Vec<_> = reaction.people.iter().map(|person| (person.name.as_str(), person.authenticated)).collect();
    assert_eq!((reaction.count, &people[..]), (2, &[("ann", false), ("ann", true)][..]));
    assert_eq!(ann.reactors(1, "+1", 9).expect("all of them"), ["ann", "ann"]);
    // Members change their own messages, and nothing of the room.
    for result in [ann.edit(1, "x"), ann.delete(1), ann.edit(4, "x"), ann.delete(4)] {
        refused(result, Code::PERMISSION_DENIED, &["another sender's"]);
    }
    for result in [ann.pin(3), ann.unpin(3), ann.topic("tea")] {
        refused(result, Code::PERMISSION_DENIED, &["only moderators", "ask the server's operator"]);
    }
    assert_eq!(ann.edit(3, "edited"), Ok(6));
    // Moderators delete what others said, and put no words into their mouths.
    refused(mo.edit(4, "x"), Code::PERMISSION_DENIED, &["another sender's"]);
    assert_eq!([mo.pin(3), mo.topic("tea"), mo.unpin(3), mo.delete(4), mo.delete(1)], [7, 8, 9, 10, 11].map(Ok));
    let deleted_by = mo.message(1).deleted_by.unwrap();
    assert_eq!((deleted_by.name.as_str(), deleted_by.authenticated), ("mo", true));
    // Neither without a login, nor with one that is for something else.
    let every = |caller: &Caller, code, words: &[&str]| {
        for result in [caller.edit(3, "x"), caller.delete(3), caller.react(3, "+1")] {
            refused(result, code, words);
        }
        for result in [caller.pin(3), caller.topic("x")] {
            refused(result, code, &[]);
        }
    };
    every(&Caller::new(&client, ROOM, "ann"), Code::UNAUTHENTICATED, &[]);
    every(&Caller::new(&client, ROOM, "").with_token(&readers), Code::PERMISSION_DENIED, &["your login"]);
    every(&Caller::new(&client, ROOM, "").with_token(&elsewhere), Code::PERMISSION_DENIED, &["garden"]);
    every(&ann.named("bob"), Code::PERMISSION_DENIED, &["logged in as ann"]);
    let elsewhere = Caller::new(&client, ROOM, "").with_token(&elsewhere);
    assert_eq!(elsewhere.reactions(3, "+1", 1, "").expect_err("it is refused").code, Code::PERMISSION_DENIED);
    // A message may be left out of the name.
    assert_eq!(ann.named("").react(3, "+1"), Ok(12));
    drop(client);
    stop(server);

    // Without accounts again, the claim is not the user either.
    let server = serve(data, &[]);
    let claim = Caller::new(&connect(&server), ROOM, "ann");
    for result in [claim.edit(3, "x"), claim.delete(3)] {
        refused(result, Code::PERMISSION_DENIED, &["another sender's"]);
    }
    assert_eq!(claim.unreact(3, "+1"), Ok(12), "the claim has not reacted");
    assert_eq!(claim.message(3).reactions.len(), 1);
}

/// Changes count like posts: an address can't store more by edits, nor write faster.
#[test]
fn the_quotas_of_an_address_hold_for_changes() {
    let server = ServerProcess::start(&["--limit-loopback", "--post-rate", "5"]);
    let ann = Caller::new(&connect(&server), ROOM, "ann");
    ann.post(1, "one").expect("it is stored");
    let refusal = (0..10_000).find_map(|n| ann.react(1, ["+1", "-1"][n % 2]).err()).expect("the rate is used up");
    assert_eq!(refusal.code, Code::RESOURCE_EXHAUSTED);
    assert!(refusal.message.contains("try again"), "{refusal:?}");

    let server = ServerProcess::start(&["--limit-loopback", "--post-rate", "0", "--stored-per-day", "1MB"]);
    let ann = Caller::new(&connect(&server), ROOM, "ann");
    ann.post(1, "one").expect("it is stored");
    let edited = |n: u64| ann.edit(1, &format!("{n}{}", "x".repeat(16_000)));
    let (count, refusal) = (0..).find_map(|n| edited(n).err().map(|end| (n, end))).expect("the quota is used up");
    // Each text is stored twice: in the message, and in the event.
    assert!((20..40).contains(&count), "{count} edits");
    assert_eq!(refusal.code, Code::RESOURCE_EXHAUSTED, "{refusal:?}");
    assert!(refusal.message.contains("stored as many bytes as it may"), "{refusal:?}");
}
