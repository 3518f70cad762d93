//! Which file of a folder belongs to which image: one rule for images, masks and predictions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use htl_vocabulary::composed;

use crate::{DatasetError, error::list};

/// What the files of a folder are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Photographs: JPEG or PNG, named by their id.
    Image,
    /// Masks: PNG, named by the image's id, alone or with `_segmentation`, `_lesion`, `_mask` behind it.
    Mask,
    /// Predicted masks: PNG, whose names start with the image's id.
    Prediction,
}

/// Endings of names of masks, as the ISIC challenges, PH2 and this program write them.
const MASK_ENDINGS: [&str; 3] = ["_segmentation", "_lesion", "_mask"];
/// Endings of names of predictions besides.
const PREDICTION_ENDINGS: [&str; 4] = ["_segmentation_prediction", "_prediction", "_pred", "_output"];
/// What the ISIC challenge of 2017 adds to the names of its label pictures.
pub(crate) const SUPERPIXELS: &str = "_superpixels";
/// What this program adds to the names of photographs with a drawn outline.
pub(crate) const OVERLAY: &str = "_overlay";
/// Files that systems leave in folders, beside hidden ones.
const SYSTEM_FILES: [&str; 2] = ["thumbs.db", "desktop.ini"];
/// Extensions that say: this is a picture.
pub(crate) const PICTURES: [&str; 9] = ["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp", "gif", "dcm"];

impl FileKind {
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["jpg", "jpeg", "png"],
            Self::Mask | Self::Prediction => &["png"],
        }
    }

    /// The id that a name stands for; `known` ids are found in it first.
    fn id<'a>(self, stem: &'a str, known: Option<&BTreeSet<&str>>) -> &'a str {
        let is_known = |id: &str| known.is_some_and(|known| known.contains(id));
        if self == Self::Image || is_known(stem) {
            return stem;
        }
        let further: &[&str] = if self == Self::Prediction {
            &PREDICTION_ENDINGS
        } else {
            &[]
        };
        let bare = further
            .iter()
            .chain(&MASK_ENDINGS)
            .find_map(|ending| without_ending(stem, ending));
        if let Some(bare) = bare.filter(|bare| known.is_none() || is_known(bare)) {
            return bare;
        }
        if self == Self::Prediction {
            let mut starts = stem.match_indices('_').filter_map(|(end, _)| stem.get(..end));
            if let Some(start) = starts.rfind(|start| is_known(start)) {
                return start;
            }
        }
        bare.unwrap_or(stem)
    }
}

/// A name without its ending, whatever the ending's case.
pub(crate) fn without_ending<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let start = name.len().checked_sub(ending.len()).filter(|start| *start > 0)?;
    let found = name.get(start..)?;
    found.eq_ignore_ascii_case(ending).then(|| &name[..start])
}

/// The name of a mask without what says that it is one, if something does.
#[cfg(feature = "import")]
pub(crate) fn bare_mask_name(stem: &str) -> Option<&str> {
    MASK_ENDINGS.iter().find_map(|ending| without_ending(stem, ending))
}

/// The files of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundFiles {
    /// By the id that their names stand for.
    pub by_id: BTreeMap<String, PathBuf>,
    /// What is there besides, in order of names; hidden files and those that systems leave are not counted.
    pub unused: Vec<UnusedFile>,
}

/// A file or folder of a data folder that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is not read.
    pub reason: UnusedReason,
}

/// Why a file is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UnusedReason {
    /// A picture in a format that is not read there.
    OtherFormat,
    /// A link to nothing.
    DanglingLink,
    /// A mask of no image.
    NoImage,
    /// Its name is not Unicode, or holds control characters.
    NameNotText,
    /// A picture of superpixels, as the ISIC challenge of 2017 adds to its photographs.
    Superpixels,
    /// A photograph with a drawn outline.
    Overlay,
    /// A folder.
    Folder,
    /// Something else.
    NoPicture,
}

