//! The fold over the events of random histories.

use proptest::prelude::*;

use super::command::{OperatorCommand, OperatorReply, Secret};
use super::decide::{apply, decide, redeem};
use super::event::{AccountEvent, Holder, StoredRole};
use super::state::{Inconsistent, State};
use crate::limits::{DEVICES_PER_USER_MAX, INVITATION_TIME, INVITATIONS_PER_USER_MAX};
use crate::server::auth::principal::Role;
use crate::server::auth::token::{InvitationCode, TokenId};

const NAMES: [&str; 6] = ["ann", "bob", "Ann", "аnn", "ci", "~eve"];

/// A step of a history. A code or a token is one of those that were given out.
#[derive(Clone, Debug)]
enum Step {
    Command(OperatorCommand),
    Redeem(usize),
    RevokeToken(usize),
    Pass(u64),
}

fn name() -> impl Strategy<Value = String> {
    (0..NAMES.len()).prop_map(|at| NAMES[at].to_owned())
}

fn role() -> impl Strategy<Value = StoredRole> {
    prop_oneof![Just(Role::Member), Just(Role::Moderator), Just(Role::Admin)].prop_map(StoredRole)
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        (name(), role()).prop_map(|(user, role)| OperatorCommand::AddUser { user, role }),
        name().prop_map(|user| OperatorCommand::Invite { user }),
        (name(), role()).prop_map(|(user, role)| OperatorCommand::SetRole { user, role }),
        (name(), proptest::option::of(0..5_u64)).prop_map(|(user, for_ms)| OperatorCommand::Ban { user, for_ms }),
        name().prop_map(|user| OperatorCommand::Unban { user }),
        (name(), proptest::option::of("[a-c]")).prop_map(|(user, device)| OperatorCommand::Revoke { user, device }),
        (name(), proptest::option::of(0..5_u64)).prop_map(|(user, expires_in_ms)| OperatorCommand::AddToken {
            user,
            rooms: vec!["tea".to_owned()],
            acts: Vec::new(),
            expires_in_ms,
            label: None,
        }),
    ];
    prop_oneof![
        6 => command.prop_map(Step::Command),
        2 => (0..100_usize).prop_map(Step::Redeem),
        1 => (0..100_usize).prop_map(Step::RevokeToken),
        1 => (0..INVITATION_TIME.as_millis() as u64).prop_map(Step::Pass),
    ]
}

fn fold(events: &[(u64, AccountEvent)]) -> State {
    let mut state = State::default();
    for (time_ms, event) in events {
        state.apply(*time_ms, event).unwrap();
    }
    state
}

/// The events of a history, and the state that they led to.
fn play(steps: Vec<Step>) -> (Vec<(u64, AccountEvent)>, State) {
    let (mut state, mut events, mut now_ms) = (State::default(), Vec::new(), 1_000);
    let (mut codes, mut ids): (Vec<String>, Vec<TokenId>) = (Vec::new(), Vec::new());
    for step in steps {
        now_ms += 1;
        let decided = match step {
            Step::Pass(time_ms) => {
                now_ms += time_ms;
                continue;
            }
            Step::Redeem(at) => {
                let Some(code) = codes.get(at % codes.len().max(1)) else { continue };
                let sha256 = InvitationCode::parse(code).unwrap().hash();
                let Ok((decided, token, _)) = redeem(&state, sha256, ["a", "b", "c"][at % 3], now_ms) else { continue };
                ids.push(token.id);
                decided
            }
            Step::RevokeToken(at) => {
                let Some(id) = ids.get(at % ids.len().max(1)) else { continue };
                let command = OperatorCommand::RevokeToken { id: id.to_string() };
                let Ok(decision) = decide(&state, command, now_ms).unwrap() else { continue };
                decision.events
            }
            Step::Command(command) => {
                let Ok(decision) = decide(&state, command, now_ms).unwrap() else { continue };
                match decision.reply {
                    OperatorReply::Invited { code: Secret(code), .. } => codes.push(code.expose().to_owned()),
                    OperatorReply::TokenAdded { id, .. } => ids.push(id),
                    _ => {}
                }
                decision.events
            }
        };
        apply(&mut state, now_ms, &decided).expect("what was decided can be applied");
        events.extend(decided.into_iter().map(|event| (now_ms, event)));
    }
    (events, state)
}

proptest! {
    /// The state depends on nothing but the events, as they are stored.
    #[test]
    fn the_same_events_give_the_same_state(steps in proptest::collection::vec(step(), 0..120)) {
        let (events, state) = play(steps);
        prop_assert_eq!(&fold(&events), &state);
        let stored: Vec<_> = events
            .iter()
            .map(|(time_ms, event)| (*time_ms, serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap()))
            .collect();
        prop_assert_eq!(&stored, &events);
        prop_assert_eq!(&fold(&stored), &state);
    }

    /// Names are unique by their looks, and each user's tokens and invitations are those of the state.
    #[test]
    fn the_state_is_consistent(steps in proptest::collection::vec(step(), 0..120)) {
        let (_, state) = play(steps);
        let skeletons: std::collections::HashSet<_> = state.users().iter().map(|user| &user.skeleton).collect();
        prop_assert_eq!(skeletons.len(), state.users().len());
        prop_assert!(state.users().iter().all(|user| !user.name.as_str().starts_with('~')));
        let tokens: usize = state.users().iter().map(|user| state.tokens_of(user).count()).sum();
        prop_assert_eq!(tokens, state.token_count());
        for user in state.users() {
            prop_assert_eq!(state.tokens_of(user).count(), user.tokens.len());
            prop_assert!(user.invitations.len() <= INVITATIONS_PER_USER_MAX);
            prop_assert!(user.invitations.iter().all(|sha256| state.invitation(*sha256).is_some()));
            let devices = state.tokens_of(user).filter(|(_, token)| token.holder == Holder::Device).count();
            prop_assert!(devices <= DEVICES_PER_USER_MAX);
        }
    }
}

#[test]
fn events_that_do_not_follow_change_nothing() {
    let member = StoredRole(Role::Member);
    let ann = || "ann".to_owned();
    let mut state = fold(&[(1, AccountEvent::UserAdded { user: ann(), role: member })]);
    let id = TokenId::generate().unwrap();
    let sha256 = InvitationCode::generate().unwrap().hash();
    for (event, fault) in [
        (AccountEvent::UserAdded { user: ann(), role: member }, Inconsistent::UserExists(ann())),
        (AccountEvent::RoleSet { user: "bob".to_owned(), role: member }, Inconsistent::NoUser("bob".to_owned())),
        (AccountEvent::Unbanned { name: ann() }, Inconsistent::NotBanned(ann())),
        (AccountEvent::TokenRevoked { id }, Inconsistent::NoToken(id)),
        (AccountEvent::InvitationUsed { sha256 }, Inconsistent::NoInvitation),
        (AccountEvent::InvitationRevoked { sha256 }, Inconsistent::NoInvitation),
    ] {
        assert_eq!(state.apply(2, &event), Err(fault));
        assert_eq!(state, fold(&[(1, AccountEvent::UserAdded { user: ann(), role: member })]));
    }
    let long = AccountEvent::UserAdded { user: "x".repeat(65), role: member };
    assert!(matches!(state.apply(2, &long), Err(Inconsistent::Name(..))));
}
