use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Part of a data set that a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing epochs, thresholds and sparsity.
    Val,
    /// For the final numbers.
    Test,
}

impl Split {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// `train`, `val` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The split of that name, or of `training`, `valid`, `validation`, `testing`; case and surrounding space do not matter.
    /// `None` for any other word.
    pub fn from_name(name: &str) -> Option<Self> {
        let names = |split| match split {
            Self::Train => &["train", "training"][..],
            Self::Val => &["val", "valid", "validation"],
            Self::Test => &["test", "testing"],
        };
        let is = |word: &str| word.eq_ignore_ascii_case(name.trim());
        Self::ALL
            .into_iter()
            .find(|split| names(*split).iter().any(|word| is(word)))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One image with all that is known about it. What is unknown is `None`, never a made-up value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The id: the image's file name without its extension.
    pub image_id: String,
    /// Its split.
    pub split: Split,
    /// The image file.
    pub image: PathBuf,
    /// The mask file, if there is one.
    pub mask: Option<PathBuf>,
    /// Age in years.
    pub age_approx: Option<f64>,
    /// Sex as the table has it.
    pub sex: Option<String>,
    /// Site on the body as the table has it.
    pub anatom_site: Option<String>,
    /// Diagnosis code as the table has it.
    pub dx: Option<String>,
    /// All other columns of the table; blank ones are left out.
    pub other: BTreeMap<String, String>,
}

impl Sample {
    /// The value of a column by its name in `metadata.csv`, as text; `None` if blank or unknown.
    pub fn field(&self, column: &str) -> Option<String> {
        match column {
            "image_id" => Some(self.image_id.clone()),
            "split" => Some(self.split.name().to_owned()),
            "age_approx" => self.age_approx.map(|age| age.to_string()),
            "sex" => self.sex.clone(),
            "anatom_site" => self.anatom_site.clone(),
            "dx" => self.dx.clone(),
            other => self.other.get(other).cloned(),
        }
    }

    /// The cells of its row in `metadata.csv` by column; blank and unknown ones are left out.
    pub fn cells(&self) -> BTreeMap<String, String> {
        let mut cells = self.other.clone();
        for column in ["image_id", "split", "age_approx", "sex", "anatom_site", "dx"] {
            cells.extend(self.field(column).map(|cell| (column.to_owned(), cell)));
        }
        cells
    }
}
