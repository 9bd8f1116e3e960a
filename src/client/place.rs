//! Where a server is unless the user says otherwise.

use std::env;

use thiserror::Error;

use crate::address::Address;

/// The port of a server that was started without further ado.
const DEFAULT_PORT: u16 = 5000;

/// The variable that moves that port, for servers and clients alike.
const PORT_VARIABLE: &str = "PORT";

/// How the programs' help explains where a server is.
pub const SERVER_HELP: &str =
    "HOST:PORT, [IPV6]:PORT or unix:PATH, or HUBBUB_SERVER [default: 127.0.0.1:5000; PORT sets that port]";

/// The variable `PORT` holds no port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the variable PORT is {0:?}: set it to a number from 1 to 65535, or unset it")]
pub struct InvalidPort(String);

/// A server on this machine, at port 5000 or the one that the variable `PORT` names.
pub fn default_server() -> Result<Address, InvalidPort> {
    let variable = env::var_os(PORT_VARIABLE).map(|value| value.to_string_lossy().into_owned());
    port(variable.as_deref()).map(Address::local)
}

fn port(variable: Option<&str>) -> Result<u16, InvalidPort> {
    match variable {
        None | Some("") => Ok(DEFAULT_PORT),
        Some(text) => match text.parse() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(InvalidPort(text.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_moves_the_default_port() {
        assert_eq!(port(None), Ok(5000));
        assert_eq!(port(Some("6000")), Ok(6000));
        for text in ["0", "65536", "x", " 1"] {
            assert_eq!(port(Some(text)), Err(InvalidPort(text.to_owned())));
        }
    }
}
