//! The house keeps its floors and fences: what may depend on what.
//!
//! Read from the Cargo.toml files, so that a dependency that should not be there
//! is noticed in the change that adds it. The tables here are the rules of the
//! README's map; an exception stands in them with its reason or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::programs::workspace;

/// Every crate of the house and its floor. An arrow points to a lower floor.
const FLOORS: &[(&str, u32)] = &[
    ("event", 0),
    ("faults", 0),
    ("sample", 0),
    ("seam", 0),
    ("spool", 0),
    ("store", 0),
    ("identity", 1),
    ("integrity", 1),
    ("ledger", 1),
    ("wire", 1),
    ("journal", 2),
    ("agent", 3),
    ("aggregator", 3),
    ("table", 3),
    ("query", 4),
    ("orgtrail", 6),
    ("sim", 6),
    ("tests", 6),
];

/// Arrows on one floor, each with its reason.
const ON_ONE_FLOOR: &[(&str, &str, &str)] = &[
    ("faults", "seam", "a faulty disk is a disk"),
    ("spool", "seam", "the disk is handed in"),
    ("spool", "faults", "its tests have a disk that fails"),
    ("store", "seam", "randomness is handed in"),
    ("sample", "event", "records are of accounts and regions"),
    ("identity", "integrity", "a certificate is named by its hash"),
    ("ledger", "integrity", "a record names the hash of the one before"),
];

/// Crates that may use nothing of the house but these.
const USES_ONLY: &[(&str, &[&str], &str)] = &[
    ("seam", &[], "it is what the world hands in"),
    ("event", &[], "it knows what an event is and nothing else"),
    ("spool", &["seam", "faults"], "it is ignorant of events"),
    ("integrity", &[], "an auditor reads it alone"),
    ("wire", &[], "it is generated from proto/"),
    (
        "agent",
        &["event", "identity", "integrity", "seam", "spool", "wire"],
        "a customer's security team audits it in an afternoon",
    ),
    (
        "tests",
        &["integrity", "sample", "seam", "store", "wire"],
        "a check that uses what it checks proves nothing (the stores race against a real server; \
         agents that lie need the words and the hashes to lie with)",
    ),
];

/// Techniques and the only crates that may use them.
const FENCES: &[(&str, &[&str])] = &[
    ("arrow", &["orgtrail", "query", "sim", "table"]),
    ("aws-config", &["store"]),
    ("aws-credential-types", &["store"]),
    ("axum", &["orgtrail"]),
    ("clap", &["agent", "orgtrail", "tests"]),
    ("datafusion", &["query"]),
    ("h2", &["tests"]),
    (
        "object_store",
        &["faults", "journal", "ledger", "orgtrail", "query", "sim", "store", "table", "tests"],
    ),
    ("parquet", &["query", "table"]),
    ("prost", &["tests", "wire"]),
    ("rcgen", &["identity", "tests"]),
    ("tonic", &["agent", "aggregator", "wire"]),
    ("tonic-prost", &["wire"]),
];

/// What orgtrail-agent must not link, by the beginning of a package's name.
const AGENT_LINKS_NO: &[&str] = &[
    "aggregator",
    "arrow",
    "aws-config",
    "aws-sdk",
    "datafusion",
    "faults",
    "journal",
    "ledger",
    "object_store",
    "orgtrail",
    "parquet",
    "query",
    "sample",
    "store",
    "table",
];

/// What the top of the tree holds beside dotfiles; `target` is Cargo's.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "crates",
    "deploy",
    "docs",
    "proto",
    "target",
    "tests",
];

/// Names that say what a module is not.
const BUCKETS: &[&str] = &["common", "helpers", "misc", "shared", "types", "util", "utils"];

struct Manifest {
    name: String,
    dependencies: BTreeSet<String>,
    for_tests: BTreeSet<String>,
}

fn manifests() -> Vec<Manifest> {
    let crates = fs::read_dir(workspace().join("crates")).expect("crates/");
    let mut folders: Vec<PathBuf> = crates.map(|entry| entry.expect("entry").path()).collect();
    folders.push(workspace().join("tests"));
    folders.sort();
    folders.iter().map(|folder| manifest(&folder.join("Cargo.toml"))).collect()
}

