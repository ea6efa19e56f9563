//! What a local store promises.
