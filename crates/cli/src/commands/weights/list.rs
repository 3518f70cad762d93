use clap::Args;
use htl_models::weights::{PUBLISHED, Published};
use serde::Serialize;

use super::super::telling::Telling;

/// `htl weights list`.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    telling: Telling,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    published: &'static Published,
    /// Of RGB images in [0, 1].
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

impl List {
    pub fn run(self) -> anyhow::Result<()> {
        let row = |published: &'static Published| {
            let normalisation = published.normalisation();
            Row {
                published,
                mean: normalisation.map(|normalisation| normalisation.mean),
                std: normalisation.map(|normalisation| normalisation.std),
            }
        };
        let rows: Vec<Row> = PUBLISHED.iter().map(row).collect();
        self.telling.tell(&rows, || {
            let texts: Vec<String> = rows.iter().map(Row::words).collect();
            texts.join("\n\n")
        })
    }
}

impl Row {
    fn words(&self) -> String {
        let Published {
            name,
            encoder,
            address,
            origin,
            licence,
            side,
            ..
        } = self.published;
        let mut text = format!(
            "{name}: encoder {encoder}, trained on ImageNet at {side} pixels\n  {origin}\n  licence {licence}\n  {address}"
        );
        if let (Some(mean), Some(std)) = (self.mean, self.std) {
            text += &format!("\n  images in [0, 1], mean {mean:?}, standard deviation {std:?}");
        }
        text
    }
}
