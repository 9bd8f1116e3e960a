//! The audit lines of the operator's commands: who changed what, and of whom. No line has a secret.

use crate::escape::escape_name;
use crate::server::auth::accounts::command::OperatorReply;
use crate::server::log::clock::date;

/// Logs a command that was executed, unless it changed nothing.
pub fn log(uid: u32, reply: &OperatorReply) {
    if let Some(what) = what(reply) {
        log::info!(target: "audit", "operator (uid {uid}) {what}");
    }
}

fn what(reply: &OperatorReply) -> Option<String> {
    Some(match reply {
        OperatorReply::Invited { user, role, added: true, .. } => {
            format!("added user {} ({}) and invited it", quoted(user), role.0)
        }
        OperatorReply::Invited { user, .. } => format!("invited user {}", quoted(user)),
        OperatorReply::RoleSet { user, role, before } => {
            format!("changed the role of user {} from {} to {}", quoted(user), before.0, role.0)
        }
        OperatorReply::Banned { user, until_ms, .. } => format!("banned {} {}", quoted(user), until(*until_ms)),
        OperatorReply::Unbanned { user } => format!("ended the ban of {}", quoted(user)),
        OperatorReply::Revoked { user, tokens, invitations } => {
            let ids: Vec<_> = tokens.iter().map(|id| id.as_str()).collect();
            let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
            format!("revoked logins of user {}: tokens {ids}; invitations: {invitations}", quoted(user))
        }
        OperatorReply::TokenAdded { user, added, id, until_ms, .. } => {
            let user_added = if *added { "added user and " } else { "" };
            format!("{user_added}added token {id} of user {}, valid {}", quoted(user), until(*until_ms))
        }
        OperatorReply::Users { .. } | OperatorReply::Tokens { .. } => return None,
    })
}

fn until(time_ms: Option<u64>) -> String {
    time_ms.map_or_else(|| "without an end".to_owned(), |time_ms| format!("until {}", date(time_ms)))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", escape_name(name))
}
