use std::collections::BTreeMap;

/// An image as a form of attention sees it.
#[derive(Debug, Clone)]
pub(crate) struct ImageInfo {
    /// Its id.
    // Read by forms to come.
    #[allow(dead_code)]
    pub image_id: String,
    /// How much it is attended to: 1 fully, 0 not at all.
    pub attended: f64,
    /// The configured weight if the image is attended to, else 1.
    pub weight: f64,
    /// The scores of the table that the image has, by column.
    pub scores: BTreeMap<String, f64>,
}

impl ImageInfo {
    /// A score of the table, where the image has it.
    // Read by forms to come.
    #[allow(dead_code)]
    pub fn score(&self, column: &str) -> Option<f64> {
        self.scores.get(column).copied()
    }
}
