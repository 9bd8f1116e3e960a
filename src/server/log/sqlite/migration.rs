//! Upgrades a database of an earlier version to the current one.

use rusqlite::{Connection, TransactionBehavior};

use super::page::PAGE_BYTES;
use super::room_names;
use super::schema::{APPLICATION_ID, MIGRATIONS, NORMALISE_NAMES, PAGE_COUNT, VERSION};

/// Upgrades a database to the current version.
pub fn migrate(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    if version < VERSION {
        connection.pragma_update(None, "synchronous", "FULL")?;
        if version > 0 {
            let pages: i64 = connection.query_row(PAGE_COUNT, (), |row| row.get(0))?;
            let bytes = pages * PAGE_BYTES as i64;
            log::info!(
                "upgrading the log from version {version} to {VERSION}: its database is copied within itself, which needs {} MB of free \
                 space",
                (3 * bytes as u64).div_ceil(1_000_000)
            );
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for migration in &MIGRATIONS[version as usize..] {
            match *migration {
                NORMALISE_NAMES => room_names::normalise(&transaction)?,
                statements => transaction.execute_batch(statements)?,
            }
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
        if version > 0 {
            log::info!("the log was upgraded from version {version} to {VERSION}");
        }
    }
    Ok(())
}
