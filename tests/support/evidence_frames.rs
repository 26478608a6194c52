//! Reads `evidence.pcapng`, and the captures that its frames come from.

use std::path::Path;
use std::process::Command;

use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::Input;
use afs_audit::capture::InputPlan;

use super::prerequisites::not_run;

/// A frame, without its place: time, link type, length on the wire, bytes.
pub type Content = (i64, u16, u32, Vec<u8>);

/// The frames of a capture.
pub fn frames(path: &Path) -> Vec<Content> {
    let inputs = vec![Input::Path(path.to_owned())];
    let mut capture = Capture::open(InputPlan { inputs, ..InputPlan::default() }).unwrap();
    let (mut chunk, mut found) = (Chunk::default(), Vec::new());
    while capture.next(&mut chunk) {
        found.extend(
            chunk.frames().map(|frame| (frame.time.0, frame.link.0, frame.wire_len, frame.bytes.to_vec())),
        );
    }
    found
}

/// The comments of each frame, by tshark; none without tshark.
pub fn comments(path: &Path) -> Option<Vec<Vec<String>>> {
    let arguments = ["-T", "fields", "-e", "frame.comment", "-E", "aggregator=\u{1f}"];
    let Ok(output) = Command::new("tshark").arg("-n").arg("-r").arg(path).args(arguments).output() else {
        not_run("missing programs: tshark");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !errors.contains("damaged") && !errors.contains("cut short"),
        "{errors}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('\u{1f}').map(str::to_owned).collect()).collect())
}
