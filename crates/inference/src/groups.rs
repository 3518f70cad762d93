use htl_datasets::Sample;
use htl_metrics::{ImageScores, terciles};
use htl_mining::age_band;

/// An attribute whose levels group the images of `per_image.csv`, and among which the worst group is looked for.
pub struct GroupColumn {
    /// Name of the column.
    pub key: &'static str,
    level: Level,
}

/// Where a level comes from.
enum Level {
    /// From what is known of the image.
    Sample(fn(&Sample) -> Option<String>),
    /// A third of the images by a number from their masks, named from low to high.
    Tercile([&'static str; 3], fn(&ImageScores) -> f64),
}

/// All of them, in the order of the columns.
pub const GROUP_COLUMNS: &[GroupColumn] = &[
    GroupColumn {
        key: "sex",
        level: Level::Sample(|sample| sample.sex.clone()),
    },
    GroupColumn {
        key: "age_band",
        level: Level::Sample(|sample| sample.age_approx.and_then(age_band).map(str::to_owned)),
    },
    GroupColumn {
        key: "anatom_site",
        level: Level::Sample(|sample| sample.anatom_site.clone()),
    },
    GroupColumn {
        key: "dx",
        level: Level::Sample(|sample| sample.dx.clone()),
    },
    GroupColumn {
        key: "size_tercile",
        level: Level::Tercile(["small", "medium", "large"], lesion_share),
    },
];

/// The true lesion's share of the image.
fn lesion_share(scores: &ImageScores) -> f64 {
    (scores.tp + scores.fn_) as f64 / (scores.tp + scores.fp + scores.fn_ + scores.tn).max(1) as f64
}

/// The level of every image in every column, empty where it is not known.
///
/// # Shapes
/// - `images`: scores of each image, and its sample where there is one
/// - result: per image one level per [`GROUP_COLUMNS`]
pub(crate) fn levels(images: &[(&ImageScores, Option<&Sample>)]) -> Vec<Vec<String>> {
    let mut levels = vec![Vec::with_capacity(GROUP_COLUMNS.len()); images.len()];
    for column in GROUP_COLUMNS {
        let of_column: Vec<Option<String>> = match column.level {
            Level::Sample(level) => images.iter().map(|(_, sample)| sample.and_then(level)).collect(),
            Level::Tercile(names, value) => {
                let values: Vec<Option<f64>> = images.iter().map(|(scores, _)| Some(value(scores))).collect();
                let third = terciles(&values);
                third.iter().map(|t| t.map(|t| t.of(names).to_owned())).collect()
            }
        };
        for (levels, level) in levels.iter_mut().zip(of_column) {
            levels.push(level.unwrap_or_default());
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_metrics::Mask;

    fn scores(id: usize, area: usize) -> ImageScores {
        let mut pixels = vec![0; 16];
        pixels[..area].fill(1);
        let mask = Mask::new(4, 4, pixels).unwrap();
        ImageScores::of(format!("i{id}"), &mask, &mask).unwrap()
    }

    fn sizes(areas: &[usize]) -> Vec<String> {
        let scores: Vec<ImageScores> = areas.iter().enumerate().map(|(id, &area)| scores(id, area)).collect();
        let images: Vec<_> = scores.iter().map(|scores| (scores, None)).collect();
        let column = GROUP_COLUMNS.iter().position(|c| c.key == "size_tercile").unwrap();
        levels(&images)
            .into_iter()
            .map(|levels| levels[column].clone())
            .collect()
    }

    /// Lesions of one size are in one group, however the table is sorted.
    #[test]
    fn lesions_of_one_size_are_in_one_group() {
        assert_eq!(sizes(&[9, 1, 4]), ["large", "small", "medium"]);
        assert_eq!(
            sizes(&[5, 5, 5, 5, 5, 9]),
            ["small", "small", "small", "small", "small", "large"]
        );
    }

    /// What is not known of an image is an empty level, not an invented one.
    #[test]
    fn an_unknown_image_has_no_levels_but_its_size() {
        let scores = scores(0, 3);
        let levels = levels(&[(&scores, None)]);
        assert_eq!(levels, [["", "", "", "", "small"].map(str::to_owned)]);
    }
}
