//! Every operation and every path of `Features` on a CUDA device against the CPU: values and gradients of all inputs.
//!
//! `cargo test -p htl-ops --features cuda --test agreement -- --nocapture --test-threads 1` prints a line per family with the
//! largest difference found; without the feature or a device, every test prints one line which begins with `skipped: ` and
//! passes. `HTL_OPS_TEST_DEVICE=cpu` puts the compositions of `htl_ops::portable` in the device's place, to try these tests
//! themselves.

mod cases;
mod common;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor};
use cases::{Backward, Judge, Kinks, run};
use common::{difference, numbers};
use htl_ops::portable::everywhere;
use htl_ops::{Features, OpsError, Precision};

/// The largest differences allowed.
struct Bounds {
    /// Of small cases in f32: largest difference over the largest value, or over 1.
    most: f64,
    /// Of maps: root mean square of the difference over that of the values.
    value: f64,
    gradient: f64,
    /// Where a value rounded across a kink lets a whole gradient through or not.
    gradient_at_kinks: f64,
}

/// Eight bits of fraction in bfloat16 and eleven in TF32 (the leading one counted), rounded once per map.
fn bounds(precision: Precision) -> Bounds {
    let [value, gradient, gradient_at_kinks] = match precision {
        Precision::F32 => [1e-5, 5e-5, 2e-2],
        Precision::Tf32 => [3e-3, 5e-3, 0.1],
        Precision::Bf16 => [2e-2, 3e-2, 0.25],
    };
    Bounds {
        most: 2e-5,
        value,
        gradient,
        gradient_at_kinks,
    }
}

/// What to compare with the CPU; nothing where there is no device.
fn device() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let open = || match std::env::var("HTL_OPS_TEST_DEVICE").as_deref() {
        Ok("cpu") => Some(Device::Cpu),
        // The driver's library is looked for with a panic.
        _ if cfg!(feature = "cuda") => catch_unwind(|| Device::new_cuda_with_stream(0)).ok()?.ok(),
        _ => None,
    };
    DEVICE.get_or_init(open).clone()
}

/// Runs `f` as this device would: the CPU stands for one without kernels of ours.
fn on<R>(device: &Device, f: impl FnOnce() -> R) -> R {
    match device {
        Device::Cpu => everywhere(f),
        _ => f(),
    }
}

/// A device against the CPU.
struct Agreement {
    device: Device,
    precision: Precision,
    bounds: Bounds,
    comparisons: Cell<usize>,
    /// Largest difference, as a share of what is allowed, and where.
    worst: RefCell<(f64, String)>,
    failures: RefCell<Vec<String>>,
}

impl Agreement {
    fn of(device: Device, precision: Precision) -> Self {
        Self {
            device,
            precision,
            bounds: bounds(precision),
            comparisons: Cell::new(0),
            worst: RefCell::default(),
            failures: RefCell::default(),
        }
    }

    fn note(&self, what: &str, difference: f64, bound: f64) {
        self.comparisons.set(self.comparisons.get() + 1);
        // What is no number agrees with nothing.
        let share = if difference.is_nan() {
            f64::INFINITY
        } else {
            difference / bound
        };
        if share >= self.worst.borrow().0 {
            *self.worst.borrow_mut() = (share, format!("{difference:.1e} of {bound:.0e} in {what}"));
        }
        if share > 1.0 {
            self.fail(format!("{what}: off by {difference:.2e}, allowed {bound:.0e}"));
        }
    }

    fn fail(&self, failure: String) {
        self.failures.borrow_mut().push(failure);
    }

