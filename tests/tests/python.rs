//! The foreign readers can be had: everything else here rests on them.

use tests::python::{Python, run};

#[test]
fn the_environment_holds_what_its_requirements_name() {
    let python = Python::oracle().expect("an environment");
    let names = "import duckdb, moto, polars, pyarrow; print(duckdb.__version__)";
    let version = run(python.python().args(["-c", names])).expect("imports");
    assert_eq!(version.trim(), "1.5.5");
}
