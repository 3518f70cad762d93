//! Folders as they come: what is not read is named, and what a split should keep apart is checked when it is read.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{Folder, HEADER, good, says};
use htl_datasets::{DataFolder, Likeness, MadeSplit, OpenOptions, unused_in_words};

/// Names of files in `images` and `masks` that are not read are kept, with the reason.
#[test]
fn what_is_not_read_is_counted() {
    let folder = good();
    fs::rename(folder.path("masks/a.png"), folder.path("masks/a_Segmentation.PNG")).unwrap();
    fs::rename(folder.path("masks/b.png"), folder.path("masks/b.jpg")).unwrap();
    fs::rename(folder.path("masks/c.png"), folder.path("masks/c_wrong.png")).unwrap();
    fs::write(folder.path("masks/._d.png"), "").unwrap();
    fs::write(folder.path("images/a_superpixels.png"), "").unwrap();
    let data = DataFolder::open(folder.root()).unwrap();
    assert_eq!(
        data.samples().iter().map(|s| s.mask.is_some()).collect::<Vec<_>>(),
        [true, false, false, true]
    );
    let words = unused_in_words(data.unused());
    assert_eq!(
        words,
        [
            "1 in images/ not read, superpixels: `a_superpixels.png`",
            "1 in masks/ not read, in a format that is not read there (images: PNG, JPEG; masks: PNG): `b.jpg`",
            "1 in masks/ not read, masks of no image: `c_wrong.png`",
        ]
    );
    fs::rename(folder.path("masks"), folder.path("mask")).unwrap();
    let data = DataFolder::open(folder.root()).unwrap();
    assert!(unused_in_words(data.unused()).join("").contains("folders: `mask`"));
}

/// Superpixels beside photographs are no photographs, where no table says what is one.
#[test]
fn superpixels_are_no_images() {
    let folder = Folder::without_table(&["a", "b", "c", "d"]);
    for id in ["a", "b", "c", "d"] {
        fs::copy(
            folder.path(&format!("images/{id}.png")),
            folder.path(&format!("images/{id}_superpixels.png")),
        )
        .unwrap();
    }
    let data = DataFolder::open(folder.root()).unwrap();
    assert_eq!(data.samples().len(), 4);
    assert!(
        !fs::read_to_string(folder.path("splits.csv"))
            .unwrap()
            .contains("superpixels")
    );
}

