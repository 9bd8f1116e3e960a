//! Tokens and invitation codes: how they are made, read and hashed.
//!
//! A token is `hub_<id>_<secret><checksum>`. The prefix lets secret scanners find it; the id, which is not secret, is
//! the key of the look-up; the checksum tells a mistyped or cut token apart from a wrong one without a look-up. The
//! secret has 256 random bits, so a fast hash of it can't be reversed: only its SHA-256 is stored.
//!
//! An invitation code is typed by people: 80 random bits in 16 characters of Crockford's base 32, which has no letters
//! that are mistaken for digits. It is valid once, for a week, and guesses are slowed, so that is enough.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::credentials::Bearer;

/// What every token begins with.
pub const PREFIX: &str = "hub_";

/// Precedes the code in an invitation link.
pub const INVITE: &str = "#invite=";

/// The lengths of a token's parts, in bytes of text.
const ID_LENGTH: usize = 8;
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const TOKEN_LENGTH: usize = PREFIX.len() + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH;

const SECRET_BYTES: usize = 32;

const CODE_BYTES: usize = 10;
const CODE_LENGTH: usize = 16;
const CODE_GROUP: usize = 4;

/// The longest text that is read as a code: a link with one.
const CODE_TEXT_MAX: usize = 512;

/// Crockford's base 32: without I, L, O and U.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The system gives no random numbers. A secret is never made without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the system gives no random numbers: check that /dev/urandom can be read")]
pub struct NoRandomness;

/// The text is not a token: its form or its checksum is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotToken;

/// The text is not an invitation code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCode;

/// Names a token. It is not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; ID_LENGTH]);

/// The SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

/// A token, as its holder presents it.
pub struct Token {
    pub id: TokenId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// A code that an invited person types once.
pub struct InvitationCode(Zeroizing<String>);

impl TokenId {
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; ID_LENGTH];
        fill(&mut bytes)?;
        Ok(Self(bytes.map(|byte| CROCKFORD[usize::from(byte % 32)].to_ascii_lowercase())))
    }

    /// `None` if the text is not the id of a token.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; ID_LENGTH] = text.as_bytes().try_into().ok()?;
        let is_digit = |byte: &u8| !byte.is_ascii_uppercase() && CROCKFORD.contains(&byte.to_ascii_uppercase());
        id.iter().all(is_digit).then_some(Self(id))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the characters of an id are ASCII")
    }
}

impl Token {
    /// A new token with this id.
    pub fn generate(id: TokenId) -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        fill(&mut *secret)?;
        Ok(Self { id, secret })
    }

    pub fn parse(text: &str) -> Result<Self, NotToken> {
        let bytes = text.as_bytes();
        if bytes.len() != TOKEN_LENGTH || !text.is_ascii() || !text.starts_with(PREFIX) {
            return Err(NotToken);
        }
        let (body, checksum) = text.split_at(TOKEN_LENGTH - CHECKSUM_LENGTH);
        if checksum_of(body).as_slice() != checksum.as_bytes() {
            return Err(NotToken);
        }
        let (id, secret) = body[PREFIX.len()..].split_at(ID_LENGTH);
        let id = TokenId::parse(id).ok_or(NotToken)?;
        let secret = secret.strip_prefix('_').ok_or(NotToken)?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        match URL_SAFE_NO_PAD.decode_slice(secret, &mut *bytes) {
            Ok(SECRET_BYTES) => Ok(Self { id, secret: bytes }),
            _ => Err(NotToken),
        }
    }

    /// The token's text, for its holder.
    pub fn text(&self) -> Bearer {
        let mut text = String::with_capacity(TOKEN_LENGTH);
        text.push_str(PREFIX);
        text.push_str(self.id.as_str());
        text.push('_');
        URL_SAFE_NO_PAD.encode_string(*self.secret, &mut text);
        let checksum = checksum_of(&text);
        text.extend(checksum.map(char::from));
        Bearer::new(text)
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&*self.secret)
    }
}

/// CRC-32 in base 62.
fn checksum_of(text: &str) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [0; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    digits
}

impl InvitationCode {
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; CODE_BYTES]);
        fill(&mut *bytes)?;
        // 16 digits of 5 bits, from 80 bits.
        let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let digit = |at: usize| char::from(CROCKFORD[(bits >> (5 * (CODE_LENGTH - 1 - at)) & 31) as usize]);
        Ok(Self(Zeroizing::new((0..CODE_LENGTH).map(digit).collect())))
    }

    /// Reads a code as people type it, or the link with it. Case, blanks and dashes don't matter; O is 0, I and L are 1.
    pub fn parse(text: &str) -> Result<Self, NotCode> {
        if text.len() > CODE_TEXT_MAX {
            return Err(NotCode);
        }
        let text = text.rsplit_once(INVITE).map_or(text, |(_, code)| code);
        let mut code = Zeroizing::new(String::with_capacity(CODE_LENGTH));
        for c in text.chars() {
            let digit = match c.to_ascii_uppercase() {
                c if c.is_whitespace() || is_dash(c) => continue,
                'O' => '0',
                'I' | 'L' => '1',
                c if c.is_ascii() && CROCKFORD.contains(&(c as u8)) => c,
                _ => return Err(NotCode),
            };
            if code.len() == CODE_LENGTH {
                return Err(NotCode);
            }
            code.push(digit);
        }
        if code.len() == CODE_LENGTH { Ok(Self(code)) } else { Err(NotCode) }
    }

    /// The code in groups, for its user.
    pub fn text(&self) -> Bearer {
        let mut text = String::with_capacity(CODE_LENGTH + CODE_LENGTH / CODE_GROUP);
        for (at, digit) in self.0.char_indices() {
            if at > 0 && at % CODE_GROUP == 0 {
                text.push('-');
            }
            text.push(digit);
        }
        Bearer::new(text)
    }

    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }
}

