//! Requests, encoded whole.

use crate::endpoint::Endpoint;

/// The request that shows that a server has accepted a connection and serves it.
const GREETING_PATH: &str = "/healthz";

/// A POST with this body.
pub fn post(server: &Endpoint, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let fields = format!("content-type: {content_type}\r\nconnect-protocol-version: 1\r\ncontent-length: {length}\r\n");
    let mut request = request(server, "POST", path, &fields);
    request.extend_from_slice(body);
    request
}

/// A request without an effect.
pub fn greeting(server: &Endpoint) -> Vec<u8> {
    request(server, "GET", GREETING_PATH, "")
}

fn request(server: &Endpoint, method: &str, path: &str, fields: &str) -> Vec<u8> {
    let login = server.login.as_ref().map(|login| format!("authorization: {}\r\n", login.authorization()));
    let login = login.unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: hubbub-load\r\n{login}{fields}\r\n",
        server.address
    );
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_encoded() {
        let server = Endpoint { address: "[::1]:80".parse().unwrap(), tls: None, login: None };
        let expected = "POST /a HTTP/1.1\r\nhost: [::1]:80\r\nuser-agent: hubbub-load\r\ncontent-type: b/c\r\n\
                        connect-protocol-version: 1\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(post(&server, "/a", "b/c", b"ok"), expected.as_bytes());
        let expected = "GET /healthz HTTP/1.1\r\nhost: [::1]:80\r\nuser-agent: hubbub-load\r\n\r\n";
        assert_eq!(greeting(&server), expected.as_bytes());
    }
}
