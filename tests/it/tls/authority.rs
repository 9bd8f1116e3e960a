//! Certificates that exist for a test.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use grpcio::{Channel, ChannelBuilder, ChannelCredentialsBuilder};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::support::chatter::environment;

pub const DAY: Duration = Duration::from_secs(86_400);

/// An authority, in a folder for its files.
pub struct Authority {
    folder: tempfile::TempDir,
    key: KeyPair,
    params: CertificateParams,
    pub pem: String,
    /// Its certificate.
    pub file: PathBuf,
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let (folder, key) = (tempfile::tempdir().expect("a folder"), KeyPair::generate().expect("a key"));
        let mut params = valid(CertificateParams::default());
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let file = folder.path().join("ca.pem");
        fs::write(&file, &pem).expect("a file is written");
        Self { folder, key, params, pem, file }
    }

    /// A certificate of the test's server.
    pub fn server(&self, name: &str) -> Pair {
        self.sign(name, &["localhost", "127.0.0.1"], |_| {})
    }

    /// An expired certificate of a user.
    pub fn expired_client(&self, user: &str) -> Pair {
        self.sign(&format!("{user}-expired"), &[user], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.not_after = (SystemTime::now() - DAY / 2).into();
        })
    }

    /// A certificate of a user.
    pub fn client(&self, user: &str) -> Pair {
        self.sign(user, &[user], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A connection of its own that trusts this authority, and presents the certificate if there is one.
    pub fn connect(&self, target: &str, pair: Option<&Pair>) -> Channel {
        let mut credentials = ChannelCredentialsBuilder::new().root_cert(self.pem.clone().into());
        if let Some((certificate, key)) = pair.map(Pair::text) {
            credentials = credentials.cert(certificate.into(), key.into());
        }
        let builder = ChannelBuilder::new(environment()).use_local_subchannel_pool(true);
        builder.set_credentials(credentials.build()).connect(target)
    }

    /// A certificate for these names, valid from yesterday to tomorrow unless that is changed.
    pub fn sign(&self, file: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = valid(CertificateParams::new(names).expect("valid names"));
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let pem = params.signed_by(&key, &issuer).expect("a certificate").pem() + &self.pem;
        let place = |part: &str| self.folder.path().join(format!("{file}-{part}.pem"));
        let pair = Pair { certificate: place("cert"), key: place("key") };
        fs::write(&pair.certificate, pem).expect("a file is written");
        fs::write(&pair.key, key.serialize_pem()).expect("a file is written");
        protect(&pair.key);
        pair
    }
}

impl Pair {
    /// Puts this pair in the place of another one, one file after the other.
    pub fn replace(&self, other: &Self) {
        for (from, to) in [(&self.certificate, &other.certificate), (&self.key, &other.key)] {
            let draft = to.with_extension("draft");
            fs::copy(from, &draft).expect("a file is copied");
            fs::rename(draft, to).expect("a file is renamed");
        }
    }

    pub fn text(&self) -> (String, String) {
        let read = |path| fs::read_to_string(path).expect("a file is read");
        (read(&self.certificate), read(&self.key))
    }
}

fn protect(key: &Path) {
    fs::set_permissions(key, Permissions::from_mode(0o600)).expect("a mode is set");
}

fn valid(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = ((SystemTime::now() - DAY).into(), (SystemTime::now() + DAY).into());
    params
}
