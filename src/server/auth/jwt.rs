//! JSON web tokens: logins of users whom another system knows, and signs for.
//!
//! A token is verified with the keys of the operator's files, and nothing else: the algorithms are those of the key,
//! never the token's choice, and no key or address in a token's header is used. Its claims are looked at once the
//! signature is right, so that only the issuer learns what is wrong with them.
//!
//! The `jsonwebtoken` crate verifies signatures. Times are checked here, because the crate uses the system's clock; the
//! backend is named here, because the crate's own choice is one for the whole process.

mod key;
mod settings;
mod json_key;
mod key_file;
mod header;
mod claims;
mod verified;
#[cfg(fuzzing)]
pub mod fuzz;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;

use self::header::Header;
use self::key::Key;
use self::key_file::Files;
use self::verified::Verified;
use super::credentials::Bearer;
use super::login::LoginError;
use super::principal::{Principal, Via};
use crate::limits::{JWT_BYTES_MAX, JWT_KEYS_MAX};

pub use self::key::KeyFault;
pub use self::settings::{ACTS_CLAIM, JwtError, JwtSettings, NAME_CLAIM, ROLE_CLAIM, ROOMS_CLAIM};

/// Verifies tokens. Any thread may do so at any time: a change of the keys is waited for by none.
pub struct Jwt {
    settings: JwtSettings,
    keys: RwLock<Arc<Keys>>,
}

/// The keys of all files, as they were read at one time.
struct Keys {
    keys: Vec<Key>,
    /// The hash of the files' contents.
    digest: [u8; 32],
    verified: Verified,
}

impl Jwt {
    pub fn open(settings: &JwtSettings) -> Result<Self, JwtError> {
        settings.check()?;
        let keys = Keys::new(key_file::read(settings)?)?;
        Ok(Self { settings: settings.clone(), keys: RwLock::new(Arc::new(keys)) })
    }

    /// Who presents this token at this time.
    pub fn verify(&self, token: &Bearer, now: SystemTime) -> Result<Principal, LoginError> {
        let token = token.expose();
        if token.len() > JWT_BYTES_MAX {
            return Err(LoginError::Jwt("it is longer than 8 KiB; leave claims out"));
        }
        let keys = Arc::clone(&self.keys.read());
        if let Some(user) = keys.verified.find(token, now) {
            return Ok(user);
        }
        let user = self.check(token, &keys, now)?;
        keys.verified.keep(token, &user);
        Ok(user)
    }

    fn check(&self, token: &str, keys: &Keys, now: SystemTime) -> Result<Principal, LoginError> {
        let (message, signature) = token.rsplit_once('.').ok_or(LoginError::Invalid)?;
        let (header, claims) = message.split_once('.').ok_or(LoginError::Invalid)?;
        let header = Header::parse(&decoded(header)?)?;
        let (signature, claims) = (decoded(signature)?, decoded(claims)?);
        let candidates = keys.candidates(&header)?;
        let verifies = |key: &&Key| key.verifies(header.algorithm, message.as_bytes(), &signature);
        let key = candidates.into_iter().find(verifies).ok_or(LoginError::Invalid)?;
        claims::principal(&claims, key.print(), &self.settings, now)
    }

    /// Whether the key that has verified a login is still in use.
    pub fn is_valid(&self, principal: &Principal) -> bool {
        let Via::Jwt(print) = principal.via else { return true };
        self.keys.read().keys.iter().any(|key| key.print() == print)
    }

    /// Reads the files again. Returns whether their contents have changed; then tokens are verified with the new keys
    /// from now on. After an error, the old keys stay.
    pub fn reload(&self) -> Result<bool, JwtError> {
        loop {
            let old = Arc::clone(&self.keys.read());
            let files = key_file::read(&self.settings)?;
            if files.digest == old.digest {
                return Ok(false);
            }
            let new = Arc::new(Keys::new(files)?);
            let mut keys = self.keys.write();
            // Another thread may have reloaded meanwhile, and have read newer files.
            if Arc::ptr_eq(&keys, &old) {
                *keys = new;
                return Ok(true);
            }
        }
    }

    /// The files with the keys.
    pub fn files(&self) -> Vec<PathBuf> {
        self.settings.keys.iter().chain(&self.settings.jwks).cloned().collect()
    }

    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.keys.read().keys.len()
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Keys {
    fn new(Files { keys, digest }: Files) -> Result<Self, JwtError> {
        match keys.len() {
            0 => return Err(JwtError::NoKey),
            count if count > JWT_KEYS_MAX => return Err(JwtError::TooMany(count)),
            _ => {}
        }
        if keys.iter().any(Key::is_secret) && !keys.iter().all(Key::is_secret) {
            return Err(JwtError::Mixed);
        }
        Ok(Self { keys, digest, verified: Verified::default() })
    }

    /// The keys that may have signed a token: those for its algorithm, and of these the ones with its key id, or else
    /// the ones without an id, which may have any. At most [`JWT_KEYS_MAX`].
    fn candidates(&self, header: &Header) -> Result<Vec<&Key>, LoginError> {
        let fitting: Vec<_> = self.keys.iter().filter(|key| key.is_for(header.algorithm)).collect();
        if fitting.is_empty() {
            return Err(LoginError::Jwt("no key of the server is for its algorithm; see --jwt-key and --jwt-jwks"));
        }
        let Some(id) = header.key_id.as_deref() else { return Ok(fitting) };
        let with = |id| fitting.iter().copied().filter(|key| key.id() == id).collect::<Vec<_>>();
        let named = with(Some(id));
        let candidates = if named.is_empty() { with(None) } else { named };
        if candidates.is_empty() {
            return Err(LoginError::Jwt("the server has no key with its kid; see --jwt-key and --jwt-jwks"));
        }
        Ok(candidates)
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, LoginError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| LoginError::Invalid)
}

#[cfg(test)]
mod tests;
