//! Nodes of candle's graph that stand for features.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage};

use crate::backward::keep;
use crate::real::Real;

/// An operation on features: its forward pass is over, `backward` gets the inputs and moves gradients from slot to slot.
/// It returns what candle is to add up: a [`token`] for features, a gradient for parameters, nothing for what needs none.
pub(super) struct Node<T, const N: usize, B> {
    name: &'static str,
    backward: B,
    number: PhantomData<T>,
}

impl<T: Real, const N: usize, B> Node<T, N, B>
where
    B: Fn([&Tensor; N]) -> Result<[Option<Tensor>; N]> + Send + Sync,
{
    pub(super) fn new(name: &'static str, backward: B) -> Self {
        Self {
            name,
            backward,
            number: PhantomData,
        }
    }

    #[cfg(feature = "cuda")]
    fn device_element(&self, like: &CudaStorage) -> Result<(CudaStorage, Shape)> {
        let device = like.device();
        // SAFETY: nothing reads the element.
        let element = unsafe { device.alloc::<f32>(1)? };
        Ok((CudaStorage::wrap_cuda_slice(element, device.clone()), Shape::from(1)))
    }

    fn element(&self) -> Result<(CpuStorage, Shape)> {
        Ok((T::to_cpu_storage_owned(vec![T::default()]), Shape::from(1)))
    }
}

/// The element that stands for maps in candle's graph, and for their gradient.
pub(crate) fn token<T: Real>(like: &Tensor) -> Result<Tensor> {
    Tensor::zeros(1, T::DTYPE, like.device())
}

impl<T: Real, B> CustomOp1 for Node<T, 1, B>
where
    B: Fn([&Tensor; 1]) -> Result<[Option<Tensor>; 1]> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.element()
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, like: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.device_element(like)
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let [da] = (self.backward)([a])?;
        Ok(keep(a, da))
    }
}

impl<T: Real, B> CustomOp2 for Node<T, 2, B>
where
    B: Fn([&Tensor; 2]) -> Result<[Option<Tensor>; 2]> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.element()
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, like: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.device_element(like)
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [da, db] = (self.backward)([a, b])?;
        Ok((keep(a, da), keep(b, db)))
    }
}

impl<T: Real, B> CustomOp3 for Node<T, 3, B>
where
    B: Fn([&Tensor; 3]) -> Result<[Option<Tensor>; 3]> + Send + Sync,
{
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
        self.element()
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        like: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.device_element(like)
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [da, db, dc] = (self.backward)([a, b, c])?;
        Ok((keep(a, da), keep(b, db), keep(c, dc)))
    }
}
