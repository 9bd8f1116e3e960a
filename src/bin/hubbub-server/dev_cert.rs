//! `dev-cert`: certificates for trying TLS, from an authority of one's own.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use hubbub::arguments::OUTPUT;
use hubbub::certificates::{Authorities, Fingerprint, common_names, date};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

/// How long a certificate is valid: short enough that one that is lost does not matter for years.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long the authority is: clients remember it.
const AUTHORITY_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);

/// Clocks differ.
const EARLIER: Duration = Duration::from_secs(60 * 60);

pub const EXAMPLES: &str = "\
Examples:
  hubbub-server dev-cert                          for this machine
  hubbub-server dev-cert chat.example.org 192.0.2.7 --out /etc/hubbub
  hubbub-server dev-cert --client ann --out /etc/hubbub
                                                  for a client, from the same authority";

/// What to make certificates for, and where.
#[derive(Debug, clap::Args)]
pub struct DevCert {
    /// Host names and IP addresses of the server [default: localhost, 127.0.0.1, ::1 and this machine's name]
    #[arg(value_name = "NAME", conflicts_with = "client")]
    names: Vec<String>,
    /// Folder for the files
    ///
    /// Created if missing. An authority that is there already is used again.
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = OUTPUT)]
    out: PathBuf,
    /// Make a certificate for this user instead, for --auth mtls
    #[arg(long, value_name = "USER", help_heading = OUTPUT)]
    client: Option<String>,
    /// Replace certificates that are there already
    ///
    /// The authority stays.
    #[arg(long, help_heading = OUTPUT)]
    force: bool,
}

/// An authority, with what signs.
struct Authority {
    params: CertificateParams,
    pem: String,
    key: KeyPair,
    path: PathBuf,
}

/// Makes the certificates, and prints how to use them.
pub fn run(command: &DevCert) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(&command.out).with_context(|| failed("make", &command.out))?;
    let name = match &command.client {
        Some(user) if !is_host(user) => {
            bail!("a certificate can't be made for {user:?}: the name may have ASCII letters, digits, - and .")
        }
        Some(user) => format!("client-{user}"),
        None => "server".to_owned(),
    };
    let (certificate_file, key_file) =
        (command.out.join(format!("{name}-cert.pem")), command.out.join(format!("{name}-key.pem")));
    if let Some(there) = [&certificate_file, &key_file].into_iter().find(|file| file.exists() && !command.force) {
        bail!("{} is there already: replace it with --force, or choose another folder with --out", there.display());
    }
    let authority = Authority::open_or_make(&command.out)?;
    let (params, names) = match &command.client {
        Some(user) => (client_params(user)?, vec![user.to_string()]),
        None => server_params(&command.names)?,
    };
    let key = KeyPair::generate().context("can't make a key")?;
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    let certificate = params.signed_by(&key, &issuer).context("can't sign the certificate")?;
    write(&key_file, &key.serialize_pem(), 0o600, command.force)?;
    write(&certificate_file, &format!("{}{}", certificate.pem(), authority.pem), 0o644, command.force)?;
    println!("{} is for {}, until {}", certificate_file.display(), names.join(", "), date(SystemTime::now() + LIFE));
    let ca = authority.path.display();
    if command.client.is_some() {
        println!("\nServer:  hubbub-server --tls-cert … --tls-key … --client-ca {ca} --auth mtls");
        println!("Client:  hubbub --ca {ca} --cert {} --key {}", certificate_file.display(), key_file.display());
    } else {
        println!("\nServer:  hubbub-server --tls-cert {} --tls-key {}", certificate_file.display(), key_file.display());
        println!("Client:  hubbub --server {} --ca {ca}", names[0]);
        println!("    or:  hubbub --server {} --trust-on-first-use", names[0]);
    }
    println!("\nFingerprint of the authority (SHA-256), which clients compare:\n{}", authority.fingerprint()?);
    println!(
        "\nWhoever has {} can make certificates that these clients trust: keep it secret.",
        key_path(&command.out).display()
    );
    Ok(())
}

fn failed(act: &str, path: &Path) -> String {
    format!("can't {act} {}", path.display())
}

