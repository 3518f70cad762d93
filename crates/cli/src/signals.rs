//! Signals that ask a command to end: noticed between two steps of its work, not in the middle of one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Raises the flag on SIGINT (Ctrl-C), SIGTERM (what Slurm and the shell's `kill` send) and SIGUSR1 (what Slurm is told to
/// send before a time limit). A second one ends the process at once.
///
/// # Errors
/// The system's, if a handler cannot be installed.
#[cfg(unix)]
pub fn raise_on_signals(flag: &Arc<AtomicBool>) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        // Handlers run in order: the first does nothing until the second has raised the flag.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// Elsewhere signals end the process at once, and nothing that was finished is lost.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn raise_on_signals(_flag: &Arc<AtomicBool>) -> io::Result<()> {
    Ok(())
}

/// Says what is left when SIGINT or SIGTERM ends a command that has nothing to save, and lets it end.
///
/// # Errors
/// The system's, if a handler cannot be installed.
#[cfg(unix)]
pub fn tell_on_signals() -> io::Result<()> {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::low_level::{emulate_default_handler, pipe};

    for (signal, name) in [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")] {
        let (mut told, teller) = UnixStream::pair()?;
        pipe::register(signal, teller)?;
        std::thread::spawn(move || {
            if told.read_exact(&mut [0]).is_ok() {
                eprintln!(
                    "ended by {name}: files that were written are whole, nothing else is kept; the same command begins anew"
                );
                // It ends the process; whoever waits for it sees the signal.
                let _ = emulate_default_handler(signal);
            }
        });
    }
    Ok(())
}

/// Elsewhere signals end the process at once.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn tell_on_signals() -> io::Result<()> {
    Ok(())
}
