use std::fmt::Write;

use htl_vocabulary::campaign::{CampaignFile, Phase, Scenario};

use super::CampaignRow;
use super::lines::Line;
use crate::words;

/// A table per phase and scenario.
pub(super) fn tables(campaign: &CampaignFile, rows: &[CampaignRow]) -> String {
    let mut text = String::new();
    for phase in &campaign.phases {
        for scenario in &phase.scenarios {
            let name = phase.phase.name();
            let rows: Vec<&CampaignRow> = rows
                .iter()
                .filter(|row| row.phase == name && row.scenario == scenario.name)
                .collect();
            writeln!(text, "### {}\n", title(phase, scenario)).ok();
            writeln!(text, "{}\n", facts(scenario, &rows)).ok();
            table(&mut text, scenario, &rows);
            text.push('\n');
        }
    }
    text
}

/// What a table is about.
pub(super) fn title(phase: &Phase, scenario: &Scenario) -> String {
    format!("{}: {}", words::capital(phase.phase.name()), scenario.name)
}

/// What was planted, on how much the results rest.
pub(super) fn facts(scenario: &Scenario, rows: &[&CampaignRow]) -> String {
    let planted = match &scenario.planted {
        Some(planted) => format!("Planted: {planted}"),
        None => "Nothing planted".to_owned(),
    };
    let Some(row) = rows.first() else {
        return planted + ".";
    };
    let images = words::count(row.images, "test image");
    let mut text = format!("{planted}; {images}, {} seeds", row.seeds);
    let group = rows.iter().find_map(|row| row.group_images);
    if let (Some(group), Some(images)) = (&scenario.group, group) {
        write!(text, "; {images} of the images in the group {}", group.rule).ok();
    }
    text + "."
}

fn table(text: &mut String, scenario: &Scenario, rows: &[&CampaignRow]) {
    let grouped = scenario.group.is_some();
    let mut header = vec![
        "Arm",
        "Role",
        "Jaccard",
        "Gain, points",
        "Over its strongest control",
        "Share of the ceiling",
    ];
    if grouped {
        header.extend(["Group", "Rest"]);
    }
    header.extend(["Worst tenth", "Images seen"]);
    row(text, header.iter().map(|cell| (*cell).to_owned()));
    row(text, header.iter().map(|_| "---".to_owned()));
    for line in rows.iter().map(|row| Line::of(row)) {
        let over_control = match line.control.as_str() {
            "" => line.over_control.cell(),
            control => format!("{}, {control}", line.over_control.cell()),
        };
        let mut cells = vec![
            line.arm.clone(),
            line.role.clone(),
            line.jaccard.clone(),
            line.gain.cell(),
            over_control,
            line.ceiling_share.clone(),
        ];
        if grouped {
            cells.extend([line.group.cell(), line.rest.cell()]);
        }
        cells.extend([line.worst.cell(), line.cost.clone()]);
        row(text, cells.into_iter());
    }
}

fn row(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    writeln!(text, "| {} |", cells.join(" | ")).ok();
}
