//! Turns `/proto` into Rust, with no `protoc` on the machine.

use std::error::Error;
use std::path::Path;

/// The protocol, as a path below [`PROTO_DIR`].
const DELIVERY: &str = "orgtrail/delivery/v1/delivery.proto";
const PROTO_DIR: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", Path::new(PROTO_DIR).join(DELIVERY).display());
    let files = protox::compile([DELIVERY], [PROTO_DIR])?;
    // Frames are shared with the buffer that they were received into, not copied.
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
