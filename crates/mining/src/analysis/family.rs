use std::collections::HashMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::cohort::Cohort;
use super::differences::{between, kruskal, pearson};
use super::grouping::{Count, Grouping, LEAST_TESTED, by_level, pooled, tables};
use super::normal::{chi_square_p, normal_p};
use super::rates::AttributeTest;
use super::shuffle::Shuffle;
use super::trend::{armitage, jonckheere, jonckheere_moments, jonckheere_z};
use super::westfall_young::{PermutationP, westfall_young};
use crate::attribute::Scale;
use crate::correlate::mean_ranks;

/// How many permutations, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Permutations {
    /// Permutations drawn beside the order observed; the smallest p is 1 / (count + 1).
    pub count: usize,
    /// Seed of the drawing; the same seed gives the same p.
    pub seed: u64,
}

impl Default for Permutations {
    /// 4999 permutations, seed 0.
    fn default() -> Self {
        Self { count: 4999, seed: 0 }
    }
}

/// A test of a whole attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ChiSquare,
    Armitage,
    Kruskal,
    Jonckheere,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::ChiSquare => "chi-square",
            Self::Armitage => "cochran-armitage",
            Self::Kruskal => "kruskal-wallis",
            Self::Jonckheere => "jonckheere",
        }
    }
}

/// All tests of one cohort, computed anew for every permutation of the outcome.
pub(super) struct Family<'a> {
    cohort: &'a Cohort,
    groupings: &'a [Grouping],
    /// Per attribute the level of each image, unknown where the level is too small to be tested.
    large: Vec<Vec<usize>>,
    /// Attribute and level.
    levels: &'a [(usize, usize)],
    tests: Vec<AttributeFamilyTest>,
    scores: Option<Scores>,
}

/// A test of a whole attribute.
#[derive(Debug, Clone, Copy)]
struct AttributeFamilyTest {
    /// The attribute's number.
    attribute: usize,
    kind: Kind,
    /// Mean and standard deviation of Jonckheere's statistic.
    moments: (f64, f64),
}

struct Scores {
    /// Mean ranks of the images' scores.
    ranks: Vec<f64>,
    /// Images in rising order of the score.
    order: Vec<usize>,
    /// How many images in turn have equal scores.
    groups: Vec<usize>,
}

/// p values by permutation, in the order of the tests.
pub(super) struct ByPermutation {
    pub(super) levels: Vec<PermutationP>,
    pub(super) tests: Vec<AttributeTest>,
    pub(super) fixed: usize,
}

/// p of Fisher's test by number of the test, hits inside and hits outside: few tables occur, again and again.
type Known = HashMap<(usize, u64, u64), f64>;

impl<'a> Family<'a> {
    pub(super) fn new(cohort: &'a Cohort, groupings: &'a [Grouping], levels: &'a [(usize, usize)]) -> Self {
        let scores = cohort.score.as_ref().map(|score| {
            let mut order: Vec<usize> = (0..score.len()).collect();
            order.sort_by(|&a, &b| score[a].total_cmp(&score[b]));
            let groups = order.chunk_by(|&a, &b| score[a] == score[b]);
            Scores {
                ranks: mean_ranks(score),
                groups: groups.map(<[usize]>::len).collect(),
                order,
            }
        });
        let varied = scores.as_ref().filter(|scores| scores.groups.len() > 1);
        let hard = cohort.hard_count();
        let mut tests = Vec::new();
        for (attribute, grouping) in groupings.iter().enumerate() {
            let counts = by_level(&grouping.counts(&cohort.hard, &cohort.fold, cohort.folds()));
            let known = &counts[..grouping.unknown()];
            if large(known).len() < 2 {
                continue;
            }
            let ordered = grouping.scale == Scale::Ordinal && known.iter().filter(|count| count.n > 0).count() > 2;
            let mut push = |kind, moments| {
                tests.push(AttributeFamilyTest {
                    attribute,
                    kind,
                    moments,
                });
            };
            if hard > 0 && hard < cohort.len() {
                push(Kind::ChiSquare, (0.0, 0.0));
                if ordered {
                    push(Kind::Armitage, (0.0, 0.0));
                }
            }
            if let Some(scores) = varied {
                push(Kind::Kruskal, (0.0, 0.0));
                if ordered {
                    let sizes: Vec<f64> = known.iter().map(|count| count.n as f64).collect();
                    // The ties are those of all images; exact where the attribute is known of all.
                    let ties: Vec<f64> = scores.groups.iter().map(|&size| size as f64).collect();
                    let share = sizes.iter().sum::<f64>() / cohort.len() as f64;
                    let ties: Vec<f64> = ties.iter().map(|size| 1.0_f64.max(size * share)).collect();
                    let (mean, variance) = jonckheere_moments(&sizes, &ties);
                    push(Kind::Jonckheere, (mean, variance.max(0.0).sqrt()));
                }
            }
        }
        Self {
            cohort,
            groupings,
            large: groupings.iter().map(large_levels).collect(),
            levels,
            tests,
            scores,
        }
    }

    pub(super) fn run(&self, permutations: &Permutations) -> ByPermutation {
        let shuffle = Shuffle::new(&self.cohort.fold, &self.cohort.cluster);
        let mut random = ChaCha8Rng::seed_from_u64(permutations.seed);
        let observed: Vec<usize> = (0..self.cohort.len()).collect();
        let (mut levels, mut tests) = (Vec::new(), Vec::new());
        let mut known = Known::new();
        for number in 0..=permutations.count {
            let from = if number == 0 {
                observed.clone()
            } else {
                shuffle.draw(&mut random)
            };
            let (of_levels, of_tests) = self.evidence(&from, &mut known);
            levels.push(of_levels);
            tests.push(of_tests);
        }
        let adjusted = westfall_young(&tests);
        let rows = self.tests.iter().zip(adjusted).map(|(test, p)| self.row(test, p));
        ByPermutation {
            tests: rows.collect(),
            levels: westfall_young(&levels),
            fixed: shuffle.fixed(),
        }
    }

