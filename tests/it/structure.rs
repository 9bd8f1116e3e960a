//! The source tree: the module graph has no cycles, and ARCHITECTURE.md names every module.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// A module of the library, named by its path within the crate; the library itself is the empty name.
type Module = String;

/// A module's file.
struct Source {
    path: PathBuf,
    /// Without tests and comments.
    code: String,
    /// The first sentence of its doc.
    summary: String,
    children: Vec<Module>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn join(module: &str, name: &str) -> Module {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

/// Reads the modules in the order in which their parents declare them, which is the reading order.
fn read(module: &str, path: PathBuf, order: &mut Vec<Module>, sources: &mut HashMap<Module, Source>) {
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    order.push(module.to_owned());
    let folder = if module.is_empty() { root() } else { path.with_extension("") };
    let (mut children, mut code, mut is_for_tests) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        let declared = match words[..] {
            ["mod", name] | [_, "mod", name] => Some(name),
            _ => None,
        };
        match declared {
            // A module in the same file: by convention its tests, at the end.
            Some(_) | None if is_for_tests && line.contains("mod ") && line.ends_with('{') => break,
            Some(name) if name.ends_with(';') && !is_for_tests => children.push(name.trim_end_matches(';').to_owned()),
            _ => {
                code.push_str(line);
                code.push('\n');
            }
        }
        if !line.trim().is_empty() {
            is_for_tests = line.trim() == "#[cfg(test)]";
        }
    }
    let doc: Vec<_> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let doc = doc.join(" ");
    let summary = doc.split_inclusive(". ").next().unwrap_or_default().trim().to_owned();
    let names = children.iter().map(|name| join(module, name)).collect();
    sources.insert(module.to_owned(), Source { path, code, summary, children: names });
    for name in children {
        read(&join(module, &name), folder.join(format!("{name}.rs")), order, sources);
    }
}

fn tree() -> (Vec<Module>, HashMap<Module, Source>) {
    let (mut order, mut sources) = (Vec::new(), HashMap::new());
    read("", root().join("lib.rs"), &mut order, &mut sources);
    (order, sources)
}

/// The paths in a module's code that begin with `crate`, `self` or `super`. Lists in braces are expanded.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_path = |char: char| char.is_alphanumeric() || matches!(char, '_' | ':');
    for start in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with(|char: char| is_path(char)) {
                continue;
            }
            let end = code[at..].find(|char| !is_path(char)).map_or(code.len(), |length| at + length);
            if code[end..].starts_with('{') && code[at..end].ends_with("::") {
                let length = code[end..].find('}').map_or(0, |length| length + 1);
                // Nested lists are expanded too. Only their first names matter here.
                let names = code[end + 1..end + length].split([',', '{', '}']).map(str::trim);
                found.extend(names.filter(|name| !name.is_empty()).map(|name| format!("{}{name}", &code[at..end])));
            } else {
                found.push(code[at..end].trim_end_matches(':').to_owned());
            }
        }
    }
    found
}

/// The module that a path in another module's code refers to.
fn target(from: &str, path: &str, sources: &HashMap<Module, Source>) -> Module {
    let mut parts = path.split("::").peekable();
    let mut module = match parts.next() {
        Some("super") => parent(from).to_owned(),
        Some("self") => from.to_owned(),
        _ => String::new(),
    };
    while parts.next_if_eq(&"super").is_some() {
        module = parent(&module).to_owned();
    }
    for part in parts {
        let deeper = join(&module, part);
        if !sources.contains_key(&deeper) {
            break;
        }
        module = deeper;
    }
    module
}

fn dependencies(sources: &HashMap<Module, Source>) -> BTreeMap<Module, BTreeSet<Module>> {
    let edges = sources.iter().map(|(module, source)| {
        let mut targets: BTreeSet<_> = paths(&source.code).iter().map(|path| target(module, path, sources)).collect();
        targets.remove(module);
        (module.clone(), targets)
    });
    edges.collect()
}

/// A cycle that contains the module, if there is one.
fn cycle(start: &Module, edges: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    let mut before: HashMap<&Module, &Module> = HashMap::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        for target in &edges[module] {
            if target == start {
                let mut path = vec![start.clone(), module.clone()];
                let mut at = module;
                while at != start {
                    at = before[at];
                    path.push(at.clone());
                }
                path.reverse();
                return Some(path);
            }
            if !before.contains_key(target) {
                before.insert(target, module);
                next.push(target);
            }
        }
    }
    None
}

