use super::cohort::Cohort;
use super::contingency::TwoByTwo;
use crate::attribute::{Attribute, Scale, UNKNOWN};

/// Groups with fewer images are counted, and their rates are not shown: they say more about single people than about a group.
pub const LEAST_SHOWN: u64 = htl_metrics::LEAST_SHOWN as u64;

/// Groups with fewer images are not tested, and neither are comparisons with fewer images on the other side.
pub const LEAST_TESTED: u64 = htl_metrics::LEAST_TESTED as u64;

/// The levels of one attribute in a cohort, as numbers.
#[derive(Debug, Clone)]
pub(crate) struct Grouping {
    pub(crate) name: String,
    /// The known levels, in the order in which they are shown; those that only images outside the cohort have are left out.
    pub(crate) levels: Vec<String>,
    /// Per image the number of its level, `levels.len()` where it is not known.
    pub(crate) of: Vec<usize>,
    pub(crate) scale: Scale,
}

/// Images and hard images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) n: u64,
    pub(crate) hits: u64,
}

impl Count {
    fn add(self, other: Self) -> Self {
        Self {
            n: self.n + other.n,
            hits: self.hits + other.hits,
        }
    }
}

impl Grouping {
    pub(crate) fn new(attribute: &Attribute, cohort: &Cohort) -> Self {
        let of = |id: &String| attribute.level(id);
        let mut levels: Vec<String> = attribute.sorted_levels().into_iter().map(str::to_owned).collect();
        levels.retain(|level| cohort.ids.iter().chain(&cohort.empty).any(|id| of(id) == level));
        let number = |level: &str| levels.iter().position(|known| known == level).unwrap_or(levels.len());
        Self {
            name: attribute.name().to_owned(),
            of: cohort.ids.iter().map(|id| number(of(id))).collect(),
            scale: attribute.scale(),
            levels,
        }
    }

    /// Number of the level of images whose attribute is not known.
    pub(crate) fn unknown(&self) -> usize {
        self.levels.len()
    }

    /// Name of a level.
    pub(crate) fn level_name(&self, level: usize) -> &str {
        self.levels.get(level).map_or(UNKNOWN, String::as_str)
    }

    /// Counts by fold and level, the unknown last: `[fold][level]`.
    pub(crate) fn counts(&self, hard: &[bool], fold: &[usize], folds: usize) -> Vec<Vec<Count>> {
        let mut counts = vec![vec![Count::default(); self.levels.len() + 1]; folds.max(1)];
        for ((&level, &hard), &fold) in self.of.iter().zip(hard).zip(fold) {
            let count = &mut counts[fold][level];
            count.n += 1;
            count.hits += u64::from(hard);
        }
        counts
    }
}

/// One level against the other known ones, or the unknown against the known: one table per fold.
pub(crate) fn tables(counts: &[Vec<Count>], level: usize) -> Vec<TwoByTwo> {
    counts
        .iter()
        .map(|fold| {
            let unknown = fold.len() - 1;
            let own = fold[level];
            let others = (0..fold.len()).filter(|&other| other != level && other != unknown);
            let rest = others.fold(Count::default(), |sum, other| sum.add(fold[other]));
            TwoByTwo {
                hits: own.hits,
                misses: own.n - own.hits,
                other_hits: rest.hits,
                other_misses: rest.n - rest.hits,
            }
        })
        .collect()
}

/// All tables as one.
pub(crate) fn pooled(tables: &[TwoByTwo]) -> TwoByTwo {
    let sum = |of: fn(&TwoByTwo) -> u64| tables.iter().map(of).sum();
    TwoByTwo {
        hits: sum(|t| t.hits),
        misses: sum(|t| t.misses),
        other_hits: sum(|t| t.other_hits),
        other_misses: sum(|t| t.other_misses),
    }
}

/// Counts by level over all folds.
pub(crate) fn by_level(counts: &[Vec<Count>]) -> Vec<Count> {
    let levels = counts.first().map_or(0, Vec::len);
    let sum = |level: usize| counts.iter().fold(Count::default(), |sum, fold| sum.add(fold[level]));
    (0..levels).map(sum).collect()
}
