//! Counts, ties, training under masks, configuration.

use candle_core::{DType, Device, Tensor, Var};
use htl_pruning::{CRITERIA, Criterion, Mask, MaskSet, PruneError, PruneParams, Scope, WeightSet};
use proptest::prelude::*;

fn tensor(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

fn named(name: &str) -> &'static Criterion {
    Criterion::named(name).unwrap()
}

fn masks(criterion: &'static Criterion, sparsity: f64, weights: &WeightSet) -> MaskSet {
    PruneParams::new(criterion)
        .sparsity(sparsity)
        .seed(3)
        .check()
        .unwrap()
        .masks(weights)
        .unwrap()
}

/// Two layers of few distinct magnitudes, so that most weights tie; one level means that all do.
fn quantised_weights(first: usize, second: usize, levels: u8) -> WeightSet {
    let values = |n: usize, step: usize| -> Vec<f32> {
        (0..n)
            .map(|i| (i * step % levels as usize) as f32 * if i % 2 == 0 { 0.5 } else { -0.5 })
            .collect()
    };
    WeightSet::from_iter([
        ("a.weight", tensor(values(first, 7), &[first, 1])),
        ("b.weight", tensor(values(second, 5), &[1, second, 1, 1])),
        ("b.bias", tensor(vec![0.0; 4], &[4])),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Pruning to s leaves exactly round(s n) zeros, whatever the ties; by layer or over all.
    #[test]
    fn counts_are_exact_under_ties(a in 1usize..300, b in 1usize..300, s in 0.0..0.9999f64, levels in 1u8..4) {
        let weights = quantised_weights(a, b, levels);
        let zeros = |n: usize| (s * n as f64).round() as usize;
        for criterion in CRITERIA {
            let masks = masks(criterion, s, &weights);
            match criterion.scope {
                Scope::Global | Scope::ErdosRenyiKernel => prop_assert_eq!(masks.zeros(), zeros(a + b), "{}", criterion),
                Scope::Layer => {
                    let table = masks.table();
                    prop_assert_eq!((table[0].zeros, table[1].zeros), (zeros(a), zeros(b)), "{}", criterion);
                }
            }
        }
    }

    /// Nothing that stays is smaller than anything that goes.
    #[test]
    fn the_smallest_go_first(values in prop::collection::vec(-1f32..1.0, 2..200), s in 0.0..0.99f64) {
        let n = values.len();
        let weights = WeightSet::from_iter([("weight", tensor(values.clone(), &[n, 1]))]);
        let masks = masks(Criterion::GLOBAL_MAGNITUDE, s, &weights);
        let keep = masks.get("weight").unwrap().as_tensor().flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let of = |wanted: u8| values.iter().zip(&keep).filter(move |(_, keep)| **keep == wanted).map(|(v, _)| v.abs());
        let (gone, stays) = (of(0).fold(0f32, f32::max), of(1).fold(f32::INFINITY, f32::min));
        prop_assert!(gone <= stays, "{gone} went, {stays} stayed");
    }
}

#[test]
fn ties_go_by_name_and_position() {
    let weights = WeightSet::from_iter([
        ("b.weight", tensor(vec![1.0; 4], &[4, 1])),
        ("a.weight", tensor(vec![-1.0; 4], &[1, 4])),
    ]);
    let table = masks(Criterion::GLOBAL_MAGNITUDE, 0.75, &weights);
    let keep = |name: &str| {
        table
            .get(name)
            .unwrap()
            .as_tensor()
            .flatten_all()
            .unwrap()
            .to_vec1::<u8>()
            .unwrap()
    };
    assert_eq!(keep("a.weight"), [0, 0, 0, 0]);
    assert_eq!(keep("b.weight"), [0, 0, 1, 1]);
}

/// What no criterion of whole-network magnitude can promise: a layer of tiny weights is not emptied.
#[test]
fn lamp_leaves_something_in_every_layer() {
    let weights = WeightSet::from_iter([
        (
            "small.weight",
            tensor((0..50).map(|i| 1e-4 * (i + 1) as f32).collect(), &[50, 1]),
        ),
        (
            "large.weight",
            tensor((0..50).map(|i| 1.0 + i as f32).collect(), &[50, 1]),
        ),
    ]);
    let left = |criterion| {
        masks(criterion, 0.6, &weights)
            .table()
            .into_iter()
            .map(|l| l.weights - l.zeros)
            .min()
            .unwrap()
    };
    assert_eq!(left(Criterion::GLOBAL_MAGNITUDE), 0);
    assert!(left(named("lamp")) >= 15);
}

#[test]
fn random_masks_follow_the_seed() {
    let weights = WeightSet::from_iter([("weight", tensor(vec![1.0; 400], &[20, 20]))]);
    let keep = |seed: u64| {
        let masks = PruneParams::new(named("random"))
            .seed(seed)
            .check()
            .unwrap()
            .masks(&weights)
            .unwrap();
        masks
            .get("weight")
            .unwrap()
            .as_tensor()
            .flatten_all()
            .unwrap()
            .to_vec1::<u8>()
            .unwrap()
    };
    assert_eq!(keep(1), keep(1));
    let differing = keep(1).iter().zip(keep(2)).filter(|(a, b)| **a != *b).count();
    assert!(
        (100..300).contains(&differing),
        "{differing} of 400 differ, about 200 expected"
    );
}

/// Adam with momentum moves pruned weights at every step; after `apply` they are exactly zero again, `NaN` included.
#[test]
fn zeros_stay_zero_and_the_rest_is_untouched() {
    for dtype in [DType::F32, DType::F64] {
        let start = Tensor::arange(1f32, 13., &Device::Cpu)
            .unwrap()
            .reshape((3, 4))
            .unwrap()
            .to_dtype(dtype)
            .unwrap();
        let network = [
            ("norm.weight".to_string(), Var::zeros(3, dtype, &Device::Cpu).unwrap()),
            ("a.weight".to_string(), Var::from_tensor(&start).unwrap()),
        ];
        let masks = masks(Criterion::GLOBAL_MAGNITUDE, 0.5, &WeightSet::from_vars(&network));
        let moved = (start.affine(-2.0, 0.25).unwrap().to_dtype(DType::F32)).unwrap();
        let mut expected = flat(&moved);
        let mut diverged = expected.clone();
        diverged[0] = f32::NAN;
        network[1]
            .1
            .set(&tensor(diverged, &[3, 4]).to_dtype(dtype).unwrap())
            .unwrap();
        masks.apply(&network).unwrap();
        expected[..6].fill(0.0);
        let found = flat(&network[1].1.to_dtype(DType::F32).unwrap());
        assert_eq!(found, expected);
        assert!(found[..6].iter().all(|zero| zero.is_sign_positive()));
    }
}

#[test]
fn the_zeros_of_a_sparse_network_are_its_masks() {
    let network = [(
        "weight".to_string(),
        Var::from_tensor(&tensor((1..=20).map(|i| i as f32).collect(), &[4, 5])).unwrap(),
    )];
    let masks = masks(named("random"), 0.35, &WeightSet::from_vars(&network));
    masks.apply(&network).unwrap();
    let again = MaskSet::from_zeros(&WeightSet::from_vars(&network)).unwrap();
    assert_eq!(again.zeros(), 7);
    let keep = |masks: &MaskSet| {
        masks
            .get("weight")
            .unwrap()
            .as_tensor()
            .flatten_all()
            .unwrap()
            .to_vec1::<u8>()
            .unwrap()
    };
    assert_eq!(keep(&again), keep(&masks));
    assert!((again.sparsity() - 0.35).abs() < 1e-12);
}

#[test]
fn masked_passes_gradients_to_what_stays_only() {
    let weight = Var::from_tensor(&tensor(vec![1., 2., 3., 4.], &[2, 2])).unwrap();
    let mask = Mask::from_tensor(&tensor(vec![0., 1., 1., 0.], &[2, 2])).unwrap();
    let gradients = mask
        .masked(&weight)
        .unwrap()
        .sqr()
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert_eq!(flat(gradients.get(&weight).unwrap()), [0., 4., 6., 0.]);
}

#[test]
fn excluded_layers_stay_dense_and_are_not_counted() {
    let weights = WeightSet::from_iter([
        ("head.weight", tensor(vec![0.1; 10], &[10, 1])),
        ("header.weight", tensor(vec![1.0; 10], &[10, 1])),
    ]);
    let params = PruneParams::new(Criterion::GLOBAL_MAGNITUDE).sparsity(0.5);
    let masks = params
        .clone()
        .exclude(["head"])
        .check()
        .unwrap()
        .masks(&weights)
        .unwrap();
    assert!(masks.get("head.weight").is_none());
    assert_eq!((masks.weights(), masks.zeros()), (10, 5));
    let error = params.exclude(["haed"]).check().unwrap().masks(&weights).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot exclude `haed`: no prunable weight has that name or prefix; there are head.weight, header.weight"
    );
}

#[test]
fn masks_of_another_network_change_nothing() {
    let var = |shape: &[usize]| Var::from_tensor(&Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap()).unwrap();
    let network = [
        ("a.weight".to_string(), var(&[2, 2])),
        ("b.weight".to_string(), var(&[2, 2])),
    ];
    let masks = masks(Criterion::GLOBAL_MAGNITUDE, 0.5, &WeightSet::from_vars(&network));
    let other = [
        ("a.weight".to_string(), var(&[2, 2])),
        ("b.weight".to_string(), var(&[2, 3])),
    ];
    assert_eq!(
        masks.apply(&other).unwrap_err().to_string(),
        "mask for `b.weight` has shape [2, 2] but the weight has [2, 3]: was it made for another network?"
    );
    let error = masks.apply(&other[..1]).unwrap_err();
    assert!(
        matches!(error, PruneError::MissingWeight { ref name } if name == "b.weight"),
        "{error}"
    );
    assert_eq!(flat(&other[0].1), [1.0; 4], "a failed apply must not change weights");
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    for found in [-0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
        let error = PruneParams::default().sparsity(found).check().unwrap_err();
        assert_eq!(error.to_string(), format!("sparsity must be in [0, 1), found {found}"));
    }
    let valid = PruneParams::default().check().unwrap();
    let biases = WeightSet::from_iter([("a.bias", tensor(vec![1.0], &[1]))]);
    assert!(matches!(
        valid.masks(&biases),
        Err(PruneError::NothingToPrune { count: 1 })
    ));
    assert!(matches!(
        MaskSet::from_zeros(&biases),
        Err(PruneError::NothingToPrune { count: 1 })
    ));
    let diverged = WeightSet::from_iter([("a.weight", tensor(vec![1.0, f32::NAN], &[2, 1]))]);
    let error = valid.masks(&diverged).unwrap_err().to_string();
    assert!(error.contains("`a.weight` holds NaN at position 1"), "{error}");
    let error = Criterion::named("l1").unwrap_err().to_string();
    assert!(
        error.contains("unknown pruning method `l1`: choose one of global-magnitude"),
        "{error}"
    );
}

#[test]
fn configuration_reads_and_refuses_unknown_keys() {
    let params: PruneParams = serde_json::from_str(r#"{"criterion": "layer-magnitude", "sparsity": 0.8}"#).unwrap();
    assert_eq!(params, PruneParams::new(named("layer-magnitude")).sparsity(0.8));
    assert!(
        serde_json::from_str::<PruneParams>(r#"{"sparsty": 0.8}"#)
            .unwrap_err()
            .to_string()
            .contains("sparsty")
    );
    let error = serde_json::from_str::<PruneParams>(r#"{"criterion": "l1"}"#)
        .unwrap_err()
        .to_string();
    assert!(error.contains("unknown pruning method `l1`"), "{error}");
    for criterion in CRITERIA {
        let params = PruneParams::new(criterion);
        let json = serde_json::to_string(&params).unwrap();
        assert!(json.contains(&format!("\"{criterion}\"")), "{json}");
        assert_eq!(serde_json::from_str::<PruneParams>(&json).unwrap(), params);
    }
}
