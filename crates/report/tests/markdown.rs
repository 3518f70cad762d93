//! The tables of a README.

use std::fs;

use htl_report::markdown_table;

mod fixture;

/// Golden: the tables of the made-up results. `UPDATE_GOLDEN=1 cargo test -p htl-report` writes them anew.
#[test]
fn the_tables_are_as_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/table.md");
    let tables = markdown_table(&fixture::results());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &tables).unwrap();
    }
    assert_eq!(tables, fs::read_to_string(path).unwrap());
    let (arms, gains) = tables.split_once("\n\n").unwrap();
    for (table, columns) in [(arms, 5), (gains, 4)] {
        let bars = table.lines().map(|line| line.matches('|').count());
        assert!(bars.into_iter().all(|n| n == columns + 1), "{table}");
    }
    assert!(arms.contains("| Supervised (all masks) | Baseline | 0.79"), "{arms}");
    assert!(arms.contains("| Learns nothing | Whole image | 0.271 |"), "{arms}");
    assert!(
        gains.contains("| Supervised | HTL attention against the baseline | +0.8 | 0.2 to 1.5 |"),
        "{gains}"
    );
    assert!(gains.contains(" (descriptive) |"), "{gains}");
}
