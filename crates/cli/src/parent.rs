//! Ends this process with the one that started it.

use std::io::Read;

/// With `HTL_EXIT_WITH_PARENT` set, ends this process as soon as its standard input closes: a killed `xtask` leaves no
/// training behind that would write into the folders of the next.
pub fn exit_with_parent() {
    if std::env::var_os("HTL_EXIT_WITH_PARENT").is_none() {
        return;
    }
    let watch = || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        std::process::exit(130);
    };
    if let Err(error) = std::thread::Builder::new().spawn(watch) {
        tracing::warn!("cannot start a thread ({error}): this goes on when the program that called it ends");
    }
}
