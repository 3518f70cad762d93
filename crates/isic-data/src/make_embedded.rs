//! Makes the embedded data set: a small, stratified, CC-0 part of ISIC 2018 Task 1 at 128 pixels.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use htl_datasets::{GrayImage, Manifest, RgbImage, read_mask, read_rgb};
use rand::{
    SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;

use crate::fresh;
use crate::shrink::{image_file, mask_file};
use crate::tables::{Row, groups, known, rows};

/// Width and height in pixels.
const SIZE: [u32; 2] = [128, 128];
/// Each block of ten in the stratified order is dealt 6 : 1 : 3.
const BLOCK: [&str; 10] = [
    "train", "train", "train", "train", "train", "train", "val", "test", "test", "test",
];
/// Blocks per diagnosis. The rarer two get more than their share of the source (21 % and 8 %), so that classifiers and
/// tables by diagnosis have something to work on.
const BLOCKS: [(&str, usize); 3] = [("nv", 24), ("mel", 10), ("sk", 6)];
/// One in five training images is labelled in the semi-supervised setting.
const LABELLED_OF: usize = 5;
/// Above this part of the frame no skin is left to see.
const LARGEST: f64 = 0.98;
const SEED: u64 = 20261123;

/// Where to read from and write to.
#[derive(Debug, clap::Args)]
pub struct MakeEmbedded {
    /// Folder with extra.csv, near_duplicates.csv and isic2018/
    #[arg(long, value_name = "DIR")]
    isic: PathBuf,
    /// Folder with the ISIC-2017 tables
    #[arg(long, value_name = "DIR")]
    metadata: PathBuf,
    /// Folder to write; what is there is replaced
    #[arg(long, value_name = "DIR", default_value = "data-manifest/embedded")]
    out: PathBuf,
}

/// An image that may be taken, with what it is chosen by.
#[derive(Debug, Clone)]
struct Candidate {
    id: String,
    dx: &'static str,
    sex: Option<String>,
    age: Option<u32>,
    area: f64,
    contrast: f64,
}

impl MakeEmbedded {
    /// Chooses, shrinks and writes.
    pub fn run(&self) -> Result<()> {
        let candidates = self.candidates()?;
        println!(
            "{} candidates (ISIC 2017 train and val, one per lesion or near-duplicate group)",
            candidates.len()
        );
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let chosen = choose(&candidates, &mut rng)?;
        let labelled = labelled(&chosen, &mut rng);
        check_represented(&chosen)?;

        fresh::folder(&self.out, |folder| self.write(folder, &chosen, &labelled))?;
        println!("wrote {}", self.out.display());
        Ok(())
    }

    /// Every image that may be used, sorted by id: one per group, with a diagnosis, some skin in sight.
    fn candidates(&self) -> Result<Vec<Candidate>> {
        let columns = ["image_id", "source", "lesion_id", "isic2017_split", "mask_fraction"];
        let mut extra = rows(&self.isic.join("extra.csv"), &columns)?;
        extra.retain(|row| row["source"] == "isic2018" && matches!(row["isic2017_split"].as_str(), "train" | "val"));
        extra.sort_by(|a, b| a["image_id"].cmp(&b["image_id"]));
        // Lesion ids are used to keep photographs of one lesion apart, and go no further.
        let lesions: Vec<_> = extra
            .iter()
            .map(|row| (row["image_id"].clone(), known(row, "lesion_id")))
            .collect();
        let groups = groups(&lesions, &self.isic.join("near_duplicates.csv"))?;

        let demographics = self.isic_2017("Data_metadata.csv", &["image_id", "age_approximate", "sex"])?;
        let diagnoses = self.isic_2017(
            "Part3_GroundTruth.csv",
            &["image_id", "melanoma", "seborrheic_keratosis"],
        )?;
        let mut taken = HashSet::new();
        let mut candidates = Vec::new();
        for row in &extra {
            let id = &row["image_id"];
            let area: f64 = row["mask_fraction"]
                .parse()
                .with_context(|| format!("mask_fraction of {id}"))?;
            let (Some(person), Some(diagnosis)) = (demographics.get(id), diagnoses.get(id)) else {
                continue;
            };
            if area > LARGEST || !taken.insert(&groups[id]) {
                continue;
            }
            let is = |column: &str| diagnosis[column].parse::<f64>().is_ok_and(|value| value == 1.);
            let dx = if is("melanoma") {
                "mel"
            } else if is("seborrheic_keratosis") {
                "sk"
            } else {
                "nv"
            };
            let age = known(person, "age_approximate").map(|age| age.parse()).transpose();
            candidates.push(Candidate {
                id: id.clone(),
                dx,
                sex: known(person, "sex"),
                age: age.with_context(|| format!("age of {id}"))?,
                area,
                contrast: contrast(&read_rgb(&self.image(id))?, &read_mask(&self.mask(id))?),
            });
        }
        Ok(candidates)
    }

    fn isic_2017(&self, name: &str, columns: &[&str]) -> Result<HashMap<String, Row>> {
        let mut all = HashMap::new();
        for part in ["Training", "Validation"] {
            for row in rows(&self.metadata.join(format!("ISIC-2017_{part}_{name}")), columns)? {
                all.insert(row["image_id"].clone(), row);
            }
        }
        Ok(all)
    }

    fn image(&self, id: &str) -> PathBuf {
        self.isic.join(format!("isic2018/images/{id}.jpg"))
    }

    fn mask(&self, id: &str) -> PathBuf {
        self.isic.join(format!("isic2018/masks/{id}.png"))
    }

    fn write(&self, out: &Path, chosen: &[(Candidate, &str)], labelled: &[String]) -> Result<()> {
        fs::create_dir(out.join("images"))?;
        fs::create_dir(out.join("masks"))?;
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        for (candidate, split) in chosen {
            let Candidate { id, dx, sex, age, .. } = candidate;
            fs::write(out.join(format!("images/{id}.jpg")), image_file(&self.image(id), SIZE)?)?;
            fs::write(out.join(format!("masks/{id}.png")), mask_file(&self.mask(id), SIZE)?)?;
            let age = age.map(|age| age.to_string()).unwrap_or_default();
            table.push_str(&format!(
                "{id},{split},{age},{},,{dx}\n",
                sex.as_deref().unwrap_or_default()
            ));
        }
        fs::write(out.join("metadata.csv"), table)?;
        fs::write(out.join("labelled.csv"), format!("image_id\n{}\n", labelled.join("\n")))?;

        let files = Manifest::list_files(out)?;
        let total: u64 = files.iter().map(|file| file.bytes).sum();
        ensure!(total < 8_000_000, "{total} bytes are too many to embed");
        println!("{} files, {total} bytes", files.len());
        let manifest = Manifest {
            name: "embedded".into(),
            description: "400 dermoscopy images with lesion masks at 128 x 128 pixels: 240 train, 40 val, 120 test; \
                          labelled.csv lists the 48 training images whose masks the semi-supervised setting uses"
                .into(),
            licence: "CC-0 1.0".into(),
            attribution:
                "International Skin Imaging Collaboration (ISIC). Images and masks: ISIC 2018 Challenge Task 1 \
                          (Codella et al., arXiv:1902.03368). Age, sex and diagnosis: ISIC 2017 Challenge (Codella et \
                          al., arXiv:1710.05006)"
                    .into(),
            source: "A stratified choice among the ISIC 2018 Task 1 training images that were training or validation \
                     images in ISIC 2017, made by `htl-isic-data make-embedded` from second-hand copies of 320 x 320 \
                     pixels (central square of the frame). Images: Lanczos to 128, JPEG quality 90. Masks: area \
                     average to 128, cut at one half"
                .into(),
            files,
        };
        Ok(manifest.write(out)?)
    }
}

/// Distance of the mean RGB of lesion and other pixels (without nearly black corners): a rough contrast to choose by.
fn contrast(image: &RgbImage, mask: &GrayImage) -> f64 {
    let mut sums = [[0f64; 4]; 2];
    for (pixel, inside) in image.pixels().zip(mask.pixels()) {
        let side = usize::from(inside.0[0] > 128);
        if side == 1 || pixel.0.iter().any(|value| *value > 50) {
            let sum = &mut sums[side];
            pixel
                .0
                .iter()
                .zip(sum.iter_mut())
                .for_each(|(value, sum)| *sum += f64::from(*value));
            sum[3] += 1.;
        }
    }
    let mean = |side: usize, channel: usize| sums[side][channel] / sums[side][3].max(1.);
    (0..3)
        .map(|channel| (mean(0, channel) - mean(1, channel)).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// Which third of `values` each value is in: 0, 1 or 2. A third begins at its smallest value, while in `htl_metrics::terciles` it
/// ends at its largest: where the count is no multiple of three, as here, the two differ by a value, and the committed set was
/// chosen with these.
fn terciles(values: impl Iterator<Item = f64>) -> impl Fn(f64) -> usize {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let smallest = |third: usize| sorted.get(sorted.len() * third / 3).copied().unwrap_or(f64::INFINITY);
    let (low, high) = (smallest(1), smallest(2));
    move |value| usize::from(value >= low) + usize::from(value >= high)
}

/// Bands of age; unknown is the last.
fn band(age: Option<u32>) -> usize {
    age.map_or(5, |age| [30, 45, 60, 75].iter().filter(|limit| age >= **limit).count())
}

/// Sorts by strata (diagnosis, size, contrast, sex, age), ties at random: whatever is then taken at equal steps has the
/// shares of the whole in every stratum.
fn stratified(candidates: &[Candidate], rng: &mut ChaCha8Rng) -> Vec<Candidate> {
    let size = terciles(candidates.iter().map(|c| c.area));
    let contrast = terciles(candidates.iter().map(|c| c.contrast));
    let mut sorted = candidates.to_vec();
    sorted.shuffle(rng);
    sorted.sort_by(|a, b| {
        let key = |c: &Candidate| (c.dx, size(c.area), contrast(c.contrast), c.sex.clone(), band(c.age));
        key(a).cmp(&key(b))
    });
    sorted
}

/// Takes each diagnosis's number at equal steps through its strata and deals every ten 6 : 1 : 3. Sorted by id.
fn choose(candidates: &[Candidate], rng: &mut ChaCha8Rng) -> Result<Vec<(Candidate, &'static str)>> {
    let sorted = stratified(candidates, rng);
    let mut chosen = Vec::new();
    for (dx, blocks) in BLOCKS {
        let wanted = blocks * BLOCK.len();
        let sorted: Vec<&Candidate> = sorted.iter().filter(|candidate| candidate.dx == dx).collect();
        ensure!(
            sorted.len() >= wanted,
            "{} images of {dx} are too few for {wanted}",
            sorted.len()
        );
        let taken = (0..wanted).map(|index| sorted[(2 * index + 1) * sorted.len() / (2 * wanted)]);
        for block in taken.collect::<Vec<_>>().chunks(BLOCK.len()) {
            let mut splits = BLOCK;
            splits.shuffle(rng);
            chosen.extend(block.iter().map(|candidate| (*candidate).clone()).zip(splits));
        }
    }
    chosen.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    Ok(chosen)
}

/// One in five training images, stratified in the same way.
fn labelled(chosen: &[(Candidate, &str)], rng: &mut ChaCha8Rng) -> Vec<String> {
    let train: Vec<Candidate> = chosen
        .iter()
        .filter(|(_, split)| *split == "train")
        .map(|(candidate, _)| candidate.clone())
        .collect();
    let mut ids: Vec<String> = stratified(&train, rng)
        .chunks(LABELLED_OF)
        .filter_map(|block| block.choose(rng).map(|candidate| candidate.id.clone()))
        .collect();
    ids.sort();
    ids
}

/// Prints the counts of every level per split, and refuses a choice that leaves one out.
fn check_represented(chosen: &[(Candidate, &str)]) -> Result<()> {
    let size = terciles(chosen.iter().map(|(c, _)| c.area));
    let contrast = terciles(chosen.iter().map(|(c, _)| c.contrast));
    let mut counts: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for (c, split) in chosen {
        let levels = [
            format!("dx {}", c.dx),
            format!("sex {}", c.sex.as_deref().unwrap_or("unknown")),
            format!(
                "age {}",
                ["under 30", "30-44", "45-59", "60-74", "75 and over", "unknown"][band(c.age)]
            ),
            format!("size {}", ["small", "middle", "large"][size(c.area)]),
            format!("contrast {}", ["low", "middle", "high"][contrast(c.contrast)]),
        ];
        for level in levels {
            *counts.entry(level).or_default().entry(split).or_default() += 1;
        }
    }
    for (level, splits) in &counts {
        let of = |split| splits.get(split).copied().unwrap_or(0);
        println!(
            "{level:20} train {:3}  val {:2}  test {:2}",
            of("train"),
            of("val"),
            of("test")
        );
        ensure!(
            of("train") >= 10 && of("val") >= 1 && of("test") >= 5,
            "`{level}` is hardly represented: {splits:?}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_is_seeded_and_stratified() {
        let candidates: Vec<Candidate> = (0..1000)
            .map(|index| Candidate {
                id: format!("id{index:04}"),
                dx: ["mel", "nv", "nv", "nv", "sk"][index % 5],
                sex: Some(["female", "male"][index % 2].to_owned()),
                age: Some(index as u32 * 3 % 97),
                area: (index * 7 % 1000) as f64,
                contrast: (index * 13 % 1000) as f64,
            })
            .collect();
        let pick = |seed| choose(&candidates, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let chosen = pick(1);
        let ids = |chosen: &[(Candidate, &str)]| chosen.iter().map(|(c, _)| c.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&chosen), ids(&pick(1)));
        assert_ne!(ids(&chosen), ids(&pick(2)));
        let count = |split, dx| chosen.iter().filter(|(c, s)| *s == split && c.dx == dx).count();
        assert_eq!(ids(&chosen).iter().collect::<HashSet<_>>().len(), 400);
        assert_eq!(
            [count("train", "mel"), count("val", "sk"), count("test", "nv")],
            [60, 6, 72]
        );
        let labelled = labelled(&chosen, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(labelled.len(), 48);
        assert!(
            labelled
                .iter()
                .all(|id| chosen.iter().any(|(c, split)| c.id == *id && *split == "train"))
        );
        check_represented(&chosen).unwrap();
    }
}
