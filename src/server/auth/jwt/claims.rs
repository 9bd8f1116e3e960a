//! The claims of a token whose signature is right: whether it is valid now and here, and for whom.
//!
//! A claim that occurs twice is refused, because the issuer's library may have meant the other one; so is a claim of
//! another type than expected. A missing claim grants the default; a wrong one never does.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::settings::JwtSettings;
use crate::limits::{JWT_LEEWAY, JWT_LIFE_MAX, JWT_ROOMS_MAX};
use crate::names::{RoomName, UserName};
use crate::server::auth::login::LoginError;
use crate::server::auth::principal::{Acts, Grants, KeyPrint, Principal, Role, Via};

/// The claims that are used, by their number in [`names`].
const ISSUER: usize = 0;
const AUDIENCE: usize = 1;
const EXPIRY: usize = 2;
const NOT_BEFORE: usize = 3;
const ISSUED_AT: usize = 4;
const NAME: usize = 5;
const ROLE: usize = 6;
const ROOMS: usize = 7;
const ACTS: usize = 8;
const COUNT: usize = 9;

fn names(settings: &JwtSettings) -> [&str; COUNT] {
    let JwtSettings { name_claim, role_claim, rooms_claim, acts_claim, .. } = settings;
    ["iss", "aud", "exp", "nbf", "iat", name_claim, role_claim, rooms_claim, acts_claim]
}

/// Who the claims say that the client is. `key` has verified them.
pub fn principal(json: &[u8], key: KeyPrint, settings: &JwtSettings, now: SystemTime) -> Result<Principal, LoginError> {
    let claims = Claims::parse(json, names(settings))?;
    claims.check_place(settings)?;
    let until = claims.check_time(now)?;
    Ok(Principal {
        name: Some(claims.name()?),
        role: claims.role()?,
        via: Via::Jwt(key),
        until: Some(until),
        grants: Grants { rooms: claims.rooms()?, acts: claims.acts()? },
    })
}

/// The values of the claims that are used.
struct Claims([Option<Value>; COUNT]);

impl Claims {
    fn parse(json: &[u8], names: [&str; COUNT]) -> Result<Self, LoginError> {
        let mut parser = serde_json::Deserializer::from_slice(json);
        let claims = Names(names).deserialize(&mut parser);
        let claims = claims.and_then(|claims| parser.end().map(|()| claims));
        claims.map_err(|_| LoginError::Jwt("its claims are not a JSON object, or one of them occurs twice"))
    }

    fn get(&self, claim: usize) -> Option<&Value> {
        self.0[claim].as_ref()
    }

    /// Whether the token comes from this issuer, for this server.
    fn check_place(&self, settings: &JwtSettings) -> Result<(), LoginError> {
        let is = |value: &Value, text: &String| value.as_str() == Some(text);
        let issuer = self.get(ISSUER).ok_or(LoginError::Jwt("it has no issuer (iss); see --jwt-issuer"))?;
        if !is(issuer, &settings.issuer) {
            return Err(LoginError::Jwt("its issuer (iss) is another; see --jwt-issuer"));
        }
        let audience = self.get(AUDIENCE).ok_or(LoginError::Jwt("it has no audience (aud); see --jwt-audience"))?;
        let is_ours = match audience {
            Value::Array(all) => all.iter().any(|one| is(one, &settings.audience)),
            one => is(one, &settings.audience),
        };
        if is_ours { Ok(()) } else { Err(LoginError::Jwt("its audience (aud) is another; see --jwt-audience")) }
    }

    /// Whether it is valid at this time. Returns when it expires.
    fn check_time(&self, now: SystemTime) -> Result<SystemTime, LoginError> {
        let now_s = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let expiry = self.seconds(EXPIRY)?.ok_or(LoginError::Jwt("it has no expiry (exp), which is required"))?;
        // Without leeway: the login ends at that time.
        if expiry <= now_s {
            return Err(LoginError::Expired);
        }
        let leeway = JWT_LEEWAY.as_secs_f64();
        if expiry > now_s + JWT_LIFE_MAX.as_secs_f64() + leeway {
            return Err(LoginError::Jwt("its expiry (exp) is more than 24 hours ahead, or not in seconds"));
        }
        for claim in [NOT_BEFORE, ISSUED_AT] {
            if self.seconds(claim)?.is_some_and(|time| time > now_s + leeway) {
                return Err(LoginError::NotYetValid);
            }
        }
        let since = Duration::try_from_secs_f64(expiry).ok();
        since.and_then(|since| UNIX_EPOCH.checked_add(since)).ok_or(LoginError::Invalid)
    }

    /// A time in seconds since 1970.
    fn seconds(&self, claim: usize) -> Result<Option<f64>, LoginError> {
        let fault = LoginError::Jwt("one of its times (exp, nbf, iat) is not a number of seconds since 1970");
        self.get(claim).map(|time| time.as_f64().filter(|time| time.is_finite()).ok_or(fault)).transpose()
    }

    fn name(&self) -> Result<UserName, LoginError> {
        let name = self.get(NAME).ok_or(LoginError::Jwt("it has no user name; see --jwt-name-claim"))?;
        let name = name.as_str().ok_or(LoginError::Jwt("its user name is not a text; see --jwt-name-claim"))?;
        let fault = "its user name is not valid: 1 to 64 visible characters, without blanks at the ends; see \
                     --jwt-name-claim";
        UserName::new(name).map_err(|_| LoginError::Jwt(fault))
    }

    fn role(&self) -> Result<Role, LoginError> {
        let Some(role) = self.get(ROLE) else { return Ok(Role::default()) };
        let role = role.as_str().and_then(|role| role.parse().ok());
        role.ok_or(LoginError::Jwt("its role is none of member, moderator and admin; see --jwt-role-claim"))
    }

    /// An empty list is no room.
    fn rooms(&self) -> Result<Option<BTreeSet<RoomName>>, LoginError> {
        let Some(rooms) = self.get(ROOMS) else { return Ok(None) };
        let rooms = rooms.as_array().ok_or(LoginError::Jwt("its rooms are not a list; see --jwt-rooms-claim"))?;
        if rooms.len() > JWT_ROOMS_MAX {
            return Err(LoginError::Jwt("it has more than 1,000 rooms; leave the list out for all rooms"));
        }
        let room = |room: &Value| room.as_str().and_then(|room| RoomName::new(room).ok());
        let rooms: Option<_> = rooms.iter().map(room).collect();
        rooms.map(Some).ok_or(LoginError::Jwt("one of its rooms is not a valid name of a room; see --jwt-rooms-claim"))
    }

    /// An empty list is no act.
    fn acts(&self) -> Result<Acts, LoginError> {
        let Some(acts) = self.get(ACTS) else { return Ok(Acts::default()) };
        let acts = acts.as_array().ok_or(LoginError::Jwt("its acts are not a list; see --jwt-acts-claim"))?;
        let words: Option<Vec<_>> = acts.iter().map(Value::as_str).collect();
        let acts = match words {
            Some(words) if words.is_empty() => Some(Acts { read: false, post: false }),
            words => words.and_then(|words| Acts::named(words).ok()),
        };
        acts.ok_or(LoginError::Jwt("its acts are not from read and post; see --jwt-acts-claim"))
    }
}

/// The names of the claims to find.
struct Names<'a>([&'a str; COUNT]);

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = Claims;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Claims, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut values = [const { None }; COUNT];
        while let Some(name) = map.next_key::<String>()? {
            match self.0.iter().position(|known| *known == name) {
                Some(claim) if values[claim].is_some() => return Err(A::Error::custom("twice")),
                Some(claim) => values[claim] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Claims(values))
    }
}
