//! Population files: what is written is read, and what is broken names its place.

use candle_core::{DType, Device, Tensor};
use htl_mining::{Encoding, MapKind, Population};
use proptest::prelude::*;

fn maps(values: Vec<f32>) -> Tensor {
    let n = values.len() / 4;
    Tensor::from_vec(values, (n, 2, 2), &Device::Cpu).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Exact in f32; within half a level and on the same side of 0.5 in eight bits.
    #[test]
    fn populations_survive_a_round_trip(values in prop::collection::vec(0.0..=1.0f32, 12), middle in 0usize..12) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maps.safetensors");
        let mut values = values;
        values[middle] = 0.5;
        let ids: Vec<String> = ["b", "a", "c"].map(String::from).to_vec();
        let population = Population::new(ids, vec![maps(values.clone()), maps(values.iter().map(|v| 1.0 - v).collect())]).unwrap();
        population.save(&path, Encoding::F32).unwrap();
        let read = Population::load(&path).unwrap();
        prop_assert_eq!(read.ids(), population.ids());
        population.save(&path, Encoding::U8).unwrap();
        let rough = Population::load(&path).unwrap();
        prop_assert_eq!(rough.map(0).unwrap().dtype(), DType::U8);
        for image in 0..3 {
            prop_assert_eq!(read.planes(image).unwrap(), population.planes(image).unwrap());
            for (rough, exact) in rough.planes(image).unwrap().concat().iter().zip(population.planes(image).unwrap().concat()) {
                prop_assert!((rough - exact).abs() <= 0.51 / 255.0, "{} {}", rough, exact);
                prop_assert_eq!(*rough > 0.5, exact > 0.5);
            }
        }
    }

    /// A damaged file is an error or other numbers, never a panic.
    #[test]
    fn damaged_populations_are_errors(at in 0usize..400, byte: u8, cut in 0usize..500) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maps.safetensors");
        Population::new(vec!["a".into(), "b".into()], vec![maps(vec![0.25; 8])]).unwrap().save(&path, Encoding::F32).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let place = at % bytes.len();
        bytes[place] = byte;
        std::fs::write(&path, &bytes).unwrap();
        let _ = Population::load(&path);
        bytes.truncate(cut.min(bytes.len() - 1));
        std::fs::write(&path, &bytes).unwrap();
        prop_assert!(Population::load(&path).is_err());
    }
}

#[test]
fn class_activations_keep_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maps.safetensors");
    let population = Population::class_activation(vec!["a".into()], vec![maps(vec![0.0, 0.5, 1.0, 0.375])]).unwrap();
    for encoding in [Encoding::F32, Encoding::U8] {
        population.save(&path, encoding).unwrap();
        let read = Population::load(&path).unwrap();
        assert_eq!(read.kind(), MapKind::ClassActivation);
        for (a, b) in read.planes(0).unwrap()[0].iter().zip(&population.planes(0).unwrap()[0]) {
            assert!((a - b).abs() < 1.0 / 255.0);
        }
    }
    let unscaled = Population::class_activation(vec!["a".into()], vec![maps(vec![-3.0, 1.0, 5.0, 0.0])]).unwrap_err();
    assert!(
        unscaled.to_string().contains("its own minimum and maximum"),
        "{unscaled}"
    );
}

#[test]
fn wrong_populations_name_the_image_and_the_seed() {
    let ids = || vec!["a".to_string(), "b".to_string()];
    let error = |ids, maps| Population::new(ids, maps).unwrap_err().to_string();
    assert!(error(ids(), vec![]).contains("at least one"));
    assert!(error(vec!["a".into(), "a".into()], vec![maps(vec![0.0; 8])]).contains("`a` occurs twice"));
    let shape = error(ids(), vec![maps(vec![0.0; 8]), maps(vec![0.0; 4])]);
    assert!(
        shape.contains("seed 1") && shape.contains("[1, 2, 2]") && shape.contains("[2, 2, 2]"),
        "{shape}"
    );
    let value = error(ids(), vec![maps(vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 0.0, 0.0])]);
    assert!(
        value.contains("`b`") && value.contains("1.5") && value.contains("sigmoid"),
        "{value}"
    );
    assert!(error(ids(), vec![maps(vec![f32::NAN; 8])]).contains("NaN"));
    let bytes = Tensor::zeros((2, 2, 2), DType::U8, &Device::Cpu).unwrap();
    assert!(error(ids(), vec![bytes]).contains("floating point"));
    let one = Population::new(ids(), vec![maps(vec![0.0; 8])]).unwrap();
    let other = Population::new(vec!["a".into(), "c".into()], vec![maps(vec![0.0; 8])]).unwrap();
    let merged = Population::merge([one, other]).unwrap_err().to_string();
    assert!(merged.contains("`b`") && merged.contains("part 2"), "{merged}");
}
