//! Makes the development split: the ISIC 2017 training images of ISIC 2018 Task 1, dealt once and for all into pool, val and
//! dev-test.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use htl_metrics::{Tercile, terciles};
use htl_vocabulary::write_whole;

use crate::tables::{groups, known, rows};

/// The committed split.
const FILE: &str = "data-manifest/development.csv";

/// Names in the file, the split of a data folder each becomes, and how many images the last two hold. The pool is the rest.
const SPLITS: [(&str, &str); 3] = [("pool", "train"), ("val", "val"), ("dev-test", "test")];
const VAL: usize = 200;
const DEV_TEST: usize = 400;
const SEED: u64 = 20261123;

/// Where to read from and write to.
#[derive(Debug, clap::Args)]
pub struct MakeDevSplit {
    /// Folder with metadata.csv, extra.csv and near_duplicates.csv
    #[arg(long, value_name = "DIR")]
    isic: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = FILE)]
    out: PathBuf,
}

/// Diagnosis, and third of the lesion sizes.
type Stratum = (String, Tercile);

/// An image that may be dealt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    id: String,
    group: String,
    /// What the splits are balanced for.
    stratum: Stratum,
}

impl MakeDevSplit {
    /// Deals and writes.
    pub fn run(&self) -> Result<()> {
        let (images, dropped) = images(&self.isic)?;
        let splits = deal(&images, [images.len().saturating_sub(VAL + DEV_TEST), VAL, DEV_TEST])?;
        println!(
            "left out, as they share a lesion or a photograph with a test image: {}",
            dropped.join(" ")
        );
        for (stratum, counts) in counts(&images, &splits) {
            let [pool, val, test] = counts;
            println!(
                "{:4} size third {}: pool {pool:3}  val {val:3}  dev-test {test:3}",
                stratum.0,
                stratum.1.of(["1", "2", "3"])
            );
        }
        Ok(write_whole(&self.out, text(&splits))?)
    }
}

fn text(splits: &BTreeMap<String, usize>) -> String {
    let lines = splits.iter().map(|(id, split)| format!("{id},{}\n", SPLITS[*split].0));
    std::iter::once("image_id,split\n".to_owned()).chain(lines).collect()
}

/// The images to deal, sorted by id, and the ids left out.
fn images(isic: &Path) -> Result<(Vec<Image>, Vec<String>)> {
    let columns = ["image_id", "source", "lesion_id", "isic2017_split", "mask_fraction"];
    let mut extra = rows(&isic.join("extra.csv"), &columns)?;
    extra.retain(|row| row["source"] == "isic2018");
    extra.sort_by(|a, b| a["image_id"].cmp(&b["image_id"]));
    let lesions: Vec<_> = extra
        .iter()
        .map(|row| (row["image_id"].clone(), known(row, "lesion_id")))
        .collect();
    // Over all images, so that two are joined through a third that is not dealt.
    let groups = groups(&lesions, &isic.join("near_duplicates.csv"))?;
    let tested: BTreeSet<&str> = extra
        .iter()
        .filter(|row| row["isic2017_split"] == "test")
        .map(|row| groups[&row["image_id"]].as_str())
        .collect();
    let table = rows(&isic.join("metadata.csv"), &["image_id", "source", "dx"])?;
    let diagnoses: HashMap<&str, String> = table
        .iter()
        .filter(|row| row["source"] == "isic2018")
        .map(|row| (row["image_id"].as_str(), known(row, "dx").unwrap_or_default()))
        .collect();

    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for row in extra.iter().filter(|row| row["isic2017_split"] == "train") {
        let id = row["image_id"].clone();
        if tested.contains(groups[&id].as_str()) {
            dropped.push(id);
            continue;
        }
        let area: f64 = row["mask_fraction"]
            .parse()
            .with_context(|| format!("mask_fraction of {id}"))?;
        ensure!(area.is_finite(), "mask_fraction of {id} is {area}");
        kept.push((id, area));
    }
    ensure!(
        !kept.is_empty(),
        "{} lists no ISIC 2017 training images",
        isic.display()
    );
    let sizes = terciles(&kept.iter().map(|(_, area)| Some(*area)).collect::<Vec<_>>());
    let images = kept
        .into_iter()
        .zip(sizes)
        .filter_map(|((id, _), size)| {
            let diagnosis = diagnoses.get(id.as_str()).cloned().unwrap_or_default();
            Some(Image {
                group: groups[&id].clone(),
                stratum: (diagnosis, size?),
                id,
            })
        })
        .collect();
    Ok((images, dropped))
}

