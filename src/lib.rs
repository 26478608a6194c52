//! `afs-audit` reads packets and writes rows of evidence.
//!
//! ```text
//! capture → decode → flow → read → judge → report → evidence        rules → judge
//! ```

pub mod base;
pub mod capture;
pub mod cli;
pub mod decode;
pub mod evidence;
pub mod facts;
pub mod flow;
pub mod judge;
pub mod pipeline;
pub mod read;
pub mod report;
pub mod rules;
