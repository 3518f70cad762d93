//! Weights in the order in which the direct convolution reads them.

use crate::buffer::Buffer;
use crate::parallel;

/// `[out][in][taps]` as `[block of tile out channels][in][taps][tile]`, zeros in the channels that fill up the last block.
pub(super) fn forward(weight: &[f32], [cout, cin, taps]: [usize; 3], tile: usize) -> Buffer<f32> {
    let row = cin * taps;
    let mut packed = Buffer::stale(cout.div_ceil(tile) * row * tile);
    parallel::chunks(&mut packed, row * tile, |block, packed| {
        let valid = (cout - block * tile).min(tile);
        let rows = &weight[block * tile * row..][..valid * row];
        match tile {
            8 if valid == 8 => turn_rows::<8>(rows, packed),
            4 if valid == 4 => turn_rows::<4>(rows, packed),
            _ => {
                packed.fill(0.0);
                for (c, row) in rows.chunks_exact(row).enumerate() {
                    for (cell, &v) in packed.chunks_exact_mut(tile).zip(row) {
                        cell[c] = v;
                    }
                }
            }
        }
    });
    packed
}

/// `N` rows as columns.
fn turn_rows<const N: usize>(rows: &[f32], out: &mut [f32]) {
    let length = rows.len() / N;
    let mut each: [&[f32]; N] = [&[]; N];
    for (each, row) in each.iter_mut().zip(rows.chunks_exact(length)) {
        *each = &row[..length];
    }
    for (i, cell) in out.as_chunks_mut::<N>().0.iter_mut().enumerate().take(length) {
        for (v, row) in cell.iter_mut().zip(each) {
            *v = row[i];
        }
    }
}

/// The weights that carry an output's gradient back: the roles of the channels change, and the window is turned by half a turn.
/// `[out][in][taps]` as `[block of tile in channels][out][turned taps][tile]`.
pub(super) fn backward(weight: &[f32], [cout, cin, taps]: [usize; 3], tile: usize) -> Buffer<f32> {
    let mut packed = Buffer::stale(cin.div_ceil(tile) * cout * taps * tile);
    parallel::chunks(&mut packed, cout * taps * tile, |block, packed| {
        let first = block * tile;
        let valid = (cin - first).min(tile);
        for (oc, packed) in packed.chunks_exact_mut(taps * tile).enumerate() {
            let given = &weight[(oc * cin + first) * taps..][..valid * taps];
            match (tile, taps) {
                (8, 9) if valid == 8 => turn_windows::<8, 9>(given, packed),
                (8, 4) if valid == 8 => turn_windows::<8, 4>(given, packed),
                (8, 1) if valid == 8 => packed.copy_from_slice(given),
                _ => {
                    packed.fill(0.0);
                    for (c, window) in given.chunks_exact(taps).enumerate() {
                        for (cell, &v) in packed.chunks_exact_mut(tile).zip(window.iter().rev()) {
                            cell[c] = v;
                        }
                    }
                }
            }
        }
    });
    packed
}

/// `C` windows of `K` taps, last tap first, channels innermost.
fn turn_windows<const C: usize, const K: usize>(given: &[f32], out: &mut [f32]) {
    let windows = given.as_chunks::<K>().0;
    let cells = out.as_chunks_mut::<C>().0;
    let (Some(windows), Some(cells)) = (windows.first_chunk::<C>(), cells.first_chunk_mut::<K>()) else {
        return;
    };
    for (k, cell) in cells.iter_mut().enumerate() {
        for (v, window) in cell.iter_mut().zip(windows) {
            *v = window[K - 1 - k];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_where_the_convolution_reads_it() {
        for (cout, cin, taps, tile) in [
            (16, 9, 9, 8),
            (11, 16, 9, 8),
            (8, 8, 1, 8),
            (3, 16, 4, 8),
            (5, 3, 25, 4),
            (4, 8, 9, 4),
        ] {
            let weight: Vec<f32> = (1..=cout * cin * taps).map(|i| i as f32).collect();
            let at = |oc: usize, ic: usize, tap: usize| weight[(oc * cin + ic) * taps + tap];
            let packed = forward(&weight, [cout, cin, taps], tile);
            for (i, &v) in packed.iter().enumerate() {
                let (cell, c) = (i / tile, i % tile);
                let (block, ic, tap) = (cell / (cin * taps), cell / taps % cin, cell % taps);
                let oc = block * tile + c;
                assert_eq!(v, if oc < cout { at(oc, ic, tap) } else { 0.0 });
            }
            let packed = backward(&weight, [cout, cin, taps], tile);
            for (i, &v) in packed.iter().enumerate() {
                let (cell, c) = (i / tile, i % tile);
                let (block, oc, tap) = (cell / (cout * taps), cell / taps % cout, cell % taps);
                let ic = block * tile + c;
                assert_eq!(v, if ic < cin { at(oc, ic, taps - 1 - tap) } else { 0.0 });
            }
        }
    }
}
