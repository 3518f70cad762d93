//! Which instructions the kernels use.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::OpsError;

/// An instruction set that the kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CpuPath {
    /// No more than the target's baseline (SSE2 on x86-64, NEON on aarch64).
    Plain,
    /// AVX2 with FMA: vectors of eight `f32`.
    Avx2,
    /// AVX-512 F: vectors of sixteen `f32`.
    Avx512,
}

/// Overrides the choice; `plain`, `avx2` or `avx512`. A path that the processor lacks is not taken.
pub const CPU_PATH_VARIABLE: &str = "HTL_OPS_CPU";

const UNDECIDED: u8 = u8::MAX;
static ACTIVE: AtomicU8 = AtomicU8::new(UNDECIDED);

fn supported(path: CpuPath) -> bool {
    match path {
        CpuPath::Plain => true,
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx512 => {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
        }
        #[cfg(not(target_arch = "x86_64"))]
        _ => false,
    }
}

impl CpuPath {
    /// Every path this processor can take, plainest first.
    pub fn available() -> Vec<CpuPath> {
        [CpuPath::Plain, CpuPath::Avx2, CpuPath::Avx512]
            .into_iter()
            .filter(|&p| supported(p))
            .collect()
    }

    /// The path that the next operation takes.
    pub fn active() -> CpuPath {
        match ACTIVE.load(Ordering::Relaxed) {
            0 => CpuPath::Plain,
            1 => CpuPath::Avx2,
            2 => CpuPath::Avx512,
            _ => {
                let best = if supported(CpuPath::Avx512) {
                    CpuPath::Avx512
                } else if supported(CpuPath::Avx2) {
                    CpuPath::Avx2
                } else {
                    CpuPath::Plain
                };
                let wished = match std::env::var(CPU_PATH_VARIABLE).as_deref() {
                    Ok("plain") => CpuPath::Plain,
                    Ok("avx2") => CpuPath::Avx2,
                    _ => CpuPath::Avx512,
                };
                let path = if supported(wished) { wished.min(best) } else { best };
                ACTIVE.store(path as u8, Ordering::Relaxed);
                path
            }
        }
    }

    /// Makes all operations of this process take this path.
    ///
    /// # Errors
    /// [`OpsError::Parameter`] if the processor lacks the instructions.
    pub fn force(self) -> Result<(), OpsError> {
        if !supported(self) {
            return Err(OpsError::Parameter {
                op: "CpuPath::force",
                parameter: "path",
                requirement: "one that this processor supports (see CpuPath::available)",
                found: format!("{self:?}"),
            });
        }
        ACTIVE.store(self as u8, Ordering::Relaxed);
        Ok(())
    }
}

/// Compiles one loop for every instruction set and picks at run time. Floating-point semantics are the same in each:
/// the compiler neither reorders nor fuses, so the bits are equal.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident <$t:ident : Real> ( $($arg:ident : $ty:ty),* $(,)? ) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$t: crate::real::Real>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn plain<$t: crate::real::Real>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512<$t: crate::real::Real>($($arg: $ty),*) $(-> $ret)? {
                plain::<$t>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2<$t: crate::real::Real>($($arg: $ty),*) $(-> $ret)? {
                plain::<$t>($($arg),*)
            }

            match crate::cpu::CpuPath::active() {
                // SAFETY: `active` is only ever a path whose features were detected on this processor.
                #[cfg(target_arch = "x86_64")]
                crate::cpu::CpuPath::Avx512 => unsafe { avx512::<$t>($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                crate::cpu::CpuPath::Avx2 => unsafe { avx2::<$t>($($arg),*) },
                _ => plain::<$t>($($arg),*),
            }
        }
    };
}
pub(crate) use vectorised;
