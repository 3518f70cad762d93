use serde::{Deserialize, Serialize};

use crate::boxes::PixelBox;
use crate::contours::Contours;
use crate::error::{MetricError, check_size, check_unit};
use crate::mask::Mask;

/// Number of thresholds a score map is cut at: 0, 0.001, ..., 0.999.
pub const MAP_THRESHOLDS: usize = 1000;

/// The IoU a box must reach for [`BoxAccuracy::max_box_acc_v2`].
pub const BOX_IOU_THRESHOLDS: [f64; 3] = [0.3, 0.5, 0.7];

/// A score map with values in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreMap {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl ScoreMap {
    /// Stretches any finite map to [0, 1] by its own minimum and maximum; a constant map becomes 0 everywhere.
    ///
    /// Class activation maps are evaluated like this.
    ///
    /// # Errors
    /// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size, [`MetricError::NotFinite`].
    pub fn stretched(height: usize, width: usize, map: &[f32]) -> Result<Self, MetricError> {
        check_size("a score map", height, width, map.len())?;
        if let Some(index) = map.iter().position(|v| !v.is_finite()) {
            let found = f64::from(map[index]);
            return Err(MetricError::NotFinite {
                what: "a score map".into(),
                index,
                found,
            });
        }
        let low = map.iter().copied().fold(f32::INFINITY, f32::min);
        let range = map.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low;
        let stretch = |v: f32| {
            if range > 0.0 {
                ((v - low) / range).clamp(0.0, 1.0)
            } else {
                0.0
            }
        };
        Ok(Self {
            height,
            width,
            values: map.iter().map(|&v| stretch(v)).collect(),
        })
    }

    /// Takes a map that is already in [0, 1], such as a probability map, as it is.
    ///
    /// # Errors
    /// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size, [`MetricError::Range`] for a
    /// value outside [0, 1] or NaN.
    pub fn unit(height: usize, width: usize, map: Vec<f32>) -> Result<Self, MetricError> {
        check_size("a score map", height, width, map.len())?;
        check_unit("a score map", &map)?;
        Ok(Self {
            height,
            width,
            values: map,
        })
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The boxes proposed by a cut at this share of the map's maximum (pixels strictly above it after rounding down to
    /// 8-bit grey); none if nothing is above.
    ///
    /// # Errors
    /// [`MetricError::Range`] unless the share lies in [0, 1].
    pub fn boxes_above(&self, share: f64, proposals: Proposals) -> Result<Vec<PixelBox>, MetricError> {
        if !(0.0..=1.0).contains(&share) {
            let expected = "a number in [0, 1]";
            return Err(MetricError::Range {
                what: "share of the map's maximum",
                found: share,
                expected,
            });
        }
        let grey = self.grey();
        Ok(proposed(
            &mut Contours::default(),
            &grey,
            self,
            level_of(share, &grey),
            proposals,
        ))
    }

    fn grey(&self) -> Vec<u8> {
        self.values.iter().map(|&v| (f64::from(v) * 255.0) as u8).collect()
    }
}

/// The boxes that a thresholded map proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proposals {
    /// The box of the contour with the largest area: MaxBoxAcc.
    #[default]
    LargestContour,
    /// The boxes of all contours, the best of which counts: what `wsolevaluation` turns on for its MaxBoxAccV2.
    ///
    /// Holes have contours too, so the box around a hole is proposed like any other.
    AllContours,
}

/// Share of images whose box is right, at the best common threshold: MaxBoxAcc and MaxBoxAccV2.
///
/// A map becomes 8-bit grey (v * 255, cut off), is cut at each of [`MAP_THRESHOLDS`] shares of its own maximum, and the
/// box of a contour is compared with the true box. For every IoU level the accuracy at the best threshold *over all
/// images together* is taken, so the threshold is tuned on the very images it is judged on: report it as the evaluation
/// defines it, not as a localizer's quality. An empty cut counts as the pixel at the upper left corner.
///
/// Matches clovaai `wsolevaluation` (`tests/golden/wsol.rs`), including its box convention: corners are (left, top,
/// right, bottom) with right and bottom *outside* the contour by one pixel but not outside the image, and an extent is
/// counted as difference + 1. True boxes are brought to the same convention here.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxAccuracy {
    proposals: Proposals,
    images: usize,
    right: Vec<[u32; BOX_IOU_THRESHOLDS.len()]>,
}

