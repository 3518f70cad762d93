//! Predictors made of predictors: ensembles, views, tiles, the largest component, and all of them together.

use std::cell::RefCell;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_datasets::{ImageSet, MaskUse, RgbImage, Split, read_rgb};
use htl_inference::{
    Components, Ensemble, Evaluation, InferenceError, LargestComponent, Localization, MaskRule, NetworkPredictor,
    Predictor, PredictorParams, TileParams, Tiles, ViewSet, Views, localization_maps, map_of, picture,
};
use htl_metrics::{MapCut, Mask};
use htl_mining::MapKind;
use proptest::prelude::*;

mod common;

use common::{SIZE, checkpoints, classifier, data, unet};

/// A predictor that is a rule on the red planes of the images it gets, one after the other.
struct Toy<F> {
    rule: F,
    /// Batch, height and width of every pass.
    passes: RefCell<Vec<[usize; 3]>>,
}

impl<F: Fn(&[u8], usize, usize) -> Vec<f32>> Toy<F> {
    fn new(rule: F) -> Self {
        let passes = RefCell::default();
        Self { rule, passes }
    }
}

impl<F: Fn(&[u8], usize, usize) -> Vec<f32>> Predictor for Toy<F> {
    fn side(&self) -> Option<usize> {
        None
    }

    fn map_kind(&self) -> MapKind {
        MapKind::Probability
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        let (batch, _, height, width) = images.dims4()?;
        self.passes.borrow_mut().push([batch, height, width]);
        let red: Vec<u8> = images.narrow(1, 0, 1)?.flatten_all()?.to_vec1()?;
        let maps: Vec<f32> = red
            .chunks(height * width)
            .flat_map(|red| (self.rule)(red, height, width))
            .collect();
        Ok(Tensor::from_vec(maps, (batch, 1, height, width), &Device::Cpu)?)
    }

    fn class_logits(&self, _: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        Ok(None)
    }
}

/// What red alone says, pixel by pixel.
fn pointwise(red: &[u8], _: usize, _: usize) -> Vec<f32> {
    red.iter().map(|red| (f32::from(*red) / 255.0).powf(1.3)).collect()
}

/// The mean of red over a pixel and those around it: the same whichever way the picture lies.
fn blurred(red: &[u8], height: usize, width: usize) -> Vec<f32> {
    let at = |y: usize, x: usize| {
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        let sum: u32 = rows
            .flat_map(|y| (x.saturating_sub(1)..(x + 2).min(width)).map(move |x| y * width + x))
            .map(|at| u32::from(red[at]))
            .sum();
        sum as f32 / (9.0 * 255.0)
    };
    (0..height * width).map(|i| at(i / width, i % width)).collect()
}

/// Where in the image (or the tile) a pixel lies, from left to right: as wrong about tiles as can be.
fn ramp(red: &[u8], _: usize, width: usize) -> Vec<f32> {
    (0..red.len()).map(|at| (at % width) as f32 / width as f32).collect()
}

/// Images `[batch, 3, height, width]` of noise.
fn noise(batch: usize, height: usize, width: usize, seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let bytes: Vec<u8> = (0..batch * 3 * height * width)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    Tensor::from_vec(bytes, (batch, 3, height, width), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn maps(predictor: &dyn Predictor, images: &Tensor) -> Vec<f32> {
    let maps = predictor.localization_maps(images).unwrap();
    let (batch, _, height, width) = images.dims4().unwrap();
    assert_eq!(maps.dims(), [batch, 1, height, width]);
    values(&maps)
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What says the same whichever way a picture lies, says the same of the mean of all ways.
    #[test]
    fn views_of_an_equivariant_predictor_change_nothing(
        height in 1usize..20, width in 1usize..20, seed in any::<u32>(), place in 0usize..3,
    ) {
        let images = noise(2, height, width, seed);
        for rule in [pointwise, blurred] {
            let plain = maps(&Toy::new(rule), &images);
            close(&maps(&Views::new(Toy::new(rule), ViewSet::ALL[place]), &images), &plain);
        }
    }

    /// Tiles of a predictor that looks at single pixels are its map, to the bit; no pass has more than sixteen of them.
    #[test]
    fn tiles_of_a_pointwise_predictor_are_its_map(
        height in 1usize..110, width in 1usize..110, side in 32usize..90, overlap in 0.0..=0.9f64, seed in any::<u32>(),
    ) {
        let images = noise(1, height, width, seed);
        let toy = Toy::new(pointwise);
        let tiles = Tiles::new(&toy, TileParams::new(side, overlap).unwrap()).unwrap();
        prop_assert_eq!(maps(&tiles, &images), maps(&Toy::new(pointwise), &images));
        for [batch, tall, wide] in toy.passes.borrow().iter() {
            prop_assert!(*batch <= 16);
            prop_assert_eq!((*tall, *wide), (side.min(height), side.min(width)));
        }
    }
}

/// Several photographs of one size are each cut into tiles.
#[test]
fn tiles_of_a_batch() {
    let images = noise(3, 50, 70, 5);
    let tiles = Tiles::new(Toy::new(pointwise), TileParams::new(32, 0.3).unwrap()).unwrap();
    assert_eq!(maps(&tiles, &images), maps(&Toy::new(pointwise), &images));
}

/// Tiles that say different things of one pixel blend: neighbours differ by no more than a share of the overlap. Without an
/// overlap there is a seam.
#[test]
fn borders_of_tiles_do_not_show() {
    let (side, height, width) = (64, 40, 384);
    let images = noise(1, height, width, 1);
    let steps = |overlap: f64| -> f32 {
        let tiles = Tiles::new(Toy::new(ramp), TileParams::new(side, overlap).unwrap()).unwrap();
        let map = maps(&tiles, &images);
        let rows = map.chunks(width);
        rows.flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()))
            .fold(0.0, f32::max)
    };
    for overlap in [0.25, 0.5, 0.75] {
        let shared = (overlap * side as f64) as f32;
        let most = 2.0 / shared + 1.0 / side as f32;
        assert!(steps(overlap) < most, "{overlap}: {} of {most}", steps(overlap));
    }
    assert!(steps(0.0) > 0.9, "{}", steps(0.0));
}

