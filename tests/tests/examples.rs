//! The examples that people copy do start.

use std::path::Path;
use std::process::Command;

use tests::programs::{orgtrail, orgtrail_agent, workspace};
use tests::python::run;

fn example(name: &str) -> std::path::PathBuf {
    workspace().join("deploy").join("examples").join(name)
}

fn check(mut command: Command, config: &Path) {
    run(command.arg("--config").arg(config).arg("--check")).expect("the example is accepted");
}

#[test]
fn the_servers_example_is_accepted() {
    let mut command = Command::new(orgtrail().expect("orgtrail"));
    command.arg("serve");
    check(command, &example("orgtrail.toml"));
}

#[test]
fn the_agents_example_is_accepted() {
    let mut command = Command::new(orgtrail_agent().expect("orgtrail-agent"));
    command.arg("run");
    check(command, &example("agent.toml"));
}
