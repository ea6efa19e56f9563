//! Golden files: what the command line prints, kept word for word.

use std::path::Path;

/// Compares a text with a file of `golden/`; with `UPDATE_GOLDEN` set, writes it.
pub(crate) fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, text).expect("written");
    }
    let golden = std::fs::read_to_string(&path).expect("a golden file");
    assert!(golden == text, "{name} differs:\n{text}");
}