impl UnusedReason {
    /// Whether a person may have meant it to be read.
    pub fn is_suspicious(self) -> bool {
        match self {
            Self::OtherFormat | Self::DanglingLink | Self::NoImage | Self::NameNotText => true,
            Self::Superpixels | Self::Overlay | Self::Folder | Self::NoPicture => false,
        }
    }
}

impl fmt::Display for UnusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherFormat => "in a format that is not read there (images: PNG, JPEG; masks: PNG)",
            Self::DanglingLink => "links to nothing",
            Self::NoImage => "masks of no image",
            Self::NameNotText => "with a name that is not Unicode or holds control characters",
            Self::Superpixels => "superpixels",
            Self::Overlay => "overlays",
            Self::Folder => "folders",
            Self::NoPicture => "no pictures",
        })
    }
}

/// What is not read and why, a line per folder and reason: `7 in masks/ not read, in a format ...: a.jpg, ...`.
pub fn unused_in_words(unused: &[UnusedFile]) -> Vec<String> {
    let mut groups: BTreeMap<(String, UnusedReason), Vec<String>> = BTreeMap::new();
    for file in unused {
        let name = |path: Option<&Path>| -> String {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().escape_debug().to_string()
        };
        let names = groups.entry((name(file.path.parent()), file.reason)).or_default();
        names.push(name(Some(&file.path)));
    }
    let line = |((folder, reason), names): (_, Vec<String>)| {
        format!("{} in {folder}/ not read, {reason}: {}", names.len(), list(&names))
    };
    groups.into_iter().map(line).collect()
}

/// The files of a folder by the id of their image. `known` are the ids that may be meant: a name that is one of them is that
/// one, even if it looks like another with an ending. Hidden files are left out, such as the `._name` that Macs write.
///
/// # Errors
/// [`DatasetError::Read`]; [`DatasetError::AmbiguousFile`] for each two files of one id.
pub fn find_files(folder: &Path, kind: FileKind, known: Option<&BTreeSet<&str>>) -> Result<FoundFiles, DatasetError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(DatasetError::read(folder))? {
        paths.push(entry.map_err(DatasetError::read(folder))?.path());
    }
    paths.sort_unstable();
    let (mut found, mut ambiguous) = (FoundFiles::default(), Vec::new());
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.starts_with('.') || SYSTEM_FILES.contains(&name.as_str()) {
            continue;
        }
        let stem = match usable(&path, kind) {
            Ok(stem) => stem,
            Err(reason) => {
                found.unused.push(UnusedFile { path, reason });
                continue;
            }
        };
        let image_id = kind.id(&composed(stem), known).to_owned();
        if let Some(first) = found.by_id.get(&image_id) {
            ambiguous.push(DatasetError::AmbiguousFile {
                image_id,
                first: first.clone(),
                second: path,
            });
        } else {
            found.by_id.insert(image_id, path);
        }
    }
    DatasetError::all(ambiguous)?;
    Ok(found)
}

