use clap::Args;
use serde::Serialize;

use super::print;

/// How a command tells its result on standard output.
#[derive(Debug, Clone, Copy, Args)]
pub struct Telling {
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Telling {
    /// The result, in words or as JSON.
    pub fn tell(self, result: &impl Serialize, words: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.json {
            true => print(&serde_json::to_string_pretty(result)?),
            false => print(words().trim_end()),
        }
    }
}
