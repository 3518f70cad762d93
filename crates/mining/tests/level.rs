//! Does the analysis keep its promise? Under no effect, 1,000 simulated tables; with an effect, how often it is found. Run with
//! `-- --nocapture` for the numbers.

use std::collections::{BTreeMap, HashMap};

use htl_mining::{
    Attribute, Cohort, Demographics, Permutations, ScoreRow, ScoreTable, Subject, demographics, regressions,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What is drawn.
struct Design {
    images: usize,
    /// Images of a lesion, in turn.
    per_lesion: &'static [usize],
    /// Share of the score's variance that images of a lesion have in common.
    common: f64,
    /// What small lesions score more, in standard deviations.
    small: f64,
    /// How much rarer small lesions are among women, in standard deviations of the size.
    confounded: f64,
}

const NOTHING: Design = Design {
    images: 240,
    per_lesion: &[1],
    common: 0.0,
    small: 0.0,
    confounded: 0.0,
};

struct Drawn {
    cohort: Cohort,
    attributes: Vec<Attribute>,
    subjects: Vec<Subject>,
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

/// 240 images in two folds, a fifth of each hard; sex, age, site and diagnosis of the lesion (some not known), size of the image.
fn draw(design: &Design, random: &mut ChaCha8Rng) -> Drawn {
    let pick = |random: &mut ChaCha8Rng, words: &[&str]| words[random.random_range(0..words.len())].to_owned();
    let mut images = Vec::new();
    let mut lesion = 0;
    while images.len() < design.images {
        let sex = pick(random, &["female", "male", "female", "male", ""]);
        let age = pick(random, &["<30", "30-44", "45-59", "60-74", "75+"]);
        let site = pick(random, &["torso", "torso", "limb", "head"]);
        let dx = pick(random, &["nv", "nv", "nv", "mel", "sk"]);
        let shared = normal(random);
        let shift = if sex == "female" { design.confounded } else { 0.0 };
        for _ in 0..design.per_lesion[lesion % design.per_lesion.len()] {
            let size = normal(random) + shift;
            let score = design.common.sqrt() * shared
                + (1.0 - design.common).sqrt() * normal(random)
                + if size < -0.43 { design.small } else { 0.0 };
            let id = format!("i{:04}", images.len());
            images.push((
                id,
                lesion,
                [sex.clone(), age.clone(), site.clone(), dx.clone()],
                size,
                score,
            ));
        }
        lesion += 1;
    }
    let mut hard = vec![false; images.len()];
    for fold in 0..2 {
        let mut inside: Vec<usize> = (0..images.len()).filter(|&i| images[i].1 % 2 == fold).collect();
        inside.sort_by(|&a, &b| images[b].4.total_cmp(&images[a].4));
        inside.iter().take(inside.len() / 5).for_each(|&i| hard[i] = true);
    }
    let mut table = ScoreTable::new(["score"]);
    for ((id, lesion, _, _, score), hard) in images.iter().zip(&hard) {
        let row = ScoreRow {
            image_id: id.clone(),
            setting: String::new(),
            fold: Some((lesion % 2) as u32),
            scores: vec![Some(*score)],
            htl: *hard,
        };
        table.push(row).unwrap();
    }
    let lesions: HashMap<String, String> = images
        .iter()
        .map(|image| (image.0.clone(), image.1.to_string()))
        .collect();
    let words = |place: usize| {
        images
            .iter()
            .map(move |image| (image.0.clone(), Some(image.2[place].clone())))
    };
    let sizes = images.iter().map(|image| (image.0.clone(), Some(image.3)));
    let subject = |size: f64| Subject {
        measured: BTreeMap::from([("area_fraction".to_owned(), size.exp2())]),
        ..Subject::default()
    };
    Drawn {
        cohort: Cohort::selected(&table, "score", &[lesions]).unwrap(),
        attributes: vec![
            Attribute::categorical("sex", words(0)).unwrap(),
            Attribute::ordered("age", &["<30", "30-44", "45-59", "60-74", "75+"], words(1)).unwrap(),
            Attribute::categorical("site", words(2)).unwrap(),
            Attribute::categorical("dx", words(3)).unwrap(),
            Attribute::terciles("size", ["small", "medium", "large"], sizes).unwrap(),
        ],
        subjects: images.iter().map(|image| subject(image.3)).collect(),
    }
}

/// Shares of many tables in which something happens.
#[derive(Default)]
struct Shares(BTreeMap<&'static str, (f64, f64)>);

impl Shares {
    fn add(&mut self, what: &'static str, happened: bool) {
        let share = self.0.entry(what).or_default();
        share.0 += f64::from(u8::from(happened));
        share.1 += 1.0;
    }

    fn of(&self, what: &str) -> f64 {
        let (happened, all) = self.0[what];
        happened / all
    }

    fn print(&self, title: &str) {
        println!("{title}");
        for (what, (happened, all)) in &self.0 {
            println!("  {what}: {:.3} of {all}", happened / all);
        }
    }
}

fn analysed(design: &Design, tables: u64, permutations: usize) -> Shares {
    let mut shares = Shares::default();
    for number in 0..tables {
        let mut random = ChaCha8Rng::seed_from_u64(number);
        let drawn = draw(design, &mut random);
        let permutations = Permutations {
            count: permutations,
            seed: number,
        };
        let Demographics { rates, tests, .. } = demographics(&drawn.cohort, &drawn.attributes, &permutations);
        let small = |p: Option<f64>| p.is_some_and(|p| p <= 0.05);
        shares.add(
            "any level, Westfall-Young",
            rates.iter().any(|row| small(row.p_adjusted)),
        );
        shares.add("any level, Holm of Fisher", rates.iter().any(|row| small(row.p_holm)));
        shares.add(
            "any level, Fisher without adjustment",
            rates.iter().any(|row| small(row.p)),
        );
        shares.add(
            "any attribute, Westfall-Young",
            tests.iter().any(|row| row.p_adjusted <= 0.05),
        );
        shares.add(
            "any attribute, chi-square without adjustment",
            tests.iter().any(|row| row.p <= 0.05),
        );
        for row in rates.iter().filter(|row| row.p.is_some()) {
            shares.add("one level, Fisher", small(row.p));
            shares.add("one level, permutation", small(row.p_permutation));
            if row.attribute == "size" && row.level == "small" {
                shares.add("small lesions, Westfall-Young", small(row.p_adjusted));
                shares.add("small lesions, Holm of Fisher", small(row.p_holm));
            }
            if let Some([lo, hi]) = row.odds_ratio_clustered {
                shares.add("one level, clustered odds ratio leaves 1 out", lo > 1.0 || hi < 1.0);
            }
        }
        for row in &tests {
            shares.add("one attribute, asymptotic", row.p <= 0.05);
            shares.add("one attribute, permutation", row.p_permutation <= 0.05);
        }
    }
    shares
}

/// No effect, independent images: any finding at all in 5 % of 1,000 tables, not more. Without adjustment it would be in most.
#[test]
fn no_effect_is_found_as_often_as_promised() {
    let shares = analysed(&NOTHING, 1000, 99);
    shares.print("no effect, 240 images");
    // Three standard errors above .05; and not so far below that nothing could be found.
    for family in ["any level, Westfall-Young", "any attribute, Westfall-Young"] {
        assert!(
            (0.025..=0.071).contains(&shares.of(family)),
            "{family}: {}",
            shares.of(family)
        );
    }
    assert!(shares.of("any level, Fisher without adjustment") > 0.3);
    assert!(shares.of("any attribute, chi-square without adjustment") > 0.2);
    assert!(shares.of("any level, Holm of Fisher") <= 0.05);
    assert!((0.035..=0.055).contains(&shares.of("one level, permutation")));
}

/// No effect, one to three images of a lesion that are alike: tests that take images for independent find too much.
#[test]
fn lesions_of_several_images_do_not_mislead() {
    let design = Design {
        per_lesion: &[3, 2, 3, 2],
        common: 0.9,
        ..NOTHING
    };
    let shares = analysed(&design, 400, 99);
    shares.print("no effect, two or three images of each lesion");
    assert!(
        shares.of("any level, Westfall-Young") <= 0.083,
        "three standard errors above .05"
    );
    assert!((0.03..=0.06).contains(&shares.of("one level, permutation")));
    assert!((0.03..=0.08).contains(&shares.of("one level, clustered odds ratio leaves 1 out")));
    assert!(shares.of("one level, Fisher") > 0.075);
    assert!(shares.of("one attribute, asymptotic") > 0.09);
    assert!((0.03..=0.065).contains(&shares.of("one attribute, permutation")));
}

/// Small lesions are hard: the family finds them more often than Holm over Fisher's tests does.
#[test]
fn what_is_there_is_found() {
    let design = Design { small: 0.75, ..NOTHING };
    let shares = analysed(&design, 200, 199);
    shares.print("small lesions score .75 standard deviations more");
    let [young, holm] = ["small lesions, Westfall-Young", "small lesions, Holm of Fisher"].map(|name| shares.of(name));
    assert!(young > holm + 0.02 && (0.6..0.99).contains(&young), "{young}, {holm}");
}

/// Size alone makes hard, and women have larger lesions: alone sex seems to matter, beside size it does not.
#[test]
fn an_effect_of_lesions_is_not_taken_for_one_of_people() {
    let design = Design {
        small: 1.2,
        confounded: 1.0,
        ..NOTHING
    };
    let clustered = Design {
        per_lesion: &[3, 2, 3, 2],
        common: 0.9,
        ..NOTHING
    };
    let mut shares = Shares::default();
    for (design, alone, plain, robust) in [
        (&design, "sex alone", "sex beside size", ""),
        (&clustered, "", "sex, images independent", "sex, clustered errors"),
    ] {
        for number in 0..300 {
            let mut random = ChaCha8Rng::seed_from_u64(1000 + number);
            let drawn = draw(design, &mut random);
            let attributes: Vec<&Attribute> = drawn.attributes[..4].iter().collect();
            let found = regressions(&drawn.cohort, &attributes, &drawn.subjects.iter().collect::<Vec<_>>());
            let sex = found
                .tests
                .iter()
                .find(|row| row.attribute == "sex" && row.model == "ranks")
                .unwrap();
            for (name, p) in [(alone, sex.p_alone), (plain, sex.p), (robust, sex.p_wald)] {
                if !name.is_empty() {
                    shares.add(name, p.unwrap() <= 0.05);
                }
            }
            let logistic = found
                .tests
                .iter()
                .find(|row| row.attribute == "sex" && row.model == "logistic")
                .unwrap();
            if !alone.is_empty() {
                shares.add("sex beside size, logistic", logistic.p.unwrap() <= 0.05);
            }
        }
    }
    shares.print("regressions");
    assert!(shares.of("sex alone") > 0.4);
    // The effect of size is a step and the model's is a line: a little is left.
    assert!(shares.of("sex beside size") < 0.12 && shares.of("sex beside size, logistic") < 0.12);
    assert!(shares.of("sex, images independent") > 0.1);
    assert!(
        shares.of("sex, clustered errors") < 0.09,
        "three standard errors above .05"
    );
}