/// Deals whole groups to splits of exactly these sizes: groups of several first, then the rarest strata, each to the split
/// that lacks most of its strata. Gives each id its split.
fn deal(images: &[Image], sizes: [usize; 3]) -> Result<BTreeMap<String, usize>> {
    ensure!(
        sizes.iter().sum::<usize>() == images.len(),
        "{} images are too few for a val and a dev-test split of {VAL} and {DEV_TEST}",
        images.len()
    );
    let mut rare: BTreeMap<&Stratum, usize> = BTreeMap::new();
    let mut members: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
    for image in images {
        *rare.entry(&image.stratum).or_default() += 1;
        members.entry(&image.group).or_default().push(image);
    }
    let mut order: Vec<Vec<&Image>> = members.into_values().collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
    order.sort_by_key(|group| {
        let rarest = group.iter().map(|image| (rare[&image.stratum], &image.stratum)).min();
        (std::cmp::Reverse(group.len()), rarest)
    });
    let mut filled: BTreeMap<&Stratum, [usize; 3]> = BTreeMap::new();
    let mut left = sizes;
    let mut splits = BTreeMap::new();
    for group in order {
        let lack = |split: usize| -> f64 {
            let of = |image: &&Image| {
                let share = sizes[split] as f64 / images.len() as f64;
                let got = filled.get(&image.stratum).map_or(0, |counts| counts[split]);
                rare[&image.stratum] as f64 * share - got as f64
            };
            group.iter().map(of).sum()
        };
        let fitting = (0..3).filter(|split| left[*split] >= group.len());
        let Some(split) = fitting.max_by(|a, b| lack(*a).total_cmp(&lack(*b))) else {
            bail!("a group of {} images fits nowhere", group.len())
        };
        left[split] -= group.len();
        for image in group {
            filled.entry(&image.stratum).or_default()[split] += 1;
            splits.insert(image.id.clone(), split);
        }
    }
    Ok(splits)
}

/// Images of each stratum in each split.
fn counts(images: &[Image], splits: &BTreeMap<String, usize>) -> BTreeMap<Stratum, [usize; 3]> {
    let mut counts: BTreeMap<_, [usize; 3]> = BTreeMap::new();
    for image in images {
        if let Some(split) = splits.get(&image.id) {
            counts.entry(image.stratum.clone()).or_default()[*split] += 1;
        }
    }
    counts
}