/// Tiles that each have a level of their own, as those of networks that normalise what they see: from one level to the next it is a
/// slope, in both directions.
#[test]
fn levels_of_tiles_blend() {
    let images = noise(1, 96, 300, 2);
    let level = |red: &[u8], height: usize, width: usize| -> Vec<f32> {
        let mean = red.iter().map(|red| f32::from(*red)).sum::<f32>() / (255 * red.len()) as f32;
        (0..height * width).map(|_| mean * 4.0 - 1.5).collect()
    };
    let tiles = Tiles::new(Toy::new(level), TileParams::new(48, 0.5).unwrap()).unwrap();
    let map = maps(&tiles, &images);
    let (low, high) = map.iter().fold((f32::MAX, f32::MIN), |(low, high), value| {
        (low.min(*value), high.max(*value))
    });
    let steps = map
        .chunks(300)
        .flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
    let most = steps.fold(0.0, f32::max);
    assert!(high - low > 0.01, "the levels of tiles should differ: {low} to {high}");
    assert!(most <= (high - low) * 0.1, "{most} of {}", high - low);
}

fn networks(architecture: &htl_models::Architecture) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let data = data();
    let training = ImageSet::load(&data.split(Split::Train)[..16], SIZE, MaskUse::Ignore).unwrap();
    let paths = checkpoints(architecture, folder.path(), &training);
    (folder, paths)
}

fn large() -> RgbImage {
    let sample = &data().samples()[0].image.clone();
    htl_datasets::resize_rgb(&read_rgb(sample).unwrap(), 150, 110)
}

/// A photograph that is no larger than a tile is predicted as if there were none; a larger one is not.
#[test]
fn one_tile_is_the_photograph() {
    let (_folder, paths) = networks(&unet());
    let network = NetworkPredictor::load(&paths[0], &Device::Cpu).unwrap();
    let image = picture(&large()).unwrap();
    let plain = maps(&network, &image);
    let tiled = |side| {
        maps(
            &Tiles::new(&network, TileParams::new(side, 0.25).unwrap()).unwrap(),
            &image,
        )
    };
    assert_eq!(tiled(150), plain);
    let other = tiled(64);
    assert!(other.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-3));
}

/// Tiles of a network are the network on the tiles.
#[test]
fn a_tile_is_seen_as_an_image() {
    let (_folder, paths) = networks(&unet());
    let network = NetworkPredictor::load(&paths[0], &Device::Cpu).unwrap();
    let rgb = large();
    let tiles = Tiles::new(&network, TileParams::new(64, 0.0).unwrap()).unwrap();
    let found = map_of(&tiles, "x", &rgb).unwrap();
    // The first corner lies on one tile only: columns 0 to 43, of tiles that begin at 0, 43 and 86.
    let corner = image::imageops::crop_imm(&rgb, 0, 0, 64, 64).to_image();
    let alone = map_of(&network, "corner", &corner).unwrap();
    for (y, x) in [(0, 0), (10, 20), (40, 40)] {
        assert!((found[y * 150 + x] - alone[y * 64 + x]).abs() < 1e-6, "{y} {x}");
    }
}

