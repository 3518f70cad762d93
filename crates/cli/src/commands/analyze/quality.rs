//! How well each group is localized.

use std::path::Path;

use htl_mining::{Attribute, Performance};
use htl_vocabulary::file;

use super::summary::Summary;
use super::write;

/// Thirds of the skin's angle say what its classes say.
const THIRDS: &str = "skin_tone_ita";

/// Writes the tables about quality: every attribute, and every pair of attributes.
pub(super) fn analyse(
    out: &Path,
    performance: &Performance,
    attributes: &[Attribute],
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let mut all = attributes.to_vec();
    for (i, first) in attributes.iter().enumerate() {
        for second in &attributes[i + 1..] {
            if ![first, second].iter().any(|attribute| attribute.name() == THIRDS) {
                all.push(first.cross(second));
            }
        }
    }
    let rows = performance.by_group(&all);
    let apart = performance.disparities(&all)?;
    summary.quality(performance.ids().len(), &rows, &apart);
    write(out, file::PERFORMANCE, &rows)?;
    write(out, file::DISPARITY, &apart)
}
