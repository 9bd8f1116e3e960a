//! What a call presents to show who its client is.

use grpcio::{AuthContext, RpcContext};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificates::common_names;
use crate::server::auth::credentials::{Certificate, Credentials, Presented};

/// What a call presents.
pub fn of(context: &RpcContext<'_>) -> Credentials {
    let headers = context.request_headers().iter().filter(|(key, _)| *key == "authorization");
    let bearer = Presented::of_headers(headers.map(|(_, value)| value));
    let certificate = context.auth_context().as_ref().and_then(certificate);
    Credentials { bearer, certificate }
}

/// The names in the certificate of a connection: `None` if its client has shown none, or the connection has no TLS. The
/// C core has verified that an authority of ours has signed it, and that the client has its key.
fn certificate(context: &AuthContext) -> Option<Certificate> {
    let mut names = Certificate::default();
    let mut is_shown = false;
    for property in context {
        let list = match property.name() {
            "x509_pem_cert" => {
                is_shown = true;
                // The C core shows only one common name.
                let certificate = CertificateDer::from_pem_slice(property.value());
                names.common_names = certificate.map(|certificate| common_names(&certificate)).unwrap_or_default();
                continue;
            }
            "peer_dns" => &mut names.dns,
            "peer_uri" => &mut names.uris,
            "peer_email" => &mut names.emails,
            _ => continue,
        };
        // What is not UTF-8 becomes a name that no user can have, and is not overlooked.
        list.push(String::from_utf8_lossy(property.value()).into_owned());
    }
    is_shown.then_some(names)
}
