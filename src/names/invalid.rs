//! The reasons why a name, a body or a message id is invalid.

use thiserror::Error;

use crate::limits::{
    BODY_BYTES_MAX, COMBINING_MARKS_MAX, EMOJI_BYTES_MAX, MENTIONS_MAX, NAME_CHARS_MAX, TOPIC_CHARS_MAX,
};

/// Why a name, a body or a message id is invalid. The text states the rule, for the peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidText {
    #[error("the name is empty: send 1 to {NAME_CHARS_MAX} characters")]
    NameEmpty,
    #[error("the name has {0} characters: send at most {NAME_CHARS_MAX}")]
    NameTooLong(usize),
    #[error("the name contains the control character U+{0:04X}: send printable characters only")]
    NameControl(u32),
    #[error(
        "the name contains U+{0:04X}, which shows nothing or changes the text around it: send visible characters only"
    )]
    NameInvisible(u32),
    #[error("the name begins or ends with a blank: leave it out")]
    NameBlank,
    #[error("the name has more than {COMBINING_MARKS_MAX} accents on one letter: send at most {COMBINING_MARKS_MAX}")]
    NameMarks,
    #[error("the body is empty: send 1 to {BODY_BYTES_MAX} bytes of text")]
    BodyEmpty,
    #[error("the body has {0} bytes: send at most {BODY_BYTES_MAX}")]
    BodyTooLong(usize),
    #[error("the body contains the control character U+{0:04X}: line feed and tab are allowed, no others")]
    BodyControl(u32),
    #[error(
        "the body contains the bidirectional control U+{0:04X}: use isolates (U+2066 to U+2068, each ended by U+2069)"
    )]
    BodyDirection(u32),
    #[error("the body's bidirectional isolates are not balanced: end each within its line, with U+2069")]
    BodyIsolates,
    #[error("the room's name is empty: send 1 to {NAME_CHARS_MAX} characters")]
    RoomEmpty,
    #[error("the room's name has {0} characters: send at most {NAME_CHARS_MAX}")]
    RoomTooLong(usize),
    #[error(
        "the room's name contains {0:?}: use letters, accents and vowel signs after a letter, digits, '-', '_' and '.', and no '.' at the beginning"
    )]
    RoomCharacter(char),
    #[error(
        "the room's name has more than {COMBINING_MARKS_MAX} accents on one letter: send at most {COMBINING_MARKS_MAX}"
    )]
    RoomMarks,
    #[error("the message id has {0} bytes: send 16, or none to let the server generate one")]
    IdLength(usize),
    #[error("the message id begins with four zero bytes, which are reserved for the server: send a UUID")]
    IdReserved,
    #[error("more than {MENTIONS_MAX} names are mentioned: mention at most {MENTIONS_MAX}, or everybody with \"*\"")]
    TooManyMentions,
    #[error("the emoji is empty: send 1 to {EMOJI_BYTES_MAX} bytes")]
    EmojiEmpty,
    #[error("the emoji has {0} bytes: send at most {EMOJI_BYTES_MAX}")]
    EmojiTooLong(usize),
    #[error("the emoji contains U+{0:04X}: send one emoji or one word, without blanks and control characters")]
    EmojiCharacter(u32),
    #[error("the topic has {0} characters: send at most {TOPIC_CHARS_MAX}")]
    TopicTooLong(usize),
    #[error("the topic contains the control character U+{0:04X}: send one line of text")]
    TopicControl(u32),
}
