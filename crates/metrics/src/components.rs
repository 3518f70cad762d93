use crate::boxes::PixelBox;
use crate::mask::Mask;

/// The largest component of a mask with its box.
pub(crate) struct Largest {
    pub(crate) mask: Mask,
    pub(crate) pixel_box: PixelBox,
}

/// One 8-connected component.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    /// First pixel in reading order.
    pub(crate) first: (usize, usize),
    /// Number of pixels.
    pub(crate) area: usize,
    /// Tight box.
    pub(crate) pixel_box: PixelBox,
}

/// Labels the 8-connected components of `pixels` (non-zero = set) in reading order of their first pixel.
///
/// `labels` gets 0 for background and `k + 1` for component `k`.
pub(crate) fn label(height: usize, width: usize, pixels: &[u8], labels: &mut Vec<u32>) -> Vec<Component> {
    labels.clear();
    labels.resize(height * width, 0);
    let mut components = Vec::new();
    let mut stack = Vec::new();
    for start in 0..height * width {
        if pixels[start] == 0 || labels[start] != 0 {
            continue;
        }
        let (row, column) = (start / width, start % width);
        let name = components.len() as u32 + 1;
        let mut component = Component {
            first: (row, column),
            area: 0,
            pixel_box: PixelBox {
                top: row,
                left: column,
                bottom: row + 1,
                right: column + 1,
            },
        };
        labels[start] = name;
        stack.push(start);
        while let Some(at) = stack.pop() {
            let (y, x) = (at / width, at % width);
            component.area += 1;
            let pixel = PixelBox {
                top: y,
                left: x,
                bottom: y + 1,
                right: x + 1,
            };
            component.pixel_box = component.pixel_box.hull(pixel);
            for ny in y.saturating_sub(1)..(y + 2).min(height) {
                for nx in x.saturating_sub(1)..(x + 2).min(width) {
                    let next = ny * width + nx;
                    if pixels[next] != 0 && labels[next] == 0 {
                        labels[next] = name;
                        stack.push(next);
                    }
                }
            }
        }
        components.push(component);
    }
    components
}

/// The component with the most pixels, the first in reading order among equals.
pub(crate) fn largest_component(mask: &Mask) -> Option<Largest> {
    let (height, width) = (mask.height(), mask.width());
    let mut labels = Vec::new();
    let components = label(height, width, mask.pixels(), &mut labels);
    let mut best: Option<(u32, Component)> = None;
    for (index, component) in components.into_iter().enumerate() {
        if best.is_none_or(|(_, b)| component.area > b.area) {
            best = Some((index as u32 + 1, component));
        }
    }
    best.map(|(name, component)| Largest {
        mask: Mask::from_rule(height, width, |y, x| labels[y * width + x] == name),
        pixel_box: component.pixel_box,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        Mask::from_rule(rows.len(), rows[0].len(), |y, x| rows[y].as_bytes()[x] == b'#')
    }

    #[test]
    fn corners_connect() {
        let m = mask(&["#...", ".#..", "...#", "...#"]);
        let boxed = m.largest_component_box();
        // (1,1) and (2,3) do not touch; two components of two pixels: the first in reading order wins.
        assert_eq!(
            boxed,
            Some(PixelBox {
                top: 0,
                left: 0,
                bottom: 2,
                right: 2
            })
        );
        assert_eq!(m.largest_component().area(), 2);
    }

    #[test]
    fn larger_component_wins_wherever_it_is() {
        let m = mask(&["##..", "....", ".###"]);
        assert_eq!(
            m.largest_component_box(),
            Some(PixelBox {
                top: 2,
                left: 1,
                bottom: 3,
                right: 4
            })
        );
        assert_eq!(
            m.tight_box(),
            Some(PixelBox {
                top: 0,
                left: 0,
                bottom: 3,
                right: 4
            })
        );
        assert_eq!(mask(&["...."]).largest_component_box(), None);
    }
}
