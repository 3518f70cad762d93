//! Prints the tables of a run for a README: `cargo run -p htl-report --example markdown_table -- results.json`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("give the path of a results.json")?
        .into();
    let results = htl_report::Results::read(&path)?;
    print!("{}", htl_report::markdown_table(&results));
    Ok(())
}