impl BoxAccuracy {
    /// Starts with no image.
    pub fn new(proposals: Proposals) -> Self {
        Self {
            proposals,
            images: 0,
            right: vec![[0; 3]; MAP_THRESHOLDS],
        }
    }

    /// Adds one image with its true boxes; a map is right if it meets any of them.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without a true box, [`MetricError::Range`] for a true box that leaves the map or has no
    /// pixel.
    pub fn add(&mut self, map: &ScoreMap, truth: &[PixelBox]) -> Result<(), MetricError> {
        if truth.is_empty() {
            return Err(MetricError::Empty {
                what: "the list of true boxes of an image",
            });
        }
        for b in truth {
            if b.area() == 0 || b.bottom > map.height || b.right > map.width {
                let (found, expected) = (b.area() as f64, "a box of at least one pixel inside the map");
                return Err(MetricError::Range {
                    what: "area of a true box",
                    found,
                    expected,
                });
            }
        }
        let truth: Vec<Corners> = truth.iter().map(|&b| Corners::of(b, map)).collect();
        let grey = map.grey();
        let mut contours = Contours::default();
        let mut known: Option<(u8, [bool; 3])> = None;
        for (step, counts) in self.right.iter_mut().enumerate() {
            let level = level_of(edge(step), &grey);
            let hits = match known {
                Some((same, hits)) if same == level => hits,
                _ => {
                    let boxes = proposed(&mut contours, &grey, map, level, self.proposals);
                    let iou = best_iou(&boxes, map, &truth);
                    BOX_IOU_THRESHOLDS.map(|t| iou >= t)
                }
            };
            known = Some((level, hits));
            for (count, hit) in counts.iter_mut().zip(hits) {
                *count += u32::from(hit);
            }
        }
        self.images += 1;
        Ok(())
    }

    /// Share of right images at each IoU of [`BOX_IOU_THRESHOLDS`], each at its own best threshold, in [0, 1].
    ///
    /// # Errors
    /// [`MetricError::Empty`] if no image was added.
    pub fn at_each_iou(&self) -> Result<[f64; 3], MetricError> {
        if self.images == 0 {
            return Err(MetricError::Empty {
                what: "the list of score maps",
            });
        }
        let best = |i: usize| self.right.iter().map(|r| r[i]).max().unwrap_or(0);
        Ok([best(0), best(1), best(2)].map(|right| f64::from(right) / self.images as f64))
    }

    /// MaxBoxAcc: the share at IoU 0.5, in [0, 1].
    ///
    /// # Errors
    /// [`MetricError::Empty`] if no image was added.
    pub fn max_box_acc(&self) -> Result<f64, MetricError> {
        Ok(self.at_each_iou()?[1])
    }

    /// MaxBoxAccV2: the mean of the shares at IoU 0.3, 0.5 and 0.7, in [0, 1].
    ///
    /// # Errors
    /// [`MetricError::Empty`] if no image was added.
    pub fn max_box_acc_v2(&self) -> Result<f64, MetricError> {
        Ok(self.at_each_iou()?.iter().sum::<f64>() / 3.0)
    }
}

/// Corners in the convention of the evaluation, see [`BoxAccuracy`].
#[derive(Debug, Clone, Copy)]
struct Corners {
    x0: usize,
    y0: usize,
    x1: usize,
    y1: usize,
}