/// The story: the storage engine depended on the rooms, which are built on it, and a room on the fan-out that announces
/// it, so that none of them could be read or tested alone.
#[test]
fn no_module_depends_on_itself() {
    let (order, sources) = tree();
    assert!(order.len() > 100, "too few modules were found: {order:?}");
    let edges = dependencies(&sources);
    let count: usize = edges.values().map(BTreeSet::len).sum();
    assert!(count > 400, "too few dependencies were found: {count}");
    let cycles: Vec<_> = order.iter().filter_map(|module| cycle(module, &edges)).collect();
    assert_eq!(cycles, Vec::<Vec<Module>>::new(), "each of these modules depends on the next");
}

/// The layers, from the bottom up. A module depends only on its own layer and lower ones.
const LAYERS: &[&[&str]] = &[
    &[
        "limits",
        "names",
        "escape",
        "address",
        "certificates",
        "descriptors",
        "memory",
        "startup",
        "supervisor",
        "sync",
        "config_text",
    ],
    &["wire", "threads", "arguments", "logging", "editing"],
    &["server::counter"],
    &["server::log", "server::network", "server::bucket", "server::fair_queue", "server::deadlines"],
    &["server::search", "server::peer", "server::refusals", "server::gauges", "server::health", "server::reload"],
    &["server::quotas", "server::auth"],
    &["server::config", "server::operator", "server::connections"],
    &["server::places", "server::preflight"],
    &["server::room"],
    &["server::append_queue", "server::reserve", "server::storing", "server::commits"],
    &["server::writer", "server::posting"],
    &["server::delivery"],
    &["server::session", "server::clients", "server::trim"],
    &["server::stream_end"],
    &["server::hub"],
    &["server::pulse", "server::adjuster"],
    &["server::calls", "server::chat_stream"],
    &["server::rpc", "server::http"],
    &["server::admin"],
    &["server::parts"],
    &["server", "client"],
    &["terminal", "tui", "repeat"],
    &["fuzz"],
];

fn layer(module: &str) -> usize {
    let is_in = |name: &str| module == name || module.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
    let layers = LAYERS.iter().enumerate().filter(|(_, names)| names.iter().any(|name| is_in(name)));
    // "server" itself is above all of its parts.
    layers.map(|(number, _)| number).min().unwrap_or_else(|| panic!("module {module} is in no layer: add it to LAYERS"))
}

#[test]
fn no_module_depends_on_a_layer_above() {
    let (_, sources) = tree();
    for (module, targets) in dependencies(&sources) {
        for target in targets.iter().filter(|_| !module.is_empty()) {
            assert!(!target.is_empty() && layer(target) <= layer(&module), "{module} must not depend on {target}");
        }
    }
}

const BEGIN: &str = "<!-- The code map. It is made of the first sentence of each module's doc. -->\n";
const END: &str = "<!-- The end of the code map. -->";

fn code_map() -> String {
    let (order, sources) = tree();
    let mut map = String::new();
    for module in order.iter().filter(|module| !module.is_empty()) {
        let source = &sources[module];
        let path = source.path.strip_prefix(root()).expect("it is in the source folder").display().to_string();
        let indent = "  ".repeat(module.matches("::").count());
        assert!(!source.summary.is_empty(), "{path} has no doc");
        assert!(source.children.iter().all(|child| sources.contains_key(child)));
        map += &format!("{indent}- [`{path}`](src/{path}): {}\n", source.summary);
    }
    map
}

/// An outdated page lists modules that no longer exist, and lacks new ones. `HUBBUB_WRITE_MAP=1` writes the map.
#[test]
fn the_architecture_page_has_the_code_map() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the map's begin is there");
    let (map, after) = rest.split_once(END).expect("the map's end is there");
    let expected = code_map();
    if std::env::var_os("HUBBUB_WRITE_MAP").is_some() {
        fs::write(&path, format!("{before}{BEGIN}\n{expected}\n{END}{after}")).expect("the page can be written");
        return;
    }
    assert_eq!(map.trim(), expected.trim(), "run this test with HUBBUB_WRITE_MAP=1 to update the page");
}

/// All files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The story: pages named files that had been moved long ago.
#[test]
fn files_that_the_docs_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz", "proto", "docs"] {
        files(&root.join(folder), &mut sources);
    }
    let mut pages: Vec<_> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|page| root.join(page)).into();
    files(&root.join("docs"), &mut pages);
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    let (mut named, mut missing) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page is text");
        // Text between single backticks.
        let quoted = text.split('`').skip(1).step_by(2);
        let names = quoted.filter(|name| name.ends_with(".rs") && !name.contains(char::is_whitespace));
        for name in names {
            named += 1;
            if !sources.iter().any(|source| source.ends_with(name)) {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(named > 100, "{named} names");
    assert_eq!(missing, Vec::<String>::new());
}
