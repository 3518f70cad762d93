use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Permutations of images that leave everything as it was but the outcome: lesions (or patients) keep their outcomes
/// together, change places with lesions of the same fold that have as many images, and deal theirs anew among their images.
///
/// If the outcome has nothing to do with an attribute, every such permutation of the outcomes is as probable as the one
/// observed, however alike the images of a lesion are (whole-block and within-block exchangeability, Winkler et al.,
/// "Multi-level block permutation", NeuroImage 2015).
#[derive(Debug, Clone)]
pub(crate) struct Shuffle {
    images: usize,
    /// Blocks that may change places: positions of their images.
    strata: Vec<Vec<Vec<usize>>>,
}

impl Shuffle {
    /// # Shapes
    /// - `fold`, `cluster`: a number per image
    pub(crate) fn new(fold: &[usize], cluster: &[usize]) -> Self {
        let mut blocks: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (image, (fold, cluster)) in fold.iter().zip(cluster).enumerate() {
            blocks.entry((*fold, *cluster)).or_default().push(image);
        }
        let mut strata: BTreeMap<(usize, usize), Vec<Vec<usize>>> = BTreeMap::new();
        for ((fold, _), block) in blocks {
            strata.entry((fold, block.len())).or_default().push(block);
        }
        Self {
            images: fold.len(),
            strata: strata.into_values().collect(),
        }
    }

    /// Images of lesions that have no other to change places with: their outcomes stay with them in every permutation.
    pub(crate) fn fixed(&self) -> usize {
        let alone = self.strata.iter().filter(|blocks| blocks.len() == 1);
        alone.map(|blocks| blocks.iter().map(Vec::len).sum::<usize>()).sum()
    }

    /// A permutation: for each image the one whose outcome it takes.
    pub(crate) fn draw(&self, random: &mut ChaCha8Rng) -> Vec<usize> {
        let mut from = vec![0; self.images];
        for blocks in &self.strata {
            let mut order: Vec<usize> = (0..blocks.len()).collect();
            order.shuffle(random);
            for (to, source) in blocks.iter().zip(order) {
                let mut dealt = blocks[source].clone();
                dealt.shuffle(random);
                to.iter().zip(dealt).for_each(|(&to, source)| from[to] = source);
            }
        }
        from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Folds keep their outcomes, lesions their images, and everything that can move does.
    #[test]
    fn whole_lesions_move_within_folds() {
        let fold = [0, 0, 0, 0, 0, 1, 1, 1, 1];
        let cluster = [0, 0, 1, 1, 2, 3, 4, 5, 5];
        let shuffle = Shuffle::new(&fold, &cluster);
        assert_eq!(shuffle.fixed(), 3);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut swapped = [false; 2];
        for _ in 0..50 {
            let from = shuffle.draw(&mut random);
            let mut sorted = from.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..9).collect::<Vec<_>>());
            assert!(from.iter().enumerate().all(|(to, &source)| fold[to] == fold[source]));
            let mut first = from[..2].to_vec();
            first.sort_unstable();
            assert!(first == [0, 1] || first == [2, 3], "lesions stay whole");
            assert!(from[4] == 4 && from[7..].iter().all(|source| *source >= 7));
            swapped[0] |= from[0] >= 2;
            swapped[1] |= from[5] == 6;
        }
        assert_eq!(swapped, [true; 2]);
    }
}
