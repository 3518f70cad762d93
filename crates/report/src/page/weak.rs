use htl_vocabulary::results::{Gain, Results, Weak, comparison_key};
use serde::Serialize;

use crate::summary::Verdict;
use crate::{weak, words};

use super::forest::comparison;

/// A setting's declared comparison on the images where help is needed.
#[derive(Serialize)]
pub(super) struct WeakTable {
    title: String,
    comparison: String,
    metric: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    n: String,
    change: String,
    interval: String,
    p: String,
    p_holm: String,
    verdict: &'static str,
    class: &'static str,
}

pub(super) fn view(results: &Results) -> Vec<WeakTable> {
    let of = |(key, setting): (&String, &htl_vocabulary::results::Setting)| {
        let weak = setting.weak.as_ref()?;
        let rows = rows(weak);
        (!rows.is_empty()).then(|| WeakTable {
            title: words::setting(key),
            comparison: comparison(&comparison_key(&weak.contrast.method, &weak.contrast.control)),
            metric: words::metric(&weak.contrast.metric),
            rows,
            notes: weak::origin(weak),
        })
    };
    results.settings.iter().filter_map(of).collect()
}

fn rows(weak: &Weak) -> Vec<Row> {
    let metric = weak.contrast.metric.as_str();
    let row = |name: String, n: String, gain: &Gain, p_holm: Option<f64>, verdict: Verdict| Row {
        name,
        n,
        change: words::difference(metric, gain.mean),
        interval: words::interval(metric, gain.ci95),
        p: words::p(gain.p),
        p_holm: words::p(p_holm),
        verdict: verdict.label(),
        class: verdict.class(),
    };
    let subsets = weak.subsets.iter().map(|subset| {
        let verdict = weak::verdict(metric, &subset.gain, subset.p_holm);
        let n = subset.n.to_string();
        row(weak::name(&subset.subset), n, &subset.gain, subset.p_holm, verdict)
    });
    let interaction = weak.interaction.as_ref().map(|gain| {
        let name = "Hard to learn minus all others".to_owned();
        row(name, words::UNDEFINED.to_owned(), gain, None, Verdict::of(metric, gain))
    });
    subsets.chain(interaction).collect()
}
