//! Manifests, and the embedded data themselves.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use common::{good, says};
use htl_datasets::{
    DataFolder, FolderStats, ImageSet, LesionAttributes, Manifest, MaskUse, Sample, Split, attributes, read_mask,
    read_rgb,
};

fn manifest_of(folder: &Path) -> Manifest {
    Manifest {
        name: "test".to_owned(),
        description: String::new(),
        licence: "none".to_owned(),
        attribution: String::new(),
        source: String::new(),
        files: Manifest::list_files(folder).unwrap(),
    }
}

#[test]
fn every_difference_is_named() {
    let folder = good();
    manifest_of(folder.root()).write(folder.root()).unwrap();
    let manifest = Manifest::read(folder.root()).unwrap();
    assert_eq!(manifest, manifest_of(folder.root()));
    let intact = manifest.verify(folder.root()).unwrap();
    assert!(intact.is_intact() && intact.intact == 9, "{intact:?}");

    fs::remove_file(folder.path("images/a.png")).unwrap();
    let mut bytes = fs::read(folder.path("masks/b.png")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(folder.path("masks/b.png"), bytes).unwrap();
    fs::write(folder.path("masks/stray.txt"), "x").unwrap();
    let found = manifest.verify(folder.root()).unwrap();
    assert_eq!(found.missing, ["images/a.png"]);
    assert_eq!(found.changed, ["masks/b.png"]);
    assert_eq!(found.extra, ["masks/stray.txt"]);
    let message = found.into_result(folder.root()).unwrap_err().to_string();
    says(
        &message,
        &[
            "1 missing: `images/a.png`",
            "1 changed: `masks/b.png`",
            "not in the manifest: `masks/stray.txt`",
        ],
    );
}

#[test]
fn bad_manifests_are_refused() {
    let folder = good();
    let path = folder.path("manifest.json");
    let message = |text: &str| {
        fs::write(&path, text).unwrap();
        Manifest::read(&path).unwrap_err().to_string()
    };
    says(&message("{"), &["manifest.json is not a manifest", "line 1"]);
    says(&message("{\"name\": \"x\"}"), &["manifest.json", "missing field"]);
    let with = |file: &str, sha: &str| {
        format!(
            "{{\"name\":\"\",\"description\":\"\",\"licence\":\"\",\"attribution\":\"\",\"source\":\"\",\"files\":[{{\"path\":\"{file}\",\"sha256\":\"{sha}\",\"bytes\":1}}]}}"
        )
    };
    says(
        &message(&with("../secret", &"0".repeat(64))),
        &["../secret", "not a path below"],
    );
    says(&message(&with("/etc/passwd", &"0".repeat(64))), &["/etc/passwd"]);
    says(&message(&with("a", "12")), &["sha256 of `a`"]);
    fs::remove_file(&path).unwrap();
    says(
        &Manifest::read(folder.root()).unwrap_err().to_string(),
        &["cannot read", "manifest.json"],
    );
}

fn embedded() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifest/embedded");
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("skipped: the embedded data are not beside this crate");
    None
}

#[test]
fn the_embedded_data_are_what_their_manifest_says() {
    let Some(root) = embedded() else { return };
    let manifest = Manifest::read(&root).unwrap();
    assert_eq!((manifest.licence.as_str(), manifest.files.len()), ("CC-0 1.0", 802));
    assert!(manifest.files.iter().map(|file| file.bytes).sum::<u64>() < 8_000_000);
    let found = manifest.verify(&root).unwrap();
    assert_eq!(found.intact, 802);
    found.into_result(&root).unwrap();
}

#[test]
fn the_embedded_data_are_a_good_data_folder() {
    let Some(root) = embedded() else { return };
    let data = DataFolder::open(&root).unwrap();
    assert!(data.splits_file().is_none());
    assert_eq!(Split::ALL.map(|split| data.split(split).len()), [240, 40, 120]);
    assert_eq!(data.problems().len(), 0);
    let samples: Vec<&Sample> = data.samples().iter().collect();
    let set = ImageSet::load(&samples, 64, MaskUse::Required).unwrap();
    assert!((0..set.len()).all(|index| set.stored_size(index) == (128, 128)));
    assert!((0..set.len()).all(|index| set.mask_bytes(index).is_some_and(|mask| mask.contains(&1))));

    // Both sexes, every age band and each diagnosis, in training and in test.
    let stats = FolderStats::of(&data).unwrap();
    for (field, levels) in [
        ("sex", &["female", "male"][..]),
        ("dx", &["mel", "nv", "sk"]),
        (
            "age_approx",
            &["10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80+"],
        ),
    ] {
        for level in levels {
            let counts = &stats.fields[field][*level];
            for split in [Split::Train, Split::Test] {
                assert!(
                    counts.get(&split).is_some_and(|count| *count >= 3),
                    "{field} {level} {split}: {counts:?}"
                );
            }
        }
    }
    assert!(
        stats.area.values().all(|area| area.p05 < 0.06 && area.p95 > 0.6),
        "{:?}",
        stats.area
    );

    // Low contrast too, in every split.
    let measured: Vec<(Split, LesionAttributes)> = samples
        .iter()
        .map(|sample| {
            let mask = read_mask(sample.mask.as_ref().unwrap()).unwrap();
            (
                sample.split,
                attributes(&read_rgb(&sample.image).unwrap(), &mask).unwrap(),
            )
        })
        .collect();
    for split in Split::ALL {
        let low = measured
            .iter()
            .filter(|(s, found)| *s == split && found.delta_e.is_some_and(|d| d < 12.))
            .count();
        assert!(low * 10 >= data.split(split).len(), "{split}: {low} of low contrast");
    }
}

