use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use htl_datasets::{DatasetError, Inside, convert_mask};
use htl_vocabulary::write_whole;
use image::ImageFormat;

use super::print;

/// `htl data convert-masks`.
#[derive(Args)]
pub struct ConvertMasks {
    /// A folder of PNG, JPEG or BMP files, one per image
    source: PathBuf,
    #[command(flatten)]
    rule: InsideRule,
    /// The folder for the masks, ID.png of black and white; must not hold any of them
    #[arg(long)]
    out: PathBuf,
}

/// Which stored values of masks are inside the lesion.
#[derive(Args)]
#[group(multiple = false)]
pub struct InsideRule {
    /// The stored values that mean lesion, such as 1, or 1,2; every other value is outside
    #[arg(long, value_delimiter = ',', value_name = "VALUES")]
    inside: Vec<u16>,
    /// Stored values above this one mean lesion
    #[arg(long, value_name = "VALUE")]
    above: Option<u16>,
    /// The mask is the alpha channel: opaque pixels are lesion
    #[arg(long)]
    opaque: bool,
}

impl InsideRule {
    /// The rule, if one was given.
    pub fn chosen(&self) -> Option<Inside> {
        match (self.above, self.opaque) {
            (Some(value), _) => Some(Inside::Above(value)),
            (None, true) => Some(Inside::Opaque),
            (None, false) => (!self.inside.is_empty()).then(|| Inside::Values(self.inside.clone())),
        }
    }
}

impl ConvertMasks {
    pub fn run(self) -> anyhow::Result<()> {
        let rule = self
            .rule
            .chosen()
            .context("say what is inside: --inside, --above or --opaque")?;
        let files = files(&self.source)?;
        let mut values: BTreeMap<u16, usize> = BTreeMap::new();
        let (mut empty, mut problems, mut masks) = (0, Vec::new(), Vec::new());
        for path in &files {
            match convert_mask(path, &rule) {
                Ok((mask, counts)) => {
                    for (value, count) in counts {
                        *values.entry(value).or_default() += count;
                    }
                    empty += usize::from(mask.iter().all(|pixel| *pixel == 0));
                    masks.push((self.target(path)?, mask));
                }
                Err(error) => problems.push(error),
            }
        }
        refuse(&problems)?;
        std::fs::create_dir_all(&self.out).with_context(|| format!("cannot make {}", self.out.display()))?;
        for (target, mask) in &masks {
            let mut png = std::io::Cursor::new(Vec::new());
            mask.write_to(&mut png, ImageFormat::Png)?;
            write_whole(target, png.into_inner())?;
        }
        print(&format!(
            "{} masks written to {}, {empty} of them empty",
            masks.len(),
            self.out.display()
        ))?;
        if values.len() <= 16 {
            let total: usize = values.values().sum();
            for (value, count) in &values {
                print(&format!(
                    "  value {value}: {:.1} % of the pixels",
                    100.0 * *count as f64 / total as f64
                ))?;
            }
        }
        Ok(())
    }

    fn target(&self, path: &Path) -> anyhow::Result<PathBuf> {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let target = self.out.join(format!("{stem}.png"));
        ensure!(
            !target.exists(),
            "{} is there already: choose another --out",
            target.display()
        );
        Ok(target)
    }
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let known = |extension: &std::ffi::OsStr| {
            ["png", "jpg", "jpeg", "bmp", "tif", "tiff"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        };
        if path.extension().is_some_and(known) {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} has no PNG, JPEG, BMP or TIFF file", folder.display());
    }
    files.sort();
    Ok(files)
}

/// All that is wrong, at once; nothing is written then.
fn refuse(problems: &[DatasetError]) -> anyhow::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    bail!("nothing was written:\n{}", lines.join("\n"))
}
