//! A value that is computed already, with a gradient of our own, in candle's graph.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Error, Layout, MetalStorage, Result, Shape, Storage,
    Tensor,
};

/// Gradients of the inputs, nothing for those that need none, from the inputs and the result's gradient.
pub(crate) trait Backward:
    Fn(&[Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static
{
}

impl<F: Fn(&[Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static> Backward for F {}

/// An operation whose forward pass is over.
struct Attached<B> {
    name: &'static str,
    value: Mutex<Option<Tensor>>,
    backward: B,
}

/// Puts `value`, a function of one to three `inputs`, into candle's graph. `backward` gets contiguous tensors that are in no
/// graph; no element of `value` may be computed from a tensor that is in one.
pub(crate) fn attach(name: &'static str, inputs: &[&Tensor], value: Tensor, backward: impl Backward) -> Result<Tensor> {
    if !inputs.iter().any(|input| input.track_op()) {
        return Ok(value);
    }
    // The whole of a storage, from its beginning.
    let value = if value.is_contiguous() && value.layout().start_offset() == 0 {
        value
    } else {
        value.force_contiguous()?
    };
    let op = Attached {
        name,
        value: Mutex::new(Some(value)),
        backward,
    };
    match *inputs {
        [a] => a.apply_op1(op),
        [a, b] => a.apply_op2(b, op),
        [a, b, c] => a.apply_op3(b, c, op),
        _ => Err(Error::Msg(format!("{name}: {} inputs", inputs.len())).bt()),
    }
}

impl<B: Backward> Attached<B> {
    /// The value's storage (shared on Metal, else copied) by the device's own way.
    fn forward<S: BackendStorage>(&self, storage: fn(&Storage) -> Option<&S>) -> Result<(S, Shape)> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner).take();
        let missing = || Error::Msg(format!("{}: the value is not there", self.name)).bt();
        let value = value.ok_or_else(missing)?;
        let (held, layout) = value.storage_and_layout();
        let held = storage(&held).ok_or_else(missing)?;
        Ok((held.try_clone(layout)?, value.shape().clone()))
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        self.forward(|storage| match storage {
            Storage::Cpu(storage) => Some(storage),
            _ => None,
        })
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        self.forward(|storage| match storage {
            Storage::Cuda(storage) => Some(storage),
            _ => None,
        })
    }

    fn metal(&self) -> Result<(MetalStorage, Shape)> {
        self.forward(|storage| match storage {
            Storage::Metal(storage) => Some(storage),
            _ => None,
        })
    }

    fn backward<const N: usize>(&self, inputs: [&Tensor; N], grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        let mut detached = Vec::with_capacity(N);
        for input in inputs {
            detached.push(input.detach().contiguous()?);
        }
        let gradients = (self.backward)(&detached, &grad.detach().contiguous()?)?;
        let wrong = |_| Error::Msg(format!("{}: not one gradient per input", self.name)).bt();
        <[Option<Tensor>; N]>::try_from(gradients).map_err(wrong)
    }
}

impl<B: Backward> CustomOp1 for Attached<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [a] = self.backward([a], grad)?;
        Ok(a)
    }
}

impl<B: Backward> CustomOp2 for Attached<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.backward([a, b], grad)?;
        Ok((a, b))
    }
}

impl<B: Backward> CustomOp3 for Attached<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.backward([a, b, c], grad)?;
        Ok((a, b, c))
    }
}
