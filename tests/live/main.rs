//! Live capture: the real program between two network namespaces.
//!
//! Needs root and the programs of [`testbed`]; where they are missing, each test is recorded as not run.

#![cfg_attr(
    all(feature = "live", target_os = "linux"),
    expect(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a panic shows where a test failed"
    )
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(all(feature = "live", target_os = "linux"))]
mod devices;
#[cfg(all(feature = "live", target_os = "linux"))]
mod evidence_frames;
#[cfg(all(feature = "live", target_os = "linux"))]
mod lifecycle;
#[cfg(all(feature = "live", target_os = "linux"))]
mod planted;
#[cfg(all(feature = "live", target_os = "linux"))]
mod privileges;
#[cfg(all(feature = "live", target_os = "linux"))]
mod promptness;
#[cfg(all(feature = "live", target_os = "linux"))]
mod terminal;
#[cfg(all(feature = "live", target_os = "linux"))]
mod testbed;

#[cfg(not(all(feature = "live", target_os = "linux")))]
#[test]
fn live_capture() {
    support::prerequisites::not_run("built without live capture, or not on Linux");
}
