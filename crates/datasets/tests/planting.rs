//! Planted truth: what changes, what stays, and what is refused.

use std::{collections::BTreeSet, fs, path::Path};

use htl_datasets::{
    DataFolder, GroupRule, MaskNoise, PLANTED, Planting, Split, attributes, read_ids, read_mask, read_rgb,
};

fn embedded() -> DataFolder {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifest/embedded");
    DataFolder::open(folder).unwrap()
}

fn rule(text: &str) -> GroupRule {
    text.parse().unwrap()
}

fn written(planting: &Planting, data: &DataFolder) -> (tempfile::TempDir, DataFolder) {
    let place = tempfile::tempdir().unwrap();
    planting
        .write(data, &place.path().join("data"), &place.path().join("truth"))
        .unwrap();
    let planted = DataFolder::open(place.path().join("data")).unwrap();
    (place, planted)
}

/// The group is who the rule names, the share is kept of it, nobody else is touched, and validation and test are as they were.
#[test]
fn a_group_becomes_rare() {
    let data = embedded();
    for text in [
        "lowest:delta_e",
        "sex=female",
        "age_approx<30",
        "sex=male+highest:area_fraction",
    ] {
        let members = rule(text).members(&data.split(Split::Train)).unwrap();
        let planting = Planting::rare_group(&data, &rule(text), 0.16, 1).unwrap();
        assert_eq!(
            planting.planted().len(),
            (0.16 * members.len() as f64).round() as usize,
            "{text}"
        );
        let all: BTreeSet<String> = planting.planted().union(planting.removed()).cloned().collect();
        assert_eq!(all, members, "{text}");
        let (place, planted) = written(&planting, &data);
        for split in Split::ALL {
            let expected: Vec<_> = data
                .split(split)
                .iter()
                .map(|s| s.image_id.clone())
                .filter(|id| !planting.removed().contains(id))
                .collect();
            let found: Vec<_> = planted.split(split).iter().map(|s| s.image_id.clone()).collect();
            assert_eq!(found, expected, "{text}");
        }
        let listed: BTreeSet<String> = read_ids(&place.path().join("truth").join(PLANTED))
            .unwrap()
            .into_iter()
            .collect();
        assert_eq!(&listed, planting.planted());
    }
}

/// A third is a third of the measured lesions, and the right one.
#[test]
fn thirds_are_the_small_ones() {
    let data = embedded();
    let train = data.split(Split::Train);
    let members = rule("lowest:area_fraction").members(&train).unwrap();
    assert_eq!(members.len(), 80);
    let area = |id: &str| {
        let sample = data.get(id).unwrap();
        let mask = read_mask(sample.mask.as_deref().unwrap()).unwrap();
        attributes(&read_rgb(&sample.image).unwrap(), &mask)
            .unwrap()
            .area_fraction
    };
    let largest_inside = members.iter().map(|id| area(id)).fold(0.0, f64::max);
    let outside = train.iter().filter(|sample| !members.contains(&sample.image_id));
    assert!(
        outside
            .map(|sample| area(&sample.image_id))
            .all(|area| area > largest_inside)
    );
}

/// A bound on a measurement is measured, as a third is.
#[test]
fn measurements_have_bounds() {
    let data = embedded();
    let train = data.split(Split::Train);
    let at_border = rule("touches_border>=1").members(&train).unwrap();
    let inside = rule("touches_border<1").members(&train).unwrap();
    assert_eq!(at_border.len() + inside.len(), train.len());
    for sample in &train {
        let mask = read_mask(sample.mask.as_deref().unwrap()).unwrap();
        let lesion = attributes(&read_rgb(&sample.image).unwrap(), &mask).unwrap();
        assert_eq!(
            lesion.touches_border,
            at_border.contains(&sample.image_id),
            "{}",
            sample.image_id
        );
    }
    assert!(inside.len() > at_border.len() && !at_border.is_empty());
}

/// Seeds decide, and shares nest no surprise: another seed keeps others.
#[test]
fn seeds_decide_who_is_kept() {
    let data = embedded();
    let kept = |seed| Planting::rare_group(&data, &rule("sex=female"), 0.1, seed).unwrap();
    assert_eq!(kept(1), kept(1));
    assert_ne!(kept(1).planted(), kept(2).planted());
    let noisy = |seed| Planting::noisy_masks(&data, MaskNoise::Shifted, 0.1, seed).unwrap();
    assert_eq!(noisy(1), noisy(1));
    assert_ne!(noisy(1).planted(), noisy(2).planted());
}

/// Exactly the planted masks differ, and the truth is what they were, byte by byte.
#[test]
fn masks_become_wrong_and_the_truth_is_kept() {
    let data = embedded();
    for noise in MaskNoise::ALL {
        let planting = Planting::noisy_masks(&data, noise, 0.1, 5).unwrap();
        assert_eq!(planting.planted().len(), 24, "{}", noise.name());
        let (place, planted) = written(&planting, &data);
        for (before, after) in data.samples().iter().zip(planted.samples()) {
            assert_eq!(before.image_id, after.image_id);
            let read = |path: &Path| fs::read(path).unwrap();
            assert_eq!(read(&before.image), read(&after.image));
            let (mask, given) = (before.mask.as_deref().unwrap(), after.mask.as_deref().unwrap());
            let changed = read_mask(mask).unwrap() != read_mask(given).unwrap();
            assert_eq!(
                changed,
                planting.planted().contains(&before.image_id),
                "{}",
                noise.name()
            );
            if changed {
                let aside = place.path().join("truth/masks").join(mask.file_name().unwrap());
                assert_eq!(read(&aside), read(mask));
            }
        }
    }
}

#[test]
fn what_cannot_be_planted_is_refused() {
    let data = embedded();
    let rare = |text: &str, share| {
        Planting::rare_group(&data, &rule(text), share, 0)
            .unwrap_err()
            .to_string()
    };
    assert!(rare("sex=robot", 0.1).contains("no image is in the group"));
    assert!(rare("age_approx<200+age_approx>=300", 0.1).contains("no image"));
    assert!(rare("sex=female", 0.0).contains("share"));
    assert!(rare("sex=female", 0.001).contains("larger share"));
    let noisy = |noise, share| Planting::noisy_masks(&data, noise, share, 0).unwrap_err().to_string();
    assert!(noisy(MaskNoise::Swapped, 0.004).contains("cannot be swapped"));
    assert!(noisy(MaskNoise::Eroded, f64::NAN).contains("share"));
    let masks = [("nobody".to_owned(), image::GrayImage::new(1, 1))].into();
    assert!(
        Planting::other_masks(&data, masks, |_| true)
            .unwrap_err()
            .to_string()
            .contains("`nobody`")
    );
    let none = Planting::other_masks(&data, Default::default(), |_| true);
    assert!(none.unwrap_err().to_string().contains("no mask is changed"));
}
