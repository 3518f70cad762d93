//! Writes a page of made-up numbers, to look at in a browser: `cargo run -p htl-report --example sample_page -- page.html`.

use std::path::PathBuf;

#[path = "../tests/fixture/mod.rs"]
mod fixture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("name the file to write")?;
    let report = fixture::report();
    report.write(&path)?;
    print!("{}", htl_report::markdown_table(&report.results));
    Ok(())
}
