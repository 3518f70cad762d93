//! From a checkpoint or a network in memory to maps, populations and results, on the embedded images.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_inference::{
    Evaluation, InferenceError, NetworkPredictor, PopulationPrediction, Predictor, Validator, class_logits, consensus,
    consensus_pair, evaluate_trivial, localization_maps, map_of, stored_masks, summary, with_masks,
};
use htl_metrics::{MapCut, Mask, PixelBox, resize_bilinear};
use htl_mining::{MapKind, group_columns};
use htl_models::{Architecture, Checkpoint, Network, Part, Preprocessing};
use htl_vocabulary::trivial;

const SIZE: usize = 32;

fn data() -> DataFolder {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data-manifest/embedded");
    DataFolder::open(root).unwrap()
}

fn unet(width: usize) -> Architecture {
    Architecture::unet(width).unwrap()
}

fn classifier() -> Architecture {
    Architecture::classifier(Part::new("plain").with("width", 4), 3).unwrap()
}

fn preprocessing() -> Preprocessing {
    Preprocessing {
        size: SIZE,
        ..Preprocessing::default()
    }
}

fn predictor(architecture: &Architecture, seed: u64) -> NetworkPredictor {
    let network = Network::build(architecture, seed, &Device::Cpu).unwrap();
    NetworkPredictor::new(network, preprocessing(), &Device::Cpu)
}

fn save(architecture: &Architecture, seed: u64, path: &std::path::Path) {
    let checkpoint = Checkpoint {
        preprocessing: preprocessing(),
        ..Checkpoint::new(architecture.clone())
    };
    let network = Network::build(architecture, seed, &Device::Cpu).unwrap();
    checkpoint.save(&network, path).unwrap();
}

fn test_samples(data: &DataFolder) -> Vec<&Sample> {
    with_masks(data, Split::Test).unwrap().into_iter().take(18).collect()
}

/// A network that cannot compute is an error that names the image, wherever its maps or logits are used; never a lesion
/// that was not found.
#[test]
fn broken_networks_are_refused() {
    let data = data();
    let samples = test_samples(&data);
    let images = ImageSet::load(&samples, SIZE, MaskUse::Required).unwrap();
    let boxes: Vec<Option<PixelBox>> = vec![None; images.len()];
    let small: Vec<Mask> = images
        .ids()
        .iter()
        .map(|_| Mask::filled(SIZE, SIZE, 1).unwrap())
        .collect();
    let validators = [
        Validator::Masks(stored_masks(&images).unwrap()),
        Validator::Masks(small),
        Validator::Boxes(boxes),
        Validator::Classes {
            labels: vec![0; images.len()],
            classes: 3,
        },
    ];
    let first = samples[0].image_id.clone();
    let refused = |error: InferenceError| {
        let named = matches!(&error, InferenceError::NotFinite { image_id, .. } if *image_id == first);
        assert!(named, "{error}");
    };
    for architecture in [unet(4), classifier()] {
        let predictor = predictor(&architecture, 1);
        let network = predictor.network();
        for (_, var) in network.parameters().trainable() {
            var.set(&Tensor::full(f32::NAN, var.dims(), &Device::Cpu).unwrap())
                .unwrap();
        }
        if predictor.map_kind() == MapKind::Probability {
            for validator in &validators[..3] {
                refused(validator.quality(&predictor, &images).unwrap_err());
            }
        } else {
            refused(validators[3].quality(&predictor, &images).unwrap_err());
            refused(class_logits(&predictor, &images).unwrap_err());
        }
        refused(localization_maps(&predictor, &images).unwrap_err());
        refused(Evaluation::of(&predictor, &samples).unwrap_err());
        let rgb = htl_datasets::read_rgb(&samples[0].image).unwrap();
        refused(map_of(&predictor, &first, &rgb).unwrap_err());
    }
}

