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
