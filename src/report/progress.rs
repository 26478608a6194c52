//! A bar on standard error for a person who waits; nothing in a pipe.

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

/// How far a run is. Cheap to tell, but not for every packet: once per chunk.
#[derive(Debug, Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing to be seen.
    pub fn none() -> Progress {
        Progress::default()
    }

    /// A bar on standard error, if that is a terminal. Until [`Progress::expect`] only the counts are shown.
    pub fn on_terminal() -> Progress {
        let bar = ProgressBar::no_length();
        // Ten times a second is what an eye follows.
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if bar.is_hidden() {
            return Progress::none();
        }
        bar.set_style(style(COUNTS));
        bar.set_message("0");
        Progress { bar: Some(bar) }
    }

    /// So many bytes will be read in all.
    pub fn expect(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(bytes);
            bar.set_style(style(SHARE));
        }
    }

    /// So many bytes of the inputs were read, and so many frames, in all.
    pub fn reached(&self, bytes: u64, frames: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            bar.set_message(super::human::grouped(frames));
        }
    }

    /// Says something above the bar.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const COUNTS: &str = "{spinner} {bytes}  {bytes_per_sec}  {msg} frames";
const SHARE: &str = "{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {msg} frames  {eta} left";

fn style(template: &str) -> ProgressStyle {
    // The templates are ours and right; if they were not, the plain bar would do.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_right() {
        assert!([COUNTS, SHARE].iter().all(|template| ProgressStyle::with_template(template).is_ok()));
    }

    #[test]
    fn nothing_is_drawn_where_nobody_looks() {
        let progress = Progress::none();
        progress.expect(10);
        progress.reached(5, 1);
        progress.clear();
        assert!(progress.bar.is_none());
    }
}
