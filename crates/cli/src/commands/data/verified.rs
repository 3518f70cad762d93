//! What `htl data verify` says of a folder.

use anyhow::ensure;
use htl_datasets::{AlikeImages, COLUMNS, DataFolder, Likeness, unused_in_words};

use crate::commands::print;

/// How many pairs of photographs are written out.
const SHOWN: usize = 20;

/// Looks at everything and says what there is: numbers on standard output, what is wrong on standard error.
pub(super) fn verified(data: &DataFolder) -> anyhow::Result<()> {
    let inspection = data.inspect();
    for line in found(data) {
        print(&line)?;
    }
    if !inspection.alike.is_empty() {
        print(&format!(
            "{} pairs of photographs in different splits are alike:",
            inspection.alike.len()
        ))?;
    }
    for pair in inspection.alike.iter().take(SHOWN) {
        print(&format!("  {}", in_words(data, pair)))?;
    }
    if inspection.alike.len() > SHOWN {
        print(&format!("  and {} more", inspection.alike.len() - SHOWN))?;
    }
    for problem in &inspection.problems {
        eprintln!("{problem}");
    }
    let (bad, all) = (inspection.problems.len(), data.samples().len());
    ensure!(bad == 0, "{bad} of {all} images have a problem");
    let unread = data.unused().iter().filter(|file| file.reason.is_suspicious()).count();
    ensure!(
        unread == 0,
        "{unread} files are not read: convert, rename or remove them"
    );
    Ok(())
}

/// What is in a folder, and what is not read of it.
fn found(data: &DataFolder) -> Vec<String> {
    let masks = data.samples().iter().filter(|sample| sample.mask.is_some()).count();
    let mut lines = vec![format!("{} images, {masks} with a mask", data.samples().len())];
    lines.extend(unused_in_words(data.unused()));
    let further = data.columns().iter().map(String::as_str);
    let further: Vec<&str> = further
        .filter(|column| !COLUMNS.contains(column) && !["lesion_id", "patient_id"].contains(column))
        .collect();
    if !further.is_empty() {
        lines.push(format!("further columns: {}", further.join(", ")));
    }
    for merged in data.merged() {
        let others = merged.others.join("`, `");
        lines.push(format!(
            "column {}: `{others}` read as `{}`",
            merged.column, merged.kept
        ));
    }
    let formulas = data.formula_like_ids().len();
    if formulas > 0 {
        lines.push(format!(
            "{formulas} ids begin with =, +, - or @: spreadsheet programs take them for formulas"
        ));
    }
    lines
}

fn in_words(data: &DataFolder, pair: &AlikeImages) -> String {
    let [first, second] = pair.image_ids.each_ref().map(|id| {
        let split = data.get(id).map_or("", |sample| sample.split.name());
        format!("{id} ({split})")
    });
    match pair.likeness {
        Likeness::SameFile => format!("{first} and {second}: the same file"),
        Likeness::SamePixels => format!("{first} and {second}: the same pixels"),
        Likeness::Nearly(correlation) => format!("{first} and {second}: thumbnails correlate at {correlation:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use image::{GrayImage, Rgb, RgbImage};

    use super::*;

    /// Six images, each of another colour, split in the table, with masks for three.
    fn folder(root: &Path) {
        for kind in ["images", "masks"] {
            std::fs::create_dir(root.join(kind)).unwrap();
        }
        let mut table = String::from("image_id,split,sex,camera\n");
        for (i, split) in ["train", "train", "val", "val", "test", "test"].into_iter().enumerate() {
            let image = RgbImage::from_fn(16, 12, |x, y| Rgb([(x * i as u32 * 3) as u8, (y * 9) as u8, i as u8]));
            image.save(root.join(format!("images/i{i}.png"))).unwrap();
            if i < 3 {
                let mask = GrayImage::from_fn(16, 12, |x, _| image::Luma([if x < 5 { 255 } else { 0 }]));
                mask.save(root.join(format!("masks/i{i}_Segmentation.png"))).unwrap();
            }
            table += &format!("i{i},{split},{},c\n", ["Male", "male"][i % 2]);
        }
        std::fs::write(root.join("metadata.csv"), table).unwrap();
    }

    #[test]
    fn masks_are_counted_and_what_is_not_read_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        folder(place.path());
        let open = || DataFolder::open(place.path()).unwrap();
        verified(&open()).unwrap();
        let lines = found(&open());
        assert_eq!(lines[0], "6 images, 3 with a mask");
        assert_eq!(
            lines[1..],
            ["further columns: camera", "column sex: `Male` read as `male`"]
        );
        std::fs::rename(
            place.path().join("masks/i0_Segmentation.png"),
            place.path().join("masks/i0.jpg"),
        )
        .unwrap();
        let lines = found(&open());
        assert_eq!(lines[0], "6 images, 2 with a mask");
        assert!(
            lines[1].starts_with("1 in masks/ not read") && lines[1].ends_with("`i0.jpg`"),
            "{lines:?}"
        );
        assert!(
            verified(&open())
                .unwrap_err()
                .to_string()
                .contains("1 files are not read")
        );
    }
}
