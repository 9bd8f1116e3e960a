//! Which contract a program speaks.

use std::str::FromStr;

/// How the programs' help explains the choice, in a line and in full.
pub const CONTRACT_HELP: &str = "Wire contract to use: v1 or tutorial";
pub const CONTRACT_LONG_HELP: &str = "Wire contract to use: v1 (hubbub.v1), or tutorial for a server of the gRPC chat \
                                      tutorial: one room, no history, no acknowledgements";

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
            _ => Err("expected v1 or tutorial"),
        }
    }
}

impl Contract {
    /// What one who called a server that does not know the contract should do.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::V1 => "it does not speak hubbub.v1: if it speaks the tutorial's contract, use --contract tutorial",
            Self::Tutorial => "it does not speak the tutorial's contract: check whether a chat server listens there",
        }
    }
}
