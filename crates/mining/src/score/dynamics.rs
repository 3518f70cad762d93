//! Scores of a training's own history: what `dynamics.csv` says of an image, mean over runs.

use htl_vocabulary::DynamicsRow;

use super::{DynamicsContext, Measure, Need, Score};

const NEEDS: &[Need] = &[Need::Dynamics];

/// Share of a training that counts as early. Paul et al. take epochs 10 to 20 of 200; with as few epochs as a localizer has
/// on a small data set a fifth is the least that is past the first, still random ones.
const EARLY: f64 = 0.2;

/// Mean over runs; `None` without runs.
fn over_runs(context: &DynamicsContext, of: impl Fn(&[&DynamicsRow]) -> Option<f64>) -> Option<f64> {
    let values = context.runs.iter().map(|run| of(run)).collect::<Option<Vec<f64>>>()?;
    mean(&values)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The last judged epoch within the first fifth of the training, else the first judged one.
fn early<'a>(run: &[&'a DynamicsRow]) -> Option<&'a DynamicsRow> {
    let last = run.last()?.epoch as f64 * EARLY;
    run.iter()
        .rev()
        .find(|row| row.epoch as f64 <= last)
        .or(run.first())
        .copied()
}

/// Judgements that were right and are wrong at the next. An image that was never right has been forgotten infinitely often
/// (Toneva et al.): it gets the number of its judgements, more than any image that was ever right can reach, so that it
/// ranks hardest and the table stays finite.
fn forgotten(run: &[&DynamicsRow]) -> Option<f64> {
    if run.iter().all(|row| !row.correct) {
        return Some(run.len() as f64);
    }
    let events = run.windows(2).filter(|pair| pair[0].correct && !pair[1].correct);
    Some(events.count() as f64)
}

/// Probability of the given label: exactly that of a classifier; of a localizer the geometric mean over pixels.
fn probabilities(run: &[&DynamicsRow]) -> Vec<f64> {
    run.iter().map(|row| (-row.loss).exp()).collect()
}

pub(super) const LOSS: Score = Score {
    key: "loss",
    label: "Loss",
    about: "cross entropy of the given label at the last judged epoch, in nats per pixel or image",
    needs: NEEDS,
    of: Measure::Dynamics(|context| over_runs(context, |run| Some(run.last()?.loss))),
};

pub(super) const EL2N: Score = Score {
    key: "el2n",
    label: "EL2N",
    about: "norm of probabilities less label after the first fifth of the epochs (Paul et al. 2021); per pixel, root mean square, in localizers",
    needs: NEEDS,
    of: Measure::Dynamics(|context| over_runs(context, |run| Some(early(run)?.el2n))),
};

pub(super) const FORGETTING_EVENTS: Score = Score {
    key: "forgetting_events",
    label: "Forgetting events",
    about: "times that a right prediction was wrong at the next judged epoch (Toneva et al. 2019); never right: the number of judged epochs",
    needs: NEEDS,
    of: Measure::Dynamics(|context| over_runs(context, forgotten)),
};

pub(super) const AUM: Score = Score {
    key: "aum",
    label: "Area under the margin, negated",
    about: "minus the mean over epochs of the given label's logit less the largest other (Pleiss et al. 2020)",
    needs: NEEDS,
    of: Measure::Dynamics(|context| {
        over_runs(context, |run| {
            let margins: Vec<f64> = run.iter().map(|row| row.margin).collect();
            Some(-mean(&margins)?)
        })
    }),
};

pub(super) const CONFIDENCE: Score = Score {
    key: "low_confidence",
    label: "Low confidence",
    about: "1 - mean over epochs of the given label's probability (dataset cartography, Swayamdipta et al. 2020); in localizers the geometric mean over pixels",
    needs: NEEDS,
    of: Measure::Dynamics(|context| over_runs(context, |run| Some(1.0 - mean(&probabilities(run))?))),
};

pub(super) const VARIABILITY: Score = Score {
    key: "variability",
    label: "Variability",
    about: "standard deviation over epochs of the given label's probability (dataset cartography, Swayamdipta et al. 2020)",
    needs: NEEDS,
    of: Measure::Dynamics(|context| {
        over_runs(context, |run| {
            let p = probabilities(run);
            let centre = mean(&p)?;
            let squares: Vec<f64> = p.iter().map(|p| (p - centre) * (p - centre)).collect();
            Some(mean(&squares)?.sqrt())
        })
    }),
};
