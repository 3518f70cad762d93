use candle_core::cuda_backend::WrapErr;
use candle_core::{CudaDevice, Device};
use htl_datasets::ImageSet;
use htl_models::Preprocessing;
use htl_ops::augment::{Colours, Place, ResidentImages};

use super::{augmentation::Augmentation, bank, batch::Batch};
use crate::{TrainError, upload::Staged};

/// The most that a set may take of a device, in bytes.
const MOST: usize = 16 << 30;

/// Images and targets that stay on a CUDA device, where its kernels make batches of them.
pub(super) struct Resident {
    images: ResidentImages,
    size: usize,
}

impl Resident {
    /// `None` if the set would take more than [`MOST`], or a quarter of what the device has left: the network comes
    /// later, and a second set perhaps.
    pub fn new(
        set: &ImageSet,
        targets: Option<&[Vec<f32>]>,
        preprocessing: &Preprocessing,
        device: &CudaDevice,
    ) -> Result<Option<Self>, TrainError> {
        let size = set.size();
        let (Ok(mean), Ok(std)) = (
            preprocessing.mean.as_slice().try_into(),
            preprocessing.std.as_slice().try_into(),
        ) else {
            return Ok(None);
        };
        let (free, _) = device.cuda_stream().context().mem_get_info().w()?;
        let bytes = set.len() * size * size * (3 + targets.map_or(0, bank::bytes_of_maps));
        if set.is_empty() || bytes > MOST.min(free / 4) {
            return Ok(None);
        }
        let device = Device::Cuda(device.clone());
        let images = bank::images(set, &device)?;
        let maps = targets.map(|targets| bank::maps(targets, size, &device)).transpose()?;
        Ok(Some(Self {
            images: ResidentImages::new(&images, maps.as_ref(), mean, std)?,
            size,
        }))
    }

    pub fn make<const VIEWS: usize>(&self, draws: &[Augmentation<VIEWS>]) -> Result<Batch, TrainError> {
        let places: Vec<Place> = draws
            .iter()
            .map(|drawn| bank::place(drawn.image, &drawn.geometry))
            .collect();
        let colours: [Vec<Colours>; VIEWS] = std::array::from_fn(|view| {
            let colours = draws.iter().map(|drawn| &drawn.colours[view]);
            colours.map(|photometry| bank::colours(photometry, self.size)).collect()
        });
        let batch = self.images.batch(&places, &colours.each_ref().map(Vec::as_slice))?;
        let views = batch.views.into_iter().map(Staged::Tensor).collect();
        Batch::new(views, [batch.targets.map(Staged::Tensor), None])
    }
}