/// A split that was made before lesions were known does not keep them together: it is refused. One that the table gives is
/// the user's, and opened.
#[test]
fn a_kept_split_that_parts_a_lesion_is_refused() {
    let folder = Folder::without_table(&["a", "b", "c", "d", "e", "f"]);
    let data = DataFolder::open(folder.root()).unwrap();
    let rows: Vec<String> = data
        .samples()
        .iter()
        .map(|s| format!("{},,,,,,L1", s.image_id))
        .collect();
    folder.table(
        &format!("{HEADER},lesion_id"),
        &rows.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    says(
        &folder.problem(),
        &[
            "splits.csv does not fit",
            "1 of 1 lesions or patients",
            "`L1 (train, val, test)`",
            "delete it",
        ],
    );
    let rows: Vec<String> = data
        .samples()
        .iter()
        .map(|s| format!("{},{},,,,,L1", s.image_id, s.split))
        .collect();
    folder.table(
        &format!("{HEADER},lesion_id"),
        &rows.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(DataFolder::open(folder.root()).unwrap().samples().len(), 6);
    // Where nobody knows the lesion, nobody is parted.
    let rows: Vec<String> = data
        .samples()
        .iter()
        .map(|s| format!("{},,,,,,NA", s.image_id))
        .collect();
    folder.table(
        &format!("{HEADER},lesion_id"),
        &rows.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    assert_eq!(DataFolder::open(folder.root()).unwrap().samples().len(), 6);
}

/// A folder that is only looked at stays as it was.
#[test]
fn looking_writes_nothing() {
    let folder = Folder::without_table(&["a", "b", "c", "d"]);
    let options = OpenOptions {
        made_split: MadeSplit::Forgotten,
        ..Default::default()
    };
    let data = DataFolder::open_with(folder.root(), &options).unwrap();
    assert!(data.splits_file().is_none() && !folder.path("splits.csv").exists());
    assert_eq!(data.inspect().problems.len(), 0);
}

/// The same photograph in two splits is found, whatever its name.
#[test]
fn photographs_in_two_splits_are_named() {
    let folder = good();
    let lesion = |at: i32| {
        image::RgbImage::from_fn(64, 48, |x, y| {
            let away = (x as i32 - at).pow(2) + (y as i32 - 24).pow(2);
            image::Rgb([if away < 200 { 60 } else { 200 }, 120, (x * 2) as u8])
        })
    };
    lesion(20).save(folder.path("images/a.png")).unwrap();
    lesion(45).save(folder.path("images/b.png")).unwrap();
    fs::copy(folder.path("images/a.png"), folder.path("images/c.png")).unwrap();
    lesion(33).save(folder.path("images/d.png")).unwrap();
    let alike = DataFolder::open(folder.root()).unwrap().inspect().alike;
    assert_eq!(alike.len(), 1, "{alike:?}");
    assert_eq!(
        (alike[0].image_ids.each_ref().map(String::as_str), alike[0].likeness),
        (["a", "c"], Likeness::SameFile)
    );
}

/// Pairs of the collected images whose thumbnails correlate above 0.98 are found again, where they are present, and no others.
#[test]
fn collected_near_duplicates_are_found() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/isic");
    let Ok(table) = fs::read_to_string(shared.join("near_duplicates.csv")) else {
        eprintln!("skipped: the collected images are not here");
        return;
    };
    let of_2018 = table.lines().filter_map(|line| line.strip_prefix("isic2018,"));
    let expected: BTreeSet<[&str; 2]> = of_2018
        .filter_map(|line| {
            let mut cells = line.split(',');
            let mut pair = [cells.next()?, cells.next()?];
            pair.sort_unstable();
            Some(pair)
        })
        .collect();
    // First and second images of pairs are put into different splits; some lone images stand beside them.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    let mut side: BTreeMap<String, &str> = BTreeMap::new();
    for [first, second] in &expected {
        let other = if side.get(*first).is_some_and(|side| *side == "test") {
            "train"
        } else {
            "test"
        };
        side.entry((*first).to_owned()).or_insert("train");
        side.entry((*second).to_owned()).or_insert(other);
    }
    let mut others: Vec<_> = fs::read_dir(shared.join("isic2018/images"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    others.sort_by_key(|entry| entry.file_name());
    for entry in others.iter().step_by(40) {
        let name = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
        side.entry(name).or_insert("val");
    }
    let mut text = String::from("image_id,split\n");
    for (id, split) in &side {
        let name = format!("{id}.jpg");
        fs::copy(
            shared.join("isic2018/images").join(&name),
            folder.path().join("images").join(&name),
        )
        .unwrap();
        text.push_str(&format!("{id},{split}\n"));
    }
    fs::write(folder.path().join("metadata.csv"), text).unwrap();
    let alike = DataFolder::open(folder.path()).unwrap().inspect().alike;
    let found: BTreeSet<[&str; 2]> = alike
        .iter()
        .map(|pair| pair.image_ids.each_ref().map(String::as_str))
        .collect();
    let expected: BTreeSet<[&str; 2]> = expected.into_iter().filter(|[a, b]| side[*a] != side[*b]).collect();
    assert!(expected.len() >= 15);
    assert_eq!(
        found.intersection(&expected).count(),
        expected.len(),
        "{:?}",
        expected.difference(&found)
    );
    assert!(found.len() <= expected.len() + 1, "{:?}", found.difference(&expected));
}