/// What the parameters open is what is put together by hand, whatever the order of the checkpoints' sizes.
#[test]
fn parameters_open_what_they_say() {
    let (_folder, paths) = networks(&unet());
    let params = PredictorParams {
        views: ViewSet::Flips,
        tiles: Some(TileParams::new(64, 0.5).unwrap()),
        components: Components::Largest,
    };
    let opened = params.open(&paths, &Device::Cpu).unwrap();
    let by_hand = LargestComponent::new(
        Tiles::new(
            Views::new(Ensemble::load(&paths, &Device::Cpu).unwrap(), ViewSet::Flips),
            TileParams::new(64, 0.5).unwrap(),
        )
        .unwrap(),
    );
    let rgb = large();
    let [a, b] = [&opened as &dyn Predictor, &by_hand].map(|predictor| {
        let found = Localization::of(predictor, "x", &rgb, Some(0.4)).unwrap();
        (found.map, found.mask)
    });
    assert_eq!(a, b);
    assert_eq!(a.1, a.1.largest_component());
    // In another order, too: views of tiles of an ensemble.
    let other = Views::new(
        Tiles::new(
            Ensemble::load(&paths, &Device::Cpu).unwrap(),
            TileParams::new(64, 0.5).unwrap(),
        )
        .unwrap(),
        ViewSet::Flips,
    );
    let map = map_of(&other, "x", &rgb).unwrap();
    assert_eq!(map.len(), a.0.len());
    // Bytes of a tile that is resized after it was flipped may be rounded otherwise.
    assert!(
        map.iter()
            .zip(&a.0)
            .all(|(found, expected)| (found - expected).abs() < 0.05)
    );

    let record = serde_json::to_value(params.record(&paths).unwrap()).unwrap();
    assert_eq!(record["views"], "flips");
    assert_eq!((&record["tiles"], &record["overlap"]), (&64.into(), &0.5.into()));
    assert_eq!(record["largest_component"], true);
    assert_eq!(record["checkpoints"].as_array().unwrap().len(), 2);
    assert_eq!(record["checkpoints"][0].as_str().unwrap().len(), 64);
}

/// The same results whether photographs are predicted in squares or one by one.
#[test]
fn evaluation_does_not_depend_on_the_way() {
    let (_folder, paths) = networks(&unet());
    let data = data();
    let samples = &data.split(Split::Test)[..6];
    let network = NetworkPredictor::load(&paths[0], &Device::Cpu).unwrap();
    // Tiles that hold every photograph: the network, but seen one by one.
    let tiles = Tiles::new(&network, TileParams::new(1024, 0.25).unwrap()).unwrap();
    assert_eq!((network.side(), tiles.side()), (Some(SIZE), None));
    let [a, b] = [&network as &dyn Predictor, &tiles].map(|predictor| {
        let table = Evaluation::of(predictor, samples).unwrap();
        let table = table.per_image(predictor.cut(), &data).unwrap();
        table.rows.iter().map(|row| row.scores.jaccard).collect::<Vec<_>>()
    });
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    let images = ImageSet::load(samples, SIZE, MaskUse::Ignore).unwrap();
    assert_eq!(localization_maps(&network, &images).unwrap().dims(), [6, SIZE, SIZE]);
}

#[test]
fn tiles_that_make_no_sense_are_refused() {
    let said = |side, overlap| TileParams::new(side, overlap).unwrap_err().to_string();
    for side in [0, 31, 8193] {
        assert!(
            said(side, 0.25).contains(&format!("found {side}")),
            "{}",
            said(side, 0.25)
        );
    }
    for overlap in [-0.1, 0.91, f64::NAN, f64::INFINITY] {
        assert!(said(64, overlap).contains("[0, 0.9]"), "{}", said(64, overlap));
    }
    let (_folder, paths) = networks(&classifier());
    let network = NetworkPredictor::load(&paths[0], &Device::Cpu).unwrap();
    let error = Tiles::new(&network, TileParams::new(64, 0.25).unwrap()).unwrap_err();
    assert!(matches!(error, InferenceError::TilesOfClassMaps), "{error}");
}

/// What scipy's labels leave of masks (`tests/golden/make_largest_component.py`), ties and empty masks among them.
#[test]
fn the_largest_component_is_scipys() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/largest_component.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rule = MaskRule {
        components: Components::Largest,
        ..MapCut::PROBABILITY.into()
    };
    let masks = golden["masks"].as_array().unwrap();
    for case in masks {
        let pixels = |key: &str| -> (usize, usize, Vec<u8>) {
            let rows: Vec<&str> = case[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row.as_str().unwrap())
                .collect();
            let bytes = rows.concat().bytes().map(|pixel| u8::from(pixel == b'#')).collect();
            (rows.len(), rows[0].len(), bytes)
        };
        let (height, width, mask) = pixels("mask");
        let map: Vec<f32> = mask.iter().map(|pixel| f32::from(*pixel) * 0.9).collect();
        let expected = Mask::new(height, width, pixels("largest").2).unwrap();
        assert_eq!(rule.mask(height, width, &map).unwrap(), expected, "{:?}", case["mask"]);
    }
    assert!(masks.len() > 20);
}