/// Each image of a split file and the split of a data folder it belongs to.
///
/// # Errors
/// Names the file and the id that is listed twice or has an unknown split.
pub fn read(path: &Path) -> Result<BTreeMap<String, &'static str>> {
    let mut splits = BTreeMap::new();
    for row in rows(path, &["image_id", "split"])? {
        let (id, split) = (row["image_id"].clone(), row["split"].as_str());
        let known = SPLITS.iter().find(|(name, folder)| split == *name || split == *folder);
        let Some((_, folder)) = known else {
            bail!(
                "{}: `{split}` of {id} is none of pool, val, dev-test, train, test",
                path.display()
            )
        };
        ensure!(
            splits.insert(id.clone(), *folder).is_none(),
            "{} lists {id} twice",
            path.display()
        );
    }
    Ok(splits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The repository's root.
    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn example() -> Vec<Image> {
        let image = |index: usize| Image {
            id: format!("id{index:04}"),
            group: format!("group{:04}", if index < 60 { index / 3 } else { index }),
            stratum: (
                ["mel", "nv", "nv", "nv", "bkl"][index % 5].into(),
                [Tercile::Low, Tercile::Middle, Tercile::High][index * 7 % 3],
            ),
        };
        (0..900).map(image).collect()
    }

    /// Sizes are exact, groups whole, and every stratum has its share in every split, up to two images.
    #[test]
    fn groups_are_dealt_whole_and_balanced() {
        let images = example();
        let sizes = [600, 100, 200];
        let splits = deal(&images, sizes).unwrap();
        let mut of_group = HashMap::new();
        for image in &images {
            assert_eq!(
                *of_group.entry(&image.group).or_insert(splits[&image.id]),
                splits[&image.id]
            );
        }
        for (split, size) in sizes.iter().enumerate() {
            assert_eq!(splits.values().filter(|found| **found == split).count(), *size);
        }
        for (stratum, found) in counts(&images, &splits) {
            let all = found.iter().sum::<usize>() as f64;
            for (split, size) in sizes.iter().enumerate() {
                let share = all * *size as f64 / 900.;
                assert!((found[split] as f64 - share).abs() <= 2., "{stratum:?} {found:?}");
            }
        }
        assert_eq!(deal(&images, sizes).unwrap(), splits);
        assert!(deal(&images[..500], [0, 200, 400]).is_err());
    }

    /// The committed file has the promised sizes, names every image once, and nothing but ids and splits.
    #[test]
    fn the_committed_split_is_whole() {
        let path = root().join(FILE);
        let splits = read(&path).unwrap();
        let count = |name| splits.values().filter(|split| **split == name).count();
        assert_eq!([count("train"), count("val"), count("test")], [1188, VAL, DEV_TEST]);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().next(), Some("image_id,split"));
        assert_eq!(text.lines().count(), 1 + splits.len());
        for line in text.lines().skip(1) {
            let (id, split) = line.split_once(',').unwrap();
            assert!(
                id.starts_with("ISIC_") && ["pool", "val", "dev-test"].contains(&split),
                "{line}"
            );
        }
    }

    /// Where the collected copies lie beside the repository, making the split again gives the committed bytes, none of the
    /// images is a test image of ISIC 2017, and no lesion or photograph is in two splits.
    #[test]
    fn the_committed_split_is_made_again() {
        let isic = root().join("../shared/data/isic");
        if !isic.exists() {
            println!("skipped: the collected ISIC copies are not beside the repository");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("development.csv");
        let command = MakeDevSplit {
            isic: isic.clone(),
            out: out.clone(),
        };
        command.run().unwrap();
        let made = std::fs::read(&out).unwrap();
        assert!(
            made == std::fs::read(root().join(FILE)).unwrap(),
            "{FILE} is not what the command makes"
        );

        let splits = read(&out).unwrap();
        let extra = rows(&isic.join("extra.csv"), &["image_id", "source"]).unwrap();
        let extra: HashMap<&str, _> = extra
            .iter()
            .filter(|row| row["source"] == "isic2018")
            .map(|row| (row["image_id"].as_str(), row))
            .collect();
        let mut sides: HashMap<String, BTreeSet<&str>> = HashMap::new();
        for (id, split) in &splits {
            assert_eq!(extra[id.as_str()]["isic2017_split"], "train", "{id}");
            if let Some(lesion) = known(extra[id.as_str()], "lesion_id") {
                sides.entry(lesion).or_default().insert(split);
            }
        }
        let pairs = rows(&isic.join("near_duplicates.csv"), &["image_id_a", "image_id_b"]).unwrap();
        let is_test = |id: &str| extra.get(id).is_some_and(|row| row["isic2017_split"] == "test");
        for pair in &pairs {
            let [a, b] = [&pair["image_id_a"], &pair["image_id_b"]];
            for (one, other) in [(a, b), (b, a)] {
                assert!(
                    !(splits.contains_key(one) && is_test(other)),
                    "{one} is {other}, a test image"
                );
            }
            let sides: BTreeSet<_> = [a, b].into_iter().filter_map(|id| splits.get(id)).collect();
            assert!(sides.len() <= 1, "{a} and {b} are in two splits");
        }
        assert!(sides.values().all(|sides| sides.len() == 1));
    }
}
