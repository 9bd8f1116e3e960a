//! The links of the pages lead to files that exist, and to headings in them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::support::foreign::project;

/// The pages of the repository, without those of other packages.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_foreign = ["target", "node_modules"].contains(&name.as_str()) || name.starts_with('.');
        if path.is_dir() && !path.is_symlink() && !is_foreign {
            pages(&path, found);
        } else if name.ends_with(".md") && path.is_file() {
            found.push(path);
        }
    }
}

/// The lines of a page that are not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The name of a heading in links.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    // A link in a heading counts with its text only.
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, (label, after))) = rest.split_once('[').and_then(|(before, rest)| {
        let (label, after) = rest.split_once("](")?;
        Some((before, (label, after.split_once(')')?.1)))
    }) {
        plain.push_str(before);
        plain.push_str(label);
        rest = after;
    }
    plain.push_str(rest);
    let kept = plain.chars().filter(|char| char.is_alphanumeric() || ['-', '_', ' '].contains(char));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

/// The targets of the links in a line, except those in code.
fn links(line: &str) -> Vec<&str> {
    let is_code = |at: usize| line[..at].matches('`').count() % 2 == 1;
    let starts = line.match_indices("](").map(|(at, _)| at).filter(|at| !is_code(*at));
    starts.filter_map(|at| line[at + 2..].split(')').next()).map(|target| target.trim()).collect()
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let mut files = Vec::new();
    pages(&project(""), &mut files);
    let texts: HashMap<_, _> =
        files.into_iter().map(|path| (plain(&path), fs::read_to_string(&path).expect("a page is text"))).collect();
    assert!(texts.len() > 15, "{:?}", texts.keys());
    let anchors = |path: &Path| -> BTreeSet<String> {
        prose(&texts[path]).filter(|line| line.starts_with('#')).map(anchor).collect()
    };
    let (mut count, mut faults) = (0, Vec::new());
    for (path, text) in &texts {
        for target in prose(text).flat_map(links).filter(|target| !target.contains(':')) {
            count += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = path.parent().expect("a page is in a folder");
            let file = if file.is_empty() { path.clone() } else { plain(&folder.join(file)) };
            let is_page = texts.contains_key(&file);
            if !file.exists() || (is_page && !heading.is_empty() && !anchors(&file).contains(heading)) {
                faults.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(count > 50 && faults.is_empty(), "{count} links, of which these lead nowhere: {faults:#?}");
}

#[test]
fn headings_have_the_anchors_that_hosts_give_them() {
    for (heading, expected) in [
        ("## The disk can't be read", "the-disk-cant-be-read"),
        ("### `accounts.db`", "accountsdb"),
        ("## HTTP: JSON and Server-Sent Events", "http-json-and-server-sent-events"),
        ("# A [link](x.md) here", "a-link-here"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
    assert_eq!(links("[a](b.md), `[c](d)` and [e](f.md#g)"), ["b.md", "f.md#g"]);
}