fn is_dash(c: char) -> bool {
    matches!(c, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

impl SecretHash {
    /// No secret has this hash.
    pub const NONE: Self = Self([0; 32]);

    fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Compares in the same time, wherever they differ.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        (URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) == Ok(32)).then_some(Self(bytes))
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(bytes).map_err(|_| NoRandomness)
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hash)")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, secret)", self.id)
    }
}

impl fmt::Debug for InvitationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret code)")
    }
}

impl Serialize for TokenId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not the id of a token"))
    }
}

impl Serialize for SecretHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a SHA-256"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn token() -> Token {
        Token::generate(TokenId::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_token_reads_back() {
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let token = token();
            let text = token.text();
            assert_eq!(text.expose().len(), 62);
            let read = Token::parse(text.expose()).unwrap();
            assert_eq!((read.id, read.hash()), (token.id, token.hash()));
            assert!(seen.insert(text.expose().to_owned()));
            assert_eq!(TokenId::parse(token.id.as_str()), Some(token.id));
        }
    }

    /// The format is fixed: tokens in use must stay valid, and scanners know it.
    #[test]
    fn the_format_of_a_token_is_fixed() {
        let id = TokenId::parse("0a1b2c3d").unwrap();
        let token = Token { id, secret: Zeroizing::new([7; SECRET_BYTES]) };
        let body = "hub_0a1b2c3d_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        let text = token.text();
        let (before, checksum) = text.expose().split_at(body.len());
        assert_eq!(before, body);
        let value = checksum
            .bytes()
            .fold(0_u64, |value, digit| value * 62 + BASE62.iter().position(|&other| other == digit).unwrap() as u64);
        assert_eq!(value, u64::from(crc32fast::hash(body.as_bytes())));
        assert_eq!(token.hash().text(), URL_SAFE_NO_PAD.encode(Sha256::digest([7_u8; 32])));
    }

    #[test]
    fn a_cut_or_mistyped_token_is_none() {
        let text = token().text();
        let text = text.expose();
        for length in 0..text.len() {
            assert!(Token::parse(&text[..length]).is_err(), "{length}");
        }
        assert!(Token::parse(&format!("{text}0")).is_err());
        assert!(Token::parse(&format!(" {text}")).is_err());
        for at in 0..text.len() {
            for other in ["0", "Z", "_", "=", " "] {
                let typed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                assert!(typed == text || Token::parse(&typed).is_err(), "{at} {other}");
            }
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = InvitationCode::parse("0123-4567-89AB-CDEF").unwrap();
        for typed in [
            "0123456789abcdef",
            " o I 2 3 — 4567 89ab cdef\n",
            "OL23_4567–89AB‑CDEF",
            "https://chat.example.org/#invite=0123-4567-89AB-CDEF",
        ] {
            assert_eq!(InvitationCode::parse(typed).unwrap().hash(), code.hash(), "{typed}");
        }
        for bad in ["", "0123-4567-89AB-CDE", "0123-4567-89AB-CDEF0", "u123-4567-89AB-CDEF", "０123-4567-89AB-CDEF"] {
            assert!(InvitationCode::parse(bad).is_err(), "{bad}");
        }
        assert!(InvitationCode::parse(&"-".repeat(1000)).is_err());
        let made = InvitationCode::generate().unwrap();
        let text = made.text();
        assert_eq!((text.expose().len(), text.expose().matches('-').count()), (19, 3));
        assert_eq!(InvitationCode::parse(text.expose()).unwrap().hash(), made.hash());
    }

    #[test]
    fn no_secret_is_shown() {
        let (token, code) = (token(), InvitationCode::generate().unwrap());
        let shown = format!("{token:?} {code:?} {:?} {:?}", token.text(), token.hash());
        let text = token.text();
        let secret = &text.expose()[13..56];
        assert!(!shown.contains(secret) && !shown.contains(code.0.as_str()) && !shown.contains(&token.hash().text()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), cut in 0..80_usize) {
            let _ = InvitationCode::parse(&text);
            prop_assert!(Token::parse(&text).is_err());
            let near: String = format!("{}{text}", token().text().expose()).chars().skip(cut / 2).take(cut).collect();
            let _ = Token::parse(&near);
        }

        #[test]
        fn a_hash_reads_back(bytes in any::<[u8; 32]>()) {
            let hash = SecretHash(bytes);
            prop_assert_eq!(SecretHash::parse(&hash.text()), Some(hash));
            let json = serde_json::to_string(&hash).unwrap();
            prop_assert_eq!(serde_json::from_str::<SecretHash>(&json).unwrap(), hash);
        }
    }
}
