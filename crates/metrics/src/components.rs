use crate::boxes::PixelBox;

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
    let runs = runs_of(height, width, pixels);
    let parents = join(&runs, Connected::Corners);
    // A root is the first run of its component, so names follow the reading order.
    let mut names = vec![0u32; runs.len()];
    let mut components: Vec<Component> = Vec::new();
    labels.clear();
    labels.resize(height * width, 0);
    for (index, run) in runs.iter().enumerate() {
        let root = root_of(&parents, index);
        let pixel_box = run.pixel_box();
        if root == index {
            components.push(Component {
                first: (run.row, run.left),
                area: 0,
                pixel_box,
            });
            names[index] = components.len() as u32;
        }
        let name = names[root];
        let component = &mut components[name as usize - 1];
        component.area += run.right - run.left;
        component.pixel_box = component.pixel_box.hull(pixel_box);
        labels[run.row * width + run.left..run.row * width + run.right].fill(name);
    }
    components
}

/// Which connected part each pixel of a mask belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentMap {
    /// 0 for background, else the part's number from 1, in reading order of their first pixels; `[height * width]`.
    pub labels: Vec<u32>,
    /// How many parts there are.
    pub count: usize,
}

/// The 8-connected parts of `pixels` (non-zero = set), `[height * width]`, row by row. Pixels that the buffer lacks are not set.
pub fn label_components(height: usize, width: usize, pixels: &[u8]) -> ComponentMap {
    let mut padded = pixels.to_vec();
    padded.resize(height * width, 0);
    let mut labels = Vec::new();
    let count = label(height, width, &padded, &mut labels).len();
    ComponentMap { labels, count }
}

/// Set pixels of one row from `left` to before `right`.
struct Run {
    row: usize,
    left: usize,
    right: usize,
}

impl Run {
    fn pixel_box(&self) -> PixelBox {
        PixelBox {
            top: self.row,
            left: self.left,
            bottom: self.row + 1,
            right: self.right,
        }
    }
}

/// All runs in reading order.
fn runs_of(height: usize, width: usize, pixels: &[u8]) -> Vec<Run> {
    let mut runs = Vec::new();
    for row in 0..height {
        let line = &pixels[row * width..(row + 1) * width];
        let mut at = unset(line);
        while at < width {
            let (left, right) = (at, at + set(&line[at..]));
            runs.push(Run { row, left, right });
            at = right + unset(&line[right..]);
        }
    }
    runs
}

/// How many pixels at the beginning are not set.
fn unset(line: &[u8]) -> usize {
    let none = |block: &[u8; BLOCK]| block.iter().fold(0, |all, &pixel| all | pixel) == 0;
    leading(line, none, |pixel| pixel == 0)
}

/// How many pixels at the beginning are set.
fn set(line: &[u8]) -> usize {
    let all = |block: &[u8; BLOCK]| block.iter().fold(u8::MAX, |least, &pixel| least.min(pixel)) != 0;
    leading(line, all, |pixel| pixel != 0)
}

/// Pixels that a vector instruction looks at together.
const BLOCK: usize = 16;

fn leading(line: &[u8], block: impl Fn(&[u8; BLOCK]) -> bool, pixel: impl Fn(u8) -> bool) -> usize {
    let blocks = line.as_chunks().0.iter().take_while(|&found| block(found));
    let whole = blocks.count() * BLOCK;
    whole + line[whole..].iter().take_while(|&&found| pixel(found)).count()
}

/// Boxes of the 4-connected regions of pixels that are not set and do not reach the border, in reading order of their first pixels.
pub(crate) fn holes(height: usize, width: usize, pixels: &[u8]) -> Vec<PixelBox> {
    let unset: Vec<u8> = pixels.iter().map(|&pixel| u8::from(pixel == 0)).collect();
    let runs = runs_of(height, width, &unset);
    let parents = join(&runs, Connected::Sides);
    let mut regions: Vec<Option<PixelBox>> = vec![None; runs.len()];
    let mut open = vec![false; runs.len()];
    for (index, run) in runs.iter().enumerate() {
        let root = root_of(&parents, index);
        let own = run.pixel_box();
        regions[root] = Some(regions[root].map_or(own, |region| region.hull(own)));
        open[root] |= run.row == 0 || run.left == 0 || run.row + 1 == height || run.right == width;
    }
    let closed = regions.into_iter().zip(open).filter(|(_, open)| !open);
    closed.filter_map(|(region, _)| region).collect()
}

/// Which pixels touch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connected {
    /// Those that share a side.
    Sides,
    /// Those that share a side or a corner.
    Corners,
}

/// Joins runs that touch; a run's parent is a run before it, or itself.
fn join(runs: &[Run], connected: Connected) -> Vec<usize> {
    // How far beyond its ends a run reaches in the next row.
    let reach = usize::from(connected == Connected::Corners);
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    let mut above = 0;
    for (index, run) in runs.iter().enumerate() {
        while runs[above].row + 1 < run.row || (runs[above].row + 1 == run.row && runs[above].right + reach <= run.left)
        {
            above += 1;
        }
        for (other, upper) in runs.iter().enumerate().take(index).skip(above) {
            if upper.row == run.row || upper.left >= run.right + reach {
                break;
            }
            let (a, b) = (root_of(&parents, other), root_of(&parents, index));
            parents[a.max(b)] = a.min(b);
            parents[index] = a.min(b);
        }
    }
    parents
}

