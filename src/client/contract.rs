//! The contract that a program uses.

use clap::ValueEnum;

/// The help texts of the programs for the contract, short and long.
pub const CONTRACT_HELP: &str = "Wire contract to use: v1 or tutorial";
pub const CONTRACT_LONG_HELP: &str = "Wire contract to use: v1 (hubbub.v1), or tutorial for a server of the gRPC chat \
                                      tutorial: one room, no history, no acknowledgements";

/// A wire contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contract {
    /// `hubbub.v1`: rooms, history, acknowledgements.
    V1,
    /// `chatserver`: one room, no history, no acknowledgements.
    Tutorial,
}

impl Contract {
    /// The remedy if a server does not support the contract.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::V1 => "it does not speak hubbub.v1: if it speaks the tutorial's contract, use --contract tutorial",
            Self::Tutorial => "it does not speak the tutorial's contract: check whether a chat server listens there",
        }
    }
}
