//! Makes a data folder of the documented layout from the collected ISIC copies.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::fresh;
use crate::make_dev_split;
use crate::shrink::{image_file, mask_file, within};
use crate::tables::{Row, groups, known, rows};

/// Which images become a data folder (images, masks, metadata.csv); lesions and near-duplicates stay on one side of the
/// split.
#[derive(Debug, clap::Args)]
pub struct MakeDataFolder {
    /// Folder with metadata.csv, extra.csv, near_duplicates.csv and the image folders
    #[arg(long, value_name = "DIR")]
    isic: PathBuf,
    /// Which images
    #[arg(long, value_enum)]
    source: Source,
    /// Which part of them
    #[arg(long, value_enum, default_value_t = Part::Development)]
    part: Part,
    /// Take these images in these splits (columns image_id, split) instead: data-manifest/development.csv, for instance
    #[arg(long, value_name = "FILE", conflicts_with_all = ["part", "limit"])]
    splits: Option<PathBuf>,
    /// Shrink the longer side to so many pixels (images: Lanczos, JPEG quality 90; masks: area average)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    side: Option<u32>,
    /// At most so many images, whole lesions first, drawn with the seed
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Seed of the draw and of the split
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder to write; must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// HAM10000, 200 x 150 pixels
    #[value(name = "ham10000")]
    Ham10000,
    /// ISIC 2018 Task 1 training, 320 x 320 pixels
    #[value(name = "isic2018")]
    Isic2018,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Ham10000 => "ham10000",
            Self::Isic2018 => "isic2018",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Without the images reserved for the final look; a seeded split, 60 : 10 : 30
    Development,
    /// The reserved images (ISIC 2017 test; every third HAM10000 lesion) as the test split, all others for train and val
    Final,
}

struct Image {
    id: String,
    group: String,
    reserved: bool,
    lesion: Option<String>,
    table: Row,
}

impl MakeDataFolder {
    /// Chooses, splits and copies.
    pub fn run(&self) -> Result<()> {
        ensure!(
            !self.out.exists(),
            "{} exists; remove it or choose another --out",
            self.out.display()
        );
        let mut images = self.images()?;
        if let Some(path) = &self.splits {
            let splits = make_dev_split::read(path)?;
            let known: HashSet<&String> = images.iter().map(|image| &image.id).collect();
            if let Some(id) = splits.keys().find(|id| !known.contains(id)) {
                bail!(
                    "{}: {id} is not in {}, or shares a lesion or a photograph with a reserved image",
                    path.display(),
                    self.source.name()
                );
            }
            images.retain(|image| splits.contains_key(&image.id));
            images.sort_by(|a, b| a.id.cmp(&b.id));
            return self.write(&images, &splits);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        if let Some(limit) = self.limit {
            ensure!(limit >= 10, "--limit must be at least 10, found {limit}");
            limit_groups(&mut images, limit, &mut rng);
        }
        let splits = match self.part {
            Part::Development => deal(&images, &[("train", 0.6), ("val", 0.1), ("test", 0.3)], &mut rng)?,
            Part::Final => {
                let (test, rest): (Vec<Image>, Vec<Image>) = images.into_iter().partition(|image| image.reserved);
                let mut splits = deal(&rest, &[("train", 6. / 7.), ("val", 1. / 7.)], &mut rng)?;
                splits.extend(test.iter().map(|image| (image.id.clone(), "test")));
                images = rest.into_iter().chain(test).collect();
                splits
            }
        };
        images.sort_by(|a, b| a.id.cmp(&b.id));
        self.write(&images, &splits)
    }

    fn images(&self) -> Result<Vec<Image>> {
        let source = self.source.name();
        let columns = ["image_id", "source", "age_approx", "sex", "anatom_site", "dx"];
        let table = rows(&self.isic.join("metadata.csv"), &columns)?;
        let columns = ["image_id", "source", "lesion_id", "isic2017_split"];
        let mut extra: HashMap<String, Row> = rows(&self.isic.join("extra.csv"), &columns)?
            .into_iter()
            .filter(|row| row["source"] == source)
            .map(|row| (row["image_id"].clone(), row))
            .collect();
        let table: Vec<Row> = table.into_iter().filter(|row| row["source"] == source).collect();
        let lesion = |id: &str| extra.get(id).and_then(|row| known(row, "lesion_id"));
        let lesions: Vec<_> = table
            .iter()
            .map(|row| (row["image_id"].clone(), lesion(&row["image_id"])))
            .collect();
        let groups = groups(&lesions, &self.isic.join("near_duplicates.csv"))?;

        let mut images = Vec::with_capacity(table.len());
        for (row, (id, lesion)) in table.into_iter().zip(lesions) {
            let extra = extra
                .remove(&id)
                .with_context(|| format!("extra.csv has no row for {id} in {source}"))?;
            let reserved = match self.source {
                Source::Isic2018 => extra["isic2017_split"] == "test",
                Source::Ham10000 => {
                    let lesion = lesion.as_deref().with_context(|| format!("{id} has no lesion_id"))?;
                    Sha256::digest(lesion.as_bytes())
                        .first()
                        .is_some_and(|byte| byte % 3 == 0)
                }
            };
            let group = groups[&id].clone();
            images.push(Image {
                id,
                group,
                reserved,
                lesion,
                table: row,
            });
        }
        // What shares a lesion or a near-duplicate with a reserved image is neither trained on nor tested.
        let mut touched: BTreeMap<String, bool> = BTreeMap::new();
        for image in &images {
            *touched.entry(image.group.clone()).or_default() |= image.reserved;
        }
        images.retain(|image| match self.part {
            Part::Development => !touched[&image.group],
            Part::Final => image.reserved || !touched[&image.group],
        });
        Ok(images)
    }

    fn write(&self, images: &[Image], splits: &BTreeMap<String, &str>) -> Result<()> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        fresh::folder(&self.out, |folder| {
            fs::create_dir(folder.join("images"))?;
            fs::create_dir(folder.join("masks"))?;
            let source = self.isic.join(self.source.name());
            for image in images {
                let (photograph, mask) = (format!("images/{}.jpg", image.id), format!("masks/{}.png", image.id));
                for (name, shrink) in [(&photograph, image_file as fn(&Path, _) -> _), (&mask, mask_file)] {
                    let bytes = self.file(&source.join(name), shrink)?;
                    fs::write(folder.join(name), bytes)?;
                }
            }
            counts = write_table(folder, images, splits)?;
            Ok(fs::write(folder.join("LICENCE.txt"), self.licence())?)
        })?;
        println!("wrote {}: {} images, {counts:?}", self.out.display(), images.len());
        Ok(())
    }