fn key_path(folder: &Path) -> PathBuf {
    folder.join("ca-key.pem")
}

impl Authority {
    /// The authority in a folder. It is made if there is none.
    fn open_or_make(folder: &Path) -> anyhow::Result<Self> {
        let (path, key_file) = (folder.join("ca.pem"), key_path(folder));
        match (path.exists(), key_file.exists()) {
            (true, true) => {
                let read = |path: &Path| fs::read_to_string(path).with_context(|| failed("read", path));
                let key = KeyPair::from_pem(&read(&key_file)?).with_context(|| failed("use", &key_file))?;
                let pem = read(&path)?;
                let read = Authorities::parse(pem.clone().into_bytes(), SystemTime::now());
                let read = read.with_context(|| failed("use", &path))?;
                let name = common_names(&read.certificates[0]).pop().unwrap_or_default();
                return Ok(Self { params: authority_params(&name), pem, key, path });
            }
            (false, false) => {}
            // Another authority would make all clients that trust this one fail.
            (true, false) => {
                bail!("{} has lost its key {}: choose another folder with --out", path.display(), key_file.display())
            }
            (false, true) => bail!(
                "{} has lost its certificate {}: choose another folder with --out",
                key_file.display(),
                path.display()
            ),
        }
        let key = KeyPair::generate().context("can't make a key")?;
        let params = authority_params(&format!("Hubbub authority of {}", host_name().unwrap_or_default()));
        let certificate: Certificate = params.self_signed(&key).context("can't make an authority")?;
        write(&key_file, &key.serialize_pem(), 0o600, false)?;
        write(&path, &certificate.pem(), 0o644, false)?;
        Ok(Self { pem: certificate.pem(), params, key, path })
    }

    fn fingerprint(&self) -> anyhow::Result<Fingerprint> {
        let authorities = Authorities::parse(self.pem.clone().into_bytes(), SystemTime::now())
            .with_context(|| failed("use", &self.path))?;
        Ok(Fingerprint::of(&authorities.certificates[0]))
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = lasting(CertificateParams::default(), AUTHORITY_LIFE);
    params.distinguished_name = named(name);
    // It signs no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(names: &[String]) -> anyhow::Result<(CertificateParams, Vec<String>)> {
    let names = if names.is_empty() {
        let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        names.extend(host_name().filter(|name| is_host(name) && name != "localhost"));
        names
    } else {
        names.to_vec()
    };
    if let Some(name) = names.iter().find(|name| !is_host(name)) {
        bail!("{name:?} is neither a host name nor an IP address: leave out a port, brackets and https://");
    }
    let mut params = lasting(CertificateParams::new(names.clone()).context("can't use the names")?, LIFE);
    params.distinguished_name = named(&names[0]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok((leaf(params), names))
}

/// The user's name is both the DNS name, which --client-name takes by default, and the common name.
fn client_params(user: &str) -> anyhow::Result<CertificateParams> {
    let names = vec![user.to_string()];
    let mut params = lasting(CertificateParams::new(names).context("can't use the name")?, LIFE);
    params.distinguished_name = named(user);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(leaf(params))
}

fn leaf(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn lasting(mut params: CertificateParams, life: Duration) -> CertificateParams {
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - EARLIER).into(), (now + life).into());
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// Whether it is an IP address, or a host name, perhaps with a wildcard as its first label.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let labels = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || labels.len() <= 253 && labels.split('.').all(is_label)
}

fn host_name() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: the pointer is to as many bytes as are passed, of which the last one stays zero.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let name = std::ffi::CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?.to_owned();
    (result == 0 && !name.is_empty()).then_some(name)
}

/// Writes a new file, or replaces one. Others never see a key, not even for a moment.
fn write(path: &Path, text: &str, mode: u32, replaces: bool) -> anyhow::Result<()> {
    let draft = path.with_extension(format!("pem.draft-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| if replaces { fs::rename(&draft, path) } else { fs::hard_link(&draft, path) });
    let _ = fs::remove_file(&draft);
    written.with_context(|| failed("write", path))
}
