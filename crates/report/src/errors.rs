//! Whether images that a score calls hard are localized badly.

use htl_mining::{ScoreTable, column, spearman};

use crate::ReportError;

/// True errors of the images in each tenth of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreErrors {
    /// The score's column.
    pub score: String,
    /// Images that have both.
    pub images: usize,
    /// Spearman's correlation of score and error; `None` where one of them is the same for all images.
    pub rho: Option<f64>,
    /// From the lowest tenth of the score to the highest; fewer where there are fewer than ten images.
    pub tenths: Vec<ErrorTenth>,
}

/// Errors, 1 - Jaccard of the dense consensus, of a tenth of the images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorTenth {
    /// Lower quartile.
    pub lower: f64,
    /// Median.
    pub median: f64,
    /// Upper quartile.
    pub upper: f64,
}

/// Parts that the images are divided into.
const PARTS: usize = 10;

impl ScoreErrors {
    /// Of the images that have both; `None` if none has. Equal scores stay in the order of the table.
    ///
    /// # Errors
    /// [`ReportError::Scores`] if the table has no such score.
    pub fn of(table: &ScoreTable, score: &str) -> Result<Option<Self>, ReportError> {
        if !table.columns().iter().any(|known| known == column::DENSE_ERROR) {
            return Ok(None);
        }
        let (scores, errors) = (table.column(score)?, table.column(column::DENSE_ERROR)?);
        let mut both: Vec<(f64, f64)> = scores.iter().zip(&errors).filter_map(|(s, e)| (*s).zip(*e)).collect();
        if both.is_empty() {
            return Ok(None);
        }
        let rho = spearman(&scores, &errors)?.map(|found| found.rho);
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        let parts = PARTS.min(both.len());
        let tenth = |part: usize| {
            let (from, to) = (part * both.len() / parts, (part + 1) * both.len() / parts);
            let mut errors: Vec<f64> = both[from..to].iter().map(|(_, error)| *error).collect();
            errors.sort_by(f64::total_cmp);
            ErrorTenth {
                lower: quantile(&errors, 0.25),
                median: quantile(&errors, 0.5),
                upper: quantile(&errors, 0.75),
            }
        };
        Ok(Some(Self {
            score: score.to_owned(),
            images: both.len(),
            rho,
            tenths: (0..parts).map(tenth).collect(),
        }))
    }
}

/// Of sorted values, by a straight line between neighbours (as NumPy has it).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = share * last as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(last);
    sorted[below] + part * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use htl_mining::ScoreRow;

    use super::*;

    #[test]
    fn tenths_hold_the_errors_of_their_images() {
        let mut table = ScoreTable::new(["forgetting_raw", column::DENSE_ERROR]);
        for image in 0..40 {
            let error = if image == 3 {
                None
            } else {
                Some(f64::from(image / 4) / 10.0)
            };
            let row = ScoreRow {
                image_id: format!("i{image:02}"),
                scores: vec![Some(f64::from(image)), error],
                ..ScoreRow::default()
            };
            table.push(row).unwrap();
        }
        let found = ScoreErrors::of(&table, "forgetting_raw").unwrap().unwrap();
        assert_eq!((found.images, found.tenths.len()), (39, 10));
        assert!(found.rho.unwrap() > 0.99);
        assert_eq!(found.tenths[0].median, 0.0);
        assert_eq!(found.tenths[9].upper, 0.9);
        assert!(ScoreErrors::of(&table, "nothing").is_err());
        assert_eq!(ScoreErrors::of(&ScoreTable::new(["x"]), "x").unwrap(), None);
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8], [.25, .5, .75])
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(
            [0.25, 0.5, 0.75].map(|share| quantile(&values, share)),
            [1.75, 3.0, 5.0]
        );
    }
}
