//! The page size of the calls that list something.

use super::error::{CallError, CallResult};
use crate::limits::PAGE_SIZE_MAX;

/// The requested page size; 0 requests the default.
pub fn page_size(requested: u32, default: usize) -> CallResult<usize> {
    match requested as usize {
        0 => Ok(default),
        size if size <= PAGE_SIZE_MAX => Ok(size),
        size => Err(CallError::PageSize(size)),
    }
}