/// One photograph alone has the map that it has in a set, at its own size.
#[test]
fn a_photograph_alone_is_predicted_as_in_a_set() {
    let data = data();
    let samples = test_samples(&data);
    let images = ImageSet::load(&samples, SIZE, MaskUse::Ignore).unwrap();
    let predictor = predictor(&unet(4), 1);
    let maps = localization_maps(&predictor, &images).unwrap();
    assert_eq!(maps.dims(), [samples.len(), SIZE, SIZE]);
    let of_set: Vec<f32> = maps.get(17).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let rgb = htl_datasets::read_rgb(&samples[17].image).unwrap();
    let size = (rgb.height() as usize, rgb.width() as usize);
    let expected = resize_bilinear(&of_set, (SIZE, SIZE), size).unwrap();
    let alone = map_of(&predictor, "alone", &rgb).unwrap();
    assert_eq!(alone.len(), expected.len());
    assert!(alone.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
}

/// Class maps are cut at their upper quarter and have no calibration; probabilities are cut at one half.
#[test]
fn maps_are_cut_as_their_kind_asks() {
    let data = data();
    let samples = test_samples(&data);
    for (architecture, cut) in [(unet(4), MapCut::PROBABILITY), (classifier(), MapCut::CLASS_MAP)] {
        let predictor = predictor(&architecture, 1);
        assert_eq!(predictor.cut(), cut);
        let evaluation = Evaluation::of(&predictor, &samples).unwrap();
        let table = evaluation.per_image(predictor.cut(), &data).unwrap();
        let ids: Vec<&String> = table.rows.iter().map(|row| &row.scores.image_id).collect();
        assert_eq!(ids, samples.iter().map(|s| &s.image_id).collect::<Vec<_>>());
        assert_eq!(table.group_columns, group_columns());
        assert!(summary(&table).unwrap().numbers.contains_key("pooled_jaccard"));
        let free = evaluation.threshold_free().unwrap();
        assert!(free.contains_key("px_ap"));
        assert_eq!(free.contains_key("brier"), cut == MapCut::PROBABILITY);
        if cut == MapCut::CLASS_MAP {
            for row in &table.rows {
                let (found, pixels) = (row.scores.tp + row.scores.fp, row.scores.confusion().total());
                let share = found as f64 / pixels as f64;
                assert!((0.2..=0.25).contains(&share), "{share}");
            }
        }
    }
}

/// The quantile chosen with masks is the best of those tried, the fixed one among them up to their spacing.
#[test]
fn the_oracle_quantile_is_best_on_its_own_images() {
    let data = data();
    let samples = test_samples(&data);
    let evaluation = Evaluation::of(&predictor(&classifier(), 1), &samples).unwrap();
    let jaccard = |quantile| {
        let table = evaluation.per_image(MapCut::Quantile(quantile), &data).unwrap();
        summary(&table).unwrap().numbers["jaccard"]
    };
    let best = jaccard(evaluation.best_quantile().unwrap());
    for quantile in [0.4, 0.5, 0.74, 0.76, 0.98] {
        assert!(best >= jaccard(quantile), "{quantile}");
    }
}

/// Members are in the order of the checkpoints; one of another architecture is named.
#[test]
fn populations_are_of_one_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    save(&unet(4), 1, &path("a"));
    save(&unet(4), 2, &path("b"));
    save(&unet(8), 3, &path("wider"));
    save(&classifier(), 4, &path("classes"));
    let data = data();
    let samples = &test_samples(&data)[..3];
    let of = |names: &[&str]| {
        let paths: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
        let mut through = Vec::new();
        let prediction =
            PopulationPrediction::of_checkpoints(&paths, samples, &Device::Cpu, &mut |done| through.push(done));
        if prediction.is_ok() {
            assert_eq!(through, (0..=paths.len()).collect::<Vec<_>>());
        }
        prediction
    };
    let dense = of(&["a", "b"]).unwrap();
    assert_eq!(
        (dense.maps.seeds(), dense.maps.len(), dense.maps.kind()),
        (2, 3, MapKind::Probability)
    );
    assert!(dense.classes.is_none());
    assert_eq!(of(&["classes"]).unwrap().classes.unwrap().ids().len(), 3);
    let said = of(&["a", "wider"]).unwrap_err().to_string();
    assert!(
        said.contains("wider") && said.contains("width=8") && said.contains("width=4"),
        "{said}"
    );

    let sparse = of(&["b"]).unwrap();
    let pair = consensus_pair(&dense.maps, &sparse.maps).unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(pair.map(0).unwrap()), values(&consensus(&dense.maps).unwrap()));
    assert_eq!(values(pair.map(1).unwrap()), values(sparse.maps.map(0).unwrap()));
    let fewer = PopulationPrediction::of([Ok(predictor(&unet(4), 1))], &samples[..2]).unwrap();
    assert!(matches!(
        consensus_pair(&dense.maps, &fewer.maps),
        Err(InferenceError::OtherImages { .. })
    ));
}

/// The whole image finds every lesion; all trivial predictors are scored image by image.
#[test]
fn trivial_predictors_are_evaluated() {
    let data = data();
    let samples = &test_samples(&data)[..4];
    for predictor in trivial::TRIVIAL {
        let table = evaluate_trivial(predictor, &data, samples).unwrap();
        assert_eq!(table.rows.len(), 4, "{}", predictor.key);
        if *predictor == trivial::WHOLE_IMAGE {
            assert!(table.rows.iter().all(|row| row.scores.sensitivity == 1.0));
        }
    }
}

/// Masks that were not read are missed by name, not taken for empty ones.
#[test]
fn a_missing_mask_is_named() {
    let data = data();
    let samples = test_samples(&data);
    let without = ImageSet::load(&samples[..2], SIZE, MaskUse::Ignore).unwrap();
    let said = stored_masks(&without).unwrap_err().to_string();
    assert!(said.contains(&samples[0].image_id) && said.contains("mask"), "{said}");
}
