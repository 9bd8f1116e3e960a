//! Numbers as stored in the database.

use rusqlite::Row;

use crate::names::Seq;

/// A number as SQLite stores it. Only peers request numbers that do not fit, and no row has them.
pub fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub fn seq(row: &Row<'_>, column: usize) -> rusqlite::Result<Seq> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map(Seq).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}
