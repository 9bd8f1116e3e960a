//! Suggests the nearest existing name for a room without messages.

use std::time::Duration;

use super::server::Server;
use crate::client::{CallError, Caller};
use crate::names::RoomName;

/// How many pages of the list of rooms are searched: 5,000 rooms.
const PAGES_MAX: usize = 5;

/// How long the server may take for each.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The room with the nearest name, if one is near. Queries the server.
pub fn nearest_room(server: Server, room: &RoomName) -> Option<String> {
    nearest(room.as_str(), &list(server).ok()?)
}

fn list(Server { address, connector, .. }: Server) -> Result<Vec<String>, CallError> {
    let mut caller = Caller::connect(connector, address, TIMEOUT)?;
    let (mut names, mut token) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let (page, next) = caller.rooms(&token)?;
        names.extend(page.into_iter().map(|room| room.name));
        if next.is_empty() {
            break;
        }
        token = next;
    }
    Ok(names)
}

/// One edit for each three characters, and at least one, makes a name near. Case does not count.
pub fn nearest(name: &str, names: &[String]) -> Option<String> {
    let wanted = name.to_lowercase();
    let edits_max = (wanted.chars().count() / 3).max(1);
    let others = names.iter().filter(|other| *other != name);
    let edits = others.map(|other| (strsim::osa_distance(&wanted, &other.to_lowercase()), other));
    edits.filter(|(edits, _)| *edits <= edits_max).min().map(|(_, other)| other.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_name_is_suggested() {
        let names = ["tea", "coffee", "Lobby", "build-reports"].map(str::to_owned);
        for (wanted, found) in [
            ("tae", Some("tea")),
            ("TEA", Some("tea")),
            ("lobby", Some("Lobby")),
            ("build-reprot", Some("build-reports")),
            ("cofee", Some("coffee")),
            ("tea", None),
            ("x", None),
            ("cocoa", None),
        ] {
            assert_eq!(nearest(wanted, &names).as_deref(), found, "{wanted}");
        }
        assert_eq!(nearest("tea", &[]), None);
    }
}
