//! Tables of seeds x images.

use crate::error::{MetricError, check_finite};

/// At least one seed and one image, the same images for every seed, finite values.
pub(crate) fn check_table(what: &str, table: &[Vec<f64>]) -> Result<(), MetricError> {
    let Some(first) = table.first() else {
        return Err(MetricError::Empty {
            what: "the list of seeds",
        });
    };
    if first.is_empty() {
        return Err(MetricError::Empty {
            what: "the list of images",
        });
    }
    for (seed, row) in table.iter().enumerate() {
        if row.len() != first.len() {
            let what = format!("images of seed number {seed} (from 0) of the {what}");
            return Err(MetricError::Length {
                what,
                expected: first.len(),
                found: row.len(),
            });
        }
        check_finite(&format!("seed number {seed} (from 0) of the {what}"), row)?;
    }
    Ok(())
}

/// Mean over all cells.
pub(crate) fn table_mean(table: &[Vec<f64>]) -> f64 {
    let rows = table.iter().map(|row| row.iter().sum::<f64>() / row.len() as f64);
    rows.sum::<f64>() / table.len() as f64
}

/// Method minus control, cell by cell.
///
/// # Errors
/// [`MetricError::Length`] if the tables differ in shape, and what [`check_table`] finds.
pub(crate) fn differences(method: &[Vec<f64>], control: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, MetricError> {
    check_table("method", method)?;
    check_table("control", control)?;
    let same = |what: &str, expected: usize, found: usize| {
        if expected == found {
            return Ok(());
        }
        let what = what.to_owned();
        Err(MetricError::Length { what, expected, found })
    };
    same(
        "seeds of the control (it needs the method's seeds)",
        method.len(),
        control.len(),
    )?;
    same(
        "images of the control (it needs the method's images)",
        method[0].len(),
        control[0].len(),
    )?;
    let row = |(m, c): (&Vec<f64>, &Vec<f64>)| m.iter().zip(c).map(|(m, c)| m - c).collect();
    Ok(method.iter().zip(control).map(row).collect())
}

/// The columns of a seeds x images table, e.g. the images of one group or of the HTL subset, in the order asked for.
///
/// # Errors
/// [`MetricError::Range`] for an index outside the table.
pub fn select_images(table: &[Vec<f64>], images: &[usize]) -> Result<Vec<Vec<f64>>, MetricError> {
    let pick = |row: &Vec<f64>, at: usize| {
        row.get(at).copied().ok_or(MetricError::Range {
            what: "index of an image",
            found: at as f64,
            expected: "less than the number of images",
        })
    };
    table
        .iter()
        .map(|row| images.iter().map(|&at| pick(row, at)).collect())
        .collect()
}
