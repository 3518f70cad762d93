use candle_core::Device;

/// The most memory in use since it began to watch.
///
/// On the CPU that is the peak of the process's resident memory above its peak until then, on CUDA that of tensors and
/// workspaces since the device was opened.
#[derive(Debug)]
pub struct PeakMemory {
    device: Device,
    before: u64,
}

impl PeakMemory {
    /// Begins to watch; make what is to be counted afterwards.
    #[must_use]
    pub fn watch(device: &Device) -> Self {
        Self {
            device: device.clone(),
            before: peak_resident_bytes(),
        }
    }

    /// The peak in bytes: 0 on a CPU whose system does not say, `None` on Metal, where candle keeps buffers in pools of its
    /// own and does not say how large they grew.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        match &self.device {
            Device::Cpu => Some(peak_resident_bytes().saturating_sub(self.before)),
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => crate::cuda::peak_bytes(device),
            _ => None,
        }
    }
}

/// Peak resident memory of this process, 0 where the system does not say.
fn peak_resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 MiB that are written to are seen, where the system counts.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_made_is_counted() {
        const BYTES: usize = 64 << 20;
        let peak = PeakMemory::watch(&Device::Cpu);
        let made = std::hint::black_box(vec![1u8; BYTES]);
        assert!(peak.bytes().unwrap() > BYTES as u64 * 9 / 10);
        drop(made);
    }
}
