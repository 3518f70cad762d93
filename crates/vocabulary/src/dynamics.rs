//! `dynamics.csv`: how a training saw each of its images, epoch by epoch.

use std::collections::HashSet;
use std::path::Path;

use crate::FormatError;
use crate::whole::write_whole_with;

/// The header of `dynamics.csv`.
pub const DYNAMICS_COLUMNS: [&str; 6] = ["image_id", "epoch", "loss", "margin", "el2n", "correct"];

/// One row of `dynamics.csv`: one training image, not augmented, as the network sees it at the end of an epoch.
///
/// | column | of a classifier | of a localizer |
/// | --- | --- | --- |
/// | `loss` | cross entropy of the given class, in nats | binary cross entropy, mean over pixels, in nats |
/// | `margin` | logit of the given class less the largest other logit | logit toward the given label, `(2y - 1) z`, mean over pixels |
/// | `el2n` | Euclidean norm of probabilities less the one-hot class | root mean square of `p - y` over pixels |
/// | `correct` | the given class has the largest logit | Jaccard index of the masks of `p` and `y` at least 0.5 |
///
/// "Given" is what the network is trained with: a mask, the pseudo-mask of a box, a diagnosis. It may be wrong, which is
/// one of the things that these numbers tell.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamicsRow {
    /// The image.
    pub image_id: String,
    /// Epochs done, counted from 1, as in `history.csv`.
    pub epoch: usize,
    /// Loss, at least 0.
    pub loss: f64,
    /// Margin; negative where the prediction contradicts the label.
    pub margin: f64,
    /// Norm of the error, at least 0.
    pub el2n: f64,
    /// Whether the prediction agrees with the label.
    pub correct: bool,
}

/// Writes a `dynamics.csv`, whole. Numbers are written so that reading gives the same bits.
///
/// # Errors
/// [`FormatError::NotWritten`].
pub fn write_dynamics(path: &Path, rows: &[DynamicsRow]) -> Result<(), FormatError> {
    write_whole_with(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(DYNAMICS_COLUMNS)?;
        for row in rows {
            let correct = u8::from(row.correct);
            writer.serialize((&row.image_id, row.epoch, row.loss, row.margin, row.el2n, correct))?;
        }
        writer.flush()
    })
    .map_err(FormatError::NotWritten)
}

/// Reads a `dynamics.csv`; rows may stand in any order, further columns are left alone.
///
/// # Errors
/// [`FormatError::Csv`] if the file cannot be read, has no rows or has an image twice in an epoch; [`FormatError::Column`] for a missing column;
/// [`FormatError::Cell`] for a number that is not finite or out of its range.
pub fn read_dynamics(path: &Path) -> Result<Vec<DynamicsRow>, FormatError> {
    let wrong = |reason: String| FormatError::Csv {
        path: path.to_owned(),
        reason,
    };
    let mut reader = csv::Reader::from_path(path).map_err(|error| wrong(error.to_string()))?;
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let mut places = [0; DYNAMICS_COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(DYNAMICS_COLUMNS) {
        let found = header.iter().position(|name| name.trim() == column);
        *place = found.ok_or_else(|| FormatError::Column {
            path: path.to_owned(),
            column: column.to_owned(),
            expected: DYNAMICS_COLUMNS.join(","),
        })?;
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |i: usize| record.get(places[i]).unwrap_or_default().trim();
        let bad = |i: usize, expected| FormatError::Cell {
            path: path.to_owned(),
            row: line,
            column: DYNAMICS_COLUMNS[i].to_owned(),
            found: cell(i).to_owned(),
            expected,
        };
        let number = |i: usize, least: f64, expected| match cell(i).parse::<f64>() {
            Ok(value) if value.is_finite() && value >= least => Ok(value),
            _ => Err(bad(i, expected)),
        };
        if cell(0).is_empty() {
            return Err(bad(0, "an image id"));
        }
        rows.push(DynamicsRow {
            image_id: cell(0).to_owned(),
            epoch: match cell(1).parse() {
                Ok(epoch) if epoch > 0 => epoch,
                _ => return Err(bad(1, "an epoch, counted from 1")),
            },
            loss: number(2, 0.0, "a number of at least 0")?,
            margin: number(3, f64::MIN, "a number")?,
            el2n: number(4, 0.0, "a number of at least 0")?,
            correct: match cell(5) {
                "0" => false,
                "1" => true,
                _ => return Err(bad(5, "0 or 1")),
            },
        });
    }
    if rows.is_empty() {
        return Err(wrong(
            "it has no rows; was the training interrupted before its first epoch?".into(),
        ));
    }
    let mut seen = HashSet::new();
    match rows.iter().find(|row| !seen.insert((row.image_id.as_str(), row.epoch))) {
        Some(row) => Err(wrong(format!(
            "`{}` occurs twice in epoch {}; give the files of several trainings one by one",
            row.image_id, row.epoch
        ))),
        None => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(image_id: &str, epoch: usize) -> DynamicsRow {
        DynamicsRow {
            image_id: image_id.to_owned(),
            epoch,
            loss: 1.0 / 3.0,
            margin: -0.1,
            el2n: 1e-9,
            correct: epoch == 2,
        }
    }

    /// The same bits come back, and other programs find the documented header.
    #[test]
    fn dynamics_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dynamics.csv");
        let rows = vec![row("a", 1), row("b, or so", 1), row("a", 2)];
        write_dynamics(&path, &rows).unwrap();
        assert_eq!(read_dynamics(&path).unwrap(), rows);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("image_id,epoch,loss,margin,el2n,correct\na,1,0.3333333333333333,-0.1,1e-9,0\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.csv");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_dynamics(&path).unwrap_err().to_string()
        };
        let header = DYNAMICS_COLUMNS.join(",") + "\n";
        for (text, expected) in [
            (header.clone(), "no rows"),
            ("image_id,epoch,loss,margin,el2n\na,1,1,1,1\n".into(), "`correct`"),
            (header.clone() + "a,0,1,1,1,1\n", "`epoch`"),
            (header.clone() + "a,1,NaN,1,1,1\n", "`loss`"),
            (header.clone() + "a,1,-1,1,1,1\n", "`loss`"),
            (header.clone() + "a,1,1,inf,1,1\n", "`margin`"),
            (
                header.clone() + "a,1,1,1,1,yes\n",
                "row 2, column `correct`: found `yes`",
            ),
            (
                header.clone() + "a,1,1,1,1,1\na,1,1,1,1,1\n",
                "`a` occurs twice in epoch 1",
            ),
        ] {
            let found = said(&text);
            assert!(found.contains(expected) && found.contains("d.csv"), "{found}");
        }
        assert!(read_dynamics(&folder.path().join("none.csv")).is_err());
    }
}
