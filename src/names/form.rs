//! Unicode's normalization form of names.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

/// The name in Unicode's normalization form C, so that names that look equal are equal.
pub fn composed(name: &str) -> Cow<'_, str> {
    if name.is_ascii() { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}
