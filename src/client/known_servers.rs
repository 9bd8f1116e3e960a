//! The servers whose certificate authority the user has accepted, a file for each in the user's config folder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use super::connect_error::ConnectError;
use super::login::config_folder;
use super::shown::{chain, pem};
use super::tls::{ClientTls, Origin};
use super::tls_fault::TlsFault;
use crate::address::Address;
use crate::certificates::{Authorities, Facts, FileFault, Fingerprint, date};
use crate::escape::escape;

/// The known servers of a user.
pub struct KnownServers {
    folder: PathBuf,
}

impl KnownServers {
    /// Those in the user's config folder.
    pub fn of_user() -> Result<Self, TlsFault> {
        let folder = config_folder().map_err(|_| TlsFault::NoHome)?;
        Ok(Self { folder: folder.join("known-servers") })
    }

    /// The file of a server. Its name has only characters that a host and a port have.
    pub fn file(&self, address: &Address) -> PathBuf {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_' | ':' | '[' | ']');
        let name = address.to_string().to_ascii_lowercase();
        self.folder.join(format!("{}.pem", name.replace(|char: char| !is_plain(char), "_")))
    }

    /// How to connect to a server, if it is known.
    pub fn find(&self, address: &Address) -> Result<Option<ClientTls>, TlsFault> {
        let file = self.file(address);
        if !matches!(address, Address::Tcp { .. }) || !file.is_file() {
            return Ok(None);
        }
        let authorities = Authorities::read(&file, SystemTime::now())?;
        Ok(Some(ClientTls::new(authorities, Origin::Remembered(file))))
    }

    /// Remembers the authority of a server, in PEM, instead of one that was remembered before.
    pub fn remember(&self, address: &Address, authority: &str) -> Result<ClientTls, TlsFault> {
        let file = self.file(address);
        let unusable = |fault| TlsFault::from(FileFault { path: file.clone(), fault });
        Authorities::parse(authority.as_bytes().to_vec(), SystemTime::now()).map_err(unusable)?;
        let fault = |error: io::Error| TlsFault::Remember { path: file.clone(), reason: error.to_string() };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(fault)?;
        // A file that is there half would be one that can't be used.
        let draft = file.with_extension(format!("draft-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&draft).and_then(|mut draft| draft.write_all(authority.as_bytes())).map_err(fault)?;
        fs::rename(&draft, &file).map_err(fault)?;
        self.find(address)?.ok_or(TlsFault::NotTrusted)
    }

    /// Shows the authority of a server to the user, and remembers it if the user accepts it.
    pub fn ask(&self, address: &Address) -> Result<ClientTls, ConnectError> {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(TlsFault::NoTerminal.into());
        }
        let chain = chain(address)?;
        // Invariant: a chain has a certificate.
        let top = chain.last().ok_or(TlsFault::NotTrusted)?;
        if !accepts(address, top) {
            return Err(TlsFault::NotTrusted.into());
        }
        Ok(self.remember(address, &pem(top))?)
    }
}

/// Asks the user.
fn accepts(address: &Address, top: &CertificateDer<'_>) -> bool {
    let mut said = format!("The certificate of {address} is from an authority that is not known here yet.\n");
    if let Ok(facts) = Facts::of(top) {
        said += &format!("  authority    {}\n  valid until  {}\n", escape(&facts.subject), date(facts.not_after));
    }
    said += &format!(
        "  SHA-256      {}\nIs that what the server's operator has told you? To trust it from now on, type yes: ",
        Fingerprint::of(top)
    );
    let _ = write!(io::stderr(), "{said}");
    let mut answer = String::new();
    let _ = io::stdin().lock().read_line(&mut answer);
    answer.trim().eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_known_server_is_found_again_and_its_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownServers { folder: folder.path().join("a/known-servers") };
        let address: Address = "Chat.example.org:5000".parse().unwrap();
        assert!(known.find(&address).unwrap().is_none());
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
        assert_eq!(known.remember(&address, &authority.pem()).ok().unwrap().authorities().len(), 1);
        assert!(known.find(&"chat.example.org:5000".parse().unwrap()).unwrap().is_some());
        assert!(known.find(&"chat.example.org:5001".parse().unwrap()).unwrap().is_none());
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(known.file(&address)), mode(known.folder.clone())), (0o600, 0o700));
        assert!(known.remember(&address, "no certificate").is_err());
        assert!(known.find(&address).unwrap().is_some(), "what was remembered stays");
    }

    #[test]
    fn names_of_files_stay_in_their_folder() {
        let known = KnownServers { folder: PathBuf::from("/known") };
        let address = Address::Tcp { host: "fe80::1%../../x".to_owned(), port: 1 };
        assert_eq!(known.file(&address), PathBuf::from("/known/[fe80::1_.._.._x]:1.pem"));
    }
}