impl Corners {
    fn of(b: PixelBox, map: &ScoreMap) -> Self {
        Self {
            x0: b.left,
            y0: b.top,
            x1: b.right.min(map.width - 1),
            y1: b.bottom.min(map.height - 1),
        }
    }

    fn area(self) -> usize {
        (self.x1 + 1 - self.x0) * (self.y1 + 1 - self.y0)
    }

    fn iou(self, other: Self) -> f64 {
        let width = (self.x1.min(other.x1) + 1).saturating_sub(self.x0.max(other.x0));
        let height = (self.y1.min(other.y1) + 1).saturating_sub(self.y0.max(other.y0));
        let shared = width * height;
        shared as f64 / (self.area() + other.area() - shared) as f64
    }
}

/// The grey level of a cut at a share of the maximum.
fn level_of(share: f64, grey: &[u8]) -> u8 {
    (share * f64::from(grey.iter().copied().max().unwrap_or(0))) as u8
}

fn proposed(contours: &mut Contours, grey: &[u8], map: &ScoreMap, level: u8, proposals: Proposals) -> Vec<PixelBox> {
    let found = contours.above(map.height, map.width, grey, level);
    match proposals {
        Proposals::LargestContour => contours.largest(map.height, map.width, &found).into_iter().collect(),
        Proposals::AllContours => {
            let holes = contours.hole_boxes(map.height, map.width);
            found.iter().map(|c| c.pixel_box).chain(holes).collect()
        }
    }
}

/// The best IoU of any proposed with any true box; no proposal counts as the pixel at the upper left corner.
fn best_iou(proposed: &[PixelBox], map: &ScoreMap, truth: &[Corners]) -> f64 {
    let best_of = |corners: Corners| truth.iter().map(|&t| corners.iou(t)).fold(0.0, f64::max);
    if proposed.is_empty() {
        return best_of(Corners {
            x0: 0,
            y0: 0,
            x1: 0,
            y1: 0,
        });
    }
    proposed
        .iter()
        .map(|&b| best_of(Corners::of(b, map)))
        .fold(0.0, f64::max)
}

/// Area under the pixel precision-recall curve: PxAP.
///
/// Pixels of all maps added go into one curve, whose points are the thresholds 0, 0.001, ..., 0.999 and 1; the area is
/// the sum of precision times the step in recall. Matches clovaai `wsolevaluation` (in [0, 1], not in percent). A
/// constant score gives the share of lesion pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelPrecision {
    lesion: Vec<u64>,
    background: Vec<u64>,
}

impl Default for PixelPrecision {
    fn default() -> Self {
        Self::new()
    }
}

impl PixelPrecision {
    /// Starts with no pixel.
    pub fn new() -> Self {
        Self {
            lesion: vec![0; MAP_THRESHOLDS + 1],
            background: vec![0; MAP_THRESHOLDS + 1],
        }
    }

    /// Adds the pixels of one map.
    ///
    /// # Errors
    /// [`MetricError::Shape`] if map and truth differ in size.
    pub fn add(&mut self, map: &ScoreMap, truth: &Mask) -> Result<(), MetricError> {
        let (m, t) = ((map.height, map.width), (truth.height(), truth.width()));
        if m != t {
            return Err(MetricError::Shape {
                prediction: m,
                truth: t,
            });
        }
        for (&value, &t) in map.values.iter().zip(truth.pixels()) {
            let counts = if t == 1 { &mut self.lesion } else { &mut self.background };
            counts[bin_of(value)] += 1;
        }
        Ok(())
    }

    /// The area under the curve, in [0, 1].
    ///
    /// # Errors
    /// [`MetricError::Empty`] if no lesion pixel was added.
    pub fn px_ap(&self) -> Result<f64, MetricError> {
        let all: u64 = self.lesion.iter().sum();
        if all == 0 {
            return Err(MetricError::Empty {
                what: "the lesion of all maps together",
            });
        }
        let (mut found, mut wrong, mut area) = (0u64, 0u64, 0.0);
        for (lesion, background) in self.lesion.iter().zip(&self.background).rev() {
            found += lesion;
            wrong += background;
            if *lesion > 0 {
                area += found as f64 / (found + wrong) as f64 * (*lesion as f64 / all as f64);
            }
        }
        Ok(area)
    }
}

