use std::collections::BTreeMap;

/// What a form of attention may know of an image.
#[derive(Debug, Clone)]
pub(crate) struct ImageInfo {
    /// Its id.
    // Read by forms to come.
    #[allow(dead_code)]
    pub image_id: String,
    /// Whether it is one of the attended set.
    pub attended: bool,
    /// The configured weight, which attended images get.
    pub weight: f64,
    /// The scores of the table that the image has, by column.
    pub scores: BTreeMap<String, f64>,
}

impl ImageInfo {
    /// The configured weight if the image is attended to, else 1.
    pub fn weight(&self) -> f64 {
        if self.attended { self.weight } else { 1.0 }
    }

    /// A score of the table, where the image has it.
    // Read by forms to come.
    #[allow(dead_code)]
    pub fn score(&self, column: &str) -> Option<f64> {
        self.scores.get(column).copied()
    }
}
