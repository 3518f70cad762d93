use std::collections::HashMap;

use htl_metrics::SEEDS_FOR_INFERENCE;
use htl_metrics::{Against, Better, Confusion, JACCARD_THRESHOLD, MetricByGroup, PerImage, PerImageRow};
use htl_vocabulary::{DisparityRow, PerformanceRow};

use super::adjust::Adjustment;
use super::clusters::{clusters, members_by_cluster};
use super::cohort::ClusterKeys;
use super::contrast::{Contrast, Side, contrast};
use super::grouping::{LEAST_SHOWN, LEAST_TESTED};
use crate::attribute::{Attribute, UNKNOWN};
use crate::attributes::attribute_named;
use crate::error::{MiningError, Result};

/// A metric by which groups are compared.
#[derive(Debug, Clone, Copy)]
pub struct GroupMetric {
    /// Its name in `performance.csv`.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// Which way it improves.
    pub better: Better,
    /// Its value for one image; `None` where it is not defined or not known.
    pub of: fn(&PerImageRow) -> Option<f64>,
}

/// Lesion pixels of the truth, whether one was found.
fn missed(counts: &Confusion) -> Option<f64> {
    (counts.tp + counts.fn_ > 0).then(|| f64::from(u8::from(counts.tp == 0)))
}

/// The metrics by which groups are compared: quality, its two sides, failures, and calibration where the table has it.
pub const GROUP_METRICS: [GroupMetric; 7] = [
    GroupMetric {
        key: "jaccard",
        label: "Jaccard",
        better: Better::Higher,
        of: |image| Some(image.scores.jaccard),
    },
    GroupMetric {
        key: "sensitivity",
        label: "Sensitivity",
        better: Better::Higher,
        of: |image| Some(image.scores.sensitivity),
    },
    GroupMetric {
        key: "specificity",
        label: "Specificity",
        better: Better::Higher,
        of: |image| Some(image.scores.specificity),
    },
    GroupMetric {
        key: "below_65",
        label: "Jaccard under 0.65",
        better: Better::Lower,
        of: |image| Some(f64::from(u8::from(image.scores.jaccard < JACCARD_THRESHOLD))),
    },
    GroupMetric {
        key: "missed",
        label: "Missed lesions",
        better: Better::Lower,
        of: |image| missed(&image.scores.confusion()),
    },
    GroupMetric {
        key: "brier",
        label: "Brier score",
        better: Better::Lower,
        of: |image| Some(image.calibration?.brier),
    },
    GroupMetric {
        key: "calibration_error",
        label: "Calibration error",
        better: Better::Lower,
        of: |image| Some(image.calibration?.calibration_error),
    },
];

/// The same images judged by several arms of one or more seeds.
#[derive(Debug, Clone)]
pub struct Performance {
    ids: Vec<String>,
    arms: Vec<Arm>,
    cluster: Vec<usize>,
    /// What the tables themselves say of the images.
    groups: Vec<Attribute>,
}

#[derive(Debug, Clone)]
struct Arm {
    name: String,
    /// By metric: `[seeds][images]`, `None` where a metric is not known.
    tables: Vec<Vec<Vec<Option<f64>>>>,
}

