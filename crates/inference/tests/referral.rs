//! What networks say of images for referral, beside the predictors themselves and by hand; and what the tables make of it.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_inference::referral::{
    ImageJudgement, Jaccards, JudgeParams, Judged, Judgement, MapFacts, NetworkJudgement, RefereeNetworks, SIGNALS,
    ensemble_table, judge, routing_table, signal_named, signal_scores, signal_table,
};
use htl_inference::{
    Components, Ensemble, Evaluation, InferenceError, LargestComponent, NetworkPredictor, OneView, Predictor,
    SquareView, ViewSet, Views, localization_maps,
};
use htl_metrics::{BootstrapParams, Confusion, Mask};
use htl_mining::MapKind;
use htl_models::Architecture;

mod common;

use common::{SIZE, checkpoints, classifier, data, unet};

struct Case {
    data: DataFolder,
    dense: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

fn case(architecture: &Architecture) -> Case {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let training = ImageSet::load(&data.split(Split::Train)[..16], SIZE, MaskUse::Ignore).unwrap();
    Case {
        dense: checkpoints(architecture, folder.path(), &training),
        data,
        _folder: folder,
    }
}

impl Case {
    fn samples(&self) -> Vec<&Sample> {
        self.data.split(Split::Test)[..12].to_vec()
    }

    fn judge(&self, dense: usize, sparse: usize, params: &JudgeParams) -> Result<Judgement, InferenceError> {
        // The other one's network stands for a sparse copy.
        let sparse = self.dense.iter().rev().take(sparse).cloned().collect();
        let networks = RefereeNetworks::new(self.dense[..dense].to_vec(), sparse)?;
        let training = &self.data.split(Split::Train)[..16];
        let mut last = (0, 1);
        let mut done = |passes, total| {
            assert!(passes > last.0 || passes == 1, "{passes} after {}", last.0);
            last = (passes, total);
        };
        let found = judge(&networks, &self.samples(), training, params, &Device::Cpu, &mut done)?;
        assert_eq!(last.0, last.1);
        Ok(found)
    }

    fn predictor(&self, network: usize) -> NetworkPredictor {
        NetworkPredictor::load(&self.dense[network], &Device::Cpu).unwrap()
    }

    fn masks(&self, predictor: &dyn Predictor) -> Vec<Mask> {
        let images = ImageSet::load(&self.samples(), SIZE, MaskUse::Ignore).unwrap();
        let maps = localization_maps(predictor, &images).unwrap();
        let mask = |image: usize| {
            let map: Vec<f32> = maps.get(image).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            predictor.cut().mask(SIZE, SIZE, &map).unwrap()
        };
        (0..images.len()).map(mask).collect()
    }

    fn jaccard(&self, predictor: &dyn Predictor) -> Vec<f64> {
        let evaluation = Evaluation::of(predictor, &self.samples()).unwrap();
        let table = evaluation.per_image(predictor.cut(), &self.data).unwrap();
        table.rows.iter().map(|row| row.scores.jaccard).collect()
    }
}

fn params() -> JudgeParams {
    JudgeParams {
        signals: SIGNALS.iter().collect(),
        judged: Judged::Network,
        sparsities: vec![0.3, 0.6],
        seed: 3,
        views: ViewSet::Symmetries,
        components: Components::All,
    }
}

fn close(found: &[f64], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
    assert_eq!(found.len(), expected.len());
}

fn distances(a: &[Mask], b: &[Mask]) -> Vec<f64> {
    let of = |(a, b): (&Mask, &Mask)| match a.area() + b.area() {
        0 => 1.0,
        _ => 1.0 - Confusion::of(a, b).unwrap().jaccard(),
    };
    a.iter().zip(b).map(of).collect()
}

/// Every number of a judgement is that of the predictor it stands for.
#[test]
fn judgements_are_what_the_predictors_say() {
    for architecture in [unet(), classifier()] {
        let case = case(&architecture);
        let judgement = case.judge(2, 2, &params()).unwrap();
        let [first, second] = [0, 1].map(|network| case.predictor(network));
        let of = |judged, replicate| -> Vec<f64> {
            judgement
                .jaccard(judged, replicate)
                .into_iter()
                .map(Option::unwrap)
                .collect()
        };
        close(&of(Judged::Network, 1), &case.jaccard(&second));
        // Sums in another order may move a pixel at the cut of a mean map.
        let near = |found: Vec<f64>, expected: Vec<f64>| {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 0.02, "{found} {expected}");
            }
        };
        near(
            of(Judged::Views, 0),
            case.jaccard(&Views::new(&first, ViewSet::Symmetries)),
        );
        near(
            of(Judged::Ensemble, 0),
            case.jaccard(&Ensemble::new(vec![&first, &second]).unwrap()),
        );

