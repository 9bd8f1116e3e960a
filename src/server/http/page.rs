//! The page: the files of `web/`, which the program contains.

use std::io::Write as _;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::answer::Answer;
use super::head::{Head, HeadFault};

/// A file of the page.
pub struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Identifies its content.
    tag: String,
    /// Its content, compressed when a browser first asks for it.
    gzip: OnceLock<Vec<u8>>,
}

/// All files of the page.
pub struct Page(Vec<File>);

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What the page may do: load what this server has, and nothing else. No text can become a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

impl Page {
    pub fn new() -> Self {
        let file = |&(name, bytes): &(&'static str, &'static [u8])| {
            let (content_type, tag) = (content_type(name), tag(bytes));
            File { name, content_type, bytes, tag, gzip: OnceLock::new() }
        };
        Self(FILES.iter().map(file).collect())
    }

    /// The file at a path.
    pub fn find(&self, path: &str) -> Option<&File> {
        let name = path.strip_prefix('/')?;
        let name = if name.is_empty() { "index.html" } else { name };
        self.0.iter().find(|file| file.name == name)
    }
}

impl File {
    /// The answer to a GET. A browser asks each time whether it has changed.
    pub fn get(&self, head: &Head) -> Result<Answer, HeadFault> {
        let known = head.one("if-none-match")?.unwrap_or_default();
        let is_known = known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag);
        let answer = match (is_known, head.has_word("accept-encoding", "gzip")) {
            (true, _) => Answer::new(304, self.content_type, ""),
            (false, true) => Answer::new(200, self.content_type, self.gzip()).with("content-encoding", "gzip"),
            (false, false) => Answer::new(200, self.content_type, self.bytes),
        };
        let answer = answer.cached("no-cache").with("etag", &self.tag).with("vary", "accept-encoding");
        Ok(answer.with("content-security-policy", POLICY).with("cross-origin-opener-policy", "same-origin"))
    }

    fn gzip(&self) -> &[u8] {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            // Writing into a vector can't fail.
            let _ = encoder.write_all(self.bytes);
            encoder.finish().unwrap_or_default()
        })
    }
}

fn tag(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("\"{}\"", hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(page: &Page, path: &str, fields: &str) -> Option<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        page.find(path).map(|file| file.get(&Head::parse(head.as_bytes()).unwrap()).unwrap())
    }

    #[test]
    fn a_browser_gets_a_file_once() {
        let page = Page::new();
        let index = get(&page, "/", "").unwrap();
        assert_eq!((index.status, index.content_type), (200, "text/html; charset=utf-8"));
        assert!(index.body.starts_with(b"<!doctype html>"));
        let (_, tag) = index.fields.iter().find(|(name, _)| *name == "etag").unwrap();
        for known in [tag.clone(), format!("\"x\", W/{tag}")] {
            let again = get(&page, "/index.html", &format!("If-None-Match: {known}\r\n")).unwrap();
            assert_eq!((again.status, again.body.len()), (304, 0));
        }
        assert_eq!(get(&page, "/", "If-None-Match: \"x\"\r\n").unwrap().status, 200);
        let small = get(&page, "/", "Accept-Encoding: br, gzip;q=1.0\r\n").unwrap();
        assert!(small.fields.contains(&("content-encoding", "gzip".to_owned())) && small.body.len() < index.body.len());
        for path in ["/nothing", "//", "/../Cargo.toml", "/index.html/", "/%69ndex.html", "*"] {
            assert!(page.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_page_is_small_and_all_its_files_have_a_type() {
        let page = Page::new();
        assert!(page.0.iter().all(|file| file.content_type != "application/octet-stream"));
        let sent: usize = page.0.iter().map(|file| file.gzip().len()).sum();
        assert!(sent < 60_000, "{sent} bytes are sent for the page");
    }
}
