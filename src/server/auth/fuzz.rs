//! The decoders of tokens and codes, for [`crate::fuzz`].

pub use super::jwt::fuzz::{claim_seeds, claims, key_file_seeds, key_files};

use super::token::{InvitationCode, Token, TokenId};

/// What is read as a token or as a code is the same when it is read again.
pub fn tokens(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(token) = Token::parse(&text) {
        assert!(token.text().expose() == text);
    }
    if let Ok(code) = InvitationCode::parse(&text) {
        let again = InvitationCode::parse(code.text().expose()).expect("the text of a code is a code");
        assert!(again.hash() == code.hash());
    }
}

pub fn token_seeds() -> Vec<Vec<u8>> {
    let token = Token::generate(TokenId::generate().expect("random numbers")).expect("random numbers");
    let code = InvitationCode::generate().expect("random numbers").text();
    let link = format!("https://chat.example.org/#invite={}", code.expose());
    [token.text().expose(), code.expose(), &link].map(|text| text.as_bytes().to_vec()).to_vec()
}