    /// On the CPU in both number types, and on the device; errors and panics are failures.
    fn computed(
        &self,
        what: &str,
        inputs: &[Tensor],
        backward: Backward,
        f: &impl Fn(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Option<[Vec<Tensor>; 3]> {
        // Every computation begins with numbers that f32 holds exactly.
        let inputs: Vec<Tensor> = inputs
            .iter()
            .map(|t| t.to_dtype(DType::F32).and_then(|t| t.to_dtype(DType::F64)).unwrap())
            .collect();
        let computed = |dtype, device: &Device| run(&inputs, dtype, device, backward, f);
        let truth = computed(DType::F64, &Device::Cpu).unwrap();
        let host = computed(DType::F32, &Device::Cpu).unwrap();
        let found = catch_unwind(AssertUnwindSafe(|| {
            on(&self.device, || computed(DType::F32, &self.device))
        }));
        match found {
            Ok(Ok(found)) => return Some([truth, host, found]),
            Ok(Err(error)) => {
                let text = error.to_string();
                self.fail(format!("{what}: {}", text.lines().next().unwrap_or_default()));
            }
            Err(_) => self.fail(format!("{what}: it panicked")),
        }
        None
    }

    /// Prints a line and fails if anything did.
    fn end(self, family: &str) {
        let failures = self.failures.into_inner();
        let (share, at) = self.worst.into_inner();
        println!(
            "agreement: {family} in {}: {} comparisons, {} failures, at most {:.0} % of what is allowed ({at})",
            self.precision,
            self.comparisons.get(),
            failures.len(),
            100.0 * share
        );
        let shown: Vec<String> = failures.iter().take(12).cloned().collect();
        assert!(
            failures.is_empty(),
            "{family} in {}: {} failures, the first of them:\n{}",
            self.precision,
            failures.len(),
            shown.join("\n")
        );
    }
}

/// Root mean square of the difference over that of the values.
fn relative(found: &Tensor, expected: &Tensor) -> f64 {
    if found.dims() != expected.dims() {
        return f64::INFINITY;
    }
    let (found, expected) = (numbers(found), numbers(expected));
    let square = |sum: f64, value: f64| sum + value * value;
    let off = found.iter().zip(&expected).map(|(a, b)| a - b).fold(0.0, square);
    let whole = expected.iter().copied().fold(f64::MIN_POSITIVE, square);
    (off / whole).sqrt()
}

impl Judge for Agreement {
    fn agree(&self, what: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) {
        let Some([truth, host, found]) = self.computed(what, inputs, Tensor::backward, &f) else {
            return;
        };
        let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
        for (at, ((truth, host), found)) in truth.iter().zip(&host).zip(&found).enumerate() {
            // What single precision costs anyway, where a sum cancels.
            let bound = self.bounds.most.max(4.0 * difference(host, &single(truth)));
            let dims: Vec<&[usize]> = inputs.iter().map(Tensor::dims).collect();
            self.note(
                &format!("{what} {dims:?}, tensor {at}"),
                difference(found, &single(truth)),
                bound,
            );
        }
    }

    fn agree_on_maps(&self, what: &str, kinks: Kinks, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) {
        // As a training does.
        let ours: Backward = |sum| Ok(htl_ops::backward(sum)?);
        let Some([truth, _, found]) = self.computed(what, inputs, ours, &f) else {
            return;
        };
        let values = truth.len() - inputs.len();
        for (at, (truth, found)) in truth.iter().zip(&found).enumerate() {
            let bound = match kinks {
                _ if at < values => self.bounds.value,
                Kinks::None => self.bounds.gradient,
                Kinks::Some => self.bounds.gradient_at_kinks,
            };
            self.note(&format!("{what}, tensor {at}"), relative(found, truth), bound);
        }
    }

    fn features(&self, x: &Tensor) -> std::result::Result<Features, OpsError> {
        match x.device() {
            Device::Cpu => Features::of(x),
            _ => Features::with_precision(x, self.precision),
        }
    }
}

/// Runs cases in these precisions, if there is a device. The CPU in a device's place has f32 only.
fn each(family: &str, precisions: &[Precision], cases: impl Fn(&Agreement)) {
    let Some(device) = device() else {
        println!("skipped: no CUDA device ({family})");
        return;
    };
    for &precision in precisions {
        if device.is_cpu() && precision != Precision::F32 {
            continue;
        }
        let agreement = Agreement::of(device.clone(), precision);
        cases(&agreement);
        agreement.end(family);
    }
}

const SINGLE: [Precision; 1] = [Precision::F32];
const ALL: [Precision; 3] = [Precision::F32, Precision::Tf32, Precision::Bf16];

#[test]
fn convolutions() {
    each("convolutions", &SINGLE, cases::convolutions);
}

#[test]
fn depthwise_convolutions() {
    each("depthwise convolutions", &SINGLE, cases::depthwise_convolutions);
}

#[test]
fn transposed_convolutions() {
    each("transposed convolutions", &SINGLE, cases::transposed_convolutions);
}

#[test]
fn normalisation() {
    each("normalisation", &SINGLE, cases::normalisation);
}

#[test]
fn pooling() {
    each("pooling", &SINGLE, cases::pooling);
}

#[test]
fn upsampling() {
    each("upsampling", &SINGLE, cases::upsampling);
}

#[test]
fn blocks() {
    each("blocks", &SINGLE, cases::blocks);
}

#[test]
fn losses() {
    each("losses", &SINGLE, cases::losses);
}

#[test]
fn losses_at_their_limits() {
    each("losses at their limits", &SINGLE, cases::losses_at_their_limits);
}

#[test]
fn features() {
    each("features", &SINGLE, cases::features);
}

#[test]
fn maps_convolutions() {
    each("feature maps, convolutions", &ALL, cases::maps::convolutions);
}

#[test]
fn maps_blocks() {
    each("feature maps, blocks", &ALL, cases::maps::blocks);
}

#[test]
fn maps_pooling() {
    each("feature maps, pooling", &ALL, cases::maps::pooling);
}

#[test]
fn maps_joins() {
    each("feature maps, joins", &ALL, cases::maps::joins);
}

#[test]
fn maps_sums() {
    each("feature maps, sums", &ALL, cases::maps::sums);
}

#[test]
fn maps_network() {
    each("feature maps, network", &ALL, cases::maps::network);
}

#[test]
fn optimisers() {
    each("optimisers", &SINGLE, |judge| {
        for kind in 0..cases::optim::KINDS {
            let steps = |device: &Device| cases::optim::trained(DType::F32, device, kind);
            let (values, state) = steps(&Device::Cpu);
            let (found, found_state) = on(&judge.device, || steps(&judge.device));
            for (at, (found, value)) in found.iter().zip(&values).enumerate() {
                judge.note(
                    &format!("optimiser {kind}, variable {at}"),
                    difference(found, value),
                    judge.bounds.most,
                );
            }
            for (name, value) in &state {
                let found = &found_state[name];
                judge.note(
                    &format!("optimiser {kind}, {name}"),
                    difference(found, value),
                    judge.bounds.most,
                );
            }
        }
        let clipped = |device: &Device| cases::optim::clipped(DType::F32, device);
        let ((norm, cut), (found, found_cut)) = (clipped(&Device::Cpu), on(&judge.device, || clipped(&judge.device)));
        judge.note("norm of gradients", (found - norm).abs() / norm, judge.bounds.most);
        for (found, cut) in found_cut.iter().zip(&cut) {
            judge.note("gradients cut to a norm", difference(found, cut), judge.bounds.most);
        }
    });
}

#[test]
fn counts_and_running_statistics() {
    each("counts and running statistics", &SINGLE, |judge| {
        let found = on(&judge.device, || cases::counts(&judge.device));
        for (at, (found, counts)) in found.iter().zip(&cases::counts(&Device::Cpu)).enumerate() {
            // A count is right or wrong.
            let wrong = f64::from(u8::from(found != counts));
            judge.note(&format!("counts {at}"), wrong, 0.5);
        }
        let found = on(&judge.device, || cases::running_statistics(&judge.device));
        for (found, host) in found.iter().zip(&cases::running_statistics(&Device::Cpu)) {
            judge.note("running statistics", difference(found, host), judge.bounds.most);
        }
    });
}

#[test]
fn augmentation() {
    each("augmentation", &SINGLE, |judge| {
        if judge.device.is_cpu() {
            println!("skipped: no kernels on the CPU (augmentation)");
            return;
        }
        let found = cases::augment::on_device(&judge.device).unwrap();
        for (at, (found, host)) in found.iter().zip(&cases::augment::on_host().unwrap()).enumerate() {
            let found = found.to_device(&Device::Cpu).unwrap();
            // The CPU fills cut-outs with sums that it rounds more.
            judge.note(&format!("batch, tensor {at}"), difference(&found, host), 1e-4);
        }
    });
}

/// The comparison itself: what is wrong, fails or panics on the device is reported, and what is right is not.
#[test]
fn differences_are_found() {
    let judge = |device: &dyn Fn(&Tensor) -> Result<Tensor>| {
        let agreement = Agreement::of(Device::Cpu, Precision::F32);
        let calls = Cell::new(0);
        let x = [common::values(&[3, 4], 1)];
        agreement.agree("a product", &x, |t| {
            calls.set(calls.get() + 1);
            // Twice for the CPU, then for the device.
            Ok(vec![if calls.get() < 3 {
                (&t[0] * 2.0)?
            } else {
                device(&t[0])?
            }])
        });
        agreement.failures.into_inner()
    };
    assert_eq!(judge(&|x| x * 2.0), [""; 0]);
    let wrong = judge(&|x| x * 2.001);
    assert!(wrong.len() == 2 && wrong[0].contains("off by"), "{wrong:?}");
    assert!(judge(&|_| candle_core::bail!("no kernel"))[0].contains("no kernel"));
    assert!(judge(&|x| x.reshape(5))[0].contains("a product"));
    assert_eq!(judge(&|_| panic!("for the test")), ["a product: it panicked"]);
    assert!(judge(&|x| x * f64::NAN).len() == 2);
}
