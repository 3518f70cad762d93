use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::cohort::Cohort;
use super::differences::{between, kruskal, pearson};
use super::grouping::{Count, Grouping, LEAST_TESTED, by_level, tables};
use super::normal::{chi_square_p, normal_p};
use super::rates::AttributeTest;
use super::shuffle::Shuffle;
use super::stratified::cochran_mantel_haenszel;
use super::trend::{armitage, jonckheere, jonckheere_z};
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
    /// Attribute and level.
    levels: &'a [(usize, usize)],
    /// Attribute and test.
    tests: Vec<(usize, Kind)>,
    /// Ranks of the scores, and the images in rising order of the score in groups of equal ones.
    scores: Option<Scores>,
}

struct Scores {
    ranks: Vec<f64>,
    groups: Vec<Vec<usize>>,
}

/// p values by permutation, in the order of the tests.
pub(super) struct ByPermutation {
    pub(super) levels: Vec<PermutationP>,
    pub(super) tests: Vec<AttributeTest>,
    pub(super) fixed: usize,
}

impl<'a> Family<'a> {
    pub(super) fn new(cohort: &'a Cohort, groupings: &'a [Grouping], levels: &'a [(usize, usize)]) -> Self {
        let scores = cohort.score.as_ref().map(|score| {
            let mut order: Vec<usize> = (0..score.len()).collect();
            order.sort_by(|&a, &b| score[a].total_cmp(&score[b]));
            Scores {
                ranks: mean_ranks(score),
                groups: order
                    .chunk_by(|&a, &b| score[a] == score[b])
                    .map(<[usize]>::to_vec)
                    .collect(),
            }
        });
        let varied = scores.as_ref().is_some_and(|scores| scores.groups.len() > 1);
        let hard = cohort.hard_count();
        let mut tests = Vec::new();
        for (number, grouping) in groupings.iter().enumerate() {
            let counts = by_level(&grouping.counts(&cohort.hard, &cohort.fold, cohort.folds()));
            let known = &counts[..grouping.unknown()];
            let enough = known.iter().filter(|count| count.n >= LEAST_TESTED).count();
            if enough < 2 {
                continue;
            }
            let ordered = grouping.scale == Scale::Ordinal && known.iter().filter(|count| count.n > 0).count() > 2;
            if hard > 0 && hard < cohort.len() {
                tests.push((number, Kind::ChiSquare));
                tests.extend(ordered.then_some((number, Kind::Armitage)));
            }
            if varied {
                tests.push((number, Kind::Kruskal));
                tests.extend(ordered.then_some((number, Kind::Jonckheere)));
            }
        }
        Self {
            cohort,
            groupings,
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
        for number in 0..=permutations.count {
            let from = if number == 0 {
                observed.clone()
            } else {
                shuffle.draw(&mut random)
            };
            let (of_levels, of_tests) = self.statistics(&from);
            levels.push(of_levels);
            tests.push(of_tests);
        }
        let adjusted = westfall_young(&tests);
        ByPermutation {
            levels: westfall_young(&levels),
            tests: self
                .tests
                .iter()
                .zip(adjusted)
                .map(|(&(number, kind), p)| self.row(number, kind, p))
                .collect(),
            fixed: shuffle.fixed(),
        }
    }

    /// Statistics of the levels and of the attributes when each image has the outcome of another; larger = further from none.
    fn statistics(&self, from: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let hard: Vec<bool> = from.iter().map(|&source| self.cohort.hard[source]).collect();
        let of = |grouping: &Grouping| grouping.counts(&hard, &self.cohort.fold, self.cohort.folds());
        let counts: Vec<Vec<Vec<Count>>> = self.groupings.iter().map(of).collect();
        let level = |&(number, level): &(usize, usize)| cochran_mantel_haenszel(&tables(&counts[number], level)).abs();
        let permuted = self.scores.as_ref().map(|scores| {
            let mut holder = vec![0; from.len()];
            from.iter()
                .enumerate()
                .for_each(|(image, &source)| holder[source] = image);
            let ranks: Vec<f64> = from.iter().map(|&source| scores.ranks[source]).collect();
            (ranks, holder)
        });
        let test = |&(number, kind): &(usize, Kind)| {
            let grouping = &self.groupings[number];
            let known = || by_level(&counts[number])[..grouping.unknown()].to_vec();
            match (kind, &permuted, &self.scores) {
                (Kind::ChiSquare, ..) => pearson(&large(&known())).0,
                (Kind::Armitage, ..) => armitage(&known()).abs(),
                (Kind::Kruskal, Some((ranks, _)), _) => {
                    between(ranks, &self.large_levels(number), grouping.unknown()).0
                }
                (Kind::Jonckheere, Some((_, holder)), Some(scores)) => {
                    let levels = grouping.unknown();
                    let of = |group: &Vec<usize>| -> Vec<usize> {
                        group.iter().map(|&source| grouping.of[holder[source]]).collect()
                    };
                    let groups: Vec<Vec<usize>> = scores.groups.iter().map(of).collect();
                    let sizes: Vec<f64> = known().iter().map(|count| count.n as f64).collect();
                    let n: f64 = sizes.iter().sum();
                    let mean = (n * n - sizes.iter().map(|size| size * size).sum::<f64>()) / 4.0;
                    (jonckheere(groups.iter().map(Vec::as_slice), levels) - mean).abs()
                }
                (Kind::Kruskal | Kind::Jonckheere, ..) => 0.0,
            }
        };
        (
            self.levels.iter().map(level).collect(),
            self.tests.iter().map(test).collect(),
        )
    }

    /// The level of each image, unknown where the level is too small to be tested.
    fn large_levels(&self, number: usize) -> Vec<usize> {
        let grouping = &self.groupings[number];
        let unknown = grouping.unknown();
        let mut sizes = vec![0_u64; unknown + 1];
        grouping.of.iter().for_each(|&level| sizes[level] += 1);
        let large = |&level: &usize| if sizes[level] >= LEAST_TESTED { level } else { unknown };
        grouping.of.iter().map(large).collect()
    }

    fn row(&self, number: usize, kind: Kind, by_permutation: PermutationP) -> AttributeTest {
        let grouping = &self.groupings[number];
        let unknown = grouping.unknown();
        let level = match kind {
            Kind::ChiSquare | Kind::Kruskal => self.large_levels(number),
            Kind::Armitage | Kind::Jonckheere => grouping.of.clone(),
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
        let (statistic, df) = match kind {
            Kind::ChiSquare => pearson(&counts),
            Kind::Armitage => (armitage(&counts), 1),
            Kind::Kruskal => kruskal(&scores, &levels, unknown),
            Kind::Jonckheere => (jonckheere_z(&scores, &levels, unknown), 1),
        };
        AttributeTest {
            outcome: self.cohort.outcome.clone(),
            attribute: grouping.name.clone(),
            test: kind.name().to_owned(),
            levels: counts.iter().filter(|count| count.n > 0).count(),
            n: images.len(),
            htl: counts.iter().map(|count| count.hits as usize).sum(),
            statistic,
            df,
            p: match kind {
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
