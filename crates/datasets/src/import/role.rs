//! What a file of a published or home-made data set is, by its name and the folders that it lies in.

use crate::Split;
use crate::found_files::{OVERLAY, PICTURES, SUPERPIXELS, bare_mask_name, without_ending};

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// A photograph of that id.
    Image(String),
    /// The mask of an image of that id.
    Mask(String),
    /// A table, perhaps of images.
    Table,
    /// A document of annotations, perhaps COCO's.
    Annotations,
    /// Licence, attribution, read-me.
    Notice,
    /// Something else.
    Other,
}

/// Words in names of folders of masks.
const MASK_FOLDERS: [&str; 9] = [
    "mask",
    "groundtruth",
    "ground_truth",
    "ground-truth",
    "ground truth",
    "segmentation",
    "annotation",
    "label",
    "_lesion",
];
/// Words in names of pictures that are neither photograph nor mask: attributes of ISIC 2018 Task 2, colour regions of PH2.
const OTHER_PICTURES: [&str; 2] = ["_attribute_", "_roi/"];
const NOTICES: [&str; 5] = ["license", "licence", "attribution", "readme", "citation"];

/// What a file is; `relative` is its path with `/`, beginning with the name of the archive or folder that was given.
pub(super) fn role(relative: &str) -> Role {
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let extension = extension.to_lowercase();
    let lower = name.to_lowercase();
    if NOTICES.iter().any(|word| lower.starts_with(word)) && !PICTURES.contains(&extension.as_str()) {
        return Role::Notice;
    }
    match extension.as_str() {
        "csv" | "tsv" | "tab" => return Role::Table,
        "json" => return Role::Annotations,
        "txt" if lower.starts_with("ph2_dataset") => return Role::Table,
        // As the publisher of HAM10000 names it.
        "" if lower.ends_with("metadata") => return Role::Table,
        _ if !PICTURES.contains(&extension.as_str()) => return Role::Other,
        _ => {}
    }
    let path = relative.to_lowercase();
    let aside = OTHER_PICTURES.iter().any(|word| path.contains(word));
    if aside || without_ending(stem, SUPERPIXELS).is_some() || without_ending(stem, OVERLAY).is_some() {
        return Role::Other;
    }
    if let Some(bare) = bare_mask_name(stem) {
        return Role::Mask(bare.to_owned());
    }
    let folder = folders.rsplit('/').next().unwrap_or_default().to_lowercase();
    if MASK_FOLDERS.iter().any(|word| folder.contains(word)) {
        return Role::Mask(stem.to_owned());
    }
    Role::Image(stem.to_owned())
}

/// The split that names of folders and archives tell, the innermost first: `ISIC-2017_Validation_Data`, `train`, `test2017`.
pub(super) fn split_by_name(relative: &str) -> Option<Split> {
    let folders = relative.rsplit('/').skip(1);
    folders.into_iter().find_map(|folder| {
        let words = folder.split(|c: char| !c.is_ascii_alphabetic()).map(str::to_lowercase);
        words.into_iter().find_map(|word| match word.as_str() {
            "train" | "training" => Some(Split::Train),
            "val" | "valid" | "validation" => Some(Split::Val),
            "test" | "testing" => Some(Split::Test),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_published() {
        let image = |id: &str| Role::Image(id.to_owned());
        let mask = |id: &str| Role::Mask(id.to_owned());
        for (path, wanted) in [
            (
                "ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg",
                image("ISIC_0000000"),
            ),
            ("ISIC2018_Task1-2_Training_Input/ATTRIBUTION.txt", Role::Notice),
            (
                "ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png",
                mask("ISIC_0000000"),
            ),
            (
                "ISIC2018_Task2_Training_GroundTruth_v3/ISIC_0000000_attribute_globules.png",
                Role::Other,
            ),
            ("ISIC-2017_Training_Data/ISIC_0000000_superpixels.png", Role::Other),
            (
                "ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv",
                Role::Table,
            ),
            (
                "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png",
                mask("ISIC_0000003"),
            ),
            ("HAM10000_images_part_1/ISIC_0024306.jpg", image("ISIC_0024306")),
            ("downloads/HAM10000_metadata", Role::Table),
            (
                "PH2Dataset/PH2 Dataset images/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp",
                image("IMD002"),
            ),
            (
                "PH2Dataset/PH2 Dataset images/IMD002/IMD002_lesion/IMD002_lesion.bmp",
                mask("IMD002"),
            ),
            (
                "PH2Dataset/PH2 Dataset images/IMD002/IMD002_roi/IMD002_R1_Label3.bmp",
                Role::Other,
            ),
            ("PH2Dataset/PH2_dataset.txt", Role::Table),
            ("PH2Dataset/PH2_dataset.xlsx", Role::Other),
            ("mine/Masks/a b.PNG", mask("a b")),
            ("mine/images/a b.JPG", image("a b")),
            ("mine/instances.json", Role::Annotations),
            ("mine/notes.docx", Role::Other),
        ] {
            assert_eq!(role(path), wanted, "{path}");
        }
    }

    #[test]
    fn splits_as_named() {
        for (path, wanted) in [
            ("ISIC-2017_Validation_Data/x.jpg", Some(Split::Val)),
            ("ISIC2018_Task1-2_Test_Input/x.jpg", Some(Split::Test)),
            ("ISBI2016_ISIC_Part1_Training_Data/x.jpg", Some(Split::Train)),
            ("latest/train2017/x.jpg", Some(Split::Train)),
            ("mine/test.jpg", None),
            ("testament/x.jpg", None),
        ] {
            assert_eq!(split_by_name(path), wanted, "{path}");
        }
    }
}
