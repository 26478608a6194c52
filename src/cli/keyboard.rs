//! Watches the keyboard during `live`: `q` ends the run, and nothing that is typed appears in the view.
//!
//! In:  standard input, where it is the terminal of this process.
//! Out: the flag that ends the run.
//! Not: Ctrl-C. It stays a signal.

use std::io;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::poll::poll;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::termios;
use nix::sys::termios::LocalFlags;
use nix::sys::termios::SetArg;
use nix::sys::termios::Termios;
use nix::unistd::read;
use signal_hook::consts::SIGTSTP;

use super::dashboard::is_in_foreground;

/// How often the thread looks whether it should end, or the process is to be suspended.
const INTERVAL: Duration = Duration::from_millis(100);

/// The keyboard on a thread of its own. The terminal gets its mode back when it is dropped.
pub(super) struct Keyboard {
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keyboard {
    /// Watches the keyboard, if there is one; `q` sets `stop`.
    pub(super) fn watch(stop: Arc<AtomicBool>) -> anyhow::Result<Option<Keyboard>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let (is_done, is_suspended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        signal_hook::flag::register(SIGTSTP, Arc::clone(&is_suspended))
            .context("cannot watch for signals")?;
        let watched = WatchedTerminal { stop, is_done: Arc::clone(&is_done), is_suspended, mode: None };
        let thread = thread::Builder::new()
            .name("keyboard".to_owned())
            .spawn(move || watched.watch())
            .context("cannot start a thread")?;
        Ok(Some(Keyboard { is_done, thread: Some(thread) }))
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // An error is a panic of the thread, which has printed its message.
            let _ = thread.join();
        }
    }
}

struct WatchedTerminal {
    stop: Arc<AtomicBool>,
    is_done: Arc<AtomicBool>,
    /// Ctrl-Z was pressed.
    is_suspended: Arc<AtomicBool>,
    /// The mode of the terminal before this process changed it.
    mode: Option<Termios>,
}

impl WatchedTerminal {
    fn watch(mut self) {
        // Otherwise the process would be stopped when it reads in the background. With these signals blocked it gets an error.
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTTIN);
        signals.add(Signal::SIGTTOU);
        let is_safe = signals.thread_block().is_ok();
        while is_safe && !self.is_done.load(Ordering::Relaxed) {
            if self.is_suspended.swap(false, Ordering::Relaxed) {
                self.restore_mode();
                // Returns when the process continues.
                let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
            }
            if !is_in_foreground() {
                thread::sleep(INTERVAL);
                continue;
            }
            self.set_mode();
            if self.read_keys().is_err() {
                // The terminal was closed, which the view notices.
                break;
            }
        }
        self.restore_mode();
    }

    /// Keys are read one by one, and not shown. A shell sets its own mode while the process is suspended.
    fn set_mode(&mut self) {
        let is_changed = LocalFlags::ICANON | LocalFlags::ECHO;
        let Ok(mut mode) = termios::tcgetattr(io::stdin()) else { return };
        if mode.local_flags.intersects(is_changed) {
            self.mode = Some(mode.clone());
            mode.local_flags.remove(is_changed);
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &mode);
        }
    }

    fn restore_mode(&mut self) {
        if let Some(mode) = self.mode.take().filter(|_| is_in_foreground()) {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, &mode);
        }
    }

    fn read_keys(&self) -> nix::Result<()> {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let ready = match poll(&mut fds, PollTimeout::try_from(INTERVAL).unwrap_or(PollTimeout::ZERO)) {
            Ok(ready) => ready,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error),
        };
        if ready == 0 {
            return Ok(());
        }
        let mut keys = [0; 64];
        match read(&stdin, &mut keys) {
            Ok(0) => Err(nix::Error::EIO),
            Ok(len) => {
                if keys.iter().take(len).any(|key| matches!(key, b'q' | b'Q')) {
                    self.stop.store(true, Ordering::Relaxed);
                }
                Ok(())
            }
            // It went to the background meanwhile.
            Err(nix::Error::EIO) if !is_in_foreground() => Ok(()),
            Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
