use htl_mining::MapKind;

use super::signal::{Evidence, Setup};

/// The predictor whose errors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Every dense network in turn, by itself.
    Network,
    /// Every dense network in turn, the mean of its views.
    Views,
    /// All dense networks together.
    Ensemble,
}

impl Judged {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Network, Self::Views, Self::Ensemble];

    /// Name in files and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Views => "views",
            Self::Ensemble => "ensemble",
        }
    }

    /// What it is, in words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Network => "each dense network in turn",
            Self::Views => "each dense network in turn, views of an image averaged",
            Self::Ensemble => "all dense networks averaged",
        }
    }

    /// The one of that key.
    pub fn named(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|judged| judged.key() == key)
    }
}

/// What networks say of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What the numbers of the maps mean.
    pub kind: MapKind,
    /// Pixels of a map.
    pub pixels: usize,
    /// Dense networks.
    pub networks: usize,
    /// Sparsities of the pruned copies.
    pub sparsities: usize,
    /// Views of an image, as it is among them.
    pub views: usize,
    /// Image by image.
    pub images: Vec<ImageJudgement>,
}

/// What networks say of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageJudgement {
    /// The image.
    pub image_id: String,
    /// Network by network.
    pub networks: Vec<NetworkJudgement>,
    /// Mean pairwise disagreement of the dense networks; `None` of a single one.
    pub spread: Option<f64>,
    /// The mean map of the dense networks.
    pub ensemble: MapFacts,
    /// Against the true mask; `None` where it is not known.
    pub jaccard: Option<Jaccards>,
}

/// What one dense network says of an image, and what others say of that.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkJudgement {
    /// Its map.
    pub map: MapFacts,
    /// The mean map of its views; `None` where they were not looked at.
    pub mean_view: Option<MapFacts>,
    /// Mean 1 - IoU of its mask with those of the other views.
    pub views: Option<f64>,
    /// 1 - IoU with its pruned and fine-tuned copy.
    pub sparse: Option<f64>,
    /// 1 - IoU with the next dense network.
    pub second: Option<f64>,
    /// 1 - area under IoU with its damaged copies, by damage in the order of [`htl_mining::Damage::ALL`].
    pub copies: [Option<f64>; 6],
}

/// What a map says by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapFacts {
    /// Mean binary entropy in bits per pixel; `None` of class activation maps.
    pub entropy: Option<f64>,
    /// Share of the picture inside its mask.
    pub area: f64,
}

/// Jaccard of every predictor with the true mask, at its stored size.
#[derive(Debug, Clone, PartialEq)]
pub struct Jaccards {
    /// Network by network.
    pub networks: Vec<f64>,
    /// Network by network, the mean of views.
    pub views: Option<Vec<f64>>,
    /// All dense networks averaged.
    pub ensemble: f64,
    /// All dense networks and views averaged.
    pub ensemble_views: Option<f64>,
    /// All dense and sparse networks averaged.
    pub dense_and_sparse: Option<f64>,
}

impl Judgement {
    /// Predictors that are judged one after the other: the networks, or one ensemble.
    pub fn replicates(&self, judged: Judged) -> usize {
        match judged {
            Judged::Network | Judged::Views => self.networks,
            Judged::Ensemble => 1,
        }
    }

    /// What costs depend on.
    pub fn setup(&self, judged: Judged) -> Setup {
        Setup {
            judged,
            networks: self.networks,
            sparsities: self.sparsities,
            views: self.views,
        }
    }

    /// Jaccard of a judged predictor, image by image; `None` where no mask is known.
    pub fn jaccard(&self, judged: Judged, replicate: usize) -> Vec<Option<f64>> {
        self.images
            .iter()
            .map(|image| image.jaccard(judged, replicate))
            .collect()
    }