    /// The bytes of a file, made smaller where that is asked for.
    fn file(&self, path: &Path, shrink: fn(&Path, [u32; 2]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        match self.side {
            Some(side) => within(path, side, shrink),
            None => fs::read(path).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn licence(&self) -> &'static str {
        match self.source {
            Source::Ham10000 => {
                "HAM10000: CC BY-NC 4.0. Tschandl, Rosendahl, Kittler, doi:10.1038/sdata.2018.161; masks: Tschandl et \
                 al., doi:10.1038/s41591-020-0942-0.\n"
            }
            Source::Isic2018 => {
                "Images and masks: ISIC 2018 Challenge Task 1, CC-0 1.0 (Codella et al., arXiv:1902.03368). Age, sex, \
                 site, diagnosis and lesion come in part from the ISIC 2019 tables: CC BY-NC 4.0.\n"
            }
        }
    }
}

/// Writes `metadata.csv`; gives how many images each split has.
fn write_table<'a>(
    folder: &Path,
    images: &[Image],
    splits: &BTreeMap<String, &'a str>,
) -> Result<BTreeMap<&'a str, usize>> {
    let mut table = csv::Writer::from_path(folder.join("metadata.csv"))?;
    table.write_record([
        "image_id",
        "split",
        "age_approx",
        "sex",
        "anatom_site",
        "dx",
        "lesion_id",
    ])?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for image in images {
        let split = splits
            .get(&image.id)
            .copied()
            .with_context(|| format!("{} got no split", image.id))?;
        *counts.entry(split).or_default() += 1;
        let field = |column: &str| known(&image.table, column).unwrap_or_default();
        table.write_record([
            image.id.as_str(),
            split,
            &field("age_approx"),
            &field("sex"),
            &field("anatom_site"),
            &field("dx"),
            image.lesion.as_deref().unwrap_or_default(),
        ])?;
    }
    table.flush()?;
    Ok(counts)
}

/// Keeps whole groups in random order until `limit` is reached; the last group may lose images.
fn limit_groups(images: &mut Vec<Image>, limit: usize, rng: &mut ChaCha8Rng) {
    images.sort_by(|a, b| a.id.cmp(&b.id));
    let mut order: Vec<String> = images.iter().map(|image| image.group.clone()).collect();
    order.sort();
    order.dedup();
    order.shuffle(rng);
    let place: HashMap<String, usize> = order
        .into_iter()
        .enumerate()
        .map(|(place, group)| (group, place))
        .collect();
    images.sort_by_key(|image| place.get(&image.group).copied());
    images.truncate(limit);
}

/// Deals groups, largest first, to the split that lacks most of its share.
fn deal(
    images: &[Image],
    shares: &[(&'static str, f64)],
    rng: &mut ChaCha8Rng,
) -> Result<BTreeMap<String, &'static str>> {
    let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for image in images {
        members.entry(&image.group).or_default().push(&image.id);
    }
    let mut order: Vec<Vec<&str>> = members.into_values().collect();
    order.shuffle(rng);
    order.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let mut filled = vec![0usize; shares.len()];
    let mut splits = BTreeMap::new();
    for group in order {
        let lack = |at: usize| shares[at].1 * images.len() as f64 - filled[at] as f64;
        let Some(at) = (0..shares.len()).max_by(|a, b| lack(*a).total_cmp(&lack(*b))) else {
            bail!("no split")
        };
        filled[at] += group.len();
        splits.extend(group.into_iter().map(|id| (id.to_owned(), shares[at].0)));
    }
    ensure!(
        filled.iter().all(|count| *count > 0),
        "too few images for {} splits",
        shares.len()
    );
    Ok(splits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Vec<Image> {
        (0..count)
            .map(|index| Image {
                id: format!("id{index:03}"),
                group: format!("group{:03}", index / 3),
                reserved: false,
                lesion: None,
                table: Row::new(),
            })
            .collect()
    }

    #[test]
    fn groups_are_dealt_whole_and_shares_are_met() {
        let images = images(300);
        let shares = [("train", 0.6), ("val", 0.1), ("test", 0.3)];
        let splits = deal(&images, &shares, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let mut side = HashMap::new();
        for image in &images {
            assert_eq!(
                *side.entry(&image.group).or_insert(splits[&image.id]),
                splits[&image.id]
            );
        }
        let count = |split| splits.values().filter(|s| **s == split).count();
        assert_eq!([count("train"), count("val"), count("test")], [180, 30, 90]);
    }

    #[test]
    fn a_limit_keeps_groups_together() {
        let mut kept = images(300);
        limit_groups(&mut kept, 30, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(kept.len(), 30);
        let mut groups: Vec<_> = kept.iter().map(|image| &image.group).collect();
        groups.sort();
        groups.dedup();
        assert_eq!(groups.len(), 10);
    }
}
