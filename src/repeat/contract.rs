//! The contract and the transport of a run.

use clap::ValueEnum;

use crate::address::{Address, InvalidPort};

/// The help texts, short and long.
pub const CONTRACT_HELP: &str = "Wire contract to use: v1, http or tutorial";
pub const CONTRACT_LONG_HELP: &str = "Wire contract to use: v1 (hubbub.v1 over gRPC), http (the same over HTTP, where \
                                      --server is the address of the server's --http, by default 127.0.0.1:5080), or \
                                      tutorial for a server of the gRPC chat tutorial: one room, no history, no \
                                      acknowledgements";

/// The address where a server serves HTTP by default.
const HTTP_PORT: u16 = 5080;

/// The contract and the transport of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunContract {
    V1,
    Http,
    Tutorial,
}

impl RunContract {
    /// Where a server is looked for, if no other address is given.
    pub fn default_server(self) -> Result<Address, InvalidPort> {
        match self {
            Self::Http => Ok(Address::local(HTTP_PORT)),
            Self::V1 | Self::Tutorial => Address::default_local(),
        }
    }
}
