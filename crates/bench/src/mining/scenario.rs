use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use htl_datasets::{DataFolder, DatasetError, GroupRule, MaskNoise, PLANTED, Planting, Split, read_ids, read_mask};

/// Seed of everything that is planted.
const SEED: u64 = 0;
/// Share of the training masks that are made wrong.
const NOISY: f64 = 0.1;
/// A revision counts if the masks before and after it have an IoU under this.
const REVISED: f64 = 0.8;

/// The groups that are made rare: the size, contrast, site and sex of the plan.
const GROUPS: [&str; 4] = [
    "lowest:area_fraction",
    "lowest:delta_e",
    "anatom_site=lower extremity",
    "sex=female",
];
/// The shares of them that are kept, in percent.
const KEPT: [u8; 3] = [4, 8, 16];

/// One planted truth.
#[derive(Debug, Clone, PartialEq)]
pub enum Scenario {
    /// Nothing is planted: how far do scores tell the same groups by themselves?
    Natural,
    /// A group of which so many percent are kept.
    Rare(&'static str, u8),
    /// Masks made wrong.
    Noisy(MaskNoise),
    /// Masks of an earlier revision.
    Revised(PathBuf),
}

/// Every scenario that the data allow, or a few. A group that nobody is in, as sites where none are known, is left out.
pub fn all(quick: bool, revised: Option<&Path>, data: &DataFolder) -> Result<Vec<Scenario>> {
    if quick {
        return Ok(vec![
            Scenario::Natural,
            Scenario::Rare(GROUPS[0], KEPT[1]),
            Scenario::Noisy(MaskNoise::Swapped),
        ]);
    }
    let groups = known_groups(data)?;
    let rare = groups
        .iter()
        .flat_map(|group| KEPT.map(|kept| Scenario::Rare(group, kept)));
    let noisy = MaskNoise::ALL.into_iter().map(Scenario::Noisy);
    let revised = revised.map(|dir| Scenario::Revised(dir.to_owned()));
    Ok([Scenario::Natural]
        .into_iter()
        .chain(rare)
        .chain(noisy)
        .chain(revised)
        .collect())
}

/// The groups that have members, and not everybody, among training and test images.
fn known_groups(data: &DataFolder) -> Result<Vec<&'static str>> {
    let mut known = Vec::new();
    for group in GROUPS {
        let rule: GroupRule = group.parse()?;
        let is_known = |split| match rule.members(&data.split(split)) {
            Ok(_) => Ok(true),
            Err(DatasetError::Plant { .. }) => Ok(false),
            Err(other) => Err(other),
        };
        if is_known(Split::Train)? && is_known(Split::Test)? {
            known.push(group);
        }
    }
    Ok(known)
}

/// Special images, and what they are special by.
pub struct Truth {
    /// In words.
    pub what: String,
    /// Where they are looked for.
    pub split: Split,
    /// Their ids.
    pub special: BTreeSet<String>,
}

/// A scenario ready to train on.
pub struct Ground {
    /// The folder to train on.
    pub data: DataFolder,
    /// What is to be found.
    pub truths: Vec<Truth>,
    /// The true masks of images that have others in the folder.
    pub masks: BTreeMap<String, PathBuf>,
}

impl Scenario {
    /// Its name in folders and tables.
    pub fn name(&self) -> String {
        match self {
            Self::Natural => "natural".into(),
            Self::Rare(group, kept) => format!("rare-{}-{kept}", short(group)),
            Self::Noisy(noise) => noise.name().into(),
            Self::Revised(_) => "revisions".into(),
        }
    }

    /// Makes the data folder, if it is not there, and says what is to be found in it.
    pub fn prepare(&self, source: &Path, folder: &Path) -> Result<Ground> {
        let source = DataFolder::open(source)?;
        let (planted, aside) = (folder.join("data"), folder.join("truth"));
        let planting = match self {
            Self::Natural => {
                let mut truths = Vec::new();
                for group in known_groups(&source)? {
                    truths.extend(natural_groups(&source, group)?);
                }
                return Ok(Ground {
                    data: source,
                    truths,
                    masks: BTreeMap::new(),
                });
            }
            Self::Rare(group, kept) => Planting::rare_group(&source, &group.parse()?, f64::from(*kept) / 100.0, SEED)?,
            Self::Noisy(noise) => Planting::noisy_masks(&source, *noise, NOISY, SEED)?,
            Self::Revised(dir) => revisions(&source, dir)?,
        };
        if !aside.join(PLANTED).exists() {
            if planted.exists() {
                std::fs::remove_dir_all(&planted)?;
            }
            planting.write(&source, &planted, &aside)?;
        }
        let mut truths = vec![Truth {
            what: self.words(),
            split: Split::Train,
            special: read_ids(&aside.join(PLANTED))?.into_iter().collect(),
        }];
        if let Self::Rare(group, _) = self {
            truths.push(group_of(&source, group, Split::Test)?);
        }
        let masks = planting.masks().keys().filter_map(|id| {
            let name = source.get(id)?.mask.as_ref()?.file_name()?;
            Some((id.clone(), aside.join("masks").join(name)))
        });
        Ok(Ground {
            masks: masks.collect(),
            data: DataFolder::open(&planted)?,
            truths,
        })
    }

