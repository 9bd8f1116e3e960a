//! The server's address, and how its connections are secured and logged in.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::tls::client_config;

/// The longest token that a Hubbub server accepts.
const TOKEN_BYTES_MAX: usize = 8_192;

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// With TLS if there is a configuration.
    pub tls: Option<Arc<ClientConfig>>,
    /// The login of all clients.
    pub login: Option<Login>,
}

/// A token, which is shown nowhere.
#[derive(Clone)]
pub struct Login(Arc<str>);

impl Endpoint {
    /// Reads the files. The error names the option and the file.
    pub fn read(address: SocketAddr, ca: Option<&Path>, token_file: Option<&Path>) -> Result<Endpoint, String> {
        let tls = ca.map(|file| client_config(file).map_err(|error| format!("--ca {} {error}", file.display())));
        let login = token_file
            .map(|file| Login::read(file).map_err(|error| format!("--token-file {} {error}", file.display())));
        Ok(Endpoint { address, tls: tls.transpose()?, login: login.transpose()? })
    }

    /// The scheme of its addresses.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Login {
    fn read(file: &Path) -> Result<Login, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("can't be read: {error}"))?;
        let token = text.trim_end_matches(['\r', '\n']);
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("must have one token of 1 to {TOKEN_BYTES_MAX} visible ASCII characters"));
        }
        Ok(Login(token.into()))
    }

    /// The value of the header `authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for a file of this name with this content; the file exists during the call only.
    fn refusal(name: &str, content: &[u8], read: impl Fn(&Path) -> Result<Endpoint, String>) -> String {
        let file = std::env::temp_dir().join(format!("hubbub-load-{}-{name}", std::process::id()));
        fs::write(&file, content).unwrap();
        let result = read(&file);
        fs::remove_file(&file).unwrap();
        result.err().unwrap_or_default()
    }

    #[test]
    fn files_that_cannot_be_used_are_refused_with_the_option() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let ca = |file: &Path| Endpoint::read(address, Some(file), None);
        let token = |file: &Path| Endpoint::read(address, None, Some(file));
        for content in [&b""[..], b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN X-----\nAAAA\n-----END X-----\n"] {
            let error = refusal("ca", content, ca);
            assert!(error.starts_with("--ca /"), "{error}");
        }
        for content in [&b"\n"[..], b"two words", b"two\nlines", &[b'a'; TOKEN_BYTES_MAX + 1]] {
            let error = refusal("token", content, token);
            assert!(error.starts_with("--token-file /") && error.contains("one token"), "{error}");
        }
        assert!(ca(Path::new("/nowhere")).unwrap_err().contains("/nowhere can't be read: "));
        assert!(token(Path::new("/nowhere")).unwrap_err().contains("/nowhere can't be read: "));
    }

    #[test]
    fn a_token_is_sent_and_never_shown() {
        let token = |file: &Path| {
            let endpoint = Endpoint::read(SocketAddr::from(([127, 0, 0, 1], 1)), None, Some(file))?;
            assert!(!format!("{endpoint:?} {endpoint}").contains("secret"));
            Err(endpoint.login.unwrap().authorization())
        };
        assert_eq!(refusal("shown", b"secret\r\n", token), "Bearer secret");
    }
}