impl Performance {
    /// Takes the tables of each arm, one per seed. The first arm is what the others are compared with; the n-th tables of
    /// two arms are taken for the same seed. Images of one lesion or patient (by `keys`, or the columns `lesion_id` and
    /// `patient_id` of the tables) count once.
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`] and [`MiningError::MissingId`] if tables differ in their images,
    /// [`MiningError::Length`] if arms differ in their number of seeds, [`MiningError::TooFewImages`] without a table.
    pub fn new(arms: &[(String, Vec<PerImage>)], keys: &ClusterKeys) -> Result<Self> {
        let Some(first) = arms.first().and_then(|(_, tables)| tables.first()) else {
            return Err(MiningError::TooFewImages {
                what: "performance by group",
                asked: 1,
                available: 0,
            });
        };
        let mut ids: Vec<String> = first.rows.iter().map(|row| row.scores.image_id.clone()).collect();
        ids.sort();
        let seeds = arms[0].1.len();
        let mut judged = Vec::new();
        for (name, tables) in arms {
            if tables.len() != seeds {
                return Err(MiningError::Length {
                    what: "tables of an arm, one per seed (arms are compared seed by seed)",
                    found: tables.len(),
                    expected: seeds,
                });
            }
            let tables: Vec<_> = tables
                .iter()
                .map(|table| columns(table, &ids, name))
                .collect::<Result<_>>()?;
            let by_metric = |metric: usize| tables.iter().map(|table| table[metric].clone()).collect();
            judged.push(Arm {
                name: name.clone(),
                tables: (0..GROUP_METRICS.len()).map(by_metric).collect(),
            });
        }
        let own_keys = [
            own_key(first, |row| row.lesion_id.as_ref()),
            own_key(first, |row| row.patient_id.as_ref()),
        ];
        let keys: Vec<Vec<Option<String>>> = keys
            .iter()
            .chain(&own_keys)
            .map(|kind| ids.iter().map(|id| kind.get(id).cloned()).collect())
            .collect();
        Ok(Self {
            cluster: clusters(ids.len(), &keys),
            groups: own_groups(first)?,
            ids,
            arms: judged,
        })
    }

    /// The images, sorted.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The attributes that the tables themselves have columns for.
    pub fn groups(&self) -> &[Attribute] {
        &self.groups
    }

    /// Quality by level of every attribute, and what every arm but the first gains over the first there.
    ///
    /// Groups under [`LEAST_SHOWN`] images are counted only; gaps need [`LEAST_TESTED`] on either side. Intervals: the
    /// crossed t over seeds and images, images of a lesion averaged first; with fewer than five seeds they describe these
    /// networks, and there is no p.
    pub fn by_group(&self, attributes: &[Attribute]) -> Vec<PerformanceRow> {
        let mut rows = Vec::new();
        for (number, metric) in GROUP_METRICS.iter().enumerate() {
            for (place, arm) in self.arms.iter().enumerate() {
                let mut tables = vec![("", arm.tables[number].clone())];
                if place > 0 {
                    let control = &self.arms[0];
                    tables.push((&control.name, difference(&arm.tables[number], &control.tables[number])));
                }
                for (against, table) in tables {
                    let start = rows.len();
                    let (table, known) = complete(&table);
                    if known.is_empty() {
                        continue;
                    }
                    for attribute in attributes {
                        let labels = PerformanceRow {
                            arm: arm.name.clone(),
                            against: against.to_owned(),
                            metric: metric.key.to_owned(),
                            attribute: attribute.name().to_owned(),
                            seeds: table.len() as u64,
                            ..PerformanceRow::default()
                        };
                        rows.extend(self.levels(attribute, &table, &known, &labels));
                    }
                    adjust(&mut rows[start..]);
                }
            }
        }
        rows
    }

    fn levels(
        &self,
        attribute: &Attribute,
        table: &[Vec<f64>],
        known: &[usize],
        labels: &PerformanceRow,
    ) -> Vec<PerformanceRow> {
        let level = |image: usize| attribute.level(&self.ids[known[image]]);
        let mut rows = Vec::new();
        for name in attribute.sorted_levels().into_iter().chain([UNKNOWN]) {
            let members = |wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
                (0..known.len()).filter(|&image| wanted(level(image))).collect()
            };
            let inside = members(&|other| other == name);
            let outside = members(&|other| other != name && other != UNKNOWN);
            if inside.is_empty() {
                continue;
            }
            let (here, rest) = (self.by_cluster(&inside, known), self.by_cluster(&outside, known));
            let one = Side {
                clusters: &here,
                sign: 1.0,
            };
            let enough = |images: &[usize], least: u64| images.len() as u64 >= least;
            let shown = enough(&inside, LEAST_SHOWN).then(|| contrast(table, &[one])).flatten();
            let tested = enough(&inside, LEAST_TESTED) && enough(&outside, LEAST_TESTED);
            let sides = [
                Side {
                    clusters: &here,
                    sign: 1.0,
                },
                Side {
                    clusters: &rest,
                    sign: -1.0,
                },
            ];
            let gap = tested.then(|| contrast(table, &sides)).flatten();
            let inferential = table.len() >= SEEDS_FOR_INFERENCE;
            let part = |of: Option<Contrast>, part: fn(Contrast) -> f64| of.map(part);
            rows.push(PerformanceRow {
                level: name.to_owned(),
                n: inside.len() as u64,
                clusters: here.len() as u64,
                value: part(shown, |c| c.value),
                lo: part(shown, |c| c.lo),
                hi: part(shown, |c| c.hi),
                gap: part(gap, |c| c.value),
                gap_lo: part(gap, |c| c.lo),
                gap_hi: part(gap, |c| c.hi),
                p: part(gap, |c| c.p).filter(|_| inferential),
                reading: if inferential { "inferential" } else { "descriptive" }.to_owned(),
                ..labels.clone()
            });
        }
        rows
    }

    /// Images lesion by lesion; positions are those in `known`.
    fn by_cluster(&self, images: &[usize], known: &[usize]) -> Vec<Vec<usize>> {
        members_by_cluster(images.iter().map(|&image| (self.cluster[known[image]], image)))
    }

    /// How far the groups of each attribute lie apart, among those of at least [`LEAST_TESTED`] images.
    ///
    /// # Errors
    /// Those of [`MetricByGroup::of`].
    pub fn disparities(&self, attributes: &[Attribute]) -> Result<Vec<DisparityRow>> {
        let mut rows = Vec::new();
        let least = LEAST_TESTED as usize;
        for (number, metric) in GROUP_METRICS.iter().enumerate() {
            for arm in &self.arms {
                let (table, known) = complete(&arm.tables[number]);
                if known.is_empty() {
                    continue;
                }
                let mean = |image: usize| table.iter().map(|row| row[image]).sum::<f64>() / table.len() as f64;
                let values: Vec<f64> = (0..known.len()).map(mean).collect();
                for attribute in attributes {
                    let level =
                        |image: &usize| Some(attribute.level(&self.ids[*image])).filter(|level| *level != UNKNOWN);
                    let levels: Vec<Option<&str>> = known.iter().map(level).collect();
                    let by = MetricByGroup::of(&values, &levels)?;
                    let ends = by.worst(least, Better::Higher).zip(by.best(least, Better::Higher));
                    let (Some((low, high)), Some(difference)) = (ends, by.difference(Against::EachOther, least)) else {
                        continue;
                    };
                    if by.at_least(least).count() < 2 {
                        continue;
                    }
                    rows.push(DisparityRow {
                        arm: arm.name.clone(),
                        metric: metric.key.to_owned(),
                        attribute: attribute.name().to_owned(),
                        groups: by.at_least(least).count() as u64,
                        lowest: low.level.clone(),
                        lowest_value: low.mean,
                        highest: high.level.clone(),
                        highest_value: high.mean,
                        difference,
                        ratio: by.ratio(Against::EachOther, least),
                    });
                }
            }
        }
        Ok(rows)
    }
}

/// The metrics of a table's images in the order of `ids`: `[metrics][images]`.
fn columns(table: &PerImage, ids: &[String], arm: &str) -> Result<Vec<Vec<Option<f64>>>> {
    let place = || format!("a table of `{arm}`");
    let mut rows = HashMap::new();
    for row in &table.rows {
        if rows.insert(row.scores.image_id.as_str(), row).is_some() {
            return Err(MiningError::DuplicateId {
                image_id: row.scores.image_id.clone(),
                place: place(),
            });
        }
    }
    let missing = |id: &str, place: String| MiningError::MissingId {
        image_id: id.to_owned(),
        place,
    };
    if let Some(id) = rows
        .keys()
        .find(|id| ids.binary_search_by(|known| known.as_str().cmp(id)).is_err())
    {
        return Err(missing(id, "the first table".into()));
    }
    let mut columns = vec![Vec::with_capacity(ids.len()); GROUP_METRICS.len()];
    for id in ids {
        let row = rows.get(id.as_str()).ok_or_else(|| missing(id, place()))?;
        for (column, metric) in columns.iter_mut().zip(&GROUP_METRICS) {
            column.push((metric.of)(row));
        }
    }
    Ok(columns)
}

/// The cells of a group column that are not blank, by image.
fn cells<'a>(table: &'a PerImage, column: &str) -> impl Iterator<Item = (String, String)> + use<'a> {
    let place = table.group_columns.iter().position(|name| name == column);
    table.rows.iter().filter_map(move |row| {
        let cell = row.groups.get(place?)?.trim();
        (!cell.is_empty()).then(|| (row.scores.image_id.clone(), cell.to_owned()))
    })
}

/// The group columns of a table as attributes.
fn own_groups(table: &PerImage) -> Result<Vec<Attribute>> {
    let known = table
        .group_columns
        .iter()
        .filter_map(|column| Some((column, attribute_named(column)?)));
    known
        .map(|(column, row)| row.with_levels(cells(table, column).map(|(id, level)| (id, Some(level)))))
        .collect()
}

/// What one arm gains over another, image by image and seed by seed.
fn difference(arm: &[Vec<Option<f64>>], control: &[Vec<Option<f64>>]) -> Vec<Vec<Option<f64>>> {
    let images =
        |(a, b): (&Vec<Option<f64>>, &Vec<Option<f64>>)| a.iter().zip(b).map(|(a, b)| Some((*a)? - (*b)?)).collect();
    arm.iter().zip(control).map(images).collect()
}

/// The columns in which every seed has a value, and their positions.
fn complete(table: &[Vec<Option<f64>>]) -> (Vec<Vec<f64>>, Vec<usize>) {
    let images = table.first().map_or(0, Vec::len);
    let known: Vec<usize> = (0..images)
        .filter(|&image| table.iter().all(|row| row[image].is_some()))
        .collect();
    let values = table
        .iter()
        .map(|row| known.iter().filter_map(|&image| row[image]).collect());
    (values.collect(), known)
}

/// Holm within single attributes and within intersections.
fn adjust(rows: &mut [PerformanceRow]) {
    for crossed in [false, true] {
        let of = |row: &PerformanceRow| row.p.filter(|_| row.attribute.contains(" x ") == crossed);
        let raw: Vec<f64> = rows.iter().filter_map(of).collect();
        let mut adjusted = Adjustment::Holm.adjust(&raw).into_iter();
        for row in rows.iter_mut() {
            if of(row).is_some() {
                row.p_adjusted = adjusted.next();
            }
        }
    }
}

/// What a table says of the lesion or the patient of its images.
fn own_key(table: &PerImage, of: impl Fn(&PerImageRow) -> Option<&String>) -> HashMap<String, String> {
    let rows = table.rows.iter();
    rows.filter_map(|row| Some((row.scores.image_id.clone(), of(row)?.clone())))
        .collect()
}
