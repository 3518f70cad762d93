//! Which form of attention paid: the table of a campaign, as rows, as Markdown and as a page.

mod lines;
mod markdown;
mod page;
mod rows;

use std::path::Path;

use htl_vocabulary::campaign::CampaignFile;
use htl_vocabulary::{file, write_rows, write_whole};

pub use rows::{CampaignRow, best_forms};

use crate::ReportError;

/// A row per arm of every phase and scenario, from `campaign.json` and the tables that it names.
///
/// # Errors
/// Files that are missing or make no sense, arms about different images.
pub fn campaign_rows(folder: &Path, campaign: &CampaignFile) -> Result<Vec<CampaignRow>, ReportError> {
    let mut rows = Vec::new();
    for phase in &campaign.phases {
        for scenario in &phase.scenarios {
            rows.extend(rows::of_scenario(folder, phase, scenario)?);
        }
    }
    Ok(rows)
}

/// Writes the rows of a campaign into its folder: `campaign.csv`, `campaign.md` and `campaign.html`.
///
/// # Errors
/// Files that cannot be written.
pub fn write_campaign(folder: &Path, campaign: &CampaignFile, rows: &[CampaignRow]) -> Result<(), ReportError> {
    write_rows(&folder.join(file::CAMPAIGN_TABLE), rows)?;
    let pages = [
        (file::CAMPAIGN_MARKDOWN, markdown::tables(campaign, rows)),
        (file::CAMPAIGN_PAGE, page::page(campaign, rows)?),
    ];
    for (name, text) in pages {
        write_whole(&folder.join(name), text).map_err(ReportError::NotWritten)?;
    }
    Ok(())
}