    /// -ln p of levels and of attributes when each image has the outcome of another.
    fn evidence(&self, from: &[usize], known: &mut Known) -> (Vec<f64>, Vec<f64>) {
        let hard: Vec<bool> = from.iter().map(|&source| self.cohort.hard[source]).collect();
        let one_fold = vec![0; hard.len()];
        let of = |grouping: &Grouping| grouping.counts(&hard, &one_fold, 1);
        let counts: Vec<Vec<Vec<Count>>> = self.groupings.iter().map(of).collect();
        let mut levels = Vec::with_capacity(self.levels.len());
        for (number, &(attribute, level)) in self.levels.iter().enumerate() {
            let table = pooled(&tables(&counts[attribute], level));
            let p = known.entry((number, table.hits, table.other_hits));
            levels.push(minus_log(*p.or_insert_with(|| table.fisher())));
        }
        let permuted = self.scores.as_ref().map(|scores| {
            let mut holder = vec![0; from.len()];
            from.iter()
                .enumerate()
                .for_each(|(image, &source)| holder[source] = image);
            let ranks: Vec<f64> = from.iter().map(|&source| scores.ranks[source]).collect();
            let ordered: Vec<usize> = scores.order.iter().map(|&source| holder[source]).collect();
            (ranks, ordered, scores.groups.as_slice())
        });
        let test = |test: &AttributeFamilyTest| {
            let grouping = &self.groupings[test.attribute];
            let unknown = grouping.unknown();
            let counts = &counts[test.attribute][0][..unknown];
            let p = match (test.kind, &permuted) {
                (Kind::ChiSquare, _) => {
                    let (statistic, freedom) = pearson(&large(counts));
                    chi_square_p(statistic, freedom)
                }
                (Kind::Armitage, _) => normal_p(armitage(counts)),
                (Kind::Kruskal, Some((ranks, ..))) => {
                    let (statistic, freedom) = between(ranks, &self.large[test.attribute], unknown);
                    chi_square_p(statistic, freedom)
                }
                (Kind::Jonckheere, Some((_, ordered, groups))) => {
                    let levels: Vec<usize> = ordered.iter().map(|&image| grouping.of[image]).collect();
                    let (mean, deviation) = test.moments;
                    let z = (jonckheere(&levels, groups, unknown) - mean) / deviation;
                    if z.is_finite() { normal_p(z) } else { 1.0 }
                }
                (Kind::Kruskal | Kind::Jonckheere, None) => 1.0,
            };
            minus_log(p)
        };
        (levels, self.tests.iter().map(test).collect())
    }

    fn row(&self, test: &AttributeFamilyTest, by_permutation: PermutationP) -> AttributeTest {
        let grouping = &self.groupings[test.attribute];
        let unknown = grouping.unknown();
        let level = match test.kind {
            Kind::ChiSquare | Kind::Kruskal => &self.large[test.attribute],
            Kind::Armitage | Kind::Jonckheere => &grouping.of,
        };
        let images: Vec<usize> = (0..level.len()).filter(|&image| level[image] < unknown).collect();
        let mut counts = vec![Count::default(); unknown];
        for &image in &images {
            counts[level[image]].n += 1;
            counts[level[image]].hits += u64::from(self.cohort.hard[image]);
        }
        let levels: Vec<usize> = images.iter().map(|&image| level[image]).collect();
        let score = self.cohort.score.as_deref().unwrap_or_default();
        let scores: Vec<f64> = images.iter().filter_map(|&image| score.get(image).copied()).collect();
        let (statistic, df) = match test.kind {
            Kind::ChiSquare => pearson(&counts),
            Kind::Armitage => (armitage(&counts), 1),
            Kind::Kruskal => kruskal(&scores, &levels, unknown),
            Kind::Jonckheere => (jonckheere_z(&scores, &levels, unknown), 1),
        };
        AttributeTest {
            outcome: self.cohort.outcome.clone(),
            attribute: grouping.name.clone(),
            test: test.kind.name().to_owned(),
            levels: counts.iter().filter(|count| count.n > 0).count(),
            n: images.len(),
            htl: counts.iter().map(|count| count.hits as usize).sum(),
            statistic,
            df,
            p: match test.kind {
                Kind::ChiSquare | Kind::Kruskal => chi_square_p(statistic, df),
                Kind::Armitage | Kind::Jonckheere => normal_p(statistic),
            },
            p_permutation: by_permutation.p,
            p_adjusted: by_permutation.adjusted,
        }
    }
}

/// The counts of levels that are large enough to be tested.
fn large(counts: &[Count]) -> Vec<Count> {
    counts.iter().copied().filter(|count| count.n >= LEAST_TESTED).collect()
}

/// The level of each image, unknown where the level is too small to be tested.
fn large_levels(grouping: &Grouping) -> Vec<usize> {
    let unknown = grouping.unknown();
    let mut sizes = vec![0_u64; unknown + 1];
    grouping.of.iter().for_each(|&level| sizes[level] += 1);
    let large = |&level: &usize| if sizes[level] >= LEAST_TESTED { level } else { unknown };
    grouping.of.iter().map(large).collect()
}

/// -ln p, finite.
fn minus_log(p: f64) -> f64 {
    -p.max(f64::MIN_POSITIVE).ln()
}