    /// What signals may look at, image by image.
    pub fn evidence(&self, judged: Judged, replicate: usize, seed: u64) -> Vec<Evidence> {
        let of = |image: &ImageJudgement| Evidence {
            pixels: self.pixels,
            seed,
            ..image.evidence(judged, replicate)
        };
        self.images.iter().map(of).collect()
    }
}

impl ImageJudgement {
    fn jaccard(&self, judged: Judged, replicate: usize) -> Option<f64> {
        let known = self.jaccard.as_ref()?;
        match judged {
            Judged::Network => known.networks.get(replicate).copied(),
            Judged::Views => known.views.as_ref()?.get(replicate).copied(),
            Judged::Ensemble => Some(known.ensemble),
        }
    }

    fn evidence(&self, judged: Judged, replicate: usize) -> Evidence {
        let members = match judged {
            Judged::Network | Judged::Views => self.networks.get(replicate..=replicate).unwrap_or_default(),
            Judged::Ensemble => &self.networks,
        };
        let mean = |of: fn(&NetworkJudgement) -> Option<f64>| mean(members.iter().map(of));
        let map = match judged {
            Judged::Network => members.first().map(|network| network.map),
            Judged::Views => members.first().and_then(|network| network.mean_view),
            Judged::Ensemble => Some(self.ensemble),
        };
        Evidence {
            image_id: self.image_id.clone(),
            copies: std::array::from_fn(|damage| {
                super::judgement::mean(
                    members
                        .iter()
                        .map(|network| network.copies.get(damage).copied().flatten()),
                )
            }),
            sparse: mean(|network| network.sparse),
            second: mean(|network| network.second),
            spread: self.spread,
            views: mean(|network| network.views),
            entropy: map.and_then(|map| map.entropy),
            area: map.map_or(0.0, |map| map.area),
            error: self.jaccard(judged, replicate).map(|jaccard| 1.0 - jaccard),
            ..Evidence::default()
        }
    }
}

/// Mean of numbers that are all there.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(value: f64) -> NetworkJudgement {
        let facts = |area| MapFacts {
            entropy: Some(value),
            area,
        };
        NetworkJudgement {
            map: facts(0.1),
            mean_view: Some(facts(0.2)),
            views: Some(value),
            sparse: None,
            second: Some(value),
            copies: [Some(value), None, None, None, None, None],
        }
    }

    #[test]
    fn each_predictor_has_its_own_evidence() {
        let image = ImageJudgement {
            image_id: "a".into(),
            networks: vec![network(0.2), network(0.6)],
            spread: Some(0.5),
            ensemble: MapFacts {
                entropy: Some(0.9),
                area: 0.3,
            },
            jaccard: Some(Jaccards {
                networks: vec![0.5, 0.7],
                views: Some(vec![0.6, 0.8]),
                ensemble: 0.9,
                ensemble_views: None,
                dense_and_sparse: None,
            }),
        };
        let judgement = Judgement {
            kind: MapKind::Probability,
            pixels: 16,
            networks: 2,
            sparsities: 1,
            views: 8,
            images: vec![image],
        };
        let found = |judged, replicate| {
            let evidence = judgement.evidence(judged, replicate, 7).remove(0);
            assert_eq!((evidence.pixels, evidence.seed, evidence.sparse), (16, 7, None));
            let error = (evidence.error.unwrap() * 10.0).round();
            (evidence.views.unwrap(), evidence.entropy.unwrap(), evidence.area, error)
        };
        assert_eq!(found(Judged::Network, 1), (0.6, 0.6, 0.1, 3.0));
        assert_eq!(found(Judged::Views, 0), (0.2, 0.2, 0.2, 4.0));
        assert_eq!(found(Judged::Ensemble, 0), (0.4, 0.9, 0.3, 1.0));
        assert_eq!(
            (
                judgement.replicates(Judged::Views),
                judgement.replicates(Judged::Ensemble)
            ),
            (2, 1)
        );
        for judged in Judged::ALL {
            assert_eq!(Judged::named(judged.key()), Some(judged));
        }
    }
}
