//! Shared parts of the integration tests.
//!
//! `prerequisites` records tests that cannot run here, `audit` runs the pipeline in memory, `browser` opens pages, `names` compares
//! host names with those of tshark, `evidence_frames` reads `evidence.pcapng`, `files` reads files and folders, `golden` reads the
//! expected rows of the cases, `printed` reads documents, `observe` keeps what the stages before judging saw.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(unreachable_pub, reason = "a module of several tests")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic shows where a test failed")]

pub mod audit;
pub mod browser;
pub mod capture_writer;
pub mod evidence_frames;
pub mod files;
pub mod golden;
pub mod names;
pub mod observe;
pub mod prerequisites;
pub mod printed;
