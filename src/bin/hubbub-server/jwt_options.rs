//! The options for logins with JSON web tokens.

use std::path::PathBuf;

use hubbub::arguments::{Given, LOGIN};
use hubbub::server::auth::jwt::{self, JwtSettings};

/// Whose JSON web tokens are accepted. Used with `--auth jwt`.
#[derive(Debug, clap::Args)]
pub struct JwtOptions {
    /// A key that verifies JSON web tokens; repeatable
    ///
    /// A public key or a certificate in PEM, a JWK, a JWKS, or a shared secret of at least 32 bytes in a file that only
    /// the server's user can read. The file is read again when it changes, so that keys can rotate: write a new file,
    /// and rename it.
    #[arg(
        long, value_name = "FILE", env = "HUBBUB_JWT_KEY", value_delimiter = ',', hide_short_help = true,
        help_heading = LOGIN, display_order = 70
    )]
    jwt_key: Vec<PathBuf>,

    /// A set of keys (JWKS) that verifies JSON web tokens
    ///
    /// The file is read again when it changes. The server fetches no address: let a timer do so, with curl.
    #[arg(
        long, value_name = "FILE", env = "HUBBUB_JWT_JWKS", hide_short_help = true, help_heading = LOGIN,
        display_order = 71
    )]
    jwt_jwks: Option<PathBuf>,

    /// The issuer of the tokens that are accepted, their claim iss
    #[arg(
        long, value_name = "TEXT", env = "HUBBUB_JWT_ISSUER", value_parser = text, hide_short_help = true,
        help_heading = LOGIN, display_order = 72
    )]
    jwt_issuer: Option<String>,

    /// The audience of the tokens that are accepted, in their claim aud
    ///
    /// A name for this server that the issuer gives to no other.
    #[arg(
        long, value_name = "TEXT", env = "HUBBUB_JWT_AUDIENCE", value_parser = text, hide_short_help = true,
        help_heading = LOGIN, display_order = 73
    )]
    jwt_audience: Option<String>,

    /// The claim with the user's name
    ///
    /// The issuer must give a name to one user only. A claim that users can edit, such as a display name, would let one
    /// take the name of another.
    #[arg(
        long, value_name = "CLAIM", env = "HUBBUB_JWT_NAME_CLAIM", default_value = jwt::NAME_CLAIM, value_parser = text,
        hide_short_help = true, help_heading = LOGIN, display_order = 74
    )]
    jwt_name_claim: String,

    /// The claim with the user's role: member, moderator or admin
    ///
    /// Without it, a user is a member.
    #[arg(
        long, value_name = "CLAIM", env = "HUBBUB_JWT_ROLE_CLAIM", default_value = jwt::ROLE_CLAIM, value_parser = text,
        hide_short_help = true, help_heading = LOGIN, display_order = 75
    )]
    jwt_role_claim: String,

    /// The claim with the list of rooms that the token is for
    ///
    /// Without it, the token is for all rooms.
    #[arg(
        long, value_name = "CLAIM", env = "HUBBUB_JWT_ROOMS_CLAIM", default_value = jwt::ROOMS_CLAIM,
        value_parser = text, hide_short_help = true, help_heading = LOGIN, display_order = 76
    )]
    jwt_rooms_claim: String,

    /// The claim with the list of acts that the token is for: read, post
    ///
    /// Without it, the token is for both.
    #[arg(
        long, value_name = "CLAIM", env = "HUBBUB_JWT_ACTS_CLAIM", default_value = jwt::ACTS_CLAIM, value_parser = text,
        hide_short_help = true, help_heading = LOGIN, display_order = 77
    )]
    jwt_acts_claim: String,
}

impl JwtOptions {
    /// The options' ids, for [`Given`].
    pub const IDS: [&str; 8] = [
        "jwt_key",
        "jwt_jwks",
        "jwt_issuer",
        "jwt_audience",
        "jwt_name_claim",
        "jwt_role_claim",
        "jwt_rooms_claim",
        "jwt_acts_claim",
    ];