        let scores = signal_scores(&judgement, Judged::Network, 3);
        let values = |key: &str, replicate: usize| -> Vec<f64> {
            let of = scores.iter().find(|one| one.signal.key == key).unwrap();
            of.values[replicate].iter().map(|value| value.unwrap()).collect()
        };
        let [a, b] = [&first, &second].map(|predictor| case.masks(predictor));
        let apart = distances(&a, &b);
        for (key, replicate) in [
            ("second-network", 0),
            ("second-network", 1),
            ("spread", 0),
            ("disagreement", 1),
        ] {
            close(&values(key, replicate), &apart);
        }
        let mut seen = vec![0.0; a.len()];
        for view in &SquareView::ALL[1..] {
            let other = distances(&a, &case.masks(&OneView::new(&first, *view)));
            seen.iter_mut().zip(other).for_each(|(sum, one)| *sum += one / 7.0);
        }
        close(&values("views", 0), &seen);
        let areas: Vec<f64> = b
            .iter()
            .map(|mask| 1.0 - mask.area() as f64 / (SIZE * SIZE) as f64)
            .collect();
        close(&values("area", 1), &areas);
        let entropy = scores.iter().find(|one| one.signal.key == "entropy").unwrap();
        assert_eq!(entropy.missing().is_some(), judgement.kind == MapKind::ClassActivation);
        // Noise is a damage of its own.
        assert_ne!(values("forgetting", 0), values("noise", 0));
        assert_ne!(values("forgetting", 0), values("forgetting", 1));
    }
}

/// Fewer views cost fewer passes, and masks of one part are judged as a predictor of such masks is.
#[test]
fn views_and_components_are_those_asked_for() {
    let case = case(&unet());
    let asked = JudgeParams {
        judged: Judged::Views,
        views: ViewSet::Flips,
        components: Components::Largest,
        ..params()
    };
    let judgement = case.judge(1, 0, &asked).unwrap();
    let found: Vec<f64> = judgement
        .jaccard(Judged::Views, 0)
        .into_iter()
        .map(Option::unwrap)
        .collect();
    let first = case.predictor(0);
    let expected = case.jaccard(&LargestComponent::new(Views::new(&first, ViewSet::Flips)));
    // A pixel at the cut may move where sums are in another order.
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 0.02, "{found} {expected}");
    }
    assert_ne!(found, case.jaccard(&Views::new(&first, ViewSet::Symmetries)));
    let cost = signal_named("views").unwrap().cost(&judgement.setup(Judged::Network));
    assert_eq!((cost.passes, judgement.views), (4, 4));
}

/// Only what a signal needs is looked at, and what is missing is blank.
#[test]
fn one_network_has_fewer_signals() {
    let case = case(&unet());
    let judgement = case.judge(1, 0, &params()).unwrap();
    let scores = signal_scores(&judgement, Judged::Network, 0);
    let missing: Vec<&str> = scores
        .iter()
        .filter(|one| one.missing().is_some())
        .map(|one| one.signal.key)
        .collect();
    assert_eq!(missing, ["disagreement", "second-network", "spread"]);
    let tables = signal_table(
        &judgement,
        Judged::Network,
        &scores,
        &(0..12).collect::<Vec<_>>(),
        &BootstrapParams::default(),
    )
    .unwrap();
    let row = |key: &str| tables.signals.iter().find(|row| row.signal == key).unwrap();
    assert_eq!(
        (row("spread").aurc, row("spread").missing.as_str()),
        (None, "a second dense network")
    );
    assert!(tables.differences.iter().all(|row| row.against != "second-network"));
    assert!(tables.curves.iter().all(|row| row.signal != "spread"));

    let few = JudgeParams {
        signals: vec![signal_named("entropy").unwrap()],
        ..params()
    };
    let judgement = case.judge(1, 0, &few).unwrap();
    let network = &judgement.images[0].networks[0];
    assert_eq!((network.views, network.copies), (None, [None; 6]));
}

#[test]
fn networks_that_cannot_judge_are_named() {
    let case = case(&unet());
    let said = |result: Result<Judgement, InferenceError>| result.unwrap_err().to_string();
    assert!(said(case.judge(2, 1, &params())).contains("1 sparse networks for 2 dense"));
    assert!(said(case.judge(0, 0, &params())).contains("at least one"));
    let falling = JudgeParams {
        sparsities: vec![0.6, 0.3],
        ..params()
    };
    assert!(said(case.judge(1, 0, &falling)).contains("ascending"));
    let networks = RefereeNetworks::new(case.dense.clone(), Vec::new()).unwrap();
    let nobody = judge(&networks, &[], &[], &params(), &Device::Cpu, &mut |_, _| ());
    assert!(said(nobody).contains("found 2 tensors and 0 ids"));
    let predictor = case.predictor(0);
    let broken = predictor.network().parameters().trainable();
    broken[0]
        .1
        .set(&Tensor::full(f32::NAN, broken[0].1.shape(), &Device::Cpu).unwrap())
        .unwrap();
    let images = ImageSet::load(&case.samples(), SIZE, MaskUse::Ignore).unwrap();
    let error = localization_maps(&Views::new(&predictor, ViewSet::Symmetries), &images).unwrap_err();
    assert!(matches!(error, InferenceError::NotFinite { .. }), "{error}");
}