/// The last threshold i * 0.001 that the value reaches; 1 has a bin of its own.
fn bin_of(value: f32) -> usize {
    ((f64::from(value) * 1000.0) as usize).min(MAP_THRESHOLDS)
}

fn edge(bin: usize) -> f64 {
    if bin == MAP_THRESHOLDS { 1.0 } else { bin as f64 * 0.001 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_map_has_a_perfect_box_and_curve() {
        let b = PixelBox {
            top: 2,
            left: 3,
            bottom: 7,
            right: 9,
        };
        let truth = Mask::from_box(12, 12, b).unwrap();
        let values: Vec<f32> = truth.pixels().iter().map(|&p| f32::from(p) * 3.0 - 1.0).collect();
        let map = ScoreMap::stretched(12, 12, &values).unwrap();
        for proposals in [Proposals::LargestContour, Proposals::AllContours] {
            let mut boxes = BoxAccuracy::new(proposals);
            boxes.add(&map, &[b]).unwrap();
            assert_eq!(boxes.max_box_acc_v2().unwrap(), 1.0);
        }
        let mut pixels = PixelPrecision::new();
        pixels.add(&map, &truth).unwrap();
        assert_eq!(pixels.px_ap().unwrap(), 1.0);
    }

    #[test]
    fn constant_maps_score_the_prevalence() {
        let map = ScoreMap::stretched(2, 2, &[0.7; 4]).unwrap();
        let mut pixels = PixelPrecision::new();
        pixels.add(&map, &Mask::new(2, 2, vec![1, 0, 0, 0]).unwrap()).unwrap();
        assert_eq!(pixels.px_ap().unwrap(), 0.25);
        assert!(PixelPrecision::new().px_ap().is_err());
    }

    /// Every value next to a threshold falls on the right side of it, although the product is rounded.
    #[test]
    fn bins_are_closed_on_the_left() {
        for near in (0..=MAP_THRESHOLDS).map(|i| edge(i) as f32) {
            for value in [near.next_down().max(0.0), near, near.next_up().min(1.0)] {
                let bin = bin_of(value);
                assert!(edge(bin) <= f64::from(value), "{value} in {bin}");
                assert!(
                    bin == MAP_THRESHOLDS || f64::from(value) < edge(bin + 1),
                    "{value} in {bin}"
                );
            }
        }
    }

    /// Extents count one pixel more than there is, except at the right and lower border.
    #[test]
    fn boxes_follow_the_convention_of_the_evaluation() {
        // A box of two rows and three columns against its own pixel at (row, column): right at an IoU of 0.3?
        let share = |top: usize, left: usize, row: usize, column: usize| {
            let cut = PixelBox {
                top,
                left,
                bottom: top + 2,
                right: left + 3,
            };
            let truth = PixelBox {
                top: row,
                left: column,
                bottom: row + 1,
                right: column + 1,
            };
            let pixels = Mask::from_box(9, 9, cut).unwrap();
            let values = pixels.pixels().iter().map(|&p| f32::from(p)).collect();
            let mut boxes = BoxAccuracy::new(Proposals::LargestContour);
            boxes.add(&ScoreMap::unit(9, 9, values).unwrap(), &[truth]).unwrap();
            boxes.at_each_iou().unwrap()[0]
        };
        // One pixel of six, counted as two of three rows times two of four columns ...
        assert_eq!(share(2, 2, 2, 2), 1.0);
        // ... at the lower border as one of two rows, at the right border as one of three columns.
        assert_eq!(share(7, 2, 8, 2), 0.0);
        assert_eq!(share(2, 6, 2, 8), 0.0);
    }
}
