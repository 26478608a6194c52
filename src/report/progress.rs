//! A progress bar on standard error, if that is a terminal.

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

/// The progress of a run. Updated once per chunk of frames, not per packet.
#[derive(Debug, Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// No bar.
    pub fn none() -> Progress {
        Progress::default()
    }

    /// A bar on standard error, if that is a terminal. It shows only counters until [`Progress::expect`] sets the total.
    pub fn on_terminal() -> Progress {
        let bar = ProgressBar::no_length();
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        if bar.is_hidden() {
            return Progress::none();
        }
        bar.set_style(style(COUNTERS));
        bar.set_message("0");
        Progress { bar: Some(bar) }
    }

    /// Sets the number of bytes that will be read.
    pub fn expect(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(bytes);
            bar.set_style(style(BAR));
        }
    }

    /// Sets the bytes and frames read so far.
    pub fn reached(&self, bytes: u64, frames: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            bar.set_message(super::human::grouped(frames));
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const COUNTERS: &str = "{spinner} {bytes}  {bytes_per_sec}  {msg} frames";
const BAR: &str = "{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {msg} frames  {eta} left";

fn style(template: &str) -> ProgressStyle {
    // The test below checks the templates. If one were wrong, the default bar would be shown.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        assert!([COUNTERS, BAR].iter().all(|template| ProgressStyle::with_template(template).is_ok()));
    }

    #[test]
    fn no_bar_without_a_terminal() {
        let progress = Progress::none();
        progress.expect(10);
        progress.reached(5, 1);
        progress.clear();
        assert!(progress.bar.is_none());
    }
}