#[test]
fn a_fifth_of_the_embedded_training_masks_is_labelled() {
    let Some(root) = embedded() else { return };
    let data = DataFolder::open(&root).unwrap();
    let text = fs::read_to_string(root.join("labelled.csv")).unwrap();
    let ids: BTreeSet<&str> = text.lines().skip(1).collect();
    assert_eq!((text.lines().next(), ids.len()), (Some("image_id"), 48));
    let mut by_dx: BTreeMap<&str, usize> = BTreeMap::new();
    for id in ids {
        let sample = data.get(id).unwrap();
        assert_eq!(sample.split, Split::Train);
        *by_dx.entry(sample.dx.as_deref().unwrap()).or_default() += 1;
    }
    assert_eq!(by_dx, BTreeMap::from([("mel", 12), ("nv", 29), ("sk", 7)]));
}

/// Against the collected tables, where they are present: every age, sex and diagnosis is that of the ISIC 2017 tables, no
/// image is of ISIC 2017 test, and no near-duplicate or lesion is shared at all.
#[test]
fn the_embedded_rows_follow_the_2017_tables() {
    let Some(root) = embedded() else { return };
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !shared.join("metadata").exists() {
        eprintln!("skipped: the collected tables are not here");
        return;
    }
    let table = |path: &str| -> Vec<BTreeMap<String, String>> {
        csv::Reader::from_path(shared.join(path))
            .unwrap()
            .deserialize()
            .map(Result::unwrap)
            .collect()
    };
    let data = DataFolder::open(&root).unwrap();
    let mut seen = 0;
    for part in ["Training", "Validation"] {
        for row in table(&format!("metadata/ISIC-2017_{part}_Data_metadata.csv")) {
            let Some(sample) = data.get(&row["image_id"]) else {
                continue;
            };
            seen += 1;
            let known = |column: &str| Some(row[column].clone()).filter(|value| value != "unknown");
            assert_eq!(
                sample.age_approx,
                known("age_approximate").map(|age| age.parse().unwrap())
            );
            assert_eq!(sample.sex, known("sex"));
            assert_eq!(sample.anatom_site, None);
        }
        for row in table(&format!("metadata/ISIC-2017_{part}_Part3_GroundTruth.csv")) {
            let Some(sample) = data.get(&row["image_id"]) else {
                continue;
            };
            let is = |column: &str| row[column].parse::<f64>().unwrap() == 1.;
            let expected = if is("melanoma") {
                "mel"
            } else if is("seborrheic_keratosis") {
                "sk"
            } else {
                "nv"
            };
            assert_eq!(sample.dx.as_deref(), Some(expected));
        }
    }
    assert_eq!(seen, 400);
    for row in table("isic/near_duplicates.csv") {
        assert!(
            data.get(&row["image_id_a"]).is_none() || data.get(&row["image_id_b"]).is_none(),
            "{row:?}"
        );
    }
    let mut lesions = BTreeSet::new();
    for row in table("isic/extra.csv") {
        if row["source"] == "isic2018" && data.get(&row["image_id"]).is_some() {
            assert!(["train", "val"].contains(&row["isic2017_split"].as_str()));
            assert!(row["lesion_id"].is_empty() || lesions.insert(row["lesion_id"].clone()));
        }
    }
}

/// A link that leads in a circle, or out of the folder, is not followed.
#[cfg(unix)]
#[test]
fn links_to_folders_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "a").unwrap();
    for name in ["one", "two"] {
        std::os::unix::fs::symlink(".", folder.path().join(name)).unwrap();
    }
    let manifest = Manifest {
        name: "n".into(),
        description: "d".into(),
        licence: "l".into(),
        attribution: "a".into(),
        source: "s".into(),
        files: Vec::new(),
    };
    assert_eq!(manifest.verify(folder.path()).unwrap().extra, ["a.txt", "one", "two"]);
}
