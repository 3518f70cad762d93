//! Masks as COCO counts them.

use serde::Serialize;

use crate::{Mask, MetricError};

/// A mask as COCO counts it: column by column, pixels outside first, then inside, turn by turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunLengths {
    /// Height and width.
    size: [usize; 2],
    /// Pixels outside, inside, outside, …
    counts: Vec<usize>,
}

impl RunLengths {
    /// Counts a mask.
    pub fn of(mask: &Mask) -> Self {
        let (height, width) = (mask.height(), mask.width());
        let (mut counts, mut current) = (vec![0], false);
        for column in 0..width {
            for row in 0..height {
                let inside = mask.get(row, column);
                if inside != current {
                    counts.push(0);
                    current = inside;
                }
                if let Some(last) = counts.last_mut() {
                    *last += 1;
                }
            }
        }
        Self {
            size: [height, width],
            counts,
        }
    }

    /// Takes over counts, which must be those of `height * width` pixels.
    ///
    /// # Errors
    /// [`MetricError::RunLengths`] for other sums, [`MetricError::NoPixels`].
    pub fn new(height: usize, width: usize, counts: Vec<usize>) -> Result<Self, MetricError> {
        let found = counts.iter().fold(0, |sum: usize, count| sum.saturating_add(*count));
        crate::error::check_size("a mask", height, width, height.saturating_mul(width))?;
        if Some(found) != height.checked_mul(width) {
            return Err(wrong(format!(
                "they are of {found} pixels, and a mask of {height}x{width} has another number"
            )));
        }
        Ok(Self {
            size: [height, width],
            counts,
        })
    }

    /// Reads COCO's text form: five bits a character from `0` on, a sixth says that more follow; from the fourth count on
    /// the difference to the count before the last one.
    ///
    /// # Errors
    /// [`MetricError::RunLengths`] for other characters, numbers that are too large or negative, and as [`RunLengths::new`].
    pub fn from_text(height: usize, width: usize, text: &str) -> Result<Self, MetricError> {
        let mut counts: Vec<usize> = Vec::new();
        let mut bytes = text.bytes();
        while let Some(first) = bytes.next() {
            let (mut value, mut shift, mut byte) = (0i64, 0u32, first);
            loop {
                let bits = byte
                    .checked_sub(b'0')
                    .filter(|bits| *bits < 64)
                    .ok_or_else(|| wrong(format!("`{}` is no character of them", byte.escape_ascii())))?;
                if shift > 50 {
                    return Err(wrong("a count has too many digits".to_owned()));
                }
                value |= i64::from(bits & 0x1f) << shift;
                shift += 5;
                if bits & 0x20 == 0 {
                    if bits & 0x10 != 0 {
                        value -= 1 << shift;
                    }
                    break;
                }
                byte = bytes
                    .next()
                    .ok_or_else(|| wrong("they end within a number".to_owned()))?;
            }
            if counts.len() > 2 {
                value += counts[counts.len() - 2] as i64;
            }
            let count = usize::try_from(value).map_err(|_| wrong(format!("a count is {value}")))?;
            counts.push(count);
        }
        Self::new(height, width, counts)
    }

    /// Pixels outside, inside, outside, … column by column.
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// The mask they are of.
    pub fn mask(&self) -> Mask {
        let [height, width] = self.size;
        let mut by_column = Vec::with_capacity(height * width);
        for (turn, count) in self.counts.iter().enumerate() {
            by_column.resize(by_column.len() + count, turn % 2 == 1);
        }
        Mask::from_rule(height, width, |row, column| by_column[column * height + row])
    }
}

fn wrong(reason: String) -> MetricError {
    MetricError::RunLengths { reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Golden = (usize, usize, Vec<u8>, Vec<usize>, String);

    fn golden() -> Vec<Golden> {
        serde_json::from_str(include_str!("../tests/golden/run_lengths.json")).unwrap()
    }

    /// Masks of pycocotools 2.0.11, its counts and its text (tests/golden/run_lengths.py).
    #[test]
    fn run_lengths_are_those_of_pycocotools() {
        for (height, width, pixels, counts, text) in golden() {
            let mask = Mask::new(height, width, pixels).unwrap();
            let ours = RunLengths::of(&mask);
            assert_eq!(ours.counts(), counts);
            assert_eq!(RunLengths::from_text(height, width, &text).unwrap(), ours);
            assert_eq!(ours.mask(), mask);
        }
    }

    #[test]
    fn what_is_no_mask_is_said() {
        for (height, width, text, said) in [
            (2, 2, "3", "3 pixels"),
            (2, 2, "1 2", "no character"),
            (2, 2, "o", "end within a number"),
            (2, 2, "O", "a count is -1"),
            (2, 2, "oooooooooooooooo0", "too many digits"),
            (0, 2, "", "no pixels"),
        ] {
            let error = RunLengths::from_text(height, width, text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(RunLengths::new(2, 2, vec![usize::MAX, 5]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_counts_or_an_error(text in "[ -~]{0,40}", height in 0usize..9, width in 0usize..9) {
            if let Ok(found) = RunLengths::from_text(height, width, &text) {
                prop_assert_eq!(found.mask().pixels().len(), height * width);
            }
        }
    }
}
