//! Numbers, sizes and durations as people read them.

use crate::base::FrameRef;
use crate::base::Time;
pub(crate) use crate::base::counted as count;
pub(crate) use crate::base::grouped;

/// `frames 124, 125, 126`: the first three of a list that are in the file of the first one.
pub(crate) fn first_frames(frames: &[FrameRef]) -> Option<String> {
    let file = frames.first()?.file;
    let in_file = frames.iter().filter(|frame| frame.file == file).take(3);
    let numbers: Vec<String> = in_file.map(|frame| frame.number.to_string()).collect();
    let noun = if numbers.len() == 1 { "frame" } else { "frames" };
    Some(format!("{noun} {}", numbers.join(", ")))
}

/// The verb that agrees with a number: `1 flow looks`, `2 flows look`.
pub(crate) const fn verb(number: u64, one: &'static str, many: &'static str) -> &'static str {
    if number == 1 { one } else { many }
}

/// `812 MB`, in powers of ten.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut value = bytes as f64;
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" || value >= 9.95 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// `47 min 28 s`.
pub(crate) fn duration(nanos: u64) -> String {
    let secs = nanos / 1_000_000_000;
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if secs < 10 => format!("{:.3} s", nanos as f64 / 1e9),
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min {} s", secs % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `2026-07-20 10:11:12`.
pub(crate) fn date_and_time(time: Time) -> String {
    time.date_and_time()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FileId;

    #[test]
    fn numbers_for_people() {
        let check = |printed: String, expected: &str| assert_eq!(printed, expected);
        check(grouped(1_204_331), "1,204,331");
        check(grouped(999), "999");
        check(count(1, "frame"), "1 frame");
        check(count(0, "frame"), "0 frames");
        check(count(1_200, "query"), "1,200 queries");
        check(count(2, "delay"), "2 delays");
        check(size(0), "0 B");
        check(size(1_500), "1.5 kB");
        check(size(999_600), "1.0 MB");
        check(size(u64::MAX), "18447 PB");
        check(duration(1_500_000_000), "1.500 s");
        check(duration(90_000_000_000_000), "1 d 1 h");
    }

    #[test]
    fn the_first_frames_of_a_finding_are_of_one_file() {
        let check = |frames: &[(u32, u64)], expected: Option<&str>| {
            let frame = |(file, number): &(u32, u64)| FrameRef { file: FileId(*file), number: *number };
            let frames: Vec<FrameRef> = frames.iter().map(frame).collect();
            assert_eq!(first_frames(&frames).as_deref(), expected);
        };
        check(&[], None);
        check(&[(0, 7)], Some("frame 7"));
        check(&[(0, 7), (1, 3), (0, 9)], Some("frames 7, 9"));
        check(&[(0, 7), (0, 8), (0, 9), (0, 12)], Some("frames 7, 8, 9"));
    }
}
