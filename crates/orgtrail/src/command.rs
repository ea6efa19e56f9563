//! The commands, one file each.

mod ca;
