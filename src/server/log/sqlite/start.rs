//! The start of a life of the log: the life is recorded, and rooms get another epoch if messages may be lost.

use rusqlite::{Connection, Row, TransactionBehavior};

use super::columns::{number, seq};
use super::folder::SyncMode;
use super::recovery::{self, Findings};
use super::rooms::{StoredRoom, all_rooms};
use super::schema;
use crate::names::{Epoch, Generation, Seq};
use crate::server::log::ClockState;

/// Begins a life of the log. If the last life left syncing to the system, did not end cleanly, and was followed by
/// a restart of the machine, a power cut may have lost messages that clients have seen. So may the restoring of an
/// older copy. Every room then gets another epoch. Returns whether the database may be an older copy, and how many
/// messages it has.
pub fn begin(
    connection: &mut Connection,
    sync: SyncMode,
    restored: bool,
    findings: &Findings,
    next: i64,
) -> rusqlite::Result<(bool, u64)> {
    let boot = recovery::boot_id();
    // Checked before the transaction: SQLite can't commit a transaction in which it found damage.
    let rooms = all_rooms(connection)?;
    let messages = rooms.iter().filter_map(|(_, room)| room.as_ref()).map(StoredRoom::kept).sum();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    type Life = (String, bool, bool, Option<i64>, bool, i64);
    let life = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?));
    let (last_boot, synced, ended, id, is_backup, generation): Life = transaction.query_row(schema::LIFE, (), life)?;
    // If the system does not report it, assume a restart.
    let may_be_lost = !synced && !ended && (last_boot != boot || boot.is_empty());
    if may_be_lost {
        log::warn!("the machine went down without closing the log (--sync os): its last messages may be lost");
    }
    // A killed start may have changed them already.
    let is_changed = findings.changed && (findings.begun.is_none() || findings.begun != id);
    if is_backup {
        log::info!("this is a restored backup: clients learn which messages they have seen are lost");
    }
    let is_lost = may_be_lost || restored || is_backup || is_changed;
    if is_lost {
        for (id, room) in rooms {
            // If the end of a room can't be read, any message may be lost.
            let (epoch, first) = match room {
                Some(room) => (room.state.epoch.renewed(), room.state.head.next()),
                None => (Epoch::random(), Seq(1)),
            };
            transaction.execute(schema::SET_EPOCH, (id, epoch.get() as i64, number(first.0)))?;
        }
    }
    if is_lost || generation == 0 {
        transaction.execute(schema::SET_GENERATION, [Generation::random().0 as i64])?;
    }
    transaction.execute(schema::BEGIN_LIFE, (boot, sync == SyncMode::Full, next))?;
    transaction.commit()?;
    Ok((restored || is_backup || is_changed, messages))
}

/// The time of the last life. For a version without it, the time of the newest message.
pub fn load_clock(connection: &Connection) -> rusqlite::Result<ClockState> {
    let time = |row: &Row<'_>, column| seq(row, column).map(|number| number.0);
    let mut clock = connection.query_row(schema::CLOCK, (), |row| {
        let (time_ms, age_ms) = (time(row, 0)?, time(row, 1)?);
        Ok(ClockState { time_ms, age_ms, doubted_ms: time(row, 2)?, held_ms: time(row, 3)?, by_messages: false })
    })?;
    if clock.time_ms == 0 {
        for (_, room) in all_rooms(connection)? {
            clock.time_ms = clock.time_ms.max(room.map_or(0, |room| room.time_ms));
        }
        clock.age_ms = clock.time_ms;
        clock.by_messages = true;
    }
    Ok(clock)
}
