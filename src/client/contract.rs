//! Which contract a program speaks.

use std::str::FromStr;

/// How the programs' help explains the choice.
pub const CONTRACT_HELP: &str = "What to speak: v1, or tutorial with a server that knows no other";

/// A wire contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// `hubbub.v1`: rooms, history, acknowledgements.
    V1,
    /// `chatserver`: one room, no history, no acknowledgements.
    Tutorial,
}

impl FromStr for Contract {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "v1" => Ok(Self::V1),
            "tutorial" => Ok(Self::Tutorial),
            _ => Err("give v1 or tutorial"),
        }
    }
}

impl Contract {
    /// What one who called a server that does not know the contract should do.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::V1 => "it does not speak hubbub.v1: if it speaks the tutorial's contract, use --contract tutorial",
            Self::Tutorial => "it does not speak the tutorial's contract: see whether a chat server listens there",
        }
    }
}
