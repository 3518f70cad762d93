//! Makes the data of this repository from collected copies of ISIC images and tables: the embedded set, the development
//! split, and data folders.
//!
//! ```sh
//! cargo run --release -p htl-isic-data -- make-data-folder --isic DIR --source isic2018 --out development
//! ```

mod fresh;
mod make_data_folder;
mod make_dev_split;
mod make_embedded;
mod make_old_masks;
mod shrink;
mod tables;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "htl-isic-data",
    about = "Makes the embedded data set, the development split and data folders from collected ISIC copies"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the embedded data set again
    #[command(name = "make-embedded")]
    Embedded(make_embedded::MakeEmbedded),
    /// Makes the committed development split again, from the tables alone
    #[command(name = "make-dev-split")]
    DevSplit(make_dev_split::MakeDevSplit),
    /// Makes a data folder of the documented layout
    #[command(name = "make-data-folder")]
    DataFolder(make_data_folder::MakeDataFolder),
    /// Makes the masks that images had before they were revised
    #[command(name = "make-old-masks")]
    OldMasks(make_old_masks::MakeOldMasks),
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Embedded(command) => command.run(),
        Command::DevSplit(command) => command.run(),
        Command::DataFolder(command) => command.run(),
        Command::OldMasks(command) => command.run(),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
