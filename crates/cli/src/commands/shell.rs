//! What a shell and a reader of manuals want to know of the command itself.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use htl_vocabulary::write_whole;

use super::print;

/// `htl completions`.
#[derive(Args)]
#[command(after_help = "For bash: htl completions bash > ~/.local/share/bash-completion/completions/htl")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self, mut command: Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "htl", &mut script);
        match std::io::stdout().write_all(&script) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// `htl man`.
#[derive(Args)]
#[command(after_help = "To read one: man DIR/htl-train.1")]
pub struct Man {
    /// The folder for htl.1, htl-train.1 and the others
    #[arg(long)]
    out: PathBuf,
}

impl Man {
    pub fn run(self, mut command: Command) -> anyhow::Result<()> {
        command.build();
        let pages = pages(&command, "htl", &self.out)?;
        print(&format!("{pages} pages in {}", self.out.display()))
    }
}

/// Writes the page of a command and those of its own commands; says how many.
fn pages(command: &Command, name: &str, out: &Path) -> anyhow::Result<usize> {
    let mut page = Vec::new();
    let named = command.clone().name(name.to_owned());
    clap_mangen::Man::new(named).render(&mut page)?;
    write_whole(&out.join(format!("{name}.1")), page)?;
    let mut count = 1;
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        count += pages(inner, &format!("{name}-{}", inner.get_name()), out)?;
    }
    Ok(count)
}