fn root_of(parents: &[usize], mut index: usize) -> usize {
    while parents[index] != index {
        index = parents[index];
    }
    index
}

/// The largest component: its label, and its box.
pub(crate) struct Largest {
    /// Label of every pixel, row by row.
    pub(crate) labels: Vec<u32>,
    /// Label of the component.
    pub(crate) name: u32,
    /// Its box.
    pub(crate) pixel_box: PixelBox,
}

/// The component of `pixels` (non-zero = set) with the most of them, the first in reading order among equals.
pub(crate) fn largest_component(height: usize, width: usize, pixels: &[u8]) -> Option<Largest> {
    let mut labels = Vec::new();
    let components = label(height, width, pixels, &mut labels);
    let mut best: Option<(u32, Component)> = None;
    for (index, component) in components.into_iter().enumerate() {
        if best.is_none_or(|(_, b)| component.area > b.area) {
            best = Some((index as u32 + 1, component));
        }
    }
    best.map(|(name, component)| Largest {
        labels,
        name,
        pixel_box: component.pixel_box,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixel by pixel: a region is what steps to the side reach.
    fn flooded(height: usize, width: usize, pixels: &[u8]) -> Vec<PixelBox> {
        let mut seen: Vec<bool> = pixels.iter().map(|&pixel| pixel != 0).collect();
        let mut boxes = Vec::new();
        for start in 0..seen.len() {
            let (mut stack, mut inside, mut open) = (vec![start], vec![false; seen.len()], false);
            while let Some(at) = stack.pop() {
                if std::mem::replace(&mut seen[at], true) {
                    continue;
                }
                inside[at] = true;
                let (y, x) = (at / width, at % width);
                open |= y == 0 || x == 0 || y + 1 == height || x + 1 == width;
                stack.extend((y > 0).then(|| at - width));
                stack.extend((x > 0).then(|| at - 1));
                stack.extend((y + 1 < height).then_some(at + width));
                stack.extend((x + 1 < width).then_some(at + 1));
            }
            boxes.extend(PixelBox::around(inside, width).filter(|_| !open));
        }
        boxes
    }

    #[test]
    fn holes_are_what_a_flood_does_not_let_out() {
        let (height, width, mut state) = (9, 11, 7u32);
        let mut found = 0;
        for dense in 1..=300 {
            let pixels: Vec<u8> = (0..height * width)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    u8::from(state >> 24 < 120 + dense % 100)
                })
                .collect();
            let expected = flooded(height, width, &pixels);
            assert_eq!(holes(height, width, &pixels), expected, "{pixels:?}");
            found += expected.len();
        }
        assert!(found > 300, "{found} holes are too few to try anything");
        assert!(holes(1, 3, &[1, 0, 1]).is_empty());
    }
    use crate::mask::Mask;

    fn mask(rows: &[&str]) -> Mask {
        Mask::from_rule(rows.len(), rows[0].len(), |y, x| rows[y].as_bytes()[x] == b'#')
    }

    /// Pixels that touch have one label, names follow the reading order, areas and boxes are those of the labels.
    #[test]
    fn labels_equal_a_flood_fill() {
        let mut state = 7u32;
        let mut draw = |share: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::from(state >> 16 < share * 655)
        };
        for share in [1, 5, 20, 35, 45, 60, 90, 97, 100] {
            for (height, width) in [(1, 1), (1, 9), (9, 1), (13, 17), (24, 8), (5, 101)] {
                let pixels: Vec<u8> = (0..height * width).map(|_| draw(share)).collect();
                let mut labels = Vec::new();
                let found = label(height, width, &pixels, &mut labels);
                let mut flooded = vec![0u32; pixels.len()];
                let mut count = 0;
                for start in 0..pixels.len() {
                    if pixels[start] == 0 || flooded[start] != 0 {
                        continue;
                    }
                    count += 1;
                    let mut stack = vec![start];
                    while let Some(at) = stack.pop() {
                        if flooded[at] != 0 {
                            continue;
                        }
                        flooded[at] = count;
                        for y in (at / width).saturating_sub(1)..(at / width + 2).min(height) {
                            for x in (at % width).saturating_sub(1)..(at % width + 2).min(width) {
                                if pixels[y * width + x] != 0 {
                                    stack.push(y * width + x);
                                }
                            }
                        }
                    }
                    let area = flooded.iter().filter(|&&name| name == count).count();
                    let component = found[count as usize - 1];
                    assert_eq!(
                        (component.first, component.area),
                        ((start / width, start % width), area)
                    );
                    let rule = |y: usize, x: usize| flooded[y * width + x] == count;
                    assert_eq!(
                        Some(component.pixel_box),
                        Mask::from_rule(height, width, rule).tight_box()
                    );
                }
                assert_eq!((labels, found.len()), (flooded, count as usize));
            }
        }
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
