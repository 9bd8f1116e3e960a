//! The decoder of the operator's requests, for [`crate::fuzz`].

use super::protocol::Request;
use crate::server::auth::accounts::command::OperatorCommand;
use crate::server::auth::accounts::decide::{apply, decide, redeem};
use crate::server::auth::accounts::event::AccountEvent;
use crate::server::auth::accounts::state::State;
use crate::server::auth::token::InvitationCode;

/// Executes the operator's requests, one per line, one second apart: every decision can be applied and stored.
pub fn requests(input: &[u8]) {
    let (mut state, mut stored, mut replayed) = (State::default(), Vec::new(), State::default());
    for (second, line) in String::from_utf8_lossy(input).lines().enumerate() {
        let now_ms = second as u64 * 1_000;
        let events = match serde_json::from_str(line) {
            Ok(Request::Execute { command }) => execute(&state, command, now_ms),
            Ok(Request::Status) => Vec::new(),
            Err(_) => redeem_typed(&state, line, now_ms),
        };
        apply(&mut state, now_ms, &events).expect("what was decided follows from the state");
        stored.extend(events.iter().map(|event| (now_ms, serde_json::to_string(event).expect("an event is JSON"))));
    }
    for (now_ms, event) in stored {
        let event: AccountEvent = serde_json::from_str(&event).expect("what was stored is read");
        replayed.apply(now_ms, &event).expect("the same events follow from each other");
    }
    let users = |state: &State| state.users().iter().map(|user| (user.name.clone(), user.role)).collect::<Vec<_>>();
    assert_eq!(users(&state), users(&replayed));
    assert_eq!(state.token_count(), replayed.token_count());
}

fn execute(state: &State, command: OperatorCommand, now_ms: u64) -> Vec<AccountEvent> {
    match decide(state, command, now_ms) {
        Some(Ok(decision)) => decision.events,
        Some(Err(_)) | None => Vec::new(),
    }
}

/// Redeems a typed code that is not an invitation.
fn redeem_typed(state: &State, line: &str, now_ms: u64) -> Vec<AccountEvent> {
    if let Ok(code) = InvitationCode::parse(line) {
        assert!(redeem(state, code.hash(), line, now_ms).is_err());
    }
    Vec::new()
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    let commands = [
        r#"{"command":"add_user","user":"ann","role":"admin"}"#,
        r#"{"command":"invite","user":"ann"}"#,
        r#"{"command":"set_role","user":"ann","role":"member"}"#,
        r#"{"command":"ban","user":"ann","for_ms":5000}"#,
        r#"{"command":"unban","user":"ann"}"#,
        r#"{"command":"revoke","user":"ann","device":null}"#,
        r#"{"command":"add_token","user":"ci","rooms":["builds"],"acts":["post"],"expires_in_ms":1,"label":"x"}"#,
        r#"{"command":"revoke_token","id":"0a1b2c3d"}"#,
        r#"{"command":"list_users","after":0}"#,
    ];
    let lines: Vec<_> =
        commands.iter().map(|command| format!(r#"{{"request":"execute","command":{command}}}"#)).collect();
    let status = r#"{"request":"status"}"#;
    vec![lines.join("\n").into_bytes(), format!("{status}\nMZE1-3MK6-R349-EFV5").into_bytes()]
}
