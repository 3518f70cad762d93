//! What `htl data verify` says of a folder.

use std::process::ExitCode;

use htl_datasets::{AlikeImages, COLUMNS, DataFolder, Likeness, unused_in_words};
use serde::Serialize;

/// How many pairs of photographs are written out.
const SHOWN: usize = 20;

/// What a folder holds and what is wrong with it.
#[derive(Debug, Serialize)]
pub(super) struct Verified {
    /// Files that match the manifest, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    intact_files: Option<usize>,
    images: usize,
    masks: usize,
    /// Files that are not read and may have been meant to be.
    suspicious_files: usize,
    /// What there is, a line each.
    found: Vec<String>,
    /// Lesions and patients that are in more than one split.
    #[serde(skip_serializing_if = "Option::is_none")]
    parted: Option<String>,
    /// Photographs that occur in more than one split.
    alike: Vec<String>,
    /// What cannot be used.
    problems: Vec<String>,
}

impl Verified {
    /// Looks at everything.
    pub(super) fn of(data: &DataFolder, intact_files: Option<usize>) -> Self {
        let inspection = data.inspect();
        let samples = data.samples();
        Self {
            intact_files,
            images: samples.len(),
            masks: samples.iter().filter(|sample| sample.mask.is_some()).count(),
            suspicious_files: data.unused().iter().filter(|file| file.reason.is_suspicious()).count(),
            found: found(data),
            parted: data.parted(),
            alike: inspection.alike.iter().map(|pair| in_words(data, pair)).collect(),
            problems: inspection.problems.iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn words(&self) -> String {
        let mut lines = Vec::new();
        if let Some(intact) = self.intact_files {
            lines.push(format!("{intact} files match the manifest"));
        }
        lines.push(format!("{} images, {} with a mask", self.images, self.masks));
        lines.extend(self.found.iter().cloned());
        lines.extend(self.parted.clone());
        if !self.alike.is_empty() {
            lines.push(format!(
                "{} pairs of photographs in different splits are alike:",
                self.alike.len()
            ));
            lines.extend(self.alike.iter().take(SHOWN).map(|pair| format!("  {pair}")));
        }
        if self.alike.len() > SHOWN {
            lines.push(format!("  and {} more", self.alike.len() - SHOWN));
        }
        lines.extend(self.problems.iter().cloned());
        if !self.problems.is_empty() {
            lines.push(format!(
                "{} of {} images have a problem",
                self.problems.len(),
                self.images
            ));
        }
        if self.suspicious_files > 0 {
            lines.push(format!(
                "{} files are not read: convert, rename or remove them",
                self.suspicious_files
            ));
        }
        lines.join("\n")
    }

    /// Success where nothing is wrong.
    pub(super) fn verdict(&self) -> ExitCode {
        match self.problems.len() + self.suspicious_files {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// What is in a folder, and what is not read of it.
fn found(data: &DataFolder) -> Vec<String> {
    let mut lines = unused_in_words(data.unused());
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
        let look = || Verified::of(&DataFolder::open(place.path()).unwrap(), None);
        let verified = look();
        assert_eq!(verified.verdict(), ExitCode::SUCCESS);
        assert!(
            verified.words().starts_with("6 images, 3 with a mask\n"),
            "{}",
            verified.words()
        );
        assert_eq!(
            verified.found,
            ["further columns: camera", "column sex: `Male` read as `male`"]
        );
        std::fs::rename(
            place.path().join("masks/i0_Segmentation.png"),
            place.path().join("masks/i0.jpg"),
        )
        .unwrap();
        let verified = look();
        assert_eq!((verified.masks, verified.suspicious_files), (2, 1));
        assert!(
            verified.found[0].starts_with("1 in masks/ not read") && verified.found[0].ends_with("`i0.jpg`"),
            "{verified:?}"
        );
        assert_eq!(verified.verdict(), ExitCode::FAILURE);
        assert!(
            verified
                .words()
                .ends_with("1 files are not read: convert, rename or remove them")
        );
    }
}