fn manifest(path: &Path) -> Manifest {
    let text = fs::read_to_string(path).expect("a Cargo.toml");
    let table: toml::Table = text.parse().expect("valid TOML");
    let names = |section: &str| -> BTreeSet<String> {
        let found = table.get(section).and_then(toml::Value::as_table);
        found.into_iter().flat_map(toml::Table::keys).cloned().collect()
    };
    let mut dependencies = names("dependencies");
    dependencies.extend(names("build-dependencies"));
    let package = table.get("package").and_then(|package| package.get("name"));
    Manifest {
        name: package.and_then(toml::Value::as_str).expect("a package name").to_owned(),
        dependencies,
        for_tests: names("dev-dependencies"),
    }
}

#[test]
fn every_crate_has_a_floor_and_every_floor_its_crates() {
    let found: BTreeSet<String> = manifests().into_iter().map(|one| one.name).collect();
    let known: BTreeSet<String> = FLOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, known);
}

#[test]
fn arrows_point_to_lower_floors() {
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    for manifest in manifests() {
        let from = floors[manifest.name.as_str()];
        for to in manifest.dependencies.iter().chain(&manifest.for_tests) {
            let Some(floor) = floors.get(to.as_str()) else { continue };
            let excepted = ON_ONE_FLOOR.iter().any(|(a, b, _)| *a == manifest.name && b == to);
            assert!(
                *floor < from || excepted,
                "{} (floor {from}) uses {to} (floor {floor})",
                manifest.name
            );
        }
    }
}

#[test]
fn no_exception_outlives_its_use() {
    let manifests = manifests();
    for (from, to, why) in ON_ONE_FLOOR {
        let manifest = manifests.iter().find(|one| one.name == *from).expect("a crate");
        let used = manifest.dependencies.contains(*to) || manifest.for_tests.contains(*to);
        assert!(used, "{from} uses {to} no more ({why})");
    }
}

#[test]
fn some_crates_use_little_of_the_house() {
    let house: BTreeSet<&str> = FLOORS.iter().map(|(name, _)| *name).collect();
    for manifest in manifests() {
        let rule = USES_ONLY.iter().find(|(name, ..)| *name == manifest.name);
        let Some((_, allowed, why)) = rule else { continue };
        let used = manifest.dependencies.iter().chain(&manifest.for_tests);
        for to in used.filter(|to| house.contains(to.as_str())) {
            assert!(allowed.contains(&to.as_str()), "{} uses {to}, but {why}", manifest.name);
        }
    }
}

#[test]
fn techniques_stay_within_their_fences() {
    for manifest in manifests() {
        for (technique, within) in FENCES {
            let uses = manifest.dependencies.contains(*technique)
                || manifest.for_tests.contains(*technique);
            assert!(
                !uses || within.contains(&manifest.name.as_str()),
                "{} uses {technique}, which belongs to {within:?}",
                manifest.name
            );
        }
    }
}

/// Cargo's own resolution: everything that ends up in the agent's program.
#[test]
fn the_agent_links_no_columns_no_store_and_no_journal() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace())
        .args(["tree", "--package", "agent", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--offline", "--locked"])
        .output()
        .expect("cargo tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("text");
    let linked: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in &linked {
        let kept_out = AGENT_LINKS_NO.iter().any(|no| name.starts_with(no));
        assert!(!kept_out, "orgtrail-agent links {name}");
    }
    assert!(linked.contains("spool"), "the tree has {} packages", linked.len());
}

#[test]
fn the_top_of_the_tree_holds_nothing_else() {
    for entry in fs::read_dir(workspace()).expect("the top of the tree") {
        let name = entry.expect("entry").file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || TOP_LEVEL.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn every_file_says_what_it_is_for_and_no_module_is_a_bucket() {
    let mut open = vec![workspace().join("crates"), workspace().join("tests")];
    let mut files = 0;
    while let Some(path) = open.pop() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!BUCKETS.contains(&stem.as_str()), "{}", path.display());
        if path.is_dir() {
            let inside = fs::read_dir(&path).expect("a folder");
            open.extend(inside.map(|entry| entry.expect("entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            // Tests in a file of their own are described by what they test.
            let is_tests = stem == "tests";
            assert!(is_tests || text.starts_with("//!"), "{} has no header", path.display());
            files += 1;
        }
    }
    assert!(files > 50, "{files} files");
}
