//! Forgetting curves of networks on the embedded images, beside the same done by hand.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use htl_datasets::{ImageSet, MaskUse, Sample, Split};
use htl_inference::{
    CurveParams, InferenceError, NetworkPredictor, Predictor, forgetting_curves, localization_maps, recalibrate,
};
use htl_metrics::Confusion;
use htl_mining::{Damage, ForgettingCurves, ScoreParams, ScoreValidParams};
use htl_models::{Architecture, Checkpoint, Network};
use htl_pruning::{Criterion, PruneParams, WeightSet};

mod common;

use common::{SIZE, checkpoints, classifier, data, preprocessing, unet};

fn scoring() -> ScoreValidParams {
    ScoreParams::default().check().unwrap()
}

struct Case {
    curves: ForgettingCurves,
    paths: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

fn case(architecture: &Architecture, samples: &[&Sample], training: &[&Sample], params: &CurveParams) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let images = ImageSet::load(training, SIZE, MaskUse::Ignore).unwrap();
    let paths = checkpoints(architecture, folder.path(), &images);
    let (mut passes, mut last) = (0, (0, 0));
    let curves = forgetting_curves(
        &paths,
        samples,
        training,
        params,
        &scoring(),
        &Device::Cpu,
        &mut |done, total| {
            passes += 1;
            last = (done, total);
        },
    );
    let total = 2 * params.sparsities.len() * params.damages.len();
    assert_eq!((passes, last), (total, (total, total)));
    Case {
        curves: curves.unwrap(),
        paths,
        _folder: folder,
    }
}

/// IoU of a network's masks with those of its pruned copy, image by image.
fn by_hand(path: &Path, sparsity: f64, damage: Damage, images: &ImageSet, training: &ImageSet) -> Vec<f64> {
    let (_, network) = Checkpoint::load(path, &Device::Cpu).unwrap();
    let masks = |network: &Network| -> Vec<htl_metrics::Mask> {
        let predictor = NetworkPredictor::new(network, preprocessing(), &Device::Cpu);
        let maps: Tensor = localization_maps(&predictor, images).unwrap();
        let planes: Vec<Vec<f32>> = maps.flatten_from(1).unwrap().to_vec2().unwrap();
        let cut = predictor.cut();
        planes
            .iter()
            .map(|plane| cut.mask(SIZE, SIZE, plane).unwrap())
            .collect()
    };
    let before = masks(&network);
    let vars = network.parameters().trainable();
    let params = PruneParams::new(Criterion::GLOBAL_MAGNITUDE).sparsity(sparsity);
    let pruned = params.check().unwrap().masks(&WeightSet::from_vars(vars)).unwrap();
    pruned.apply(vars).unwrap();
    if damage.reestimates() {
        recalibrate(&network, training, &preprocessing(), &Device::Cpu).unwrap();
    }
    let pairs = before.iter().zip(masks(&network));
    pairs
        .map(|(a, b)| {
            // Nothing found is nothing remembered.
            let both_empty = a.area() == 0 && b.area() == 0;
            if both_empty {
                0.0
            } else {
                Confusion::of(a, &b).unwrap().jaccard()
            }
        })
        .collect()
}

#[test]
fn curves_are_those_made_by_hand() {
    let data = data();
    let samples: Vec<&Sample> = data.split(Split::Test).into_iter().take(6).collect();
    let training: Vec<&Sample> = data.split(Split::Train).into_iter().take(20).collect();
    let params = CurveParams {
        sparsities: vec![0.0, 0.5, 0.9],
        ..CurveParams::default()
    };
    for architecture in [unet(), classifier()] {
        let case = case(&architecture, &samples, &training, &params);
        let (curves, paths) = (&case.curves, &case.paths);
        assert_eq!((curves.seeds(), curves.ids().len()), (2, 6));
        let load = |samples: &[&Sample]| ImageSet::load(samples, SIZE, MaskUse::Ignore).unwrap();
        let (images, training) = (load(&samples), load(&training));
        for damage in [Damage::Pruned, Damage::PrunedRaw] {
            for (at, &sparsity) in params.sparsities.iter().enumerate() {
                let hand: Vec<Vec<f64>> = paths
                    .iter()
                    .map(|path| by_hand(path, sparsity, damage, &images, &training))
                    .collect();
                for (image, id) in curves.ids().iter().enumerate() {
                    let found = curves.of_image(id, damage).unwrap()[at];
                    let expected = (hand[0][image] + hand[1][image]) / 2.0;
                    assert!(
                        (found - expected).abs() < 1e-6,
                        "{damage:?} {sparsity} {id}: {found}, {expected}"
                    );
                }
            }
        }
        // Nothing is damaged at sparsity 0, and more by all means later.
        let ids = curves.ids();
        let at = |damage: Damage, at: usize| -> f64 {
            ids.iter()
                .map(|id| curves.of_image(id, damage).unwrap()[at])
                .sum::<f64>()
                / ids.len() as f64
        };
        for damage in [Damage::PrunedRaw, Damage::RandomlyPrunedRaw, Damage::NoisedRaw] {
            let seen = at(damage, 0);
            assert!(
                seen == 1.0 || architecture == unet() && seen > 0.0,
                "{damage:?}: {seen}"
            );
            assert!(at(damage, 2) < seen, "{damage:?}");
        }
        let classes = curves.class_forgetting(&ids[0]);
        assert_eq!(classes.is_some(), architecture == classifier());
        if let Some(classes) = classes {
            assert!(classes.change > 0.0 && classes.order_lost.is_some());
        }
    }
}

#[test]
fn what_cannot_be_is_told() {
    let data = data();
    let samples: Vec<&Sample> = data.split(Split::Test).into_iter().take(2).collect();
    let folder = tempfile::tempdir().unwrap();
    let images = ImageSet::load(&samples, SIZE, MaskUse::Ignore).unwrap();
    let paths = checkpoints(&unet(), folder.path(), &images);
    let curves = |paths: &[PathBuf], training: &[&Sample], sparsities: Vec<f64>| {
        let params = CurveParams {
            sparsities,
            ..CurveParams::default()
        };
        forgetting_curves(
            paths,
            &samples,
            training,
            &params,
            &scoring(),
            &Device::Cpu,
            &mut |_, _| (),
        )
    };
    assert!(matches!(
        curves(&paths, &[], vec![0.5]),
        Err(InferenceError::NoTrainingImages)
    ));
    assert!(matches!(
        curves(&[], &samples, vec![0.5]),
        Err(InferenceError::NoCheckpoints)
    ));
    let error = curves(&paths, &samples, vec![0.9, 0.5]).unwrap_err().to_string();
    assert!(error.contains("ascending"), "{error}");
}