/// Two networks, ten images; the first five are easy and the second network is right about the others.
fn synthetic() -> Judgement {
    let facts = MapFacts {
        entropy: Some(0.1),
        area: 0.2,
    };
    let image = |place: usize| {
        let hard = place >= 5;
        let network = |own: f64| NetworkJudgement {
            map: facts,
            mean_view: Some(facts),
            views: Some(0.1),
            sparse: None,
            second: Some(if hard { 0.5 } else { 0.1 } + place as f64 / 100.0),
            copies: [Some(own), None, None, None, None, None],
        };
        ImageJudgement {
            image_id: format!("i{place}"),
            networks: vec![network(if hard { 0.9 } else { 0.2 }), network(0.5)],
            spread: Some(0.3),
            ensemble: facts,
            // The last one has no mask.
            jaccard: (place < 9).then(|| Jaccards {
                networks: vec![if hard { 0.4 } else { 0.9 }, if hard { 0.8 } else { 0.9 }],
                views: Some(vec![0.9; 2]),
                ensemble: 0.85,
                ensemble_views: Some(0.95),
                dense_and_sparse: None,
            }),
        }
    };
    Judgement {
        kind: MapKind::Probability,
        pixels: 64,
        networks: 2,
        sparsities: 3,
        views: 8,
        images: (0..10).map(image).collect(),
    }
}

#[test]
fn tables_by_hand() {
    let judgement = synthetic();
    let clusters: Vec<usize> = (0..10).collect();
    let scores = signal_scores(&judgement, Judged::Network, 0);
    let bootstrap = BootstrapParams::default();
    let tables = signal_table(&judgement, Judged::Network, &scores, &clusters, &bootstrap).unwrap();
    let row = |key: &str| tables.signals.iter().find(|row| row.signal == key).unwrap();
    let near = |found: Option<f64>, expected: f64| {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    };
    assert_eq!((row("random").images, row("random").networks), (9, 2));
    // Means of .9 five times with .4 or .8 four times.
    let all = ((5.0 * 0.9 + 4.0 * 0.4) / 9.0 + (5.0 * 0.9 + 4.0 * 0.8) / 9.0) / 2.0;
    near(row("entropy").jaccard, all);
    // A constant signal is chance, a right one the oracle.
    near(row("entropy").share_of_oracle, 0.0);
    near(row("second-network").share_of_oracle, 1.0);
    near(row("oracle").excess_aurc, 0.0);
    // Two of nine are referred.
    let without = ((5.0 * 0.9 + 2.0 * 0.4) / 7.0 + (5.0 * 0.9 + 2.0 * 0.8) / 7.0) / 2.0;
    near(row("second-network").jaccard_without_20, without);
    let difference = |measure: &str| {
        let mut rows = tables.differences.iter();
        let is = |row: &&htl_vocabulary::ReferralDifferenceRow| {
            (row.signal.as_str(), row.against.as_str(), row.measure.as_str()) == ("second-network", "entropy", measure)
        };
        let row = rows.find(is).unwrap();
        assert!(row.lo <= row.difference && row.difference <= row.hi, "{row:?}");
        row.difference
    };
    near(
        Some(difference("aurc")),
        row("second-network").aurc.unwrap() - row("entropy").aurc.unwrap(),
    );
    near(Some(difference("jaccard_without_20")), without - all);

    let ensembles = ensemble_table(&judgement, &clusters, &bootstrap).unwrap();
    let names: Vec<&str> = ensembles.iter().map(|row| row.predictor.as_str()).collect();
    assert_eq!(names, ["network", "views", "ensemble", "ensemble-views"]);
    assert_eq!(ensembles[3].passes, 16);
    near(ensembles[2].gain, 0.85 - all);

    let routing = routing_table(&judgement, 0).unwrap();
    let routed = |key: &str, share: f64| {
        let mut rows = routing.iter();
        rows.find(|row| row.signal == key && (row.share - share).abs() < 1e-9)
            .unwrap()
    };
    // Four of nine: exactly the hard ones; chance gets four ninths of each.
    near(
        Some(routed("second-network", 4.0 / 9.0).jaccard),
        (5.0 * 0.9 + 4.0 * 0.95) / 9.0,
    );
    near(
        Some(routed("random", 4.0 / 9.0).jaccard),
        4.0 / 9.0 * 0.95 + 5.0 / 9.0 * all,
    );
    near(Some(routed("second-network", 0.0).passes), 2.0);
    near(Some(routed("second-network", 1.0).passes), 16.0);
    near(Some(routed("forgetting", 1.0).passes), 4.0 + 15.0);
    near(Some(routed("random", 1.0).jaccard), 0.95);
    assert_eq!(
        (routed("forgetting", 0.0).trainings, routed("forgetting", 1.0).trainings),
        (1, 2)
    );
    assert!(signal_table(&judgement, Judged::Network, &scores, &clusters[..3], &bootstrap).is_err());
}
