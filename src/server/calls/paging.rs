//! The page size of the calls that list something.

use super::error::{CallError, CallResult};

/// The requested page size; 0 requests the default.
pub fn page_size(requested: u32, default: usize, max: usize) -> CallResult<usize> {
    match requested as usize {
        0 => Ok(default),
        asked if asked <= max => Ok(asked),
        asked => Err(CallError::PageSize { asked, max }),
    }
}
