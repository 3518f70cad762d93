use htl_vocabulary::results::PRIMARY_METRIC;
use htl_vocabulary::{EnsembleRow, ReferralRow};
use serde::Serialize;

use crate::referral::{judged, predictor};
use crate::{ReferralTable, words};

/// Whom networks would refer, and what several of them are worth.
#[derive(Serialize)]
pub(super) struct Referral {
    title: String,
    networks: String,
    images: usize,
    signals: Vec<Signal>,
    ensembles: Vec<Ensemble>,
}

#[derive(Serialize)]
struct Signal {
    label: String,
    cost: String,
    aurc: String,
    share_of_oracle: String,
    jaccard: String,
    without_10: String,
    without_20: String,
}

#[derive(Serialize)]
struct Ensemble {
    label: &'static str,
    cost: String,
    jaccard: String,
    gain: String,
    interval: String,
}

/// Settings whose images had no mask to be judged by are left out.
pub(super) fn view(tables: &[ReferralTable]) -> Vec<Referral> {
    let judged = |table: &&ReferralTable| table.signals.iter().any(|row| row.jaccard.is_some());
    tables.iter().filter(judged).map(one).collect()
}

fn one(table: &ReferralTable) -> Referral {
    let known = judged(&table.signals);
    Referral {
        title: table.title.clone(),
        networks: words::capital(&words::count(known.first().map_or(0, |row| row.networks), "network")),
        images: known.first().map_or(0, |row| row.images),
        signals: known.into_iter().map(signal).collect(),
        ensembles: table.ensembles.iter().map(ensemble).collect(),
    }
}

fn signal(row: &ReferralRow) -> Signal {
    let jaccard = |value| words::value(PRIMARY_METRIC, value);
    Signal {
        label: row.label.clone(),
        cost: words::cost(row.trainings, row.fine_tunings, row.passes),
        aurc: row.aurc.map_or_else(String::new, |aurc| format!("{aurc:.3}")),
        share_of_oracle: words::two_decimals(row.share_of_oracle),
        jaccard: jaccard(row.jaccard),
        without_10: jaccard(row.jaccard_without_10),
        without_20: jaccard(row.jaccard_without_20),
    }
}

fn ensemble(row: &EnsembleRow) -> Ensemble {
    Ensemble {
        label: predictor(&row.predictor),
        cost: words::cost(row.trainings, row.fine_tunings, row.passes),
        jaccard: words::value(PRIMARY_METRIC, Some(row.jaccard)),
        gain: row
            .gain
            .map_or_else(String::new, |gain| words::difference(PRIMARY_METRIC, gain)),
        interval: row
            .lo
            .zip(row.hi)
            .map_or_else(String::new, |(lo, hi)| words::interval(PRIMARY_METRIC, [lo, hi])),
    }
}