    /// The mistakes. `is_on` tells whether the server accepts JSON web tokens.
    pub fn check(&self, is_on: bool, given: &Given<'_>) -> Vec<String> {
        if !is_on {
            let useless = Self::IDS.into_iter().filter(|id| given.is_meant(id, "auth"));
            return useless
                .map(|id| format!("{} needs --auth jwt: add that, or leave it out", given.name(id)))
                .collect();
        }
        let mut faults = Vec::new();
        if self.jwt_key.is_empty() && self.jwt_jwks.is_none() {
            faults
                .push("--auth jwt needs a key that verifies tokens: give one with --jwt-key or --jwt-jwks".to_owned());
        }
        if self.jwt_issuer.is_none() {
            faults.push("--auth jwt needs --jwt-issuer: the claim iss of the tokens that are accepted".to_owned());
        }
        if self.jwt_audience.is_none() {
            faults.push("--auth jwt needs --jwt-audience: the claim aud of the tokens that are accepted".to_owned());
        }
        faults.extend(self.settings().and_then(|settings| settings.check().err()).map(|error| error.to_string()));
        faults
    }

    /// The settings; `None` if the issuer, the audience or all keys are missing.
    pub fn settings(&self) -> Option<JwtSettings> {
        let settings = JwtSettings {
            keys: self.jwt_key.clone(),
            jwks: self.jwt_jwks.clone(),
            issuer: self.jwt_issuer.clone()?,
            audience: self.jwt_audience.clone()?,
            name_claim: self.jwt_name_claim.clone(),
            role_claim: self.jwt_role_claim.clone(),
            rooms_claim: self.jwt_rooms_claim.clone(),
            acts_claim: self.jwt_acts_claim.clone(),
        };
        let has_keys = !settings.keys.is_empty() || settings.jwks.is_some();
        has_keys.then_some(settings)
    }
}

fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("expected a text that is not empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser;
    use hubbub::arguments::{ProgramOptions, Stop, read};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "test", version)]
    struct Args {
        #[arg(long)]
        on: bool,
        #[command(flatten)]
        jwt: JwtOptions,
    }

    impl ProgramOptions for Args {
        const PROGRAM: &'static str = "test";

        fn check(&mut self, given: &Given<'_>) -> Vec<String> {
            self.jwt.check(self.on, given)
        }
    }

    fn parse(line: &str) -> Result<Option<JwtSettings>, Vec<String>> {
        let words = ["test"].into_iter().chain(line.split_whitespace());
        match read::<Args>(words.map(OsString::from).collect()) {
            Ok(args) => Ok(args.jwt.settings()),
            Err(Stop::Faults(faults)) => Err(faults),
            Err(Stop::Help(help)) => panic!("{help}"),
        }
    }

    #[test]
    fn the_options_are_the_settings() {
        assert_eq!(parse(""), Ok(None));
        let line = "--on --jwt-key a.pem --jwt-key b.pem --jwt-jwks c.json --jwt-issuer shop --jwt-audience hubbub \
                    --jwt-name-claim nick";
        let expected = JwtSettings {
            keys: vec!["a.pem".into(), "b.pem".into()],
            jwks: Some("c.json".into()),
            issuer: "shop".to_owned(),
            audience: "hubbub".to_owned(),
            name_claim: "nick".to_owned(),
            role_claim: "hubbub_role".to_owned(),
            rooms_claim: "hubbub_rooms".to_owned(),
            acts_claim: "hubbub_acts".to_owned(),
        };
        assert_eq!(parse(line), Ok(Some(expected)));
    }

    #[test]
    fn every_mistake_is_reported() {
        let faults = parse("--on").unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        for option in ["--jwt-key", "--jwt-issuer", "--jwt-audience"] {
            assert!(faults.iter().any(|fault| fault.contains(option)), "{faults:?}");
        }
        let off = parse("--jwt-key a.pem --jwt-issuer shop").unwrap_err();
        assert_eq!(off.len(), 2, "{off:?}");
        assert!(off.iter().all(|fault| fault.contains("--auth jwt")), "{off:?}");
        let twice = parse("--on --jwt-key a --jwt-issuer b --jwt-audience c --jwt-role-claim sub").unwrap_err();
        assert!(twice.len() == 1 && twice[0].contains("\"sub\""), "{twice:?}");
        assert_eq!(parse("--on --jwt-key a --jwt-audience c --jwt-issuer=").unwrap_err().len(), 1);
    }
}
