use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use htl_datasets::{Boxes, ColumnName, ImportOptions, Origin, import};
use htl_vocabulary::shell_word;

use super::convert_masks::InsideRule;
use super::telling::Telling;

/// `htl data import`.
#[derive(Args)]
pub struct Import {
    /// What the data are: a name in `htl data list`, coco, or folder for photographs, masks and tables of any arrangement
    #[arg(value_parser = origins())]
    origin: Origin,
    /// Archives (ZIP, TAR, gzipped TAR), folders (also of archives, as `htl data fetch` makes them), tables, annotations
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// The new data folder
    #[arg(long)]
    out: PathBuf,
    /// A table of images besides those that are found
    #[arg(long = "table", value_name = "FILE")]
    tables: Vec<PathBuf>,
    /// The name in a table for a column of ours, where it is not understood by itself, e.g. --map image_id=Bild
    #[arg(long = "map", value_name = "COLUMN=NAME")]
    columns: Vec<ColumnName>,
    #[command(flatten)]
    rule: InsideRule,
    /// Fill boxes that have no outline: masks for training with boxes, no truth to be judged by
    #[arg(long)]
    boxes: bool,
    /// Seed of the split, where it has to be drawn
    #[arg(long, default_value_t = 0)]
    split_seed: u64,
    /// The licence of the data, for the manifest
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Whom to credit, for the manifest
    #[arg(long, value_name = "TEXT")]
    attribution: Option<String>,
    #[command(flatten)]
    telling: Telling,
}

fn origins() -> impl TypedValueParser<Value = Origin> {
    PossibleValuesParser::new(Origin::ALL.map(Origin::name))
        .try_map(|name| Origin::named(&name).ok_or("unknown origin"))
}

impl Import {
    pub fn run(self) -> anyhow::Result<()> {
        let options = ImportOptions {
            tables: self.tables,
            columns: self.columns,
            inside: self.rule.chosen(),
            boxes: if self.boxes { Boxes::Filled } else { Boxes::Refused },
            split_seed: self.split_seed,
            licence: self.licence,
            attribution: self.attribution,
        };
        let done = import(self.origin, &self.sources, &self.out, &options)?;
        self.telling.tell(&done, || {
            let [train, val, test] = done.splits;
            let out = self.out.display();
            let counted = format!(
                "{out}: {} images ({train} train, {val} val, {test} test), {} with a mask",
                done.images, done.masks
            );
            let check = format!(
                "check them all: htl data verify --data {}",
                shell_word(&out.to_string())
            );
            let notes = done.notes.iter().map(String::as_str);
            [counted.as_str()]
                .into_iter()
                .chain(notes)
                .chain([check.as_str()])
                .collect::<Vec<_>>()
                .join("\n")
        })
    }
}