/// The name without its extension of a file of that kind; else why it is none.
fn usable(path: &Path, kind: FileKind) -> Result<&str, UnusedReason> {
    if path.is_dir() {
        return Err(UnusedReason::Folder);
    }
    if !path.is_file() {
        return Err(UnusedReason::DanglingLink);
    }
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let is_of = |list: &[&str]| list.iter().any(|known| extension.eq_ignore_ascii_case(known));
    if !is_of(kind.extensions()) {
        return Err(if is_of(&PICTURES) {
            UnusedReason::OtherFormat
        } else {
            UnusedReason::NoPicture
        });
    }
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .filter(|stem| !stem.contains(char::is_control))
        .ok_or(UnusedReason::NameNotText)?;
    if without_ending(stem, SUPERPIXELS).is_some() {
        return Err(UnusedReason::Superpixels);
    }
    if kind == FileKind::Prediction && without_ending(stem, OVERLAY).is_some() {
        return Err(UnusedReason::Overlay);
    }
    Ok(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: FileKind, names: &[&str], known: &[&str]) -> Result<FoundFiles, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let known: BTreeSet<&str> = known.iter().copied().collect();
        find_files(folder.path(), kind, (!known.is_empty()).then_some(&known))
    }

    fn ids(kind: FileKind, names: &[&str], known: &[&str]) -> Vec<String> {
        found(kind, names, known).unwrap().by_id.into_keys().collect()
    }

    #[test]
    fn masks_have_many_names() {
        let names = [
            "a_Segmentation.PNG",
            "IMD002_lesion.png",
            "c_mask.png",
            "d.png",
            "_mask.png",
        ];
        assert_eq!(ids(FileKind::Mask, &names, &[]), ["IMD002", "_mask", "a", "c", "d"]);
        // What is the id of an image is no ending.
        assert_eq!(
            ids(FileKind::Mask, &["a_lesion.png", "a.png"], &["a_lesion", "a"]),
            ["a", "a_lesion"]
        );
        let error = found(FileKind::Mask, &["a_lesion.png", "a.png", "b.png", "b_MASK.png"], &[]).unwrap_err();
        for part in ["a_lesion.png", "`a`", "b_MASK.png", "`b`"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn predictions_start_with_an_id() {
        let names = [
            "ISIC_1_segmentation_prediction.png",
            "ISIC_2_downsampled.png",
            "ISIC_2_mask.png",
            "ISIC_2_overlay.png",
            "ISIC_3_by_me.png",
        ];
        let known = ["ISIC_1", "ISIC_2", "ISIC_2_downsampled", "ISIC_3"];
        assert_eq!(ids(FileKind::Prediction, &names, &known), known);
    }

    /// An umlaut is one, whether the system writes it as one letter or as a letter and a mark.
    #[test]
    fn names_are_composed() {
        assert_eq!(ids(FileKind::Image, &["mu\u{308}ller.png"], &[]), ["m\u{fc}ller"]);
        assert_eq!(
            ids(FileKind::Mask, &["mu\u{308}ller_mask.png"], &["m\u{fc}ller"]),
            ["m\u{fc}ller"]
        );
        assert!(found(FileKind::Image, &["mu\u{308}ller.png", "m\u{fc}ller.png"], &[]).is_err());
    }

    #[test]
    fn what_is_not_read_is_named() {
        let names = [
            "._a.jpg",
            ".DS_Store",
            "Thumbs.db",
            "a.jpg",
            "a_superpixels.png",
            "b.TIFF",
            "notes.txt",
        ];
        let found = found(FileKind::Image, &names, &[]).unwrap();
        assert_eq!(found.by_id.into_keys().collect::<Vec<_>>(), ["a"]);
        let reasons: Vec<UnusedReason> = found.unused.iter().map(|file| file.reason).collect();
        assert_eq!(
            reasons,
            [
                UnusedReason::Superpixels,
                UnusedReason::OtherFormat,
                UnusedReason::NoPicture
            ]
        );
        let words = unused_in_words(&found.unused).join("\n");
        assert!(
            words.contains("1 in ") && words.contains("superpixels: `a_superpixels.png`"),
            "{words}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_to_nothing_and_folders_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("a.png")).unwrap();
        fs::create_dir(folder.path().join("b.png")).unwrap();
        fs::write(folder.path().join("c\u{1b}[2J.png"), "").unwrap();
        let found = find_files(folder.path(), FileKind::Mask, None).unwrap();
        let reasons: Vec<UnusedReason> = found.unused.iter().map(|file| file.reason).collect();
        assert_eq!(
            reasons,
            [
                UnusedReason::DanglingLink,
                UnusedReason::Folder,
                UnusedReason::NameNotText
            ]
        );
        assert!(!unused_in_words(&found.unused).concat().contains('\u{1b}'));
    }
}
