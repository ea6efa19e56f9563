//! What a spool survives: every cut, every changed byte, every failing disk.

mod cuts;
mod damage;
mod faults;
mod fixture;
mod limits;
mod sim;
mod walk;