    fn words(&self) -> String {
        match self {
            Self::Natural => "nothing".into(),
            Self::Rare(group, kept) => format!("{group}, {kept} % kept"),
            Self::Noisy(noise) => format!("{} masks", noise.name()),
            Self::Revised(_) => "masks that were revised".into(),
        }
    }
}

fn short(group: &str) -> &str {
    match group {
        "lowest:area_fraction" => "size",
        "lowest:delta_e" => "contrast",
        _ => group.split(['=', '<']).next().unwrap_or(group),
    }
}

fn group_of(data: &DataFolder, group: &str, split: Split) -> Result<Truth> {
    let rule: GroupRule = group.parse()?;
    Ok(Truth {
        what: group.to_owned(),
        split,
        special: rule.members(&data.split(split))?,
    })
}

fn natural_groups(data: &DataFolder, group: &str) -> Result<Vec<Truth>> {
    [Split::Train, Split::Test]
        .into_iter()
        .map(|split| group_of(data, group, split))
        .collect()
}

/// The masks before the revision, where they are known; those that changed much count.
fn revisions(data: &DataFolder, dir: &Path) -> Result<Planting> {
    let table = dir.join("revisions.csv");
    let mut reader = csv::Reader::from_path(&table).with_context(|| format!("cannot read {}", table.display()))?;
    let mut overlaps = BTreeMap::new();
    for row in reader.deserialize::<(String, f64)>() {
        let (id, iou) = row.with_context(|| format!("{}: expected image_id,iou", table.display()))?;
        overlaps.insert(id, iou);
    }
    let mut masks = BTreeMap::new();
    for sample in data.split(Split::Train) {
        if overlaps.contains_key(&sample.image_id) {
            let path = dir.join("masks").join(format!("{}.png", sample.image_id));
            masks.insert(sample.image_id.clone(), read_mask(&path)?);
        }
    }
    let counts = |id: &str| overlaps.get(id).is_some_and(|iou| *iou < REVISED);
    Ok(Planting::other_masks(data, masks, counts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifest/embedded")
    }

    /// The embedded images have no sites: three groups at three shares, four kinds of noise, and nothing planted.
    #[test]
    fn scenarios_are_what_the_data_allow() {
        let data = DataFolder::open(embedded()).unwrap();
        let names: Vec<String> = all(false, None, &data).unwrap().iter().map(Scenario::name).collect();
        assert_eq!(names.len(), 1 + 3 * 3 + 4);
        assert!(names.iter().all(|name| !name.contains("site")), "{names:?}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    /// What is to be found is in the folder to train on, the truth of changed masks beside it; a second call finds the same.
    #[test]
    fn grounds_are_prepared_once() {
        let place = tempfile::tempdir().unwrap();
        for (scenario, special, images) in [
            (Scenario::Rare(GROUPS[0], 8), 6, 240 - 74),
            (Scenario::Noisy(MaskNoise::Swapped), 24, 240),
        ] {
            let folder = place.path().join(scenario.name());
            let ground = scenario.prepare(&embedded(), &folder).unwrap();
            let train = ground.data.split(Split::Train);
            let truth = &ground.truths[0];
            assert_eq!(
                (truth.split, truth.special.len(), train.len()),
                (Split::Train, special, images)
            );
            assert!(
                truth
                    .special
                    .iter()
                    .all(|id| train.iter().any(|sample| sample.image_id == *id))
            );
            assert!(ground.masks.values().all(|path| path.exists()));
            assert_eq!(
                ground.masks.len(),
                if scenario == Scenario::Rare(GROUPS[0], 8) {
                    0
                } else {
                    24
                }
            );
            let again = scenario.prepare(&embedded(), &folder).unwrap();
            assert_eq!(again.truths[0].special, truth.special);
        }
    }
}
