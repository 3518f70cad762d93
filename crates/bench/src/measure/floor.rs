//! What this machine can do at best: fused multiplications and additions, and copying memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

/// `htl-bench floor`.
#[derive(Args)]
pub struct Floor {
    /// How long each of the four measurements repeats; the fastest repetition counts
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// On one thread and on all of them.
#[derive(Serialize)]
struct Pair {
    one_thread: f64,
    all_threads: f64,
}

#[derive(Serialize)]
struct Row {
    threads: usize,
    /// Vectors that the loop of multiplications was written with.
    fma_vectors: &'static str,
    /// 32-bit floats; a fused multiplication and addition counts as two.
    fma_gflops: Pair,
    /// Size of the array that was copied.
    copy_bytes: usize,
    /// Bytes read and bytes written together, in 10^9 per second.
    copy_gbs: Pair,
}

impl Floor {
    pub fn run(self) -> anyhow::Result<()> {
        ensure!(
            (0.0..=60.0).contains(&self.seconds),
            "--seconds must be between 0 and 60, found {}",
            self.seconds
        );
        let time = Duration::from_secs_f64(self.seconds);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let vectors = Vectors::best();
        let bytes = copied_bytes();
        let source = vec![1f32; bytes / 4];
        // Written once, so that no page is touched for the first time while the clock runs.
        let mut copy = vec![2f32; bytes / 4];
        let row = Row {
            threads: rayon::current_num_threads(),
            fma_vectors: vectors.name(),
            fma_gflops: Pair {
                one_thread: one.install(|| fma_gflops(vectors, time)),
                all_threads: fma_gflops(vectors, time),
            },
            copy_bytes: bytes,
            copy_gbs: Pair {
                one_thread: one.install(|| copy_gbs(&source, &mut copy, time)),
                all_threads: copy_gbs(&source, &mut copy, time),
            },
        };
        println!("{}", serde_json::to_string(&row)?);
        Ok(())
    }
}

/// 10^9 multiplications and additions, and 10^9 copied bytes, per second on all threads.
pub fn all_threads(time: Duration) -> [f64; 2] {
    let numbers = copied_bytes() / 4;
    let (source, mut copy) = (vec![1f32; numbers], vec![2f32; numbers]);
    [fma_gflops(Vectors::best(), time), copy_gbs(&source, &mut copy, time)]
}

/// Size of an array that no cache holds.
fn copied_bytes() -> usize {
    (4 * last_level_cache()).clamp(64 << 20, 1 << 30)
}

/// The shortest of repetitions that fill `time`, at least three, in seconds.
fn shortest(time: Duration, mut task: impl FnMut()) -> f64 {
    let (begin, mut best, mut count) = (Instant::now(), f64::INFINITY, 0);
    while count < 3 || begin.elapsed() < time {
        let start = Instant::now();
        task();
        best = best.min(start.elapsed().as_secs_f64());
        count += 1;
    }
    best
}

/// Rounds of one repetition: some milliseconds, long enough for the start of threads not to count.
const ROUNDS: usize = 1 << 20;

/// Independent sums, enough to hide that one addition takes several cycles.
const SUMS: usize = 12;

fn fma_gflops(vectors: Vectors, time: Duration) -> f64 {
    let seconds = shortest(time, || {
        rayon::broadcast(|_| black_box(vectors.run(black_box(0.999), ROUNDS)));
    });
    let flops = 2 * ROUNDS * SUMS * vectors.width() * rayon::current_num_threads();
    flops as f64 / seconds / 1e9
}

fn copy_gbs(from: &[f32], to: &mut [f32], time: Duration) -> f64 {
    let part = from.len().div_ceil(rayon::current_num_threads());
    let seconds = shortest(time, || {
        let parts = to.par_chunks_mut(part).zip(from.par_chunks(part));
        parts.for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&mut *to);
    });
    2.0 * size_of_val(from) as f64 / seconds / 1e9
}

/// Size of the processor's last level of cache in bytes; 32 MiB where the system does not say.
fn last_level_cache() -> usize {
    let level = |index: usize| {
        let text = std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()?;
        parse_size(text.trim())
    };
    (0..8).filter_map(level).max().unwrap_or(32 << 20)
}

/// `48K`, `32M`.
fn parse_size(text: &str) -> Option<usize> {
    let (number, factor) = match text.strip_suffix('K') {
        Some(number) => (number, 1 << 10),
        None => (text.strip_suffix('M')?, 1 << 20),
    };
    Some(number.parse::<usize>().ok()? * factor)
}

/// Which vectors to multiply.
#[derive(Clone, Copy)]
enum Vectors {
    /// What the compiler makes of `mul_add` on four numbers at a time: NEON on aarch64; without fused instructions a call
    /// for each number, and then no peak at all.
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Vectors {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Plain
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    /// Numbers in a vector.
    fn width(self) -> usize {
        match self {
            Self::Plain => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
        }
    }

    /// `rounds` fused operations on each of `SUMS` vectors; the result only keeps the compiler from dropping them.
    fn run(self, factor: f32, rounds: usize) -> f32 {
        match self {
            Self::Plain => plain(factor, rounds),
            // SAFETY: `best`, the only maker of these, has seen that the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(factor, rounds) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(factor, rounds) },
        }
    }
}

fn plain(factor: f32, rounds: usize) -> f32 {
    let mut sums = [[1f32; 4]; SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = sum.map(|value| value.mul_add(factor, factor));
        }
    }
    sums.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(factor: f32, rounds: usize) -> f32 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let factor = _mm256_set1_ps(factor);
    let mut sums = [_mm256_set1_ps(1.0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, factor);
        }
    }
    let total = sums.into_iter().fold(factor, |a, b| _mm256_add_ps(a, b));
    _mm256_cvtss_f32(total)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(factor: f32, rounds: usize) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps};
    let factor = _mm512_set1_ps(factor);
    let mut sums = [_mm512_set1_ps(1.0); SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, factor);
        }
    }
    let total = sums.into_iter().fold(factor, |a, b| _mm512_add_ps(a, b));
    _mm512_cvtss_f32(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_caches_are_read() {
        assert_eq!(parse_size("48K"), Some(49152));
        assert_eq!(parse_size("32M"), Some(32 << 20));
        assert_eq!(parse_size("many"), None);
    }

    /// Every loop computes s <- s f + f: after two rounds f² + f² + f on all vectors.
    #[test]
    fn the_loops_do_what_is_counted() {
        let f = 0.5f32;
        let each = f * f + f * f + f;
        assert_eq!(plain(f, 2), each * (4 * SUMS) as f32);
        let best = Vectors::best();
        if best.width() > 4 {
            assert_eq!(best.run(f, 2), each * SUMS as f32 + f);
        }
    }
}
